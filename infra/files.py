"""Files that survive a crash: a name shows the old content or the new one, and never a neighbour's leftovers."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from core.runs.errors import ErrorCode, OrgError

SIDECAR_SUFFIXES: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database. A stale one is replayed into a fresh file, and quick_check calls that ok."""

_CONTENT_SUFFIXES: Final = ("-wal", "-journal")
"""Sidecars that can hold a part of the database; ``-shm`` is only an index into the WAL."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(file: Path) -> None:
    """Make a file's content durable, whoever wrote it; raises OSError."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_durably(source: Path, target: Path) -> None:
    """Give a complete file its name: content first, then the name, both on disk before this returns; raises OSError."""
    sync_file(source)
    source.replace(target)
    sync_folder(target.parent)


def write_durably(target: Path, content: bytes) -> None:
    """Write a small file whole or not at all; a leftover ``<name>.tmp`` of a crash is overwritten by the next write."""
    temporary = target.with_name(target.name + ".tmp")
    temporary.write_bytes(content)
    replace_durably(temporary, target)


def remove_sidecars(database: Path) -> None:
    """Remove the ``-wal``, ``-shm`` and ``-journal`` of a database file that nobody has open; raises OSError."""
    for suffix in SIDECAR_SUFFIXES:
        with suppress(FileNotFoundError):
            os.unlink(f"{database}{suffix}")  # noqa: PTH108 - asked many times a run; a path costs more than the question


def has_sidecar_content(database: Path) -> bool:
    """Whether a part of the database may still be in a WAL or a journal: then the file alone is not the database."""
    for suffix in _CONTENT_SUFFIXES:
        with suppress(FileNotFoundError):  # the usual case: no sidecar, nothing in it
            if os.stat(f"{database}{suffix}").st_size > 0:  # noqa: PTH116 - as above
                return True
    return False


def remove_database(database: Path) -> None:
    """Remove a database file with its sidecars; the file first: without its WAL it would look whole and be old."""
    database.unlink(missing_ok=True)
    remove_sidecars(database)


def disk_error(error: OSError, org_id: str | None, otherwise: ErrorCode) -> OrgError:
    """Translate a failed file operation: DISK_FULL where space or quota ran out, else ``otherwise``."""
    code = ErrorCode.DISK_FULL if error.errno in _FULL else otherwise
    return OrgError(code, org_id, errno.errorcode.get(error.errno or 0, type(error).__name__))


@contextmanager
def disk_errors(org_id: str | None, otherwise: ErrorCode = ErrorCode.SYNC_FAILED) -> Iterator[None]:
    """Turn every OSError of the block into an OrgError by ``disk_error``."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, org_id, otherwise) from error
