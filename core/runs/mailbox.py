"""Group commit per org: the first event leads, those that arrive while its run is in flight share the next one.

A run moves a whole database, so two hundred events on one org must not make two hundred runs. Every waiter is a thread of
the server with one event or several; exactly one of them, the leader of its org, runs a batch that holds an event of its
own, then passes the lead on. What serves the org (its lease) is passed on with the lead, and closed when nobody waits.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from core.runs.batch import Batch, BatchLimits, batch_key, is_urgent, weight
from core.runs.errors import ErrorCode, OrgError
from core.runs.pace import Pace
from core.runs.ports import Clock
from events.types import Event, EventKey, OrgId

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

BATCHES_PER_SESSION_MAX: Final = 20
"""After so many the lease is given back although more wait: another machine may wait, too."""


class Session(Protocol[Result_co]):
    """Serves one org over consecutive batches. For one thread at a time."""

    def run(self, batch: Batch, until: float) -> Mapping[EventKey, Result_co]:
        """Carry a batch; ``until`` bounds every wait before it begins. Raises OrgError."""
        ...

    def close(self) -> None:
        """Give back what was taken for the org."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxLimits:
    """What may wait at once."""

    waiters_max: int
    """Calls, over all orgs."""
    org_share: float = 1.0
    """Of them, at most, for one org: so that a noisy one leaves room for the others."""
    items_max: int = 250_000
    """Items of all events that wait or run; an event without items counts as one."""
    batch: BatchLimits = field(default_factory=BatchLimits)

    @property
    def org_waiters_max(self) -> int:
        """Calls for one org."""
        return max(1, int(self.waiters_max * self.org_share))


@dataclass(slots=True, eq=False)
class _Ticket(Generic[Result]):
    """One event that waits, and what became of it."""

    event: Event
    arrived: float
    until: float
    sharers: int = 0
    """Calls that wait for it: the event's twins."""
    leads: bool = False
    done: bool = False
    result: Result | None = None
    error: OrgError | None = None


@dataclass(slots=True, eq=False)
class _Box(Generic[Result]):
    """The tickets of one org: waiting, and in flight."""

    org_id: OrgId
    pending: list[_Ticket[Result]] = field(default_factory=list)
    in_flight: list[_Ticket[Result]] = field(default_factory=list)
    waiters: int = 0
    session: Session[Result] | None = None
    batches: int = 0
    """Of the session."""

    def take_session(self) -> list[Session[Result]]:
        """Return the session, to be closed by who takes it; none if there is none."""
        session, self.session, self.batches = self.session, None, 0
        return [] if session is None else [session]


