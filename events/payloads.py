"""What each event type carries: one frozen struct per payload (those of changes are in `events.change_payloads`).

The JSON Schemas in ``events/schemas`` are generated from these structs: whoever changes a struct changes the contract.
Absent information is ``null``, never a missing field: a consumer may rely on every key of an outgoing payload.
"""

from datetime import date
from typing import Annotated, Literal, NewType

from msgspec import Meta, Struct

from events.change_payloads import CampaignChanged, ConfigChanged
from events.contact_payloads import ContactChanged
from events.mail_payloads import MailReported

OrgId = NewType("OrgId", str)
"""An org id that was judged by `events.types.parse_org_id`: safe in a path, an object name and an attribute."""

ORG_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$(?!\n)"
"""For JSON Schema. ``$(?!\\n)`` because ``$`` alone lets a trailing newline through in some regex dialects."""

ORG_PATTERN_PATTERN = r"^[A-Za-z0-9_*?-]{1,64}$(?!\n)"
ORG_PATTERNS_MAX = 100
OrgPattern = Annotated[
    str,
    Meta(
        pattern=ORG_PATTERN_PATTERN,
        description="Pattern for a whole org id: * stands for any characters, ? for one; case matters.",
    ),
]

OrgIdField = Annotated[OrgId, Meta(pattern=ORG_ID_PATTERN, description="Org id.")]
Count = Annotated[int, Meta(ge=0)]
Bytes = Annotated[int, Meta(ge=0, description="Bytes moved between us and the bucket.")]
Seconds = Annotated[float, Meta(ge=0)]
Generation = Annotated[int, Meta(ge=0, description="Generation of the org's object; 0 is 'no object'.")]
RunIdField = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$(?!\n)",
        description="Run id: 32 hex digits, or what an operator named a run of a local file.",
    ),
]
Code = Annotated[str, Meta(min_length=1, max_length=64, description="A stable code; text for people is elsewhere.")]


