"""Watching a plan in the making: what explains a plan sees the very columns that the pipeline passes on."""

from typing import Literal, Protocol

from core.planning.columns import Int32
from core.planning.items import Items

Step = Literal["candidates", "smoothed", "caught_up", "owed", "balanced", "limited"]
"""After which step of docs/rules.md, section 0: 2, 3, 4, 5, 7 and 8. Step 6, follow-ups, has no items."""


class Watch(Protocol):
    """Sees a plan step by step and changes nothing; columns are the pipeline's own, to be read now and not kept."""

    def items(self, step: Step, items: Items) -> None:
        """All items as they are after a step."""
        ...

    def fixed_days(self, days: Int32) -> None:
        """One day per mail from today on that counts towards the daily cap and is not moved (R65)."""
        ...


class Unwatched:
    """Nobody looks: what a run uses."""

    def items(self, step: Step, items: Items) -> None:
        """See nothing."""

    def fixed_days(self, days: Int32) -> None:
        """See nothing."""
