"""What mail.reported carries: claims of due mail, and what became of mail, as the sender tells it."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from events.change_payloads import NO_NUL
from events.contact_payloads import ID_MAX, ITEMS_MAX, ContactId, Field, InstanceId, Moment, require_century

ReportStatus = Literal[
    "scheduled",
    "processing",
    "accepted",
    "deferred",
    "sent",
    "delivered",
    "bounced",
    "failed",
    "dropped",
    "cancelled",
]
"""``scheduled`` is a claim, the others are facts."""

RowIdHint = Annotated[int, Meta(ge=1, le=ID_MAX, description="email_schedules.id; a hint, the identity wins.")]
EmailType = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=NO_NUL, description="email_schedules.email_type.")
]
TimeOfDay = Annotated[str, Meta(pattern=r"^[0-2][0-9]:[0-5][0-9]:[0-5][0-9]$(?!\n)", description="HH:MM:SS.")]


class MailReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One mail, named by its identity (R7), and its status.

    A claim (status scheduled) gives what the sender read of the row, at least its scheduled_send_date, and is granted only
    if the row still says so. A fact is recorded in any case, and changes nothing but the status and the moment of sending.
    """

    contact_id: ContactId
    email_type: EmailType
    event_date: Annotated[date, Meta(description="YYYY-MM-DD, email_schedules.event_date.")]
    status: ReportStatus
    campaign_instance_id: InstanceId | None = None
    parent_schedule_id: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None
    id: RowIdHint | None = None
    sent_at: Annotated[Moment | None, Meta(description="When the mail went out; facts only.")] = None
    scheduled_send_date: Annotated[date | None, Meta(description="Claims: required. Facts: not read.")] = None
    scheduled_send_time: Annotated[TimeOfDay | None, Meta(description="Claims: if given, the row must say so.")] = None
    email_template: Annotated[Field | None, Meta(description="Claims: if given, the row must say so.")] = None
    sms_template: Annotated[Field | None, Meta(description="Claims: if given, the row must say so.")] = None

    def __post_init__(self) -> None:
        """Refuse a claim that does not say what it claims, and a mail sent in another century; raises ValueError."""
        require_century(self.sent_at)
        if self.status == "scheduled" and self.scheduled_send_date is None:
            raise ValueError("a claim gives scheduled_send_date as it was read")
        if self.status == "scheduled" and self.sent_at is not None:
            raise ValueError("a claim comes before the mail: it has no sent_at")
        if self.email_type.startswith("followup_") and self.parent_schedule_id is None:
            raise ValueError("a follow-up is named by its parent_schedule_id")


class MailReported(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Claim due mail and say what became of mail, then plan. 1 to 5 000 items, applied in their order."""

    items: Annotated[tuple[MailReport, ...], Meta(min_length=1, max_length=ITEMS_MAX)]
