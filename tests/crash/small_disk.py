"""A disk that fills up: a small tmpfs where mounting is allowed, else a limit on the size of files."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DISK_BYTES: Final = 8 * 1024 * 1024
_MOUNT: Final = shutil.which("mount") or "/bin/mount"
_UNMOUNT: Final = shutil.which("umount") or "/bin/umount"
_BALLAST: Final = "ballast"


def can_mount() -> bool:
    """Whether this process may mount: then disks are really full; else files are not allowed to grow."""
    probe = Path("/mnt") / f"emailsched-probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError:
        return False
    try:
        done = subprocess.run([_MOUNT, "-t", "tmpfs", "tmpfs", str(probe)], capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run([_UNMOUNT, "-l", str(probe)], check=True)
    except FileNotFoundError:
        return False
    else:
        return done.returncode == 0
    finally:
        probe.rmdir()


class SmallDisk:
    """A mounted tmpfs and the ballast that fills it."""

    def __init__(self, folder: Path) -> None:
        self.ballast = folder / _BALLAST
        self._folder = folder

    def leave(self, free_bytes: int) -> None:
        """Fill the disk up to so many bytes (whole pages of memory, as tmpfs counts)."""
        status = os.statvfs(self._folder)
        fill = status.f_bavail * status.f_frsize - free_bytes
        with self.ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, fill))

    def free(self) -> None:
        self.ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int = DISK_BYTES) -> Iterator[SmallDisk]:
    """Put a small disk under a folder, with the folder's content on it; the folder is gone afterwards."""
    content = folder.with_name(folder.name + "-content")
    folder.mkdir(parents=True, exist_ok=True)
    folder.rename(content)
    folder.mkdir()
    subprocess.run([_MOUNT, "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(content, folder, symlinks=True, dirs_exist_ok=True)
        yield SmallDisk(folder)
    finally:
        subprocess.run([_UNMOUNT, "-l", str(folder)], check=True)
        shutil.rmtree(folder)
        shutil.rmtree(content)
