"""Group commit per org: the first event leads, those that arrive while its run is in flight share the next one.

A run moves a whole database, so two hundred events on one org must not make two hundred runs. Every waiter is a thread of
the server; exactly one of them, the leader of its org, runs a batch that holds its own event, then passes the lead on.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.runs.errors import ErrorCode, OrgError
from core.runs.item_order import RUN_ITEMS_MAX, item_count
from core.runs.org_run import Batch, batch_key
from core.runs.ports import Clock
from events.types import Event, EventKey, OrgId

Result = TypeVar("Result")

RunBatch = Callable[[Batch, float], Mapping[EventKey, Result]]


@dataclass(slots=True, eq=False)
class _Ticket(Generic[Result]):
    """One event that waits, and what became of it."""

    event: Event
    until: float
    leads: bool = False
    done: bool = False
    result: Result | None = None
    error: OrgError | None = None


@dataclass(slots=True)
class _Box(Generic[Result]):
    """The tickets of one org: waiting, and in flight."""

    pending: list[_Ticket[Result]] = field(default_factory=list)
    in_flight: list[_Ticket[Result]] = field(default_factory=list)


class Mailbox(Generic[Result]):
    """Serialises the runs of each org and coalesces its events; bounded by the number of waiters."""

    def __init__(self, run_batch: RunBatch[Result], clock: Clock, *, waiters_max: int) -> None:
        self._run_batch = run_batch
        self._clock = clock
        self._waiters_max = waiters_max
        self._waiters = 0
        self._boxes: dict[OrgId, _Box[Result]] = {}
        self._changed = threading.Condition()
        self._draining = False

    def submit(self, event: Event, *, until: float) -> Result:
        """Wait until a run has carried the event and return what it says; raises OrgError.

        ``until`` is the monotonic moment after which waiting ends with LEASE_BUSY (the event may still be carried: its
        redelivery will find out). WAITERS_FULL and DRAINING are raised at once.
        """
        with self._changed:
            self._require_room(event.org_id)
            self._waiters += 1
            box = self._boxes.setdefault(event.org_id, _Box())
            ticket = self._join(box, event, until)
        try:
            if self._wait(box, ticket):
                self._lead(event.org_id, box, ticket)
        finally:
            with self._changed:
                self._waiters -= 1
                self._changed.notify_all()
        if ticket.error is not None:
            raise ticket.error
        if ticket.result is None:
            raise OrgError(ErrorCode.LEASE_BUSY, event.org_id, "no run carried the event in time")
        return ticket.result

    def drain(self, *, until: float) -> bool:
        """Refuse new events and those that wait, and let runs in flight end; says whether all of them did in time."""
        with self._changed:
            self._draining = True
            for org_id, box in self._boxes.items():
                for ticket in box.pending:
                    ticket.error, ticket.done = OrgError(ErrorCode.DRAINING, org_id), True
                box.pending = []
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiters, max(0.0, until - self._clock.monotonic()))

    @property
    def waiters(self) -> int:
        """How many events wait or run."""
        return self._waiters

    @property
    def is_draining(self) -> bool:
        """Whether new events are refused."""
        return self._draining

    def _require_room(self, org_id: OrgId) -> None:
        if self._draining:
            raise OrgError(ErrorCode.DRAINING, org_id)
        if self._waiters >= self._waiters_max:
            raise OrgError(ErrorCode.WAITERS_FULL, org_id, f"{self._waiters_max} messages wait")

    def _join(self, box: _Box[Result], event: Event, until: float) -> _Ticket[Result]:
        """Return the ticket of the event's twin if there is one, else a new one; the first of an idle org leads."""
        for ticket in (*box.in_flight, *box.pending):
            if ticket.event.key == event.key:
                return ticket
        ticket = _Ticket(event, until)
        if not box.pending and not box.in_flight:
            ticket.leads = True
        box.pending.append(ticket)
        return ticket

    def _wait(self, box: _Box[Result], ticket: _Ticket[Result]) -> bool:
        """Wait for a result or for the lead; True where this thread must lead (only one thread is told so)."""
        with self._changed:
            remaining = ticket.until - self._clock.monotonic()
            self._changed.wait_for(lambda: ticket.done or (ticket.leads and ticket in box.pending), max(0.0, remaining))
            if ticket.done or ticket not in box.pending:
                return False
            if not ticket.leads:  # out of time while others run: leave the queue
                box.pending.remove(ticket)
                return False
            # Taking the ticket out of the queue takes the lead: a twin that waits for the same ticket goes on waiting.
            batch_of = batch_key(ticket.event)
            box.in_flight = _within_limit([t for t in box.pending if batch_key(t.event) == batch_of], ticket)
            box.pending = [t for t in box.pending if t not in box.in_flight]
            return True

    def _lead(self, org_id: OrgId, box: _Box[Result], ticket: _Ticket[Result]) -> None:
        batch = Batch.of(tuple(t.event for t in box.in_flight))
        results: Mapping[EventKey, Result] = {}
        error: OrgError | None = OrgError(ErrorCode.SCHEDULER_FAILED, org_id, "the run ended without a result")
        try:
            results = self._run_batch(batch, ticket.until)
            error = None
        except OrgError as raised:
            error = raised
        finally:
            with self._changed:
                for carried in box.in_flight:
                    carried.result = results.get(carried.event.key)
                    carried.error = error if carried.result is None else None
                    carried.done = True
                box.in_flight = []
                if box.pending:
                    box.pending[0].leads = True
                else:
                    self._boxes.pop(org_id, None)
                self._changed.notify_all()


def _within_limit(tickets: Sequence[_Ticket[Result]], leader: _Ticket[Result]) -> list[_Ticket[Result]]:
    """Return the tickets that fit into one run, the leader's among them, in their order of arrival."""
    room = RUN_ITEMS_MAX - item_count(leader.event)
    found = []
    for ticket in tickets:
        room -= 0 if ticket is leader else item_count(ticket.event)
        if ticket is leader or room >= 0:
            found.append(ticket)
    return found
