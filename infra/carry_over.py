"""Carrying into one version of an org database what another one knows of the world: SQL around ``core.runs.recovery``.

``kept`` is the version that will be live, ``lost`` the one that it replaces. Both files are private copies at the current
schema; ``lost`` is only read. All writes are one transaction. Bounded: what differs is found by SQLite, row by row of the
file, and judged in batches of contacts.

Columns that only one of the versions has are left alone: a carried row gets the kept version's defaults there.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote

import apsw

from core.planning.config import IsTimezone
from core.runs.errors import ErrorCode, OrgError
from core.runs.reconcile import TIMESTAMP_FORMAT
from core.runs.recovery import (
    DELETED,
    UNSUBSCRIBED,
    Carried,
    status_to_carry,
    suppressed_statuses,
    suppressed_texts,
)
from infra import migrations, org_records
from infra.carry_rows import OWNED_SQL, carry_rows, common_columns, count_of, json_list, text_of
from infra.org_handles import open_records
from infra.org_people import PERSONAL_TABLES
from infra.sqlite_errors import org_errors
from infra.sqlite_file import read_header, settle

_STATUS_TEXTS_MAX: Final = 100_000
"""Distinct statuses of contacts; more are no statuses."""


class CarryWishes(NamedTuple):
    """How two versions relate, and the moment of it."""

    lost_is_newer: bool
    now: datetime
    """Aware, UTC."""
    is_timezone: IsTimezone


def prepare(file: str, org_id: str) -> None:
    """Bring a private copy to the schema, so that both versions have every table; the journal mode stays.

    Raises OrgError: SCHEMA_NOT_UNDERSTOOD, DATABASE_CORRUPT, DISK_FULL, SYNC_FAILED.
    """
    with org_errors("migrate", org_id), closing(open_records(file)) as db:
        migrations.migrate(db, org_id)
    _settle(file, org_id)


def carry_over(kept: str, lost: str, wishes: CarryWishes, org_id: str) -> Carried:
    """Carry locked rows, unsubscribes, deletions, tombstones, event ids and run records from ``lost`` into ``kept``.

    Raises OrgError: SCHEMA_NOT_UNDERSTOOD, DATABASE_CORRUPT, DISK_FULL; the kept file is worthless then.
    """
    at = wishes.now.strftime(TIMESTAMP_FORMAT)
    statuses = [_suppressed_in_force(file, at, wishes, org_id) for file in (kept, lost)]
    uri = f"file:{quote(kept)}?mode=rw"
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    with org_errors("carry over", org_id), closing(apsw.Connection(uri, flags=flags)) as db:
        db.pragma("synchronous", "OFF")
        db.execute("ATTACH ? AS lost", (f"file:{quote(lost)}?mode=ro&immutable=1",))
        db.execute("BEGIN IMMEDIATE")
        carried = _carry(db, wishes, at, kept_statuses=statuses[0], lost_statuses=statuses[1])
        db.execute("COMMIT")
    _settle(kept, org_id)
    return carried


def _settle(file: str, org_id: str) -> None:
    header = read_header(file)
    settle(file, org_id, wal=None if header is None else header.is_wal)


def _suppressed_in_force(file: str, at: str, wishes: CarryWishes, org_id: str) -> tuple[str, ...]:
    with org_errors("config_versions", org_id), closing(open_records(file)) as db:
        return suppressed_statuses(org_records.config_rows(db), at, wishes.is_timezone)


def _carry(
    db: apsw.Connection, wishes: CarryWishes, at: str, *, kept_statuses: Sequence[str], lost_statuses: Sequence[str]
) -> Carried:
    missing = count_of(db, "SELECT count(*) FROM lost.contacts WHERE id NOT IN (SELECT id FROM main.contacts)")
    back = """SELECT count(*) FROM main.contacts WHERE id NOT IN (SELECT id FROM lost.contacts)
              AND id NOT IN (SELECT contact_id FROM lost.scheduler_tombstones)"""
    contacts_back = count_of(db, back) if wishes.lost_is_newer else 0
    rows_by_status = carry_rows(db, lost_is_newer=wishes.lost_is_newer)
    tombstones = _insert_missing(db, "scheduler_tombstones")
    stopped = _carry_unsubscribes(db, kept_statuses, lost_statuses, at)
    deletions, removed = _carry_deletions(db)
    return Carried(
        rows_by_status=rows_by_status,
        rows_withdrawn=stopped.rows_withdrawn + removed,
        unsubscribes=stopped.contacts,
        deletions=deletions,
        tombstones=tombstones + stopped.tombstones,
        runs=_insert_missing(db, "scheduler_runs"),
        events=_insert_missing(db, "scheduler_processed_events"),
        contacts_missing=missing,
        contacts_back=contacts_back,
        unsuppressed=0 if kept_statuses else stopped.contacts,
    )


# ------------------------------------------------------------------------------------------------ people


class _Stopped(NamedTuple):
    contacts: int
    rows_withdrawn: int
    tombstones: int


def _carry_unsubscribes(
    db: apsw.Connection, kept_statuses: Sequence[str], lost_statuses: Sequence[str], at: str
) -> _Stopped:
    """Suppress who is suppressed in the lost version, and take back what is planned for them.

    A contact that the kept version does not know gets a tombstone: otherwise the next import would be a resubscription.
    """
    lost_texts = suppressed_texts(_status_texts(db, "lost"), lost_statuses)
    kept_texts = suppressed_texts(_status_texts(db, "main"), kept_statuses)
    words = [[text, status_to_carry(text, kept_statuses)] for text in sorted(lost_texts)]
    db.execute("CREATE TEMP TABLE stopped (contact_id INTEGER PRIMARY KEY, status TEXT NOT NULL)")
    db.execute(
        """INSERT INTO temp.stopped SELECT theirs.id, word.value ->> 1 FROM lost.contacts AS theirs
        JOIN json_each(?) AS word ON word.value ->> 0 = CAST(theirs.status AS TEXT)""",
        (json_list(words),),
    )
    db.execute(
        """INSERT OR IGNORE INTO main.scheduler_tombstones (contact_id, reason, at)
        SELECT contact_id, ?, ? FROM temp.stopped WHERE contact_id NOT IN (SELECT id FROM main.contacts)""",
        (UNSUBSCRIBED, at),
    )
    tombstones = db.changes()
    db.execute(  # who has a tombstone is not written to, whatever the status says
        """INSERT OR IGNORE INTO temp.stopped SELECT contact_id, ?1 FROM lost.scheduler_tombstones AS stone
        WHERE reason <> ?2 OR EXISTS (SELECT 1 FROM lost.contacts WHERE id = stone.contact_id)""",
        (status_to_carry(UNSUBSCRIBED, kept_statuses), DELETED),
    )
    db.execute(  # left are those to whom the kept version would write
        """DELETE FROM temp.stopped WHERE contact_id NOT IN (SELECT id FROM main.contacts
          WHERE COALESCE(CAST(status AS TEXT), '') NOT IN (SELECT value FROM json_each(?)))""",
        (json_list(sorted(kept_texts)),),
    )
    db.execute(
        """UPDATE main.contacts SET status = stopped.status FROM temp.stopped
        WHERE contacts.id = stopped.contact_id AND contacts.status IS NOT stopped.status"""
    )
    contacts = db.changes()
    db.execute(
        """DELETE FROM main.email_schedules
        WHERE status = 'pre-scheduled' AND contact_id IN (SELECT contact_id FROM temp.stopped)"""
    )
    withdrawn = db.changes()
    db.execute("DROP TABLE temp.stopped")
    return _Stopped(contacts, withdrawn, tombstones)


def _carry_deletions(db: apsw.Connection) -> tuple[int, int]:
    """Delete who was deleted since, by tombstone: (contacts, rows of the scheduler's own that went with them)."""
    db.execute(
        """CREATE TEMP TABLE gone AS SELECT contact_id FROM lost.scheduler_tombstones
        WHERE reason = ? AND contact_id NOT IN (SELECT id FROM lost.contacts)""",
        (DELETED,),
    )
    db.execute("DELETE FROM main.contacts WHERE id IN (SELECT contact_id FROM temp.gone)")
    deleted = db.changes()
    db.execute(
        f"""DELETE FROM main.email_schedules
        WHERE status IN ({OWNED_SQL}) AND contact_id IN (SELECT contact_id FROM temp.gone)"""  # noqa: S608
    )
    withdrawn = db.changes()
    for table in PERSONAL_TABLES:
        db.execute(
            f"""DELETE FROM main.{table} WHERE contact_id IN (SELECT contact_id FROM temp.gone
            WHERE contact_id NOT IN (SELECT contact_id FROM lost.{table} WHERE contact_id IS NOT NULL))"""  # noqa: S608
        )
    db.execute("DROP TABLE temp.gone")
    return deleted, withdrawn


def _status_texts(db: apsw.Connection, place: str) -> list[str]:
    sql = f"""SELECT DISTINCT CAST(status AS BLOB) FROM {place}.contacts
              WHERE status IS NOT NULL LIMIT {_STATUS_TEXTS_MAX + 1}"""  # noqa: S608
    texts = [text_of(text) for (text,) in db.execute(sql)]
    if len(texts) > _STATUS_TEXTS_MAX:
        raise OrgError(
            ErrorCode.SCHEMA_NOT_UNDERSTOOD, None, f"contacts.status: over {_STATUS_TEXTS_MAX} different ones"
        )
    return texts


def _insert_missing(db: apsw.Connection, table: str) -> int:
    """Insert the rows whose key the kept version does not have; returns how many."""
    names = ", ".join(common_columns(db, table))
    db.execute(f"INSERT OR IGNORE INTO main.{table} ({names}) SELECT {names} FROM lost.{table}")  # noqa: S608
    return db.changes()
