"""Records of leaf pages taken apart with vector operations (https://www.sqlite.org/fileformat2.html, sections 1.6, 2).

Nothing here guesses. What is out of the ordinary - a key beyond 56 bits, a value that continues on another page, a
type that was not expected, an offset that points out of its page - gives None, and the caller has SQLite read the rows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.columns import NULL_ID, Bool, Int16, Int64, TextColumn, UInt8, windows
from infra.btree_pages import LEAF, PAD_BYTES, PageFormat, cell_places, varint_keys, words

LAST_INT_TYPE: Final = 6
"""Serial types 1 to 6 are integers of 1, 2, 3, 4, 6 and 8 bytes."""
FALSE_TYPE: Final = 8
"""Serial types 8 and 9 are the integers 0 and 1."""
FIRST_TEXT_TYPE: Final = 13
"""Serial types from 12 on are BLOBs where even and texts where odd."""

_CONTINUES: Final = 0x80
_WORD: Final = 8
_TOO_LARGE: Final = 1 << 40
SERIAL_TYPES: Final = 1 << 14
"""Serial types of one or two bytes; longer ones are left to SQLite."""
_COLUMNS_MAX: Final = PAD_BYTES // 2 - 8
"""A record that ends too early is noticed after its columns were looked for: up to two bytes each, past its page."""


def _sizes() -> Int64:
    """Return the length of a value by serial type; the two types that no file may have are longer than any page."""
    sizes = np.zeros(SERIAL_TYPES, dtype=np.int64)
    sizes[1:12] = [1, 2, 3, 4, 6, 8, 8, 0, 0, _TOO_LARGE, _TOO_LARGE]
    sizes[12:] = (np.arange(12, SERIAL_TYPES) - 12) // 2
    return sizes


_SIZES: Final = _sizes()
_BYTE_SIZES: Final = np.concatenate((np.minimum(_SIZES[:_CONTINUES], 2**14), np.zeros(_CONTINUES))).astype(np.int16)
"""The same for types of one byte, in a table that stays in the cache."""
_IS_TEXT: Final = (np.arange(SERIAL_TYPES) == 0) | (
    (np.arange(SERIAL_TYPES) >= FIRST_TEXT_TYPE) & (np.arange(SERIAL_TYPES) % 2 == 1)
)
"""Which serial types are texts or NULL."""
_SIGN_SHIFT: Final = np.where(_SIZES[:7] > 0, 64 - 8 * _SIZES[:7], 0)


def size_of(serial: int) -> int:
    """Return the length of a value by serial type."""
    return int(_SIZES[serial])


@dataclass(frozen=True, slots=True)
class Cells:
    """The records of some leaves, by key; offsets are into ``data``."""

    data: UInt8
    key: Int64
    header: Int64
    """Where each record begins."""
    header_end: Int64
    limit: Int64
    """Where the part of each record ends that is in the page."""


@dataclass(frozen=True, slots=True)
class RecordColumn:
    """One column of records: the value of row ``r`` is ``data[start[r]:end[r]]``, read as its serial type says."""

    serial: Int16
    start: Int64
    end: Int64


def cells_of(block: UInt8, page_format: PageFormat) -> Cells | None:
    """Find the records of a block of leaves; None where one of the pages is not what it should be."""
    found = cell_places(block, page_format, LEAF)
    if found is None:
        return None
    _, _, cell, page_end = found
    begin = windows(block, cell, 2 * _WORD)
    word = begin.view(np.uint64)
    # The length of the payload has one or two bytes; one of more would be a value that needs other pages anyway.
    size = begin[:, 0].astype(np.int64)
    two_bytes = size >= _CONTINUES
    size = np.where(two_bytes, (size & 0x7F) << 7 | begin[:, 1], size)
    shift = np.where(two_bytes, 16, 8).astype(np.uint64)
    keyed = varint_keys(word[:, 0] >> shift | word[:, 1] << (np.uint64(64) - shift))
    if keyed is None or bool((two_bytes & (begin[:, 1] >= _CONTINUES)).any()):
        return None
    key, key_bytes = keyed
    header = cell + 1 + two_bytes + key_bytes
    local = np.where(size > page_format.local_bytes_max, page_format.local_bytes_min, size)
    limit = header + local
    header_bytes = block[np.minimum(header, page_end)]
    if bool((limit > page_end).any()) or bool((header_bytes >= _CONTINUES).any()):
        return None
    header_end = header + header_bytes
    if bool((header_end > limit).any()):
        return None
    return Cells(block, key, header, header_end, limit)


def _short_varint(block: UInt8, place: Int64) -> tuple[Int16 | None, Int64]:
    """Return numbers of one or two bytes and the places after them; None where one is longer."""
    value = block[place].astype(np.int16)
    after = place + 1
    long = np.flatnonzero(value >= _CONTINUES)
    if len(long):
        second = block[after[long]]
        if bool((second >= _CONTINUES).any()):
            return None, after
        value[long] = (value[long] & np.int16(0x7F)) << np.int16(7) | second
        after[long] += 1
    return value, after


def record_columns(cells: Cells, wanted: frozenset[int]) -> dict[int, RecordColumn] | None:
    """Find the wanted columns, by position in the record; None where a record is too short or too long for that.

    A record is short where columns were added to its table later: their defaults are SQLite's business.
    """
    if max(wanted) >= _COLUMNS_MAX:
        return None
    header_bytes = cells.header_end - cells.header
    if int(header_bytes.min()) > max(wanted) + 1:
        found = _one_byte_columns(cells, wanted, int(header_bytes.max()))
        if found is not None:
            return found
    return _any_columns(cells, wanted)


def _one_byte_columns(cells: Cells, wanted: frozenset[int], header_bytes: int) -> dict[int, RecordColumn] | None:
    """Find the columns of records whose serial types have one byte each: no text is longer than 57 bytes."""
    header = windows(cells.data, cells.header, -(-header_bytes // _WORD) * _WORD)
    serials = header[:, 1 : max(wanted) + 2]
    if int(serials.max()) >= _CONTINUES:
        return None
    sizes = _BYTE_SIZES.take(serials)
    body = cells.header_end
    found: dict[int, RecordColumn] = {}
    for number in range(max(wanted) + 1):
        end = body + sizes[:, number]
        if number in wanted:
            found[number] = RecordColumn(serials[:, number].astype(np.int16), body, end)
        body = end
    return None if bool((body > cells.limit).any()) else found


def _any_columns(cells: Cells, wanted: frozenset[int]) -> dict[int, RecordColumn] | None:
    data = cells.data
    place, body = cells.header + 1, cells.header_end
    found: dict[int, RecordColumn] = {}
    for number in range(max(wanted) + 1):
        serial, place = _short_varint(data, place)
        if serial is None:
            return None
        end = body + _SIZES[serial]
        if number in wanted:
            found[number] = RecordColumn(serial, body, end)
        body = end
    if bool((place > cells.header_end).any()) or bool((body > cells.limit).any()):
        return None
    return found


def int_values(data: UInt8, column: RecordColumn) -> Int64 | None:
    """Return integers, NULL_ID where NULL; None where a value is of another type."""
    serial = column.serial
    if not bool(serial.any()):
        return np.full(len(serial), NULL_ID, dtype=np.int64)
    if not _all_integers(serial):
        return None
    present = np.flatnonzero(serial)
    if len(present) == len(serial):
        return _integers(data, serial, column.end)
    value = np.full(len(serial), NULL_ID, dtype=np.int64)
    value[present] = _integers(data, serial[present], column.end[present])
    return value


def _integers(data: UInt8, serial: Int16, end: Int64) -> Int64:
    sized = serial <= LAST_INT_TYPE
    shift = _SIGN_SHIFT[np.where(sized, serial, 0)]
    value = words(data)[end - 8].byteswap().view(np.int64) << shift >> shift
    return value if bool(sized.all()) else np.where(sized, value, serial - FALSE_TYPE)


def flag_values(data: UInt8, column: RecordColumn) -> Bool | None:
    """Say which values are neither NULL nor 0; None where a value is no integer."""
    if bool(((column.serial == FALSE_TYPE) | (column.serial == FALSE_TYPE + 1) | (column.serial == 0)).all()):
        return np.asarray(column.serial == FALSE_TYPE + 1)
    value = int_values(data, column)
    return None if value is None else (value != 0) & (column.serial != 0)


def text_values(data: UInt8, column: RecordColumn) -> TextColumn | None:
    """Return texts; None where a value is neither text nor NULL."""
    null = column.serial == 0
    if not bool(_IS_TEXT.take(column.serial).all()):
        return None
    return TextColumn(data, column.start, column.end, null)


def _all_integers(serial: Int16) -> bool:
    if int(serial.max()) <= LAST_INT_TYPE:
        return True
    other = serial[serial > LAST_INT_TYPE]
    return bool(((other == FALSE_TYPE) | (other == FALSE_TYPE + 1)).all())
