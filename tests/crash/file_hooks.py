"""Edges inside SQLite: every write, sync, truncation and removal that apsw makes in the folder of one file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw

from tests.crash.durable import Durable
from tests.crash.edges import Edges

_SYSTEM: Final = "unix"


class EdgeVfs(apsw.VFS):
    """The default file system with edges; install it once per process, it stays."""

    def __init__(self, edges: Edges, durable: Durable, folder: Path) -> None:
        self.edges = edges
        self.durable = durable
        self.folder = str(folder) + "/"
        super().__init__("edges", _SYSTEM, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's name
        file_name = name.filename() if isinstance(name, apsw.URIFilename) else name
        if not file_name or not str(file_name).startswith(self.folder):
            return super().xOpen(name, flags)
        return EdgeFile(self, name, str(file_name), flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        if not filename.startswith(self.folder):
            super().xDelete(filename, syncdir)
            return
        self.around("xDelete", filename, lambda: super(EdgeVfs, self).xDelete(filename, syncdir))

    def around(self, what: str, file: str, work: Callable[[], Any]) -> Any:
        short = file.removeprefix(self.folder)
        self.edges.reach(f"{what} {short} before")
        result = work()
        if what == "xSync":
            self.durable.synced_file(file)
        self.edges.reach(f"{what} {short} after")
        return result


class EdgeFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, vfs: EdgeVfs, name: Any, file: str, flags: list[int]) -> None:
        self._vfs = vfs
        self._file = file
        super().__init__(_SYSTEM, name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        half = len(data) // 2

        def write() -> None:
            super(EdgeFile, self).xWrite(data[:half], offset)
            self._vfs.edges.reach(f"xWrite {self._file.removeprefix(self._vfs.folder)} half")
            super(EdgeFile, self).xWrite(data[half:], offset + half)

        self._vfs.around("xWrite", self._file, write)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._vfs.around("xSync", self._file, lambda: super(EdgeFile, self).xSync(flags))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._vfs.around("xTruncate", self._file, lambda: super(EdgeFile, self).xTruncate(newsize))
