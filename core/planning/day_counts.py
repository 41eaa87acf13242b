"""How many mails lie on each day: histograms that need no second copy of their columns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from core.planning.columns import Bool, Int32, Int64, parts_of


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Mails per day, from a first day on."""

    first: int
    counts: Int64

    @classmethod
    def of(cls, days: Int32, chosen: Callable[[slice], Bool]) -> Self:
        """Count the days of a column that are chosen, part by part; the first and the last are of all."""
        first = int(days.min()) if len(days) else 0
        counts = np.zeros(int(days.max(initial=first)) - first + 2, dtype=np.int64)
        for part in parts_of(len(days)):
            place = days[part] - np.int32(first - 1)
            place *= chosen(part)
            found = np.bincount(place)
            counts[: len(found)] += found
        return cls(first, counts[1:])

    def on(self, days: Int32) -> Int64:
        """Return the mails on each day, of those that are counted."""
        return self.counts.take(days - np.int32(self.first))


def count_days(columns: Iterable[DayCounts]) -> Mapping[int, int]:
    """Return the mails per day number, days without mail left out, ascending; all days are real dates (R2)."""
    counts: dict[int, int] = {}
    for column in columns:
        for place in column.counts.nonzero()[0].tolist():
            day = column.first + place
            counts[day] = counts.get(day, 0) + int(column.counts[place])
    return dict(sorted(counts.items()))
