"""The event types: one table, and the typed values that the rest of the program speaks of.

``EVENT_TYPES`` is the one home of "which types exist": decoder, encoder, schemas, samples and AsyncAPI are held to it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType, UnionType
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from events.change_payloads import CampaignChanged, CampaignInstanceChange, CampaignTypeChange, ConfigChanged
from events.contact_payloads import ContactChanged, ContactItem
from events.mail_payloads import MailReport, MailReported
from events.payloads import (
    EventRef,
    EventRejected,
    FanoutRequested,
    OrgId,
    Payload,
    RejectedReason,
    RequestCounts,
    RunChecksums,
    RunCompleted,
    RunCounts,
    RunFailed,
    RunRequested,
)

__all__ = [
    "CAMPAIGN_CHANGED",
    "CONFIG_CHANGED",
    "CONTACT_CHANGED",
    "EVENT_REJECTED",
    "EVENT_TYPES",
    "FANOUT_REQUESTED",
    "INCOMING",
    "LOCAL",
    "MAIL_REPORTED",
    "OUTGOING",
    "RUN_COMPLETED",
    "RUN_FAILED",
    "RUN_REQUESTED",
    "CampaignChanged",
    "CampaignInstanceChange",
    "CampaignTypeChange",
    "ConfigChanged",
    "ContactChanged",
    "Delivery",
    "Direction",
    "Event",
    "EventKey",
    "EventRef",
    "EventRejected",
    "EventType",
    "FanoutRequested",
    "FleetEvent",
    "InvalidOrgIdError",
    "MailReported",
    "OrgId",
    "Outgoing",
    "Payload",
    "RejectedReason",
    "RequestCounts",
    "RunChecksums",
    "RunCompleted",
    "RunCounts",
    "RunFailed",
    "RunRequested",
    "WireShape",
    "is_org_id",
    "parse_org_id",
    "type_name_of",
]

Direction = Literal["in", "out", "local"]
"""``in``: the world asks us. ``out``: we tell the world. ``local``: an operator asks; no wire carries it."""

WireShape = Literal[
    "pubsub-wrapped",  # Pub/Sub push: JSON around base64
    "pubsub-unwrapped",  # Pub/Sub push: data as the body, attributes as headers
    "pubsub-pull",  # streaming pull: no HTTP at all
    "cloudevent-binary",  # CloudEvents over HTTP: attributes as ce-* headers
    "cloudevent-structured",  # CloudEvents over HTTP: one JSON object
    "cloudevent-batch",  # CloudEvents over HTTP: a JSON list of such objects
    "local",  # made in this process (command line), never on a wire
]

_ORG_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class InvalidOrgIdError(ValueError):
    """A text that is no org id. Carries its length, not the text: that came from outside and may be anything."""

    def __init__(self, length_characters: int) -> None:
        super().__init__("an org id is 1 to 64 characters of A-Z a-z 0-9 _ -, and starts with a letter or a digit")
        self.length_characters = length_characters


def is_org_id(text: str) -> bool:
    """Whether the whole text is an org id (``fullmatch``: ``$`` would let a trailing newline through)."""
    return _ORG_ID.fullmatch(text) is not None


def parse_org_id(text: str) -> OrgId:
    """Judge an org id before it reaches a path, an object name or a bucket; raises InvalidOrgIdError."""
    if not is_org_id(text):
        raise InvalidOrgIdError(len(text))
    return OrgId(text)


class EventKey(NamedTuple):
    """The identity of an event. CloudEvents promises that source and id together are unique; neither is alone."""

    source: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One row of the contract."""

    name: str
    payload: type[Payload]
    direction: Direction
    description: str
    item: "type[Struct] | UnionType | None" = None
    """What the payload's ``items`` are, where they are judged one by one."""

    @property
    def is_about_one_org(self) -> bool:
        """False: it is about all orgs at once and names none (`FleetEvent`)."""
        return self.payload is not FanoutRequested


RUN_REQUESTED: Final = "com.emailscheduler.run.requested.v1"
FANOUT_REQUESTED: Final = "com.emailscheduler.fanout.requested.v1"
CAMPAIGN_CHANGED: Final = "com.emailscheduler.campaign.changed.v1"
CONTACT_CHANGED: Final = "com.emailscheduler.contact.changed.v1"
MAIL_REPORTED: Final = "com.emailscheduler.mail.reported.v1"
CONFIG_CHANGED: Final = "com.emailscheduler.config.changed.v1"
RUN_COMPLETED: Final = "com.emailscheduler.run.completed.v1"
RUN_FAILED: Final = "com.emailscheduler.run.failed.v1"
EVENT_REJECTED: Final = "com.emailscheduler.event.rejected.v1"

