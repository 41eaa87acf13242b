"""Who may run now: by processors, memory and disk, first come first served over orgs.

An org has one run at a time and queues anew for each, so a noisy one gets its turn and no more. A run that does not fit yet
may be overtaken by smaller ones, but not for ever. One that never fits is told so at once.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Admit, Clock
from events.types import OrgId

OVERTAKES_MAX: Final = 16
"""How many later runs may go before one that waits for room."""

DISK_PER_BYTE: Final = 4
"""Copies of the object that a run may have on disk: mirror, working copy, what comes down, what goes up."""
MEMORY_BASE_BYTES: Final = 60_000_000
"""Of a process that plans an empty org."""
MEMORY_PER_BYTE: Final = 2.2
"""Of the object, measured at most: a first run, whose object has no plan yet (400 000 contacts: 175 MB, 360 MB more)."""
MEMORY_PER_BYTE_MIN: Final = 0.5
"""Of the object, measured at least: an object with a plan in it. An org is too large only if not even that fits."""


class Capacity(NamedTuple):
    """What there is on this machine for runs."""

    slots: int
    memory_bytes: int
    disk_bytes: int


class Need(NamedTuple):
    """What a run takes of it."""

    slots: int
    memory_bytes: int
    disk_bytes: int

    def fits(self, room: "Need | Capacity") -> bool:
        """Whether there is room for it."""
        return all(mine <= there for mine, there in zip(self, room, strict=True))


@dataclass(slots=True, eq=False)
class _Visit:
    """One run, from its arrival to its end."""

    need: Need | None = None
    """None: it has not been admitted."""
    wanted: Need | None = None
    overtaken: int = 0


class Admission:
    """Keeps the runs at once within what the machine can bear; safe between threads."""

    def __init__(self, capacity: Capacity, clock: Clock) -> None:
        self._capacity = capacity
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: list[_Visit] = []
        self._running: list[Need] = []

    @property
    def running(self) -> int:
        """How many runs are in progress."""
        return len(self._running)

    @contextmanager
    def visit(self, org_id: OrgId, until: float) -> Iterator[Admit]:
        """Lend what admits one run, and give back what it took.

        It waits until a monotonic moment, then raises OrgError LEASE_BUSY; ORG_TOO_LARGE where waiting cannot help.
        """
        visit = _Visit()
        try:
            yield partial(self._admit, visit, org_id, until)
        finally:
            if visit.need is not None:
                with self._changed:
                    self._running.remove(visit.need)
                    self._changed.notify_all()

    def _admit(self, visit: _Visit, org_id: OrgId, until: float, object_bytes: int) -> None:
        if visit.need is not None:  # the run starts again, on an object of about the same size
            return
        visit.wanted = self._need_of(object_bytes, org_id)
        with self._changed:
            self._queue.append(visit)
            try:
                wait = max(0.0, until - self._clock.monotonic())
                if not self._changed.wait_for(lambda: self._is_next(visit), wait):
                    raise OrgError(ErrorCode.LEASE_BUSY, org_id, "no room for the run came free in time")
                for earlier in self._queue[: self._queue.index(visit)]:
                    earlier.overtaken += 1
                visit.need = visit.wanted
                self._running.append(visit.wanted)
            finally:
                self._queue.remove(visit)
                self._changed.notify_all()

    def _is_next(self, visit: _Visit) -> bool:
        """Whether a run may begin: it fits beside those that run and those that wait longer and fit, too."""
        slots, memory, disk = self._room()
        for other in self._queue:
            if other.wanted is None:
                continue
            fits = other.wanted.fits(Need(slots, memory, disk))
            if other is visit:
                return fits
            if fits:
                slots, memory, disk = (
                    slots - other.wanted.slots, memory - other.wanted.memory_bytes, disk - other.wanted.disk_bytes
                )  # fmt: skip
            elif other.overtaken >= OVERTAKES_MAX:
                return False
        return False

    def _room(self) -> Need:
        taken = [sum(column) for column in zip(*self._running, strict=True)] or [0, 0, 0]
        return Need(*(there - gone for there, gone in zip(self._capacity, taken, strict=True)))

    def _need_of(self, object_bytes: int, org_id: OrgId) -> Need:
        """Return what a run takes, by the object's size; raises OrgError ORG_TOO_LARGE."""
        capacity = self._capacity
        least_memory = MEMORY_BASE_BYTES + int(MEMORY_PER_BYTE_MIN * object_bytes)
        disk = DISK_PER_BYTE * object_bytes
        for what, needed, there in (
            ("MEMORY", least_memory, capacity.memory_bytes),
            ("DISK", disk, capacity.disk_bytes),
        ):
            if needed > there:
                detail = (
                    f"{object_bytes} bytes: about {needed} of {what.lower()} needed, {what}_LIMIT_MB allows {there}"
                )
                raise OrgError(ErrorCode.ORG_TOO_LARGE, org_id, detail)
        memory = MEMORY_BASE_BYTES + int(MEMORY_PER_BYTE * object_bytes)
        return Need(1, min(memory, capacity.memory_bytes), disk)  # one that may take all there is runs alone
