"""Rows of the schedule as mail reports find and change them, by sqlite-utils; and what is remembered between plans."""

import json
from collections.abc import Sequence
from typing import Final

from sqlite_utils import Database

from core.planning.rules import FOLLOWUP_PREFIX
from core.runs.item_ports import MailInsert, MailKey, MailUpdate, StoredMail
from infra.migrations import INDEX_NAMES, SCHEDULE_INDEXES

_COLUMNS: Final = """mail.id, mail.contact_id, COALESCE(mail.email_type, ''), mail.campaign_instance_id,
  mail.parent_schedule_id, COALESCE(mail.event_date, ''), COALESCE(mail.scheduled_send_date, ''),
  mail.scheduled_send_time, COALESCE(mail.status, ''), mail.skip_reason, mail.priority,
  mail.email_template, mail.sms_template, mail.actual_send_datetime"""
_IS_FOLLOWUP: Final = f"substr(mail.email_type, 1, {len(FOLLOWUP_PREFIX)}) = '{FOLLOWUP_PREFIX}'"
_WANTED: Final = """wanted (event_date, contact_id, email_type, instance_id, parent_id) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?))"""
_SAME_DAY: Final = "mail.event_date = wanted.event_date AND mail.contact_id = wanted.contact_id"
_SAME_MAIL: Final = f"""{_SAME_DAY} AND mail.email_type = wanted.email_type
  AND COALESCE(mail.campaign_instance_id, 0) = wanted.instance_id"""
_SAME_FOLLOWUP: Final = (
    f"mail.contact_id = wanted.contact_id AND mail.parent_schedule_id = wanted.parent_id AND {_IS_FOLLOWUP}"
)
_BY_INDEX: Final = "FROM wanted CROSS JOIN email_schedules AS mail"
_BY_SCAN: Final = "FROM email_schedules AS mail CROSS JOIN wanted"
"""Without the index over identities each wanted mail would cost a scan of the table: this way it is one, and SQLite makes an
index of what is wanted."""

_BY_HINT: Final = f"""FROM json_each(?) AS hint CROSS JOIN email_schedules AS mail ON mail.id = hint.value
  CROSS JOIN wanted ON {_SAME_FOLLOWUP}"""

_UPDATE: Final = "UPDATE email_schedules SET status = ?, actual_send_datetime = ?, updated_at = ? WHERE id = ?"
_INSERT: Final = (
    "INSERT INTO email_schedules (contact_id, email_type, campaign_instance_id, parent_schedule_id, event_date, "
    "scheduled_send_date, priority, status, actual_send_datetime, created_at, updated_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def stored_mails(db: Database, keys: Sequence[MailKey], row_ids: Sequence[int]) -> list[StoredMail]:
    """All rows of these identities, by ascending id.

    A follow-up is known by its parent, whatever its date: it is looked for at the date that is told, at the ids that are
    hinted at, and then, with all that were not found, in one pass over the table.
    """
    way = _BY_INDEX if _has_index(db) else _BY_SCAN
    rows = _rows(db, f"{way} ON {_SAME_MAIL}", [key for key in keys if key.parent_id is None])
    followups = [key for key in keys if key.parent_id is not None]
    for source in (f"{way} ON {_SAME_DAY} AND {_SAME_FOLLOWUP}", _BY_HINT, f"{_BY_SCAN} ON {_SAME_FOLLOWUP}"):
        found = _rows(db, source, followups, row_ids)
        rows += found
        met = {(row.contact_id, row.parent_id) for row in found}
        followups = [key for key in followups if (key.contact_id, key.parent_id) not in met]
    return sorted(set(rows))


def change_mails(db: Database, updates: Sequence[MailUpdate], inserts: Sequence[MailInsert], *, at: str) -> None:
    """Write statuses and moments of sending, and mails without a row, in one transaction."""
    with db.atomic():
        db.conn.executemany(_UPDATE, ((u.status, u.actual_send_datetime, at, u.row_id) for u in updates))
        db.conn.executemany(_INSERT, ((*row, at, at) for row in inserts))


def is_unplanned(db: Database) -> bool:
    """Whether something was recorded that no plan has looked at."""
    return db.execute("SELECT 1 FROM scheduler_unplanned").fetchone() is not None


def remember_unplanned(db: Database, *, since: str | None) -> None:
    """Remember so from a moment on, or no more."""
    with db.atomic():
        db.execute("DELETE FROM scheduler_unplanned")
        if since is not None:
            db.execute("INSERT INTO scheduler_unplanned (id, since) VALUES (1, ?)", [since])


def _has_index(db: Database) -> bool:
    names = {name for (name,) in db.execute(INDEX_NAMES)}
    return bool(names & SCHEDULE_INDEXES["ux_schedules_identity"])


def _rows(db: Database, source: str, keys: Sequence[MailKey], row_ids: Sequence[int] = ()) -> list[StoredMail]:
    if not keys:
        return []
    wanted = json.dumps([(k.event_date, k.contact_id, k.email_type, k.instance_id, k.parent_id) for k in keys])
    parameters = [wanted, json.dumps(row_ids)] if source is _BY_HINT else [wanted]
    return [StoredMail(*row) for row in db.execute(f"WITH {_WANTED} SELECT {_COLUMNS} {source}", parameters)]
