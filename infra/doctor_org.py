"""What `doctor` asks of one org: whether its database is sound, fits the schema, is configured, and is run.

The file is a private copy that is thrown away, so it may be migrated to see whether it can be.
"""

from contextlib import closing
from datetime import datetime
from typing import Final

import apsw

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Clock, OrgStore
from core.runs.reconcile import effective_config
from events.types import OrgId
from infra.findings import Finding, failed
from infra.fleet import SILENT_HOURS_MAX
from infra.status_board import StatusLine

_PROBLEMS_MAX: Final = 20


def check_integrity(file: str, org_id: OrgId) -> Finding:
    """Look at every page, index and constraint: 34 s per 1.2 GB, which is why no run does it."""
    try:
        with closing(apsw.Connection(file, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            problems = connection.execute(f"PRAGMA integrity_check({_PROBLEMS_MAX})").fetchall()
    except apsw.Error as error:
        return failed(
            "integrity", OrgError(ErrorCode.DATABASE_CORRUPT, org_id, f"integrity_check {type(error).__name__}")
        )
    if problems == [("ok",)]:
        return Finding("integrity", "ok", "every page and index is sound")
    # The text of a problem may quote a value of a constraint, so only its number is told.
    return failed("integrity", OrgError(ErrorCode.DATABASE_CORRUPT, org_id, f"{len(problems)} problems"))


def check_schema(file: str, org_id: OrgId, store: OrgStore) -> Finding:
    """Bring the copy to the contract; what the next run would add is told."""
    try:
        with closing(store.open(file, org_id)) as db:
            outdated = db.migrate()
    except OrgError as error:
        return failed("schema", error)
    detail = "the next run adds missing tables, columns or indexes" if outdated else "as docs/schema.md has it"
    return Finding("schema", "ok", detail)


def check_config(file: str, org_id: OrgId, store: OrgStore, clock: Clock) -> Finding:
    """Judge the configuration in force, on a copy that has the schema."""
    try:
        with closing(store.open(file, org_id)) as db:
            config = effective_config(db, clock, org_id, clock.now_utc())
    except OrgError as error:
        return failed("config", error)
    return Finding("config", "ok", f"valid, {config.digest()[:12]}")


def check_status(line: StatusLine, now: datetime) -> Finding:
    """Compare the last run with what a daily schedule would give."""
    status = line.status
    if status is None:
        return Finding("last run", "warning", "no run has been recorded", f"emailsched run {line.org_id}")
    if status.error_code is not None:
        hint = f"look for {status.error_code} in docs/operations.md"
        return Finding("last run", "error", f"{status.outcome}: {status.error_code}", hint)
    if status.last_completed_at is None:
        return Finding("last run", "warning", "it is not known when a run completed", f"emailsched run {line.org_id}")
    hours = (now - status.last_completed_at).total_seconds() / 3600
    detail = f"completed {hours:.1f} h ago"
    if hours > SILENT_HOURS_MAX:
        return Finding("last run", "warning", detail, "see whether Cloud Scheduler's job for this org runs")
    return Finding("last run", "ok", detail)
