"""A plan's changes written in bulk (R90-R92): deletes, updates, missed rows, inserts, then missing indexes.

What varies row by row (contact or row id) travels to SQLite as one array of integers; what takes few values - dates,
status, templates - is the same for a whole stretch of rows and is bound once per stretch.
Measured per inserted row: 0.8 microseconds so, 1.0 where each row looks its values up in a table, 1.8 with one execution
per row. Building the indexes afterwards costs 1.5, keeping them meanwhile several times that.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import apsw
import numpy as np

from core.planning.calendar import to_date
from core.planning.changes import IssueChanges, PlannedBatch, RowBatch, ScheduleChanges
from core.planning.columns import NULL_ID, Int16, Int32, Int64
from core.planning.snapshot import RowKind
from core.runs.errors import ErrorCode, OrgError
from core.runs.warnings import IDENTITY_NOT_UNIQUE
from infra.migrations import INDEX_NAMES, missing_schedule_indexes

MISSED_REASON: Final = "missed_send_date"

_BATCH_ROWS: Final = 100_000
_OWNED: Final = "status IN ('pre-scheduled', 'skipped')"

_DELETE: Final = f"DELETE FROM email_schedules WHERE id IN (SELECT value FROM carray(?1)) AND {_OWNED}"  # noqa: S608
_MISS: Final = f"""
UPDATE email_schedules SET status = 'skipped', skip_reason = '{MISSED_REASON}', scheduler_run_id = ?2, updated_at = ?3
WHERE id IN (SELECT value FROM carray(?1)) AND {_OWNED}"""  # noqa: S608
_INSERT: Final = """
INSERT INTO email_schedules (contact_id, parent_schedule_id, event_date, scheduled_send_date, campaign_instance_id,
  email_type, status, skip_reason, scheduled_send_time, priority, email_template, sms_template, scheduler_run_id,
  created_at, updated_at)"""
_INSERT_MANY: Final = (
    f"{_INSERT} SELECT value, NULL, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?2, ?3, ?3 FROM carray(?1)"  # noqa: S608
)
_INSERT_ONE: Final = f"{_INSERT} VALUES (?1, ?14, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?2, ?3, ?3)"
# Columns of the identity index are rewritten only where they differ: rewriting an equal key moves bytes about in a page of
# the index, and every moved byte is a page to upload. They differ for follow-ups (R86), and where NULL and 0 are one
# instance (R7).
_UPDATE_IDENTITY: Final = f"""
UPDATE email_schedules SET event_date = ?2, campaign_instance_id = ?3, email_type = ?4
WHERE id IN (SELECT value FROM carray(?1)) AND {_OWNED}
  AND (event_date IS NOT ?2 OR campaign_instance_id IS NOT ?3 OR email_type IS NOT ?4)"""  # noqa: S608
_CLEAR_INSTANCE: Final = f"""
UPDATE email_schedules SET campaign_instance_id = NULL
WHERE id IN (SELECT value FROM carray(?1)) AND {_OWNED} AND campaign_instance_id IS NOT NULL"""  # noqa: S608
_UPDATE_CONTENT: Final = f"""
UPDATE email_schedules SET scheduled_send_date = ?4, status = ?5, skip_reason = ?6, scheduled_send_time = ?7,
  priority = ?8, email_template = ?9, sms_template = ?10, scheduler_run_id = ?2, updated_at = ?3
WHERE id IN (SELECT value FROM carray(?1)) AND {_OWNED}"""  # noqa: S608


class Stamp(NamedTuple):
    """What a run leaves in every row that it changes (R91)."""

    run_id: str
    timestamp: str


def write_schedule(db: apsw.Connection, changes: ScheduleChanges, stamp: Stamp) -> None:
    """Write the rows, inside the caller's transaction.

    Raises OrgError CONSERVATION_FAILED where a row to change is gone or is not the scheduler's own (R3), apsw.Error
    otherwise.
    """
    for row_ids in _slices(np.sort(changes.delete_row_ids)):
        db.execute(_DELETE, (apsw.carray(row_ids),))
        _expect(db, len(row_ids), "delete")
    _update(db, changes.updates, stamp)
    for row_ids in _slices(np.sort(changes.missed_row_ids)):
        db.execute(_MISS, (apsw.carray(row_ids), *stamp))
        _expect(db, len(row_ids), "miss")
    has_parent = changes.inserts.parent_schedule_id != NULL_ID
    for batch in _batches(changes.inserts, np.flatnonzero(~has_parent)):
        _insert(db, batch, stamp)
    for batch in _batches(changes.inserts, np.flatnonzero(has_parent)):
        _insert_followups(db, batch, stamp)


def write_issues(db: apsw.Connection, changes: IssueChanges, stamp: Stamp) -> None:
    """Write the difference of the issues in force (R24), inside the caller's transaction."""
    deletes = _issue_rows(changes.delete_contact_id, changes.delete_issue, changes.issues)
    db.executemany("DELETE FROM scheduler_issues WHERE contact_id = ? AND issue = ?", deletes)
    inserts = _issue_rows(changes.insert_contact_id, changes.insert_issue, changes.issues)
    db.executemany(
        "INSERT OR IGNORE INTO scheduler_issues (contact_id, issue, scheduler_run_id) VALUES (?, ?, ?)",
        ((*row, stamp.run_id) for row in inserts),
    )


