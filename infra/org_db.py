"""The ``OrgStore`` and ``OrgDatabase`` of a run, on SQLite.

Two libraries share the work and never have the file open together (``org_handles``): apsw moves rows in bulk,
sqlite-utils does everything else. The file is a run's private working copy, so a failed write needs no repair: the
copy is thrown away.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import apsw
from sqlite_utils import Database

from core.planning.snapshot import (
    AnswerChunk,
    CampaignInstance,
    CampaignType,
    ClickChunk,
    ContactChunk,
    EnrolmentChunk,
    IssueChunk,
    ScheduleChunk,
)
from core.runs.change_ports import CampaignWrites, StoredCampaigns
from core.runs.checkpoint import CheckpointMark
from core.runs.ports import Commit, ConfigRow, StoredRun
from events.types import EventKey, OrgId
from infra import bulk_write, migrations, org_changes, org_records, org_tables
from infra.btree_read import read_table
from infra.org_handles import OrgHandles
from infra.org_items import ItemRecords
from infra.packed_read import CHUNK_ROWS, PackedChunk, PackedTable
from infra.sqlite_errors import RETRY_DELAYS_SECONDS, org_errors, with_retries

T = TypeVar("T")


class SqliteOrgStore:
    """The ``OrgStore``: opens org databases by file name."""

    def __init__(
        self,
        *,
        chunk_rows: int = CHUNK_ROWS,
        retry_delays_seconds: tuple[float, ...] = RETRY_DELAYS_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._chunk_rows = chunk_rows
        self._retry_delays_seconds = retry_delays_seconds
        self._sleep = sleep

    def open(self, file: str, org_id: OrgId | None) -> "SqliteOrgDatabase":
        """Return the database in ``file``; nothing is read yet."""
        return SqliteOrgDatabase(
            file,
            org_id,
            chunk_rows=self._chunk_rows,
            retry_delays_seconds=self._retry_delays_seconds,
            sleep=self._sleep,
        )


def contacts_table(db: apsw.Connection) -> PackedTable:
    """Return how to read contacts in this file: the carrier's column has two names."""
    names = db.execute("SELECT name FROM pragma_table_info('contacts')")
    return org_tables.contacts(migrations.carrier_column(str(name) for (name,) in names))


