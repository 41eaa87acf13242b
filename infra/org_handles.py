"""The two libraries' connections to one org database: never both at once.

apsw carries a SQLite of its own. Two copies of SQLite in one process do not know of each other's locks, and closing a
file in one drops the POSIX locks of the other; so a connection of one library is closed before the other opens the
file.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
from sqlite_utils import Database

from core.runs.errors import ErrorCode, OrgError


class OrgHandles:
    """Opens one file by either library, and closes it before the other's turn.

    The last connection is kept for the next call of the same library.

    The file is private and disposable (a crash throws it away), so nothing is synced to disk. The journal mode and
    every other property that the file itself stores stays as it is. For one thread at a time.
    """

    def __init__(self, file: str, org_id: str | None) -> None:
        self._file = file
        self._org_id = org_id
        self._bulk: apsw.Connection | None = None
        self._readers = 0
        self._records: Database | None = None

    def begin_reading(self) -> apsw.Connection:
        """Lend the apsw connection within a read transaction shared by all readers; ``end_reading`` gives it back.

        The transaction makes all chunks parts of one state of the file, and takes the lock once, before the first
        chunk.
        """
        db = self._open_bulk()
        if not self._readers:
            db.execute("BEGIN")
            try:
                db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
            except apsw.Error:
                db.execute("ROLLBACK")
                raise
        self._readers += 1
        return db

    def end_reading(self, db: apsw.Connection) -> None:
        """Give the connection back; the last reader ends the transaction. A reader that outlived ``close`` does nothing."""
        if db is not self._bulk:
            return
        self._readers -= 1
        if not self._readers:
            db.execute("ROLLBACK")

    @contextmanager
    def bulk_writing(self) -> Iterator[apsw.Connection]:
        """Lend the apsw connection within a write transaction, committed at the end of the block unless it raises."""
        self._refuse_while_reading()
        db = self._open_bulk()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def records(self) -> Database:
        """Return the sqlite-utils connection, for use until the next call; RuntimeError while chunks are read."""
        self._refuse_while_reading()
        self._close_bulk()
        if self._records is None:
            self._check_exists()
            self._records = open_records(self._file)
        return self._records

    def close(self) -> None:
        """Close whichever connection is open, and move what a sidecar still holds into the file."""
        self._close_records()
        self._close_bulk()
        if any(_size_bytes(self._file + suffix) for suffix in ("-wal", "-journal")):
            db = self._open_bulk()
            db.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # rolls a hot journal back
            db.pragma("wal_checkpoint", "TRUNCATE")
            self._close_bulk()

    def _open_bulk(self) -> apsw.Connection:
        self._close_records()
        if self._bulk is None:
            self._check_exists()
            self._bulk = apsw.Connection(self._file, flags=apsw.SQLITE_OPEN_READWRITE)
            self._bulk.pragma("synchronous", "OFF")
        return self._bulk

    def _refuse_while_reading(self) -> None:
        if self._readers:
            raise RuntimeError("read or close the chunks of this database before calling another method")

    def _check_exists(self) -> None:
        if not Path(self._file).is_file():
            raise OrgError(ErrorCode.FILE_MISSING, self._org_id, "the org database")

    def _close_bulk(self) -> None:
        if self._bulk is not None:
            self._bulk.close()
            self._bulk = None
            self._readers = 0

    def _close_records(self) -> None:
        if self._records is not None:
            self._records.close()
            self._records = None


def open_records(file: str) -> Database:
    """Open a file as all of this program does: no waiting for locks, no plugins, no exception for odd text."""
    connection = sqlite3.connect(file, timeout=0, check_same_thread=False)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.execute("PRAGMA synchronous = OFF")
    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _size_bytes(file: str) -> int:
    path = Path(file)
    return path.stat().st_size if path.is_file() else 0
