"""What `doctor` asks of this machine: the programs, the disk, and that one run after another really fits on it."""

import sqlite3
import sys
from pathlib import Path

import apsw

from core.runs.errors import ErrorCode, OrgError
from infra.disk_space import COPIES, free_bytes
from infra.findings import Finding, failed
from infra.pages import compare_pages
from infra.rsync import find_rsync
from infra.sqlite_file import create_empty

_SQLITE = "sqlite"
_RSYNC = "sqlite3_rsync"
_DISK = "disk"


def check_sqlite() -> Finding:
    """Name the two copies of SQLite that share the work."""
    python = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        _SQLITE,
        "ok",
        f"Python {python}, apsw with SQLite {apsw.sqlite_lib_version()}, sqlite3 {sqlite3.sqlite_version}",
    )


def check_rsync(folder: Path, timeout_seconds: float) -> Finding:
    """Have sqlite3_rsync copy a small database, and compare the pages: exit code 0 proves nothing."""
    origin, replica = folder / "origin.db", folder / "replica.db"
    try:
        program = find_rsync(timeout_seconds=timeout_seconds)
        create_empty(str(origin))
        program.copy(str(origin), str(replica))
        differs = bool(compare_pages(str(origin), str(replica)).changed.size)
    except OrgError as error:
        return failed(_RSYNC, error)
    if differs:
        return failed(_RSYNC, OrgError(ErrorCode.SYNC_FAILED, None, "the copy differs from its origin"))
    return Finding(_RSYNC, "ok", f"{program.version} copies")


def check_disk(data_dir: Path, *, reserve_bytes: int, largest_object_bytes: int) -> Finding:
    """Compare the free space with what a run of the largest org needs beside the reserve."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        probe = data_dir / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
        free = free_bytes(str(data_dir))
    except OSError as error:
        detail = f"DATA_DIR cannot be written: {type(error).__name__}"
        return Finding(_DISK, "error", detail, "mount a volume that this user may write at DATA_DIR")
    wanted = COPIES * largest_object_bytes + reserve_bytes
    detail = f"{_mb(free)} MB free; the largest org needs {_mb(wanted)} MB with the reserve"
    if free >= wanted:
        return Finding(_DISK, "ok", detail)
    # Mirrors of other orgs are removed when a run needs their place, so this is no error yet.
    return Finding(_DISK, "warning", detail, "enlarge the volume; until then mirrors are evicted and fetched again")


def _mb(size_bytes: int) -> int:
    return round(size_bytes / 1_000_000)
