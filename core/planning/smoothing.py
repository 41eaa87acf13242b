"""Effective-date smoothing (R61, R62) and late items (R63): from ideal dates to target dates."""

from dataclasses import replace

import numpy as np

from core.planning.almanac import year_of
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, Int32, Int64
from core.planning.config import Config
from core.planning.hashing import CATCH_UP, SMOOTHING, spread_hash
from core.planning.items import Items
from core.planning.rules import BIRTHDAY, COUNTING_STATUSES, EFFECTIVE_DATE, SizeProfile
from core.planning.schedule import Schedule, ScheduleRows


def cluster_limit(profile: SizeProfile, cap: int) -> int:
    """Return how many effective-date mails a day may have before its cluster is spread (R61)."""
    return max(1, min(profile.ed_daily_soft_limit, (3 * cap) // 10))


def sent_effective_dates(schedule: Schedule) -> ScheduleRows:
    """Return the locked effective_date rows in a counting status, which are part of the clusters (R61)."""
    return schedule.locked_where(lambda k: k.email_type == "effective_date" and k.status in COUNTING_STATUSES)


def smooth(frame: Frame, items: Items, sent: ScheduleRows, profile: SizeProfile, cap: int) -> Items:
    """Spread effective-date clusters; ``sent`` are the locked effective_date rows in a counting status (R61, R62)."""
    rows = clustered(items)
    if not len(rows):
        return items
    ideal = items.ideal[rows]
    days, inverse, sizes = np.unique(ideal, return_inverse=True, return_counts=True)
    sizes = sizes + sent_on(sent, days, frame.config)
    spread = np.flatnonzero((sizes > cluster_limit(profile, cap))[inverse])
    rows, ideal = rows[spread], ideal[spread]
    contact_id = frame.contacts.contact_id[items.contact[rows]]
    moved = ideal + smoothing_offset(contact_id, items.event[rows], profile.ed_smoothing_window_days)
    fits = (moved <= items.deadline[rows]) & (frame.windows.check(items.contact[rows], moved) == 0)
    target = items.target.copy()
    target[rows[fits]] = moved[fits]
    return items.with_target(target)


def clustered(items: Items) -> Int64:
    """Return the items that make up clusters (R61)."""
    return np.flatnonzero(items.standing & (items.type_code == EFFECTIVE_DATE))


def smoothing_offset(contact_id: Int64, event: Int32, window_days: int) -> Int32:
    """Return by how many days each mail of a cluster that is spread leaves its ideal date (R62)."""
    hashed = spread_hash(contact_id, SMOOTHING, EFFECTIVE_DATE, year_of(event))
    return (hashed % np.uint64(window_days)).astype(np.int32) - np.int32(window_days // 2)


def sent_on(sent: ScheduleRows, ideal: Int32, config: Config) -> Int64:
    """Return how many locked mails belong to the cluster of each ideal date (R61)."""
    dated = sent.event_day[sent.event_day != NO_DAY]
    ordered = np.sort(dated - np.int32(config.effective_date_days_before))
    return np.searchsorted(ordered, ideal, side="right") - np.searchsorted(ordered, ideal, side="left")


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
