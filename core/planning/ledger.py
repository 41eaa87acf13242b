"""The books of a plan: every candidate that is looked at becomes a row or is not due, and the numbers must add up."""

from collections import Counter
from typing import TypeVar

import numpy as np

from core.planning.columns import Bool, Int32, Int64

Row = TypeVar("Row", Int64, Int32)


class ConservationError(Exception):
    """The candidates of a run do not add up: a mail was lost or doubled inside the planner."""

    def __init__(self, considered: int, not_due: int, rows: int) -> None:
        self.considered = considered
        self.not_due = not_due
        self.rows = rows
        super().__init__(f"{considered} candidates, but {rows} rows and {not_due} not due")


class Ledger:
    """Counts candidates where they are found and where they leave; one per plan."""

    def __init__(self) -> None:
        self.considered: Counter[str] = Counter()
        self.not_due: Counter[str] = Counter()

    def consider(self, source: str, count: int) -> None:
        """Enter candidates of a source."""
        self.considered[source] += count

    def leave(self, cause: str, gone: Bool) -> None:
        """Enter candidates that are nobody's turn yet, or any more."""
        if count := int(np.count_nonzero(gone)):
            self.not_due[cause] += count

    def without(self, cause: str, gone: Bool, contact: Row, days: Int32) -> tuple[Row, Int32]:
        """Enter candidates that leave for a cause; return those that are left, by contact and day."""
        if count := int(np.count_nonzero(gone)):
            self.not_due[cause] += count
            rows = (~gone).nonzero()[0]
            return contact.take(rows), days.take(rows)
        return contact, days

    def balance(self, rows: int) -> None:
        """Compare with the rows that came out; raises ConservationError unless every candidate is accounted for."""
        if self.considered.total() != self.not_due.total() + rows:
            raise ConservationError(self.considered.total(), self.not_due.total(), rows)
