"""Fan-out: one request per org of the bucket, with ids that repeat, and nothing acknowledged before all of them are safe."""

import threading
from collections.abc import Iterator, Sequence
from datetime import date

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.fanout import PART_REQUESTS_MAX, Fanout, FanoutReport, carried_out_here, published_requests
from core.runs.ports import Message
from core.runs.service import Handled
from events.ids import fanout_child_id
from events.limits import DEFAULT_LIMITS
from events.payloads import FanoutRequested
from events.types import FANOUT_REQUESTED, Event, FleetEvent, OrgId, RunRequested
from events.wire import PubSubMessage, decode_message
from infra.fence import database_orgs
from infra.memory_bucket import MemoryBucket
from infra.memory_bus import MemoryBus
from tests.clocks import FixedClock
from tests.journals import ListJournal

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def requested(event_id: str = "night-1", **wish: object) -> FleetEvent:
    data = FanoutRequested(**wish)  # type: ignore[arg-type]  # the tests give each field what it takes
    return FleetEvent(id=event_id, source="//tests", type=FANOUT_REQUESTED, data=data, traceparent=TRACE)


def bucket_of(*names: str) -> MemoryBucket:
    bucket = MemoryBucket()
    for name in names:
        bucket.write(name, b"x", if_generation_match=0, metadata={})
    return bucket


class World:
    """A fan-out over a bucket and a bus in memory."""

    def __init__(self, bucket: MemoryBucket) -> None:
        self.bus, self.clock, self.journal = MemoryBus(), FixedClock(), ListJournal()
        hand_on = published_requests(self.bus, "requests", self.clock)
        self.fanout = Fanout(lambda: database_orgs(bucket), hand_on, self.clock, self.journal)

    def ask(self, event: FleetEvent) -> FanoutReport:
        return self.fanout.ask(event, until=self.clock.monotonic() + 60)

    def handle(self, event: FleetEvent) -> Handled:
        return self.fanout.handle(event, until=self.clock.monotonic() + 60)

    def published(self) -> list[Event]:
        """What whoever reads the topic gets."""
        events = []
        for message in self.bus.messages:
            assert message.topic == "requests"
            (event,) = decode_message(PubSubMessage(data=message.data, attributes=message.attributes))
            assert isinstance(event, Event)
            events.append(event)
        return events


def test_every_org_of_the_bucket_is_asked_for_once() -> None:
    world = World(bucket_of("org-data/acme.db", "org-data/Beta_2.db", "org-status/acme.json", "org-lease/acme"))
    assert world.ask(requested(as_of=date(2026, 3, 2), force=True)) == FanoutReport(2, 0, 0)
    events = world.published()
    assert {(event.source, event.id, event.org_id) for event in events} == {
        ("//tests", "night-1/acme", "acme"),
        ("//tests", "night-1/Beta_2", "Beta_2"),
    }
    assert {event.data for event in events} == {RunRequested(as_of=date(2026, 3, 2), force=True)}
    assert {event.traceparent for event in events} == {TRACE}


def test_a_fan_out_that_comes_again_asks_for_the_same_runs() -> None:
    world = World(bucket_of("org-data/a.db", "org-data/b.db"))
    assert [world.handle(requested()).outcome for _ in range(2)] == ["done", "done"]
    first, second = world.published()[:2], world.published()[2:]
    assert [event.key for event in first] == [event.key for event in second]


@pytest.mark.parametrize(
    ("include", "exclude", "asked"),
    [
        ((), (), ["acme", "west-1", "west-2", "west-test"]),
        (("west-*",), (), ["west-1", "west-2", "west-test"]),
        (("west-?", "acme"), (), ["acme", "west-1", "west-2"]),
        ((), ("*-test", "acme"), ["west-1", "west-2"]),
        (("west-*",), ("west-*",), []),
        (("WEST-*",), (), []),  # case matters
        (("est-1",), (), []),  # the whole id
    ],
)
def test_patterns_choose_orgs(include: tuple[str, ...], exclude: tuple[str, ...], asked: list[str]) -> None:
    orgs = ("acme", "west-1", "west-2", "west-test")
    world = World(bucket_of(*(f"org-data/{org}.db" for org in orgs)))
    report = world.ask(requested(include=include, exclude=exclude))
    assert sorted(event.org_id for event in world.published()) == asked
    assert report == FanoutReport(len(asked), len(orgs) - len(asked), 0)


