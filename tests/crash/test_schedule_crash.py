"""``schedule FILE`` killed at every edge: FILE is the old database or the new one, whole, with nothing stale beside it.

Edges are found by a dry run: the steps on files, and inside SQLite every write, sync, truncation and removal in FILE's
folder (``file_hooks``). Of edges that leave the same files behind one is tried; ``CRASH_EVERY_EDGE=1`` tries all,
and every form with every kind of death.
"""

import functools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from tests.crash.cases import Case, Ended
from tests.crash.durable import lose_power
from tests.crash.edges import Edge
from tests.crash.judge import State
from tests.crash.matrix import Rehearsal
from tests.crash.nursery import Nursery
from tests.crash.worlds import ROLLBACK, WAL, org_file

EVERY_EDGE: Final = os.environ.get("CRASH_EVERY_EDGE") == "1"
FORMS: Final = ("rollback", "wal", "wal-left", "journal-left")
DEATHS: Final = ("kill", "contents", "names")
EVERYDAY: Final = {*product(FORMS, ["kill"]), ("rollback", "contents"), ("journal-left", "names")}

_WRITER: Final = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE contacts SET first_name = hex(randomblob(300))")
if sys.argv[2] == "commit":
    db.execute("COMMIT")
os._exit(0)
"""
"""A writer that is killed: after its commit (the WAL stays), or within its transaction (the journal stays)."""


def new_home(root: Path, form: str) -> Path:
    """Make a folder with FILE as somebody left it."""
    (root / "home").mkdir(parents=True)
    (root / "tmp").mkdir()
    file = org_file(root / "home" / "file.db", WAL if form.startswith("wal") else ROLLBACK)
    if form.endswith("-left"):
        end = "commit" if form == "wal-left" else "nothing"
        subprocess.run([sys.executable, "-c", _WRITER, str(file), end], check=True)
    return file


def content_of(home: Path) -> tuple[str, str]:
    """What SQLite makes of FILE and its sidecars, on a copy: integrity and rows of all tables."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("file.db", "file.db-wal", "file.db-journal"):
            if (home / name).exists():
                shutil.copyfile(home / name, Path(folder, name))
        with closing(sqlite3.connect(Path(folder, "file.db"))) as db:
            db.text_factory = bytes
            try:
                integrity = db.execute("PRAGMA integrity_check").fetchone()[0].decode()
                tables = [
                    name.decode() for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
                ]
                return integrity, repr(
                    {name: db.execute(f'SELECT * FROM "{name}"').fetchall() for name in sorted(tables)}
                )
            except sqlite3.DatabaseError as error:
                return str(error), ""


def sidecars(home: Path) -> list[str]:
    """Sidecars that could hold a part of FILE: a journal counts while its header is valid."""
    return [
        p.name
        for p in home.iterdir()
        if p.name.endswith(("-wal", "-journal")) and p.read_bytes()[:1] not in {b"", b"\0"}
    ]


class Home:
    """FILE before the command, copied for every case; and what it was and becomes."""

    def __init__(self, nursery: Nursery, root: Path, form: str, temporary: str | None) -> None:
        self.nursery, self.root, self.temporary = nursery, root, temporary
        new_home(root, form)
        self.old = content_of(root / "home")
        world = self.copy("rehearsal")
        ended = self.run(world, looks=True, shadow=f"{world}.shadow")
        assert (ended.signal, ended.code) == (0, 0), nursery.log()
        assert ended.answer.outcome == "changed"
        self.new = content_of(world / "home")
        self.rehearsal = Rehearsal(ended.report.edges, State("", (0, ""), frozenset(), 0))
        assert self.old[0] == self.new[0] == "ok"
        assert self.old != self.new
        assert os.listdir(world / "home") == ["file.db"]  # noqa: PTH208 - names
        shutil.rmtree(world)
        shutil.rmtree(f"{world}.shadow")

    def copy(self, name: str) -> Path:
        return Path(shutil.copytree(self.root, f"{self.root}-{name}"))

    def run(self, world: Path, **fields: Any) -> Ended:
        case = Case(root=str(world), report=f"{self.root}.report", temporary=self.temporary, job="schedule", **fields)
        return self.nursery.run(case)

    def violations(self, death: str) -> Iterator[str]:
        which = "disk" if death == "kill" else "durable"
        for edge in self.rehearsal.edges if EVERY_EDGE else self.rehearsal.distinct(which):
            yield from self.violations_at(edge, death)

    def violations_at(self, edge: Edge, death: str, **more: Any) -> Iterator[str]:
        """Die there, look, and give the command again."""
        world = self.copy("cell")
        shadow = None if death == "kill" else Path(f"{world}.shadow")
        ended = self.run(world, crash=edge, shadow=None if shadow is None else str(shadow), **more)
        if ended.signal != signal.SIGKILL:
            yield f"{edge}: never reached"
        elif shadow is not None:
            lose_power(shadow, "contents" if death == "contents" else "names")
            shutil.rmtree(shadow)
        yield from (
            f"{edge}: {found}" for found in self._judged(world / "home", acknowledged=bool(ended.report.answers))
        )
        yield from (f"{edge}, then again: {found}" for found in self._repeated(world, **more))
        shutil.rmtree(world)

    def _judged(self, home: Path, *, acknowledged: bool) -> Iterator[str]:
        content = content_of(home)
        if content not in ([self.new] if acknowledged else [self.old, self.new]):
            yield f"neither old nor new: {content[0]} {'(acknowledged)' if acknowledged else ''}"
        if content == self.new and sidecars(home):
            yield f"new, beside {sidecars(home)}"

    def _repeated(self, world: Path, **more: Any) -> Iterator[str]:
        ended = self.run(world, **more)
        if (ended.signal, ended.code) != (0, 0):
            yield f"signal {ended.signal}, code {ended.code}"
        if content_of(world / "home") != self.new:
            yield "not the new one"
        if (names := os.listdir(world / "home")) != ["file.db"]:  # noqa: PTH208 - names
            yield f"left over: {names}"


@pytest.fixture(scope="module")
def home_of(folder: Path, nursery: Nursery) -> Callable[[str], Home]:
    return functools.cache(lambda form: Home(nursery, folder / f"home-{form}", form, None))


@pytest.mark.parametrize(("form", "death"), [cell for cell in product(FORMS, DEATHS) if EVERY_EDGE or cell in EVERYDAY])
def test_file_is_old_or_new_wherever_the_command_dies(home_of: Callable[[str], Home], form: str, death: str) -> None:
    home = home_of(form)
    found = list(home.violations(death))
    print(f"{form} {death}: {len(home.rehearsal.edges)} edges, {len(home.rehearsal.distinct('disk'))} distinct")  # noqa: T201
    assert found == [], "\n".join(found[:20])


@pytest.mark.parametrize("form", FORMS if EVERY_EDGE else FORMS[:1])
def test_the_same_where_the_private_copy_is_on_another_disk(
    folder: Path, nursery: Nursery, tmp_path: Path, form: str
) -> None:
    """A rename cannot cross file systems: the copy is copied once more beside FILE."""
    home = Home(nursery, folder / f"home-{form}-elsewhere", form, str(tmp_path))
    found = list(home.violations("kill"))
    assert found == [], "\n".join(found[:20])
