"""Records of leaf pages taken apart with vector operations (https://www.sqlite.org/fileformat2.html, sections 1.6, 2).

Nothing here guesses. What is out of the ordinary - a key beyond 56 bits, a value that continues on another page, a
type that was not expected, an offset that points out of its page - gives None, and the caller has SQLite read the rows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.columns import Int16, Int32, Int64, UInt8, UInt64, windows
from infra.btree_pages import LEAF, PageFormat, cell_places, varint_keys, words

LAST_INT_TYPE: Final = 6
"""Serial types 1 to 6 are integers of 1, 2, 3, 4, 6 and 8 bytes."""
FALSE_TYPE: Final = 8
"""Serial types 8 and 9 are the integers 0 and 1."""
FIRST_TEXT_TYPE: Final = 13
"""Serial types from 12 on are BLOBs where even and texts where odd."""
SERIAL_TYPES: Final = 1 << 14
"""Serial types of one or two bytes; longer ones are left to SQLite."""

_CONTINUES: Final = 0x80
_WORD: Final = 8
_TOO_LARGE: Final = 1 << 20
COLUMNS_MAX: Final = _CONTINUES - 2
"""As many serial types fit into a header whose length has one byte."""


def _sizes() -> Int32:
    """Return the length of a value by serial type; the two types that no file may have are longer than any page."""
    sizes = np.zeros(SERIAL_TYPES, dtype=np.int32)
    sizes[1:12] = [1, 2, 3, 4, 6, 8, 8, 0, 0, _TOO_LARGE, _TOO_LARGE]
    sizes[12:] = (np.arange(12, SERIAL_TYPES) - 12) // 2
    return sizes


def _payload_bytes() -> Int64:
    """Return numbers of one or two bytes by the two bytes that they begin with; larger ones are negative."""
    two = np.arange(1 << 16)
    first, second = two & 0xFF, two >> 8
    size = np.where(first < _CONTINUES, first, (first & 0x7F) << 7 | second)
    size[(first >= _CONTINUES) & (second >= _CONTINUES)] = -1
    return size


_PAYLOAD_BYTES: Final = _payload_bytes()
SIZES: Final = _sizes()
"""Length of a value by serial type."""
IS_INTEGER: Final = np.isin(np.arange(SERIAL_TYPES), [*range(LAST_INT_TYPE + 1), FALSE_TYPE, FALSE_TYPE + 1])
"""Which serial types are integers or NULL."""
IS_TEXT: Final = (np.arange(SERIAL_TYPES) == 0) | (
    (np.arange(SERIAL_TYPES) >= FIRST_TEXT_TYPE) & (np.arange(SERIAL_TYPES) % 2 == 1)
)
"""Which serial types are texts or NULL."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The records of some leaves, by key; places are offsets into ``data``."""

    data: UInt8
    key: Int64
    header: Int64
    """Where each record begins."""
    header_end: Int64
    room: Int64
    """Bytes of each record after its header that are in the page."""

    def take(self, rows: Int64) -> "Cells":
        """Return some of the records."""
        return Cells(self.data, self.key[rows], self.header[rows], self.header_end[rows], self.room[rows])


@dataclass(frozen=True, slots=True)
class RecordColumns:
    """The first columns of records: column ``c`` of record ``r`` has the bytes ``bounds[c, r]`` to ``bounds[c + 1, r]``.

    They count from the end of the record's header.
    """

    serial: Int16
    """Serial types, shape (columns, records)."""
    bounds: Int32
    """Shape (columns + 1, records)."""


def cells_of(block: UInt8, page_format: PageFormat) -> Cells | None:
    """Find the records of a block of leaves; None where one of the pages is not what it should be, or all are empty."""
    found = cell_places(block, page_format, LEAF)
    if found is None or not len(found[2]):
        return None
    _, _, cell, page_end = found
    word = words(block)[cell]
    # The length of the payload has one or two bytes; one of more would be a value that needs other pages anyway.
    size = _PAYLOAD_BYTES[word.astype(np.uint16)]
    two_bytes = word >> np.uint64(7) & np.uint64(1)
    keyed = _keys(block, cell, word, two_bytes)
    if keyed is None:
        return None
    key, key_bytes = keyed
    header = cell + (1 + two_bytes.view(np.int64) + key_bytes)
    if int(size.max()) > page_format.local_bytes_max:
        size = np.where(size > page_format.local_bytes_max, page_format.local_bytes_min, size)
    header_bytes = block[header].astype(np.int64)
    room = size - header_bytes
    if int(room.min()) < 0 or int(header_bytes.max()) >= _CONTINUES or bool((header + size > page_end).any()):
        return None
    return Cells(block, key, header, header + header_bytes, room)


def _keys(block: UInt8, cell: Int64, word: UInt64, two_bytes: UInt64) -> tuple[Int64, Int64] | None:
    """Return the keys of cells and their lengths; the words are what the cells begin with."""
    shift = np.uint64(8) + np.uint64(8) * two_bytes
    short = varint_keys((word >> shift).astype(np.uint32))
    return short or varint_keys(words(block)[cell + (1 + two_bytes.view(np.int64))])


def record_columns(cells: Cells, count: int) -> RecordColumns | None:
    """Find the first columns; None where a record is too short or too long for that.

    A record is short where columns were added to its table later: their defaults are SQLite's business.
    """
    header_bytes = cells.header_end - cells.header
    serial = None
    if int(header_bytes.min()) > count:
        serial = _one_byte_serials(cells, count)
    if serial is None:
        serial = _any_serials(cells, count)
    if serial is None:
        return None
    bounds = np.zeros((count + 1, len(cells.key)), dtype=np.int32)
    np.cumsum(SIZES.take(serial), axis=0, out=bounds[1:])
    return None if bool((bounds[-1] > cells.room).any()) else RecordColumns(serial, bounds)


def _one_byte_serials(cells: Cells, count: int) -> Int16 | None:
    """Return the serial types where all of them have one byte: no text is longer than 57 bytes."""
    header = windows(cells.data, cells.header, -(-(count + 1) // _WORD) * _WORD)
    serial = header[:, 1 : count + 1]
    return None if int(serial.max()) >= _CONTINUES else serial.T.astype(np.int16)


def _any_serials(cells: Cells, count: int) -> Int16 | None:
    data, place = cells.data, cells.header + 1
    serial = np.empty((count, len(place)), dtype=np.int16)
    for number in range(count):
        value = data[place].astype(np.int16)
        place = place + 1
        long = np.flatnonzero(value >= _CONTINUES)
        if len(long):
            second = data[place[long]]
            if bool((second >= _CONTINUES).any()):
                return None
            value[long] = (value[long] & np.int16(0x7F)) << np.int16(7) | second
            place[long] += 1
        serial[number] = value
    return None if bool((place > cells.header_end).any()) else serial
