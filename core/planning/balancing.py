"""The daily cap (R64-R67): a day far over it passes mail on to the next, never into a window, never past a deadline."""

from dataclasses import dataclass
from math import floor
from typing import Final

import numpy as np

from core.planning.candidates import Frame
from core.planning.columns import Int32, Int64
from core.planning.config import Config
from core.planning.items import Items
from core.planning.ordering import dense_key
from core.planning.rules import SizeProfile

_PARTS_PER_MILLION: Final = 10**6
_PARTS_PER_THOUSAND: Final = 1000


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
    """
    rows = np.flatnonzero(items.standing)
    target = items.target.copy()
    if not len(rows):
        return Balanced(items, np.zeros(0, dtype=np.int32))
    rows = rows[np.argsort(target[rows], kind="stable")]
    days, first = np.unique(target[rows], return_index=True)
    arrivals = dict(zip(days.tolist(), np.split(rows, first[1:]), strict=True))
    fixed_day, fixed_count = np.unique(fixed_days, return_counts=True)
    fixed = dict(zip(fixed_day.tolist(), fixed_count.tolist(), strict=True))
    walk = _Walk(frame, items, target, limits)
    exceeded: list[int] = []
    carried = np.zeros(0, dtype=np.int64)
    pending = sorted(arrivals, reverse=True)
    day = pending[-1]
    while pending or len(carried):
        if not len(carried):
            day = pending[-1]  # nothing to carry: go straight to the next day that has mail
        here = carried
        if pending and pending[-1] == day:
            here = np.concatenate((carried, arrivals[pending.pop()]))
        load = len(here) + fixed.get(day, 0)
        carried = walk.settle(day, here, fixed.get(day, 0))
        stayed = len(here) - len(carried)
        if load > limits.threshold and stayed and stayed + fixed.get(day, 0) > limits.cap:
            exceeded.append(day)
        day += 1
    return Balanced(items.with_target(target), np.array(exceeded, dtype=np.int32))


class _Walk:
    """The state of one walk over the days: target dates being written, and the order in which mail may stay."""

    def __init__(self, frame: Frame, items: Items, target: Int32, limits: DailyCap) -> None:
        self._frame = frame
        self._items = items
        self._target = target
        self._limits = limits
        self._rank: Int64 | None = None

    def settle(self, day: int, rows: Int64, fixed: int) -> Int64:
        """Put rows on a day as far as R66 allows and return those that are carried to the next."""
        self._target[rows] = day
        if fixed + len(rows) <= self._limits.threshold:
            return rows[:0]
        movable = self._movable(day, rows)
        room = max(0, self._limits.cap - fixed - (len(rows) - len(movable)))
        if room >= len(movable):
            return rows[:0]
        rank = self._order()[movable]
        return movable[np.argpartition(rank, room)[room:]] if room else movable

    def _movable(self, day: int, rows: Int64) -> Int64:
        in_time = rows[self._items.deadline[rows] >= day + 1]
        excluded = np.zeros(len(in_time), dtype=np.bool_)
        bound = np.flatnonzero(self._items.respects_windows[in_time])
        contact = self._items.contact[in_time[bound]]
        excluded[bound] = self._frame.windows.check(contact, np.full(len(bound), day + 1, dtype=np.int32)) != 0
        return in_time[~excluded]

    def _order(self) -> Int64:
        """Rank by (priority, ideal, contact_id, type code, instance id, event); computed only if a day overflows."""
        if self._rank is None:
            items = self._items
            # The row number of a contact orders like its id.
            columns = (items.priority, items.ideal, items.contact, items.type_code, items.instance_id, items.event)
            self._rank = dense_key(columns)
        return self._rank
