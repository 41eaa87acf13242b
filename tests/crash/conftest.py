"""A warmed process per test process, and worlds in memory: their files are real, only syncing them costs nothing."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.matrix import Rehearsal, rehearse
from tests.crash.nursery import Nursery
from tests.crash.worlds import Form, Plot, Stage, new_stage

Staged = Callable[[Form, Plot], tuple[Stage, Rehearsal]]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    path = Path(tempfile.mkdtemp(prefix="emailsched-crash-", dir=memory if os.access(memory, os.W_OK) else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def nursery(folder: Path) -> Iterator[Nursery]:
    with Nursery(folder / "log") as nursery:
        yield nursery


@pytest.fixture(scope="session")
def staged(folder: Path, nursery: Nursery) -> Staged:
    """A world before its message, and the rehearsal of it; each made once."""
    made: dict[str, tuple[Stage, Rehearsal]] = {}

    def make(form: Form, plot: Plot) -> tuple[Stage, Rehearsal]:
        name = f"{form.name}-{plot.name}"
        if name not in made:
            stage = new_stage(nursery, folder / name, form, plot)
            made[name] = stage, rehearse(stage, plot)
        return made[name]

    return make
