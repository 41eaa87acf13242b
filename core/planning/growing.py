"""A column that grows by chunks and is never held twice with all others."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.planning.columns import Bool, Int8, Int16, Int32, Int64, UInt8

Column = TypeVar("Column", Int64, Int32, Int16, Int8, UInt8, Bool, Int32 | Int64, Int16 | Int32)

_ROWS_MIN = 1 << 16
_FEW_ROWS = 1 << 13
"""A column that is not longer gets no more room than it needs: fetching pages costs a small org more than copying."""


class Growing(Generic[Column]):
    """Appends to a column; room that is not filled yet costs no memory.

    A list of chunks that is joined at the end would be held twice, and would leave the heap full of holes: the memory
    of small arrays is not given back, and large ones are not put into it.
    """

    def __init__(self, first: Column) -> None:
        self._values: NDArray[np.generic] = first
        self._count = len(first)

    def add(self, values: Column, dtype: type[np.generic] | None = None) -> None:
        """Append values, which are known to fit into ``dtype``; a wider type than before widens the column."""
        wider = np.promote_types(self._values.dtype, values.dtype if dtype is None else dtype)
        needed = self._count + len(values)
        if needed > len(self._values) or wider != self._values.dtype:
            room = max(needed, 2 * len(self._values), _ROWS_MIN if needed > _FEW_ROWS else 0)
            larger = np.empty(room, dtype=wider)
            larger[: self._count] = self._values[: self._count]
            self._values = larger
        self._values[self._count : needed] = values
        self._count = needed

    def column(self) -> Column:
        """Return what was appended."""
        return self._values[: self._count]  # type: ignore[return-value] # of the type of what was appended
