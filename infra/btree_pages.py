"""The leaf pages of a table's b-tree, found and read without SQL (https://www.sqlite.org/fileformat2.html).

Only what an ordinary file has is understood: UTF-8, a rowid table whose key column is the rowid, a read transaction
that sees the file itself and no write-ahead log. Everything else is None, and the caller asks SQLite.

Pages are read through SQLite's own file handle (``apsw.Connection.read``): opening the file a second time and closing
it would drop the process's locks on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import apsw
import numpy as np

from core.planning.columns import Int64, UInt8, UInt32, UInt64

PAD_BYTES: Final = 512
"""Zero bytes before and after a block of pages, so that no look near its ends leaves it."""
LEAF: Final = 0x0D
INTERIOR: Final = 0x05

_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"
_UTF8: Final = 1
_SCHEMA_FORMAT: Final = 4
_LEGACY, _WAL = 1, 2
_LEAF_HEADER_BYTES: Final = 8
_INTERIOR_HEADER_BYTES: Final = 12
_USABLE_BYTES_MIN: Final = 480
_DEPTH_MAX: Final = 20
_READ_BYTES: Final = 1 << 17
"""One read: larger ones come in fresh memory each time, and the kernel clears it first (twice the cost)."""
_EIGHT_BYTES: Final = (
    np.uint64(0x8080808080808080),
    (
        (np.uint64(1), np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00)),
        (np.uint64(2), np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000)),
        (np.uint64(4), np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000)),
    ),
)
"""Of words of eight bytes: the bits that say that a number goes on, and how groups of seven bits are joined."""
_FOUR_BYTES: Final = (
    np.uint32(0x80808080),
    (
        (np.uint32(1), np.uint32(0x007F007F), np.uint32(0x7F007F00)),
        (np.uint32(2), np.uint32(0x00003FFF), np.uint32(0x3FFF0000)),
    ),
)
"""The same of words of four bytes."""
_GAP_PAGES_MAX: Final = 4
"""Reading a few pages that nobody needs is cheaper than another call."""


@dataclass(frozen=True, slots=True)
class PageFormat:
    """Sizes that hold for every page of a file."""

    page_bytes: int
    usable_bytes: int

    @property
    def local_bytes_max(self) -> int:
        """Longest payload that is stored without overflow pages."""
        return self.usable_bytes - 35

    @property
    def local_bytes_min(self) -> int:
        """Length of a longer payload that is in the leaf in any case."""
        return (self.usable_bytes - 12) * 32 // 255 - 23


@dataclass(frozen=True, slots=True)
class LeafPages:
    """All leaves of one table, by key."""

    format: PageFormat
    numbers: Int64
    """Page numbers, from 1."""
    last_keys: Int64
    """No key in a leaf is above its last key, and every key is above that of the leaf before."""


def leaf_pages(db: apsw.Connection, root: int) -> LeafPages | None:
    """Return the leaves of the table with this root page; None where the file is not of the ordinary kind."""
    if db.txn_state("main") != apsw.SQLITE_TXN_READ or not _is_whole(db.db_filename("main")):
        return None
    page_format = _page_format(db)
    if page_format is None:
        return None
    level, last_keys = np.array([root], dtype=np.int64), np.array([2**63 - 1], dtype=np.int64)
    for _ in range(_DEPTH_MAX):
        block = read_pages(db, page_format, level[:1])
        if block[PAD_BYTES] == LEAF:
            return LeafPages(page_format, level, last_keys)
        if len(level) > 1:
            block = read_pages(db, page_format, level)
        below = _children(block, page_format, last_keys)
        if below is None or bool((below[1][1:] <= below[1][:-1]).any()) or int(below[0].min()) < 1:
            return None
        level, last_keys = below
    return None


def read_pages(db: apsw.Connection, page_format: PageFormat, numbers: Int64) -> UInt8:
    """Return pages as one block with PAD_BYTES before and after; raises apsw.Error."""
    size = page_format.page_bytes
    block = np.empty(len(numbers) * size + 2 * PAD_BYTES, dtype=np.uint8)
    block[:PAD_BYTES] = block[-PAD_BYTES:] = 0
    pages = block[PAD_BYTES:-PAD_BYTES].reshape(len(numbers), size)
    for first, last in _stretches(numbers, max(1, _READ_BYTES // size)):
        low, high = int(numbers[first]), int(numbers[last - 1])
        _, raw = db.read("main", 0, (low - 1) * size, (high - low + 1) * size)
        found = np.frombuffer(raw, dtype=np.uint8).reshape(-1, size)
        pages[first:last] = found if high - low == last - first - 1 else found[numbers[first:last] - low]
    return block


def _stretches(numbers: Int64, count_max: int) -> Iterator[tuple[int, int]]:
    """Split pages where the next one is not to be had by reading on, and where a read becomes long."""
    step = np.diff(numbers)
    cuts = [0, *(np.flatnonzero((step < 1) | (step > _GAP_PAGES_MAX)) + 1).tolist(), len(numbers)]
    for start, end in pairwise(cuts):
        for first in range(start, end, count_max):
            yield first, min(first + count_max, end)


def _is_whole(file: str) -> bool:
    """Whether a file has nothing in a sidecar (and is a file at all)."""
    wal = Path(f"{file}-wal")
    return bool(file) and not (wal.is_file() and wal.stat().st_size)


def _page_format(db: apsw.Connection) -> PageFormat | None:
    complete, header = db.read("main", 0, 0, _HEADER_BYTES)
    if not complete or not header.startswith(_MAGIC):
        return None
    stored_size = int.from_bytes(header[16:18], "big")
    page_bytes = 65_536 if stored_size == 1 else stored_size
    versions = {header[18], header[19]}
    encoding, schema_format = int.from_bytes(header[56:60], "big"), int.from_bytes(header[44:48], "big")
    usable_bytes = page_bytes - header[20]
    if not versions <= {_LEGACY, _WAL} or encoding != _UTF8 or schema_format > _SCHEMA_FORMAT:
        return None
    if page_bytes < 512 or usable_bytes < _USABLE_BYTES_MIN:  # noqa: PLR2004 - the format's smallest page
        return None
    return PageFormat(page_bytes, usable_bytes)


def _children(block: UInt8, page_format: PageFormat, last_keys: Int64) -> tuple[Int64, Int64] | None:
    """Return the pages below some interior pages and the last key of each; None where there is another page."""
    found = cell_places(block, page_format, INTERIOR)
    if found is None:
        return None
    page_start, count, cell, page_end = found
    keys = varint_keys(words(block)[cell + 4])
    if keys is None or bool((cell + 4 > page_end).any()):
        return None
    # The rightmost child of a page stands in its header; its last key is the page's own.
    rightmost = np.cumsum(count + 1) - 1
    others = np.delete(np.arange(len(cell) + len(count)), rightmost)
    numbers, last = np.empty(len(cell) + len(count), dtype=np.int64), np.empty(len(cell) + len(count), dtype=np.int64)
    numbers[others], last[others] = _four_bytes(block, cell), keys[0]
    numbers[rightmost], last[rightmost] = _four_bytes(block, page_start + 8), last_keys
    return numbers, last


def _four_bytes(block: UInt8, place: Int64) -> Int64:
    value: Int64 = (words(block)[place].byteswap() >> np.uint64(32)).astype(np.int64)
    return value


def words(data: UInt8) -> UInt64:
    """Return the unaligned little-endian eight-byte words that begin at every byte; a view."""
    view: UInt64 = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data.data, strides=(1,))
    return view


def cell_places(block: UInt8, page_format: PageFormat, page_type: int) -> tuple[Int64, Int64, Int64, Int64] | None:
    """Return (page starts, cells per page, place of each cell, end of its page); None where a page is of another type.

    Places are offsets into the block.
    """
    header_bytes = _LEAF_HEADER_BYTES if page_type == LEAF else _INTERIOR_HEADER_BYTES
    page_start = np.arange(PAD_BYTES, len(block) - PAD_BYTES, page_format.page_bytes)
    count = block[page_start + 3].astype(np.int64) << 8 | block[page_start + 4]
    if bool((block[page_start] != page_type).any()):
        return None
    if bool((header_bytes + 2 * count > page_format.usable_bytes).any()):
        return None
    start = page_start.repeat(count)
    pointer = ((page_start + header_bytes) // 2 - (count.cumsum() - count)).repeat(count)
    pointer += np.arange(len(start))
    cell = block.view("<u2")[pointer].byteswap() + start
    page_end = start + page_format.usable_bytes
    return None if bool((cell > page_end - 4).any()) else (page_start, count, cell, page_end)


def varint_keys(word: UInt64 | UInt32) -> tuple[Int64, Int64] | None:
    """Return the keys that words begin with, seven bits a byte, and their lengths; None where one is longer than its word.

    A word has eight bytes, or four: most keys fit into those, at half the price.
    """
    high_bits, steps = _EIGHT_BYTES if word.dtype == np.uint64 else _FOUR_BYTES
    number = word.dtype.type
    last = ~word & high_bits
    if not bool(last.all()):
        return None
    # Everything below the first byte without a continuation bit belongs to the key, and so does that byte.
    bits = np.bitwise_count(last ^ (last - number(1)))
    value = word.byteswap() >> (number(8 * word.dtype.itemsize) - bits)
    value &= ~high_bits
    for distance, low, high in steps:
        value = value & low | (value & high) >> distance
    return value.astype(np.int64), (bits >> np.uint8(3)).astype(np.int64)
