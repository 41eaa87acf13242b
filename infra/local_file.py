"""``schedule FILE`` and ``plan FILE``: work on a private copy, and put it in FILE's place if FILE is still the same.

FILE belongs to somebody else, who may have it open. Reading it changes no byte of it, not its times, and leaves no
sidecar beside it:

* Without a WAL, SQLite's backup reads it under the lock of a reader. What a crashed writer left (a hot journal) is
  copied along, and rolled back in the copy.
* In WAL mode and with its sidecars there, somebody has it open: the backup reads it as one more reader, and
  checkpoints nothing.
* In WAL mode without ``-shm``, nobody has it open, and SQLite would have to create sidecars to read it: file and WAL
  are copied as bytes.

FILE is never opened by Python while SQLite has it open here: closing any descriptor of a file drops this process's
locks on it.
"""

import errno
import os
import shutil
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from core.runs.errors import ErrorCode, OrgError
from infra.files import disk_errors, remove_database, sync_file, sync_folder
from infra.sqlite_errors import org_errors, with_retries
from infra.sqlite_file import HEADER_BYTES, SqliteHeader, read_header

_ATTEMPTS: Final = 3
_BACKUP_PAGES: Final = 10_000
_COPY_NAME: Final = "working.db"

_WRITE_VERSION: Final = 18  # offset in the header
_WAL: Final = 2

_Stat = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What FILE was when it was copied; any commit by anybody changes some of it."""

    stat: tuple[_Stat | None, _Stat | None]
    """Device, inode, size and time of the last change, of FILE and of its WAL (None: there is none, or it is empty)."""
    header: bytes
    """SQLite's header: its counter of changes sees a commit that the clock is too coarse for."""
    has_hot_journal: bool

    @property
    def is_wal(self) -> bool:
        """Whether FILE is in WAL mode."""
        return self.header[_WRITE_VERSION] == _WAL


@dataclass(frozen=True, slots=True)
class PrivateCopy:
    """A copy of FILE in a directory of ours."""

    file: str
    fingerprint: Fingerprint


def private_copy(file: str, directory: str) -> PrivateCopy:
    """Copy a database, consistent and with every property that the file stores, into an existing directory.

    Raises OrgError: FILE_MISSING, NOT_SQLITE, DATABASE_CORRUPT, DATABASE_BUSY (after retries), DISK_FULL, FILE_CHANGED
    where somebody writes faster than it can be copied.
    """
    source, target = Path(file).resolve(), Path(directory) / _COPY_NAME
    if not source.is_file():
        raise OrgError(ErrorCode.FILE_MISSING, None, "no such file")
    for _ in range(_ATTEMPTS):
        with disk_errors(None, ErrorCode.SCHEDULER_FAILED):
            header = read_header(str(source))
            if header is None:
                raise OrgError(ErrorCode.NOT_SQLITE, None, "the file has no SQLite header")
            remove_database(target)
            before = _stat(source), _first_bytes(source)
            hot = with_retries(partial(_copy, source, target, header))
            if (_stat(source), _first_bytes(source)) == before:
                return PrivateCopy(str(target), Fingerprint(*before, has_hot_journal=hot))
    raise OrgError(ErrorCode.FILE_CHANGED, None, "changed while it was copied")


def replace_if_unchanged(file: str, copy: str, fingerprint: Fingerprint) -> None:
    """Put the copy, which is gone afterwards, in FILE's place: whole, durable, with FILE's owner and permissions.

    A crash at any moment leaves the old database or the new one. The copy has no sidecar with content (``close`` of
    the org database sees to it). Raises OrgError: FILE_CHANGED where FILE is not what was copied, FILE_MISSING,
    DATABASE_BUSY where somebody is writing it or has it open in WAL mode, DISK_FULL; FILE is untouched then.
    """
    target = Path(file).resolve()
    with disk_errors(None, ErrorCode.SCHEDULER_FAILED):
        if not target.is_file():
            raise OrgError(ErrorCode.FILE_MISSING, None, "no such file")
        staged = _stage(Path(copy), target)
        try:
            if (_stat(target), _first_bytes(target)) != (fingerprint.stat, fingerprint.header):
                raise OrgError(ErrorCode.FILE_CHANGED, None, "changed since it was copied")
            with_retries(partial(_swap, staged, target, fingerprint))
        finally:
            staged.unlink(missing_ok=True)  # gone already if all went well
        sync_folder(target.parent)


