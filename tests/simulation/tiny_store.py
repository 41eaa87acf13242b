"""An org database that costs a millisecond: a real SQLite file, but no contacts, so that planning has nothing to do.

What it keeps is what the simulation asks about: which events were carried and by which run, without any constraint, so
that an event applied twice is there twice. Ballast on pages of its own makes torn and mixed files visible. Like the shipped
store it keeps its connection open until ``close``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

import apsw

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
from infra.sqlite_errors import org_errors
from tests.no_items import NoItems

IDLE: Final = "idle-"
"""Ids of events that change nothing by themselves begin so."""

BALLAST_ROWS: Final = 12
_SCHEMA: Final = """
CREATE TABLE applied (source TEXT, event_id TEXT, run_id TEXT);
CREATE TABLE runs (run_id TEXT, completion_json TEXT, as_of TEXT, checksum TEXT);
CREATE TABLE counter (n INTEGER);
INSERT INTO counter VALUES (0);
CREATE TABLE ballast (id INTEGER PRIMARY KEY, stamp TEXT, filler BLOB);
"""


class Probe(Protocol):
    """What the world sees of a database in use."""

    def opened(self, file: str, org_id: OrgId) -> None:
        """A run begins to read."""
        ...

    def touch(self, label: str, org_id: OrgId) -> None:
        """A place to wait, to fail (OrgError) or to die."""
        ...


def make_org_file(file: str, *, page_size_bytes: int, wal: bool, migrated: bool) -> None:
    """Make a database as an upstream system would have it, with or without our tables."""
    db = apsw.Connection(file)
    db.execute(f"PRAGMA page_size = {page_size_bytes}")
    if wal:
        db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("BEGIN; CREATE TABLE upstream (note TEXT); INSERT INTO upstream VALUES ('born')")
    if migrated:
        create_tables(db)
    db.execute("COMMIT")
    db.close()


def create_tables(db: apsw.Connection) -> None:
    """Make our tables inside of a transaction."""
    db.execute(_SCHEMA)
    db.executemany("INSERT INTO ballast VALUES (?, '', zeroblob(700))", ((n,) for n in range(BALLAST_ROWS)))


class TinyStore:
    """The OrgStore port."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def open(self, file: str, org_id: OrgId | None) -> "TinyDatabase":
        """Open a database of an org."""
        assert org_id is not None
        self._probe.opened(file, org_id)
        return TinyDatabase(file, org_id, self._probe)


class TinyDatabase(NoItems):
    """The OrgDatabase port over an org without contacts; every fresh event that is not idle asks for a change."""

    def __init__(self, file: str, org_id: OrgId, probe: Probe) -> None:
        self._file, self._org_id, self._probe = file, org_id, probe
        self._connection: apsw.Connection | None = None
        self._asked: tuple[EventKey, ...] = ()

    def migrate(self) -> bool:
        """Make our tables where they are missing."""
        self._probe.touch("db migrate", self._org_id)
        with self._errors() as db:
            if db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'applied'").get:
                return False
            with db:
                create_tables(db)
            return True

    def runs_of_events(self, keys: Sequence[EventKey]) -> Mapping[EventKey, StoredRun]:
        """Look the events up one by one."""
        self._probe.touch("db events", self._org_id)
        self._asked = tuple(keys)
        sql = """SELECT run_id, completion_json FROM runs WHERE run_id IN
                 (SELECT run_id FROM applied WHERE source = ? AND event_id = ?)"""
        with self._errors() as db:
            found = {key: db.execute(sql, key).fetchone() for key in keys}
        return {key: StoredRun(row[0], str(row[1]).encode()) for key, row in found.items() if row}

    def open_change_log_ids(self) -> Sequence[int]:
        """Stand for what the events of this run want changed."""
        with self._errors() as db:
            known = {EventKey(*row) for row in db.execute("SELECT source, event_id FROM applied")}
        fresh = [key for key in self._asked if key not in known]
        return tuple(n for n, key in enumerate(fresh, 1) if not key.id.startswith(IDLE))

    def last_checkpoint(self) -> CheckpointMark | None:
        """The newest run."""
        with self._errors() as db:
            row = db.execute("SELECT run_id, as_of, checksum FROM runs ORDER BY rowid DESC LIMIT 1").fetchone()
        return CheckpointMark(*row) if row else None

    def write(self, commit: Commit) -> tuple[str, ...]:
        """Write a run in one transaction whose pages reach the file before the commit: a crash leaves a hot journal."""
        run = commit.run
        with self._errors() as db, db:
            db.executemany("INSERT INTO applied VALUES (?, ?, ?)", ((*key, run.run_id) for key in commit.event_keys))
            db.execute("UPDATE counter SET n = n + ?", (len(commit.event_keys),))
            db.execute("UPDATE ballast SET stamp = ?", (run.run_id,))
            db.cache_flush()
            self._probe.touch("db writing", self._org_id)
            checkpoint = commit.checkpoint
            row = run.run_id, run.completion_json.decode(), checkpoint.as_of, checkpoint.schedules_after_checksum
            db.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", row)
            db.execute("UPDATE ballast SET stamp = ?", (run.run_id,))
        self._probe.touch("db written", self._org_id)
        return ()

    def close(self) -> None:
        """Close; the last connection of a WAL database moves the WAL into the file."""
        if self._connection is not None:
            with self._errors() as db:
                self._connection = None
                db.close()
        self._probe.touch("db closed", self._org_id)

    @contextmanager
    def _errors(self) -> Iterator[apsw.Connection]:
        """Lend the connection; what SQLite raises becomes what the shipped store makes of it."""
        with org_errors("simulated", self._org_id):
            if self._connection is None:
                self._connection = apsw.Connection(self._file, flags=apsw.SQLITE_OPEN_READWRITE)
                self._connection.execute("PRAGMA synchronous = OFF")
            yield self._connection

    # ------------------------------------------------------------------------------ nobody lives here

    def config_rows(self) -> Sequence[ConfigRow]:
        """The defaults."""
        return ()

    def campaign_types(self) -> Sequence[CampaignType]:
        """None."""
        return ()

    def campaign_instances(self) -> Sequence[CampaignInstance]:
        """None."""
        return ()

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def contact_chunks(self) -> Iterator[ContactChunk]:
        """None."""
        return iter(())

    def schedule_chunks(self) -> Iterator[ScheduleChunk]:
        """None."""
        return iter(())

    def issue_chunks(self) -> Iterator[IssueChunk]:
        """None."""
        return iter(())

    def enrolment_chunks(self) -> Iterator[EnrolmentChunk]:
        """None."""
        return iter(())

    def click_chunks(self, since: str) -> Iterator[ClickChunk]:
        """None."""
        return iter(())

    def answer_chunks(self, since: str) -> Iterator[AnswerChunk]:
        """None."""
        return iter(())

    def stored_campaigns(self, type_names: Sequence[str] | None) -> StoredCampaigns:
        """None."""
        return StoredCampaigns({}, {})

    def change_campaigns(self, writes: CampaignWrites, *, at: str, by: str | None) -> None:
        """No event of the simulation asks for it."""
        raise NotImplementedError

    def open_config(self, config_data: str, *, closes: int | None, at: str, by: str | None, note: str | None) -> None:
        """No event of the simulation asks for it."""
        raise NotImplementedError
