"""What the owned rows must be after the run (R90-R92)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.reference.model import FOLLOWUP_PREFIX, PlannedRow, ReferencePlan, StoredRow
from tests.reference.stored import stored_rows

if TYPE_CHECKING:
    import sqlite3
    from datetime import date

Identity = tuple[object, ...]
Content = tuple[str, int | None, str, str, str, str, str | None, int, str | None, str | None]

MISSED = "missed_send_date"


@dataclass
class ExpectedTable:
    """The effect of a run on email_schedules. Ids are those of rows stored before it.

    deleted: rows to delete. updated: id -> new content (R90). missed: id -> content, skipped for `missed_send_date`.
    untouched: owned rows that stay byte for byte. inserted: planned rows without a counterpart.
    dropped: planned rows whose identity a locked row holds.
    """

    deleted: set[int] = field(default_factory=set)
    updated: dict[int, Content] = field(default_factory=dict)
    missed: dict[int, Content] = field(default_factory=dict)
    untouched: set[int] = field(default_factory=set)
    inserted: list[PlannedRow] = field(default_factory=list)
    dropped: list[PlannedRow] = field(default_factory=list)


def expected_rows(db: sqlite3.Connection, plan: ReferencePlan, today: date) -> ExpectedTable:
    """Compare the plan with the stored rows by identity. Reads only; `db` is the database before the run."""
    stored = stored_rows(db)
    expected = ExpectedTable()
    wanted: dict[Identity, PlannedRow] = {}
    held = {identity for row in stored if not row.owned and (identity := stored_identity(row)) is not None}
    for planned in plan.rows:
        identity = planned_identity(planned)
        if identity in wanted:
            raise AssertionError(f"two planned rows of one identity: {identity}")
        if identity in held:
            expected.dropped.append(planned)
        else:
            wanted[identity] = planned
    seen: set[Identity] = set()
    for row in stored:  # by id, so that the lowest id of an identity counts
        if row.owned:
            judge_owned(row, wanted, seen, today, expected)
    expected.inserted = [planned for identity, planned in wanted.items() if identity not in seen]
    return expected


def judge_owned(
    row: StoredRow, wanted: dict[Identity, PlannedRow], seen: set[Identity], today: date, expected: ExpectedTable
) -> None:
    """R91 and R92 for one owned row."""
    identity = stored_identity(row)
    if identity is None:
        judge_unmatched(row, today, expected)
        return
    if identity in seen:
        expected.deleted.add(row.id)
        return
    seen.add(identity)
    if identity not in wanted:
        judge_unmatched(row, today, expected)
    elif stored_content(row) == planned_content(wanted[identity]):
        expected.untouched.add(row.id)
    else:
        expected.updated[row.id] = planned_content(wanted[identity])


def judge_unmatched(row: StoredRow, today: date, expected: ExpectedTable) -> None:
    """R92: a row that the plan no longer wants. A date that cannot be read cannot be history: the row goes."""
    if row.scheduled_send_date is None or row.scheduled_send_date >= today:
        expected.deleted.add(row.id)
    elif row.status == "skipped":
        expected.untouched.add(row.id)
    else:
        content = stored_content(row)
        expected.missed[row.id] = (*content[:5], "skipped", MISSED, *content[7:])


def stored_identity(row: StoredRow) -> Identity | None:
    """R7; None for a row whose event date is no date. For follow-ups the event date does not matter."""
    if row.is_followup:
        return "followup", row.contact_id, row.parent_schedule_id
    if row.event_date is None:
        return None
    return row.contact_id, row.email_type, row.campaign_instance_id or 0, row.event_date


def planned_identity(row: PlannedRow) -> Identity:
    """R7."""
    if row.email_type.startswith(FOLLOWUP_PREFIX):
        return "followup", row.contact_id, row.parent_schedule_id
    return row.contact_id, row.email_type, row.campaign_instance_id or 0, row.event_date


def stored_content(row: StoredRow) -> Content:
    """R90, as stored."""
    return (
        row.email_type,
        row.campaign_instance_id,
        row.event_date_text,
        row.scheduled_send_date_text,
        row.scheduled_send_time,
        row.status,
        row.skip_reason,
        row.priority,
        row.email_template,
        row.sms_template,
    )


def planned_content(row: PlannedRow) -> Content:
    """R90, as it will be stored."""
    return (
        row.email_type,
        row.campaign_instance_id,
        row.event_date.isoformat(),
        row.scheduled_send_date.isoformat(),
        row.scheduled_send_time,
        row.status,
        row.skip_reason,
        row.priority,
        row.email_template,
        row.sms_template,
    )
