"""Worlds to crash in: a bucket and a bus that all machines share, and for each machine a DATA_DIR of its own.

    <root>/bucket, <root>/bus           shared; every DATA_DIR has links to them
    <root>/one, <root>/two              DATA_DIRs

A ``Stage`` is the state before the message ``m1``; it is made once and copied for every case, so that run ids, which
follow from the generation that is read, are the same in all of them.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from infra.local_bucket import LocalBucket
from tests.crash.cases import Case, Ended
from tests.crash.edges import Edge
from tests.crash.nursery import Nursery

OBJECT: Final = "org-data/acme.db"
CONTACTS: Final = 40


@dataclass(frozen=True)
class Form:
    """How the object is stored; what a run must keep."""

    journal_mode: str = "delete"
    page_size: int = 4096

    @property
    def name(self) -> str:
        return f"{self.journal_mode}-{self.page_size}"


ROLLBACK: Final = Form()
WAL: Final = Form("wal")
WIDE: Final = Form("wal", 8192)


@dataclass(frozen=True)
class Plot:
    """What came before the message, and the message."""

    name: str
    case: dict[str, Any] = field(default_factory=dict)
    """Fields of Case of the run that crashes and of those that repeat it."""
    effects: int = 1
    """Generations that the message makes, however often it comes."""
    prelude: Callable[["Stage"], None] = lambda stage: None


@dataclass(frozen=True)
class Stage:
    """A world before the message."""

    nursery: Nursery
    root: Path
    form: Form

    @property
    def bucket(self) -> LocalBucket:
        return LocalBucket(str(self.root / "bucket"))

    @property
    def report(self) -> str:
        return f"{self.root}.report"

    def copy_to(self, root: Path) -> "Stage":
        shutil.copytree(self.root, root, symlinks=True)
        return replace(self, root=root)

    def case(self, **fields: Any) -> Case:
        return Case(root=str(self.root), report=self.report, **fields)

    def run(self, **fields: Any) -> Ended:
        return self.nursery.run(self.case(**fields))

    def done(self, **fields: Any) -> "Stage":
        ended = self.run(**fields)
        assert (ended.code, ended.signal, ended.answer.outcome) == (0, 0, "done"), (ended, self.nursery.log())
        return self

    def put_object(self, contacts: int = CONTACTS) -> None:
        """Upload as an upstream system does: with a precondition, without our metadata."""
        file = org_file(Path(f"{self.root}.upload"), self.form, contacts)
        live = self.bucket.stat(OBJECT)
        generation = live.generation if live else 0
        self.bucket.upload(OBJECT, str(file), if_generation_match=generation, metadata={})
        file.unlink()


def new_stage(nursery: Nursery, root: Path, form: Form, plot: Plot) -> Stage:
    """Make a world, with an object unless the plot is to create it, and play what came before."""
    stage = Stage(nursery, root, form)
    (root / "bucket").mkdir(parents=True)
    (root / "bus").mkdir()
    for machine in ("one", "two"):
        (root / machine).mkdir()
        for shared in ("bucket", "bus"):
            (root / machine / shared).symlink_to(f"../{shared}")
    if not plot.case.get("create"):
        stage.put_object()
    plot.prelude(stage)
    return stage


def org_file(file: Path, form: Form, contacts: int = CONTACTS) -> Path:
    """Make a small org with a contact for every case that matters to a plan."""
    file.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(f"PRAGMA page_size = {form.page_size}")
        db.execute(f"PRAGMA journal_mode = {form.journal_mode}")
        db.execute(
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, first_name TEXT, last_name TEXT, "
            "phone_number TEXT, zip_code TEXT, state TEXT, birth_date TEXT, effective_date TEXT, carrier TEXT, "
            "failed_underwriting INTEGER DEFAULT 0, status TEXT DEFAULT '')"
        )
        db.executemany(
            "INSERT INTO contacts (id, email, state, birth_date, effective_date) VALUES (?, ?, ?, ?, ?)",
            (
                (i, f"person{i}@example.com", ("TX", "CA", "NV")[i % 3], f"1960-{i % 12 + 1:02d}-{i % 28 + 1:02d}",
                 f"2015-{(i + 3) % 12 + 1:02d}-{i % 28 + 1:02d}")
                for i in range(1, contacts + 1)
            ),
        )  # fmt: skip
    return file


def _ran_before(stage: Stage) -> None:
    stage.done(message="m0")


def _changed_by_upstream(stage: Stage) -> None:
    stage.done(message="m0")
    stage.put_object(CONTACTS + 20)


def _carried_before(stage: Stage) -> None:
    stage.done(message="m1")


def _left_by_a_crash(stage: Stage) -> None:
    """The first attempt died while sqlite3_rsync wrote what was to be uploaded."""
    ended = stage.run(crash=Edge("Popen started", 2), kill_all=True)
    assert ended.signal == 9, ended


COLD: Final = Plot("cold")
PLOTS: Final = (
    COLD,
    Plot("warm", {"config": {"send_time_hour": 11}}, prelude=_ran_before),
    Plot("stale", prelude=_changed_by_upstream),
    Plot("create", {"create": True}),
    Plot("idle", effects=0, prelude=_ran_before),
    Plot("replay", effects=0, prelude=_carried_before),
    Plot("after-crash", {"hours_later": 1}, prelude=_left_by_a_crash),
)
