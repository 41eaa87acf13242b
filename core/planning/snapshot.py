"""What a reader of the org database hands to the planner: raw columns, nothing judged yet (R9).

Big tables come in chunks so that memory stays bounded (R98); the chunk size and the order of rows never change a plan.
Column names are those of the database. Text is raw: the planner alone decides what is a date, a state or an address.
"""

from dataclasses import dataclass
from typing import NamedTuple

from core.planning.columns import Bool, Int32, Int64, SomeTexts, TextColumn
from core.planning.text_dates import DateColumn


@dataclass(frozen=True, slots=True)
class ContactChunk:
    """Some rows of ``contacts``: every column has one entry per contact."""

    contact_id: Int64
    email: TextColumn
    status: TextColumn
    zip_code: TextColumn
    state: TextColumn
    birth_date: TextColumn
    effective_date: TextColumn
    carrier: TextColumn
    failed_underwriting: Bool
    """True for anything that is neither NULL nor 0."""


class RowKind(NamedTuple):
    """The columns of a schedule row that take few distinct values; stored once per chunk, referred to by number."""

    email_type: str
    status: str
    skip_reason: str | None
    scheduled_send_time: str | None
    priority: int
    email_template: str | None
    sms_template: str | None


@dataclass(frozen=True, slots=True)
class ScheduleChunk:
    """Some rows of ``email_schedules``, of any status."""

    row_id: Int64
    contact_id: Int64
    parent_schedule_id: Int64
    """NULL_ID where NULL."""
    event_date: DateColumn
    scheduled_send_date: DateColumn
    actual_send_datetime: SomeTexts
    kind: Int32
    """Index into ``kinds``."""
    kinds: tuple[tuple[RowKind, int], ...]
    """With campaign_instance_id, NULL_ID where NULL. There may be some that no row has, and equal ones."""


@dataclass(frozen=True, slots=True)
class CampaignType:
    """One row of ``campaign_types``."""

    name: str
    respect_exclusion_windows: bool
    enable_followups: bool
    days_before_event: int
    target_all_contacts: bool
    priority: int
    active: bool
    spread_evenly: bool
    skip_failed_underwriting: bool


@dataclass(frozen=True, slots=True)
class CampaignInstance:
    """One row of ``campaign_instances``; dates and metadata are raw text (R52, R53 judge them)."""

    instance_id: int
    campaign_type: str
    email_template: str | None
    sms_template: str | None
    active_start_date: str | None
    active_end_date: str | None
    spread_start_date: str | None
    spread_end_date: str | None
    target_states: str | None
    target_carriers: str | None
    metadata: str | None
    created_at: str | None


@dataclass(frozen=True, slots=True)
class EnrolmentChunk:
    """Rows of ``contact_campaigns`` with status pending or scheduled (R54)."""

    enrolment_id: Int64
    contact_id: Int64
    campaign_instance_id: Int64
    trigger_date: TextColumn


@dataclass(frozen=True, slots=True)
class ClickChunk:
    """Rows of ``tracking_clicks`` since a day (R82)."""

    contact_id: Int64
    clicked_at: TextColumn


@dataclass(frozen=True, slots=True)
class AnswerChunk:
    """Rows of ``contact_events`` with event_type ``eligibility_answered`` since a day (R82)."""

    event_id: Int64
    contact_id: Int64
    created_at: TextColumn
    metadata: TextColumn


@dataclass(frozen=True, slots=True)
class IssueChunk:
    """Rows of ``scheduler_issues``: the issues in force before this run (R24)."""

    contact_id: Int64
    issue: Int32
    """Index into ``issues``."""
    issues: tuple[str, ...]
