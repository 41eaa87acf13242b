"""From the attributes and data of one CloudEvent to an `Event`, or to a `Rejection` with every reason.

The ``cloudevents`` package (1.12, the newest that functions-framework accepts) is not used to read; the reasons are
held to the package by ``tests/contract/test_events_cloudevents_package.py``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Final, TypedDict

import msgspec

from events.item_reader import ItemsRead, read_items
from events.limits import Limits
from events.payload_reader import read_payload
from events.payloads import FanoutRequested, OrgId
from events.rejection import PartlyRejected, Reason, Rejection, Verdict, pointer_to, safe_names
from events.strict_json import JsonValue, faults
from events.types import Delivery, Event, EventKey, EventType, FleetEvent, WireShape, is_org_id

SUBJECT_PREFIX: Final = "org/"
TIME_AHEAD_MAX: Final = timedelta(minutes=5)
"""A clock that runs ahead by more is wrong, and its event would win over every later one."""

_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
_ATTRIBUTE_NAME: Final = re.compile(r"[a-z0-9]+")
_READ_AS_TEXT: Final = frozenset(
    {"specversion", "id", "source", "type", "subject", "orgid", "org_id", "time", "sequence"}
)
_FORBIDDEN_TEXT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNREAD: Final = ItemsRead(None, (), [], [])
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an event is judged by."""

    types: Mapping[str, EventType]
    """The types that are taken."""
    default_type: str
    """The type of a bare message that names none."""
    limits: Limits
    received_at: datetime | None
    """Aware. None: times are not compared with a clock."""


class Data(Enum):
    """Data that is no JSON value."""

    ABSENT = "absent"
    """No data at all: reads as an empty object."""
    UNREADABLE = "unreadable"
    """A reason has been given already; nothing more can be said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One CloudEvent as some wire shape brought it, not yet judged."""

    attributes: Mapping[str, JsonValue]
    """By name, without ``ce-``; a bare message has ``org_id`` in place of subject and orgid."""
    data: JsonValue | Data
    shape: WireShape
    digest: str
    body: bytes
    attribute_names: tuple[str, ...] = ()
    delivery: Delivery | None = None
    reasons: tuple[Reason, ...] = ()
    """What the wire shape already found."""
    traceparent: str | None = None
    """From the transport; an attribute of the event wins over it."""


@dataclass(slots=True)
class _Reader:
    """Reads attributes one by one and remembers what is wrong with them."""

    attributes: Mapping[str, JsonValue]
    limits: Limits
    reasons: list[Reason] = field(default_factory=list)

    def refuse_structures(self) -> None:
        """CloudEvents has no attributes that are lists, objects or fractions; of those that we read, `text` tells."""
        for name, value in self.attributes.items():
            if name not in _READ_AS_TEXT and isinstance(value, list | dict | float):
                self.reasons.append(
                    Reason("wrong_type", pointer_to(name), "a string, an integer or a boolean is expected")
                )

    def text(self, name: str, *, required: bool = True, characters_max: int | None = None) -> str | None:
        """The attribute, or None after a reason has been noted (none is noted for an optional one that is absent)."""
        value = self.attributes.get(name)
        if value is None or value == "":
            if required or value == "":
                self.reasons.append(Reason("missing_attribute", pointer_to(name)))
            return None
        if not isinstance(value, str):
            self.reasons.append(Reason("wrong_type", pointer_to(name), "a string is expected"))
            return None
        longest = self.limits.attribute_characters_max if characters_max is None else characters_max
        if len(value) > longest:
            self.reasons.append(Reason("attribute_too_long", pointer_to(name), f"at most {longest} characters"))
            return None
        if _FORBIDDEN_TEXT.search(value):
            self.reasons.append(Reason("bad_text", pointer_to(name)))
            return None
        return value


class _Head(TypedDict):
    """What all events have in common."""

    id: str
    source: str
    type: str
    time: datetime | None
    sequence: str | None
    received_at: datetime | None
    traceparent: str | None
    shape: WireShape
    delivery: Delivery | None


def judge(envelope: Envelope, terms: Terms) -> Verdict:
    """The event, or every reason against it; of an event with items, the good ones and the reasons against the bad ones."""
    reader = _Reader(envelope.attributes, terms.limits, list(envelope.reasons))
    if len(envelope.attributes) > terms.limits.attributes_max:
        reader.reasons.append(Reason("too_many_attributes", "", f"at most {terms.limits.attributes_max}"))
    reader.refuse_structures()
    specversion = reader.text("specversion")
    if specversion not in {None, "1.0"}:
        reader.reasons.append(Reason("bad_specversion", "/specversion"))
    event_id = reader.text("id", characters_max=terms.limits.id_characters_max)
    source = reader.text("source")
    row = _type(reader, terms)
    org_id = None
    if row is None or row.is_about_one_org:
        org_id = _org(reader)
    else:
        _refuse_org(reader)
    time = _time(reader, terms.received_at)
    sequence = _sequence(reader)
    read = _data(envelope.data, row, reader, terms.limits)
    data = read.payload
    rejection = Rejection(
        reasons=(*_bounded(reader.reasons, terms.limits.reasons_max), *read.reasons),
        key=None if event_id is None or source is None else EventKey(source, event_id),
        org_id=org_id,
        shape=envelope.shape,
        digest=envelope.digest,
        attribute_names=envelope.attribute_names,
        body=envelope.body,
        delivery=envelope.delivery,
    )
    if reader.reasons or event_id is None or source is None or row is None or data is None:
        return rejection
    head = _Head(
        id=event_id,
        source=source,
        type=row.name,
        time=time,
        sequence=sequence,
        received_at=terms.received_at,
        traceparent=_traceparent(envelope),
        shape=envelope.shape,
        delivery=envelope.delivery,
    )
    if isinstance(data, FanoutRequested):
        return FleetEvent(**head, data=data)
    if org_id is None:
        return rejection
    event = Event(**head, org_id=org_id, data=data, rejected_items=read.rejected)
    return PartlyRejected(event, rejection) if read.rejected else event


