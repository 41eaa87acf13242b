"""Follow-ups (R80-R86)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from tests.reference.candidates import Setting, barred_by_underwriting
from tests.reference.model import TYPE_CODES, Contact, PlannedRow, StoredRow, type_code
from tests.reference.windows import excluded

if TYPE_CHECKING:
    from tests.reference.behaviour import Behaviour
    from tests.reference.instances import Instance

PARENT_STATUSES = ("sent", "delivered")


@dataclass(frozen=True)
class Parent:
    """A row that may be followed, with the dates that make it one."""

    row: StoredRow
    send_day: date
    event_date: date


def followup_row(
    setting: Setting, contact: Contact, instances: dict[int, Instance], behaviour: Behaviour
) -> PlannedRow | None:
    """Step 6 for one schedulable contact: its one follow-up, skipped or not, or None."""
    if not setting.config.enable_followups:
        return None
    locked = setting.locked.of(contact)
    if followed_already(locked, setting):
        return None
    parents = [parent for row in locked if (parent := as_parent(row, setting, instances)) is not None]
    if not parents:
        return None
    return build_row(setting, contact, min(parents, key=parent_order), behaviour)


def first_day(setting: Setting) -> date:
    """The first day of the lookback."""
    return setting.today - timedelta(days=setting.config.followup_lookback_days)


def followed_already(locked: list[StoredRow], setting: Setting) -> bool:
    """R81: a locked follow-up of any status in the lookback or later."""
    return any(row.is_followup and row.send_day is not None and row.send_day >= first_day(setting) for row in locked)


def as_parent(row: StoredRow, setting: Setting, instances: dict[int, Instance]) -> Parent | None:
    """R80, without the contact."""
    if row.status not in PARENT_STATUSES or row.send_day is None or row.event_date is None:
        return None
    if not first_day(setting) <= row.send_day <= setting.today:
        return None
    if row.is_campaign:
        instance = instances.get(row.campaign_instance_id or 0)
        if instance is None or not instance.enable_followups:
            return None
    elif row.email_type not in TYPE_CODES:
        return None
    return Parent(row, row.send_day, row.event_date)


def parent_order(parent: Parent) -> tuple[int, int, int, int, date, int]:
    """R81: the greatest send day, then the most important mail."""
    row = parent.row
    return (
        -parent.send_day.toordinal(),
        row.priority,
        type_code(row.email_type),
        row.campaign_instance_id or 0,
        parent.event_date,
        row.id,
    )


def build_row(setting: Setting, contact: Contact, parent: Parent, behaviour: Behaviour) -> PlannedRow:
    """R82-R85."""
    row, config = parent.row, setting.config
    since = row.sent_at or datetime.combine(parent.send_day, time())
    email_type = behaviour.followup_type(contact.id, since)
    undelayed = parent.send_day + timedelta(days=config.followup_delay_days)
    target = max(setting.today, undelayed)
    reason = skip_reason(setting, contact, row.email_type, target)
    return PlannedRow(
        contact_id=contact.id,
        email_type=email_type,
        campaign_instance_id=row.campaign_instance_id,
        parent_schedule_id=row.id,
        event_date=parent.event_date,
        scheduled_send_date=target if reason is None else undelayed,  # R75
        scheduled_send_time=config.send_time,
        status="pre-scheduled" if reason is None else "skipped",
        skip_reason=reason,
        priority=row.priority,
        email_template=f"{email_type}_template",
        sms_template=None,
    )


def skip_reason(setting: Setting, contact: Contact, parent_type: str, target: date) -> str | None:
    """R84: the parent's type decides the underwriting exemption; windows always apply."""
    if barred_by_underwriting(contact, setting.config, parent_type):
        return "failed_underwriting:global"
    if contact.state is None:
        return "state_unknown"
    return excluded(contact, setting.config, target)
