"""The daily cap (R64-R67): a day far over it passes mail on to the next, never into a window, never past a deadline."""

from dataclasses import dataclass
from math import floor
from typing import Final, Self

import numpy as np

from core.planning.candidates import Frame
from core.planning.columns import Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.items import Items
from core.planning.ordering import dense_key
from core.planning.rules import SizeProfile

_PARTS_PER_MILLION: Final = 10**6
_PARTS_PER_THOUSAND: Final = 1000
_KEY_LIMIT: Final = 2**62


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
    load = _Load.of(items, fixed_days)
    overflows = np.flatnonzero(load.own + load.fixed[: len(load.own)] > limits.threshold)
    exceeded: list[int] = []
    queue = _Queue(frame, items, load.first + int(overflows[0])) if len(overflows) else None
    while queue is not None and len(overflows):
        place = int(overflows[0])
        while True:
            day, fixed = load.first + place, load.fixed_on(place)
            wanted = fixed + queue.arrive(day)
            stayed = queue.settle(day, fixed, limits)
            if wanted > limits.threshold and stayed and stayed + fixed > limits.cap:
                exceeded.append(day)
            place += 1
            if not len(queue):
                break
        overflows = overflows[np.searchsorted(overflows, place) :]
    return Balanced(items, np.array(exceeded, dtype=np.int32))


@dataclass(frozen=True, slots=True)
class _Load:
    """Mails by day from a first day on: those of the plan, and those that are counted but never moved."""

    first: int
    own: Int64
    fixed: Int64
    """At least as long as ``own``."""

    @classmethod
    def of(cls, items: Items, fixed_days: Int32) -> Self:
        """Count."""
        first = int(items.target.min(initial=0))
        own = np.zeros(int(items.target.max(initial=first)) - first + 1, dtype=np.int64)
        for part in parts_of(len(items)):
            counts = np.bincount(items.target[part][items.reason[part] == 0] - np.int32(first))
            own[: len(counts)] += counts
        fixed = np.bincount(fixed_days[fixed_days >= first] - np.int32(first), minlength=len(own))
        return cls(first, own, fixed)

    def fixed_on(self, place: int) -> int:
        """Return the fixed mails of a day."""
        return int(self.fixed[place]) if place < len(self.fixed) else 0


class _Queue:
    """The mails of a day that overflows, and what it passes on: in the order in which they may stay (R66)."""

    def __init__(self, frame: Frame, items: Items, first_day: int) -> None:
        self._frame = frame
        self._items = items
        self._by_day = _ByDay(items, first_day)
        self._order = _Order(items, len(frame.contacts))
        self._rows = self._by_day.rows_of(first_day)[:0]
        self._key = np.zeros(0, dtype=np.int64)
        self._last = np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._rows)

    def arrive(self, day: int) -> int:
        """Join the mails whose target is this day to those that were passed on; return how many there are now."""
        rows = self._by_day.rows_of(day)
        if len(rows):
            rows = np.concatenate((self._rows, rows))
            key = np.concatenate((self._key, self._order.key(rows[len(self._rows) :])))
            last = np.concatenate((self._last, self._last_days(rows[len(self._rows) :])))
            order = np.argsort(key, kind="stable")  # two ordered runs, most of the time: merged, not sorted
            self._rows, self._key, self._last = rows[order], key[order], last[order]
        return len(self)

    def settle(self, day: int, fixed: int, limits: DailyCap) -> int:
        """Let stay what R66 allows, keep the rest for the next day; return how many stayed."""
        stays = np.ones(len(self), dtype=np.bool_)
        if fixed + len(self) > limits.threshold:
            movable = np.flatnonzero(self._last > day)
            room = max(0, limits.cap - fixed - (len(self) - len(movable)))
            stays[movable[room:]] = False
        self._items.target[self._rows[stays]] = day
        stayed = int(np.count_nonzero(stays))
        self._rows, self._key, self._last = self._rows[~stays], self._key[~stays], self._last[~stays]
        return stayed

    def _last_days(self, rows: Int32) -> Int32:
        """Return the last day to which each item can be carried, day by day: its deadline, or the eve of a window."""
        part = self._items.take(rows)
        last = part.deadline
        bound = np.flatnonzero(part.respects_windows)
        # No standing item that respects windows lies in one (R46), so what keeps it is the next one's first day.
        free_until = self._frame.windows.free_until(part.contact[bound], part.target[bound])
        last[bound] = np.minimum(last[bound], free_until)
        return last


class _ByDay:
    """Finds the standing items of a day, of any day from a first one on."""

    def __init__(self, items: Items, first_day: int) -> None:
        rows = [part.start + _standing_from(items, part, first_day) for part in parts_of(len(items))]
        self._rows = np.concatenate(rows)
        offset = items.target[self._rows] - np.int32(first_day)
        days = offset.astype(np.uint16) if int(offset.max(initial=0)) < 2**16 else offset  # 16 bits sort in linear time
        order = np.argsort(days, kind="stable")
        self._first_day = first_day
        self._rows = self._rows[order]
        self._ends = np.cumsum(np.bincount(offset))

    def rows_of(self, day: int) -> Int32:
        """Return the items whose target was this day when the walk began."""
        place = day - self._first_day
        if place >= len(self._ends):
            return self._rows[:0]
        return self._rows[self._ends[place - 1] if place else 0 : self._ends[place]]


def _standing_from(items: Items, part: slice, first_day: int) -> Int32:
    found: Int32 = np.flatnonzero((items.reason[part] == 0) & (items.target[part] >= first_day)).astype(np.int32)
    return found


class _Order:
    """Keys of items that order by (priority, ideal, contact_id, type code, instance id, event) (R66)."""

    def __init__(self, items: Items, contact_count: int) -> None:
        self._items = items
        sources = items.sources
        # Of one source, contact and ideal date there is one item, so the event never decides. The row number of a
        # contact orders like its id.
        self._priority = np.unique(sources.priority, return_inverse=True)[1]
        places = np.lexsort((sources.instance_id, sources.type_code))
        self._place = np.empty(len(places), dtype=np.int64)
        self._place[places] = np.arange(len(places))
        self._first_ideal = int(items.ideal.min(initial=0))
        self._ideals = int(items.ideal.max(initial=0)) - self._first_ideal + 1
        self._contacts = max(1, contact_count)
        self._ranks: Int64 | None = None
        if len(places) ** 2 * self._ideals * self._contacts >= _KEY_LIMIT:
            self._ranks = dense_key((items.priority, items.ideal, items.contact, self._place[items.source]))

    def key(self, rows: Int32) -> Int64:
        """Return the keys of some items, comparable with those of any others."""
        if self._ranks is not None:
            return self._ranks[rows]
        part = self._items.take(rows)
        key = self._priority[part.source]
        for factor, column in (
            (self._ideals, part.ideal - np.int32(self._first_ideal)),
            (self._contacts, part.contact),
            (len(self._place), self._place[part.source]),
        ):
            key = key * factor + column
        return key
