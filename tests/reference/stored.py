"""Reading email_schedules (R3-R5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.reference.dates import exact_date, read_moment
from tests.reference.model import Locked, StoredRow, query

if TYPE_CHECKING:
    import sqlite3


def stored_rows(db: sqlite3.Connection) -> list[StoredRow]:
    """Every row of email_schedules, by id."""
    return [_stored_row(row) for row in query(db, "SELECT * FROM email_schedules ORDER BY id")]


def _stored_row(row: dict[str, Any]) -> StoredRow:
    return StoredRow(
        id=row["id"],
        contact_id=row["contact_id"],
        email_type=row["email_type"],
        campaign_instance_id=row["campaign_instance_id"],
        parent_schedule_id=row["parent_schedule_id"],
        event_date=exact_date(row["event_date"]),
        event_date_text=row["event_date"],
        scheduled_send_date=exact_date(row["scheduled_send_date"]),
        scheduled_send_date_text=row["scheduled_send_date"],
        scheduled_send_time=row["scheduled_send_time"],
        status=row["status"],
        skip_reason=row["skip_reason"],
        priority=row["priority"],
        email_template=row["email_template"],
        sms_template=row["sms_template"],
        sent_at=read_moment(row["actual_send_datetime"]),
    )


def locked_rows(db: sqlite3.Connection) -> Locked:
    """The rows that are not ours to change (R3)."""
    locked = Locked()
    for row in stored_rows(db):
        if not row.owned:
            locked.rows.append(row)
            locked.by_contact.setdefault(row.contact_id, []).append(row)
    return locked
