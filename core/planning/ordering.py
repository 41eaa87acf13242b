"""One integer per row that orders and identifies like a tuple of columns: exact, never a hash."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from core.planning.columns import Bool, Int8, Int16, Int32, Int64, parts_of

IntColumn: TypeAlias = Int8 | Int16 | Int32 | Int64

_LIMIT: Final = 2**62
_FEW: Final = 1 << 12
_DAY_BITS: Final = 32
_DAY_OFFSET: Final = 2**31


def pair_key(contact: Int64 | Int32, day: Int32) -> Int64:
    """Return int64 keys that compare like (contact, day); contact is a row number, day any day number."""
    key = contact.astype(np.int64)
    key <<= _DAY_BITS
    key += day
    key += _DAY_OFFSET
    return key


def contact_of(key: Int64) -> Int32:
    """Return the contact of each pair key."""
    contacts: Int32 = (key >> _DAY_BITS).astype(np.int32)
    return contacts


def day_of(key: Int64) -> Int32:
    """Return the day of each pair key."""
    days: Int32 = ((key & (2**_DAY_BITS - 1)) - _DAY_OFFSET).astype(np.int32)
    return days


def is_in(wanted: Int64 | Int32, ascending: Int64 | Int32) -> Bool:
    """Return whether each value is one of some ascending ones."""
    if not len(ascending):
        return np.zeros(len(wanted), dtype=np.bool_)
    found: Bool = ascending.take(ascending.searchsorted(wanted), mode="clip") == wanted
    return found


def is_first(ascending: Int64 | Int32) -> Bool:
    """Return whether each of some ascending values is the first of its equals."""
    first = np.ones(len(ascending), dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    return first


def stable_order(key: Int64, *, overwrite: bool = False) -> Int64:
    """Return the places of keys in ascending order, equal ones as they come: ``argsort``, several times as fast for many.

    A key with its place in its low bits is sorted as a value, where there is room for both. ``overwrite``: the keys are
    not wanted afterwards, and need no second column.
    """
    bits = len(key).bit_length()
    if len(key) < _FEW or not _fits(key, 62 - bits):
        return key.argsort(kind="stable")
    placed = np.left_shift(key, bits, out=key if overwrite else None)
    for part in parts_of(len(key)):
        placed[part] |= np.arange(part.start, part.stop)
    placed.sort()
    placed &= (1 << bits) - 1
    return placed


def _fits(key: Int64, bits: int) -> bool:
    return -(1 << bits) <= int(key.min()) and int(key.max()) < 1 << bits


def dense_key(columns: Sequence[IntColumn]) -> Int64:
    """Return int64 keys that compare like the tuples of the columns, the first column first."""
    return dense_keys([columns])[0]


def dense_keys(tables: Sequence[Sequence[IntColumn]]) -> list[Int64]:
    """Return keys for several tables with the same columns, comparable across all of them.

    The tables are never put together (R98): a key is built up column by column, in place. Only where the ranges of the
    columns do not fit into 62 bits are values replaced by their ranks, which needs a look at all of them at once.
    """
    keys = [np.zeros(len(table[0]), dtype=np.int64) for table in tables]
    span = 1
    for column in range(len(tables[0])):
        parts: list[IntColumn] = [table[column] for table in tables]
        low, size = _range(parts)
        if size > 1 and span > _LIMIT // size:
            span = _rank(keys)
        if size > 1 and span > _LIMIT // size:
            ranked = [part.astype(np.int64) for part in parts]
            low, size = 0, _rank(ranked)
            parts = [*ranked]
        if size > 1:
            for number, part in enumerate(parts):
                keys[number] *= size
                keys[number] += part
                keys[number] -= low
            span *= size
    return keys


def _range(parts: Sequence[IntColumn]) -> tuple[int, int]:
    """Return the least value of all parts and the number of values up to the greatest."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return 0, 1
    low = min(int(part.min()) for part in filled)
    return low, max(int(part.max()) for part in filled) - low + 1


def _rank(parts: Sequence[Int64]) -> int:
    """Replace the values of all parts, in place, by their ranks among all of them; return how many there are."""
    distinct = np.unique(np.concatenate(parts))
    for part in parts:
        part[:] = np.searchsorted(distinct, part)
    return max(1, len(distinct))
