"""What an explanation keeps of a plan in the making: the items of a few contacts after every step, and the days' loads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.planning.columns import Int32, Int64
from core.planning.items import Items
from core.planning.smoothing import clustered
from core.planning.watch import Step


class ItemKey(NamedTuple):
    """Which item of a contact it is (R7)."""

    type_code: int
    instance_id: int
    event: int


@dataclass(frozen=True, slots=True)
class ItemState:
    """One item after one step; days are day numbers."""

    ideal: int
    target: int
    deadline: int
    checked: int
    priority: int
    respects_windows: bool
    reason: int


@dataclass(frozen=True, slots=True)
class DayLoad:
    """One day of the walk over the days (R66)."""

    wanted: int
    """Items that wanted the day: its own and carried ones."""
    stayed: int
    fixed: int
    """Mail that counts and is never moved (R65)."""


class _Counts:
    """How many things lie on each day."""

    def __init__(self, days: Int32) -> None:
        self._days, counts = np.unique(days, return_counts=True)
        self._counts = counts.astype(np.int64)
        self._before = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(self._counts)))

    def on(self, day: int) -> int:
        place = int(np.searchsorted(self._days, day))
        return int(self._counts[place]) if place < len(self._days) and self._days[place] == day else 0

    def before(self, day: int) -> int:
        return int(self._before[np.searchsorted(self._days, day)])


class Trace:
    """A Watch that keeps what belongs to some contacts, by their row numbers, and counts of all the others."""

    def __init__(self, rows: Int64) -> None:
        none = np.zeros(0, dtype=np.int32)
        self._rows = rows
        self._steps: dict[int, dict[Step, dict[ItemKey, ItemState]]] = {row: {} for row in rows.tolist()}
        self._clusters = self._wanted = self._final = self._fixed = _Counts(none)

    def items(self, step: Step, items: Items) -> None:
        """Keep the items of the contacts that are watched, and the days of all."""
        if step == "candidates":
            self._clusters = _Counts(items.ideal[clustered(items)])
        elif step == "owed":
            self._wanted = _Counts(items.target[items.standing])
        elif step == "balanced":
            self._final = _Counts(items.target[items.standing])
        kept = items.take(np.isin(items.contact, self._rows))
        for place, row in enumerate(kept.contact.tolist()):
            self._steps[row].setdefault(step, {})[_key(kept, place)] = _state(kept, place)

    def fixed_days(self, days: Int32) -> None:
        """Count what is not moved."""
        self._fixed = _Counts(days)

    def after(self, row: int, step: Step) -> Mapping[ItemKey, ItemState]:
        """Return the items of a contact after a step."""
        return self._steps[row].get(step, {})

    def cluster_size(self, ideal: int) -> int:
        """Return how many candidates of effective-date mail have this ideal date (R61); sent ones are not in it."""
        return self._clusters.on(ideal)

    def load(self, day: int) -> DayLoad:
        """Return what a day had: what had come by then and had not found a day before."""
        wanted = self._wanted.before(day + 1) - self._final.before(day)
        return DayLoad(wanted=wanted, stayed=self._final.on(day), fixed=self._fixed.on(day))


def _key(items: Items, place: int) -> ItemKey:
    return ItemKey(int(items.type_code[place]), int(items.instance_id[place]), int(items.event[place]))


def _state(items: Items, place: int) -> ItemState:
    return ItemState(
        ideal=int(items.ideal[place]),
        target=int(items.target[place]),
        deadline=int(items.deadline[place]),
        checked=int(items.checked[place]),
        priority=int(items.priority[place]),
        respects_windows=bool(items.respects_windows[place]),
        reason=int(items.reason[place]),
    )
