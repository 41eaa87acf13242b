"""The independent checker: before a commit, every mail that respects windows is looked at again by other means.

It shares no function with ``exclusion.py`` and states the table of states a second time, on purpose: one wrong number, or
one wrong line of calendar arithmetic, in either of the two stops the run instead of sending a mail. Where the planner asks
"does the date lie in the window of any of five years?", the checker measures the distance from the date to the anniversary
before it and to the one after it. Double-entry bookkeeping, not duplication: tests/unit/test_checker.py holds the two tables
to each other and shows that a shift by one day in either is caught.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, Self

import numpy as np

from core.planning.columns import NO_DAY, Bool, Int8, Int32, Int64, parts_of
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
"""From a January on; a month is known by its place here."""
_MONTH_STARTS: Final = _MONTHS.astype("datetime64[D]").astype(np.int32)
_MONTH_LENGTHS: Final = np.diff(_MONTH_STARTS, append=_MONTH_STARTS[-1:])
_MONTH_OF_DAY: Final = np.repeat(np.arange(len(_MONTHS), dtype=np.int16), _MONTH_LENGTHS)
"""By day, from the first day of the first month on."""


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
    limits, holds = _Limits.of(config), config.missing_window_date_policy == "hold"
    standing = np.array([k.status == "pre-scheduled" for k in rows.kinds] or [False], dtype=np.bool_)
    campaign = np.array([k.email_type.startswith(CAMPAIGN_PREFIX) for k in rows.kinds] or [False], dtype=np.bool_)
    bypassing = np.isin(rows.links.instance_id, list(bypass_instance_ids)) if bypass_instance_ids else None
    found: list[Violation] = []
    for part in parts_of(len(rows)):
        kind = rows.kind[part]
        stands = standing.take(kind)
        if bypassing is not None:
            bypasses = stands & campaign.take(kind) & bypassing.take(rows.link[part])
            found += _check(rows.take(bypasses.nonzero()[0] + part.start), contacts, None, holds=holds)
            stands &= ~bypasses
        found += _check(rows.take(stands.nonzero()[0] + part.start), contacts, limits, holds=holds)
    return found


def _check(mails: PlannedRows, contacts: Contacts, limits: "_Limits | None", *, holds: bool) -> list[Violation]:
    """Look at mails; ``limits`` None: they do not respect windows, but whom they go to counts all the same."""
    contact = mails.contact if mails.contact_ids is contacts.contact_id else contacts.index_of(mails.contact_id)
    found = _violations(mails, contact < 0, "R24 not a contact")
    if found:
        mails, contact = mails.take(np.flatnonzero(contact >= 0)), contact[contact >= 0]
    found += _violations(mails, ~contacts.schedulable.take(contact), "R24 not to be written to")
    if limits is None:
        return found
    state = contacts.state.take(contact)
    found += _violations(mails, state < 0, "R25 state unknown")
    ruled = limits.has_line.take(state).nonzero()[0]
    forbidden = _forbidden(
        limits, state.take(ruled), contact.take(ruled), mails.send_day.take(ruled), contacts, holds=holds
    )
    if not forbidden.any():
        return found
    bad, state = ruled[forbidden], state[ruled[forbidden]]
    for number in np.unique(state).tolist():
        here = np.zeros(len(mails), dtype=np.bool_)
        here[bad[state == number]] = True
        found += _violations(mails, here, f"R40 {STATE_CODES[number]} {limits.lines[number].anchor}")
    return found


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
        own, usual = config.state_buffers or {}, config.pre_exclusion_buffer_days
        # R41: the org's own entry replaces the table's whole.
        lines = LINES | {code: _own_line(rule) for code, rule in (config.state_rules or {}).items()}
        return cls._of(tuple(map(lines.get, STATE_CODES)), (*(own.get(c, usual) for c in STATE_CODES), 0))

    @classmethod
    @lru_cache(maxsize=64)
    def _of(cls, of_state: tuple[Line | None, ...], buffers: tuple[int, ...]) -> Self:
        lines = [line or Line("nothing") for line in (*of_state, None)]
        before = [line.before + buffer for line, buffer in zip(lines, buffers, strict=True)]
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
    birth = contacts.birth_day.take(contact)
    anchor = np.where(limits.by_birth.take(state), birth, contacts.effective_day.take(contact))
    missing = anchor == NO_DAY
    month, place = _month_and_place(np.where(missing, np.int32(0), anchor))
    place *= ~limits.from_month.take(state)
    since, until = _distances(month, place, day)
    inside = (since <= limits.after.take(state)) | (until <= limits.before.take(state))  # R42
    forbidden = np.where(missing, holds, inside) | limits.always.take(state)  # R44
    aged = (limits.age_limit.take(state) & (birth != NO_DAY)).nonzero()[0]
    if len(aged):
        month, place = _month_and_place(birth[aged])
        forbidden[aged] |= day[aged] >= _in_year(_january(birth[aged]) + _AGE_LIMIT * 12 + month, place)  # R45
    return np.asarray(forbidden, dtype=np.bool_)


def _distances(month: Int32, place: Int32, day: Int32) -> tuple[Int32, Int32]:
    """Return the days since the latest anniversary up to each date and until the earliest from it on (R30)."""
    month = _january(day) + month
    this_year = _in_year(month, place)
    before = _in_year(month - 12 * (this_year > day), place)
    after = _in_year(month + 12 * (this_year < day), place)
    return day - before, after - day


def _january(days: Int32) -> Int32:
    """Return the first month of each date's year."""
    month = _MONTH_OF_DAY.take(days - _MONTH_STARTS[0]).astype(np.int32)
    first: Int32 = month - month % np.int32(12)
    return first


def _month_and_place(days: Int32) -> tuple[Int32, Int32]:
    """Return the month of each date, from 0, and its place in the month, from 0."""
    month = _MONTH_OF_DAY.take(days - _MONTH_STARTS[0]).astype(np.int32)
    return month % 12, days - _MONTH_STARTS.take(month)


def _in_year(month: Int32, place: Int32) -> Int32:
    """Return the days with a place in each month; what would fall over a month's end stays on its last day."""
    days: Int32 = _MONTH_STARTS.take(month) + np.minimum(place, _MONTH_LENGTHS.take(month) - np.int32(1))
    return days


def _violations(mails: PlannedRows, bad: Bool, rule: str) -> list[Violation]:
    if not bad.any():
        return []
    wrong = mails.take(np.flatnonzero(bad))
    columns = wrong.contact_id.tolist(), wrong.kind.tolist(), wrong.send_day.astype("datetime64[D]").tolist()
    return [
        Violation(contact_id, wrong.kinds[kind].email_type, day.isoformat(), rule)
        for contact_id, kind, day in zip(*columns, strict=True)
    ]
