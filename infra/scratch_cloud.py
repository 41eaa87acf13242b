"""Things in the real cloud that one trial makes and takes away again: topics, subscriptions, every version of some objects.

All of it has the trial's own name in its name, and nothing else is ever deleted.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

import grpc  # type: ignore[import-untyped]
from google.api_core.exceptions import DeadlineExceeded, NotFound
from google.cloud.storage import Client
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from events.pubsub_binding import PubSubMessage
from events.types import Delivery
from infra.credentials import PUBSUB_SCOPES, google_credentials
from infra.settings import Settings

_NAME: Final = re.compile(r"smoke-[0-9a-f]{12}")
_CALL_SECONDS: Final = 30.0
_PULL_SECONDS: Final = 5.0
_ACK_SECONDS: Final = 60
PREFIXES: Final = (
    "org-data/{}.db",
    "org-delta/{}/",
    "org-lease/{}",
    "org-lease-clock/{}",
    "org-status/{}.json",
    "backups/{}/",
)
"""Where an org has objects."""


class Queue(NamedTuple):
    """A topic and its only subscription, by their full names."""

    topic: str
    subscription: str


class ScratchTopics:
    """Two queues of one trial."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._publisher, self._subscriber = _clients(settings)
        path = f"projects/{settings.pubsub_project}"
        self.requests, self.completions = (
            Queue(f"{path}/topics/{checked(name)}-{use}", f"{path}/subscriptions/{name}-{use}")
            for use in ("requests", "completions")
        )

    @contextmanager
    def made(self) -> Iterator["ScratchTopics"]:
        """Make them, and delete whatever of them is there in the end."""
        queues = (self.requests, self.completions)
        try:
            for queue in queues:
                self._publisher.create_topic(request={"name": queue.topic}, timeout=_CALL_SECONDS)
                self._subscriber.create_subscription(
                    request={"name": queue.subscription, "topic": queue.topic, "ack_deadline_seconds": _ACK_SECONDS},
                    timeout=_CALL_SECONDS,
                )
            yield self
        finally:
            for queue in queues:
                self._delete(queue)
            self._publisher.transport.close()
            self._subscriber.transport.close()

    def publish(self, attributes: Mapping[str, str], data: bytes) -> None:
        """Ask for something."""
        message = {"data": data, "attributes": dict(attributes)}
        request = {"topic": self.requests.topic, "messages": [message]}
        self._publisher.publish(request=request, timeout=_CALL_SECONDS)

    def take(self, queue: Queue, seconds_max: float) -> PubSubMessage | None:
        """Return and acknowledge the next message, None if none came in time."""
        until = time.monotonic() + seconds_max
        while time.monotonic() < until:
            request = {"subscription": queue.subscription, "max_messages": 1}
            try:
                pulled = self._subscriber.pull(request=request, timeout=_PULL_SECONDS)
            except DeadlineExceeded:
                continue
            for received in pulled.received_messages:
                self._subscriber.acknowledge(
                    request={"subscription": queue.subscription, "ack_ids": [received.ack_id]}, timeout=_CALL_SECONDS
                )
                message = received.message
                delivery = Delivery(message_id=message.message_id, subscription=queue.subscription)
                return PubSubMessage(data=message.data, attributes=dict(message.attributes), delivery=delivery)
        return None

    def _delete(self, queue: Queue) -> None:
        for delete, request in (
            (self._subscriber.delete_subscription, {"subscription": queue.subscription}),
            (self._publisher.delete_topic, {"topic": queue.topic}),
        ):
            with suppress(NotFound):  # the trial may have ended before it was made
                delete(request=request, timeout=_CALL_SECONDS)


def delete_every_version(client: Client, bucket: str, name: str) -> int:
    """Delete the objects of the org that a trial was called after, live and replaced; returns how many versions."""
    checked(name)
    deleted = 0
    for prefix in PREFIXES:
        for blob in client.list_blobs(bucket, prefix=prefix.format(name), versions=True, timeout=_CALL_SECONDS):
            blob.delete(timeout=_CALL_SECONDS)  # what was listed with versions is deleted by its generation
            deleted += 1
    return deleted


def checked(name: str) -> str:
    """Return a trial's name; raises ValueError for anything that could be somebody's org."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a trial")
    return name


def _clients(settings: Settings) -> tuple[Any, Any]:
    if settings.pubsub_emulator_host is not None:
        channel = grpc.insecure_channel(settings.pubsub_emulator_host)
        return (
            PublisherClient(transport=PublisherGrpcTransport(channel=channel)),
            SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)),
        )
    credentials = google_credentials(settings.gcs_keyfile_json, PUBSUB_SCOPES)
    return PublisherClient(credentials=credentials), SubscriberClient(credentials=credentials)
