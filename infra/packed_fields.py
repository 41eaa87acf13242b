"""Rows that SQLite concatenated into one block of bytes, taken apart with vector operations.

A block is ``rows`` times ``fields`` texts with SEPARATOR between any two; NULL is a field of one MARK byte. The block
says how many NULLs it holds, so a value that contains a separator or a mark itself is always noticed: then there is
one byte too many, and the block is refused (``None``) instead of misread. The caller reads such rows one by one.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from core.planning.columns import NULL_ID, Bool, Int32, Int64, TextColumn, UInt8, UInt64, byte_masks, windows
from core.planning.text import eight_digits
from infra.row_numbers import RowNumbers

SEPARATOR: Final = 0x1F
KIND_SEPARATOR: Final = 0x1D
MARK: Final = 0x1E
VALUE_BYTES_MAX: Final = 65_536
"""Longer values take the slow path, which cuts them."""

_PAD: Final = 520
"""Zero bytes on both sides of a block, so that no look near its ends leaves it."""
_WORD: Final = 8
_WINDOW: Final = 16
_DIGITS_MAX: Final = 19
_KIND_WORDS_MAX: Final = 64
"""Texts of a kind longer than 512 bytes take the slow path: nobody's e-mail type is that long."""

_KEEP_LAST: Final = np.array([0] + [(2**64 - 1) ^ (2 ** (64 - 8 * n) - 1) for n in range(1, 9)], dtype=np.uint64)
"""Masks of a little-endian word that keep its last n bytes."""


@dataclass(frozen=True, slots=True)
class PackedRows:
    """A block in parts: field ``f`` of row ``r`` is ``data[start[f, r]:end[f, r]]``."""

    data: UInt8
    start: Int64
    """Shape (fields, rows)."""
    end: Int64
    """Shape (fields, rows)."""
    has_nulls: bool


def split(block: bytes, *, rows: int, fields: int, kind_fields: int, nulls: int) -> PackedRows | None:
    """Find the fields of a block; None where its bytes do not add up to that many fields and marks.

    The last of the fields consists of ``kind_fields`` texts with KIND_SEPARATOR between them (0: there is no such
    field).
    """
    data = np.zeros(len(block) + 2 * _PAD, dtype=np.uint8)
    inner = data[_PAD : _PAD + len(block)]
    inner[:] = np.frombuffer(block, dtype=np.uint8)
    if np.count_nonzero(inner == MARK) != nulls:
        return None
    if kind_fields and np.count_nonzero(inner == KIND_SEPARATOR) != rows * (kind_fields - 1):
        return None
    ends = np.empty(rows * fields, dtype=np.int64)
    separators = np.flatnonzero(inner == SEPARATOR)
    if len(separators) != rows * fields - 1:
        return None
    np.add(separators, _PAD, out=ends[:-1])
    ends[-1] = _PAD + len(block)
    starts = np.empty_like(ends)
    starts[0] = _PAD
    np.add(ends[:-1], 1, out=starts[1:])
    start = np.ascontiguousarray(starts.reshape(rows, fields).T)
    end = np.ascontiguousarray(ends.reshape(rows, fields).T)
    return PackedRows(data, start, end, nulls > 0)


def text_column(packed: PackedRows, field: int) -> TextColumn | None:
    """Return one field as text; None where a value is longer than VALUE_BYTES_MAX."""
    start, end = packed.start[field], packed.end[field]
    if int((end - start).max(initial=0)) > VALUE_BYTES_MAX:
        return None
    if not packed.has_nulls:
        return TextColumn(packed.data, start, end, np.zeros(len(start), dtype=np.bool_))
    null: Bool = packed.data[start] == MARK
    return TextColumn(packed.data, start, np.where(null, start, end), null)


def int_column(packed: PackedRows, field: int) -> Int64 | None:
    """Return one field of decimal integers (NULL_ID where NULL); None where one is no 64-bit integer."""
    start, end = packed.start[field], packed.end[field]
    first = packed.data[start]
    null = first == MARK
    if packed.has_nulls and bool(null.all()):
        return np.full(len(start), NULL_ID, dtype=np.int64)
    negative = first == ord("-")
    length = end - start - negative
    length[null] = 0
    longest = int(length.max(initial=0))
    if longest > _DIGITS_MAX or bool(((length == 0) & ~null).any()):
        return None
    words = _words(packed.data)
    value = np.zeros(len(start), dtype=np.uint64)
    scale = 1
    for place in range(0, longest, _WORD):
        kept = np.clip(length - place, 0, _WORD)
        digits = (words[end - place - _WORD] ^ np.uint64(0x3030303030303030)) & _KEEP_LAST[kept]
        if bool(((digits + np.uint64(0x7676767676767676) | digits) & np.uint64(0x8080808080808080)).any()):
            return None
        value += eight_digits(digits) * np.uint64(scale)
        scale *= 10**_WORD
    # 19 digits stay below 2**64, so the only wrong value is one that SQLite could not have written as a 64-bit integer.
    if bool((value > np.uint64(2**63 - 1) + negative.astype(np.uint64)).any()):
        return None
    result = value.view(np.int64)
    result = np.where(negative, -result, result)
    result[null] = NULL_ID
    return result


def flag_column(packed: PackedRows, field: int) -> Bool:
    """Return one field of ``0`` and ``1`` as booleans."""
    flags: Bool = packed.data[packed.start[field]] == ord("1")
    return flags


def kind_column(packed: PackedRows, field: int) -> tuple[Int32, tuple[tuple[bytes | None, ...], ...]] | None:
    """Number the distinct combinations of texts in a field of several; a combination is their bytes, None for NULL.

    Returns (number per row, combinations); None for combinations too long to be worth it.
    """
    start, end = packed.start[field], packed.end[field]
    length = end - start
    if int(length.max(initial=0)) > _KIND_WORDS_MAX * _WORD:
        return None
    table = np.column_stack([length.astype(np.uint64), _masked_words(packed.data, start, length)])
    code, rows = RowNumbers().number(table)
    return code.astype(np.int32), tuple(_texts(packed, field, row) for row in rows)


def _texts(packed: PackedRows, field: int, row: int) -> tuple[bytes | None, ...]:
    text = bytes(packed.data[packed.start[field, row] : packed.end[field, row]])
    mark = bytes([MARK])
    return tuple(None if part == mark else part for part in text.split(bytes([KIND_SEPARATOR])))


def _masked_words(data: UInt8, start: Int64, length: Int64) -> UInt64:
    """Return texts as rows of words, zero beyond their end: of equal length they are equal iff the rows are."""
    size = -(-max(int(length.max(initial=0)), 1) // _WINDOW) * _WINDOW
    text = windows(data, start, size)
    text &= _byte_masks(size).take(length, axis=0)
    return text.view(np.uint64)


@cache
def _byte_masks(size: int) -> UInt8:
    return byte_masks(size)


def _words(data: UInt8) -> UInt64:
    """Return the unaligned little-endian eight-byte words that begin at every byte; a view."""
    view: UInt64 = np.ndarray((len(data) - _WORD + 1,), dtype="<u8", buffer=data.data, strides=(1,))
    return view
