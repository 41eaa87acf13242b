"""Effective-date smoothing (R61, R62) and late items (R63): from ideal dates to target dates."""

from functools import reduce

import numpy as np

from core.planning.almanac import year_of
from core.planning.candidates import Frame
from core.planning.columns import Bool, Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.day_counts import DayCounts
from core.planning.hashing import CATCH_UP, SMOOTHING, spread_hash
from core.planning.items import Items
from core.planning.kinds import KindTable
from core.planning.rules import BIRTHDAY, EFFECTIVE_DATE, SizeProfile
from core.planning.schedule import Schedule


def cluster_limit(profile: SizeProfile, cap: int) -> int:
    """Return how many effective-date mails a day may have before its cluster is spread (R61)."""
    return max(1, min(profile.ed_daily_soft_limit, (3 * cap) // 10))


def sent_effective_dates(schedule: Schedule, kinds: KindTable, first_event: int) -> Int32:
    """Return the events of the locked effective_date rows in a counting status, which are part of the clusters (R61).

    No candidate, and so no cluster, is about an event before today: ``first_event`` passes over what is older.
    """
    locked, counts = schedule.locked, kinds.counting & (kinds.type_code == EFFECTIVE_DATE)
    found = [np.zeros(0, dtype=np.int32)]
    for part in parts_of(len(locked)):
        event = locked.event_days(part)
        late = (event >= first_event).nonzero()[0]
        found.append(event.take(late[counts.take(locked.kinds_of(part).take(late))]))
    return np.concatenate(found)


def smooth(frame: Frame, items: Items, sent_events: Int32, profile: SizeProfile, cap: int) -> Items:
    """Spread effective-date clusters; ``sent_events`` are of locked effective_date rows in a counting status (R61, R62)."""
    sizes = DayCounts.of(items.ideal, lambda part: _in_cluster(items, part))
    days = np.arange(len(sizes.counts), dtype=np.int32) + np.int32(sizes.first)
    crowded = sizes.counts + sent_on(sent_events, days, frame.config) > cluster_limit(profile, cap)
    if not bool((crowded & (sizes.counts > 0)).any()):
        return items
    for part in parts_of(len(items)):
        rows = _in_cluster(items, part).nonzero()[0]
        rows = rows[crowded.take(items.ideal[part].take(rows) - np.int32(sizes.first))]
        if len(rows):
            _spread(frame, items, rows + part.start, profile.ed_smoothing_window_days)
    return items


def _spread(frame: Frame, items: Items, rows: Int64, window_days: int) -> None:
    part = items.take(rows)
    moved = part.ideal + smoothing_offset(frame.contacts.contact_id.take(part.contact), part.event, window_days)
    fits = ((moved <= part.deadline) & (frame.windows.check(part.contact, moved) == 0)).nonzero()[0]
    items.target[rows.take(fits)] = moved.take(fits)


def _in_cluster(items: Items, part: slice) -> Bool:
    """Return which items of a part make up clusters (R61)."""
    found: Bool = items.reason[part] == 0
    of_type = items.sources.type_code == EFFECTIVE_DATE
    return found & reduce(np.logical_or, (items.source[part] == number for number in of_type.nonzero()[0]), np.False_)


def clustered(items: Items) -> Int64:
    """Return the items that make up clusters (R61)."""
    return np.flatnonzero(_in_cluster(items, slice(None)))


def smoothing_offset(contact_id: Int64, event: Int32, window_days: int) -> Int32:
    """Return by how many days each mail of a cluster that is spread leaves its ideal date (R62)."""
    hashed = spread_hash(contact_id, SMOOTHING, EFFECTIVE_DATE, year_of(event))
    return (hashed % np.uint64(window_days)).astype(np.int32) - np.int32(window_days // 2)


def sent_on(sent_events: Int32, ideal: Int32, config: Config) -> Int64:
    """Return how many locked mails belong to the cluster of each ideal date (R61)."""
    ordered = np.sort(sent_events - np.int32(config.effective_date_days_before))
    return np.searchsorted(ordered, ideal, side="right") - np.searchsorted(ordered, ideal, side="left")


def catch_up(frame: Frame, items: Items) -> Items:
    """Give items whose target has passed a new one, and look at exclusion again there (R63)."""
    found = [
        ((items.target[part] < frame.today) & (items.reason[part] == 0)).nonzero()[0] + part.start
        for part in parts_of(len(items))
    ]
    rows = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    if not len(rows):
        return items
    late = items.take(rows)
    target = np.full(len(rows), frame.today, dtype=np.int32)
    for type_code in (BIRTHDAY, EFFECTIVE_DATE):
        of_type = (late.type_code == type_code).nonzero()[0]
        if len(of_type):
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
