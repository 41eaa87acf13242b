"""A dead letter as it is published again: the message that it was, recognisable however often it is replayed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from events.cloudevent import SUBJECT_PREFIX
from events.encode import DATA_CONTENT_TYPE
from events.http_binding import CE_PREFIX
from events.pubsub_binding import BARE_SOURCE, PubSubMessage
from events.rejection import Judged, Rejection
from events.types import EVENT_TYPES, Event
from events.wire import decode_message

MARK_PREFIX: Final = "CloudPubSubDeadLetterSource"
"""Of the attributes that Pub/Sub adds to a message when it gives up on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterMarks:
    """What Pub/Sub says of a message that it gave up on; None: it does not say."""

    subscription: str | None
    """Short name of the subscription whose reader did not acknowledge it."""
    project: str | None
    """Of that subscription."""
    deliveries: int | None
    published_at: str | None
    """RFC 3339: when the original was published."""


def marks_of(attributes: Mapping[str, str]) -> DeadLetterMarks:
    """Read the marks."""
    deliveries = attributes.get(f"{MARK_PREFIX}DeliveryCount", "")
    return DeadLetterMarks(
        subscription=attributes.get(f"{MARK_PREFIX}Subscription"),
        project=attributes.get(f"{MARK_PREFIX}SubscriptionProject"),
        deliveries=int(deliveries) if deliveries.isascii() and deliveries.isdigit() else None,
        published_at=attributes.get(f"{MARK_PREFIX}TopicPublishTime"),
    )


def judge_dead_letter(message: PubSubMessage) -> Judged:
    """Say what it is; also one of our own completions, which a consumer could not carry."""
    (judged,) = decode_message(message, types=EVENT_TYPES)[:1]
    return judged


def replay_of(message: PubSubMessage, judged: Judged) -> tuple[dict[str, str], bytes]:
    """Return attributes and data of the message to publish: without the marks, otherwise as it was.

    A bare message becomes a CloudEvent with the id of its dead letter: its own id was Pub/Sub's, which a new publication
    would change, and a replay that is cut short and given again would do the work twice.
    """
    attributes = {name: value for name, value in message.attributes.items() if not name.startswith(MARK_PREFIX)}
    if isinstance(judged, Rejection) or judged.source != BARE_SOURCE or f"{CE_PREFIX}source" in attributes:
        return attributes, message.data
    named = {"specversion": "1.0", "id": judged.id, "source": judged.source, "type": judged.type}
    if isinstance(judged, Event):
        named["subject"] = SUBJECT_PREFIX + judged.org_id
    if judged.traceparent is not None:
        named["traceparent"] = judged.traceparent
    return {CE_PREFIX + name: value for name, value in named.items()} | {
        "content-type": DATA_CONTENT_TYPE
    }, message.data
