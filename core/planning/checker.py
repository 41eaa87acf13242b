"""The independent checker: before a commit, every mail that respects windows is looked at again by other means.

It shares no function with ``exclusion.py`` and states the table of states a second time, on purpose: one wrong number, or
one wrong line of calendar arithmetic, in either of the two stops the run instead of sending a mail. Where the planner asks
"does the date lie in the window of any of five years?", the checker measures the distance from the date to the anniversary
before it and to the one after it. Double-entry bookkeeping, not duplication: tests/unit/test_checker.py holds the two tables
to each other and shows that a shift by one day in either is caught.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np

from core.planning.columns import NO_DAY, NULL_ID, Bool, Int8, Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.contacts import Contacts
from core.planning.rows import PlannedRows
from core.planning.rules import CAMPAIGN_PREFIX, STATE_CODES, StateRule


class Line(NamedTuple):
    """The checker's own statement of one state's rule."""

    anchor: str
    """``birth``, ``birth month``, ``effective``, or ``always`` for a year-round exclusion."""
    before: int = 0
    after: int = 0
    age_limit: bool = False


LINES: Final[dict[str, Line]] = {
    "CA": Line("birth", 30, 60),
    "CT": Line("always"),
    "ID": Line("birth", 0, 63),
    "KY": Line("birth", 0, 60),
    "MA": Line("always"),
    "MD": Line("birth", 0, 30),
    "MO": Line("effective", 30, 33),
    "NV": Line("birth month", 0, 60),
    "NY": Line("always"),
    "OK": Line("birth", 0, 60),
    "OR": Line("birth", 0, 31),
    "VA": Line("birth", 0, 30),
    "WA": Line("always"),
}
"""R41, a second time."""

_AGE_LIMIT: Final = 76

_MONTHS: Final = np.arange("1800-01", "2401-01", dtype="datetime64[M]")
_FIRST_MONTH: Final = int(_MONTHS[0].astype(np.int64))
"""Divisible by 12: a January."""
_MONTH_STARTS: Final = _MONTHS.astype("datetime64[D]").astype(np.int32)
_MONTH_LENGTHS: Final = np.diff(_MONTH_STARTS, append=_MONTH_STARTS[-1:])


@dataclass(frozen=True, slots=True)
class Violation:
    """One planned mail that must not go out; ids, codes and dates only."""

    contact_id: int
    email_type: str
    send_date: str
    rule: str

    def __str__(self) -> str:
        return f"contact {self.contact_id}, {self.email_type} on {self.send_date}: {self.rule}"


def check_rows(
    rows: PlannedRows, contacts: Contacts, config: Config, bypass_instance_ids: Collection[int]
) -> list[Violation]:
    """Return every pre-scheduled row to somebody who is not written to, or that respects windows and lies in one.

    ``bypass_instance_ids`` are the campaign instances whose mail does not respect windows (R53); only campaign mail can
    be theirs: follow-ups of such campaigns respect windows (R84).
    """
    limits = _Limits.of(config)
    standing = np.array([k.status == "pre-scheduled" for k in rows.kinds] or [False], dtype=np.bool_)
    campaign = np.array([k.email_type.startswith(CAMPAIGN_PREFIX) for k in rows.kinds] or [False], dtype=np.bool_)
    bypassing = np.isin(rows.links.instance_id, list(bypass_instance_ids) or [NULL_ID])
    found: list[Violation] = []
    for part in parts_of(len(rows)):
        kind = rows.kind[part]
        bypasses = campaign[kind] & bypassing[rows.link[part]]
        for chosen, lines in ((standing[kind] & ~bypasses, limits), (standing[kind] & bypasses, None)):
            mails = rows.take(np.flatnonzero(chosen) + part.start)
            found += _check(mails, contacts, lines, holds=config.missing_window_date_policy == "hold")
    return found


def _check(mails: PlannedRows, contacts: Contacts, limits: "_Limits | None", *, holds: bool) -> list[Violation]:
    """Look at mails; ``limits`` None: they do not respect windows, but whom they go to counts all the same."""
    contact = mails.contact if mails.contact_ids is contacts.contact_id else contacts.index_of(mails.contact_id)
    found = _violations(mails, contact < 0, "R24 not a contact")
    if found:
        mails, contact = mails.take(np.flatnonzero(contact >= 0)), contact[contact >= 0]
    found += _violations(mails, ~contacts.schedulable[contact], "R24 not to be written to")
    if limits is None:
        return found
    state = contacts.state[contact]
    found += _violations(mails, state < 0, "R25 state unknown")
    ruled = np.flatnonzero(limits.has_line[state])
    forbidden = _forbidden(limits, state[ruled], contact[ruled], mails.send_day[ruled], contacts, holds=holds)
    bad, state = ruled[forbidden], state[ruled[forbidden]]
    for number in np.unique(state).tolist():
        here = np.zeros(len(mails), dtype=np.bool_)
        here[bad[state == number]] = True
        found += _violations(mails, here, f"R40 {STATE_CODES[number]} {limits.lines[number].anchor}")
    return found


def _line(config: Config, code: str) -> Line | None:
    """Return the rule in force: the org's own entry replaces the table's whole (R41)."""
    own = (config.state_rules or {}).get(code)
    return LINES.get(code) if own is None else _own_line(own)


def _own_line(own: StateRule) -> Line | None:
    match own.kind:
        case "none":
            return None
        case "year_round":
            return Line("always")
        case "birthday_window":
            anchor = "birth month" if own.use_month_start else "birth"
        case "effective_date_window":
            anchor = "effective month" if own.use_month_start else "effective"
    return Line(anchor, own.days_before, own.days_after, own.age_76_plus)


@dataclass(frozen=True, slots=True)
class _Limits:
    """The lines in force as columns over state numbers, with an empty one at the end for an unknown state."""

    lines: Mapping[int, Line]
    has_line: Bool
    always: Bool
    by_birth: Bool
    from_month: Bool
    before: Int32
    """Buffer included (R42)."""
    after: Int32
    age_limit: Bool

    @classmethod
    def of(cls, config: Config) -> Self:
        """Tabulate the lines in force."""
        of_state = [_line(config, code) for code in STATE_CODES]
        own, usual = config.state_buffers or {}, config.pre_exclusion_buffer_days
        lines = [line or Line("nothing") for line in (*of_state, None)]
        before = [line.before + own.get(code, usual) for line, code in zip(lines, (*STATE_CODES, ""), strict=True)]
        return cls(
            lines={number: line for number, line in enumerate(of_state) if line is not None},
            has_line=np.array([line is not None for line in (*of_state, None)], dtype=np.bool_),
            always=np.array([line.anchor == "always" for line in lines], dtype=np.bool_),
            by_birth=np.array([line.anchor.startswith("birth") for line in lines], dtype=np.bool_),
            from_month=np.array([line.anchor.endswith("month") for line in lines], dtype=np.bool_),
            before=np.array(before, dtype=np.int32),
            after=np.array([line.after for line in lines], dtype=np.int32),
            age_limit=np.array([line.age_limit for line in lines], dtype=np.bool_),
        )


def _forbidden(  # who, where, when, by which lines
    limits: _Limits, state: Int8, contact: Int32 | Int64, day: Int32, contacts: Contacts, *, holds: bool
) -> Bool:
    birth = contacts.birth_day[contact]
    anchor = np.where(limits.by_birth[state], birth, contacts.effective_day[contact])
    missing = anchor == NO_DAY
    month, place = _month_and_place(np.where(missing, np.int32(0), anchor))
    place[limits.from_month[state]] = 0
    since, until = _distances(month, place, day)
    inside = (since <= limits.after[state]) | (until <= limits.before[state])  # R42
    forbidden = np.where(missing, holds, inside) | limits.always[state]  # R44
    aged = np.flatnonzero(limits.age_limit[state] & (birth != NO_DAY))
    if len(aged):
        month, place = _month_and_place(birth[aged])
        forbidden[aged] |= day[aged] >= _in_year(month, place, _year(birth[aged]) + _AGE_LIMIT)  # R45
    return np.asarray(forbidden, dtype=np.bool_)


def _distances(month: Int64, place: Int32, day: Int32) -> tuple[Int32, Int32]:
    """Return the days since the latest anniversary up to each date and until the earliest from it on (R30)."""
    year = _year(day)
    this_year = _in_year(month, place, year)
    before = np.where(this_year > day, _in_year(month, place, year - 1), this_year)
    after = np.where(this_year < day, _in_year(month, place, year + 1), this_year)
    return day - before, after - day


def _year(days: Int32) -> Int64:
    return days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970


def _month_and_place(days: Int32) -> tuple[Int64, Int32]:
    """Return the month of each date, from 0, and its place in the month, from 0."""
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) - _FIRST_MONTH
    return month % 12, days - _MONTH_STARTS[month]


def _in_year(month: Int64, place: Int32, year: Int64) -> Int32:
    """Return the days with this month and place in other years; what would fall over a month's end stays on its last day."""
    number = (year - 1970) * 12 + month - _FIRST_MONTH
    days: Int32 = _MONTH_STARTS[number] + np.minimum(place, _MONTH_LENGTHS[number] - np.int32(1))
    return days


def _violations(mails: PlannedRows, bad: Bool, rule: str) -> list[Violation]:
    wrong = mails.take(np.flatnonzero(bad))
    columns = wrong.contact_id.tolist(), wrong.kind.tolist(), wrong.send_day.astype("datetime64[D]").tolist()
    return [
        Violation(contact_id, wrong.kinds[kind].email_type, day.isoformat(), rule)
        for contact_id, kind, day in zip(*columns, strict=True)
    ]
