"""A plan's changes written in bulk (R90-R92): deletes, updates, missed rows, inserts, then missing indexes.

What varies row by row (contact or row id) travels to SQLite as one array of integers; what takes few values - dates,
status, templates - as a temporary table of combinations, and each integer names its combination in its low bits.
Measured per inserted row: 0.6 microseconds so, 1.8 with one execution per row. Building the indexes afterwards costs
0.45, keeping them meanwhile several times that.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import apsw
import numpy as np

from core.planning.changes import IssueChanges, PlannedBatch, RowBatch, ScheduleChanges
from core.planning.columns import NULL_ID, Int32, Int64
from core.planning.snapshot import RowKind
from core.runs.errors import ErrorCode, OrgError
from core.runs.warnings import IDENTITY_NOT_UNIQUE
from infra.migrations import INDEX_NAMES, missing_schedule_indexes

MISSED_REASON: Final = "missed_send_date"

_BATCH_ROWS: Final = 100_000
_COMBINATION_BITS: Final = 20
_PACKED_ID_MAX: Final = 2 ** (63 - _COMBINATION_BITS) - 1
_OWNED: Final = "status IN ('pre-scheduled', 'skipped')"
_KIND_COLUMNS: Final = "email_type, status, skip_reason, scheduled_send_time, priority, email_template, sms_template"

_CREATE_COMBINATIONS: Final = (
    "CREATE TEMP TABLE combinations (number INTEGER PRIMARY KEY, "
    f"event_date, scheduled_send_date, campaign_instance_id, {_KIND_COLUMNS})"
)
_DELETE: Final = f"DELETE FROM email_schedules WHERE id IN (SELECT value FROM carray(?1)) AND {_OWNED}"  # noqa: S608
_MISS: Final = f"""
UPDATE email_schedules SET status = 'skipped', skip_reason = '{MISSED_REASON}', scheduler_run_id = ?2, updated_at = ?3
WHERE id IN (SELECT value FROM carray(?1)) AND {_OWNED}"""  # noqa: S608
_INSERT_COLUMNS: Final = (
    "contact_id, parent_schedule_id, event_date, scheduled_send_date, campaign_instance_id, "
    f"{_KIND_COLUMNS}, scheduler_run_id, created_at, updated_at"
)
_COMBINATION_COLUMNS: Final = f"event_date, scheduled_send_date, campaign_instance_id, {_KIND_COLUMNS}"
_INSERT_PACKED: Final = f"""
INSERT INTO email_schedules ({_INSERT_COLUMNS})
SELECT row.value >> {_COMBINATION_BITS}, NULL, {_COMBINATION_COLUMNS}, ?2, ?3, ?3
FROM carray(?1) AS row CROSS JOIN temp.combinations
WHERE number = row.value & {2**_COMBINATION_BITS - 1}"""  # noqa: S608
_INSERT_ONE: Final = f"""
INSERT INTO email_schedules ({_INSERT_COLUMNS})
SELECT ?1, ?2, {_COMBINATION_COLUMNS}, ?4, ?5, ?5 FROM temp.combinations WHERE number = ?3"""  # noqa: S608
_CHANGED: Final = f"""
FROM (SELECT row.value >> {_COMBINATION_BITS} AS row_id, combinations.*
      FROM carray(?1) AS row CROSS JOIN temp.combinations
      WHERE number = row.value & {2**_COMBINATION_BITS - 1}) AS new
