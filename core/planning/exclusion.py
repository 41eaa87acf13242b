"""Exclusion windows (R40-R46) and the first free day after one (R50), for any contacts and dates at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from core.planning.almanac import MONTH, following_anniversary, in_year, latest_anniversary, month_day_of, year_of
from core.planning.columns import NO_DAY, Bool, Int8, Int16, Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.contacts import Contacts
from core.planning.reasons import Exclusion, exclusion_code, has_window_end
from core.planning.rules import AGE_LIMIT_YEARS, FIRST_FREE_HORIZON_DAYS, NO_RULE, STATE_CODES, StateRule

_FAR: Final = 2**30
"""A day after all others."""
_COVERING: Final = {
    "birthday_window": Exclusion.BIRTHDAY_WINDOW,
    "effective_date_window": Exclusion.EFFECTIVE_DATE_WINDOW,
}
"""The exclusion by the windows of a kind of rule."""


@dataclass(frozen=True, slots=True)
class StateTable:
    """The rules by state number, with one entry more for UNKNOWN_STATE: it is -1 and finds the last one, no rule."""

    by_birth: Bool
    """Windows lie around the birthday."""
    by_effective_date: Bool
    lead_days: Int32
    """Days before the anniversary at which the window starts, buffer included (R42)."""
    after_days: Int32
    from_month_start: Bool
    year_round: Int16
    """Reason number, 0 where the state is not barred the whole year."""
    unknown: Int16
    """Reason number for people without the date that windows lie around, 0 where that is nothing (R44)."""
    covered: Int16
    """Reason number for a date in a window."""
    too_old: Int16
    """Reason number for people of 76 or more, 0 where age is nothing (R45)."""
    is_aged: bool
    """Whether age is something in any state."""

    @classmethod
    def of(cls, config: Config) -> "StateTable":
        """Tabulate what a configuration says of every state (R41, R42, R44)."""
        rules, buffers, usual = config.rules, config.state_buffers or {}, config.pre_exclusion_buffer_days
        return _state_table(
            (*(rules.get(code, NO_RULE) for code in STATE_CODES), NO_RULE),
            (*(buffers.get(code, usual) for code in STATE_CODES), 0),
            holds=config.missing_window_date_policy == "hold",
        )


@lru_cache(maxsize=64)
def _state_table(rules: tuple[StateRule, ...], buffers: tuple[int, ...], *, holds: bool) -> StateTable:
    windowed = [_COVERING.get(rule.kind) for rule in rules]
    year_round = [Exclusion.YEAR_ROUND if rule.kind == "year_round" else None for rule in rules]
    aged = [Exclusion.AGE_76_PLUS if rule.age_76_plus and rule.kind != "year_round" else None for rule in rules]
    return StateTable(
        by_birth=np.array([rule.kind == "birthday_window" for rule in rules], dtype=np.bool_),
        by_effective_date=np.array([rule.kind == "effective_date_window" for rule in rules], dtype=np.bool_),
        lead_days=np.array(
            [rule.days_before + days for rule, days in zip(rules, buffers, strict=True)], dtype=np.int32
        ),
        after_days=np.array([rule.days_after for rule in rules], dtype=np.int32),
        from_month_start=np.array([rule.use_month_start for rule in rules], dtype=np.bool_),
        year_round=_codes(year_round),
        unknown=_codes([Exclusion.WINDOW_DATE_UNKNOWN if kind is not None and holds else None for kind in windowed]),
        covered=_codes(windowed),
        too_old=_codes(aged),
        is_aged=any(aged),
    )


def _codes(kinds: Sequence[Exclusion | None]) -> Int16:
    """Return the reason number of each state's exclusion, 0 where there is none."""
    return np.array([0 if kind is None else exclusion_code(kind, n) for n, kind in enumerate(kinds)], dtype=np.int16)


