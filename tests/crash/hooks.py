"""Where edges come from: every call through a port, every step on a name or a file's content, every SQLite commit.

Nothing is listed by hand: public methods of the adapters are found by looking, files by their folder. A new step of the
shipped code is a new edge of the next dry run.
"""

import functools
import inspect
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import apsw

import infra.rsync
from core.runs.service import Service
from infra.lease import BucketLease
from infra.local_bucket import LocalBucket
from infra.local_bus import LocalBus
from infra.mirror import MirrorSync
from infra.org_db import SqliteOrgDatabase
from tests.crash.durable import Durable
from tests.crash.edges import Edges

_PORTS: Final = (Service, MirrorSync, BucketLease, LocalBucket, LocalBus, SqliteOrgDatabase, infra.rsync.Rsync)
_ANY_RUN_OF_DIGITS: Final = re.compile(r"\d{6,}")
_TEMPORARY: Final = re.compile(r"emailsched-\w+")
_TRANSACTION: Final = (
    "COMMIT",
    "BEGIN",
    "RELEASE",
    "SAVEPOINT",
    "ROLLBACK",
    "PRAGMA WAL_CHECKPOINT",
    "PRAGMA JOURNAL_MODE",
)


class Hooks:
    """Wraps what the run of this process uses; for a forked child, as nothing is put back."""

    def __init__(self, edges: Edges, root: Path, durable: Durable) -> None:
        self._edges = edges
        self._root = str(root) + "/"
        self._durable = durable

    def install(self) -> None:
        for port in _PORTS:
            self._wrap_public(port)
        self._wrap_processes()
        self._wrap_names()
        self._wrap_contents()
        self._wrap_sqlite()

    # -------------------------------------------------------------------------------------------- ports

    def _wrap_public(self, port: type) -> None:
        for name, method in list(vars(port).items()):
            if not name.startswith("_") and inspect.isfunction(method):
                setattr(port, name, self._around(f"{port.__name__}.{name}", method))

    def _around(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def wrapped(*args: Any, **more: Any) -> Any:
            self._edges.reach(f"{name} before")
            result = work(*args, **more)
            self._edges.reach(f"{name} after")
            return result

        return wrapped

    def _wrap_processes(self) -> None:
        edges = self._edges

        class Popen(subprocess.Popen[bytes]):
            def __init__(self, command: list[str], **more: Any) -> None:
                super().__init__(command, **more)
                edges.reach("Popen started")

        infra.rsync.subprocess.Popen = Popen  # type: ignore[attr-defined]  # the module's own name for subprocess

    # -------------------------------------------------------------------------------------------- names and contents

    def _short(self, path: Any) -> str | None:
        """How a file of the test's world is called in an edge; None for any other file."""
        named = Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else Path(path).absolute()
        text = str(named)
        if not text.startswith(self._root):
            return None
        return _TEMPORARY.sub("T", _ANY_RUN_OF_DIGITS.sub("N", text.removeprefix(self._root)))

    def _wrap_names(self) -> None:
        for function, which in (("replace", 1), ("unlink", 0), ("fsync", 0), ("ftruncate", 0), ("mkdir", 0)):
            setattr(os, function, self._around_file(function, which))

    def _around_file(self, function: str, which: int) -> Callable[..., Any]:
        original = getattr(os, function)
        durable = self._durable

        def wrapped(*args: Any, **more: Any) -> Any:
            short = self._short(args[which])
            if short is None:
                return original(*args, **more)
            self._edges.reach(f"{function} {short} before")
            result = original(*args, **more)
            if function == "fsync":
                durable.synced(args[0])
            self._edges.reach(f"{function} {short} after")
            return result

        return wrapped

    def _wrap_contents(self) -> None:
        write, open_path, hooks = os.write, Path.open, self

        def os_write(descriptor: int, content: Any) -> int:
            short = hooks._short(descriptor)
            return (
                write(descriptor, content)
                if short is None
                else hooks._in_halves(short, content, functools.partial(write, descriptor))
            )

        def path_open(path: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
            short = hooks._short(path) if set(mode) & set("wax") else None
            if short is None:
                return open_path(path, mode, *args, **more)
            hooks._edges.reach(f"open {short} before")
            stream = open_path(path, mode, *args, **more)
            hooks._edges.reach(f"open {short} after")
            return _Stream(stream, functools.partial(hooks._in_halves, short))

        os.write = os_write
        Path.open = path_open  # type: ignore[method-assign,assignment]

    def _in_halves(self, short: str, content: Any, write: Callable[[Any], int]) -> int:
        """Write as the system may: not all at once."""
        view = memoryview(content)
        half = len(view) // 2
        self._edges.reach(f"write {short} before")
        written = write(view[:half])
        self._edges.reach(f"write {short} half")
        if written == half:  # else the system took less, and the caller has to see that
            written += write(view[half:])
        self._edges.reach(f"write {short} after")
        return written

    # -------------------------------------------------------------------------------------------- SQLite

    def _wrap_sqlite(self) -> None:
        hooks, connect = self, sqlite3.connect

        class Bulk(apsw.Connection):
            def execute(self, statements: str, *args: Any, **more: Any) -> Any:
                return hooks._statement(
                    "apsw", statements, functools.partial(super().execute, statements, *args, **more)
                )

        class Records(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> Any:
                return hooks._statement("sqlite3", sql, functools.partial(super().execute, sql, *args))

            def commit(self) -> None:
                hooks._statement("sqlite3", "COMMIT", super().commit)

        apsw.Connection = Bulk  # type: ignore[misc]
        sqlite3.connect = functools.partial(connect, factory=Records)  # type: ignore[assignment]  # the same, one default more

    def _statement(self, library: str, sql: str, execute: Callable[[], Any]) -> Any:
        if not sql.upper().startswith(_TRANSACTION):
            return execute()
        words = " ".join(sql.split()[: 1 if "SAVEPOINT" in sql else 2])
        return self._around(f"{library} {words}", execute)()


class _Stream:
    """A file whose writes have a middle."""

    def __init__(self, stream: Any, in_halves: Callable[[Any, Callable[[Any], int]], int]) -> None:
        self._stream = stream
        self._in_halves = in_halves

    def write(self, content: Any) -> int:
        return self._in_halves(content, self._write_through)

    def _write_through(self, part: Any) -> int:
        written: int = self._stream.write(part)
        self._stream.flush()
        return written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
