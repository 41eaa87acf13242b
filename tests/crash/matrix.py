"""One cell of the matrix: a death at an edge, then the same message again."""

import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.crash.durable import Loss, lose_power
from tests.crash.edges import Edge, Passed
from tests.crash.judge import State, after_death, after_recovery, state_of
from tests.crash.worlds import Plot, Stage

_cells = count()


@dataclass(frozen=True)
class Rehearsal:
    """A run of the plot that nothing disturbed."""

    passed: list[Passed]
    undisturbed: State

    def distinct(self, which: str) -> list[Edge]:
        """Keep one edge of those that leave the same behind; all where a process outlives the death or an answer is out."""
        seen: set[str] = set()
        kept = []
        for edge, look in self.passed:
            assert look is not None
            digest = getattr(look, which)
            if digest not in seen or edge.name.startswith(("Popen", "answer")):
                kept.append(edge)
            seen.add(digest)
        return kept

    @property
    def edges(self) -> list[Edge]:
        return [passed.edge for passed in self.passed]


def rehearse(stage: Stage, plot: Plot, **more: Any) -> Rehearsal:
    """Play the message once, undisturbed, and look at every edge."""
    world = stage.copy_to(Path(f"{stage.root}-rehearsal"))
    shadow = Path(f"{world.root}.shadow")
    try:
        ended = world.run(looks=True, shadow=str(shadow), **{**plot.case, **more})
        assert (ended.signal, ended.code, ended.answer.outcome) == (0, 0, "done"), (
            ended.report.answers,
            world.nursery.log(),
        )
        return Rehearsal(ended.report.edges, state_of(world.root))
    finally:
        shutil.rmtree(world.root)
        shutil.rmtree(shadow)


def violations(
    stage: Stage,
    plot: Plot,
    undisturbed: State,
    edge: Edge,
    *,
    machines: Sequence[str] = ("one", "two"),
    loss: Loss | None = None,
    **more: Any,
) -> Iterator[str]:
    """Die at the edge, then have each of the machines, in a world of its own, repeat the message."""
    if edge.name.startswith("Popen") and len(machines) > 1:  # a process outlives the death: its world cannot be copied
        for machine in machines:
            yield from violations(stage, plot, undisturbed, edge, machines=(machine,), loss=loss, **more)
        return
    # Never the same name twice: an orphan of an earlier cell must not find a new world in the place of its own.
    world = stage.copy_to(Path(f"{stage.root}-cell-{next(_cells)}"))
    shadow = None if loss is None else Path(f"{world.root}.shadow")
    try:
        given = {**plot.case, **more}
        death = {
            "crash": edge,
            "shadow": None if shadow is None else str(shadow),
            "kill_all": loss is not None or machines == ("two",),
        }
        ended = world.run(**death, **given)
        if ended.signal != signal.SIGKILL:
            yield f"{edge}: never reached, {ended.report.answers}"
            return
        if shadow is not None and loss is not None:
            lose_power(shadow, loss)
        acknowledged = any(answer.acknowledged for answer in ended.report.answers)
        for found in after_death(world.root, acknowledged=acknowledged, undisturbed=undisturbed):
            yield f"{edge}, then dead: {found}"
        for machine in machines:
            later = world.copy_to(Path(f"{world.root}-{machine}")) if len(machines) > 1 else world
            for found in recovered(later, undisturbed, machine=machine, **given):
                yield f"{edge}, then {machine} again: {found}"
            shutil.rmtree(later.root)
    finally:
        for left in (world.root, shadow):
            if left is not None:
                shutil.rmtree(left, ignore_errors=True)


def recovered(world: Stage, undisturbed: State, **given: Any) -> Iterator[str]:
    """Repeat the message an hour later and judge."""
    ended = world.run(**{**given, "hours_later": given.get("hours_later", 0) + 1})
    if (ended.signal, ended.code) != (0, 0) or ended.answer.outcome != "done":
        yield f"signal {ended.signal}, code {ended.code}, {ended.report.answers}"
    yield from after_recovery(world.root, given["machine"], undisturbed)
