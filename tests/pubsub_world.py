"""Topics and subscriptions of a running emulator, and the pulls of a patient reader."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient  # type: ignore[import-untyped]
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from events.encode import encode
from events.types import Outgoing
from events.wire import PubSubMessage

PROJECT = "test-project"


class PubsubWorld:
    """One project of an emulator; names are short ones."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._channel = grpc.insecure_channel(host)
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self._subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))

    @property
    def settings(self) -> dict[str, str]:
        """What a process of ours needs to use it."""
        return {"PUBSUB_PROJECT": PROJECT, "PUBSUB_EMULATOR_HOST": self.host}

    def topic(self, name: str) -> None:
        self._publisher.create_topic(request={"name": f"projects/{PROJECT}/topics/{name}"})

    def subscription(self, name: str, topic: str, **options: Any) -> None:
        path = f"projects/{PROJECT}/subscriptions/{name}"
        quick = {"retry_policy": {"minimum_backoff": {"nanos": 100_000_000}, "maximum_backoff": {"seconds": 1}}}
        request = {"name": path, "topic": f"projects/{PROJECT}/topics/{topic}", **quick, **options}
        self._subscriber.create_subscription(request=request)

    def dead_letter_policy(self, topic: str) -> dict[str, Any]:
        """Options of a subscription that gives up as early as Pub/Sub lets it."""
        dead_letter_topic = f"projects/{PROJECT}/topics/{topic}"
        return {"dead_letter_policy": {"dead_letter_topic": dead_letter_topic, "max_delivery_attempts": 5}}

    def push_config(self, port: int) -> dict[str, Any]:
        """Options of a subscription that pushes to a server on this machine."""
        return {"push_config": {"push_endpoint": f"http://127.0.0.1:{port}/"}, "ack_deadline_seconds": 60}

    def publish(self, topic: str, attributes: dict[str, str], data: bytes = b"") -> str:
        """Return the id that Pub/Sub gave the message."""
        path = f"projects/{PROJECT}/topics/{topic}"
        return str(self._publisher.publish(path, data, **attributes).result(timeout=10))

    def publish_event(self, topic: str, event: Outgoing) -> str:
        return self.publish(topic, *encode(event))

    def pull(self, subscription: str, count: int, *, within_seconds: float = 20) -> list[PubSubMessage]:
        """Take so many messages, or what there is when the time is up."""
        path = f"projects/{PROJECT}/subscriptions/{subscription}"
        messages: list[PubSubMessage] = []
        until = time.monotonic() + within_seconds
        while len(messages) < count and time.monotonic() < until:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                # A pull that waits, and is given up here, goes on waiting in the emulator and swallows what comes.
                request = {"subscription": path, "max_messages": 100, "return_immediately": True}
                received = self._subscriber.pull(request=request, timeout=10).received_messages
            messages += [PubSubMessage(data=r.message.data, attributes=dict(r.message.attributes)) for r in received]
            if received:
                self._subscriber.acknowledge(
                    request={"subscription": path, "ack_ids": [item.ack_id for item in received]}
                )
            else:
                time.sleep(0.05)
        return messages

    def bring_again(self, subscription: str) -> None:
        """What is not acknowledged comes again now.

        By itself the emulator gives it to a stream that was killed as gladly as to one that lives, and that costs a minute.
        """
        path = f"projects/{PROJECT}/subscriptions/{subscription}"
        self._subscriber.seek(request={"subscription": path, "time": datetime.now(UTC) - timedelta(hours=1)})

    def is_empty(self, subscription: str, *, for_seconds: float) -> bool:
        """Whether nothing comes for a while."""
        return not self.pull(subscription, 1, within_seconds=for_seconds)

    def close(self) -> None:
        self._channel.close()


@contextmanager
def pubsub_world(host: str) -> Iterator[PubsubWorld]:
    world = PubsubWorld(host)
    try:
        yield world
    finally:
        world.close()