def create_indexes(db: apsw.Connection) -> tuple[str, ...]:
    """Create the missing indexes of email_schedules; returns warnings."""
    warnings: list[str] = []
    present = [name for (name,) in db.execute(INDEX_NAMES)]
    for name, sql in missing_schedule_indexes(present).items():
        try:
            db.execute(sql)
        except apsw.ConstraintError:
            db.execute(sql.replace("CREATE UNIQUE INDEX", "CREATE INDEX").replace(name, name.replace("ux_", "ix_", 1)))
            warnings.append(IDENTITY_NOT_UNIQUE)
    return tuple(warnings)


@lru_cache(maxsize=4096)
def day_text(day: int) -> str:
    """Return the date of a day number."""
    return to_date(day).isoformat()


def _update(db: apsw.Connection, rows: RowBatch, stamp: Stamp) -> None:
    """Rewrite rows, those that will look alike together."""
    follows = rows.parent_schedule_id != NULL_ID
    plain = ~follows & (rows.campaign_instance_id == NULL_ID)
    for here in _slices(np.sort(rows.row_id[plain])):
        db.execute(_CLEAR_INSTANCE, (apsw.carray(here),))
    others = np.flatnonzero(follows | (rows.campaign_instance_id == 0))
    alike = rows.row_id, rows.kind, rows.campaign_instance_id, rows.send_day, rows.event_day
    for batch in _batches(rows, others[np.lexsort([column[others] for column in alike])]):
        for part in _stretches(batch):
            row_ids = apsw.carray(batch.row_id[part.rows])
            db.execute(_UPDATE_IDENTITY, (row_ids, part.event_date, part.instance_id, part.kind.email_type))
    for batch in _batches(rows, np.lexsort((rows.row_id, rows.kind, rows.send_day))):
        for cut in _cuts(batch.send_day, batch.kind):
            send_date, kind = day_text(int(batch.send_day[cut.start])), batch.kinds[int(batch.kind[cut.start])]
            db.execute(_UPDATE_CONTENT, (apsw.carray(batch.row_id[cut]), *stamp, send_date, *kind[1:]))
            _expect(db, cut.stop - cut.start, "update")


def _insert(db: apsw.Connection, batch: RowBatch, stamp: Stamp) -> None:
    for part in _stretches(batch):
        contacts = apsw.carray(batch.contact_id[part.rows])
        db.execute(_INSERT_MANY, (contacts, *stamp, part.event_date, part.send_date, part.instance_id, *part.kind))


def _insert_followups(db: apsw.Connection, batch: RowBatch, stamp: Stamp) -> None:
    """Insert rows that have a parent each."""
    for part in _stretches(batch):
        content = (*stamp, part.event_date, part.send_date, part.instance_id, *part.kind)
        ids = zip(batch.contact_id[part.rows].tolist(), batch.parent_schedule_id[part.rows].tolist(), strict=True)
        db.executemany(_INSERT_ONE, ((contact, *content, parent) for contact, parent in ids))


class _Stretch(NamedTuple):
    """Rows of a batch that have all but their ids in common."""

    rows: slice
    event_date: str
    send_date: str
    instance_id: int | None
    kind: RowKind


def _stretches(batch: RowBatch) -> Iterator[_Stretch]:
    """Cut a batch wherever its content changes: order makes stretches long, and nothing depends on their length."""
    columns = batch.event_day, batch.send_day, batch.campaign_instance_id, batch.kind
    cuts = _cuts(*columns)
    first = np.array([cut.start for cut in cuts], dtype=np.int64)
    for cut, event, send, instance, kind in zip(cuts, *(column[first].tolist() for column in columns), strict=True):
        yield _Stretch(
            cut, day_text(event), day_text(send), None if instance == NULL_ID else instance, batch.kinds[kind]
        )


def _cuts(*columns: Int16 | Int32 | Int64) -> list[slice]:
    """Return the stretches of rows in which no column changes."""
    count = len(columns[0])
    begins = np.zeros(count, dtype=np.bool_)
    begins[:1] = True
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    edges = [*begins.nonzero()[0].tolist(), count]
    return [slice(first, end) for first, end in pairwise(edges)]


def _issue_rows(contact_id: Int64, issue: Int32, issues: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Return the rows in the order of the table's key, so that a bulk insert appends."""
    order = np.argsort(contact_id, kind="stable")
    names = (issues[code] for code in issue[order].tolist())
    return zip(contact_id[order].tolist(), names, strict=True)


def _batches(rows: RowBatch | PlannedBatch, order: Int64) -> Iterator[RowBatch]:
    return (rows.take(order[start : start + _BATCH_ROWS]) for start in range(0, len(order), _BATCH_ROWS))


def _slices(ids: Int64) -> Iterator[Int64]:
    return (ids[start : start + _BATCH_ROWS] for start in range(0, len(ids), _BATCH_ROWS))


def _expect(db: apsw.Connection, rows: int, action: str) -> None:
    """Refuse to go on where a statement did not touch exactly the rows that the plan named (R3)."""
    changed = db.changes()
    if changed != rows:
        raise OrgError(
            ErrorCode.CONSERVATION_FAILED, None, f"email_schedules: {rows} rows to {action}, {changed} of them could be"
        )
