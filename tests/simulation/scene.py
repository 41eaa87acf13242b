"""What happens in a world beside faults, and how a test asks for worlds of a kind."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType
from typing import Any, Final, TypeVar

from tests.simulation.faults import Rates
from tests.simulation.machines import Build

NO_FOCUS: Final[Mapping[str, Any]] = MappingProxyType({})
"""Worlds of every kind."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What happens in a world beside faults."""

    orgs: int
    letters: int
    spread_seconds: float
    """All messages arrive within this time."""
    duplicates: float
    acks_lost: float
    strangers: int
    vandals: int
    restarts: int
    crashes: int
    page_size_bytes: int
    wal: bool
    begins: str
    """``plain`` object, ``migrated`` object, or ``nothing``."""
    dated: bool
    """Some requests say for which day."""

    @classmethod
    def drawn(cls, chance: Random) -> "Scene":
        """A few messages are enough: what matters is when."""
        return cls(
            orgs=chance.choice((1, 1, 1, 2)),
            letters=chance.randint(3, 8),
            spread_seconds=chance.choice((0.0, 2.0, 120.0)),
            duplicates=chance.choice((0.0, 0.3, 0.6)),
            acks_lost=chance.choice((0.0, 0.2)),
            strangers=chance.choice((0, 0, 1, 3)),
            vandals=chance.choice((0, 0, 0, 0, 1)),
            restarts=chance.choice((0, 0, 1)),
            crashes=chance.choice((0, 0, 1, 2)),
            page_size_bytes=chance.choice((512, 1024, 4096)),
            wal=chance.random() < 0.25,
            begins=chance.choice(("plain", "migrated", "nothing")),
            dated=chance.random() < 0.3,
        )


T = TypeVar("T", Scene, Build, Rates)


def focused(drawn: T, focus: Mapping[str, Any]) -> T:
    """Set the fields that the focus names."""
    return replace(drawn, **{name: value for name, value in focus.items() if hasattr(drawn, name)})
