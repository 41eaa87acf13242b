"""One integer per row that orders and identifies like a tuple of columns: exact, never a hash."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from core.planning.columns import Int8, Int16, Int32, Int64

IntColumn: TypeAlias = Int8 | Int16 | Int32 | Int64

_LIMIT: Final = 2**62
_DAY_BITS: Final = 32
_DAY_OFFSET: Final = 2**31


def pair_key(contact: Int64, day: Int32) -> Int64:
    """Return int64 keys that compare like (contact, day); contact is a row number, day any day number."""
    return (contact.astype(np.int64) << _DAY_BITS) + (day.astype(np.int64) + _DAY_OFFSET)


def contact_of(key: Int64) -> Int64:
    """Return the contact of each pair key."""
    return key >> _DAY_BITS


def day_of(key: Int64) -> Int32:
    """Return the day of each pair key."""
    days: Int32 = ((key & (2**_DAY_BITS - 1)) - _DAY_OFFSET).astype(np.int32)
    return days


def dense_key(columns: Sequence[IntColumn]) -> Int64:
    """Return int64 keys that compare like the tuples of the (integer) columns, the first column first."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    if not len(key):
        return key
    span = 1
    for column in columns:
        part, size = _offset(column)
        if span > _LIMIT // size:
            key, span = _ranked(key)
        if span > _LIMIT // size:
            part, size = _ranked(part)
        key = key * size + part
        span *= size
    return key


def _offset(column: IntColumn) -> tuple[Int64, int]:
    low, high = int(column.min()), int(column.max())
    if high - low >= _LIMIT:
        return _ranked(column)
    return column.astype(np.int64) - low, high - low + 1


def _ranked(column: IntColumn) -> tuple[Int64, int]:
    distinct, rank = np.unique(column, return_inverse=True)
    return rank.astype(np.int64), len(distinct)