def test_names_that_are_no_orgs_are_counted_and_never_shown() -> None:
    names = ("org-data/ok.db", "org-data/notes.txt", "org-data/ada@example.com.db", "org-data/x/y.db", "org-data/.db")
    world = World(bucket_of(*names))
    assert world.ask(requested()) == FanoutReport(1, 0, 4)
    assert ("warning", "names_skipped", {"event_id": "night-1", "objects": 4}) in world.journal.records
    assert "ada" not in str(world.journal.records)


def test_a_bus_fault_makes_it_come_again() -> None:
    world = World(bucket_of("org-data/a.db", "org-data/b.db"))
    world.bus.fault = lambda message: "before" if message.attributes["ce-id"].endswith("/b") else None
    handled = world.handle(requested())
    assert handled.outcome == "retry"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.BUS_UNREACHABLE
    assert not handled.acknowledged


def test_a_bucket_fault_makes_it_come_again() -> None:
    def broken() -> Iterator[OrgId | None]:
        raise OrgError(ErrorCode.BUCKET_UNREACHABLE, detail="list")

    clock, journal = FixedClock(), ListJournal()
    fanout = Fanout(broken, published_requests(MemoryBus(), "requests", clock), clock, journal)
    assert fanout.handle(requested(), until=clock.monotonic() + 1).outcome == "retry"


def test_thousands_of_orgs_are_handed_on_part_by_part() -> None:
    parts: list[int] = []

    def hand_on(requests: Sequence[Event], *, until: float) -> OrgError | None:
        parts.append(len(requests))
        return None

    clock = FixedClock()
    orgs = [OrgId(f"org-{n}") for n in range(5 * PART_REQUESTS_MAX + 1)]
    fanout = Fanout(lambda: iter(orgs), hand_on, clock, ListJournal())
    assert fanout.ask(requested(), until=clock.monotonic() + 1).orgs_asked == len(orgs)
    assert parts == [*([PART_REQUESTS_MAX] * 5), 1]


def test_a_fan_out_that_takes_too_long_stops_between_two_parts_and_comes_again() -> None:
    clock, parts = FixedClock(), []

    def hand_on(requests: Sequence[Event], *, until: float) -> OrgError | None:
        parts.append(len(requests))
        clock.advance(40)
        return None

    orgs = [OrgId(f"org-{n}") for n in range(5 * PART_REQUESTS_MAX)]
    fanout = Fanout(lambda: iter(orgs), hand_on, clock, ListJournal())
    handled = fanout.handle(requested(), until=clock.monotonic() + 60)
    assert handled.outcome == "retry"
    assert len(parts) == 2


def test_without_a_bus_that_anybody_reads_the_orgs_are_run_here_and_all_are_tried() -> None:
    running, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(2, timeout=10)

    def carry_out(event: Event, *, until: float) -> Handled:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait()
        with lock:
            running -= 1
        if event.org_id == "b":
            return Handled("retry", error=OrgError(ErrorCode.LEASE_BUSY, event.org_id))
        return Handled("failed" if event.org_id == "c" else "done")

    told: dict[str, str] = {}
    clock = FixedClock()
    hand_on = carried_out_here(
        carry_out,
        clock,
        runs_at_once=2,
        wait_seconds_max=10,
        told=lambda event, handled: told.update({event.org_id: handled.outcome}),
    )
    fanout = Fanout(lambda: iter([OrgId(org) for org in "abcd"]), hand_on, clock, ListJournal())
    handled = fanout.handle(requested(), until=clock.monotonic() + 1)
    assert told == {"a": "done", "b": "retry", "c": "failed", "d": "done"}
    assert (handled.outcome, handled.error and handled.error.code) == ("retry", ErrorCode.LEASE_BUSY)
    assert most == 2


@pytest.mark.parametrize("length", [1, 191, 192, 256])
def test_the_id_of_a_request_fits_whatever_its_parent_is_called(length: int) -> None:
    parent, org = "p" * length, OrgId("o" * 64)
    child = fanout_child_id(parent, org)
    assert len(child) <= DEFAULT_LIMITS.id_characters_max
    assert child.endswith(f"/{org}")
    assert child.startswith(parent) is (length <= 191)
    assert child != fanout_child_id("q" * length, org)


def test_the_messages_of_many_orgs_go_to_the_bus_in_one_call() -> None:
    calls: list[Sequence[Message]] = []

    class Counting(MemoryBus):
        def publish_many(self, messages: Sequence[Message]) -> None:
            calls.append(messages)

    clock = FixedClock()
    fanout = Fanout(
        lambda: iter([OrgId(f"org-{n}") for n in range(100)]),
        published_requests(Counting(), "requests", clock),
        clock,
        ListJournal(),
    )
    fanout.ask(requested(), until=clock.monotonic() + 1)
    assert [len(messages) for messages in calls] == [100]
