"""What applying contact changes and mail reports needs of the org database: records and a Protocol.

All reads and writes are set by set, for thousands of items at once; each method is one transaction. Moments of ours are UTC,
``YYYY-MM-DD HH:MM:SS`` with a fraction only where there is one, so that they sort as texts; moments of contacts are the
org's local time (R82).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

CONTACT_COLUMNS: Final = (
    "email", "first_name", "last_name", "phone_number", "zip_code", "state", "birth_date", "effective_date", "carrier",
    "failed_underwriting", "status",
)  # fmt: skip
"""The columns of contacts that an upsert may give."""

Value = str | int | None
Columns = Mapping[str, Value]


class UpsertOrder(NamedTuple):
    """By what upserts of one contact are ordered: the later one stands, in whatever order they arrive."""

    at: str
    """The moment of the event, UTC."""
    source: str
    sequence: str
    """Decimal numbers padded, so that they compare as numbers; '' without one."""
    event_id: str


class Tombstone(NamedTuple):
    """Who must not come back."""

    reason: str
    """UNSUBSCRIBED or DELETED of `core.runs.recovery`."""
    at: str


@dataclass(frozen=True, slots=True)
class StoredPeople:
    """What is known of some contacts, by id; who is not in a mapping has no such thing."""

    contacts: Mapping[int, tuple[Value, ...]]
    """The values of CONTACT_COLUMNS; all texts but failed_underwriting."""
    tombstones: Mapping[int, Tombstone]
    orders: Mapping[int, UpsertOrder]
    """Of the last upsert of each."""


class Breach(NamedTuple):
    """A contact that is there although, or as if, it had no tombstone: somebody imported it past the events."""

    contact_id: int
    reason: str
    status: str


@dataclass(frozen=True, slots=True)
class PeopleWrites:
    """What to write of people; deletes come before upserts."""

    deletes: frozenset[int] = frozenset()
    upserts: Mapping[int, Columns] = field(default_factory=dict)
    """Columns to set; of a contact that is not there (any more) every other column is empty."""
    tombstones: Mapping[int, Tombstone] = field(default_factory=dict)
    lifted: frozenset[int] = frozenset()
    """Whose tombstone goes."""
    orders: Mapping[int, UpsertOrder] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be written (R93)."""
        return not (self.deletes or self.upserts or self.tombstones or self.lifted or self.orders)


class InstanceRef(NamedTuple):
    """A campaign instance as an enrolment names it: by id, or by type and name."""

    instance_id: int | None
    campaign_type: str | None
    instance_name: str | None


class Enrolment(NamedTuple):
    """A row of contact_campaigns to be; ``instance_id`` once it is known."""

    contact_id: int
    instance_id: int
    trigger_date: str | None
    metadata: str | None


class Click(NamedTuple):
    """A row of tracking_clicks to be."""

    contact_id: int
    tracking_id: str | None
    clicked_at: str
    url: str | None


class Answer(NamedTuple):
    """A row of contact_events with event_type eligibility_answered to be."""

    contact_id: int
    metadata: str
    created_at: str


class ParkedItem(NamedTuple):
    """An item that waits for its contact, or for the campaign instance that it names."""

    contact_id: int
    kind: str
    content: str
    """JSON, in a form of ours; moments are local already."""
    source: str
    event_id: str
    item_index: int
    parked_at: str


@dataclass(frozen=True, slots=True)
class AppendWrites:
    """Rows to append, items to park, and parked items that are done with, by (source, event id, index)."""

    enrolments: Sequence[Enrolment] = ()
    clicks: Sequence[Click] = ()
    answers: Sequence[Answer] = ()
    park: Sequence[ParkedItem] = ()
    unpark: Sequence[tuple[str, str, int]] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be written (R93)."""
        return not (self.enrolments or self.clicks or self.answers or self.park or self.unpark)


class MailKey(NamedTuple):
    """The identity of a mail (R7); of a follow-up contact and parent, and where to look for it first."""

    contact_id: int
    email_type: str
    instance_id: int
    """0 without one."""
    event_date: str
    parent_id: int | None
    """Follow-ups only."""


class StoredMail(NamedTuple):
    """A row of email_schedules; texts as they are stored."""

    row_id: int
    contact_id: int
    email_type: str
    instance_id: int | None
    parent_id: int | None
    event_date: str
    scheduled_send_date: str
    scheduled_send_time: str | None
    status: str
    skip_reason: str | None
    priority: int | None
    email_template: str | None
    sms_template: str | None
    actual_send_datetime: str | None


class MailUpdate(NamedTuple):
    """What a report changes of a row."""

    row_id: int
    status: str
    actual_send_datetime: str | None


class MailInsert(NamedTuple):
    """A mail that was reported and of which there is no row."""

    contact_id: int
    email_type: str
    instance_id: int | None
    parent_id: int | None
    event_date: str
    scheduled_send_date: str
    priority: int
    status: str
    actual_send_datetime: str | None


class ItemStore(Protocol):
    """The part of an org database that contact changes and mail reports are applied to."""

    def stored_people(self, contact_ids: Sequence[int]) -> StoredPeople:
        """What is known of these contacts."""
        ...

    def change_people(self, writes: PeopleWrites) -> None:
        """Write contacts, tombstones and the order of upserts. With a deleted contact goes what is known about it."""
        ...

    def tombstone_breaches(self, is_kept: Sequence[str]) -> Sequence[Breach]:
        """Contacts with a tombstone that are there: deleted ones, and those whose status is none of these texts."""
        ...

    def tombstoned_statuses(self) -> Sequence[str]:
        """The distinct statuses of contacts that are there and have a tombstone."""
        ...

    def instance_ids(self, refs: Sequence[InstanceRef]) -> Mapping[InstanceRef, int]:
        """The ids of those instances that exist; of two of one name the lower."""
        ...

    def enrolled(self, contact_ids: Sequence[int]) -> Sequence[tuple[int, int, str | None]]:
        """Contact, instance and trigger date of all enrolments of these contacts."""
        ...

    def ready_items(self, *, parked_from: str) -> Sequence[ParkedItem]:
        """Parked items, not older than a moment, whose contact is there by now; by arrival."""
        ...

    def parked_counts(self, *, parked_from: str) -> tuple[int, int]:
        """How many items are parked, and how many of them before a moment."""
        ...

    def append_items(self, writes: AppendWrites, *, at: str) -> None:
        """Write what contacts did, park and unpark. ``at`` (UTC): created_at and updated_at of enrolments."""
        ...

    def stored_mails(self, keys: Sequence[MailKey], row_ids: Sequence[int]) -> Sequence[StoredMail]:
        """All rows of these identities; ``row_ids`` are hints of where follow-ups may be. Ascending row ids."""
        ...

    def change_mails(self, updates: Sequence[MailUpdate], inserts: Sequence[MailInsert], *, at: str) -> None:
        """Write statuses and moments of sending, and nothing else of a row. ``at`` (UTC): updated_at, created_at."""
        ...

    def is_unplanned(self) -> bool:
        """Whether contacts, campaigns or configuration changed while nothing was planned: the org was on hold."""
        ...

    def remember_unplanned(self, *, since: str | None) -> None:
        """Remember so, from a moment on (UTC); None: a plan knows of everything."""
        ...
