"""The disk of a machine: a copy program that misbehaves, what a crash or an operator leaves there, and file digests."""

import os
import shutil
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Final, Literal, cast

import apsw

from core.runs.errors import ErrorCode, OrgError
from infra.files import disk_errors, has_sidecar_content, remove_sidecars
from infra.org_folder import LOCKS_FOLDER
from infra.rsync import Rsync
from infra.sqlite_file import read_header

CopyFault = Literal["exit 0 without copying", "partial copy", "stale replica", "locked", "failed", "disk full"]
COPY_FAULTS: Final[tuple[CopyFault, ...]] = (
    "exit 0 without copying",
    "partial copy",
    "stale replica",
    "locked",
    "failed",
    "disk full",
)
_ERRORS: Final = {
    "locked": ErrorCode.DATABASE_BUSY,
    "failed": ErrorCode.SYNC_FAILED,
    "disk full": ErrorCode.DISK_FULL,
}
_COUNTERS: Final = (slice(18, 20), slice(24, 28), slice(92, 100))
"""What may differ between copies of one database: journal mode, change counter, version-valid-for, writer."""


class FakeRsync:
    """Copies as sqlite3_rsync does: both files pass through SQLite where a sidecar has content, pages are written in place.

    ``fault`` is asked before each copy; ``step`` is a place to die, also in the middle of the pages.
    """

    def __init__(self, fault: Callable[[], CopyFault | None], step: Callable[[str], None]) -> None:
        self._fault, self._step = fault, step

    def as_rsync(self) -> Rsync:
        """Return this as what the mirror asks for: a program behind the same method."""
        return cast(Rsync, self)

    def copy(self, origin: str, replica: str, *, org_id: str | None = None, keep_open: Sequence[int] = ()) -> None:
        """Copy, or do what the fault says; like the real one it proves nothing."""
        self._step("rsync starts")
        fault = self._fault()
        if fault in _ERRORS:
            raise OrgError(_ERRORS[fault], org_id, f"simulated: {fault}")
        with disk_errors(org_id):
            if read_header(origin) is None:
                raise OrgError(ErrorCode.SYNC_FAILED, org_id, "origin is no SQLite file")
            target = Path(replica)
            if not target.exists():
                remove_sidecars(target)
            through_sqlite(Path(origin), org_id)
            through_sqlite(target, org_id)
            if fault == "exit 0 without copying":
                return
            content = bytearray(Path(origin).read_bytes())
            if fault == "stale replica":
                self._stale(target, content)
                return
            self._write(target, content, half=fault == "partial copy")

    def _write(self, target: Path, content: bytearray, *, half: bool) -> None:
        old = target.read_bytes() if target.exists() else b""
        counter = (int.from_bytes(old[24:28], "big") + 1) & 0xFFFFFFFF
        content[24:28] = content[92:96] = counter.to_bytes(4, "big")
        middle = len(content) // 2
        with target.open("r+b" if old else "wb") as stream:
            stream.write(content[:middle])
            stream.flush()
            self._step("rsync half way")
            if half:
                return
            stream.write(content[middle:])
            stream.truncate()

    def _stale(self, target: Path, content: bytearray) -> None:
        """Leave what looks like a copy and is an older state: its last page as it was."""
        old = target.read_bytes() if target.exists() else bytes(len(content))
        page = read_header_page(content)
        content[-page:] = old[-page:].ljust(page, b"\0")[:page]
        target.write_bytes(content)


def read_header_page(content: bytes | bytearray) -> int:
    """Page size of a database in memory."""
    size = int.from_bytes(content[16:18], "big")
    return 65536 if size == 1 else size


def through_sqlite(file: Path, org_id: str | None) -> None:
    """Open and close a file that has a sidecar: a hot journal is rolled back, a WAL moved in, whatever it belongs to."""
    if not file.exists() or not has_sidecar_content(file):
        return
    try:
        db = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            db.close()
    except apsw.Error as error:
        raise OrgError(ErrorCode.SYNC_FAILED, org_id, f"exit 1: {type(error).__name__}") from error


def digest_of(content: bytes) -> str:
    """Digest of a database's pages, the counters that copying changes left out; bytes after the last page are nothing."""
    masked = bytearray(content)
    pages = int.from_bytes(content[28:32], "big")
    if pages and content[24:28] == content[92:96]:
        del masked[pages * read_header_page(content) :]
    for counter in _COUNTERS:
        masked[counter] = bytes(len(masked[counter]))
    return blake2b(masked, digest_size=12).hexdigest()


def clone_disk(source: Path, target: Path) -> None:
    """Copy a machine's disk as it is at this moment; locks are not files that last."""
    if not source.exists():
        return
    target.mkdir()
    for entry in os.scandir(source):
        if entry.is_dir():
            if entry.name != LOCKS_FOLDER:
                clone_disk(Path(entry.path), target / entry.name)
        else:
            (target / entry.name).write_bytes(Path(entry.path).read_bytes())


def leave_stale_journal(database: Path) -> bool:
    """Put the journal of a transaction on this file beside it: what a killed sqlite3 shell of an operator leaves there."""
    if not database.exists() or read_header(str(database)) is None:
        return False
    victim = database.with_name("victim")
    shutil.copyfile(database, victim)
    try:
        db = apsw.Connection(str(victim))
        db.execute("PRAGMA journal_mode = DELETE").fetchall()
        db.execute("BEGIN IMMEDIATE")
        for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            db.execute(f"DELETE FROM {table}")
        db.cache_flush()
        journal = victim.with_name("victim-journal").read_bytes()
        db.execute("ROLLBACK")
        db.close()
    except apsw.Error:
        return False  # a half written file is no place for a transaction
    finally:
        victim.unlink()
    database.with_name(database.name + "-journal").write_bytes(journal)
    return True


def damage(file: Path, chance: Random) -> bool:
    """Overwrite some bytes of a page that is not the first."""
    size = file.stat().st_size if file.exists() else 0
    if size < 4096:
        return False
    with file.open("r+b") as stream:
        stream.seek(chance.randrange(1024, size - 64))
        stream.write(bytes(chance.randrange(256) for _ in range(64)))
    return True


def break_pages(file: Path) -> bool:
    """Ruin a page in a way that SQLite's quick check sees."""
    size = file.stat().st_size if file.exists() else 0
    header = read_header(str(file)) if size else None
    if header is None or header.page_count < 3:
        return False
    with file.open("r+b") as stream:
        stream.seek(header.page_size_bytes)
        stream.write(b"\xff" * header.page_size_bytes)
    return True
