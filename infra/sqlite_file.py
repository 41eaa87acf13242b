"""What we need to know of a SQLite file before its bytes are moved: its header, is it whole, is it sound.

Each function opens the file and closes it again: nobody else in this process may have it open meanwhile, because
closing any descriptor of a file drops this process's locks on it.
"""

import os
import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import apsw

from core.runs.errors import ErrorCode, OrgError
from infra.files import has_sidecar_content

MAGIC: Final = b"SQLite format 3\x00"
HEADER_BYTES: Final = 100
SIZE_BYTES_MIN: Final = 512
"""The smallest page there is."""

_WAL: Final = 2
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))

Verdict = Literal["ok", "not_sqlite", "database_corrupt", "schema_not_understood"]
"""What ``quick_check`` found; the bad ones are values of ErrorCode."""


@dataclass(frozen=True, slots=True)
class SqliteHeader:
    """The first 100 bytes of a database, as far as a copy of it has to know them."""

    page_size_bytes: int
    page_count: int
    """As SQLite counts: the header's number if the last writer kept it, else what the file's size gives."""
    is_wal: bool


def read_header(file: str) -> SqliteHeader | None:
    """Return the header, None where the file is no SQLite database (too short, no magic, no page); raises OSError."""
    with open(file, "rb", buffering=0) as stream:  # noqa: PTH123 - file names are text in the ports
        head = stream.read(HEADER_BYTES)
        size_bytes = os.fstat(stream.fileno()).st_size
    if size_bytes < SIZE_BYTES_MIN or len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        return None
    (stored_page_size,) = struct.unpack_from(">H", head, 16)
    page_size_bytes = 65536 if stored_page_size == 1 else stored_page_size
    if page_size_bytes not in _PAGE_SIZES:
        return None
    change_counter, header_count = struct.unpack_from(">II", head, 24)
    (valid_for,) = struct.unpack_from(">I", head, 92)
    counted = header_count if header_count and change_counter == valid_for else size_bytes // page_size_bytes
    return SqliteHeader(page_size_bytes, counted, head[18] == _WAL or head[19] == _WAL) if counted else None


def quick_check(file: str) -> Verdict:
    """Judge a database file without touching it: no lock, no sidecar, not one byte altered. 3.4 s per 1.2 GB.

    ``immutable`` makes SQLite read the file alone, also one in WAL mode: the caller has made sure that no WAL is left.
    Raises OSError where the file cannot be read, OrgError SYNC_FAILED where SQLite could not do its work (memory, I/O).
    """
    if read_header(file) is None:
        return "not_sqlite"
    uri = f"file:{quote(file)}?mode=ro&immutable=1"
    try:
        with closing(apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)) as connection:
            connection.collation_needed(_any_collation)
            answer = connection.execute("PRAGMA quick_check(1)").get
    except apsw.NotADBError:
        return "not_sqlite"
    except apsw.CorruptError:
        return "database_corrupt"
    except apsw.SQLError:
        # The schema needs something that only its owner's program has (a function in a constraint, for example).
        return "schema_not_understood"
    except apsw.Error as error:
        raise OrgError(ErrorCode.SYNC_FAILED, None, f"quick_check {type(error).__name__}") from error
    return "ok" if answer == "ok" else "database_corrupt"


def _any_collation(connection: apsw.Connection, name: str) -> None:
    """Stand in for collations of other programs: quick_check has to load them, but does not compare index content."""
    connection.create_collation(name, lambda left, right: (left > right) - (left < right))


def settle(file: str, org_id: str, *, wal: bool | None) -> None:
    """Make the file complete in itself: WAL checkpointed, no sidecar with content; roll back what a crash left.

    ``wal`` gives the file the journal mode that it had in the bucket, None leaves it as it is.
    Raises OrgError DATABASE_BUSY where somebody has it open, DISK_FULL, SYNC_FAILED.
    """
    try:
        with closing(apsw.Connection(file, flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # a read rolls back what a crash left
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
            if wal is not None:
                connection.execute("PRAGMA journal_mode = WAL" if wal else "PRAGMA journal_mode = DELETE").fetchall()
    except apsw.BusyError as error:
        raise OrgError(ErrorCode.DATABASE_BUSY, org_id, "checkpoint") from error
    except apsw.FullError as error:
        raise OrgError(ErrorCode.DISK_FULL, org_id, "checkpoint") from error
    except apsw.Error as error:
        raise OrgError(ErrorCode.SYNC_FAILED, org_id, f"checkpoint {type(error).__name__}") from error
    if busy or has_sidecar_content(Path(file)):
        raise OrgError(ErrorCode.DATABASE_BUSY, org_id, "sidecar with content")


def create_empty(file: str) -> None:
    """Make a valid database of one page with nothing in it: a zero-byte file is refused wherever bytes are moved."""
    with closing(apsw.Connection(file)) as connection:
        connection.execute("PRAGMA user_version = 0")
