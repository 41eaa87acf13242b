"""How many mails lie on each day: histograms that need no second copy of their columns."""

from collections.abc import Callable, Mapping, Sequence
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


def count_days(columns: Sequence[DayCounts]) -> Mapping[int, int]:
    """Return the mails per day number, days without mail left out, ascending; all days are real dates (R2)."""
    filled = [column for column in columns if column.counts.any()]
    if not filled:
        return {}
    first = min(column.first for column in filled)
    total = np.zeros(max(column.first + len(column.counts) for column in filled) - first, dtype=np.int64)
    for column in filled:
        total[column.first - first :][: len(column.counts)] += column.counts
    days = total.nonzero()[0]
    return dict(zip((days + first).tolist(), total.take(days).tolist(), strict=True))
