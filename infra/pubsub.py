"""The ``Bus`` on Google Cloud Pub/Sub: a publication returns when the service has the message, or fails in bounded time.

Messages of several threads may share a request. Nothing here survives a fork (gRPC does not): make it after.
"""

import concurrent.futures
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.api_core import exceptions as api
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import PublisherClient  # type: ignore[import-untyped]
from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError  # type: ignore[import-untyped]
from google.cloud.pubsub_v1.types import (  # type: ignore[import-untyped]
    BatchSettings,
    LimitExceededBehavior,
    PublisherOptions,
    PublishFlowControl,
)
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from core.runs.errors import OrgError
from core.runs.ports import Message
from infra.pubsub_client import connection, reason_of, require_project, unreachable
from infra.settings import Settings

_PASSING: Final = if_exception_type(
    api.Aborted,
    api.Cancelled,
    api.DeadlineExceeded,
    api.InternalServerError,
    api.ResourceExhausted,
    api.ServiceUnavailable,
    api.Unknown,
)
"""What is worth another try: the client's own list for publish."""

_BATCH: Final = BatchSettings(max_bytes=1_000_000, max_latency=0.01, max_messages=100)
_FLOW: Final = PublishFlowControl(
    message_limit=1_000, byte_limit=100_000_000, limit_exceeded_behavior=LimitExceededBehavior.BLOCK
)
_RESERVED_ATTRIBUTES: Final = frozenset({"topic", "data", "ordering_key", "retry", "timeout"})
"""The client takes attributes as keyword arguments, beside its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PubsubLimits:
    """Bounds on time."""

    timeout_seconds: float = 60.0
    """One attempt."""
    deadline_seconds: float = 120.0
    """All attempts; ``publish`` gives up ``GRACE_SECONDS`` later at the latest."""


GRACE_SECONDS: Final = 5.0
"""For the batch to be sent and for the answer to be handed over."""


class PubsubBus:
    """Publishes to the topics of one project; topics are named by their short names."""

    def __init__(self, client: PublisherClient, project: str, limits: PubsubLimits | None = None) -> None:
        self._client = client
        self._project = project
        self._limits = limits or PubsubLimits()
        self._in_flight: set[concurrent.futures.Future[str]] = set()
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def connect(cls, settings: Settings, limits: PubsubLimits | None = None) -> "PubsubBus":
        """Make the client that the settings ask for; nothing is sent yet.

        Raises OrgError SETTINGS_INVALID, KEYFILE_INVALID or KEYFILE_MISSING.
        """
        project = require_project(settings)
        if limits is None:
            limits = PubsubLimits(
                timeout_seconds=settings.bucket_timeout_seconds, deadline_seconds=settings.bucket_deadline_seconds
            )
        return cls(_client(settings, limits), project, limits)

    def publish(self, message: Message) -> None:
        """Return when Pub/Sub has the message; raises OrgError BUS_UNREACHABLE (it may have arrived nevertheless)."""
        self.publish_many([message])

    def publish_many(self, messages: Sequence[Message]) -> None:
        """Return when Pub/Sub has all messages, sent in as few requests as the batch settings allow.

        Every one is tried; the first that failed is told.
        """
        sent: list[tuple[str, concurrent.futures.Future[str]]] = []
        failure: OrgError | None = None
        try:
            sent.extend((message.topic, self._send(message)) for message in messages)
        except OrgError as error:  # what was sent before is waited for nevertheless
            failure = error
        until = time.monotonic() + self._limits.deadline_seconds + GRACE_SECONDS
        for topic, future in sent:
            error_of_this = self._failure_of(topic, future, until)
            failure = failure or error_of_this
        if failure is not None:
            raise failure

    def _send(self, message: Message) -> "concurrent.futures.Future[str]":
        """Hand a message to the client; waits where too much is in flight already."""
        if not _RESERVED_ATTRIBUTES.isdisjoint(message.attributes):
            raise ValueError(f"attributes may not be named {', '.join(sorted(_RESERVED_ATTRIBUTES))}")
        topic = f"projects/{self._project}/topics/{message.topic}"
        try:
            future: concurrent.futures.Future[str] = self._client.publish(topic, message.data, **message.attributes)
        except (RuntimeError, MessageTooLargeError) as error:  # the client is stopped; over 10 MB
            raise unreachable(f"publish to {message.topic}", type(error).__name__) from error
        with self._lock:
            self._in_flight.add(future)
        return future

    def _failure_of(self, topic: str, future: "concurrent.futures.Future[str]", until: float) -> OrgError | None:
        """Wait for an answer up to a monotonic moment; None: Pub/Sub has the message."""
        try:
            future.result(timeout=max(0.0, until - time.monotonic()))
        except (api.GoogleAPIError, GoogleAuthError, TimeoutError, MessageTooLargeError) as error:
            failure = unreachable(f"publish to {topic}", reason_of(error))
            failure.__cause__ = error
            return failure
        finally:
            with self._lock:
                self._in_flight.discard(future)
        return None

    def close(self) -> None:
        """Send what waits in batches, wait for its answers (bounded), and close the connection; may be called again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            in_flight = set(self._in_flight)
        self._client.stop()
        until = self._limits.deadline_seconds + GRACE_SECONDS
        for future in in_flight:
            _wait(future, until)
        self._client.transport.close()


def _wait(future: concurrent.futures.Future[str], seconds: float) -> None:
    """Wait for an answer; its error belongs to the thread that published."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    done.wait(seconds)


def _client(settings: Settings, limits: PubsubLimits) -> PublisherClient:
    retry = Retry(predicate=_PASSING, initial=0.1, multiplier=2.0, maximum=10.0, timeout=limits.deadline_seconds)
    options = PublisherOptions(flow_control=_FLOW, retry=retry, timeout=limits.timeout_seconds)
    return PublisherClient(
        batch_settings=_BATCH, publisher_options=options, **connection(settings, PublisherGrpcTransport)
    )
