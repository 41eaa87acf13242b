"""Effective-date smoothing (R61, R62) and late items (R63): from ideal dates to target dates."""

import numpy as np

from core.planning.almanac import year_of
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.hashing import CATCH_UP, SMOOTHING, spread_hash
from core.planning.items import Items
from core.planning.rules import BIRTHDAY, COUNTING_STATUSES, EFFECTIVE_DATE, SizeProfile
from core.planning.schedule import Schedule
from core.planning.schedule_rows import ScheduleRows


def cluster_limit(profile: SizeProfile, cap: int) -> int:
    """Return how many effective-date mails a day may have before its cluster is spread (R61)."""
    return max(1, min(profile.ed_daily_soft_limit, (3 * cap) // 10))


def sent_effective_dates(schedule: Schedule) -> ScheduleRows:
    """Return the locked effective_date rows in a counting status, which are part of the clusters (R61)."""
    return schedule.locked_where(lambda k: k.email_type == "effective_date" and k.status in COUNTING_STATUSES)


def smooth(frame: Frame, items: Items, sent: ScheduleRows, profile: SizeProfile, cap: int) -> Items:
    """Spread effective-date clusters; ``sent`` are the locked effective_date rows in a counting status (R61, R62)."""
    first = int(items.ideal.min(initial=0))
    sizes = np.zeros(int(items.ideal.max(initial=first)) - first + 1, dtype=np.int64)
    for part in parts_of(len(items)):
        here = items.take(part)
        counts = np.bincount(here.ideal[clustered(here)] - np.int32(first))
        sizes[: len(counts)] += counts
    days = np.arange(len(sizes), dtype=np.int32) + np.int32(first)
    crowded = sizes + sent_on(sent, days, frame.config) > cluster_limit(profile, cap)
    for part in parts_of(len(items)):
        here = items.take(part)
        rows = clustered(here)
        rows = rows[crowded[here.ideal[rows] - np.int32(first)]]
        _spread(frame, items, rows + part.start, profile.ed_smoothing_window_days)
    return items


def _spread(frame: Frame, items: Items, rows: Int64, window_days: int) -> None:
    part = items.take(rows)
    moved = part.ideal + smoothing_offset(frame.contacts.contact_id[part.contact], part.event, window_days)
    fits = (moved <= part.deadline) & (frame.windows.check(part.contact, moved) == 0)
    items.target[rows[fits]] = moved[fits]


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
    late = items.take(rows)
    target = np.full(len(rows), frame.today, dtype=np.int32)
    for type_code in (BIRTHDAY, EFFECTIVE_DATE):
        of_type = np.flatnonzero(late.type_code == type_code)
        target[of_type] = _slots(frame, late.take(of_type), type_code)
    reason = frame.windows.check(late.contact, target)
    items.target[rows] = target
    items.reason[rows] = np.where(late.respects_windows, reason, 0)
    return items


def _slots(frame: Frame, items: Items, type_code: int) -> Int32:
    """Return slots on an absolute calendar, so that each day gives the same date until it comes (R63)."""
    spread, today = frame.config.catch_up_spread_days, frame.today
    contact_id = frame.contacts.contact_id[items.contact]
    hashed = spread_hash(contact_id, CATCH_UP, type_code, year_of(items.event)) % np.uint64(spread)
    slot = today + (hashed.astype(np.int64) - today % spread) % spread
    return np.maximum(today, np.minimum(slot, items.deadline)).astype(np.int32)
