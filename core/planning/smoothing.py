"""Effective-date smoothing (R61, R62) and late items (R63): from ideal dates to target dates."""

from dataclasses import replace

import numpy as np

from core.planning.calendar import year_of
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, Int32, Int64
from core.planning.hashing import CATCH_UP, SMOOTHING, spread_hash
from core.planning.items import Items
from core.planning.rules import BIRTHDAY, EFFECTIVE_DATE, SizeProfile
from core.planning.schedule import ScheduleRows


def cluster_limit(profile: SizeProfile, cap: int) -> int:
    """Return how many effective-date mails a day may have before its cluster is spread (R61)."""
    return max(1, min(profile.ed_daily_soft_limit, (3 * cap) // 10))


def smooth(frame: Frame, items: Items, sent: ScheduleRows, profile: SizeProfile, cap: int) -> Items:
    """Spread effective-date clusters; ``sent`` are the locked effective_date rows in a counting status (R61, R62)."""
    rows = np.flatnonzero(items.standing & (items.type_code == EFFECTIVE_DATE))
    if not len(rows):
        return items
    ideal = items.ideal[rows]
    dated = sent.event_day[sent.event_day != NO_DAY]
    locked_ideal = dated - np.int32(frame.config.effective_date_days_before)
    days, inverse, sizes = np.unique(ideal, return_inverse=True, return_counts=True)
    sizes = sizes + _count_on(locked_ideal, days)
    spread = np.flatnonzero((sizes > cluster_limit(profile, cap))[inverse])
    rows, ideal = rows[spread], ideal[spread]
    window = profile.ed_smoothing_window_days
    hashed = spread_hash(
        frame.contacts.contact_id[items.contact[rows]], SMOOTHING, EFFECTIVE_DATE, year_of(items.event[rows])
    )
    offset = (hashed % np.uint64(window)).astype(np.int32) - np.int32(window // 2)
    moved = ideal + offset
    fits = (moved <= items.deadline[rows]) & (frame.windows.check(items.contact[rows], moved) == 0)
    target = items.target.copy()
    target[rows[fits]] = moved[fits]
    return items.with_target(target)


def _count_on(days: Int32, wanted: Int32) -> Int64:
    ordered = np.sort(days)
    return np.searchsorted(ordered, wanted, side="right") - np.searchsorted(ordered, wanted, side="left")


def catch_up(frame: Frame, items: Items) -> Items:
    """Give items whose target has passed a new one, and look at exclusion again there (R63)."""
    rows = np.flatnonzero(items.standing & (items.target < frame.today))
    if not len(rows):
        return items
    target = items.target.copy()
    target[rows] = frame.today
    for type_code in (BIRTHDAY, EFFECTIVE_DATE):
        of_type = rows[items.type_code[rows] == type_code]
        target[of_type] = _slots(frame, items, of_type, type_code)
    reason, checked = items.reason.copy(), items.checked.copy()
    bound = rows[items.respects_windows[rows]]
    reason[bound] = frame.windows.check(items.contact[bound], target[bound])
    checked[bound] = target[bound]
    return replace(items, target=target, checked=checked, reason=reason)


def _slots(frame: Frame, items: Items, rows: Int64, type_code: int) -> Int32:
    """Return slots on an absolute calendar, so that each day gives the same date until it comes (R63)."""
    spread, today = frame.config.catch_up_spread_days, frame.today
    contact_id = frame.contacts.contact_id[items.contact[rows]]
    hashed = spread_hash(contact_id, CATCH_UP, type_code, year_of(items.event[rows])) % np.uint64(spread)
    slot = today + (hashed.astype(np.int64) - today % spread) % spread
    return np.maximum(today, np.minimum(slot, items.deadline[rows])).astype(np.int32)
