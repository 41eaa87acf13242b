"""Rows of words that take few distinct values, numbered as they come: a look at a table instead of sorting."""

from typing import Final

import numpy as np

from core.planning.columns import Int64, UInt64

_FEW_BUCKETS_BITS: Final = 12
_BUCKETS_BITS: Final = 17
_ROWS_PER_BUCKETS: Final = 64
"""More buckets than rows, so that few rows share one: as many as that times the rows, while there is room."""
_WORDS_MAX: Final = 128
_FIRST_ROOM: Final = 256
_MULTIPLIERS: Final = np.random.default_rng(0x5C4ED01E).integers(0, 2**63, _WORDS_MAX, dtype=np.uint64) * np.uint64(
    2
) + np.uint64(1)
"""Odd, so that every bit of a word counts; which ones they are changes no result."""


class RowNumbers:
    """Numbers distinct rows from 0 on in the order of their coming; a row has one number for good.

    A row is looked for where its digest says, and is the row found there only if all words are equal.
    """

    def __init__(self) -> None:
        self.count = 0
        self._known = np.zeros((_FIRST_ROOM, 1), dtype=np.uint64)
        self._digest = np.zeros(_FIRST_ROOM, dtype=np.uint64)
        self._by_bytes: dict[bytes, int] = {}
        self._bits = np.uint64(_FEW_BUCKETS_BITS)
        self._bucket = np.zeros(1 << _FEW_BUCKETS_BITS, dtype=np.int64)

    def number(self, table: UInt64) -> tuple[Int64, list[int]]:
        """Return the number of each row, and for each number that is new a row that has it.

        ``table`` is contiguous; the words that a narrower one lacks count as 0.
        """
        width = max(table.shape[1], self._known.shape[1])
        table, self._known = _widened(table, width), _widened(self._known, width)
        digest = table @ _MULTIPLIERS[:width]
        number = self._bucket[self._bucket_of(digest)]
        other = self._digest[number] != digest
        if not self.count:
            other[:] = True
        new: list[int] = []
        if bool(other.any()):  # new, or in a bucket of another's
            rows = other.nonzero()[0]
            _, first, inverse = np.unique(digest[rows], return_index=True, return_inverse=True)
            number[rows] = self._looked_up(table, rows[first], digest, new)[inverse]
        differs = self._known.take(number, axis=0) != table
        if bool(differs.any()):  # equal digests of different words
            rows = differs.any(axis=1).nonzero()[0]
            number[rows] = self._looked_up(table, rows, digest, new)
        return number, new

    def _looked_up(self, table: UInt64, rows: Int64, digest: UInt64, new: list[int]) -> Int64:
        """Return the numbers of rows, one by one; those that had none are added to ``new``."""
        words = table[rows]
        raw, size = words.tobytes(), words.shape[1] * words.itemsize
        numbers, first = [], len(new)
        for place, row in enumerate(rows.tolist()):
            count = len(self._by_bytes)
            number = self._by_bytes.setdefault(raw[place * size : (place + 1) * size].rstrip(b"\0"), count)
            if number == count:
                new.append(row)
            numbers.append(number)
        self._add(table[new[first:]], digest[new[first:]])
        return np.array(numbers, dtype=np.int64)

    def _add(self, words: UInt64, digest: UInt64) -> None:
        """Remember rows; a bucket that several want is that of the first."""
        first, self.count = self.count, self.count + len(words)
        if self.count > len(self._known):
            room = np.zeros((2 * self.count, words.shape[1]), dtype=np.uint64)
            room[:first] = self._known[:first]
            self._known, self._digest = room, np.concatenate((self._digest[:first], room[first:, 0]))
        self._known[first : self.count] = words
        self._digest[first : self.count] = digest
        bits = min(_BUCKETS_BITS, (_ROWS_PER_BUCKETS * self.count).bit_length())
        if bits > self._bits:
            self._bits, self._bucket, first = np.uint64(bits), np.zeros(1 << bits, dtype=np.int64), 0
        bucket = self._bucket_of(self._digest[first : self.count])
        free = self._bucket[bucket] == 0
        self._bucket[bucket[free][::-1]] = np.arange(first, self.count)[free][::-1]

    def _bucket_of(self, digest: UInt64) -> Int64:
        return (digest >> (np.uint64(64) - self._bits)).view(np.int64)


def _widened(table: UInt64, width: int) -> UInt64:
    if table.shape[1] == width:
        return table
    wider = np.zeros((len(table), width), dtype=np.uint64)
    wider[:, : table.shape[1]] = table
    return wider
