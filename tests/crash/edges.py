"""Step edges of a run: counted as they are reached, and a place to die (or to do something worse) at any of them."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple


class Edge(NamedTuple):
    """The n-th time (from 1) that a step of that name begins, is half done or has ended."""

    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.name} #{self.nth}"


class Look(NamedTuple):
    """Digests of what a death at this moment would leave. A recovery knows nothing else, so equal ones recover equally."""

    disk: str
    """All files of the world."""
    shared: str
    """What other machines see of it: bucket and bus."""
    durable: str
    """All files, and what of them was synced."""


class Passed(NamedTuple):
    """An edge of a dry run."""

    edge: Edge
    look: Look | None


class Edges:
    """Counts the edges of one process; at the chosen one ``action`` is done, once.

    Only the thread that installed them counts: what other threads do has no fixed order.
    """

    def __init__(
        self,
        chosen: Edge | None = None,
        action: Callable[[], None] | None = None,
        look: Callable[[], Look] | None = None,
    ) -> None:
        self.seen: list[Passed] = []
        self._look = look
        self._counts: Counter[str] = Counter()
        self._chosen = chosen
        self._action = action or die
        self._thread = threading.get_ident()
        self._acting = False

    def reach(self, name: str) -> None:
        """Pass an edge, or do not."""
        if self._acting or threading.get_ident() != self._thread:
            return
        self._counts[name] += 1
        edge = Edge(name, self._counts[name])
        self.seen.append(Passed(edge, self._look() if self._look else None))
        if edge == self._chosen:
            self._acting = True
            self._action()
            self._acting = False


def die() -> None:
    """Be gone, as by kill -9 or a machine that is taken away."""
    os.kill(os.getpid(), signal.SIGKILL)
