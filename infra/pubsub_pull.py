"""Streaming pull: messages come as fast as they are carried, and each is kept from coming twice while it is.

Nothing here survives a fork (gRPC does not): make it after.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import SubscriberClient  # type: ignore[import-untyped]
from google.cloud.pubsub_v1.subscriber.futures import StreamingPullFuture  # type: ignore[import-untyped]
from google.cloud.pubsub_v1.subscriber.message import Message as Pulled  # type: ignore[import-untyped]
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler  # type: ignore[import-untyped]
from google.cloud.pubsub_v1.types import FlowControl  # type: ignore[import-untyped]
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from core.runs.errors import OrgError
from events.types import Delivery
from events.wire import PubSubMessage
from infra.pubsub_client import connection, plain_time, reason_of, require_project, unreachable
from infra.settings import Settings

LEASE_SECONDS_MAX: Final = 3_600.0
"""How long a message is kept from coming again while it is carried; past that it does, and joins its twin."""
BYTES_MAX: Final = 200_000_000
"""Of messages that are here at once: twenty of the largest."""

Carry = Callable[[PubSubMessage], float | None]
"""Carries a message to its end. None: it may be forgotten. Seconds: it has to come again, and not sooner than that."""


class _Threads(ThreadScheduler):  # type: ignore[misc]
    """Google's scheduler, except that a message which comes to a closed pool goes back at once.

    The client keeps what it has no place for, and hands it over when a place is free: also after a stop, when the last
    callbacks end. There it would be forgotten until its deadline has passed.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pull")
        super().__init__(self._pool)

    def schedule(self, callback: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Run the callback on a thread; the first argument is the message."""
        try:
            self._pool.submit(callback, *args, **kwargs)
        except RuntimeError:  # shut down
            args[0].nack()


class PubsubPull:
    """Streams of some subscriptions of one project, and one number of messages that may be here at once."""

    def __init__(self, client: SubscriberClient, project: str, subscriptions: Sequence[str], places: int) -> None:
        self._client = client
        self._paths = [f"projects/{project}/subscriptions/{name}" for name in subscriptions]
        self._places_each = max(1, places // len(subscriptions))
        self._streams: list[StreamingPullFuture] = []
        self._is_stopping = False

    @classmethod
    def connect(cls, settings: Settings, subscriptions: Sequence[str], *, places: int) -> "PubsubPull":
        """Make the client that the settings ask for; nothing is pulled yet.

        Raises OrgError SETTINGS_INVALID, KEYFILE_INVALID or KEYFILE_MISSING.
        """
        project = require_project(
            settings, "there is nothing to pull from; `emailsched serve` takes messages over HTTP"
        )
        return cls(SubscriberClient(**connection(settings, SubscriberGrpcTransport)), project, subscriptions, places)

    def start(self, carry: Carry, broken: Callable[[OrgError], None]) -> None:
        """Begin. ``carry`` is called on many threads and must not raise; ``broken`` where a stream ended for good."""
        for path in self._paths:
            stream = self._client.subscribe(
                path,
                callback=self._callback(path, carry),
                flow_control=FlowControl(
                    max_messages=self._places_each,
                    max_bytes=BYTES_MAX // len(self._paths),
                    max_lease_duration=LEASE_SECONDS_MAX,
                ),
                scheduler=_Threads(self._places_each),
                await_callbacks_on_shutdown=True,
            )
            self._streams.append(stream)
            stream.add_done_callback(lambda ended, path=path: self._ended(ended, path, broken))

    def stop(self) -> None:
        """Take no more messages; those that wait for a thread go back. Leases of the others are kept up."""
        self._is_stopping = True
        for stream in self._streams:
            stream.cancel()

    def join(self, until: float) -> bool:
        """After ``stop``, wait until all that was taken is answered; False if it was not by a monotonic moment."""
        for stream in self._streams:
            try:
                stream.result(timeout=max(0.0, until - time.monotonic()))
            except TimeoutError:
                return False
            except (api.GoogleAPIError, GoogleAuthError):
                continue  # it ended long ago, and `broken` has told why
        self._client.close()
        return True

    def _callback(self, path: str, carry: Carry) -> Callable[[Pulled], None]:
        def callback(pulled: Pulled) -> None:
            come_again_seconds = carry(_message_of(pulled, path))
            if come_again_seconds is None:
                pulled.ack()
                return
            # Not a nack: where the subscription has no retry policy that comes back at once, again and again, until
            # its attempts are used up.
            pulled.modify_ack_deadline(max(0, round(come_again_seconds)))
            pulled.drop()

        return callback

    def _ended(self, stream: StreamingPullFuture, path: str, broken: Callable[[OrgError], None]) -> None:
        error = stream.exception(timeout=0)
        if not self._is_stopping:
            name = path.rpartition("/")[2]
            broken(unreachable(f"pull from {name}", "the stream ended" if error is None else reason_of(error)))


def _message_of(pulled: Pulled, path: str) -> PubSubMessage:
    attempt: Any = pulled.delivery_attempt
    return PubSubMessage(
        data=pulled.data,
        attributes=dict(pulled.attributes),
        delivery=Delivery(
            message_id=pulled.message_id or None,
            subscription=path,
            delivery_attempt=attempt or None,
            ordering_key=pulled.ordering_key or None,
            publish_time=plain_time(pulled.publish_time),
        ),
    )
