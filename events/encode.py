"""From an `Outgoing` event to every wire shape: what we publish, and what a test or a bridge sends to a door.

One list of attributes and one rendering of the data; the shapes differ only in where they put them.
"""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC
from typing import Final
from urllib.parse import quote

import msgspec

from events.cloudevent import SUBJECT_PREFIX
from events.http_binding import CE_PREFIX
from events.payloads import Payload
from events.pubsub_binding import METADATA_PREFIX, PubSubMessage
from events.types import Outgoing

DATA_CONTENT_TYPE: Final = "application/json"

_HEADER_SAFE: Final = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')


def encode_data(data: Payload) -> bytes:
    """The payload as JSON; the same payload always gives the same bytes."""
    # Two steps, because the encoder sorts only mappings whose keys are strings already, and volumes are keyed by date.
    return msgspec.json.encode(msgspec.to_builtins(data, str_keys=True), order="deterministic")


def encode_attributes(event: Outgoing) -> dict[str, str]:
    """The CloudEvents attributes by name, without ``ce-``; absent ones are left out."""
    time = None if event.time is None else event.time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": None if event.org_id is None else SUBJECT_PREFIX + event.org_id,
        "time": time,
        "orgid": event.org_id,
        "runid": event.run_id,
        "traceparent": event.traceparent,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def encode(event: Outgoing) -> tuple[dict[str, str], bytes]:
    """Attributes and data of a Pub/Sub message, binary binding."""
    attributes = {CE_PREFIX + name: value for name, value in encode_attributes(event).items()}
    return {**attributes, "content-type": DATA_CONTENT_TYPE}, encode_data(event.data)


def encode_structured(event: Outgoing) -> bytes:
    """One JSON object, to be sent as ``application/cloudevents+json``."""
    head: dict[str, object] = {**encode_attributes(event), "datacontenttype": DATA_CONTENT_TYPE}
    return msgspec.json.encode({**head, "data": msgspec.Raw(encode_data(event.data))})


def encode_batch(events: Iterable[Outgoing]) -> bytes:
    """A JSON list, to be sent as ``application/cloudevents-batch+json``."""
    return msgspec.json.encode([msgspec.Raw(encode_structured(event)) for event in events])


def encode_http_binary(event: Outgoing) -> tuple[dict[str, str], bytes]:
    """Headers and body of a CloudEvent over HTTP, values percent-encoded as the binding asks."""
    attributes = encode_attributes(event)
    headers = {CE_PREFIX + name: quote(value, safe=_HEADER_SAFE) for name, value in attributes.items()}
    return {**headers, "content-type": DATA_CONTENT_TYPE}, encode_data(event.data)


def encode_push(message: PubSubMessage) -> tuple[dict[str, str], bytes]:
    """Headers and body of a wrapped push, as Pub/Sub itself would make it."""
    delivery = message.delivery
    inner: dict[str, object] = {"attributes": dict(message.attributes), "data": b64encode(message.data).decode("ascii")}
    if delivery.message_id is not None:
        inner |= {"messageId": delivery.message_id, "message_id": delivery.message_id}
    if delivery.publish_time is not None:
        inner |= {"publishTime": delivery.publish_time, "publish_time": delivery.publish_time}
    if delivery.ordering_key is not None:
        inner |= {"orderingKey": delivery.ordering_key}
    outer: dict[str, object] = {"message": inner, "subscription": delivery.subscription or ""}
    if delivery.delivery_attempt is not None:
        outer |= {"deliveryAttempt": delivery.delivery_attempt}
    return {"content-type": DATA_CONTENT_TYPE}, msgspec.json.encode(outer)


def encode_unwrapped_push(message: PubSubMessage) -> tuple[dict[str, str], bytes]:
    """Headers (as WSGI shows them: UTF-8 read as Latin-1) and body of an unwrapped push that writes metadata."""
    delivery = message.delivery
    publish_time = None if delivery.publish_time is None else delivery.publish_time.isoformat()
    metadata = {
        "subscription-name": delivery.subscription,
        "message-id": delivery.message_id,
        "publish-time": publish_time,
        "ordering-key": delivery.ordering_key,
    }
    headers = {METADATA_PREFIX + name: value for name, value in metadata.items() if value is not None}
    own = {name: value.encode("utf-8").decode("latin-1") for name, value in message.attributes.items()}
    return {**own, **headers}, message.data
