"""The subscription with the messages that Pub/Sub gave up on: looked at without taking them, or taken for good."""

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import SubscriberClient  # type: ignore[import-untyped]
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from events.replay import DeadLetterMarks, marks_of
from events.types import Delivery
from events.wire import PubSubMessage
from infra.pubsub_client import connection, plain_time, reason_of, require_project, unreachable
from infra.settings import Settings

LETTERS_MAX: Final = 1_000
"""Of one look: they are all held until it is over, so that none is seen twice."""
PART_LETTERS_MAX: Final = 100

_HOLD_SECONDS: Final = 120
"""Longer than a look takes; after it, whatever was held and not given back is there again."""
_ANSWER_SECONDS: Final = 30.0
_EMPTY_PULLS: Final = 3
_PAUSE_SECONDS: Final = 0.4
"""Pub/Sub may answer a pull with nothing although there is something; it is asked again, after a pause."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message, held: nobody else gets it until it is released or forgotten."""

    ack_id: str
    message: PubSubMessage
    marks: DeadLetterMarks


class DeadLetters:
    """One subscription of dead letters."""

    def __init__(self, client: SubscriberClient, project: str, subscription: str) -> None:
        self._client = client
        self._project = project
        self._name = subscription
        self._path = f"projects/{project}/subscriptions/{subscription}"
        self._topics: dict[str, str | None] = {}

    @classmethod
    def connect(cls, settings: Settings) -> "DeadLetters":
        """Make the client; nothing is asked yet. Raises OrgError SETTINGS_INVALID, KEYFILE_INVALID or KEYFILE_MISSING."""
        project = require_project(
            settings, "without it there are no dead letters, because who sends is told 503 and sends again"
        )
        client = SubscriberClient(**connection(settings, SubscriberGrpcTransport))
        return cls(client, project, settings.dead_letter_subscription)

    def hold(self, limit: int) -> Iterator[list[DeadLetter]]:
        """Yield parts of at most PART_LETTERS_MAX, up to ``limit`` in all; raises OrgError BUS_UNREACHABLE."""
        held, empty, seen = 0, 0, set[str | None]()
        until = time.monotonic() + _HOLD_SECONDS / 2
        while held < limit and empty < _EMPTY_PULLS and time.monotonic() < until:
            part = list(self._pull(min(PART_LETTERS_MAX, limit - held)))
            fresh = [letter for letter in part if letter.message.delivery.message_id not in seen]
            seen.update(letter.message.delivery.message_id for letter in fresh)
            held, empty = held + len(fresh), empty + 1 if not fresh else 0
            if fresh:
                yield fresh
            else:
                time.sleep(_PAUSE_SECONDS)

    def release(self, letters: Sequence[DeadLetter]) -> None:
        """Give letters back at once, as if nobody had looked; raises OrgError BUS_UNREACHABLE."""
        self._extend([letter.ack_id for letter in letters], 0)

    def forget(self, letters: Sequence[DeadLetter]) -> None:
        """Take letters out of the subscription for good; raises OrgError BUS_UNREACHABLE."""
        if letters:
            ack_ids = [letter.ack_id for letter in letters]
            self._ask("acknowledge", subscription=self._path, ack_ids=ack_ids)

    def topic_of(self, marks: DeadLetterMarks) -> str | None:
        """Return the topic that a letter was first published to, None where Pub/Sub does not tell (any more, or us)."""
        if marks.subscription is None or marks.project != self._project:
            return None
        if marks.subscription not in self._topics:
            self._topics[marks.subscription] = self._look_up(marks.subscription)
        return self._topics[marks.subscription]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _pull(self, messages_max: int) -> Iterator[DeadLetter]:
        # Deprecated for readers that pull all day. A look is better off with an answer at once: what comes just after a
        # waiting pull was given up is kept from everybody until its deadline, which may be ten minutes.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pulled = self._ask("pull", subscription=self._path, max_messages=messages_max, return_immediately=True)
        ack_ids = [received.ack_id for received in pulled.received_messages]
        self._extend(ack_ids, _HOLD_SECONDS)
        for received in pulled.received_messages:
            message = PubSubMessage(
                data=received.message.data,
                attributes=dict(received.message.attributes),
                delivery=Delivery(
                    message_id=received.message.message_id or None,
                    publish_time=plain_time(received.message.publish_time),
                ),
            )
            yield DeadLetter(received.ack_id, message, marks_of(message.attributes))

    def _extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        if ack_ids:
            self._ask("modify_ack_deadline", subscription=self._path, ack_ids=ack_ids, ack_deadline_seconds=seconds)

    def _look_up(self, subscription: str) -> str | None:
        """Ask which topic a subscription reads; a name of another project, or of one that is gone, is of no use."""
        path = f"projects/{self._project}/subscriptions/{subscription}"
        try:
            topic = str(self._client.get_subscription(request={"subscription": path}, timeout=_ANSWER_SECONDS).topic)
        except (api.NotFound, api.PermissionDenied):
            return None
        except (api.GoogleAPIError, GoogleAuthError) as error:
            raise unreachable(f"look up {subscription}", reason_of(error)) from error
        prefix = f"projects/{self._project}/topics/"
        return topic.removeprefix(prefix) if topic.startswith(prefix) else None

    def _ask(self, method: str, **request: object) -> Any:
        """Make one call, bounded; raises OrgError BUS_UNREACHABLE."""
        try:
            return getattr(self._client, method)(request=request, timeout=_ANSWER_SECONDS)
        except (api.GoogleAPIError, GoogleAuthError) as error:
            raise unreachable(f"{method.replace('_', ' ')} of {self._name}", reason_of(error)) from error
