"""Exclusion windows (R40-R46) and the first free day after one (R50), for any contacts and dates at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.almanac import MONTH, following_anniversary, in_year, latest_anniversary, month_day_of, year_of
from core.planning.columns import NO_DAY, Bool, Int8, Int16, Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.contacts import Contacts
from core.planning.reasons import Exclusion, exclusion_codes, has_window_end
from core.planning.rules import AGE_LIMIT_YEARS, FIRST_FREE_HORIZON_DAYS, STATE_CODES

_NO_RULE, _BIRTHDAY, _EFFECTIVE, _YEAR_ROUND = range(4)
_KIND_NUMBER: Final = {
    "none": _NO_RULE,
    "birthday_window": _BIRTHDAY,
    "effective_date_window": _EFFECTIVE,
    "year_round": _YEAR_ROUND,
}


_FAR: Final = 2**30
"""A day after all others."""


@dataclass(frozen=True, slots=True)
class StateTable:
    """The rules by state number, with one entry more for UNKNOWN_STATE: it is -1 and finds the last one, no rule."""

    kind: Int8
    lead_days: Int32
    """Days before the anniversary at which the window starts, buffer included (R42)."""
    after_days: Int32
    from_month_start: Bool
    age_76_plus: Bool

    @classmethod
    def of(cls, config: Config) -> "StateTable":
        """Tabulate what a configuration says of every state (R41, R42)."""
        rules = [config.rule(code) for code in STATE_CODES]
        buffers = [config.buffer_days(code) for code in STATE_CODES]
        lead = [r.days_before + b for r, b in zip(rules, buffers, strict=True)]
        return cls(
            kind=np.array([*(_KIND_NUMBER[r.kind] for r in rules), _NO_RULE], dtype=np.int8),
            lead_days=np.array([*lead, 0], dtype=np.int32),
            after_days=np.array([*(r.days_after for r in rules), 0], dtype=np.int32),
            from_month_start=np.array([*(r.use_month_start for r in rules), False], dtype=np.bool_),
            age_76_plus=np.array([*(r.age_76_plus for r in rules), False], dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True)
class Windows:
    """The exclusion rule of every contact, ready to be asked about dates."""

    table: StateTable
    state: Int8
    """By contact."""
    anchor: Int16
    """By contact: month and day (almanac) of the anniversaries that windows lie around, 0 where there are none (R44)."""
    birth_day: Int32
    """By contact."""
    hold_unknown: bool
    """R44: a missing anchor excludes every date."""

    def check(self, rows: Int64 | Int32, days: Int32) -> Int16:
        """Return the reason number of the first exclusion that applies to each (contact, date), 0 for none (R40)."""
        codes = np.zeros(len(rows), dtype=np.int16)
        for part in parts_of(len(rows)):
            codes[part] = self._check(rows[part], days[part])[0]
        return codes

    def first_free(self, rows: Int64 | Int32, days: Int32) -> Int32:
        """Return the earliest free date after each date, NO_DAY where there is none within 800 days (R50)."""
        free = np.full(len(rows), NO_DAY, dtype=np.int32)
        for part in parts_of(len(rows)):
            free[part] = self._first_free(rows[part], days[part])
        return free

    def free_until(self, rows: Int64 | Int32, days: Int32) -> Int32:
        """Return the last day of the free days that begin with each (free) date: the eve of the next exclusion."""
        free = np.full(len(rows), _FAR, dtype=np.int32)
        for part in parts_of(len(rows)):
            ruled = np.flatnonzero(self.table.kind[self.state[rows[part]]] != _NO_RULE)
            free[part][ruled] = self._eve(rows[part][ruled], days[part][ruled])
        return free

    def _eve(self, rows: Int64 | Int32, days: Int32) -> Int32:
        state, anchor = self.state[rows], self.anchor[rows]
        lead = self.table.lead_days[state]
        eve = np.where(anchor != 0, following_anniversary(anchor, days + lead) - lead - np.int32(1), np.int32(_FAR))
        limited = np.flatnonzero(self.table.age_76_plus[state] & (self.birth_day[rows] != NO_DAY))
        birth = self.birth_day[rows[limited]]
        too_old = in_year(month_day_of(birth), year_of(birth) + np.int32(AGE_LIMIT_YEARS))
        eve[limited] = np.minimum(eve[limited], too_old - np.int32(1))
        return eve

    def _first_free(self, rows: Int64 | Int32, days: Int32) -> Int32:
        free = np.full(len(rows), NO_DAY, dtype=np.int32)
        candidate = days + np.int32(1)
        pending = np.arange(len(rows))
        while len(pending):
            codes, end = self._check(rows[pending], candidate[pending])
            done = codes == 0
            free[pending[done]] = candidate[pending[done]]
            blocked = has_window_end(codes)
            pending = pending[blocked]
            candidate[pending] = end[blocked] + np.int32(1)
            pending = pending[candidate[pending] <= days[pending] + np.int32(FIRST_FREE_HORIZON_DAYS)]
        return free

    def _check(self, rows: Int64 | Int32, days: Int32) -> tuple[Int16, Int32]:
        codes = np.zeros(len(rows), dtype=np.int16)
        end = np.full(len(rows), NO_DAY, dtype=np.int32)
        ruled = np.flatnonzero(self.table.kind[self.state[rows]] != _NO_RULE)
        if len(ruled):
            codes[ruled], end[ruled] = self._check_ruled(rows[ruled], days[ruled])
        return codes, end

    def _check_ruled(self, rows: Int64 | Int32, days: Int32) -> tuple[Int16, Int32]:
        """Return reason numbers and, where a window covers the date, the last day of the latest such window."""
        state = self.state[rows]
        kind = self.table.kind[state]
        end = self._covering_end(rows, state, days)
        windowed = (kind == _BIRTHDAY) | (kind == _EFFECTIVE)
        exclusion = np.where(
            kind == _BIRTHDAY, np.int16(Exclusion.BIRTHDAY_WINDOW), np.int16(Exclusion.EFFECTIVE_DATE_WINDOW)
        )
        exclusion[end == NO_DAY] = 0
        if self.hold_unknown:
            exclusion[windowed & (self.anchor[rows] == 0)] = Exclusion.WINDOW_DATE_UNKNOWN
        exclusion[self._too_old(rows, state, days)] = Exclusion.AGE_76_PLUS
        exclusion[kind == _YEAR_ROUND] = Exclusion.YEAR_ROUND
        return exclusion_codes(exclusion, state), end

    def _covering_end(self, rows: Int64 | Int32, state: Int8, days: Int32) -> Int32:
        """Return the end of the latest window that covers each date, NO_DAY where none does (R42, R43).

        Of the windows that have begun by a date the last one ends last: if that one does not cover it, none does. It lies
        around the last anniversary up to ``lead_days`` after the date, which is of a year from one before the date's own
        to two after it, since a lead has at most 730 days.
        """
        anchor = self.anchor[rows]
        end = latest_anniversary(anchor, days + self.table.lead_days[state]) + self.table.after_days[state]
        end[(end < days) | (anchor == 0)] = NO_DAY
        return end

    def _too_old(self, rows: Int64 | Int32, state: Int8, days: Int32) -> Bool:
        too_old: Bool = self.table.age_76_plus[state] & (self.birth_day[rows] != NO_DAY)
        limited = np.flatnonzero(too_old)
        if len(limited):
            birth, date = self.birth_day[rows[limited]], days[limited]
            year = year_of(date)
            age = year - year_of(birth) - (date < in_year(month_day_of(birth), year))  # R45
            too_old[limited] = age >= AGE_LIMIT_YEARS
        return too_old


def windows_of(contacts: Contacts, config: Config) -> Windows:
    """Bind every contact to its state's rule and anchor (R41, R42)."""
    table = StateTable.of(config)
    anchor = np.zeros(len(contacts), dtype=np.int16)
    for part in parts_of(len(contacts)):
        state = contacts.state[part]
        for kind, dates in ((_BIRTHDAY, contacts.birth_day), (_EFFECTIVE, contacts.effective_day)):
            rows = np.flatnonzero(table.kind[state] == kind)
            found = month_day_of(dates[part][rows])
            to_first = table.from_month_start[state[rows]] & (found != 0)
            found[to_first] -= found[to_first] % MONTH - 1
            anchor[part][rows] = found
    return Windows(
        table=table,
        state=contacts.state,
        anchor=anchor,
        birth_day=contacts.birth_day,
        hold_unknown=config.missing_window_date_policy == "hold",
    )
