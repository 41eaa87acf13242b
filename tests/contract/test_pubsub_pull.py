"""Streaming pull against Google's own emulator: what is done is forgotten, what is not comes again, nothing comes twice."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from core.runs.errors import ErrorCode, OrgError
from events.wire import PubSubMessage
from infra.pubsub_pull import PubsubPull
from infra.settings import Settings
from tests.emulator import pubsub_emulator
from tests.pubsub_world import PROJECT, PubsubWorld, pubsub_world

NUMBERS = count(1)


@pytest.fixture(scope="module")
def world() -> Iterator[PubsubWorld]:
    with pubsub_emulator() as host, pubsub_world(host) as connected:
        yield connected


@pytest.fixture
def requests(world: PubsubWorld) -> str:
    """A topic with one subscription of the same name, new for each test."""
    name = f"requests-{next(NUMBERS)}"
    world.topic(name)
    world.subscription(name, name, ack_deadline_seconds=10)
    return name


class Carrier:
    """Keeps what comes; a hook says what becomes of it."""

    def __init__(self, verdict: Callable[[PubSubMessage], float | None] = lambda _: None) -> None:
        self.messages: list[PubSubMessage] = []
        self.broken: list[OrgError] = []
        self._verdict = verdict
        self._changed = threading.Condition()

    def carry(self, message: PubSubMessage) -> float | None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
        return self._verdict(message)

    def tell_broken(self, error: OrgError) -> None:
        with self._changed:
            self.broken.append(error)
            self._changed.notify_all()

    def wait_for(self, messages: int, seconds: float = 15) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= messages, seconds), len(self.messages)


def connect(world: PubsubWorld, *subscriptions: str, places: int = 8) -> PubsubPull:
    settings = Settings(pubsub_project=PROJECT, pubsub_emulator_host=world.host)
    return PubsubPull.connect(settings, subscriptions, places=places)


@contextmanager
def pulling(pull: PubsubPull, carrier: Carrier) -> Iterator[None]:
    pull.start(carrier.carry, carrier.tell_broken)
    try:
        yield
    finally:
        pull.stop()
        assert pull.join(time.monotonic() + 20)


def test_a_message_of_attributes_only_comes_with_all_that_is_known_of_it(world: PubsubWorld, requests: str) -> None:
    carrier = Carrier()
    with pulling(connect(world, requests), carrier):
        message_id = world.publish(requests, {"org_id": "acme"})
        carrier.wait_for(1)
    (message,) = carrier.messages
    assert (message.data, message.attributes) == (b"", {"org_id": "acme"})
    assert message.delivery.message_id == message_id
    assert message.delivery.subscription == f"projects/{PROJECT}/subscriptions/{requests}"
    assert message.delivery.publish_time is not None
    assert message.delivery.publish_time.utcoffset() is not None
    assert world.is_empty(requests, for_seconds=1)
    assert carrier.broken == []


def test_what_is_not_done_comes_again_and_not_before_its_time(world: PubsubWorld, requests: str) -> None:
    moments: list[float] = []

    def verdict(_: PubSubMessage) -> float | None:
        moments.append(time.monotonic())
        return 2.0 if len(moments) == 1 else None

    carrier = Carrier(verdict)
    with pulling(connect(world, requests), carrier):
        world.publish(requests, {"org_id": "acme"})
        carrier.wait_for(2)
    assert moments[1] - moments[0] > 1.5
    assert world.is_empty(requests, for_seconds=1)


def test_a_large_message_comes_whole(world: PubsubWorld, requests: str) -> None:
    carrier = Carrier()
    with pulling(connect(world, requests), carrier):
        world.publish(requests, {"org_id": "acme"}, b"x" * 6_000_000)
        carrier.wait_for(1)
    assert len(carrier.messages[0].data) == 6_000_000


def test_one_worker_reads_several_subscriptions(world: PubsubWorld, requests: str) -> None:
    bulk = f"bulk-{next(NUMBERS)}"
    world.topic(bulk)
    world.subscription(bulk, bulk)
    carrier = Carrier()
    with pulling(connect(world, requests, bulk), carrier):
        world.publish(requests, {"org_id": "a"})
        world.publish(bulk, {"org_id": "b"})
        carrier.wait_for(2)
    assert sorted(message.attributes["org_id"] for message in carrier.messages) == ["a", "b"]


def test_no_more_messages_are_here_at_once_than_there_are_places(world: PubsubWorld, requests: str) -> None:
    here, most, lock = 0, 0, threading.Lock()

    def verdict(_: PubSubMessage) -> float | None:
        nonlocal here, most
        with lock:
            here += 1
            most = max(most, here)
        time.sleep(0.05)
        with lock:
            here -= 1
        return None

    carrier = Carrier(verdict)
    for n in range(20):
        world.publish(requests, {"n": str(n)})
    with pulling(connect(world, requests, places=3), carrier):
        carrier.wait_for(20)
    assert sorted(int(m.attributes["n"]) for m in carrier.messages) == list(range(20))
    assert most == 3


def test_a_lease_is_kept_up_for_longer_than_the_ack_deadline_and_a_stop_waits_for_what_was_taken(
    world: PubsubWorld, requests: str
) -> None:
    go_on = threading.Event()

    def verdict(_: PubSubMessage) -> float | None:
        assert go_on.wait(30)
        return None

    carrier = Carrier(verdict)
    pull = connect(world, requests, places=1)
    pull.start(carrier.carry, carrier.tell_broken)
    world.publish(requests, {"n": "1"})
    carrier.wait_for(1)
    time.sleep(11)  # the deadline is 10 s
    pull.stop()
    assert not pull.join(time.monotonic() + 0.3)
    go_on.set()
    assert pull.join(time.monotonic() + 20)
    assert len(carrier.messages) == 1
    assert world.is_empty(requests, for_seconds=1)


def test_a_subscription_that_does_not_exist_is_named(world: PubsubWorld) -> None:
    carrier = Carrier()
    pull = connect(world, "nowhere")
    pull.start(carrier.carry, carrier.tell_broken)
    until = time.monotonic() + 15
    while not carrier.broken and time.monotonic() < until:
        time.sleep(0.05)
    (error,) = carrier.broken
    assert error.code is ErrorCode.BUS_UNREACHABLE
    assert error.detail == "pull from nowhere: NOT_FOUND"
    pull.stop()
    assert pull.join(time.monotonic() + 5)


def test_without_a_project_there_is_nothing_to_pull_from() -> None:
    with pytest.raises(OrgError, match="PUBSUB_PROJECT") as caught:
        PubsubPull.connect(Settings(), ["requests"], places=1)
    assert caught.value.code is ErrorCode.SETTINGS_INVALID
