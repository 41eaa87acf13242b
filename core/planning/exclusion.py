"""Exclusion windows (R40-R46) and the first free day after one (R50), for any contacts and dates at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.calendar import anniversary, civil, year_of
from core.planning.columns import NO_DAY, Bool, Int8, Int16, Int32, Int64
from core.planning.config import Config
from core.planning.contacts import Contacts
from core.planning.reasons import Exclusion, exclusion_codes, has_window_end
from core.planning.rules import AGE_LIMIT_YEARS, FIRST_FREE_HORIZON_DAYS, STATE_CODES

_YEARS_AROUND: Final = (-2, -1, 0, 1, 2)
"""R43: a date is excluded if it lies in the window of any of these years around its own."""

_NO_RULE, _BIRTHDAY, _EFFECTIVE, _YEAR_ROUND = range(4)
_KIND_NUMBER: Final = {
    "none": _NO_RULE,
    "birthday_window": _BIRTHDAY,
    "effective_date_window": _EFFECTIVE,
    "year_round": _YEAR_ROUND,
}


@dataclass(frozen=True, slots=True)
class Windows:
    """The exclusion rule of every contact, ready to be asked about dates. One entry per contact in every column."""

    state: Int8
    kind: Int8
    anchor_month: Int8
    """0 where the anchor date is missing (R44)."""
    anchor_day: Int8
    lead_days: Int16
    """Days before the anniversary at which the window starts, buffer included (R42)."""
    after_days: Int16
    age_limited: Bool
    """The state's rule has age_76_plus and the birth date is known."""
    birth_day: Int32
    hold_unknown: bool
    """R44: a missing anchor excludes every date."""

    def check(self, rows: Int64, days: Int32) -> Int16:
        """Return the reason number of the first exclusion that applies to each (contact, date), 0 for none (R40)."""
        codes = np.zeros(len(rows), dtype=np.int16)
        ruled = np.flatnonzero(self.kind[rows] != _NO_RULE)
        if len(ruled):
            codes[ruled] = self._check_ruled(rows[ruled], days[ruled])[0]
        return codes

    def first_free(self, rows: Int64, days: Int32) -> Int32:
        """Return the earliest free date after each date, NO_DAY where there is none within 800 days (R50)."""
        free = np.full(len(rows), NO_DAY, dtype=np.int32)
        candidate = days + np.int32(1)
        pending = np.arange(len(rows))
        while len(pending):
            here = rows[pending]
            codes, end = self._check_any(here, candidate[pending])
            done = codes == 0
            free[pending[done]] = candidate[pending[done]]
            blocked = has_window_end(codes)
            candidate[pending[blocked]] = end[blocked] + np.int32(1)
            within = candidate[pending] <= days[pending] + FIRST_FREE_HORIZON_DAYS
            pending = pending[blocked & within]
        return free

    def _check_any(self, rows: Int64, days: Int32) -> tuple[Int16, Int32]:
        codes = np.zeros(len(rows), dtype=np.int16)
        end = np.full(len(rows), NO_DAY, dtype=np.int32)
        ruled = np.flatnonzero(self.kind[rows] != _NO_RULE)
        if len(ruled):
            codes[ruled], end[ruled] = self._check_ruled(rows[ruled], days[ruled])
        return codes, end

    def _check_ruled(self, rows: Int64, days: Int32) -> tuple[Int16, Int32]:
        """Return reason numbers and, where a window covers the date, the last day of the latest such window."""
        kind = self.kind[rows]
        end = self._covering_end(rows, days)
        windowed = (kind == _BIRTHDAY) | (kind == _EFFECTIVE)
        unknown = windowed & (self.anchor_month[rows] == 0)
        exclusion = np.where(kind == _BIRTHDAY, Exclusion.BIRTHDAY_WINDOW, Exclusion.EFFECTIVE_DATE_WINDOW)
        exclusion = np.where(end != NO_DAY, exclusion, 0)
        exclusion = np.where(unknown, Exclusion.WINDOW_DATE_UNKNOWN if self.hold_unknown else 0, exclusion)
        exclusion = np.where(self._too_old(rows, days), Exclusion.AGE_76_PLUS, exclusion)
        exclusion = np.where(kind == _YEAR_ROUND, Exclusion.YEAR_ROUND, exclusion)
        return exclusion_codes(exclusion, self.state[rows]), end

    def _covering_end(self, rows: Int64, days: Int32) -> Int32:
        month = self.anchor_month[rows].astype(np.int32)
        anchored = np.flatnonzero(month != 0)
        end = np.full(len(rows), NO_DAY, dtype=np.int32)
        if not len(anchored):
            return end
        contact = rows[anchored]
        month, day = month[anchored], self.anchor_day[contact].astype(np.int32)
        lead, after = self.lead_days[contact].astype(np.int32), self.after_days[contact].astype(np.int32)
        date = days[anchored]
        year = year_of(date)
        latest = np.full(len(anchored), NO_DAY, dtype=np.int32)
        for offset in _YEARS_AROUND:
            anchor = anniversary(month, day, year + np.int32(offset))
            inside = (anchor - lead <= date) & (date <= anchor + after)
            latest = np.where(inside, np.maximum(latest, anchor + after), latest)
        end[anchored] = latest
        return end

    def _too_old(self, rows: Int64, days: Int32) -> Bool:
        too_old = np.zeros(len(rows), dtype=np.bool_)
        limited = np.flatnonzero(self.age_limited[rows])
        if len(limited):
            year, month, day = civil(self.birth_day[rows[limited]])
            date = days[limited]
            age = year_of(date) - year - (date < anniversary(month, day, year_of(date)))  # R45
            too_old[limited] = age >= AGE_LIMIT_YEARS
        return too_old


def windows_of(contacts: Contacts, config: Config) -> Windows:
    """Bind every contact to its state's rule and anchor (R41, R42)."""
    rules = [config.rule(code) for code in STATE_CODES]
    buffers = [config.buffer_days(code) for code in STATE_CODES]
    # One entry more than there are states: UNKNOWN_STATE is -1 and finds the last one, no rule.
    kinds = np.array([*(_KIND_NUMBER[r.kind] for r in rules), _NO_RULE], dtype=np.int8)
    lead = np.array([*(r.days_before + b for r, b in zip(rules, buffers, strict=True)), 0], dtype=np.int16)
    after = np.array([*(r.days_after for r in rules), 0], dtype=np.int16)
    month_start = np.array([*(r.use_month_start for r in rules), False], dtype=np.bool_)
    aged = np.array([*(r.age_76_plus for r in rules), False], dtype=np.bool_)

    kind = kinds[contacts.state]
    anchor_date = np.where(kind == _BIRTHDAY, contacts.birth_day, contacts.effective_day)
    has_anchor = ((kind == _BIRTHDAY) | (kind == _EFFECTIVE)) & (anchor_date != NO_DAY)
    _, month, day = civil(np.where(has_anchor, anchor_date, 0).astype(np.int32))
    return Windows(
        state=contacts.state,
        kind=kind,
        anchor_month=np.where(has_anchor, month, 0).astype(np.int8),
        anchor_day=np.where(month_start[contacts.state], 1, day).astype(np.int8),
        lead_days=lead[contacts.state],
        after_days=after[contacts.state],
        age_limited=aged[contacts.state] & (contacts.birth_day != NO_DAY),
        birth_day=contacts.birth_day,
        hold_unknown=config.missing_window_date_policy == "hold",
    )
