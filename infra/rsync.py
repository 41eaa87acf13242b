"""The real sqlite3_rsync: found, asked for its version, run in a process group of its own, and never believed.

Exit code 0 is no proof: a killed child left exit 0 and an old replica, and so did an origin of zero bytes. Who calls
``copy`` compares the pages afterwards (``infra.pages``).
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw.sqlite_extra

from core.runs.errors import ErrorCode, OrgError
from infra.files import disk_errors, remove_sidecars
from infra.sqlite_file import read_header

PROGRAM: Final = "sqlite3_rsync"
VERSION_TIMEOUT_SECONDS: Final = 10.0
KILL_TIMEOUT_SECONDS: Final = 10.0
"""How long a killed group may take to disappear; more means that the kernel holds it (a dead disk)."""

_COMPLAINTS: Final = (
    (b"disk is full", ErrorCode.DISK_FULL, "disk full"),
    (b"database is locked", ErrorCode.DATABASE_BUSY, "locked"),
    (b"page size mismatch", ErrorCode.SYNC_FAILED, "page size mismatch"),
    (b"malformed", ErrorCode.SYNC_FAILED, "malformed"),
    (b"not a database", ErrorCode.SYNC_FAILED, "not a database"),
    (b"unable to open", ErrorCode.SYNC_FAILED, "unable to open"),
)
"""What stderr says -> what it means. Its text stays out of errors: it quotes paths."""


@dataclass(frozen=True, slots=True)
class Rsync:
    """A program that makes one SQLite file a copy of another by sending the pages that differ."""

    program: str
    version: str
    """First word-and-date line of ``--version``: for the log and for ``doctor``."""
    timeout_seconds: float
    """For one copy. 1.2 GB take about 4 s; the default leaves room for a volume a hundred times slower."""

    def copy(self, origin: str, replica: str, *, org_id: str | None = None, keep_open: Sequence[int] = ()) -> None:
        """Run ``sqlite3_rsync origin replica``: absolute paths of files that nobody has open. Proves nothing.

        ``keep_open``: descriptors that the program inherits, so that a lock lives as long as the last writer.
        Raises OrgError DATABASE_BUSY, DISK_FULL, SYNC_FAILED (also after a timeout: the process group is killed).
        """
        if not (os.path.isabs(origin) and os.path.isabs(replica)):  # noqa: PTH117 - names are text in the ports
            raise ValueError("sqlite3_rsync takes a relative path with a colon for an ssh host: pass absolute paths")
        with disk_errors(org_id):
            if read_header(origin) is None:
                raise OrgError(ErrorCode.SYNC_FAILED, org_id, "origin is no SQLite file")
            if not Path(replica).exists():
                remove_sidecars(Path(replica))
            code, complaint = self._run([self.program, origin, replica], org_id, keep_open)
        if code != 0:
            raise _failure(code, complaint, org_id)

    def _run(self, command: Sequence[str], org_id: str | None, keep_open: Sequence[int]) -> tuple[int, bytes]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
            pass_fds=tuple(keep_open),
        )
        try:
            # The pipe ends when the last process of the group has closed it: waiting for the parent alone could leave a
            # child that is still writing.
            _, complaint = process.communicate(timeout=self.timeout_seconds)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise OrgError(ErrorCode.SYNC_FAILED, org_id, f"timeout after {self.timeout_seconds:g} s") from None
        except BaseException:
            _kill_group(process)
            raise
        return process.returncode, complaint


def find_rsync(*, timeout_seconds: float = 600.0) -> Rsync:
    """Return the program of the apsw wheel, else the one on PATH; raises OrgError RSYNC_MISSING where none answers."""
    candidates = (_carried_by_apsw(), shutil.which(PROGRAM))
    program = next((candidate for candidate in candidates if candidate is not None), None)
    if program is None:
        raise OrgError(ErrorCode.RSYNC_MISSING, None, "not found")
    return Rsync(program, _version(program), timeout_seconds)


def _carried_by_apsw() -> str | None:
    """Other builds of apsw come without extras."""
    if apsw.sqlite_extra.has(PROGRAM) != "executable":
        return None
    return str(Path(apsw.sqlite_extra.path(PROGRAM)).absolute())


def _version(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=VERSION_TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise OrgError(ErrorCode.RSYNC_MISSING, None, f"--version {type(error).__name__}") from error
    version = done.stdout.decode("ascii", "replace").strip()
    if not version:
        raise OrgError(ErrorCode.RSYNC_MISSING, None, "--version says nothing")
    return version.splitlines()[0]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children; the leader is not reaped yet, so its group number is nobody else's."""
    with suppress(ProcessLookupError):  # it ended by itself in this very moment
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # unkillable: the caller's error says enough, and the lock stays with it
        process.communicate(timeout=KILL_TIMEOUT_SECONDS)


def _failure(code: int, complaint: bytes, org_id: str | None) -> OrgError:
    for needle, error_code, word in _COMPLAINTS:
        if needle in complaint:
            return OrgError(error_code, org_id, f"exit {code}: {word}")
    return OrgError(ErrorCode.SYNC_FAILED, org_id, f"exit {code}")
