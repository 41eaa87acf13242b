"""Rows of words that take few distinct values, numbered as they come: a look at a table instead of sorting."""

from typing import Final

import numpy as np

from core.planning.columns import Int64, UInt64

_BUCKET_BITS: Final = 16
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
        self._bucket = np.zeros(1 << _BUCKET_BITS, dtype=np.int64)

    def number(self, table: UInt64) -> tuple[Int64, list[int]]:
        """Return the number of each row, and for each number that is new a row that has it.

        ``table`` is contiguous, and at least as wide as the ones before; missing words of those count as 0.
        """
        width = table.shape[1]
        if width > self._known.shape[1]:
            self._widen(width)
        digest = table @ _MULTIPLIERS[:width]
        number = self._bucket[(digest >> np.uint64(64 - _BUCKET_BITS)).view(np.int64)]
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
        numbers = []
        for row in rows.tolist():
            count = self.count
            number = self._by_bytes.setdefault(table[row].tobytes().rstrip(b"\0"), count)
            if number == count:
                self._add(table[row], digest[row])
                new.append(row)
            numbers.append(number)
        return np.array(numbers, dtype=np.int64)

    def _add(self, words: UInt64, digest: np.uint64) -> None:
        if self.count == len(self._known):
            self._known = np.concatenate((self._known, np.zeros_like(self._known)))
            self._digest = np.concatenate((self._digest, np.zeros_like(self._digest)))
        self._known[self.count] = words
        self._digest[self.count] = digest
        bucket = int(digest >> np.uint64(64 - _BUCKET_BITS))
        if not self._bucket[bucket]:
            self._bucket[bucket] = self.count
        self.count += 1

    def _widen(self, width: int) -> None:
        wider = np.zeros((len(self._known), width), dtype=np.uint64)
        wider[:, : self._known.shape[1]] = self._known
        self._known = wider
