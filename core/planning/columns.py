"""Column types shared by the planner and by whoever fills a snapshot.

Text travels as one block of UTF-8 bytes with offsets, never as a list of Python strings: three million e-mail addresses
are judged with a few dozen vector operations and without an object per contact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int16 = NDArray[np.int16]
Int8 = NDArray[np.int8]
UInt64 = NDArray[np.uint64]
UInt32 = NDArray[np.uint32]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

NULL_ID: Final = -(2**63)
"""SQL NULL in an id column (campaign_instance_id, parent_schedule_id)."""

NO_DAY: Final = -(2**31)
"""No date: NULL, blank or unusable text in a column of day numbers (R2)."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A column of text: value ``i`` is ``data[start[i]:end[i]]``, absent where ``null[i]``.

    ``data`` is uint8 of any length (UTF-8 as SQLite stores it, not validated); ``start`` and ``end`` are int64, one per
    row, ``start <= end``; a null row has ``start == end``. Values may be adjacent, separated, or overlap.
    """

    data: UInt8
    start: Int64
    end: Int64
    null: Bool

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def of(cls, values: Sequence[str | bytes | None]) -> Self:
        """Build a column from Python values, one by one: the slow path of a reader, and tests."""
        raw = [b"" if v is None else v.encode("utf-8", "surrogatepass") if isinstance(v, str) else v for v in values]
        lengths = np.fromiter(map(len, raw), dtype=np.int64, count=len(raw))
        end = np.cumsum(lengths)
        null = np.fromiter([v is None for v in values], dtype=np.bool_, count=len(raw))
        return cls(np.frombuffer(b"".join(raw), dtype=np.uint8), end - lengths, end, null)

    def take(self, rows: Int64 | Bool) -> "TextColumn":
        """Return the column of some rows; the bytes are shared, not copied."""
        return TextColumn(self.data, self.start[rows], self.end[rows], self.null[rows])

    def value(self, row: int) -> str | None:
        """Return one value as a Python string (bytes that are no UTF-8 become U+FFFD)."""
        if self.null[row]:
            return None
        return bytes(self.data[self.start[row] : self.end[row]]).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class SomeTexts:
    """A column of text that few rows have: ``texts`` are those of ``rows``, ascending; the others are NULL."""

    rows: Int64
    texts: TextColumn

    @classmethod
    def of(cls, column: TextColumn) -> Self:
        """Leave out the NULLs of a column."""
        rows = np.flatnonzero(~column.null)
        return cls(rows, column.take(rows))


def windows(data: UInt8, start: Int64, size_bytes: int) -> UInt8:
    """Return the bytes from each place on, as a table of ``size_bytes`` columns; every place has that many.

    Measured: fetching 64 bytes from a place costs what fetching one costs, and everything after that is arithmetic on
    columns. Where values are looked at byte by byte, fetch them so.
    """
    places: NDArray[np.void] = np.ndarray(
        (len(data) - size_bytes + 1,), dtype=f"V{size_bytes}", buffer=data.data, strides=(1,)
    )
    return places[start].view(np.uint8).reshape(len(start), size_bytes)


def byte_masks(size_bytes: int) -> UInt8:
    """Return the masks that keep the first 0, 1, 2 ... ``size_bytes`` bytes of a window, one a row."""
    return (np.arange(size_bytes) < np.arange(size_bytes + 1)[:, np.newaxis]).astype(np.uint8) * np.uint8(255)


_PART_ROWS: Final = 1 << 16


def parts_of(count: int) -> Iterator[slice]:
    """Cut a long column into parts whose intermediate columns stay in the processor's cache (R98).

    A column of millions of rows that is thrown away at once costs more to get from the system than to fill.
    """
    return (slice(first, min(first + _PART_ROWS, count)) for first in range(0, count, _PART_ROWS))
