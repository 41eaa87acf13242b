"""Records that are laid out alike: what a record's header says about its columns is worked out once per layout.

The millions of records of a schedule have some hundred layouts. Where every record has one of its own - names and
addresses are of all lengths - nothing is gained by numbering them, and each is looked at for itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.planning.columns import Int64, TextColumn, UInt8, UInt64, byte_masks, windows
from infra.btree_cells import SIZES, Cells, RecordColumns, record_columns
from infra.row_numbers import RowNumbers

Value = TypeVar("Value", bound=np.generic)

_WORD: Final = 8
_HIGH_BITS: Final = np.uint64(0x8080808080808080)
_ALL_BITS: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_LAYOUTS_MAX: Final = 4096
"""Beyond it the reader forgets them and begins anew."""


@dataclass(frozen=True, slots=True)
class Records:
    """Records of some leaves, and where their columns are."""

    cells: Cells
    layout: Int64 | None
    """Of each record; None where every record has a layout of its own."""
    columns: RecordColumns
    """Of the layouts."""

    @property
    def numbers(self) -> Int64:
        """The layout of each record."""
        return np.arange(len(self.cells.key)) if self.layout is None else self.layout

    def each(self, of_layout: NDArray[Value]) -> NDArray[Value]:
        """Return for each record what a table has for its layout."""
        return of_layout if self.layout is None else of_layout[self.layout]

    def some(self, rows: Int64, of_layout: NDArray[Value]) -> NDArray[Value]:
        """Return the same for some records."""
        return of_layout[rows if self.layout is None else self.layout[rows]]

    def start(self, column: int) -> Int64:
        """Return where the value of each record begins."""
        start: Int64 = self.cells.header_end + self.each(self.columns.bounds[column])
        return start

    def some_texts(self, column: int, rows: Int64) -> TextColumn:
        """Return the texts of some records."""
        start = self.cells.header_end[rows] + self.some(rows, self.columns.bounds[column])
        serial = self.some(rows, self.columns.serial[column])
        return TextColumn(self.cells.data, start, start + SIZES[serial], serial == 0)


class Layouts:
    """Numbers the layouts of a table's records."""

    def __init__(self, count: int) -> None:
        """Look at the first ``count`` columns."""
        self._count = count
        self._numbers = RowNumbers()
        self._columns = RecordColumns(np.zeros((count, 0), np.int16), np.zeros((count + 1, 0), np.int32))
        self._prefix = np.zeros((-(-(count + 1) // _WORD) * _WORD,), dtype=np.uint8)
        self._prefix[1 : count + 1] = 0xFF

    @property
    def is_full(self) -> bool:
        """Whether there are more layouts than are worth remembering."""
        return self._numbers.count > _LAYOUTS_MAX

    def of(self, cells: Cells, fits: Callable[[RecordColumns], bool]) -> Records | None:
        """Find the columns of records; None where ``fits`` says of a new layout that it is not understood.

        Then this object is of no more use.
        """
        layout, examples = self._numbers.number(self._headers(cells))
        if examples:
            new = record_columns(cells.take(np.array(examples)), self._count)
            if new is None or not fits(new):
                return None
            serial = np.concatenate((self._columns.serial, new.serial), axis=1)
            self._columns = RecordColumns(serial, np.concatenate((self._columns.bounds, new.bounds), axis=1))
        if bool((self._columns.bounds[-1][layout] > cells.room).any()):
            return None
        return Records(cells, layout, self._columns)

    def _headers(self, cells: Cells) -> UInt64:
        """Return a row of words for each record: equal rows say that all columns are in equal places.

        The serial types that are looked at, if each has one byte and no header is shorter; otherwise the whole headers.
        Their first byte is the length of the header, which is never 0: the two do not mix.
        """
        header_bytes = cells.header_end - cells.header
        if int(header_bytes.min()) > self._count:
            prefix = windows(cells.data, cells.header, len(self._prefix)).view(np.uint64)
            for word, kept in enumerate(self._prefix.view(np.uint64)):
                if kept != _ALL_BITS:
                    prefix[:, word] &= kept
            if not bool((prefix & _HIGH_BITS).any()):
                return prefix
        size = -(-max(int(header_bytes.max()), len(self._prefix)) // _WORD) * _WORD
        whole: UInt8 = windows(cells.data, cells.header, size)
        whole &= byte_masks(size).take(header_bytes, axis=0)
        return whole.view(np.uint64)


def records_one_by_one(cells: Cells, count: int, fits: Callable[[RecordColumns], bool]) -> Records | None:
    """Find the columns of records whose layouts are not worth numbering; None where one is not understood."""
    columns = record_columns(cells, count)
    return None if columns is None or not fits(columns) else Records(cells, None, columns)
