"""The daily cap (R64-R67): a day far over it passes mail on to the next, never into a window, never past a deadline."""

from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import Final

import numpy as np

from core.planning.candidates import Frame
from core.planning.columns import Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.day_counts import DayCounts
from core.planning.items import Items
from core.planning.ordering import dense_key
from core.planning.rules import SizeProfile

_PARTS_PER_MILLION: Final = 10**6
_PARTS_PER_THOUSAND: Final = 1000
_KEY_LIMIT: Final = 2**62
_STRETCH_DAYS: Final = 8


@dataclass(frozen=True, slots=True)
class DailyCap:
    """How many mails a day should have, and from how many on it is cut back to that (R64)."""

    cap: int
    threshold: int


def daily_cap(config: Config, profile: SizeProfile, contact_count: int) -> DailyCap:
    """Compute cap and threshold in integers, so that no binary fraction loses a mail (R64)."""
    share = round(profile.daily_send_percentage_cap * _PARTS_PER_MILLION)
    cap = max(1, config.min_daily_cap, floor(contact_count * share // _PARTS_PER_MILLION))
    overage = round(config.overage_threshold * _PARTS_PER_THOUSAND)
    return DailyCap(cap, cap * overage // _PARTS_PER_THOUSAND)


@dataclass(frozen=True, slots=True)
class Balanced:
    """Items on their final days, and the days that were to be cut to the cap but hold too much that cannot move."""

    items: Items
    cap_exceeded_days: Int32


def balance(frame: Frame, items: Items, fixed_days: Int32, limits: DailyCap) -> Balanced:
    """Walk the days from today on and carry what exceeds the cap to the next day (R66).

    ``fixed_days`` has one entry per mail that is counted but never moved: locked counting rows and follow-ups (R65).
    A day that holds what it may is only counted; the walk goes from one day that overflows to the next.
    """
    own = DayCounts.of(items.target, lambda part: items.reason[part] == 0)
    first, days = own.first, len(own.counts)
    fixed_on = np.bincount(fixed_days[fixed_days >= first] - np.int32(first), minlength=days)
    overflows = (own.counts + fixed_on[:days] > limits.threshold).nonzero()[0].tolist()
    exceeded: list[int] = []
    place, queue = 0, _Queue(frame, items)
    for overflow in overflows:
        while place <= overflow or len(queue):
            place = max(place, overflow)
            day, fixed = first + place, int(fixed_on[place]) if place < len(fixed_on) else 0
            wanted = fixed + queue.arrive(day)
            stayed = queue.settle(day, fixed, limits)
            if wanted > limits.threshold and stayed and stayed + fixed > limits.cap:
                exceeded.append(day)
            place += 1
    return Balanced(items, np.array(exceeded, dtype=np.int32))


class _Queue:
    """The mails of a day that overflows, and what it passes on: in the order in which they may stay (R66)."""

    def __init__(self, frame: Frame, items: Items) -> None:
        self._items = items
        self._arrivals = _Arrivals(frame, items)
        self._rows = np.zeros(0, dtype=np.int32)
        self._key = np.zeros(0, dtype=np.int64)
        self._last = np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._rows)

    def arrive(self, day: int) -> int:
        """Join the mails whose target is this day to those that were passed on; return how many there are now.

        They are sorted into that part of the queue that they go between: most go before what waits already.
        """
        rows, key, last = self._arrivals.on(day)
        if len(rows):
            front = int(self._key.searchsorted(key.max()))
            key = np.concatenate((self._key[:front], key))
            order = key.argsort(kind="stable")
            rows = np.concatenate((self._rows[:front], rows)).take(order)
            last = np.concatenate((self._last[:front], last)).take(order)
            self._rows = np.concatenate((rows, self._rows[front:]))
            self._key = np.concatenate((key.take(order), self._key[front:]))
            self._last = np.concatenate((last, self._last[front:]))
        return len(self)

    def settle(self, day: int, fixed: int, limits: DailyCap) -> int:
        """Let stay what R66 allows, keep the rest for the next day; return how many stayed."""
        stayed = len(self)
        if fixed + stayed > limits.threshold:
            stuck = self._last <= day
            bound = int(np.count_nonzero(stuck))
            if bound:
                self._rows = np.concatenate((self._rows[stuck], self._rows[~stuck]))
                self._key = np.concatenate((self._key[stuck], self._key[~stuck]))
                self._last = np.concatenate((self._last[stuck], self._last[~stuck]))
            stayed = min(stayed, max(bound, limits.cap - fixed))
        self._items.target[self._rows[:stayed]] = day
        self._rows, self._key, self._last = self._rows[stayed:], self._key[stayed:], self._last[stayed:]
        return stayed


class _Arrivals:
    """The standing items of one day after another: gathered a few days at a time, since few days overflow."""

    def __init__(self, frame: Frame, items: Items) -> None:
        self._frame = frame
        self._items = items
        self._rows = np.zeros(0, dtype=np.int32)
        self._key = np.zeros(0, dtype=np.int64)
        self._last = np.zeros(0, dtype=np.int32)
        self._first_day = 0
        self._ends: list[int] = []

    @cached_property
    def _order(self) -> "_Order":
        return _Order(self._items, len(self._frame.contacts))

    def on(self, day: int) -> tuple[Int32, Int64, Int32]:
        """Return the items whose target is this day, in what order they may stay, and the last day of each.

        No item that was passed on has reached the day yet.
        """
        if not self._first_day <= day < self._first_day + len(self._ends):
            self._gather(day)
        place = day - self._first_day
        here = slice(self._ends[place - 1] if place else 0, self._ends[place])
        return self._rows[here], self._key[here], self._last[here]

    def _gather(self, first_day: int) -> None:
        target, reason = self._items.target, self._items.reason
        last_day = first_day + _STRETCH_DAYS - 1
        parts: list[Int32] = [
            ((reason[part] == 0) & (target[part] >= first_day) & (target[part] <= last_day))
            .nonzero()[0]
            .astype(np.int32)
            + np.int32(part.start)
            for part in parts_of(len(self._items))
        ]
        rows = np.concatenate(parts)
        day = (target.take(rows) - np.int32(first_day)).astype(np.uint8)  # short numbers are sorted in linear time
        self._rows = rows.take(day.argsort(kind="stable"))
        self._key, self._last = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int32)
        for part in parts_of(len(rows)):
            items = self._items.take(self._rows[part])
            self._key[part] = self._order.key(self._rows[part], items)
            self._last[part] = self._last_days(items)
        self._first_day = first_day
        self._ends = np.bincount(day, minlength=_STRETCH_DAYS).cumsum().tolist()

    def _last_days(self, items: Items) -> Int32:
        """Return the last day to which each item can be carried, day by day: its deadline, or the eve of a window."""
        last = items.deadline
        # No standing item that respects windows lies in one (R46), so what keeps it is the next one's first day.
        free_until = self._frame.windows.free_until(items.contact, items.target)
        return np.minimum(last, free_until, out=last, where=items.respects_windows)


class _Order:
    """Keys of items that order by (priority, ideal, contact_id, type code, instance id, event) (R66)."""

    def __init__(self, items: Items, contact_count: int) -> None:
        sources = items.sources
        # Of one source, contact and ideal date there is one item, so the event never decides. The row number of a
        # contact orders like its id.
        self._priority = np.sort(sources.priority).searchsorted(sources.priority)
        places = np.lexsort((sources.instance_id, sources.type_code))
        self._place = np.empty(len(places), dtype=np.int64)
        self._place[places] = np.arange(len(places))
        self._first_ideal = int(items.ideal.min(initial=0))
        self._ideals = int(items.ideal.max(initial=0)) - self._first_ideal + 1
        self._contacts = max(1, contact_count)
        self._ranks: Int64 | None = None
        if len(places) ** 2 * self._ideals * self._contacts >= _KEY_LIMIT:
            self._ranks = dense_key((items.priority, items.ideal, items.contact, self._place[items.source]))

    def key(self, rows: Int32, items: Items) -> Int64:
        """Return the keys of some items, found in some rows, comparable with those of any others."""
        if self._ranks is not None:
            return self._ranks[rows]
        key = self._priority.take(items.source)
        for factor, column in (
            (self._ideals, items.ideal - np.int32(self._first_ideal)),
            (self._contacts, items.contact),
            (len(self._place), self._place.take(items.source)),
        ):
            key *= factor
            key += column
        return key
