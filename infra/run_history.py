"""What the last runs of an org changed, from its own checkpoints (R96)."""

from contextlib import closing
from typing import Final, NamedTuple

from infra.org_handles import open_records
from infra.sqlite_errors import org_errors

RUNS_SHOWN_MAX: Final = 14

_LAST: Final = """
SELECT CAST(scheduler_run_id AS TEXT), CAST(run_timestamp AS TEXT), CAST(as_of AS TEXT),
       COALESCE(emails_scheduled, 0), COALESCE(emails_skipped, 0), COALESCE(rows_inserted, 0),
       COALESCE(rows_updated, 0), COALESCE(rows_deleted, 0), COALESCE(rows_missed, 0)
FROM scheduler_checkpoints WHERE as_of <> '' ORDER BY id DESC LIMIT ?"""
"""Checkpoints of this scheduler; rows of a predecessor have no as_of."""


class PastRun(NamedTuple):
    """One run that changed something; a count that its checkpoint lacks is 0."""

    run_id: str
    run_timestamp: str
    """UTC."""
    as_of: str
    emails_scheduled: int
    emails_skipped: int
    rows_inserted: int
    rows_updated: int
    rows_deleted: int
    rows_missed: int


def past_runs(file: str, org_id: str | None, runs_max: int = RUNS_SHOWN_MAX) -> tuple[PastRun, ...]:
    """Return the last runs of a migrated database that nobody has open, newest first; raises OrgError DATABASE_*."""
    with org_errors("past_runs", org_id), closing(open_records(file)) as db:
        return tuple(PastRun(*row) for row in db.execute(_LAST, [runs_max]))