def attribute_name_faults(names: Iterable[str]) -> tuple[Reason, ...]:
    """Names that CloudEvents does not allow; a name like ``org_id`` would be lost or changed by the next transport."""
    return tuple(
        Reason("bad_attribute_name", pointer_to(name)) for name in names if not _ATTRIBUTE_NAME.fullmatch(name)
    )


def refuse(
    reasons: list[Reason],
    *,
    shape: WireShape,
    digest: str,
    body: bytes,
    names: Iterable[str],
    delivery: Delivery | None = None,
) -> Rejection:
    """The rejection of a message of which nothing could be read."""
    return Rejection(
        reasons=tuple(reasons),
        key=None,
        org_id=None,
        shape=shape,
        digest=digest,
        attribute_names=safe_names(names),
        body=body,
        delivery=delivery,
    )


def read_time(text: str) -> datetime | None:
    """An RFC 3339 timestamp with an offset, in UTC; None if the text is none, or not in UTC's years 1 to 9999."""
    try:
        return msgspec.convert(text, type=_AwareDatetime).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        return None


def _type(reader: _Reader, terms: Terms) -> EventType | None:
    name = reader.text("type")
    if name is None:
        return None
    row = terms.types.get(name)
    if row is None:
        reader.reasons.append(Reason("unknown_type", "/type"))
    return row


def _org(reader: _Reader) -> OrgId | None:
    """The one org that all places which name an org agree on."""
    named: dict[str, OrgId] = {}
    given = 0
    for place in ("subject", "orgid", "org_id"):
        faults_before = len(reader.reasons)
        text = reader.text(place, required=False)
        given += text is not None or len(reader.reasons) > faults_before
        if text is None:
            continue
        if place == "subject" and not text.startswith(SUBJECT_PREFIX):
            reader.reasons.append(Reason("bad_subject", "/subject"))
            continue
        org = text.removeprefix(SUBJECT_PREFIX) if place == "subject" else text
        if is_org_id(org):
            named[place] = OrgId(org)
        else:
            reader.reasons.append(Reason("bad_org_id", pointer_to(place)))
    if given == 0:
        reader.reasons.append(Reason("missing_org", ""))
    orgs = set(named.values())
    if len(orgs) > 1:
        reader.reasons.append(Reason("org_mismatch", "/orgid"))
    return orgs.pop() if len(orgs) == 1 else None


def _refuse_org(reader: _Reader) -> None:
    """An event about all orgs names none: whoever names one may have meant only that one. Another subject is free."""
    subject = reader.text("subject", required=False)
    if subject is not None and subject.startswith(SUBJECT_PREFIX):
        reader.reasons.append(Reason("org_not_expected", "/subject"))
    for place in ("orgid", "org_id"):
        if place in reader.attributes and reader.attributes[place] is not None:
            reader.reasons.append(Reason("org_not_expected", pointer_to(place)))


def _time(reader: _Reader, received_at: datetime | None) -> datetime | None:
    text = reader.text("time", required=False)
    if text is None:
        return None
    time = read_time(text)
    if time is None:
        reader.reasons.append(Reason("bad_time", "/time"))
    elif received_at is not None and time - received_at > TIME_AHEAD_MAX:
        reader.reasons.append(Reason("time_in_future", "/time"))
    return time


def _data(data: JsonValue | Data, row: EventType | None, reader: _Reader, limits: Limits) -> ItemsRead:
    """The payload, or None after reasons have been noted. Of an unknown type's data only the JSON can be judged.

    What is wrong with single items is returned, not noted: it is no reason against the event.
    """
    if data is Data.UNREADABLE:
        return _UNREAD
    value: JsonValue = {} if isinstance(data, Data) else data
    if row is not None and row.item is not None:
        read = read_items(row.payload, row.item, value, limits)
        reader.reasons.extend(read.whole)
        return read
    found = faults(value, ("data",), limits)
    reader.reasons.extend(found)
    if row is None or any(reason.code == "nested_too_deep" for reason in found):
        return _UNREAD
    payload = read_payload(row.payload, value)
    if isinstance(payload, list):
        known = {(reason.pointer, reason.code) for reason in found}
        reader.reasons.extend(reason for reason in payload if (reason.pointer, reason.code) not in known)
        return _UNREAD
    return ItemsRead(payload, (), [], [])


def _sequence(reader: _Reader) -> str | None:
    """The order of the sender's events at one moment; in JSON it may be a number."""
    value = reader.attributes.get("sequence")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return reader.text("sequence", required=False)


def _traceparent(envelope: Envelope) -> str | None:
    """Well formed or nothing: a broken trace is no reason to refuse work."""
    for candidate in (envelope.attributes.get("traceparent"), envelope.traceparent):
        if isinstance(candidate, str) and _TRACEPARENT.fullmatch(candidate):
            return candidate
    return None


def _bounded(reasons: list[Reason], reasons_max: int) -> tuple[Reason, ...]:
    if len(reasons) <= reasons_max:
        return tuple(reasons)
    return (*reasons[: reasons_max - 1], Reason("more_reasons", ""))
