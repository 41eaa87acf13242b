"""The nouns that the modules of the reference share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from datetime import date, datetime

TYPE_CODES = {"birthday": 1, "effective_date": 2, "aep": 3, "post_window": 4}
CAMPAIGN_CODE = 5
CAMPAIGN_PREFIX = "campaign_"
FOLLOWUP_PREFIX = "followup_"
OWNED_STATUSES = ("pre-scheduled", "skipped")
COUNTING_STATUSES = ("scheduled", "processing", "accepted", "deferred", "sent", "delivered")


def type_code(email_type: str) -> int:
    """The type codes of R36."""
    return TYPE_CODES.get(email_type, CAMPAIGN_CODE)


def query(db: sqlite3.Connection, sql: str) -> list[dict[str, Any]]:
    """All rows of a query, each as a dict by column name."""
    cursor = db.execute(sql)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@dataclass(frozen=True)
class Contact:
    """One contact as the rules see it (R20-R24). `state` None: unknown."""

    id: int
    schedulable: bool
    state: str | None
    birth_date: date | None
    effective_date: date | None
    carrier: str
    failed_underwriting: bool


@dataclass(frozen=True)
class StoredRow:
    """One row of email_schedules as stored. Dates that are not dates are None; `send_day` is R5."""

    id: int
    contact_id: int
    email_type: str
    campaign_instance_id: int | None
    parent_schedule_id: int | None
    event_date: date | None
    event_date_text: str
    scheduled_send_date: date | None
    scheduled_send_date_text: str
    scheduled_send_time: str
    status: str
    skip_reason: str | None
    priority: int
    email_template: str | None
    sms_template: str | None
    sent_at: datetime | None

    @property
    def owned(self) -> bool:
        """May the scheduler change it (R3)?"""
        return self.status in OWNED_STATUSES

    @property
    def counting(self) -> bool:
        """Went out or will (R4)."""
        return self.status in COUNTING_STATUSES

    @property
    def send_day(self) -> date | None:
        """The day on which a locked row went or goes out (R5)."""
        return self.sent_at.date() if self.sent_at is not None else self.scheduled_send_date

    @property
    def is_followup(self) -> bool:
        """R81: the type begins with `followup_`."""
        return self.email_type.startswith(FOLLOWUP_PREFIX)

    @property
    def is_campaign(self) -> bool:
        """A mail of a campaign (not a follow-up of one)."""
        return self.email_type.startswith(CAMPAIGN_PREFIX)


@dataclass
class Item:
    """One candidate on its way through the pipeline. Skipped as soon as `skip_reason` is set."""

    contact: Contact
    email_type: str
    event_date: date
    ideal: date
    deadline: date
    priority: int
    target: date
    respects_windows: bool = True
    campaign_instance_id: int | None = None
    email_template: str | None = None
    sms_template: str | None = None
    skip_reason: str | None = None
    checked_on: date | None = None

    @property
    def alive(self) -> bool:
        """Not skipped."""
        return self.skip_reason is None

    @property
    def code(self) -> int:
        """Type code (R36)."""
        return type_code(self.email_type)

    @property
    def instance_or_zero(self) -> int:
        """The campaign instance in sort orders and identities."""
        return self.campaign_instance_id or 0


@dataclass(frozen=True)
class PlannedRow:
    """One desired row of email_schedules (R75), its contact, its parent and its content (R90)."""

    contact_id: int
    email_type: str
    campaign_instance_id: int | None
    parent_schedule_id: int | None
    event_date: date
    scheduled_send_date: date
    scheduled_send_time: str
    status: str
    skip_reason: str | None
    priority: int
    email_template: str | None
    sms_template: str | None


@dataclass(frozen=True)
class ReferencePlan:
    """What the rule book wants. `rows` still has those whose identity a locked row holds (dropped by the diff, R91)."""

    rows: list[PlannedRow]
    issues: set[tuple[int, str]]
    cap_exceeded_days: list[date]
    cap: int
    threshold: int


@dataclass
class Locked:
    """The locked rows of the org (R3), by contact and all together."""

    rows: list[StoredRow] = field(default_factory=list)
    by_contact: dict[int, list[StoredRow]] = field(default_factory=dict)

    def of(self, contact: Contact) -> list[StoredRow]:
        """The locked rows of one contact."""
        return self.by_contact.get(contact.id, [])
