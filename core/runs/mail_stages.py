"""The order of the sender's statuses: reports arrive in any order, and a mail never goes back."""

from typing import Final

from core.planning.rules import OWNED_STATUSES

STAGES: Final = (
    "scheduled", "processing", "accepted", "deferred", "cancelled", "dropped", "sent", "failed", "delivered", "bounced",
)  # fmt: skip
"""From the claim to the end; of two reports about one mail the one later in this list stands, whichever came first.

What did not leave (cancelled, dropped) gives way to the news that it did. A mail that failed may be repeated by the sender
and be delivered; one that was delivered may still come back.
"""


def stage_of(status: str) -> int:
    """Return how far a mail is: -1 for a row that is ours; a word that we do not know lies just after sent."""
    if status in OWNED_STATUSES:
        return -1
    if status in STAGES:
        return 2 * STAGES.index(status)
    return 2 * STAGES.index("sent") + 1
