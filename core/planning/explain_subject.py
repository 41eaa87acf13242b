"""One contact cut out of an org: steps that look at contacts one by one give the same answers about it alone (R98)."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from core.planning.calendar import to_date
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, NULL_ID, Int64
from core.planning.config import Config
from core.planning.explain_trace import ItemKey, Trace
from core.planning.explanation import Finding, MailRef
from core.planning.plan import Plan, Snapshot, frame_of
from core.planning.rules import CAMPAIGN, EMAIL_TYPES
from core.planning.schedule import Schedule
from core.planning.schedule_rows import StoredRows

TYPE_NAMES: Final = {spec.code: name for name, spec in EMAIL_TYPES.items()}
"""Built-in types by code (R36)."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A contact, the plan of its org, and what the plan's steps left of it."""

    row: int
    """Row number in the org's Contacts."""
    contact_id: int
    frame: Frame
    """Of this contact alone: it is row 0."""
    snapshot: Snapshot
    """Of this contact alone."""
    org_schedule: Schedule
    """All stored rows."""
    plan: Plan
    """Of the org."""
    trace: Trace


class RowKey(NamedTuple):
    """Which row of a contact a mail is (R7); 0 where a column is NULL."""

    email_type: str
    instance_id: int
    parent_id: int
    event: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail that the rules looked at, before it is held against the rows; days are day numbers."""

    key: RowKey
    ideal: int | None
    deadline: int | None
    findings: tuple[Finding, ...]


def subject_of(snapshot: Snapshot, config: Config, today: int, row: int, planned: Plan, trace: Trace) -> Subject:
    """Cut a contact out of the org."""
    contact_id = int(snapshot.contacts.contact_id[row])
    alone = narrowed(snapshot, row)
    frame = frame_of(alone.contacts, alone.schedule, config, today)
    return Subject(row, contact_id, frame, alone, snapshot.schedule, planned, trace)


def narrowed(snapshot: Snapshot, row: int) -> Snapshot:
    """Return what the snapshot has of one contact."""
    contact_id = int(snapshot.contacts.contact_id[row])

    def of(ids: Int64) -> Int64:
        return np.flatnonzero(ids == contact_id)

    schedule = snapshot.schedule
    return replace(
        snapshot,
        contacts=snapshot.contacts.take(np.array([row], dtype=np.int64)),
        schedule=Schedule(
            schedule.owned.take(of(schedule.owned.contact_id)),
            schedule.locked.take(of(schedule.locked.contact_id)),
            schedule.kinds,
        ),
        enrolments=tuple(
            replace(
                chunk,
                enrolment_id=chunk.enrolment_id[here],
                contact_id=chunk.contact_id[here],
                campaign_instance_id=chunk.campaign_instance_id[here],
                trigger_date=chunk.trigger_date.take(here),
            )
            for chunk in snapshot.enrolments
            if len(here := of(chunk.contact_id))
        ),
        clicks=tuple(
            replace(chunk, contact_id=chunk.contact_id[here], clicked_at=chunk.clicked_at.take(here))
            for chunk in snapshot.clicks
            if len(here := of(chunk.contact_id))
        ),
        answers=tuple(
            replace(
                chunk,
                event_id=chunk.event_id[here],
                contact_id=chunk.contact_id[here],
                created_at=chunk.created_at.take(here),
                metadata=chunk.metadata.take(here),
            )
            for chunk in snapshot.answers
            if len(here := of(chunk.contact_id))
        ),
    )


def stored_mails(rows: StoredRows, schedule: Schedule) -> tuple[MailRef, ...]:
    """Return stored rows as an explanation names them."""
    kinds = [schedule.kinds[number] for number in rows.kind.tolist()]
    return tuple(
        MailRef(
            email_type=kind.email_type,
            campaign_instance_id=None if instance == NULL_ID else instance,
            event_date=None if event == NO_DAY else to_date(event),
            send_date=None if day == NO_DAY else to_date(day),
            status=kind.status,
            row_id=row_id,
        )
        for kind, row_id, instance, event, day in zip(
            kinds,
            rows.row_id.tolist(),
            rows.instance_id.tolist(),
            rows.event_day.tolist(),
            rows.send_day.tolist(),
            strict=True,
        )
    )


def item_type(subject: Subject, key: ItemKey) -> str:
    """Return the email type of an item."""
    if key.type_code != CAMPAIGN:
        return TYPE_NAMES[key.type_code]
    return next(c.email_type for c in subject.snapshot.book.active if c.instance_id == key.instance_id)
