"""Why a message was refused: codes and pointers, never values, because values may be personal data."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from events.ids import rejection_id
from events.payloads import EventRef, EventRejected, OrgId, RejectedReason
from events.types import Delivery, Event, EventKey, FleetEvent, WireShape

BODY_BYTES_MAX_INLINE: Final = 1_000_000
"""A larger body goes to the bucket, and the event.rejected refers to it."""

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # --- the message as a whole
        "unknown_shape": "is none of the wire shapes: Pub/Sub push, or a CloudEvent over HTTP",
        "unsupported_format": "is a CloudEvent in a format other than JSON",
        "too_large": "is larger than the limit",
        "too_many_events": "has more events than a batch may have",
        "too_many_attributes": "has more attributes than a message may have",
        # --- text and JSON
        "not_utf8": "is not UTF-8",
        "not_json": "is not well-formed JSON",
        "not_base64": "is not base64",
        "nested_too_deep": "is nested deeper than the limit",
        "duplicate_key": "has the same key twice",
        "number_out_of_range": "is a number that does not fit 64 bits",
        "bad_text": "holds characters that are not allowed there",
        # --- attributes
        "missing_attribute": "is required and absent or empty",
        "duplicate_attribute": "is given twice, with different values",
        "attribute_too_long": "is longer than the limit",
        "bad_attribute_name": "is no attribute name: lower-case letters and digits only",
        "bad_specversion": "must be 1.0",
        "unknown_type": "is no event type that this service takes",
        "missing_org": "is required: subject org/<org>, extension orgid, or attribute org_id on a bare message",
        "bad_org_id": "is no org id: 1 to 64 of A-Z a-z 0-9 _ -, starting with a letter or a digit",
        "org_not_expected": "names an org, and this event type is about all of them",
        "bad_subject": "must be org/<org>",
        "org_mismatch": "names another org than the subject does",
        "bad_time": "must be an RFC 3339 timestamp with an offset",
        "time_in_future": "is more than 5 minutes ahead of receipt",
        # --- data
        "ambiguous_data": "has both data and data_base64",
        "unknown_field": "is no field of this event type",
        "missing_field": "is required",
        "wrong_type": "has the wrong JSON type",
        "bad_value": "has a value that is not allowed",
        "no_room": "cannot wait for its contact: too many items of this org wait already",
        "more_reasons": "has more faults than are listed",
    }
)
"""The closed list of reason codes, with what each says of the place its pointer names."""

_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Reason:
    """One fault, at a JSON pointer into the event in structured form (``/data/as_of``; '' is the whole message)."""

    code: str
    pointer: str
    detail: str = ""
    """What was expected, in words of ours; never the value found."""

    @property
    def message(self) -> str:
        """One sentence for a person."""
        sentence = f"{self.pointer or 'the message'} {CODES[self.code]}"
        return f"{sentence}: {self.detail}" if self.detail else sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A message, or one event of a batch, that can never be processed."""

    reasons: tuple[Reason, ...]
    """At least one, every fault that was found, in the order of the event."""
    key: EventKey | None
    """None if the message had no usable source and id."""
    org_id: OrgId | None
    """None if the message named no valid org."""
    shape: WireShape
    digest: str
    """SHA-256 of what was judged, 64 hex digits: equal for every delivery of the message; safe to log."""
    attribute_names: tuple[str, ...] = ()
    body: bytes = field(default=b"", repr=False)
    """What was judged, for event.rejected. Not in repr: it may hold personal data."""
    delivery: Delivery | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """Event id of the event.rejected that tells of it."""
        return rejection_id(self.digest, self.key)

    @property
    def needs_body_reference(self) -> bool:
        """Whether the body is too large to travel inside event.rejected."""
        return len(self.body) > BODY_BYTES_MAX_INLINE

    def to_payload(self, body_reference: str | None = None) -> EventRejected:
        """The payload of event.rejected. ``body_reference`` is the object that holds a body over 1 MB."""
        return EventRejected(
            org_id=self.org_id,
            event=None if self.key is None else EventRef(source=self.key.source, id=self.key.id),
            reasons=tuple(RejectedReason(code=r.code, pointer=r.pointer, message=r.message) for r in self.reasons),
            digest=self.digest,
            attribute_names=self.attribute_names,
            body_base64=None if self.needs_body_reference else b64encode(self.body).decode("ascii"),
            body_reference=body_reference,
        )


Judged = Event | FleetEvent | Rejection
"""What became of one message or event on the wire."""


class PartlyRejected(NamedTuple):
    """An event with its good items, and the rejection of the bad ones that were sent with them."""

    event: Event
    rejection: Rejection


Verdict = Judged | PartlyRejected
"""What one wire shape makes of one message or event; `events.wire` makes one or two results of it."""


def pointer_to(*parts: str | int) -> str:
    """JSON pointer from parts; a part that came from outside and does not look like a name is shown as ``?``."""
    return "".join(f"/{part if isinstance(part, int) else safe_name(part)}" for part in parts)


def safe_name(name: str) -> str:
    """A key as it may be shown: keys of a confused message may hold anything, addresses of people included."""
    return name if _SAFE_NAME.fullmatch(name) else "?"


def safe_names(names: Iterable[str]) -> tuple[str, ...]:
    """Attribute names as they may be shown, sorted, each once."""
    return tuple(sorted({safe_name(name) for name in names}))


def digest_of(attributes: Mapping[str, str], data: bytes) -> str:
    """SHA-256 over attributes and data, unambiguously; 64 hex digits."""
    head = json.dumps(sorted(attributes.items()), separators=(",", ":"), ensure_ascii=True).encode("ascii")
    return hashlib.sha256(str(len(head)).encode("ascii") + b":" + head + data).hexdigest()
