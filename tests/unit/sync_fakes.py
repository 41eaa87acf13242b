"""Hand-written doubles and real SQLite files for the tests of the sync side."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bucket, Journal, Transfer, WorkingCopy
from events.types import parse_org_id
from infra.clock import local_time
from infra.delta_chain import DeltaLimits, PageDeltas
from infra.disk_space import DiskSpace
from infra.memory_bucket import MemoryBucket, NoFaults, Request, RequestKind
from infra.mirror import MirrorSync
from infra.rsync import Rsync, find_rsync
from tests.journals import ListJournal

ACME = parse_org_id("acme")
NAME = "org-data/acme.db"


class VirtualClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def now_utc(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def local_now(self, timezone: str) -> datetime:
        return local_time(self.now_utc(), timezone)

    def local_time(self, moment: datetime, timezone: str) -> datetime:
        return local_time(moment, timezone)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds

    def is_timezone(self, name: str) -> bool:
        return True


def tokens(prefix: str = "token") -> Callable[[], str]:
    """Return a factory of texts that never repeat, the same ones in every replay."""
    numbers: Iterator[int] = count(1)
    return lambda: f"{prefix}-{next(numbers)}"


def make_database(
    file: Path, *, rows: int = 500, journal_mode: str = "delete", page_size_bytes: int = 4096, text: str = "x"
) -> Path:
    """Make a real database with an application id, a user version, an index and a table that is not ours."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size_bytes}")
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute("PRAGMA application_id = 77")
        connection.execute("PRAGMA user_version = 5")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        connection.execute("CREATE TABLE foreign_table (b BLOB)")
        connection.execute("CREATE INDEX t_a ON t (a)")
        connection.executemany("INSERT INTO t (a) VALUES (?)", ((f"{text}{n}" * 10,) for n in range(rows)))
        connection.commit()
    return file


def change(file: str | Path, sql: str = "UPDATE t SET a = a || 'changed' WHERE id = 7") -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(sql)
        connection.commit()


def query(file: str | Path, sql: str) -> object:
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
        return connection.execute(sql).fetchone()[0]


def fake_rsync(folder: Path, body: str) -> str:
    """Make a program that answers ``--version`` and then does something else than its job."""
    program = folder / "fake_sqlite3_rsync"
    program.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "2026-01-01 fake"; exit 0; fi\n{body}\n')
    program.chmod(0o755)
    return str(program)


class Machine:
    """A machine with a data directory of its own."""

    def __init__(
        self,
        bucket: Bucket,
        folder: Path,
        rsync: Rsync | None = None,
        *,
        deltas: DeltaLimits | None = None,
        space: Callable[[Journal], DiskSpace] | None = None,
    ) -> None:
        self.bucket = bucket
        self.folder = folder / "acme"
        self.clock = VirtualClock()
        self.journal = ListJournal()
        self.sync = MirrorSync(
            bucket,
            rsync or find_rsync(),
            self.clock,
            self.journal,
            data_dir=str(folder),
            new_token=tokens(folder.name),
            deltas=PageDeltas(bucket, self.journal, deltas) if deltas is not None else None,
            space=space(self.journal) if space is not None else None,
        )

    def run(self, work: Callable[[WorkingCopy], None] = lambda copy: change(copy.file)) -> tuple[WorkingCopy, Transfer]:
        transfer = Transfer()
        copy = self.sync.down(ACME, create=True, transfer=transfer)
        try:
            work(copy)
            self.sync.up(copy, run_id="r1", facts={}, transfer=transfer)
        finally:
            self.sync.done(copy)
        return copy, transfer

    def look(self, *, create: bool = False) -> tuple[WorkingCopy, Transfer]:
        transfer = Transfer()
        copy = self.sync.down(ACME, create=create, transfer=transfer)
        self.sync.done(copy)
        return copy, transfer


def deleting(row: int) -> Callable[[WorkingCopy], None]:
    return lambda copy: change(copy.file, f"DELETE FROM t WHERE id = {int(row)}")


def seed(bucket: MemoryBucket, file: Path) -> int:
    live = bucket.stat(NAME)
    return bucket.upload(NAME, str(file), if_generation_match=live.generation if live else 0, metadata={}).generation


def live_content(bucket: MemoryBucket) -> bytes:
    return bucket._live[NAME].content


def in_another_process(program: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)


def hot_journal(folder: Path) -> bytes:
    """Return the rollback journal that a writer left which was killed in its transaction."""
    victim = make_database(folder / "victim", text="from the journal")
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN IMMEDIATE');"
        "c.execute('UPDATE t SET a = a || 1'); os._exit(0)"
    )
    in_another_process(program, str(victim))
    journal = victim.with_name("victim-journal").read_bytes()
    assert len(journal) > 4096
    return journal


@contextmanager
def fails_with(code: ErrorCode) -> Iterator[None]:
    with pytest.raises(OrgError) as failed:
        yield
    assert failed.value.code is code, failed.value


class Fail(NoFaults):
    """Raises once, before or after the first request of a kind."""

    def __init__(self, kind: RequestKind, error: BaseException, *, after: bool) -> None:
        self.kind, self.error, self.wants_after, self.done = kind, error, after, False

    def before(self, request: Request) -> None:
        self._maybe(request, after=False)

    def after(self, request: Request) -> None:
        self._maybe(request, after=True)

    def _maybe(self, request: Request, *, after: bool) -> None:
        if request.kind == self.kind and after is self.wants_after and not self.done:
            self.done = True
            raise self.error