WHERE id = new.row_id AND email_schedules.{_OWNED}"""  # noqa: S608
# Columns of the identity index are rewritten only where they differ (follow-ups, R86): rewriting an equal key moves
# bytes about in a page of the index, and every moved byte is a page to upload.
_UPDATE_IDENTITY: Final = f"""
UPDATE email_schedules SET email_type = new.email_type, event_date = new.event_date,
  campaign_instance_id = new.campaign_instance_id {_CHANGED}
  AND (email_schedules.email_type IS NOT new.email_type OR email_schedules.event_date IS NOT new.event_date
       OR email_schedules.campaign_instance_id IS NOT new.campaign_instance_id)"""  # noqa: S608
_UPDATE_CONTENT: Final = f"""
UPDATE email_schedules SET scheduled_send_date = new.scheduled_send_date,
  scheduled_send_time = new.scheduled_send_time, status = new.status, skip_reason = new.skip_reason,
  priority = new.priority, email_template = new.email_template, sms_template = new.sms_template,
  scheduler_run_id = ?2, updated_at = ?3 {_CHANGED}"""  # noqa: S608


class Stamp(NamedTuple):
    """What a run leaves in every row that it changes (R91)."""

    run_id: str
    timestamp: str


def write_schedule(db: apsw.Connection, changes: ScheduleChanges, stamp: Stamp) -> None:
    """Write the rows, inside the caller's transaction.

    Raises OrgError CONSERVATION_FAILED where a row to change is gone or is not the scheduler's own (R3), apsw.Error
    otherwise.
    """
    db.execute("DROP TABLE IF EXISTS temp.combinations")
    db.execute(_CREATE_COMBINATIONS)
    for row_ids in _slices(np.sort(changes.delete_row_ids)):
        db.execute(_DELETE, (apsw.carray(row_ids),))
        _expect(db, len(row_ids), "delete")
    for batch in _batches(changes.updates, np.argsort(changes.updates.row_id, kind="stable")):
        _update(db, batch, stamp)
    for row_ids in _slices(np.sort(changes.missed_row_ids)):
        db.execute(_MISS, (apsw.carray(row_ids), *stamp))
        _expect(db, len(row_ids), "miss")
    has_parent = changes.inserts.parent_schedule_id != NULL_ID
    for batch in _batches(changes.inserts, np.flatnonzero(~has_parent)):
        _insert(db, batch, stamp)
    for batch in _batches(changes.inserts, np.flatnonzero(has_parent)):
        _insert_one_by_one(db, batch, stamp)
    db.execute("DROP TABLE temp.combinations")


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


def day_text(days: Int32) -> dict[int, str]:
    """Return the dates of day numbers, each distinct one once."""
    distinct = np.unique(days)
    texts = np.datetime_as_string(distinct.astype("datetime64[D]"))
    return dict(zip(distinct.tolist(), texts.tolist(), strict=True))


def _update(db: apsw.Connection, batch: RowBatch, stamp: Stamp) -> None:
    number = _store_combinations(db, batch)
    if not _packable(batch.row_id):
        raise OrgError(ErrorCode.SCHEMA_NOT_UNDERSTOOD, None, "email_schedules.id: below 0 or above 2**43")
    packed = apsw.carray(batch.row_id << _COMBINATION_BITS | number)
    db.execute(_UPDATE_IDENTITY, (packed,))
    db.execute(_UPDATE_CONTENT, (packed, *stamp))
    _expect(db, len(batch), "update")


def _insert(db: apsw.Connection, batch: RowBatch, stamp: Stamp) -> None:
    if not _packable(batch.contact_id):
        _insert_one_by_one(db, batch, stamp)
        return
    number = _store_combinations(db, batch)
    db.execute(_INSERT_PACKED, (apsw.carray(batch.contact_id << _COMBINATION_BITS | number), *stamp))
    _expect(db, len(batch), "insert")


def _insert_one_by_one(db: apsw.Connection, batch: RowBatch, stamp: Stamp) -> None:
    """Insert follow-ups, which have a parent each, and the rows of sources with ids of more than 43 bits."""
    number = _store_combinations(db, batch)
    parents = [None if parent == NULL_ID else parent for parent in batch.parent_schedule_id.tolist()]
    rows = zip(batch.contact_id.tolist(), parents, number.tolist(), strict=True)
    db.executemany(_INSERT_ONE, ((*row, *stamp) for row in rows))


def _store_combinations(db: apsw.Connection, batch: RowBatch) -> Int64:
    """Fill the table of combinations for a batch; return the number of each row's combination."""
    first, number = _combinations(batch)
    texts = day_text(np.concatenate((batch.event_day[first], batch.send_day[first])))
    columns = zip(
        batch.event_day[first].tolist(),
        batch.send_day[first].tolist(),
        batch.campaign_instance_id[first].tolist(),
        batch.kind[first].tolist(),
        strict=True,
    )
    db.execute("DELETE FROM temp.combinations")
    db.executemany(
        "INSERT INTO temp.combinations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (number, texts[event], texts[send], None if instance == NULL_ID else instance, *_stored(batch.kinds[kind]))
            for number, (event, send, instance, kind) in enumerate(columns)
        ),
    )
    return number


def _combinations(batch: RowBatch) -> tuple[Int64, Int64]:
    """Number the distinct (event day, send day, instance, kind): (a row of each, number per row)."""
    _, code = np.unique(batch.campaign_instance_id, return_inverse=True)
    code = code.astype(np.int64)
    for column in (batch.event_day, batch.send_day, batch.kind):
        offset = column.astype(np.int64) - int(column.min())
        # Days span below 2**32 and a batch has below 2**17 codes: the product fits, and is made small again at once.
        _, code = np.unique(code * (int(offset.max()) + 1) + offset, return_inverse=True)
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    return first, number.astype(np.int64)


def _issue_rows(contact_id: Int64, issue: Int32, issues: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Return the rows in the order of the table's key, so that a bulk insert appends."""
    order = np.argsort(contact_id, kind="stable")
    names = (issues[code] for code in issue[order].tolist())
    return zip(contact_id[order].tolist(), names, strict=True)


def _stored(kind: RowKind) -> tuple[str | int | None, ...]:
    return tuple(kind)


def _packable(ids: Int64) -> bool:
    return len(ids) == 0 or (int(ids.min()) >= 0 and int(ids.max()) <= _PACKED_ID_MAX)


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
