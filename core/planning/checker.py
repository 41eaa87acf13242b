"""The independent checker: before a commit, every mail that respects windows is looked at again by other means.

It shares no function with ``exclusion.py`` and states the table of states a second time, on purpose: one wrong number, or
one wrong line of calendar arithmetic, in either of the two stops the run instead of sending a mail. Where the planner asks
"does the date lie in the window of any of five years?", the checker measures the distance from the date to the anniversary
before it and to the one after it. Double-entry bookkeeping, not duplication: tests/unit/test_checker.py holds the two tables
to each other and shows that a shift by one day in either is caught.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.planning.columns import NO_DAY, NULL_ID, Bool, Int32, Int64
from core.planning.config import Config
from core.planning.contacts import Contacts
from core.planning.rows import PlannedRows
from core.planning.rules import CAMPAIGN_PREFIX, STATE_CODES, StateRule

Dates = NDArray[np.datetime64]


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
    """Return every pre-scheduled row that respects windows and yet lies on a forbidden date.

    ``bypass_instance_ids`` are the campaign instances whose mail does not respect windows (R53); only campaign mail can
    be theirs: follow-ups of such campaigns respect windows (R84).
    """
    judged = np.flatnonzero(_respects(rows, bypass_instance_ids))
    contact = contacts.index_of(rows.contact_id[judged])
    day = rows.send_day[judged]
    found: list[Violation] = []
    found += _violations(rows, judged[contact < 0], "R24 not a contact")
    known = contact >= 0
    judged, contact, day = judged[known], contact[known], day[known]
    found += _violations(rows, judged[~contacts.schedulable[contact]], "R24 not to be written to")
    found += _violations(rows, judged[contacts.state[contact] < 0], "R25 state unknown")
    for number, code in enumerate(STATE_CODES):
        line = _line(config, code)
        here = np.flatnonzero(contacts.state[contact] == number)
        if line is None or not len(here):
            continue
        forbidden = _forbidden(line, config, code, contacts, contact[here], day[here])
        found += _violations(rows, judged[here[forbidden]], f"R40 {code} {line.anchor}")
    return found


def _respects(rows: PlannedRows, bypass_instance_ids: Collection[int]) -> Bool:
    standing = np.array([k.status == "pre-scheduled" for k in rows.kinds] or [False], dtype=np.bool_)[rows.kind]
    campaign = np.array([k.email_type.startswith(CAMPAIGN_PREFIX) for k in rows.kinds] or [False], dtype=np.bool_)
    bypass = campaign[rows.kind] & np.isin(rows.instance_id, list(bypass_instance_ids) or [NULL_ID])
    return np.asarray(standing & ~bypass, dtype=np.bool_)


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


def _forbidden(line: Line, config: Config, code: str, contacts: Contacts, contact: Int64, day: Int32) -> Bool:
    if line.anchor == "always":
        return np.ones(len(contact), dtype=np.bool_)
    anchor_day = (contacts.birth_day if line.anchor.startswith("birth") else contacts.effective_day)[contact]
    missing = anchor_day == NO_DAY
    anchor = np.where(missing, 0, anchor_day).astype("datetime64[D]")
    if line.anchor.endswith("month"):
        anchor = anchor.astype("datetime64[M]").astype("datetime64[D]")
    buffer = (config.state_buffers or {}).get(code, config.pre_exclusion_buffer_days)
    date = day.astype("datetime64[D]")
    since, until = _distances(anchor, date)
    inside = (since <= line.after) | (until <= line.before + buffer)  # R42
    forbidden = np.where(missing, config.missing_window_date_policy == "hold", inside)  # R44
    if line.age_limit:
        birth = contacts.birth_day[contact]
        limit = _in_year(birth.astype("datetime64[D]"), _year(birth.astype("datetime64[D]")) + _AGE_LIMIT)
        forbidden = forbidden | ((birth != NO_DAY) & (date >= limit))  # R45
    return np.asarray(forbidden, dtype=np.bool_)


def _distances(anchor: Dates, date: Dates) -> tuple[Int64, Int64]:
    """Return the days since the latest anniversary up to each date and until the earliest from it on (R30)."""
    this_year = _in_year(anchor, _year(date))
    later = this_year > date
    before = np.where(later, _in_year(anchor, _year(date) - 1), this_year)
    after = np.where(this_year < date, _in_year(anchor, _year(date) + 1), this_year)
    return (date - before).astype(np.int64), (after - date).astype(np.int64)


def _year(date: Dates) -> Int64:
    return date.astype("datetime64[Y]").astype(np.int64) + 1970


def _in_year(anchor: Dates, year: Int64) -> Dates:
    """Move each date to another year; what would fall over the end of its month stays on the month's last day."""
    month_of_anchor = anchor.astype("datetime64[M]")
    day_in_month = (anchor - month_of_anchor.astype("datetime64[D]")).astype(np.int64)
    month = ((year - 1970) * 12 + month_of_anchor.astype(np.int64) % 12).astype("datetime64[M]")
    length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
    return np.asarray(month.astype("datetime64[D]") + np.minimum(day_in_month, length - 1), dtype="datetime64[D]")


def _violations(rows: PlannedRows, bad: Int64, rule: str) -> list[Violation]:
    return [
        Violation(
            contact_id=int(rows.contact_id[row]),
            email_type=rows.kinds[rows.kind[row]].email_type,
            send_date=str(rows.send_day[row].astype("datetime64[D]")),
            rule=rule,
        )
        for row in bad.tolist()
    ]
