"""Pub/Sub: three ways for a message to arrive (wrapped push, unwrapped push, pull), and three things a message can be.

A message is a CloudEvent in structured form if its attribute ``content-type`` says so, a CloudEvent in binary form if
it has ``ce-*`` attributes, and a bare message otherwise: what Cloud Scheduler sends, the same payload every day.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from events.cloudevent import Data, Envelope, Terms, attribute_name_faults, judge, read_time, refuse
from events.http_binding import (
    CE_PREFIX,
    MEDIA_TYPE_PREFIX,
    STRUCTURED,
    Carrier,
    base64_bytes,
    decode_structured,
    header_text,
    media_type,
    read_data,
)
from events.rejection import Reason, Verdict, digest_of, pointer_to, safe_names
from events.strict_json import JsonValue, has_duplicate_keys, parse
from events.types import Delivery, WireShape

BARE_SOURCE: Final = "//pubsub.googleapis.com/messages"
"""Source of a bare message.

One constant, because the key of a message must not depend on the way it took: it is a duplicate of itself also when a
second subscription, or a worker instead of a push, delivers it. Message ids are unique per topic, in practice
everywhere; and an org's record of processed ids is the org's own."""

METADATA_PREFIX: Final = "x-goog-pubsub-"
_ORG_SPELLINGS: Final = ("org_id", "org-id", "orgid")
"""``org_id`` is the documented one. As a header it does not survive: gunicorn drops names with an underscore, other
servers turn it into a hyphen. So messages for an unwrapped push may use ``orgid``."""
_TRACE_ATTRIBUTES: Final = ("traceparent", "googclient_traceparent")


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubMessage:
    """A message and how it was delivered; what a pull worker hands over, and what both kinds of push are reduced to."""

    data: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = field(default_factory=Delivery)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    """A message that is about to be judged."""

    message: PubSubMessage
    shape: WireShape
    reasons: tuple[Reason, ...] = ()
    data_is_readable: bool = True


def is_unwrapped(headers: Mapping[str, str]) -> bool:
    """Whether headers (names in lower case) are those of an unwrapped push that writes metadata."""
    return f"{METADATA_PREFIX}message-id" in headers or f"{METADATA_PREFIX}subscription-name" in headers


def decode_pulled(message: PubSubMessage, terms: Terms) -> Verdict:
    """A message from a streaming pull."""
    return _decode(_Received(message=message, shape="pubsub-pull"), terms)


def decode_unwrapped(headers: Mapping[str, str], body: bytes, reasons: list[Reason], terms: Terms) -> Verdict:
    """Data as the body, attributes as headers (names in lower case), metadata as ``x-goog-pubsub-*`` headers.

    Google writes attributes as they are, so nothing is percent-decoded: the same message wrapped must read the same.
    """
    found = list(reasons)
    attributes: dict[str, str] = {}
    for name, value in headers.items():
        if not _is_ours(name):
            continue
        try:
            attributes[name] = header_text(value)
        except UnicodeError:
            found.append(Reason("not_utf8", pointer_to(name.removeprefix(CE_PREFIX))))
    delivery = Delivery(
        message_id=headers.get(f"{METADATA_PREFIX}message-id"),
        subscription=headers.get(f"{METADATA_PREFIX}subscription-name"),
        # Google documents no header for the attempt; emulating proxies write this one.
        delivery_attempt=_attempt(headers.get(f"{METADATA_PREFIX}delivery-attempt")),
        ordering_key=headers.get(f"{METADATA_PREFIX}ordering-key"),
        publish_time=_publish_time(headers.get(f"{METADATA_PREFIX}publish-time")),
    )
    message = PubSubMessage(data=body, attributes=attributes, delivery=delivery)
    return _decode(_Received(message=message, shape="pubsub-unwrapped", reasons=tuple(found)), terms)


def decode_wrapped(body: bytes, terms: Terms) -> Verdict:
    """JSON around a message. Fields that we do not know are Google's business and pass."""
    tree = parse(body, "")
    message = tree.get("message") if isinstance(tree, dict) else None
    if isinstance(tree, Reason) or not isinstance(tree, dict) or not isinstance(message, dict):
        reason = tree if isinstance(tree, Reason) else Reason("unknown_shape", "")
        return refuse([reason], shape="pubsub-wrapped", digest=digest_of({}, body), body=body, names=())
    reasons: list[Reason] = []
    if has_duplicate_keys(tree) or has_duplicate_keys(message):
        reasons.append(Reason("duplicate_key", "/message"))
    data = b"" if message.get("data") is None else base64_bytes(message["data"])
    if data is None:
        reasons.append(Reason("not_base64", "/message/data"))
    attributes = _attributes(message.get("attributes"), reasons)
    delivery = Delivery(
        message_id=_either(message, "messageId", "message_id", reasons),
        subscription=_text(tree.get("subscription")),
        delivery_attempt=_attempt(tree.get("deliveryAttempt")),
        ordering_key=_text(message.get("orderingKey")),
        publish_time=_publish_time(message.get("publishTime", message.get("publish_time"))),
    )
    return _decode(
        _Received(
            message=PubSubMessage(data=data or b"", attributes=attributes, delivery=delivery),
            shape="pubsub-wrapped",
            reasons=tuple(reasons),
            data_is_readable=data is not None,
        ),
        terms,
    )


