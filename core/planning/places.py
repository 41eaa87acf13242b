"""Where contacts stand in an ascending list of ids."""

from typing import Final

import numpy as np

from core.planning.columns import Int32, Int64

_NONE: Final = np.int32(-1)
GAPS_MAX: Final = 4
"""Ids this many times as far apart as they could be are still looked up in a table."""


class ContactPlaces:
    """Finds the places of many ids; -1 for ids that are not in the list. A table, unless most ids are missing."""

    def __init__(self, ids: Int64) -> None:
        self._ids = ids
        self._low = int(ids[0]) if len(ids) else 0
        span = int(ids[-1]) - self._low + 1 if len(ids) else 0
        self._table = np.full(span + 2, _NONE, dtype=np.int32) if span <= GAPS_MAX * len(ids) else None
        if self._table is not None:
            self._table[1:][ids - self._low] = np.arange(len(ids), dtype=np.int32)

    def of(self, contact_id: Int64) -> Int32:
        """Return the place of each contact."""
        if self._table is not None:
            place = contact_id - self._low
            place += 1
            return self._table.take(place, mode="clip")  # nobody is at either end
        found = np.minimum(self._ids.searchsorted(contact_id), len(self._ids) - 1).astype(np.int32)
        return np.where(self._ids.take(found) == contact_id, found, _NONE)