def _copy(source: Path, target: Path, header: SqliteHeader) -> bool:
    """Copy by the way that fits; says whether a hot journal was rolled back in the copy."""
    if header.is_wal and not (_sidecar(source, "-wal").exists() and _sidecar(source, "-shm").exists()):
        _copy_bytes(source, target, "-wal")
        return False
    try:
        with org_errors("copy", None):
            _back_up(source, target)
    except OrgError as error:
        if not isinstance(error.__cause__, apsw.ReadOnlyError | apsw.CantOpenError):
            raise
        # A reader may not roll a crashed writer's journal back, so this is what it gets to see.
        remove_database(target)
        _copy_bytes(source, target, "-journal")
        return True
    if header.is_wal:
        with org_errors("copy", None), closing(apsw.Connection(str(target))) as db:
            db.pragma("journal_mode", "WAL")
    return False


def _back_up(source: Path, target: Path) -> None:
    with (
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as reader,
        closing(apsw.Connection(str(target))) as writer,
    ):
        reader.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        writer.pragma("synchronous", "OFF")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # one state of FILE from here to the end
        with writer.backup("main", reader, "main") as backup:
            while not backup.done:
                backup.step(_BACKUP_PAGES)


def _copy_bytes(source: Path, target: Path, sidecar: str) -> None:
    """Copy the file and a sidecar, and let SQLite make one database of the two copies."""
    shutil.copyfile(source, target)
    if _sidecar(source, sidecar).exists():
        shutil.copyfile(_sidecar(source, sidecar), _sidecar(target, sidecar))
    with org_errors("copy", None), closing(apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        db.pragma("synchronous", "OFF")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        db.pragma("wal_checkpoint", "TRUNCATE")


def _stage(copy: Path, target: Path) -> Path:
    """Bring the copy beside FILE (a rename cannot cross file systems), with FILE's owner and permissions, durably."""
    staged = target.with_name(f".{target.name}.emailsched")
    try:
        copy.replace(staged)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(copy, staged)
        copy.unlink()
    stat = target.stat()
    staged.chmod(stat.st_mode & 0o7777)
    if (staged.stat().st_uid, staged.stat().st_gid) != (stat.st_uid, stat.st_gid):
        os.chown(staged, stat.st_uid, stat.st_gid)
    sync_file(staged)
    return staged


def _swap(staged: Path, target: Path, fingerprint: Fingerprint) -> None:
    """Rename under a lock that shuts writers out; FILE's WAL is in FILE by then, and its sidecars are gone.

    A WAL beside the new file would be replayed into it. In WAL mode the connection is closed before the rename,
    because closing removes sidecars by name: after the rename they could be a newcomer's.
    """
    with org_errors("replace", None):
        db = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            if fingerprint.is_wal:
                db.pragma("locking_mode", "EXCLUSIVE")  # busy while anybody else as much as has it open
            db.execute("BEGIN EXCLUSIVE")
            if not fingerprint.has_hot_journal and _stat(target) != fingerprint.stat:
                raise OrgError(ErrorCode.FILE_CHANGED, None, "changed since it was copied")
            if not fingerprint.is_wal:
                staged.replace(target)
                return
            db.execute("ROLLBACK")
            if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]:
                raise OrgError(ErrorCode.DATABASE_BUSY, None, "checkpoint")
            # A dead writer's: an exclusive connection makes none, and nobody else can have FILE open now.
            _sidecar(target, "-shm").unlink(missing_ok=True)
        finally:
            db.close()
    if any(_sidecar(target, suffix).exists() for suffix in ("-wal", "-shm")):
        raise OrgError(ErrorCode.DATABASE_BUSY, None, "opened by somebody")
    staged.replace(target)


def _stat(file: Path) -> tuple[_Stat | None, _Stat | None]:
    return _stat_of(file), _stat_of(_sidecar(file, "-wal"))


def _stat_of(file: Path) -> _Stat | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns) if stat.st_size else None


def _first_bytes(file: Path) -> bytes:
    with file.open("rb", buffering=0) as stream:
        return stream.read(HEADER_BYTES)


def _sidecar(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)