class EventRef(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The identity of an event: two events with the same source and id are the same event."""

    source: Annotated[str, Meta(min_length=1, max_length=1024)]
    id: Annotated[str, Meta(min_length=1, max_length=256)]


class RunRequested(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Plan one org and commit the difference."""

    as_of: Annotated[
        date | None,
        Meta(description="Plan as of this day (YYYY-MM-DD). Absent or null: the org's own date when the run starts."),
    ] = None
    force: Annotated[
        bool,
        Meta(description="Accept an as_of before the last checkpoint, or more than a day from the org's own date."),
    ] = False
    create: Annotated[bool, Meta(description="Make the org's object if the org has none yet.")] = False


class FanoutRequested(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for a run of every org that has a database in the bucket.

    An org is asked if it matches one of ``include`` (all do where that is empty) and none of ``exclude``.
    """

    include: Annotated[tuple[OrgPattern, ...], Meta(max_length=ORG_PATTERNS_MAX)] = ()
    exclude: Annotated[tuple[OrgPattern, ...], Meta(max_length=ORG_PATTERNS_MAX)] = ()
    as_of: Annotated[date | None, Meta(description="Handed on to every run; see run.requested.")] = None
    force: Annotated[bool, Meta(description="Handed on to every run; see run.requested.")] = False


class RunCounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many contacts were read, mails planned and rows written."""

    contacts: Count
    contacts_invalid: Count
    emails_scheduled: Count
    emails_skipped: Count
    rows_inserted: Count
    rows_updated: Count
    rows_deleted: Count
    rows_missed: Count
    rows_unchanged: Count
    dropped_locked: Count


class RequestCounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests to the bucket, by the class they are billed in."""

    a: Count
    b: Count


class RunChecksums(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Digests of what was read and of what was left behind; equal before and after means nothing changed."""

    contacts: str
    schedules_before: str
    schedules_after: str


ItemIndex = Annotated[int, Meta(ge=0, description="Position in the event's items as they were sent, from 0.")]

ClaimRefusal = Literal[
    "on_hold", "no_such_row", "not_ours", "skipped", "row_changed", "date_past", "contact_suppressed", "replan_first"
]
"""Why a claim is refused; docs/data-events.md says what each means to the sender."""


class RowIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a mail is known by: contact, type, campaign instance and event date; a follow-up by contact and parent."""

    contact_id: int
    email_type: str
    event_date: str
    campaign_instance_id: int | None
    parent_schedule_id: int | None


class ClaimGranted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This mail, and no other, may be sent."""

    index: ItemIndex
    id: Annotated[int, Meta(description="email_schedules.id of the row.")]
    row: RowIdentity


class ClaimRefused(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This mail must not be sent."""

    index: ItemIndex
    id: Annotated[int | None, Meta(description="email_schedules.id of the row; null: there is none.")]
    row: RowIdentity
    code: ClaimRefusal


class EventClaims(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The claims of one mail.reported, each in one of two lists."""

    event: EventRef
    granted: tuple[ClaimGranted, ...]
    refused: tuple[ClaimRefused, ...]


class RejectedReason(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is wrong with a message, and where. Never the value itself: it may be personal data."""

    code: Code
    pointer: Annotated[
        str, Meta(description="JSON pointer into the event in structured form; '' is the whole message.")
    ]
    message: Annotated[str, Meta(description="What is wrong, for a person; names what was expected.")]


class ItemsRejected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items of one event that the run refused for good; event.rejected says the same beside it."""

    event: EventRef
    reasons: Annotated[tuple[RejectedReason, ...], Meta(min_length=1)]


class ItemCounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run did with the items of its contact.changed and mail.reported events."""

    upserts_applied: Count = 0
    upserts_stale: Annotated[Count, Meta(description="Older than what was applied to the contact already.")] = 0
    upserts_of_deleted: Annotated[Count, Meta(description="Of a deleted contact that nobody resubscribed.")] = 0
    deletes: Count = 0
    unsubscribes: Count = 0
    resubscribes: Count = 0
    resubscribes_stale: Annotated[Count, Meta(description="Older than the unsubscribe or the delete.")] = 0
    tombstones_restored: Annotated[
        Count, Meta(description="Contacts that an import had brought back past a delete or an unsubscribe.")
    ] = 0
    enrolments: Count = 0
    enrolments_repeated: Annotated[Count, Meta(description="The contact was enrolled so already.")] = 0
    clicks: Count = 0
    answers: Count = 0
    dropped_deleted: Annotated[Count, Meta(description="Enrolments, clicks, answers of a deleted contact.")] = 0
    parked: Annotated[Count, Meta(description="Wait from now on for a contact or a campaign instance.")] = 0
    unparked: Annotated[Count, Meta(description="Had waited; counted with their kind, too.")] = 0
    parked_expired: Annotated[Count, Meta(description="Waited 7 days in vain.")] = 0
    claims_granted: Count = 0
    claims_refused: Count = 0
    facts_recorded: Count = 0
    facts_inserted: Annotated[Count, Meta(description="Of the facts recorded, those of mails without a row.")] = 0
    facts_stale: Annotated[Count, Meta(description="Said nothing that the row does not say, or an earlier stage.")] = 0
    rejected: Annotated[Count, Meta(description="Refused by the run; what the door refused is not counted.")] = 0


class RunCompleted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run ended well.

    What is known only after the upload (generations, bytes, requests, pages, durations) is null when ``replayed`` is
    true: a repeated publication is made from the run's record, which was written before the upload.
    """

    org_id: OrgIdField
    run_id: RunIdField
    changed: Annotated[bool, Meta(description="False: the plan was already in place, and nothing was written.")]
    replayed: Annotated[
        bool, Meta(description="True: published again for a redelivered event; same event id as before.")
    ]
    as_of: Annotated[date, Meta(description="The day that was planned for.")]
    event_ids: Annotated[tuple[EventRef, ...], Meta(description="The events this run carried.")]
    counts: RunCounts
    scheduled_by_type: dict[str, Count]
    skipped_by_reason: dict[str, Count]
    issues_by_code: dict[str, Count]
    volume_by_day: Annotated[
        dict[date, dict[str, Count]],
        Meta(
            description="Pre-scheduled mails per day (YYYY-MM-DD) and type.",
            extra_json_schema={"propertyNames": {"format": "date"}},
        ),
    ]
    cap: Annotated[Count | None, Meta(description="Mails per day at most; null: no cap.")]
    cap_exceeded_days: tuple[date, ...]
    config_hash: str
    generation: Generation | None
    parent_generation: Generation | None
    bytes_down: Bytes | None
    bytes_up: Bytes | None
    requests: RequestCounts | None
    pages_changed: Count | None
    durations_seconds: Annotated[dict[str, Seconds] | None, Meta(description="Seconds per step.")]
    checksums: RunChecksums
    warnings: tuple[Code, ...]
    items: Annotated[ItemCounts, Meta(description="What became of contact changes and mail reports.")] = ItemCounts()
    claims: Annotated[tuple[EventClaims, ...], Meta(description="Only what is granted here may be sent.")] = ()
    rejected_items: tuple[ItemsRejected, ...] = ()


class RunFailed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run ended badly, and what to do about it. Holds no personal data."""

    org_id: OrgIdField
    event_ids: tuple[EventRef, ...]
    code: Code
    message: Annotated[str, Meta(description="What happened, for a person.")]
    hint: Annotated[str, Meta(description="What to do next, for a person.")]
    retryable: Annotated[bool, Meta(description="True: the same event may succeed later without a change.")]
    run_id: RunIdField | None


class EventRejected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message that can never be processed, with every reason at once."""

    org_id: Annotated[OrgIdField | None, Meta(description="Null: the message named no valid org.")]
    event: Annotated[EventRef | None, Meta(description="Null: the message had no usable source and id.")]
    reasons: Annotated[tuple[RejectedReason, ...], Meta(min_length=1)]
    digest: Annotated[
        str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="SHA-256 of what was judged; links logs to this event.")
    ]
    attribute_names: Annotated[tuple[str, ...], Meta(description="Names, never values, of the message's attributes.")]
    body_base64: Annotated[str | None, Meta(description="The body if it has at most 1 MB, else null.")]
    body_reference: Annotated[str | None, Meta(description="Object that holds a larger body: rejected/<id>.")]


Payload = (
    RunRequested
    | FanoutRequested
    | CampaignChanged
    | ContactChanged
    | MailReported
    | ConfigChanged
    | RunCompleted
    | RunFailed
    | EventRejected
)
"""Every payload. A new event type adds its struct here and its row to `events.types.EVENT_TYPES` (or `LOCAL`)."""
