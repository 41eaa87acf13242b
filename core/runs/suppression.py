"""Which statuses keep an org from writing to a contact, and which one says that somebody unsubscribed (R24)."""

from collections.abc import Sequence

from core.runs.recovery import UNSUBSCRIBED, status_to_carry, suppressed_texts


class Suppression:
    """The suppressed statuses of the configuration in force, as questions about texts."""

    def __init__(self, statuses: Sequence[str]) -> None:
        self._statuses = tuple(statuses)
        self._known: dict[str, bool] = {}
        self.word = status_to_carry(UNSUBSCRIBED, self._statuses)
        """What the status of somebody becomes who wants no mail."""

    @property
    def suppresses_nothing(self) -> bool:
        """The configuration knows no such status: a contact who unsubscribed cannot be told from another."""
        return not self._statuses

    def covers(self, status: str) -> bool:
        """Whether a contact of this status is not written to."""
        if status not in self._known:
            self._known[status] = bool(suppressed_texts([status], self._statuses))
        return self._known[status]

    def kept(self, status: str) -> str:
        """Return the status of a contact who wants no mail and whose status is said to be this."""
        return status if self.covers(status) else self.word

    def lifted(self, status: str) -> str:
        """Return the status after a resubscribe: only what an unsubscribe says is taken back."""
        return "" if status.strip().lower() in {UNSUBSCRIBED, self.word.strip().lower()} else status
