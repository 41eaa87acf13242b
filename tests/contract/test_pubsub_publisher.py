"""The publisher against Google's own emulator."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import grpc  # type: ignore[import-untyped]
import pytest
from google.cloud.pubsub_v1 import PublisherClient  # type: ignore[import-untyped]
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bus, Message
from infra.pubsub import PubsubBus, PubsubLimits
from infra.settings import Settings
from tests.emulator import pubsub_emulator

PROJECT = "test-project"
TOPIC = f"projects/{PROJECT}/topics/completions"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/reader"
ONE = Message("completions", {"ce-id": "1", "ce-type": "com.emailscheduler.run.completed.v1"}, b'{"a": 1}')
FAST = PubsubLimits(timeout_seconds=2, deadline_seconds=2)


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with pubsub_emulator() as host:
        yield host


@pytest.fixture
def reader(emulator: str) -> Iterator[SubscriberClient]:
    """A topic and a subscription, new for each test."""
    channel = grpc.insecure_channel(emulator)
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    publisher.create_topic(request={"name": TOPIC})
    subscriber.create_subscription(request={"name": SUBSCRIPTION, "topic": TOPIC})
    yield subscriber
    subscriber.delete_subscription(request={"subscription": SUBSCRIPTION})
    publisher.delete_topic(request={"topic": TOPIC})
    channel.close()


def connect(host: str, limits: PubsubLimits = FAST) -> PubsubBus:
    return PubsubBus.connect(Settings(pubsub_project=PROJECT, pubsub_emulator_host=host), limits)


def received(reader: SubscriberClient, count: int) -> list[Message]:
    messages: list[Message] = []
    until = time.monotonic() + 10
    while len(messages) < count and time.monotonic() < until:
        pulled = reader.pull(request={"subscription": SUBSCRIPTION, "max_messages": 100}, timeout=5)
        for item in pulled.received_messages:
            messages.append(Message("completions", dict(item.message.attributes), item.message.data))
            reader.acknowledge(request={"subscription": SUBSCRIPTION, "ack_ids": [item.ack_id]})
    return messages


def test_what_was_published_arrives_with_its_attributes(emulator: str, reader: SubscriberClient) -> None:
    with closing(connect(emulator)) as bus:
        port: Bus = bus
        port.publish(ONE)
        port.publish(ONE._replace(data=b"\xff" * 1_000_000))
    arrived = received(reader, 2)
    assert ONE in arrived
    assert max(len(message.data) for message in arrived) == 1_000_000


def test_many_threads_share_a_publisher(emulator: str, reader: SubscriberClient) -> None:
    with closing(connect(emulator)) as bus:
        threads = [
            threading.Thread(target=bus.publish, args=(Message("completions", {"n": str(n)}, b"x"),)) for n in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(int(m.attributes["n"]) for m in received(reader, 50)) == list(range(50))


def test_the_environment_does_not_lead_elsewhere(
    emulator: str, reader: SubscriberClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{_closed_port()}")
    with closing(connect(emulator)) as bus:
        bus.publish(ONE)
    assert received(reader, 1) == [ONE]


def test_a_topic_that_does_not_exist_is_named(emulator: str) -> None:
    with closing(connect(emulator)) as bus, pytest.raises(OrgError, match="publish to nowhere: NOT_FOUND") as caught:
        bus.publish(ONE._replace(topic="nowhere"))
    assert caught.value.code is ErrorCode.BUS_UNREACHABLE
    assert "COMPLETION_TOPIC" in caught.value.hint


def test_a_message_over_the_limit_is_refused(emulator: str, reader: SubscriberClient) -> None:
    with closing(connect(emulator)) as bus, pytest.raises(OrgError, match="MessageTooLargeError"):
        bus.publish(ONE._replace(data=b"x" * 10_000_001))


def test_closing_twice_is_closing_and_a_closed_bus_says_so(emulator: str) -> None:
    bus = connect(emulator)
    bus.close()
    bus.close()
    with pytest.raises(OrgError) as caught:
        bus.publish(ONE)
    assert caught.value.code is ErrorCode.BUS_UNREACHABLE


def test_an_unreachable_bus_is_given_up_in_time() -> None:
    start = time.monotonic()
    limits = PubsubLimits(timeout_seconds=0.3, deadline_seconds=0.5)
    with closing(connect(f"127.0.0.1:{_closed_port()}", limits)) as bus, pytest.raises(OrgError) as caught:
        bus.publish(ONE)
    assert caught.value.code is ErrorCode.BUS_UNREACHABLE
    assert caught.value.retryable
    assert time.monotonic() - start < 5


def test_an_attribute_that_the_client_would_take_for_its_own_is_a_mistake() -> None:
    with closing(connect(f"127.0.0.1:{_closed_port()}")) as bus, pytest.raises(ValueError, match="may not be named"):
        bus.publish(Message("completions", {"timeout": "1"}, b""))


def test_without_a_project_there_is_no_bus() -> None:
    with pytest.raises(OrgError, match="PUBSUB_PROJECT"):
        PubsubBus.connect(Settings())


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_many_messages_are_all_there_when_the_call_returns(emulator: str, reader: SubscriberClient) -> None:
    with closing(connect(emulator)) as bus:
        bus.publish_many([Message("completions", {"n": str(n)}, b"x") for n in range(250)])
    assert sorted(int(m.attributes["n"]) for m in received(reader, 250)) == list(range(250))


def test_one_that_fails_is_told_and_the_others_arrive(emulator: str, reader: SubscriberClient) -> None:
    lost = ONE._replace(topic="nowhere")
    with closing(connect(emulator)) as bus, pytest.raises(OrgError, match="publish to nowhere: NOT_FOUND"):
        bus.publish_many([ONE, lost, ONE])
    assert received(reader, 2) == [ONE, ONE]
