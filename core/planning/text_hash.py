"""Hashes of texts in columns, for digests (R96)."""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np

from core.planning.columns import Int64, TextColumn, UInt8, UInt64, byte_masks
from core.planning.hashing import mix64
from core.planning.text import heads, lengths

_HASH_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_NULL: Final = np.uint64(0x6E756C6C)
_WINDOW: Final = 64
_ROWS: Final = 1 << 14
_SHORT: Final = 32
_LONG_SHARE: Final = 0.05
"""Values that are longer than the others are hashed byte by byte: it costs several times as much, for few."""


def hash_values(column: TextColumn) -> UInt64:
    """Return a 64-bit hash of each value's bytes; NULL differs from empty. Used by digests (R96), never for identity."""
    out = np.zeros(len(column), dtype=np.uint64)
    for first in range(0, len(column), _ROWS):
        part = slice(first, first + _ROWS)
        out[part] = _hash_part(TextColumn(column.data, column.start[part], column.end[part], column.null[part]))
    out[column.null] = _NULL
    return out


def hash_columns(columns: Sequence[TextColumn]) -> list[UInt64]:
    """Return ``hash_values`` of each of several columns of equal length: few rows of one block are one column for it."""
    data, count = columns[0].data, len(columns[0])
    if count * len(columns) > _ROWS or any(column.data is not data for column in columns):
        return [hash_values(column) for column in columns]
    start, end, null = (
        np.concatenate(parts) for parts in zip(*((c.start, c.end, c.null) for c in columns), strict=True)
    )
    return list(hash_values(TextColumn(data, start, end, null)).reshape(len(columns), count))


def _hash_part(column: TextColumn) -> UInt64:
    size = lengths(column)
    usual = _usual_length(size)
    out = _hash_heads(column, usual)
    long = np.flatnonzero(size > usual)
    if len(long):
        out[long] = _hash_bytes(column.data, column.start[long], column.end[long])
    return out


def _usual_length(size: Int64) -> int:
    """Return a length that few values exceed, and none where all are short."""
    longest = int(size.max(initial=0))
    if longest <= _SHORT:
        return longest
    up_to = np.cumsum(np.bincount(np.minimum(size, _WINDOW + 1)))
    return min(int(np.searchsorted(up_to, len(size) * (1 - _LONG_SHARE))), _WINDOW)


def _hash_heads(column: TextColumn, count: int) -> UInt64:
    """Hash values of up to ``count`` bytes, one place after the other; of longer ones the result means nothing."""
    size = np.minimum(lengths(column), count)
    weights, sums = _weights()
    total = sums[size]
    if count:
        window = -(-count // 8) * 8
        head = heads(column, window)
        head &= _masks(window).take(size, axis=0)
        total += head[:, :count] @ weights[:count]
    return mix64(total + size.astype(np.uint64) * _HASH_STEP)


@cache
def _masks(window: int) -> UInt8:
    return byte_masks(window)


@cache
def _weights() -> tuple[UInt64, UInt64]:
    """Return the weight of every place in a window, and the sum of the weights before it."""
    weights = mix64((np.arange(_WINDOW, dtype=np.uint64) + np.uint64(1)) * _HASH_STEP)
    return weights, np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(weights, dtype=np.uint64)))


def _hash_bytes(data: UInt8, start: Int64, end: Int64) -> UInt64:
    size = end - start
    total = int(size.sum())
    first = np.cumsum(size) - size
    position = np.arange(total, dtype=np.int64) - np.repeat(first, size)
    weights = mix64((np.arange(int(size.max(initial=0)), dtype=np.uint64) + np.uint64(1)) * _HASH_STEP)
    terms = (data[np.repeat(start, size) + position].astype(np.uint64) + np.uint64(1)) * weights[position]
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)))
    return mix64(sums[first + size] - sums[first] + size.astype(np.uint64) * _HASH_STEP)