class Mailbox(Generic[Result]):
    """Serialises the runs of each org and coalesces its events; everything that waits is bounded."""

    def __init__(
        self,
        open_session: Callable[[OrgId], Session[Result]],
        clock: Clock,
        *,
        limits: MailboxLimits,
        pace: Pace | None = None,
    ) -> None:
        self._open_session = open_session
        self._clock = clock
        self._limits = limits
        self._pace = pace or Pace(clock)
        self._waiters = 0
        self._items = 0
        self._boxes: dict[OrgId, _Box[Result]] = {}
        self._changed = threading.Condition()
        self._draining = False

    def submit(self, event: Event, *, until: float) -> Result:
        """Wait until a run has carried the event and return what it says; raises OrgError. See ``submit_all``."""
        (outcome,) = self.submit_all((event,), until=until)
        if isinstance(outcome, OrgError):
            raise outcome
        return outcome

    def submit_all(self, events: Sequence[Event], *, until: float) -> list[Result | OrgError]:
        """Wait until runs have carried events of one org; returns what the runs say, or why there is nothing, in order.

        Events that may share a run do. ``until`` is the monotonic moment after which waiting ends with LEASE_BUSY (an
        event may still be carried: its redelivery will find out). WAITERS_FULL and DRAINING are answered at once.
        """
        org_id = events[0].org_id
        items = sum(weight(event) for event in events)
        with self._changed:
            refusal = self._refusal(org_id, items)
            if refusal is not None:
                return [refusal for _ in events]
            box = self._boxes.setdefault(org_id, _Box(org_id))
            self._count(box, 1, items)
            tickets = [self._join(box, event, until) for event in events]
        sessions: list[Session[Result]] = []
        try:
            while (batch := self._next_turn(box, tickets, until)) is not None:
                self._lead(box, batch)
        finally:
            with self._changed:
                self._leave(box, tickets)
                self._count(box, -1, -items)
                if not box.pending and not box.in_flight:
                    sessions = box.take_session()
                    if self._boxes.get(org_id) is box:
                        del self._boxes[org_id]
                self._changed.notify_all()
            for session in sessions:
                session.close()
        late = OrgError(ErrorCode.LEASE_BUSY, org_id, "no run carried the event in time")
        return [ticket.result if ticket.result is not None else ticket.error or late for ticket in tickets]

    def drain(self, *, until: float) -> bool:
        """Refuse new events and those that wait, and let runs in flight end; says whether all of them did in time."""
        sessions: list[Session[Result]] = []
        with self._changed:
            self._draining = True
            for org_id, box in self._boxes.items():
                for ticket in box.pending:
                    ticket.error, ticket.done = OrgError(ErrorCode.DRAINING, org_id), True
                box.pending = []
                if not box.in_flight:
                    sessions += box.take_session()
            self._changed.notify_all()
        for session in sessions:
            session.close()
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiters, max(0.0, until - self._clock.monotonic()))

    @property
    def waiters(self) -> int:
        """How many calls wait or run."""
        return self._waiters

    @property
    def is_draining(self) -> bool:
        """Whether new events are refused."""
        return self._draining

    # ------------------------------------------------------------------------------------ with the lock held

    def _refusal(self, org_id: OrgId, items: int) -> OrgError | None:
        if self._draining:
            return OrgError(ErrorCode.DRAINING, org_id)
        limits, box = self._limits, self._boxes.get(org_id)
        if self._waiters >= limits.waiters_max:
            return OrgError(ErrorCode.WAITERS_FULL, org_id, f"{limits.waiters_max} messages wait")
        if box is not None and box.waiters >= limits.org_waiters_max:
            return OrgError(ErrorCode.WAITERS_FULL, org_id, f"{limits.org_waiters_max} messages of the org wait")
        if self._items and self._items + items > limits.items_max:
            return OrgError(ErrorCode.WAITERS_FULL, org_id, f"{self._items} items wait")
        return None

    def _count(self, box: _Box[Result], calls: int, items: int) -> None:
        box.waiters += calls
        self._waiters += calls
        self._items += items

    def _join(self, box: _Box[Result], event: Event, until: float) -> _Ticket[Result]:
        """Return the ticket of the event's twin if there is one, else a new one; the first of an idle org leads."""
        for ticket in (*box.in_flight, *box.pending):
            if ticket.event.key == event.key:
                ticket.sharers += 1
                ticket.until = max(ticket.until, until)
                return ticket
        ticket = _Ticket(event, self._clock.monotonic(), until, sharers=1)
        ticket.leads = not box.pending and not box.in_flight
        box.pending.append(ticket)
        self._changed.notify_all()  # a leader may linger for it
        return ticket

    def _leave(self, box: _Box[Result], tickets: Sequence[_Ticket[Result]]) -> None:
        """Take tickets that nobody waits for any more out of the queue; who is first now leads."""
        for ticket in tickets:
            ticket.sharers -= 1
            if not ticket.sharers and ticket in box.pending:
                box.pending.remove(ticket)
        self._pass_the_lead(box)

    def _pass_the_lead(self, box: _Box[Result]) -> None:
        if box.pending and not box.in_flight:
            box.pending[0].leads = True

    def _batch_of(self, box: _Box[Result], leader: _Ticket[Result]) -> list[_Ticket[Result]]:
        """Return the tickets that share the leader's run, oldest first, as many as a batch may have."""
        limits, key = self._limits.batch, batch_key(leader.event)
        batch, items = [leader], weight(leader.event)
        for ticket in box.pending:
            if ticket is leader or batch_key(ticket.event) != key:
                continue
            items += weight(ticket.event)
            if len(batch) >= limits.events_max or items > limits.items_max:
                break
            batch.append(ticket)
        return batch

    def _begins_at(self, box: _Box[Result], leader: _Ticket[Result], linger_seconds: float) -> float:
        """Return the monotonic moment at which the leader's run should begin: the past, if somebody waits for a plan."""
        batch = self._batch_of(box, leader)
        items = sum(weight(ticket.event) for ticket in batch)
        limits = self._limits.batch
        if len(batch) >= limits.events_max or items >= limits.items_max or any(is_urgent(t.event) for t in batch):
            return 0.0
        return max(leader.arrived + linger_seconds, self._pace.next_upload_at(box.org_id))

    # ------------------------------------------------------------------------------------ the turns of one call

    def _next_turn(
        self, box: _Box[Result], tickets: Sequence[_Ticket[Result]], until: float
    ) -> list[_Ticket[Result]] | None:
        """Wait for results or for the lead; returns the batch that this thread must run, None where it is through."""

        def leading() -> _Ticket[Result] | None:
            return next((t for t in tickets if t.leads and t in box.pending), None)

        def through() -> bool:
            return all(ticket.done for ticket in tickets)

        with self._changed:
            remaining = max(0.0, until - self._clock.monotonic())
            self._changed.wait_for(lambda: through() or leading() is not None, remaining)
            leader = leading()
            if leader is None:
                return None
        linger_seconds = self._pace.linger_seconds(box.org_id)  # reads a file: not with the lock
        with self._changed:
            while (leader := leading()) is not None:
                wait = self._begins_at(box, leader, linger_seconds) - self._clock.monotonic()
                wait = min(wait, (until - self._clock.monotonic()) / 2)  # whoever lingers must not be late for it
                arrived = len(box.pending)
                if wait <= 0 or not self._changed.wait_for(lambda n=arrived: len(box.pending) != n, wait):  # type: ignore[misc]
                    break
            if leader is None or leader not in box.pending:
                return None if through() else []
            # Taking the ticket out of the queue takes the lead: a twin that waits for the same ticket goes on waiting.
            box.in_flight = self._batch_of(box, leader)
            box.pending = [t for t in box.pending if t not in box.in_flight]
            return box.in_flight

    def _lead(self, box: _Box[Result], tickets: list[_Ticket[Result]]) -> None:
        if not tickets:
            return
        batch = Batch.of(tuple(t.event for t in tickets))
        results: Mapping[EventKey, Result] = {}
        error: OrgError | None = OrgError(ErrorCode.SCHEDULER_FAILED, box.org_id, "the run ended without a result")
        try:
            if box.session is None:
                box.session = self._open_session(box.org_id)
            results = box.session.run(batch, max(t.until for t in tickets))
            error = None
        except OrgError as raised:
            error = raised
        finally:
            try:
                self._end_session(box)
            finally:
                self._hand_out(box, results, error)

    def _end_session(self, box: _Box[Result]) -> None:
        """Close the session before anybody is answered, unless the next batch waits for it."""
        with self._changed:
            box.batches += 1
            is_kept = bool(box.pending) and not self._draining and box.batches < BATCHES_PER_SESSION_MAX
            sessions = [] if is_kept else box.take_session()
        for session in sessions:
            session.close()

    def _hand_out(self, box: _Box[Result], results: Mapping[EventKey, Result], error: OrgError | None) -> None:
        with self._changed:
            for carried in box.in_flight:
                carried.result = results.get(carried.event.key)
                carried.error = error if carried.result is None else None
                carried.done = True
            box.in_flight = []
            self._pass_the_lead(box)
            self._changed.notify_all()
