"""The matrix can turn red: each guard is taken away once, and a violation must be found.

Where the guard needs a trouble to guard against (another writer, half a download, an sqlite3_rsync that did nothing) the
same trouble with the guard in place must do no harm.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server_process import rows_of
from tests.crash.conftest import Staged
from tests.crash.durable import Loss
from tests.crash.edges import Edge
from tests.crash.matrix import recovered, rehearse, violations
from tests.crash.mutations import STRANGER
from tests.crash.nursery import Nursery
from tests.crash.test_schedule_crash import Home
from tests.crash.worlds import COLD, OBJECT, PLOTS, ROLLBACK, Form, Plot, Stage
from tests.unit.sync_fakes import hot_journal

STALE = next(plot for plot in PLOTS if plot.name == "stale")
WARM = next(plot for plot in PLOTS if plot.name == "warm")


@dataclass(frozen=True)
class Control:
    """A guard to take away, and where its absence must show."""

    mutation: str
    at: str
    """Deaths at edges whose names have this in them."""
    plot: Plot = COLD
    form: Form = ROLLBACK
    loss: Loss | None = None


CONTROLS = (
    Control("no_sync_of_contents", "live.json after", loss="contents"),
    Control("no_sync_of_names", "answer after", loss="names"),
    Control("written_in_place", "live.json half"),
    Control("record_first", "replace one/orgs/acme/mirror.db before", plot=STALE),
    Control("events_not_in_the_commit", "LocalBucket.upload after"),
    Control("announced_before_the_upload", "LocalBus.publish after"),
    Control("leftovers_stay", "replace one/bucket/org-data%2Facme.db/N.json after"),
    Control("torn_lines_stay", "write bus/events.jsonl half"),
)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.mutation)
def test_without_its_guard_a_death_does_harm(staged: Staged, control: Control) -> None:
    stage, rehearsal = staged(control.form, control.plot)
    mutated = rehearse(stage, control.plot, mutation=control.mutation)
    edges = [edge for edge in mutated.edges if control.at in edge.name]
    assert edges
    found: list[str] = []
    for edge in edges:
        found += violations(
            stage,
            control.plot,
            rehearsal.undisturbed,
            edge,
            machines=("one",),
            loss=control.loss,
            mutation=control.mutation,
        )
    assert found


def with_a_stranger(world: Stage) -> Iterator[str]:
    """What two writers must leave: the other one's contact, and the run's effect, announced for what is in the object."""
    live = world.bucket.stat(OBJECT)
    assert live is not None
    file = world.root / "bucket" / "org-data%2Facme.db" / f"{live.generation}.data"
    if rows_of(file, f"SELECT count(*) FROM contacts WHERE id = {STRANGER}") != [(1,)]:
        yield "what the other writer wrote is lost"
    tables = rows_of(file, "SELECT name FROM sqlite_schema WHERE name = 'scheduler_processed_events'")
    if not tables or rows_of(file, "SELECT count(*) FROM scheduler_processed_events") != [(1,)]:
        yield "the run's own effect is lost"


@pytest.mark.parametrize("mutation", [None, "no_generation_match", "any_upload_is_ours"])
def test_another_writer_in_the_middle_of_a_run(staged: Staged, mutation: str | None) -> None:
    stage, _ = staged(ROLLBACK, COLD)
    world = stage.copy_to(Path(f"{stage.root}-stranger"))
    try:
        edge = Edge("mkdir one/bucket/org-data%2Facme.db before", 1)
        world.done(crash=edge, trouble="another_writer", mutation=mutation)
        found = list(with_a_stranger(world))
    finally:
        shutil.rmtree(world.root)
    assert bool(found) is (mutation is not None), found


def judged(stage: Stage, undisturbed: Any, **given: Any) -> list[str]:
    world = stage.copy_to(Path(f"{stage.root}-trouble"))
    try:
        return list(recovered(world, undisturbed, machine="one", **given))
    finally:
        shutil.rmtree(world.root)


@pytest.mark.parametrize("mutation", [None, "no_checksum"])
def test_half_a_download(staged: Staged, mutation: str | None) -> None:
    stage, rehearsal = staged(ROLLBACK, COLD)
    trouble = {
        "crash": Edge("LocalBucket.resume_download after", 1),
        "trouble": "half_a_download",
        "mutation": mutation,
    }
    found = judged(stage, rehearsal.undisturbed, **trouble)
    assert bool(found) is (mutation is not None), found


@pytest.mark.parametrize("mutation", ["lazy_rsync", "lazy_rsync+trusting_rsync"])
def test_an_rsync_that_did_nothing_and_says_nothing(staged: Staged, mutation: str) -> None:
    stage, rehearsal = staged(ROLLBACK, STALE)
    found = judged(stage, rehearsal.undisturbed, mutation=mutation)
    assert bool(found) is ("trusting" in mutation), found


@pytest.mark.parametrize("mutation", [None, "sidecars_stay"])
def test_a_stale_journal_beside_the_mirror(staged: Staged, folder: Path, mutation: str | None) -> None:
    stage, rehearsal = staged(ROLLBACK, WARM)
    dirty = stage.copy_to(Path(f"{stage.root}-dirty"))
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        (dirty.root / "one" / "orgs" / "acme" / "mirror.db-journal").write_bytes(hot_journal(scratch))
        found = judged(replace(dirty), rehearsal.undisturbed, **WARM.case, mutation=mutation)
    finally:
        shutil.rmtree(dirty.root)
        shutil.rmtree(scratch)
    assert bool(found) is (mutation is not None), found


@pytest.mark.parametrize(
    ("mutation", "form", "edges"),
    [
        ("swapped_without_a_look_at_the_wal", "wal-left", "replace home/file.db after"),
        ("swapped_by_copying", "rollback", "write home/file.db half"),
    ],
)
def test_a_file_that_is_swapped_without_care(
    nursery: Nursery, folder: Path, mutation: str, form: str, edges: str
) -> None:
    home = Home(nursery, folder / f"home-{mutation}", form, None)
    world = home.copy("mutated")
    ended = home.run(world, mutation=mutation)
    deaths = [passed.edge for passed in ended.report.edges if edges in passed.edge.name]
    assert deaths
    assert [found for edge in deaths for found in home.violations_at(edge, "kill", mutation=mutation)]
