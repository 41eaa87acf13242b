"""One run request per org found in the bucket: published for whoever reads the requests, or carried out right here.

A fan-out keeps nothing: every request has the id ``<fan-out>/<org>``, so that a fan-out that comes again after a crash, or
half done, asks for the same runs, and those that were carried already are recognised where every duplicate is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Final, Protocol

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bus, Clock, Journal, Message
from core.runs.service import Handled
from events.encode import encode
from events.ids import fanout_child_id
from events.payloads import FanoutRequested, RunRequested
from events.types import RUN_REQUESTED, Event, FleetEvent, OrgId, Outgoing

PART_REQUESTS_MAX: Final = 200
"""Requests that are handed on together: a bucket of thousands of orgs is never held in memory."""

OrgNames = Callable[[], Iterator[OrgId | None]]
"""Finds the org of every database in the bucket, None for a name that is no org's; raises OrgError BUCKET_*."""


class HandOn(Protocol):
    """Takes a part of the requests on."""

    def __call__(self, requests: Sequence[Event], *, until: float) -> OrgError | None:
        """Return when every request is safe (published, or carried out); an error if one has to come again.

        Raises OrgError where there is no sense in going on with other orgs.
        """
        ...


@dataclass(frozen=True, slots=True)
class FanoutReport:
    """What a fan-out did."""

    orgs_asked: int
    orgs_left_out: int
    """By include and exclude."""
    names_skipped: int
    """Objects among the databases whose names are no org's."""
    unsafe: OrgError | None = None
    """Why the fan-out has to come again, although it asked for all runs."""


class Fanout:
    """Asks for runs; safe to call from many threads."""

    def __init__(self, orgs: OrgNames, hand_on: HandOn, clock: Clock, journal: Journal) -> None:
        self._orgs = orgs
        self._hand_on = hand_on
        self._clock = clock
        self._journal = journal

    def handle(self, event: FleetEvent, *, until: float) -> Handled:
        """Carry a fan-out to its end; raises nothing that an operator could act on (it is in the result)."""
        try:
            error = self.ask(event, until=until).unsafe
        except OrgError as raised:
            error = raised
        if error is None:
            return Handled("done")
        self._journal.error(error.code.value, event_id=event.id, detail=error.detail, hint=error.hint)
        return Handled("retry", error=error)

    def ask(self, event: FleetEvent, *, until: float) -> FanoutReport:
        """Return when every org was asked for; raises OrgError, and then some requests may have been handed on."""
        asked = left_out = skipped = 0
        unsafe: OrgError | None = None
        names = self._orgs()
        while part := tuple(islice(names, PART_REQUESTS_MAX)):
            if self._clock.monotonic() > until:
                raise OrgError(ErrorCode.LEASE_BUSY, detail=f"the fan-out did not end in time; {asked} orgs were asked")
            orgs = tuple(org for org in part if org is not None)
            wanted = tuple(org for org in orgs if is_wanted(org, event.data))
            if wanted:
                error = self._hand_on([child_of(event, org) for org in wanted], until=until)
                unsafe = unsafe or error
            asked, left_out = asked + len(wanted), left_out + len(orgs) - len(wanted)
            skipped += len(part) - len(orgs)
        if skipped:
            self._journal.warning("names_skipped", event_id=event.id, objects=skipped)
        self._journal.info("fanned_out", event_id=event.id, orgs=asked, left_out=left_out)
        return FanoutReport(asked, left_out, skipped, unsafe)


def is_wanted(org_id: OrgId, wish: FanoutRequested) -> bool:
    """Whether an org matches one of the patterns to include (all do where there is none) and none to exclude."""
    is_included = not wish.include or _matches(org_id, wish.include)
    return is_included and not _matches(org_id, wish.exclude)


def child_of(event: FleetEvent, org_id: OrgId) -> Event:
    """Return the request for one org. Its source is the fan-out's, whose ids are unique there and nowhere else."""
    return Event(
        id=fanout_child_id(event.id, org_id),
        source=event.source,
        type=RUN_REQUESTED,
        org_id=org_id,
        data=RunRequested(as_of=event.data.as_of, force=event.data.force),
        traceparent=event.traceparent,
    )


def published_requests(bus: Bus, topic: str, clock: Clock) -> HandOn:
    """Hand requests on to whoever reads a topic, this service among them."""

    def hand_on(requests: Sequence[Event], *, until: float) -> OrgError | None:  # noqa: ARG001 - the bus has its own
        now = clock.now_utc()
        outgoing = (
            Outgoing(id=r.id, source=r.source, data=r.data, org_id=r.org_id, time=now, traceparent=r.traceparent)
            for r in requests
        )
        bus.publish_many([Message(topic, *encode(event)) for event in outgoing])
        return None

    return hand_on


class CarryOut(Protocol):
    """Handles one event, as `core.runs.service.Service.handle` does."""

    def __call__(self, event: Event, *, until: float) -> Handled:
        """Carry one event to its end."""
        ...


def carried_out_here(
    carry_out: CarryOut,
    clock: Clock,
    *,
    runs_at_once: int,
    wait_seconds_max: float,
    told: Callable[[Event, Handled], None] = lambda _event, _handled: None,
) -> HandOn:
    """Run the orgs in this process, for a bus that nobody reads requests from.

    Every request is tried, whatever became of the others; ``told`` hears of each, on a thread of its own. No run waits for
    its org longer than ``wait_seconds_max``.
    """

    def one(request: Event, until: float) -> Handled:
        handled = carry_out(request, until=min(until, clock.monotonic() + wait_seconds_max))
        told(request, handled)
        return handled

    def hand_on(requests: Sequence[Event], *, until: float) -> OrgError | None:
        with ThreadPoolExecutor(runs_at_once, thread_name_prefix="fanout") as threads:
            outcomes = list(threads.map(lambda request: one(request, until), requests))
        return next((unfinished(handled) for handled in outcomes if not handled.acknowledged), None)

    return hand_on


def unfinished(handled: Handled) -> OrgError:
    """Return why an event has to come again."""
    return handled.error or OrgError(ErrorCode.SCHEDULER_FAILED, detail="the message was not finished")


def _matches(org_id: OrgId, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(org_id, pattern) for pattern in patterns)