_TABLE: Final = (
    EventType(
        name=RUN_REQUESTED,
        payload=RunRequested,
        direction="in",
        description="Plan one org and commit the difference.",
    ),
    EventType(
        name=FANOUT_REQUESTED,
        payload=FanoutRequested,
        direction="in",
        description="Ask for a run of every org that has a database in the bucket.",
    ),
    EventType(
        name=CONTACT_CHANGED,
        payload=ContactChanged,
        direction="in",
        description="Upsert, delete, unsubscribe or resubscribe contacts, enrol them, record clicks and answers; then plan.",
        item=ContactItem,
    ),
    EventType(
        name=CAMPAIGN_CHANGED,
        payload=CampaignChanged,
        direction="in",
        description="Create or change campaign types and instances, with a log of every change; then plan.",
    ),
    EventType(
        name=MAIL_REPORTED,
        payload=MailReported,
        direction="in",
        description="Claim due mail, and say what became of mail; then plan.",
        item=MailReport,
    ),
    EventType(
        name=RUN_COMPLETED,
        payload=RunCompleted,
        direction="out",
        description="A run ended well: what changed, counts, volume per day, bytes moved.",
    ),
    EventType(
        name=RUN_FAILED,
        payload=RunFailed,
        direction="out",
        description="A run ended badly: reason code, hint, and whether it may be retried.",
    ),
    EventType(
        name=EVENT_REJECTED,
        payload=EventRejected,
        direction="out",
        description="A message that can never be processed, with every reason at once.",
    ),
)

_LOCAL_TABLE: Final = (
    EventType(
        name=CONFIG_CHANGED,
        payload=ConfigChanged,
        direction="local",
        description="Put another configuration in force, then plan.",
    ),
)

EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType({row.name: row for row in _TABLE})
INCOMING: Final[Mapping[str, EventType]] = MappingProxyType({r.name: r for r in _TABLE if r.direction == "in"})
OUTGOING: Final[Mapping[str, EventType]] = MappingProxyType({r.name: r for r in _TABLE if r.direction == "out"})
LOCAL: Final[Mapping[str, EventType]] = MappingProxyType({row.name: row for row in _LOCAL_TABLE})
"""No part of the contract with the world: neither decoded nor published, so without schema and samples."""

_NAME_OF_PAYLOAD: Final = {row.payload: row.name for row in _TABLE}


def type_name_of(data: Payload) -> str:
    """The event type of the contract a payload belongs to; KeyError for a local one, which no wire may carry."""
    return _NAME_OF_PAYLOAD[type(data)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How Pub/Sub brought a message. Differs between deliveries of one message, so it is no part of its identity."""

    message_id: str | None = None
    subscription: str | None = None
    """Full name, ``projects/<project>/subscriptions/<name>``."""
    delivery_attempt: int | None = None
    """1 for the first; only subscriptions with a dead-letter policy count."""
    ordering_key: str | None = None
    publish_time: datetime | None = None
    """Aware, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Incoming:
    """What every incoming event has."""

    id: str
    source: str
    type: str
    time: datetime | None = None
    """Aware, UTC; None if the sender gave none."""
    sequence: str | None = None
    """The CloudEvents extension: the order of events of one source at one moment."""
    received_at: datetime | None = field(default=None, compare=False)
    """Aware, UTC; None where nobody looked at a clock."""
    traceparent: str | None = None
    """W3C trace context of the sender, well formed, or None."""
    shape: WireShape = field(default="local", compare=False)
    delivery: Delivery | None = field(default=None, compare=False)
    """Set when Pub/Sub brought it."""

    @property
    def key(self) -> EventKey:
        """What duplicates are recognised by."""
        return EventKey(self.source, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(_Incoming):
    """An event about one org that passed every check of the wire. Two deliveries of one event compare equal."""

    org_id: OrgId
    data: Payload
    rejected_items: tuple[int, ...] = ()
    """Positions, ascending, of items that were sent with the others and are not in ``data``: they are rejected beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEvent(_Incoming):
    """An event about all orgs that passed every check of the wire: no org's mailbox is the place for it."""

    data: FanoutRequested


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An event about to be published (`events.encode` makes it any wire shape). Raises ValueError for a naive time."""

    id: str
    source: str
    data: Payload
    org_id: OrgId | None
    """None only for the rejection of a message that named no valid org."""
    time: datetime | None = None
    run_id: str | None = None
    traceparent: str | None = None

    def __post_init__(self) -> None:
        """Refuse a time without an offset: a consumer could not place it."""
        if self.time is not None and self.time.utcoffset() is None:
            raise ValueError("the time of an event carries an offset")

    @property
    def type(self) -> str:
        """The event type, which follows from the payload."""
        return type_name_of(self.data)
