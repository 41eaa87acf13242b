"""The record that a run leaves in the org's own database (R96)."""

from dataclasses import dataclass
from typing import NamedTuple


class CheckpointMark(NamedTuple):
    """What later runs need of the last checkpoint (R96)."""

    scheduler_run_id: str
    as_of: str
    schedules_after_checksum: str | None
    run_timestamp: str | None = None
    """UTC."""
    config_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One row of ``scheduler_checkpoints`` (R96); field names are its columns."""

    run_timestamp: str
    scheduler_run_id: str
    as_of: str
    config_hash: str
    contacts_checksum: str
    schedules_before_checksum: str
    schedules_after_checksum: str | None  # None: nothing was planned, and the next run compares with nothing
    contacts_processed: int
    contacts_invalid: int
    emails_scheduled: int
    emails_skipped: int
    rows_inserted: int
    rows_updated: int
    rows_deleted: int
    rows_missed: int
    rows_unchanged: int
    status: str
    error_message: str | None
    started_at: str
    completed_at: str
