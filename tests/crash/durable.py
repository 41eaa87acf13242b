"""Loss of power, modelled at its worst: what was not synced is gone.

A process that is killed leaves all it wrote in the page cache; a machine without power does not. While a child runs,
``Durable`` notes what it had synced; after its death ``lose_power`` takes the rest away. Two worlds, both allowed by
POSIX and both seen: names arrive although contents did not (``contents``), and names that no sync of their folder
followed do not arrive (``names``).
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Literal

from tests.crash.edges import Look

Loss = Literal["contents", "names"]


class Durable:
    """What is on disk for good, as far as this process asked for it."""

    def __init__(self, root: Path, shadow: Path | None) -> None:
        self._root = str(root) + "/"
        self._shadow = shadow
        self._files: dict[int, tuple[int, int]] = {}
        self._folders: list[str] = []
        if shadow is not None:
            shadow.mkdir()
            for folder, _, names in os.walk(root):
                self._keep_names(folder)
                for name in names:
                    self._keep_content(os.lstat(f"{folder}/{name}"))

    def synced(self, descriptor: int) -> None:
        """Note a successful fsync."""
        if self._shadow is None:
            return
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._keep_names(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        else:
            self._keep_content(status)

    def synced_file(self, file: str) -> None:
        """Note an fsync by somebody who tells only the name."""
        if self._shadow is not None:
            self._keep_content(os.stat(file))  # noqa: PTH116 - one of many in this module

    def look(self) -> Look:
        """Digest the world as it is now."""
        disk, shared, durable = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        for folder, names, files in os.walk(self._root):
            names.sort()
            for name in sorted(files):
                path = Path(folder, name)
                status = path.stat()
                line = f"{path}\n{len(name)}\n".encode() + hashlib.sha256(path.read_bytes()).digest()
                disk.update(line)
                if folder.startswith((self._root + "bucket", self._root + "bus")):
                    shared.update(line)
                note = self._files.get(status.st_ino, (0, 0))
                durable.update(line + repr((note[0], note == (status.st_size, status.st_mtime_ns))).encode())
        if self._shadow is not None:
            for number in range(len(self._folders)):
                durable.update(repr(sorted(kept.name for kept in (self._shadow / str(number)).iterdir())).encode())
        return Look(disk.hexdigest(), shared.hexdigest(), durable.hexdigest())

    def write_down(self) -> None:
        """Leave word for ``lose_power``."""
        if self._shadow is not None:
            notes = {"files": {str(inode): note for inode, note in self._files.items()}, "folders": self._folders}
            (self._shadow / "notes.json").write_text(json.dumps(notes))

    def _keep_content(self, status: os.stat_result) -> None:
        self._files[status.st_ino] = (status.st_size, status.st_mtime_ns)

    def _keep_names(self, folder: str) -> None:
        """Keep a folder's names by hard links, which follow neither renames nor removals."""
        assert self._shadow is not None
        if folder not in self._folders:
            self._folders.append(folder)
        kept = self._shadow / str(self._folders.index(folder))
        kept.mkdir(exist_ok=True)
        for old in os.scandir(kept):
            Path(old.path).unlink()
        for entry in os.scandir(folder):
            if entry.is_file(follow_symlinks=False):
                os.link(entry.path, kept / entry.name)


def lose_power(shadow: Path, loss: Loss) -> None:
    """Take away what the dead child had not synced; the shadow is spent."""
    notes = json.loads((shadow / "notes.json").read_text())
    for number, folder in enumerate(map(Path, notes["folders"])):
        if loss == "contents":
            _lose_contents(folder, notes["files"])
        else:
            _lose_names(folder, shadow / str(number))


def _lose_contents(folder: Path, synced: dict[str, list[int]]) -> None:
    for file in filter(lambda file: file.is_file() and not file.is_symlink(), folder.iterdir()):
        status = file.stat()
        size, mtime = synced.get(str(status.st_ino), (0, 0))
        if (status.st_size, status.st_mtime_ns) != (size, mtime):
            os.truncate(file, min(size, status.st_size))


def _lose_names(folder: Path, kept: Path) -> None:
    for entry in list(folder.iterdir()):
        if entry.is_file() and not entry.is_symlink():
            entry.unlink()
    for entry in kept.iterdir():
        os.link(entry, folder / entry.name)
