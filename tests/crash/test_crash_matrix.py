"""A death at every step edge of a run, then the same message again: one effect, under one id, and nothing torn.

The edges are those of a dry run (``hooks``): no list is kept by hand. A recovery sees files and nothing else, so of edges
that leave the same files behind one is tried: by all files where the same machine comes again, by bucket and bus where
another one does.

Sizes: ``CRASH_EVERY_EDGE=1`` tries every edge of every plot, form and kind of death with both machines;
``CRASH_SAMPLE=n`` (default 12) has the plots beside the first one try every n-th distinct edge, ``CRASH_SAMPLE=1`` all.
"""

import os
from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple

import pytest

from tests.crash.conftest import Staged
from tests.crash.durable import Loss
from tests.crash.edges import Edge
from tests.crash.matrix import Rehearsal, violations
from tests.crash.worlds import COLD, PLOTS, ROLLBACK, WAL, WIDE, Form, Plot

EVERY_EDGE: Final = os.environ.get("CRASH_EVERY_EDGE") == "1"
SAMPLE: Final = 1 if EVERY_EDGE else int(os.environ.get("CRASH_SAMPLE", "12"))
SHARDS: Final = 40 if EVERY_EDGE else 2
"""Parts of a plot: for the workers of pytest-xdist, and below the time limit of a test."""
KINDS: Final[dict[str, Loss | None]] = {"kill": None, "contents-lost": "contents", "names-lost": "names"}


KINDS_OF_RUN: Final = (
    list(product(PLOTS, (ROLLBACK, WAL, WIDE)))
    if SAMPLE == 1
    else [(COLD, WIDE), (PLOTS[1], WAL), *((plot, ROLLBACK) for plot in PLOTS[2:])]
)


class Cells(NamedTuple):
    """Edges of one plot, and who comes again after each."""

    plan: dict[Edge, tuple[str, ...]]


def cells(rehearsal: Rehearsal, kind: str, sample: int) -> Cells:
    if EVERY_EDGE:
        return Cells(dict.fromkeys(rehearsal.edges, ("one", "two")))
    same = rehearsal.distinct("disk" if kind == "kill" else "durable")[::sample]
    another = rehearsal.distinct("shared")[::sample] if kind == "kill" else []
    machines = {
        edge: tuple(m for m, edges in (("one", same), ("two", another)) if edge in edges) for edge in rehearsal.edges
    }
    return Cells({edge: who for edge, who in machines.items() if who})


def assert_holds(
    staged: Staged, form: Form, plot: Plot, kind: str, sample: int, part: tuple[int, int] = (0, 1)
) -> None:
    """Try one part of the cells."""
    stage, rehearsal = staged(form, plot)
    shard, shards = part
    plan = list(cells(rehearsal, kind, sample).plan.items())[shard::shards]
    found: list[str] = []
    for edge, machines in plan:
        found += violations(stage, plot, rehearsal.undisturbed, edge, machines=machines, loss=KINDS[kind])
    print(f"{form.name} {plot.name} {kind}: {len(rehearsal.edges)} edges, {len(plan)} deaths here")  # noqa: T201
    assert found == [], explain(found)


def explain(found: Sequence[str]) -> str:
    return f"{len(found)} violations:\n" + "\n".join(found[:20])


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("form", [ROLLBACK, WAL], ids=lambda form: form.name)
def test_a_run_killed_at_any_edge_and_its_repetition_are_one_run(staged: Staged, form: Form, shard: int) -> None:
    assert_holds(staged, form, COLD, "kill", 1, (shard, SHARDS))


@pytest.mark.parametrize("shard", range(SHARDS if EVERY_EDGE else 1))
@pytest.mark.parametrize(("plot", "form"), KINDS_OF_RUN, ids=lambda part: part.name)
def test_every_kind_of_run_survives_a_kill(staged: Staged, plot: Plot, form: Form, shard: int) -> None:
    assert_holds(staged, form, plot, "kill", SAMPLE, (shard, SHARDS if EVERY_EDGE else 1))


@pytest.mark.parametrize("shard", range(SHARDS if EVERY_EDGE else 1))
@pytest.mark.parametrize("kind", [kind for kind, loss in KINDS.items() if loss])
@pytest.mark.parametrize("plot", PLOTS if EVERY_EDGE else PLOTS[1:3], ids=lambda plot: plot.name)
def test_a_loss_of_power_is_survived_too(staged: Staged, plot: Plot, kind: str, shard: int) -> None:
    """A run syncs contents before names and names before it goes on (``durable`` takes away all else)."""
    assert_holds(staged, WAL if plot is COLD else ROLLBACK, plot, kind, SAMPLE, (shard, SHARDS if EVERY_EDGE else 1))


def test_the_dry_run_finds_the_edges_that_matter(staged: Staged) -> None:
    """The hooks are in place: a matrix without its edges would be green for nothing."""
    names = {edge.name for edge in staged(ROLLBACK, COLD)[1].edges}
    for step in (
        "LocalBucket.stat before",
        "LocalBucket.resume_download after",
        "LocalBucket.upload after",
        "LocalBucket.delete before",
        "LocalBucket.write after",
        "Rsync.copy before",
        "Popen started",
        "apsw COMMIT after",
        "sqlite3 COMMIT before",
        "LocalBus.publish after",
        "replace one/orgs/acme/mirror.db after",
        "replace one/bucket/org-data%2Facme.db/live.json before",
        "fsync one/orgs/acme/mirror.json.tmp before",
        "write bus/events.jsonl half",
        "answer before",
    ):
        assert step in names