@dataclass(frozen=True, slots=True)
class Windows:
    """The exclusion rule of every contact, ready to be asked about dates."""

    table: StateTable
    state: Int8
    """By contact."""
    anchor: Int16
    """By contact: month and day (almanac) of the anniversaries that windows lie around. Where there are none: 0 or, of
    people who are barred on every day (R40, R44), the negative reason number."""
    birth_day: Int32
    """By contact."""

    def check(self, rows: Int64 | Int32, days: Int32) -> Int16:
        """Return the reason number of the first exclusion that applies to each (contact, date), 0 for none (R40)."""
        codes = np.empty(len(rows), dtype=np.int16)
        for part in parts_of(len(rows)):
            codes[part] = self._check(rows[part], days[part])[0]
        return codes

    def first_free(self, rows: Int64 | Int32, days: Int32) -> Int32:
        """Return the earliest free date after each date, NO_DAY where there is none within 800 days (R50)."""
        free = np.empty(len(rows), dtype=np.int32)
        for part in parts_of(len(rows)):
            free[part] = self._first_free(rows[part], days[part])
        return free

    def free_until(self, rows: Int64 | Int32, days: Int32) -> Int32:
        """Return the last day of the free days that begin with each (free) date: the eve of the next exclusion."""
        free = np.empty(len(rows), dtype=np.int32)
        for part in parts_of(len(rows)):
            free[part] = self._eve(rows[part], days[part])
        return free

    def _eve(self, rows: Int64 | Int32, days: Int32) -> Int32:
        eve = np.full(len(rows), _FAR, dtype=np.int32)
        anchor = self.anchor.take(rows)
        ruled = (anchor > 0).nonzero()[0]
        if len(ruled):
            lead = self.table.lead_days.take(self.state.take(rows.take(ruled)))
            next_anniversary = following_anniversary(anchor.take(ruled), days.take(ruled) + lead)
            eve[ruled] = next_anniversary - lead - np.int32(1)
        if self.table.is_aged:
            limited = self._aged(rows)
            birth = self.birth_day.take(rows.take(limited))
            too_old = in_year(month_day_of(birth), year_of(birth) + np.int32(AGE_LIMIT_YEARS))
            eve[limited] = np.minimum(eve[limited], too_old - np.int32(1))
        return eve

    def _first_free(self, rows: Int64 | Int32, days: Int32) -> Int32:
        free = np.full(len(rows), NO_DAY, dtype=np.int32)
        candidate = days + np.int32(1)
        pending = np.arange(len(rows))
        while len(pending):
            codes, covered, end = self._check(rows.take(pending), candidate.take(pending))
            done = pending[codes == 0]
            free[done] = candidate.take(done)
            blocked = has_window_end(codes.take(covered)).nonzero()[0]
            pending = pending.take(covered.take(blocked))
            following = end.take(blocked) + np.int32(1)
            candidate[pending] = following
            pending = pending[following <= days.take(pending) + np.int32(FIRST_FREE_HORIZON_DAYS)]
        return free

    def _check(self, rows: Int64 | Int32, days: Int32) -> tuple[Int16, Int64, Int32]:
        """Return reason numbers; the places of contacts with windows, and of each the last day of the latest one begun."""
        anchor = self.anchor.take(rows)
        codes = -np.minimum(anchor, np.int16(0))
        ruled = (anchor > 0).nonzero()[0]
        codes[ruled], end = self._covering(rows.take(ruled), anchor.take(ruled), days.take(ruled))
        if self.table.is_aged:
            limited = self._aged(rows)
            birth, date = self.birth_day.take(rows.take(limited)), days.take(limited)
            year = year_of(date)
            age = year - year_of(birth) - (date < in_year(month_day_of(birth), year))  # R45
            too_old = limited[age >= AGE_LIMIT_YEARS]
            codes[too_old] = self.table.too_old.take(self.state.take(rows.take(too_old)))
        return codes, ruled, end

    def _covering(self, rows: Int64 | Int32, anchor: Int16, days: Int32) -> tuple[Int16, Int32]:
        """Return reason numbers and the end of the latest window that has begun by each date (R42, R43).

        Of the windows that have begun by a date the last one ends last: if that one does not cover it, none does. It lies
        around the last anniversary up to ``lead_days`` after the date, which is of a year from one before the date's own
        to two after it, since a lead has at most 730 days.
        """
        state = self.state.take(rows)
        end = latest_anniversary(anchor, days + self.table.lead_days.take(state))
        end += self.table.after_days.take(state)
        return self.table.covered.take(state) * (end >= days), end

    def _aged(self, rows: Int64 | Int32) -> Int64:
        """Return those of the rows whose state asks for the age of somebody whose birth date is known."""
        asks = (self.table.too_old.take(self.state.take(rows)) != 0).nonzero()[0]
        limited: Int64 = asks[self.birth_day.take(rows.take(asks)) != NO_DAY]
        return limited


def windows_of(contacts: Contacts, config: Config) -> Windows:
    """Bind every contact to its state's rule and anchor (R41, R42, R44)."""
    table = StateTable.of(config)
    anchor = np.empty(len(contacts), dtype=np.int16)
    for part in parts_of(len(contacts)):
        states, here = contacts.state[part], anchor[part]
        np.negative(table.year_round.take(states), out=here)
        for windowed, dates in (
            (table.by_birth, contacts.birth_day[part]),
            (table.by_effective_date, contacts.effective_day[part]),
        ):
            rows = windowed.take(states).nonzero()[0]
            state, found = states.take(rows), month_day_of(dates.take(rows))
            to_first = found % MONTH - np.int16(1)
            to_first *= table.from_month_start.take(state)
            here[rows] = np.where(found != 0, found - to_first, -table.unknown.take(state))
    return Windows(table, contacts.state, anchor, contacts.birth_day)
