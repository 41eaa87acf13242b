"""The one decoder: whatever wakes the program, in whatever wire shape, becomes events and rejections. It never raises.

How a request is recognised, first match wins:

1. an ``x-goog-pubsub-*`` header: Pub/Sub push, unwrapped with metadata
2. content type ``application/cloudevents-batch+json``: CloudEvents, batch
3. content type ``application/cloudevents+json``: CloudEvent, structured
4. any ``ce-*`` header: CloudEvent, binary
5. anything else must be JSON with a ``message``: Pub/Sub push, wrapped
"""

from collections.abc import Mapping
from datetime import datetime

from events.cloudevent import Terms, refuse
from events.http_binding import (
    BATCH,
    CE_PREFIX,
    MEDIA_TYPE_PREFIX,
    STRUCTURED,
    Carrier,
    decode_batch,
    decode_binary,
    decode_structured,
    media_type,
)
from events.limits import DEFAULT_LIMITS, Limits
from events.pubsub_binding import (
    PubSubMessage,
    decode_pulled,
    decode_unwrapped,
    decode_wrapped,
    is_read,
    is_unwrapped,
    lower_cased,
)
from events.rejection import Judged, PartlyRejected, Reason, Rejection, Verdict, digest_of
from events.types import INCOMING, RUN_REQUESTED, EventType, WireShape

__all__ = ["Decoded", "PubSubMessage", "decode", "decode_message"]

Decoded = tuple[Judged, ...]
"""In the order of the request. Empty for an empty batch.

Flat, and longer than one only for a batch, and for an event with items of which some are bad: the event of its good ones
is followed by the rejection of its bad ones."""


def decode(
    headers: Mapping[str, str],
    body: bytes,
    *,
    default_type: str = RUN_REQUESTED,
    types: Mapping[str, EventType] = INCOMING,
    limits: Limits = DEFAULT_LIMITS,
    received_at: datetime | None = None,
) -> Decoded:
    """Judge one HTTP request.

    ``headers`` as WSGI gives them (names in any case, values Latin-1). ``default_type`` is the type of a bare message
    that names none. ``types`` are the types taken: a reader of our completions passes ``OUTGOING``. ``received_at``
    (aware) refuses events more than 5 minutes ahead of it.
    """
    terms = Terms(types=types, default_type=default_type, limits=limits, received_at=received_at)
    lowered, reasons = lower_cased({name: value for name, value in headers.items() if is_read(name.lower())})
    if len(body) > limits.body_bytes_max:
        return (_refused(Reason("too_large", "", f"at most {limits.body_bytes_max} bytes"), lowered, body),)
    if is_unwrapped(lowered):
        return _flat(decode_unwrapped(lowered, body, reasons, terms))
    if media_type(lowered).startswith(MEDIA_TYPE_PREFIX):
        return _decode_json_format(lowered, body, reasons, terms)
    if any(name.startswith(CE_PREFIX) for name in lowered):
        return _flat(decode_binary(lowered, body, reasons, terms))
    return _flat(decode_wrapped(body, terms))


def _decode_json_format(headers: Mapping[str, str], body: bytes, reasons: list[Reason], terms: Terms) -> Decoded:
    """One event or a batch, as the content type says."""
    media = media_type(headers)
    if media == BATCH:
        return _flat(*decode_batch(body, Carrier(shape="cloudevent-batch"), terms))
    if media == STRUCTURED:
        carrier = Carrier(shape="cloudevent-structured", traceparent=headers.get("traceparent"))
        return _flat(decode_structured(body, carrier, terms, reasons))
    return (_refused(Reason("unsupported_format", ""), headers, body),)


def decode_message(
    message: PubSubMessage,
    *,
    default_type: str = RUN_REQUESTED,
    types: Mapping[str, EventType] = INCOMING,
    limits: Limits = DEFAULT_LIMITS,
    received_at: datetime | None = None,
) -> Decoded:
    """Judge one message of a streaming pull, by the same rules."""
    terms = Terms(types=types, default_type=default_type, limits=limits, received_at=received_at)
    return _flat(decode_pulled(message, terms))


def _flat(*verdicts: Verdict) -> Decoded:
    """One after the other; of an event that was rejected in part first its good items."""
    return tuple(
        judged for verdict in verdicts for judged in (verdict if isinstance(verdict, PartlyRejected) else (verdict,))
    )


def _refused(reason: Reason, headers: Mapping[str, str], body: bytes) -> Rejection:
    own = {name: value for name, value in headers.items() if name.startswith(CE_PREFIX) or name == "content-type"}
    return refuse([reason], shape=_shape(headers), digest=digest_of(own, body), body=body, names=list(own))


def _shape(headers: Mapping[str, str]) -> WireShape:
    """The shape that the headers promise, for a body that was not looked at."""
    media = media_type(headers)
    if is_unwrapped(headers):
        return "pubsub-unwrapped"
    if media.startswith(MEDIA_TYPE_PREFIX):
        return "cloudevent-batch" if media == BATCH else "cloudevent-structured"
    return "cloudevent-binary" if any(name.startswith(CE_PREFIX) for name in headers) else "pubsub-wrapped"
