"""Org databases, commits and rows for tests of the org database."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from core.planning.changes import IssueChanges, RowBatch, ScheduleChanges
from core.planning.columns import NULL_ID, TextColumn
from core.planning.snapshot import RowKind
from core.runs.checkpoint import Checkpoint
from core.runs.ports import Commit, StoredRun
from events.types import EventKey
from infra.org_db import SqliteOrgDatabase, SqliteOrgStore

NO_ROWS = np.empty(0, dtype=np.int64)
BIRTHDAY = RowKind("birthday", "pre-scheduled", None, "08:30:00", 10, "birthday_template", None)
SKIPPED = RowKind("birthday", "skipped", "exclusion_window:CA", "08:30:00", 10, "birthday_template", None)
FOLLOWUP = RowKind("followup_1_cold", "pre-scheduled", None, "08:30:00", 10, "followup_1_cold_template", None)
BLAST = RowKind("campaign_blast", "pre-scheduled", None, "09:00:00", 5, None, "blast_sms")

Row = tuple[int, int | None, int | None, str, str, RowKind]
"""contact, instance, parent, event date, send date, kind"""


def batch(rows: Sequence[Row], row_ids: Sequence[int] = ()) -> RowBatch:
    kinds = tuple(dict.fromkeys(row[5] for row in rows))
    return RowBatch(
        np.array(row_ids, dtype=np.int64),
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([NULL_ID if row[1] is None else row[1] for row in rows], dtype=np.int64),
        np.array([NULL_ID if row[2] is None else row[2] for row in rows], dtype=np.int64),
        np.array([day(row[3]) for row in rows], dtype=np.int32),
        np.array([day(row[4]) for row in rows], dtype=np.int32),
        np.array([kinds.index(row[5]) for row in rows], dtype=np.int32),
        kinds,
    )


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def changes(
    inserts: Sequence[Row] = (),
    updates: Sequence[tuple[int, Row]] = (),
    deletes: Sequence[int] = (),
    missed: Sequence[int] = (),
) -> ScheduleChanges:
    return ScheduleChanges(
        batch(inserts),
        batch([row for _, row in updates], [row_id for row_id, _ in updates]),
        np.array(deletes, dtype=np.int64),
        np.array(missed, dtype=np.int64),
        0,
        0,
    )


def issue_changes(inserts: Sequence[tuple[int, str]] = (), deletes: Sequence[tuple[int, str]] = ()) -> IssueChanges:
    issues = tuple(dict.fromkeys(issue for _, issue in (*inserts, *deletes)))
    return IssueChanges(
        np.array([contact for contact, _ in inserts], dtype=np.int64),
        np.array([issues.index(issue) for _, issue in inserts], dtype=np.int32),
        np.array([contact for contact, _ in deletes], dtype=np.int64),
        np.array([issues.index(issue) for _, issue in deletes], dtype=np.int32),
        issues,
    )


def commit(
    run_id: str = "run1",
    schedule: ScheduleChanges | None = None,
    *,
    issues: IssueChanges | None = None,
    event_keys: tuple[EventKey, ...] = (),
    timestamp: str = "2025-06-01 12:00:00",
    change_log_ids: tuple[int, ...] = (),
) -> Commit:
    digests, counts = ("hash", "contacts", "before", "after"), (1, 2, 3, 4, 5, 6, 7, 8, 9)
    moments = ("completed", None, timestamp, timestamp)
    checkpoint = Checkpoint(timestamp, run_id, "2025-06-01", *digests, *counts, *moments)
    return Commit(
        changes() if schedule is None else schedule,
        issue_changes() if issues is None else issues,
        checkpoint,
        StoredRun(run_id, b'{"changed":true}'),
        event_keys,
        change_log_ids,
    )


def new_org(folder: Path, *, journal_mode: str = "delete", chunk_rows: int = 3) -> tuple[Path, SqliteOrgDatabase]:
    """Make an empty org with all tables."""
    file = folder / "org.db"
    with sqlite3.connect(file) as raw:
        raw.execute(f"PRAGMA journal_mode = {journal_mode}")
        raw.execute("CREATE TABLE contacts (id INTEGER PRIMARY KEY)")
    raw.close()
    db = open_org(file, chunk_rows=chunk_rows)
    assert db.migrate()
    return file, db


def open_org(file: Path, *, chunk_rows: int = 3, naps: list[float] | None = None) -> SqliteOrgDatabase:
    sleep = (lambda _: None) if naps is None else naps.append
    return SqliteOrgStore(chunk_rows=chunk_rows, sleep=sleep).open(str(file), None)


def run_sql(file: Path, *statements: str) -> None:
    raw = sqlite3.connect(file)
    with raw:
        for statement in statements:
            raw.execute(statement)
    raw.close()


def query(file: Path, sql: str) -> list[tuple[Any, ...]]:
    raw = sqlite3.connect(file)
    try:
        return raw.execute(sql).fetchall()
    finally:
        raw.close()


@contextmanager
def locked_by_another_process(file: Path, *statements: str) -> Iterator[None]:
    """Run statements in a connection of another process, which keeps it open for the length of the block."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "[c.execute(s).fetchall() for s in sys.argv[2:]]; print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(file), *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()


def texts(columns: Iterable[TextColumn]) -> list[str | None]:
    return [column.value(row) for column in columns for row in range(len(column))]
