"""The port of traces, and the tracer of those whom nobody looks at."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from events.types import OrgId


class Tracer(Protocol):
    """Where a run says how long each of its rooms took: spans of one trace, with ids and codes only."""

    def span(
        self, name: str, *, org_id: OrgId | None = None, parent: str | None = None
    ) -> AbstractContextManager[None]:
        """Time a block; a span inside it belongs to it. ``parent``: traceparent of whoever asked for it, outside of us.

        An OrgError that leaves the block is recorded by its code.
        """
        ...

    def past(self, name: str, seconds: float) -> None:
        """Add a span that has just ended elsewhere, in another process."""
        ...

    def traceparent(self) -> str | None:
        """W3C trace context of the current span, None outside of any."""
        ...


class NoTracer:
    """Nobody looks."""

    def span(
        self, name: str, *, org_id: OrgId | None = None, parent: str | None = None
    ) -> AbstractContextManager[None]:
        """Time nothing."""
        del name, org_id, parent
        return nullcontext()

    def past(self, name: str, seconds: float) -> None:
        """Forget it."""

    def traceparent(self) -> str | None:
        """Be part of no trace."""
        return None
