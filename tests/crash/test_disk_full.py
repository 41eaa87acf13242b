"""A full disk at every write: the message is not acknowledged, nothing is harmed, and with room again it has one effect.

``tmpfs`` of a few megabytes under the machine's folder, the embedded bucket or the bus, filled up to a little; where
mounting is not allowed, and beside it everywhere, a limit on the size of files (writes beyond it fail with EFBIG). The
look at the free space before a run is left out here: the disk fills up after it, by somebody else.

Sizes: ``CRASH_DISK_STEPS`` (default 8) free sizes per disk and plot; 160 are one for every page that a run writes.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from infra.disk_space import RESERVE_BYTES
from tests.acceptance.server_process import Server
from tests.command_line import spawn
from tests.crash.cases import Answer
from tests.crash.conftest import Staged
from tests.crash.judge import State, after_death, after_recovery
from tests.crash.small_disk import SmallDisk, can_mount, small_disk
from tests.crash.worlds import OBJECT, PLOTS, ROLLBACK, WAL, Form, Plot, Stage

STEPS: Final = int(os.environ.get("CRASH_DISK_STEPS", "8"))
PAGE: Final = 4096
CODES: Final = {"one/orgs": {"disk_full"}, "bucket": {"disk_full"}, "bus": {"bus_unreachable"}}
LIMIT_CODES: Final = {"disk_full", "sync_failed", "bucket_unreachable", "bus_unreachable"}
"""Of files that may not grow: SQLite and we see no ENOSPC; all of these say "come again"."""
PAGES_MAX: Final = {"one/orgs": 160, "bucket": 60, "bus": 3}
"""More free pages than a run needs there."""


class Full(NamedTuple):
    """How one attempt on a full disk ended."""

    first: Answer
    found: list[str]


@contextmanager
def copied(stage: Stage, name: str) -> Iterator[Stage]:
    world = stage.copy_to(Path(f"{stage.root}-{name}"))
    try:
        yield world
    finally:
        shutil.rmtree(world.root)


def attempt(world: Stage, plot: Plot, undisturbed: State, small: SmallDisk | None, **more: Any) -> Full:
    """One process without room and the same message to another one with room (or to the same one: ``again``)."""
    before = {info.generation for info in world.bucket.versions(OBJECT)}
    ended = world.run(**plot.case, **more)
    first = ended.report.answers[0]
    found = [] if (ended.signal, ended.code) == (0, 0) else [f"signal {ended.signal}, code {ended.code}"]
    if first.outcome not in {"retry", "done"} or first.acknowledged != (first.outcome == "done"):
        found.append(f"answered {first}")
    if not more.get("again"):
        touched = {info.generation for info in world.bucket.versions(OBJECT)} - before
        if touched and first.outcome != "done" and first.code != "bus_unreachable":
            found.append("the object was touched")
        found += after_death(world.root, acknowledged=first.acknowledged, undisturbed=undisturbed)
        if small is not None:
            small.free()
        ended = world.run(**{**plot.case, "hours_later": 1})
    if ended.answer.outcome != "done":
        found.append(f"with room: {ended.answer}")
    found += after_recovery(world.root, "one", undisturbed)
    return Full(first, [f"{first.code} {first.detail}: {sentence}" for sentence in found])


def free_pages(disk: str) -> list[int]:
    return sorted({round(step * PAGES_MAX[disk] / max(1, STEPS - 1)) for step in range(STEPS)})


@pytest.mark.parametrize("form", [ROLLBACK, WAL], ids=lambda form: form.name)
@pytest.mark.parametrize("disk", CODES)
def test_a_full_disk_is_answered_with_come_again_and_harms_nothing(staged: Staged, disk: str, form: Form) -> None:
    plot = PLOTS[0] if disk == "one/orgs" else PLOTS[1]
    stage, rehearsal = staged(form, plot)
    answers: Counter[str] = Counter()
    found: list[str] = []
    for number, pages in enumerate(free_pages(disk)):
        with copied(stage, "full") as world:
            if not can_mount():
                full = attempt(world, plot, rehearsal.undisturbed, None, file_bytes_max=pages * 512)
            else:
                with small_disk(world.root / disk) as room:
                    room.leave(pages * PAGE)
                    again = {"again": True, "room": str(room.ballast)} if number % 2 and disk != "bucket" else {}
                    full = attempt(world, plot, rehearsal.undisturbed, room, **again)
        answers[f"{full.first.code}: {full.first.detail}"] += 1
        found += [f"{pages} pages free: {sentence}" for sentence in full.found]
        if can_mount() and full.first.code not in {None, *CODES[disk]}:
            found.append(f"{pages} pages free: {full.first.code} {full.first.detail}")
    print(disk, form.name, dict(answers))  # noqa: T201
    assert found == [], "\n".join(found)
    assert answers.pop("None: None", 0) > 0
    assert answers


@pytest.mark.parametrize("form", [ROLLBACK, WAL], ids=lambda form: form.name)
def test_files_that_may_not_grow_harm_nothing(staged: Staged, form: Form) -> None:
    """The same without a disk of our own: every write beyond a size fails."""
    plot = PLOTS[0]
    stage, rehearsal = staged(form, plot)
    answers: Counter[str] = Counter()
    found: list[str] = []
    for step in range(1, STEPS + 1):
        limit = 120 * 1024 * step // STEPS
        with copied(stage, "limited") as world:
            full = attempt(
                world,
                plot,
                rehearsal.undisturbed,
                None,
                file_bytes_max=limit,
                again=bool(step % 2),
                env={"LEASE_SECONDS": "10"},
            )
        answers[f"{full.first.code}: {full.first.detail}"] += 1
        found += [f"limit {limit}: {sentence}" for sentence in full.found]
        if full.first.code not in {None, *LIMIT_CODES}:
            found.append(f"limit {limit}: {full.first.code} {full.first.detail}")
    print("limit", form.name, dict(answers))  # noqa: T201
    assert found == [], "\n".join(found)
    assert len(answers) > 1


def test_the_doors_say_come_again(staged: Staged) -> None:
    """503 of the server, exit 3 of the command line; then, with room, 204 for the same message."""
    stage, _ = staged(ROLLBACK, PLOTS[0])
    with copied(stage, "doors") as world:
        orgs = world.root / "one" / "orgs"
        if can_mount():
            with small_disk(orgs, 2 * RESERVE_BYTES) as room:
                room.leave(10 * PAGE)
                at_the_doors(world, room.free)
        else:
            orgs.write_text("no folder can be made here")
            at_the_doors(world, orgs.unlink)


def at_the_doors(world: Stage, make_room: Any) -> None:
    data_dir = world.root / "one"
    ran = spawn("run", "acme", "--json", env={"DATA_DIR": str(data_dir)})
    assert (ran.code, ran.error["retryable"]) == (3, True), ran
    server = Server(data_dir)
    server.start()
    try:
        assert server.push("m1", {"org_id": "acme"}).status == 503
        make_room()
        assert server.push("m1", {"org_id": "acme"}).status == 204
        assert server.push("m1", {"org_id": "acme"}).status == 204
        assert len(world.bucket.versions(OBJECT)) == 2
        assert len({attributes["ce-id"] for attributes, _ in server.events("run.completed")}) == 1
    finally:
        server.kill()
