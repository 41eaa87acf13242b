"""What applying the events of a run came to: for the plan that follows, and for its completion."""

from dataclasses import dataclass, field
from typing import Final

from core.planning import digest
from core.planning.columns import UInt64
from events.payloads import EventClaims, ItemCounts, ItemsRejected


@dataclass(frozen=True, slots=True)
class Applied:
    """What the events of a run changed, and what they are told (EventClaims and ItemsRejected, by event)."""

    written: bool
    """The working copy was written to, or something was told that must not be told otherwise: this run commits (R93)."""
    counts: ItemCounts = field(default_factory=ItemCounts)
    claims: tuple[EventClaims, ...] = ()
    rejected: tuple[ItemsRejected, ...] = ()
    taken: UInt64 = field(default_factory=digest.zero)
    """Digest of the owned rows that reports took out of our hands: they belong to the schedule before the run (R96)."""
    parked_before: str | None = None
    """Parked items of before this moment (UTC) have expired: whoever commits removes them. None: nothing to remove."""
    warnings: tuple[str, ...] = ()
    """Codes for an operator."""


NOTHING_APPLIED: Final = Applied(written=False)
