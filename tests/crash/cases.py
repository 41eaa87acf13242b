"""What a child is asked to do, and what it says at its end (if it gets so far)."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from tests.crash.edges import Edge, Passed

Job = Literal["run", "schedule"]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One process: a machine that gets one message, or a command on a file."""

    root: str
    """The world: everything in it may be looked at, and lost."""
    report: str
    """Where to leave a Report: outside of the world."""
    job: Job = "run"
    machine: str = "one"
    temporary: str | None = None
    """Where ``schedule`` makes its private copy; None: in the world, on the file's own disk."""
    message: str = "m1"
    create: bool = False
    config: dict[str, Any] = {}
    """Keys to set by the message (config.changed); empty: run.requested."""
    hours_later: int = 0
    """By the bucket's clock: what a dead machine held has expired."""
    crash: Edge | None = None
    shadow: str | None = None
    """Where to note what was synced: the death is then a loss of power."""
    mutation: str | None = None
    """A guard to take away: a name in ``mutations``."""
    kill_after_seconds: float | None = None
    """Death at a moment instead of an edge, by the parent's hand."""
    kill_all: bool = False
    """The whole machine dies: sqlite3_rsync too, which otherwise outlives its parent."""
    trouble: str | None = None
    """What happens at the edge instead of death: a name in ``troubles``."""
    file_bytes_max: int | None = None
    """RLIMIT_FSIZE: a write beyond it fails, as on a full disk."""
    again: bool = False
    """After a failure, make room (``room`` is removed, the limit is lifted) and give the same process the message again."""
    room: str | None = None
    looks: bool = False
    """Digest the world at every edge."""
    env: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender was told."""

    outcome: str
    acknowledged: bool
    code: str | None = None
    detail: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a child wrote down: its answers so far, and at its end the edges that it passed."""

    answers: list[Answer] = []
    edges: list[Passed] = []


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a child ended."""

    signal: int = 0
    code: int = 0
    report: Report = Report()

    @property
    def answer(self) -> Answer:
        """The last answer; there must be one."""
        return self.report.answers[-1]


def read_report(file: str) -> Report:
    try:
        return msgspec.json.decode(Path(file).read_bytes(), type=Report)
    except FileNotFoundError:
        return Report()
