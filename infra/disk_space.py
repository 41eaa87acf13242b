"""Room on the disk for a run: where it is short, the folders of the orgs that were used longest ago are removed.

Everything in them can be fetched again. Free space is asked of the system after each removal, never computed.
"""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Journal
from events.types import OrgId, is_org_id
from infra.files import disk_errors
from infra.locks import LockTimeoutError, locked
from infra.org_folder import OrgFolder, lock_file

COPIES: Final = 4
"""Files of the object's size that a run may have at once: mirror, working copy, what comes down, what goes up."""

RESERVE_BYTES: Final = 256_000_000
"""What stays free beside that: journals, growth, logs, everybody else."""


def free_bytes(folder: str) -> int:
    """Return what an unprivileged process may still write to the disk that holds a folder; raises OSError."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def disk_bytes(folder: str) -> int:
    """Return the size of the disk that holds a folder; raises OSError."""
    disk = os.statvfs(folder)
    return disk.f_blocks * disk.f_frsize


def mark_used(data_dir: str, org_id: OrgId) -> None:
    """Note that an org is in use now; who calls holds its lock. Raises OSError."""
    os.utime(lock_file(data_dir, org_id))


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The data directory's disk."""

    data_dir: str
    journal: Journal
    reserve_bytes: int = RESERVE_BYTES
    free_bytes: Callable[[str], int] = free_bytes

    def require(self, org_id: OrgId, object_bytes: int) -> None:
        """See to it that a run of an org with such an object has room; who calls holds the org's lock.

        Raises OrgError DISK_FULL with the numbers where everything that may be removed is not enough.
        """
        with disk_errors(org_id):
            own_bytes = _bytes_in(Path(self.data_dir) / org_id)
            wanted = max(0, COPIES * object_bytes - own_bytes) + self.reserve_bytes
            free = self.free_bytes(self.data_dir)
            if free >= wanted:
                return
            for other in self._longest_unused(org_id):
                if self._evict(other, org_id):
                    free = self.free_bytes(self.data_dir)
                if free >= wanted:
                    return
        detail = f"{free} bytes free, {wanted} needed ({self.reserve_bytes} of them in reserve), nothing left to remove"
        raise OrgError(ErrorCode.DISK_FULL, org_id, detail)

    def _longest_unused(self, org_id: OrgId) -> list[OrgId]:
        """Return the other orgs with a folder here, the one that was used longest ago first."""
        with os.scandir(self.data_dir) as entries:
            names = [e.name for e in entries if is_org_id(e.name) and e.is_dir(follow_symlinks=False)]
        others = [OrgId(name) for name in names if name != org_id]
        return sorted(others, key=lambda other: (_used_at(lock_file(self.data_dir, other)), other))

    def _evict(self, org_id: OrgId, for_org: OrgId) -> bool:
        """Remove an org's folder unless somebody works in it; the record first, so that a crash leaves no mirror."""
        folder = OrgFolder(Path(self.data_dir) / org_id)
        try:
            with locked(lock_file(self.data_dir, org_id), wait_seconds=0):
                freed = _bytes_in(folder.path)
                folder.forget_mirror()
                shutil.rmtree(folder.path)
        except LockTimeoutError:
            self.journal.info("org_in_use", org_id=org_id, for_org=for_org)
            return False
        except OSError as error:  # its other files stay: a folder that cannot be removed must not stop another org
            code = errno.errorcode.get(error.errno or 0, type(error).__name__)
            self.journal.warning("org_not_evicted", org_id=org_id, for_org=for_org, error=code)
            return True
        self.journal.warning("org_evicted", org_id=org_id, for_org=for_org, bytes_freed=freed)
        return True


def _bytes_in(folder: Path) -> int:
    """Return the bytes of the files of a folder; 0 where there is none."""
    try:
        with os.scandir(folder) as entries:
            return sum(e.stat(follow_symlinks=False).st_size for e in entries if e.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return 0


def _used_at(lock: Path) -> float:
    """Return when an org was used last, 0 where that was before there were locks."""
    try:
        return lock.stat().st_mtime
    except FileNotFoundError:
        return 0.0