def _decode(received: _Received, terms: Terms) -> Verdict:
    """Structured, binary or bare."""
    message = received.message
    attributes, reasons = lower_cased(message.attributes)
    reasons[:0] = received.reasons
    media = media_type(attributes)
    if not media.startswith(MEDIA_TYPE_PREFIX):
        return _decode_attributes(received, attributes, reasons, terms)
    carrier = Carrier(
        shape=received.shape,
        names=safe_names(attributes),
        delivery=message.delivery,
        traceparent=_trace(attributes),
    )
    if media != STRUCTURED:  # the binding knows no batch: one message, one acknowledgement, one event
        reasons.append(Reason("unsupported_format", ""))
    elif len(message.data) > terms.limits.data_bytes_max:
        reasons.append(Reason("too_large", "/message/data", f"at most {terms.limits.data_bytes_max} bytes"))
    elif received.data_is_readable:
        return decode_structured(message.data, carrier, terms, reasons)
    return refuse(
        reasons,
        shape=received.shape,
        digest=digest_of(_digestible(received, attributes), message.data),
        body=message.data,
        names=attributes,
        delivery=message.delivery,
    )


def _decode_attributes(received: _Received, attributes: dict[str, str], reasons: list[Reason], terms: Terms) -> Verdict:
    """A CloudEvent whose attributes are those of the message, or a bare message."""
    named: dict[str, JsonValue] = {
        name.removeprefix(CE_PREFIX): value for name, value in attributes.items() if name.startswith(CE_PREFIX)
    }
    if named:
        reasons.extend(attribute_name_faults(named))
    else:
        named = _bare(attributes, received.message.delivery.message_id, terms, reasons)
    if len(attributes) > terms.limits.attributes_max:
        reasons.append(Reason("too_many_attributes", "", f"at most {terms.limits.attributes_max}"))
    data: JsonValue | Data = Data.UNREADABLE
    if received.data_is_readable:
        data, fault = read_data(received.message.data, terms.limits.data_bytes_max)
        reasons.extend(fault)
    return judge(
        Envelope(
            attributes=named,
            data=data,
            shape=received.shape,
            digest=digest_of(_digestible(received, attributes), received.message.data),
            body=received.message.data,
            attribute_names=safe_names(attributes),
            delivery=received.message.delivery,
            reasons=tuple(reasons),
            traceparent=_trace(attributes),
        ),
        terms,
    )


def _bare(
    attributes: Mapping[str, str], message_id: str | None, terms: Terms, reasons: list[Reason]
) -> dict[str, JsonValue]:
    """The CloudEvent a bare message stands for: id from Pub/Sub, so tomorrow's trigger is no duplicate of today's."""
    orgs = {attributes[name] for name in _ORG_SPELLINGS if name in attributes}
    if len(orgs) > 1:
        reasons.append(Reason("duplicate_attribute", "/org_id"))
    return {
        "specversion": "1.0",
        "id": message_id,
        "source": BARE_SOURCE,
        "type": attributes.get("type", terms.default_type),
        "org_id": next((attributes[name] for name in _ORG_SPELLINGS if name in attributes), None),
    }


def lower_cased(given: Mapping[str, str]) -> tuple[dict[str, str], list[Reason]]:
    """Attributes or headers by lower-case name (Google's examples mix cases); two spellings of one name must agree."""
    lowered: dict[str, str] = {}
    reasons: list[Reason] = []
    for spelled, value in given.items():
        name = spelled.lower()
        if lowered.setdefault(name, value) != value:
            reasons.append(Reason("duplicate_attribute", pointer_to(name.removeprefix(CE_PREFIX))))
    return lowered, reasons


def is_read(header: str) -> bool:
    """Whether the decoder ever looks at a header (name in lower case); the rest is HTTP's, and may hold secrets."""
    return _is_ours(header) or header.startswith(METADATA_PREFIX)


def _is_ours(header: str) -> bool:
    """Whether a header of an unwrapped push is an attribute that we read."""
    return header.startswith(CE_PREFIX) or header in {"content-type", "type", *_ORG_SPELLINGS, *_TRACE_ATTRIBUTES}


def _digestible(received: _Received, attributes: Mapping[str, str]) -> dict[str, str]:
    """What makes a message this message; not the trace, which differs between deliveries."""
    own = {name: value for name, value in attributes.items() if _is_ours(name) and name not in _TRACE_ATTRIBUTES}
    return own | {"": received.message.delivery.message_id or ""}


def _attributes(value: JsonValue, reasons: list[Reason]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        reasons.append(Reason("wrong_type", "/message/attributes", "a JSON object is expected"))
        return {}
    if has_duplicate_keys(value):
        reasons.append(Reason("duplicate_key", "/message/attributes"))
    texts: dict[str, str] = {}
    for name, text in value.items():
        if isinstance(text, str):
            texts[name] = text
        else:
            reasons.append(Reason("wrong_type", pointer_to("message", "attributes", name), "a string is expected"))
    return texts


def _either(message: Mapping[str, JsonValue], name: str, other: str, reasons: list[Reason]) -> str | None:
    """Pub/Sub spells some fields twice; both spellings must say the same."""
    given = [message[spelling] for spelling in (name, other) if message.get(spelling) is not None]
    if any(value != given[0] for value in given):
        reasons.append(Reason("duplicate_attribute", pointer_to("message", name)))
    elif given and not isinstance(given[0], str):
        reasons.append(Reason("wrong_type", pointer_to("message", name), "a string is expected"))
    return _text(given[0]) if given else None


def _trace(attributes: Mapping[str, str]) -> str | None:
    return next((attributes[name] for name in _TRACE_ATTRIBUTES if name in attributes), None)


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _attempt(value: JsonValue) -> int | None:
    """A delivery's metadata never refuses a message: it is not the sender's, and no decision rests on it alone."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < len("1000000000"):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _publish_time(value: JsonValue) -> datetime | None:
    return read_time(value) if isinstance(value, str) else None
