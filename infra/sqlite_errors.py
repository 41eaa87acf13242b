"""SQLite's result codes, from either library, as codes that an operator knows; and the retries of a busy file.

Details carry the operation, the name of SQLite's code and, where the schema is at fault, SQLite's message about names
of tables, columns and constraints. They never carry contents of the database.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import apsw

from core.runs.errors import ErrorCode, OrgError

T = TypeVar("T")

RETRY_DELAYS_SECONDS: Final = (1.0, 2.0, 4.0)
"""Waits between the attempts on a busy file (R94)."""

_PRIMARY_MASK: Final = 0xFF  # an extended result code holds its primary code in the low byte

_BY_PRIMARY_CODE: Final = {
    apsw.SQLITE_BUSY: ErrorCode.DATABASE_BUSY,
    apsw.SQLITE_LOCKED: ErrorCode.DATABASE_BUSY,
    apsw.SQLITE_PROTOCOL: ErrorCode.DATABASE_BUSY,
    apsw.SQLITE_CORRUPT: ErrorCode.DATABASE_CORRUPT,
    apsw.SQLITE_FORMAT: ErrorCode.DATABASE_CORRUPT,
    apsw.SQLITE_NOTADB: ErrorCode.NOT_SQLITE,
    apsw.SQLITE_FULL: ErrorCode.DISK_FULL,
    apsw.SQLITE_CANTOPEN: ErrorCode.FILE_MISSING,
    apsw.SQLITE_CONSTRAINT: ErrorCode.SCHEMA_NOT_UNDERSTOOD,
    apsw.SQLITE_MISMATCH: ErrorCode.SCHEMA_NOT_UNDERSTOOD,
    apsw.SQLITE_TOOBIG: ErrorCode.SCHEMA_NOT_UNDERSTOOD,
}
_BY_EXTENDED_CODE: Final = {
    apsw.SQLITE_IOERR_SHORT_READ: ErrorCode.DATABASE_CORRUPT,
    apsw.SQLITE_IOERR_READ: ErrorCode.DATABASE_CORRUPT,
    apsw.SQLITE_IOERR_CORRUPTFS: ErrorCode.DATABASE_CORRUPT,
    apsw.SQLITE_IOERR_WRITE: ErrorCode.DISK_FULL,
    apsw.SQLITE_IOERR_FSYNC: ErrorCode.DISK_FULL,
    apsw.SQLITE_IOERR_TRUNCATE: ErrorCode.DISK_FULL,
    apsw.SQLITE_IOERR_SHMSIZE: ErrorCode.DISK_FULL,
}
_NAMES_ONLY: Final = ("no such table", "no such column", "no such index", "UNIQUE constraint", "NOT NULL constraint")
"""Beginnings of messages that hold names of the schema and nothing else (a CHECK's text could quote contents)."""


@contextmanager
def org_errors(operation: str, org_id: str | None) -> Iterator[None]:
    """Turn what SQLite raises inside the block into OrgError; other exceptions pass."""
    try:
        yield
    except (apsw.Error, sqlite3.Error) as error:
        raise _translated(error, operation, org_id) from error


def with_retries(
    work: Callable[[], T],
    *,
    delays_seconds: tuple[float, ...] = RETRY_DELAYS_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call ``work`` again after each delay while it raises OrgError DATABASE_BUSY; it leaves nothing half done."""
    for delay_seconds in delays_seconds:
        try:
            return work()
        except OrgError as error:
            if error.code is not ErrorCode.DATABASE_BUSY:
                raise
        sleep(delay_seconds)
    return work()


def _translated(error: apsw.Error | sqlite3.Error, operation: str, org_id: str | None) -> OrgError:
    extended = _extended_code(error)
    primary = extended & _PRIMARY_MASK
    code = _BY_EXTENDED_CODE.get(extended) or _BY_PRIMARY_CODE.get(primary)
    message = str(error)
    names = message if message.startswith(_NAMES_ONLY) else ""
    if code is None:
        code = ErrorCode.SCHEMA_NOT_UNDERSTOOD if names else ErrorCode.SCHEDULER_FAILED
    name = apsw.mapping_extended_result_codes.get(extended) or apsw.mapping_result_codes.get(
        primary, type(error).__name__
    )
    return OrgError(code, org_id, f"{operation}: {name}" + (f" ({names})" if names else ""))


def _extended_code(error: apsw.Error | sqlite3.Error) -> int:
    if isinstance(error, apsw.Error):
        return int(getattr(error, "extendedresult", apsw.SQLITE_ERROR))
    return int(getattr(error, "sqlite_errorcode", apsw.SQLITE_ERROR))
