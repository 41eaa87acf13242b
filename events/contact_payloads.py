"""What contact.changed carries: people as upstream systems know them, and what people did.

An item is judged by itself: its faults are rejected with its index, and the items beside it go through. Only JSON types,
lengths and moments are judged here; what the rule book knows how to judge (a bad date, an unusable ZIP) is stored as it came
and becomes an issue, so that the good field beside it is not lost (R20-R25).
"""

from datetime import datetime
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from events.change_payloads import (
    METADATA_CHARACTERS_MAX,
    NO_NUL,
    CampaignInstanceName,
    CampaignTypeName,
    DateText,
    JsonObject,
    object_text,
)

ITEMS_MAX: Final = 5_000
"""Items in one event."""
ID_MAX: Final = 2**63 - 1

ContactId = Annotated[int, Meta(ge=1, le=ID_MAX, description="contacts.id.")]
InstanceId = Annotated[int, Meta(ge=1, le=ID_MAX, description="campaign_instances.id.")]
Field = Annotated[str, Meta(max_length=1_000, pattern=NO_NUL)]
JudgedText = Annotated[
    str, Meta(max_length=1_000, pattern=NO_NUL, description="Stored as it is; what is unusable becomes an issue.")
]
LongText = Annotated[str, Meta(max_length=10_000, pattern=NO_NUL)]
Moment = Annotated[
    datetime,
    Meta(
        tz=True,
        description="RFC 3339 with an offset, at most 5 minutes ahead of receipt; kept as the org's local time.",
        # A format is a hint to most validators; this is what msgspec reads.
        extra_json_schema={"pattern": r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)$(?!\n)"},
    ),
]

_YEAR_MIN: Final = 1900
_YEAR_MAX: Final = 2100


def require_century(moment: datetime | None) -> None:
    """Refuse a moment that is a mistake, and that some time zone could not express; raises ValueError."""
    if moment is not None and not _YEAR_MIN <= moment.year <= _YEAR_MAX:
        raise ValueError(f"a moment lies in {_YEAR_MIN} to {_YEAR_MAX}")


class _Item(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"):
    """About one contact."""

    contact_id: ContactId


class ContactUpsert(_Item, frozen=True, kw_only=True, tag="upsert"):
    """Make a contact or change it: a field that is absent stays as it is, null clears it.

    The only kind that can be stale: of two upserts of a contact the one with the later (time, source, sequence, id) of its
    event stands, whole, in whatever order they arrive. A contact that unsubscribed or was deleted stays so, whatever the
    status says.
    """

    email: JudgedText | UnsetType | None = UNSET
    first_name: Field | UnsetType | None = UNSET
    last_name: Field | UnsetType | None = UNSET
    phone_number: Field | UnsetType | None = UNSET
    zip_code: JudgedText | UnsetType | None = UNSET
    state: JudgedText | UnsetType | None = UNSET
    birth_date: JudgedText | UnsetType | None = UNSET
    effective_date: JudgedText | UnsetType | None = UNSET
    carrier: Field | UnsetType | None = UNSET
    failed_underwriting: bool | UnsetType = UNSET
    status: Annotated[Field | UnsetType | None, Meta(description="Null is the empty status.")] = UNSET


class ContactDelete(_Item, frozen=True, kw_only=True, tag="delete"):
    """Delete a contact and what is known about it; always applies, also to an id not seen yet. Mail that went out stays."""


class ContactUnsubscribe(_Item, frozen=True, kw_only=True, tag="unsubscribe"):
    """No more mail to a contact; always applies, also to an id not seen yet. Only a resubscribe lifts it."""


class ContactResubscribe(_Item, frozen=True, kw_only=True, tag="resubscribe"):
    """The contact asked for mail again: lifts an unsubscribe or a delete that is not later than this event."""


class ContactEnrol(_Item, frozen=True, kw_only=True, tag="enrol"):
    """Enrol a contact in a campaign instance: named by its id, or by its type and name; waits 7 days for both."""

    campaign_instance_id: InstanceId | None = None
    campaign_type: CampaignTypeName | None = None
    instance_name: CampaignInstanceName | None = None
    trigger_date: Annotated[DateText | None, Meta(description="YYYY-MM-DD; absent: the instance's start (R55).")] = None
    metadata: Annotated[JsonObject | None, Meta(description="At most 10 000 characters; not read.")] = None

    def __post_init__(self) -> None:
        """Refuse no instance, two ways to name one, and long metadata; raises ValueError."""
        named = (self.campaign_type is not None, self.instance_name is not None)
        if (self.campaign_instance_id is not None) == any(named) or any(named) != all(named):
            raise ValueError("campaign_instance_id, or campaign_type and instance_name, is expected")
        if self.metadata is not None and len(object_text(self.metadata)) > METADATA_CHARACTERS_MAX:
            raise ValueError(f"metadata has at most {METADATA_CHARACTERS_MAX} characters")


class ContactClick(_Item, frozen=True, kw_only=True, tag="click"):
    """A contact clicked a link of a mail (R82); waits 7 days for the contact."""

    clicked_at: Moment
    tracking_id: Field | None = None
    url: LongText | None = None

    def __post_init__(self) -> None:
        """Refuse a moment of another century; raises ValueError."""
        require_century(self.clicked_at)


class ContactAnswer(_Item, frozen=True, kw_only=True, tag="answer"):
    """A contact answered the eligibility questions (R82); waits 7 days for the contact."""

    answered_at: Moment
    has_medical_conditions: Annotated[
        bool | UnsetType | None, Meta(description="If given, it alone decides; null is no.")
    ] = UNSET
    main_questions_yes_count: Annotated[int, Meta(ge=0, le=ID_MAX)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse a moment of another century; raises ValueError."""
        require_century(self.answered_at)


ContactItem = (
    ContactUpsert
    | ContactDelete
    | ContactUnsubscribe
    | ContactResubscribe
    | ContactEnrol
    | ContactClick
    | ContactAnswer
)


class ContactChanged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change contacts and record what they did, then plan. 1 to 5 000 items, applied in their order."""

    items: Annotated[tuple[ContactItem, ...], Meta(min_length=1, max_length=ITEMS_MAX)]
