"""CloudEvents over HTTP: attributes as headers (binary), or inside one JSON text (structured, batch)."""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from events.cloudevent import Data, Envelope, Terms, attribute_name_faults, judge, refuse
from events.rejection import Reason, Verdict, digest_of, pointer_to, safe_names
from events.strict_json import JsonValue, canonical, has_duplicate_keys, parse
from events.types import Delivery, WireShape

MEDIA_TYPE_PREFIX: Final = "application/cloudevents"
STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
CE_PREFIX: Final = "ce-"

_QUOTED_PAIR: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """What a JSON text came in, for the results made from it."""

    shape: WireShape
    names: tuple[str, ...] = ()
    """Attribute names of the transport."""
    delivery: Delivery | None = None
    traceparent: str | None = None


def media_type(headers: Mapping[str, str]) -> str:
    """The content type without its parameters, in lower case; '' if there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def decode_binary(headers: Mapping[str, str], body: bytes, reasons: list[Reason], terms: Terms) -> Verdict:
    """One event whose attributes are ``ce-*`` headers (names in lower case) and whose data is the body."""
    attributes: dict[str, JsonValue] = {}
    found = list(reasons)
    carried = {name: value for name, value in headers.items() if name.startswith(CE_PREFIX)}
    for name, value in carried.items():
        try:
            attributes[name.removeprefix(CE_PREFIX)] = percent_decoded(header_text(value))
        except UnicodeError:
            found.append(Reason("not_utf8", pointer_to(name.removeprefix(CE_PREFIX))))
    found.extend(attribute_name_faults(attributes))
    data, fault = read_data(body, terms.limits.data_bytes_max)
    return judge(
        Envelope(
            attributes=attributes,
            data=data,
            shape="cloudevent-binary",
            digest=digest_of(carried, body),
            body=body,
            attribute_names=safe_names(carried),
            reasons=(*found, *fault),
            traceparent=headers.get("traceparent"),
        ),
        terms,
    )


def decode_structured(body: bytes, carrier: Carrier, terms: Terms, reasons: list[Reason]) -> Verdict:
    """One event as a JSON object."""
    tree = parse(body, "")
    if isinstance(tree, Reason):
        return _refuse([*reasons, tree], body, carrier)
    return _judge_object(tree, body, carrier, terms, reasons)


def decode_batch(body: bytes, carrier: Carrier, terms: Terms) -> tuple[Verdict, ...]:
    """A JSON list of events, judged one by one; an empty list is no event and no fault."""
    tree = parse(body, "")
    fault: Reason | None = None
    if isinstance(tree, Reason):
        fault = tree
    elif not isinstance(tree, list):
        fault = Reason("wrong_type", "", "a JSON list of events is expected")
    elif len(tree) > terms.limits.batch_events_max:
        fault = Reason("too_many_events", "", f"at most {terms.limits.batch_events_max}")
    else:
        return tuple(_judge_object(item, body, carrier, terms, []) for item in tree)
    return (_refuse([fault], body, carrier),)


def read_data(text: bytes, bytes_max: int) -> tuple[JsonValue | Data, tuple[Reason, ...]]:
    """The data of an event as a JSON value, or the reason why it has none. What the content type says is not asked."""
    if not text:
        return Data.ABSENT, ()
    if len(text) > bytes_max:
        return Data.UNREADABLE, (Reason("too_large", "/data", f"at most {bytes_max} bytes"),)
    value = parse(text, "/data")
    return (Data.UNREADABLE, (value,)) if isinstance(value, Reason) else (value, ())


def header_text(value: str) -> str:
    """A header's text: WSGI hands over bytes as Latin-1, senders write UTF-8. Raises UnicodeError."""
    return value if value.isascii() else value.encode("latin-1").decode("utf-8")


def percent_decoded(value: str) -> str:
    """Unescape a quoted string, then percent-decode once (HTTP binding 3.1.3.2). Raises UnicodeError on bad UTF-8."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    return unquote_to_bytes(value).decode("utf-8")


def _judge_object(tree: JsonValue, whole: bytes, carrier: Carrier, terms: Terms, reasons: list[Reason]) -> Verdict:
    """One event; ``whole`` is the text it stood in, kept as the body only if the event itself cannot be written."""
    try:
        body = canonical(tree)
    except RecursionError:
        body = whole
    if not isinstance(tree, dict):
        return _refuse([*reasons, Reason("wrong_type", "", "a JSON object is expected")], body, carrier)
    attributes = {
        name: value for name, value in tree.items() if name not in {"data", "data_base64"} and value is not None
    }
    data, fault_of_data = _structured_data(tree, terms)
    return judge(
        Envelope(
            attributes=attributes,
            data=data,
            shape=carrier.shape,
            digest=digest_of({}, body),
            body=body,
            attribute_names=safe_names([*carrier.names, *attributes]),
            delivery=carrier.delivery,
            reasons=(
                *reasons,
                *((Reason("duplicate_key", ""),) if has_duplicate_keys(tree) else ()),
                *attribute_name_faults(attributes),
                *fault_of_data,
            ),
            traceparent=carrier.traceparent,
        ),
        terms,
    )


def _refuse(reasons: list[Reason], body: bytes, carrier: Carrier) -> Verdict:
    return refuse(
        reasons,
        shape=carrier.shape,
        digest=digest_of({}, body),
        body=body,
        names=carrier.names,
        delivery=carrier.delivery,
    )


def _structured_data(tree: dict[str, JsonValue], terms: Terms) -> tuple[JsonValue | Data, tuple[Reason, ...]]:
    encoded = tree.get("data_base64")
    if encoded is None:
        return tree.get("data", Data.ABSENT), ()
    if "data" in tree:
        return Data.UNREADABLE, (Reason("ambiguous_data", "/data"),)
    text = base64_bytes(encoded)
    if text is None:
        return Data.UNREADABLE, (Reason("not_base64", "/data_base64"),)
    return read_data(text, terms.limits.data_bytes_max)


def base64_bytes(value: JsonValue) -> bytes | None:
    """What the text encodes, or None if it is no base64 text."""
    if not isinstance(value, str):
        return None
    try:
        return b64decode(value, validate=True)
    except ValueError:  # binascii.Error is one; text beyond ASCII is another
        return None