class SqliteOrgDatabase(ItemRecords):
    """The ``OrgDatabase``: see ``core.runs.ports`` for the contract of every method.

    The connection of the last call is kept open for the next one; ``close`` ends that. For one thread at a time.
    """

    def __init__(
        self,
        file: str,
        org_id: OrgId | None,
        *,
        chunk_rows: int,
        retry_delays_seconds: tuple[float, ...],
        sleep: Callable[[float], None],
    ) -> None:
        self._org_id = org_id
        self._chunk_rows = chunk_rows
        self._retry_delays_seconds = retry_delays_seconds
        self._sleep = sleep
        self._handles = OrgHandles(file, org_id)

    def migrate(self) -> bool:
        """Create missing tables and columns; True if something was changed, or if ``write`` will add an index."""
        return self._record("migrate", lambda db: migrations.migrate(db, self._org_id))

    def config_rows(self) -> Sequence[ConfigRow]:
        """All configuration versions."""
        return self._record("config_versions", org_records.config_rows)

    def last_checkpoint(self) -> CheckpointMark | None:
        """The newest checkpoint, None before the first run."""
        return self._record("scheduler_checkpoints", org_records.last_checkpoint)

    def runs_of_events(self, keys: Sequence[EventKey]) -> Mapping[EventKey, StoredRun]:
        """Those of the events that committed runs have carried, with the run of each."""
        return self._record("scheduler_processed_events", lambda db: org_records.runs_of_events(db, keys))

    def campaign_types(self) -> Sequence[CampaignType]:
        """All rows of campaign_types."""
        return self._record("campaign_types", org_records.campaign_types)

    def campaign_instances(self) -> Sequence[CampaignInstance]:
        """All rows of campaign_instances."""
        return self._record("campaign_instances", org_records.campaign_instances)

    def open_change_log_ids(self) -> Sequence[int]:
        """All rows of campaign_change_log that no run has answered yet (R58)."""
        return self._record("campaign_change_log", org_records.open_change_log_ids)

    def stored_campaigns(self, type_names: Sequence[str] | None) -> StoredCampaigns:
        """The types of these names and all instances of types of these names; None: all there are."""
        return self._record("campaigns", lambda db: org_changes.stored_campaigns(db, type_names))

    def change_campaigns(self, writes: CampaignWrites, *, at: str, by: str | None) -> None:
        """Write rows and log in one transaction."""
        self._record("campaigns", lambda db: org_changes.change_campaigns(db, writes, at=at, by=by))

    def open_config(self, config_data: str, *, closes: int | None, at: str, by: str | None, note: str | None) -> None:
        """Open a row of ``config_versions``, and end the one in force, in one transaction."""
        self._record(
            "config_versions",
            lambda db: org_changes.open_config(db, config_data, closes=closes, at=at, by=by, note=note),
        )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Lock the file against writers until the end of the block."""
        with self._reading("contacts"):
            yield

    def contact_chunks(self) -> Iterator[ContactChunk]:
        """All rows of contacts, by id."""
        return map(org_tables.contact_chunk, self._chunks("contacts", contacts_table))

    def schedule_chunks(self) -> Iterator[ScheduleChunk]:
        """All rows of email_schedules, by id."""
        return org_tables.schedule_chunks(self._table(org_tables.SCHEDULES))

    def issue_chunks(self) -> Iterator[IssueChunk]:
        """All rows of scheduler_issues, by contact."""
        return map(org_tables.issue_chunk, self._table(org_tables.ISSUES))

    def enrolment_chunks(self) -> Iterator[EnrolmentChunk]:
        """Rows of contact_campaigns with status pending or scheduled, by id."""
        return map(org_tables.enrolment_chunk, self._table(org_tables.ENROLMENTS))

    def click_chunks(self, since: str) -> Iterator[ClickChunk]:
        """Rows of tracking_clicks with clicked_at >= since, or behind white space."""
        return map(org_tables.click_chunk, self._table(org_tables.CLICKS, (since,)))

    def answer_chunks(self, since: str) -> Iterator[AnswerChunk]:
        """Rows of contact_events with event_type eligibility_answered and created_at likewise."""
        return map(org_tables.answer_chunk, self._table(org_tables.ANSWERS, (since,)))

    def write(self, commit: Commit) -> tuple[str, ...]:
        """Write a run's changes; returns warnings (codes of ``bulk_write``)."""
        warnings = self._retried(lambda: self._write_rows(commit))
        self._record("run records", lambda db: org_records.write_records(db, commit))
        return warnings

    def close(self) -> None:
        """Leave the file complete in itself: WAL checkpointed, no sidecar with content."""
        with org_errors("close", self._org_id):
            self._handles.close()

    def _write_rows(self, commit: Commit) -> tuple[str, ...]:
        stamp = bulk_write.Stamp(commit.checkpoint.scheduler_run_id, commit.checkpoint.run_timestamp)
        with org_errors("email_schedules", self._org_id), self._handles.bulk_writing() as db:
            bulk_write.write_schedule(db, commit.schedule, stamp)
            bulk_write.write_issues(db, commit.issues, stamp)
            return bulk_write.create_indexes(db)

    def _record(self, operation: str, work: Callable[[Database], T]) -> T:
        """Do something through sqlite-utils, with the retries of a busy file."""

        def attempt() -> T:
            with org_errors(operation, self._org_id):
                return work(self._handles.records())

        return self._retried(attempt)

    def _table(self, table: PackedTable, parameters: tuple[str, ...] = ()) -> Iterator[PackedChunk]:
        return self._chunks(table.table, lambda _: table, parameters)

    def _chunks(
        self, name: str, table: Callable[[apsw.Connection], PackedTable], parameters: tuple[str, ...] = ()
    ) -> Iterator[PackedChunk]:
        """Read a table through apsw; the file is locked against writers until the last chunk is taken."""
        with self._reading(name) as db, org_errors(name, self._org_id):
            yield from read_table(db, table(db), parameters, chunk_rows=self._chunk_rows)

    @contextmanager
    def _reading(self, name: str) -> Iterator[apsw.Connection]:
        def begin() -> apsw.Connection:
            with org_errors(name, self._org_id):
                return self._handles.begin_reading()

        db = self._retried(begin)
        try:
            yield db
        finally:
            self._handles.end_reading(db)

    def _retried(self, work: Callable[[], T]) -> T:
        return with_retries(work, delays_seconds=self._retry_delays_seconds, sleep=self._sleep)
