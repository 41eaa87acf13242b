"""Tables read as columns straight from the leaves of their b-trees: the fast way of ``packed_read``, same result.

A schedule row costs a quarter of a microsecond so, two or three when SQLite takes it apart and puts it together again.
Where a stretch of leaves holds anything that this way does not understand (``btree_cells``), SQLite reads the keys of
that stretch; where the file or the table is out of the ordinary, it reads everything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, cast

import apsw
import numpy as np

from core.planning.columns import Bool, Int32, Int64, TextColumn, UInt64, windows
from infra import btree_cells, packed_fields
from infra.btree_cells import FALSE_TYPE, FIRST_TEXT_TYPE, LAST_INT_TYPE, SERIAL_TYPES, Cells, RecordColumn
from infra.btree_pages import PAD_BYTES, LeafPages, PageFormat, leaf_pages, read_pages
from infra.packed_read import CHUNK_ROWS, FIRST_KEY, KindText, PackedChunk, PackedTable, read_chunks

LEAVES_MIN: Final = 2
"""A table of one page is read by SQLite: nothing is gained, and small orgs need no more code to be right."""

_ROWS_PER_LEAF: Final = 32
_KIND_COLUMNS_MAX: Final = 8
"""As many serial types fit into one word."""
_KIND_SERIAL_MAX: Final = 255
_IN_KINDS: Final = np.array(
    [
        serial <= LAST_INT_TYPE
        or FALSE_TYPE <= serial <= FALSE_TYPE + 1
        or (FIRST_TEXT_TYPE <= serial <= _KIND_SERIAL_MAX and serial % 2 == 1)
        for serial in range(SERIAL_TYPES)
    ]
)
"""Which serial types a kind may be made of: short texts, integers, NULL."""
_KIND_BYTES_MAX: Final = 512
_KINDS_KEPT_MAX: Final = 10_000
_BLOCK_LEAVES: Final = 384
"""1.5 MB of ordinary pages: small enough that a second look at a record finds it in the cache, large enough that
numpy's calls weigh little."""
_TEXT_WINDOW_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a table's columns are in its records."""

    root: int
    positions: dict[str, int]
    """Position by column name in lower case; the key is not among them: it is the rowid."""


def read_table(
    db: apsw.Connection, table: PackedTable, parameters: tuple[str, ...] = (), *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[PackedChunk]:
    """Yield all rows of a table, by key, at most about ``chunk_rows`` at a time; raises apsw.Error."""
    layout = None if table.condition or parameters else _layout(db, table)
    leaves = None if layout is None else leaf_pages(db, layout.root)
    if layout is None or leaves is None or len(leaves.numbers) < LEAVES_MIN:
        yield from read_chunks(db, table, parameters, chunk_rows=chunk_rows)
        return
    reader = _LeafReader(table, layout)
    per_chunk = max(1, chunk_rows // _ROWS_PER_LEAF)
    low = FIRST_KEY
    for first in range(0, len(leaves.numbers), per_chunk):
        part = slice(first, first + per_chunk)
        keys = low, int(leaves.last_keys[part][-1])
        chunk = reader.read(db, leaves, part, keys)
        if chunk is None:
            yield from read_chunks(db, table, chunk_rows=chunk_rows, keys=keys)
        elif len(chunk.kind):
            yield chunk
        low = keys[1]


def _layout(db: apsw.Connection, table: PackedTable) -> _Layout | None:
    """Return where the columns are; None for tables whose records do not simply list them."""
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND lower(name) = ?", (table.table,)).get
    columns = cast(
        "Iterable[tuple[int, str, str, int, int]]",
        db.execute("SELECT cid, lower(name), upper(type), pk, hidden FROM pragma_table_xinfo(?)", (table.table,)),
    )
    positions: dict[str, int] = {}
    key_columns = []
    for position, name, declared, key_part, hidden in columns:
        if hidden or _is_real(declared):  # an integer in a REAL column is stored as one and means another text
            return None
        if key_part:
            key_columns.append((name, declared))
        positions[name] = position
    indexed_key = db.execute("SELECT count(*) FROM pragma_index_list(?) WHERE origin = 'pk'", (table.table,)).get
    wanted = {*table.ints, *table.flags, *table.texts, *table.kinds}
    if (
        not isinstance(root, int)
        or indexed_key
        or key_columns != [(table.key, "INTEGER")]
        or not wanted <= positions.keys()
    ):
        return None
    if len(table.kinds) > _KIND_COLUMNS_MAX or table.key in {*table.flags, *table.texts, *table.kinds}:
        return None
    del positions[table.key]
    return _Layout(root, positions)


def _is_real(declared: str) -> bool:
    return any(word in declared for word in ("REAL", "FLOA", "DOUB"))


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows of a few leaves: columns as in PackedChunk, and the words that tell kinds apart."""

    key: Int64
    ints: tuple[Int64, ...]
    flags: tuple[Bool, ...]
    texts: tuple[TextColumn, ...]
    kind: tuple[UInt64, ...]


class _LeafReader:
    """Reads stretches of leaves of one table."""

    def __init__(self, table: PackedTable, layout: _Layout) -> None:
        self._table = table
        self._at = layout.positions
        names = (*table.ints, *table.flags, *table.texts, *table.kinds)
        self._wanted = frozenset(self._at[name] for name in names if name in self._at)
        self._kind_positions = sorted(self._at[name] for name in table.kinds)
        self._kinds: dict[bytes, KindText] = {}
        """By shape and bytes: most stretches of leaves hold the same few hundred."""

    def read(self, db: apsw.Connection, leaves: LeafPages, part: slice, keys: tuple[int, int]) -> PackedChunk | None:
        """Return the rows of some leaves, None where SQLite has to read them; ``keys`` as in ``read_chunks``."""
        numbers = leaves.numbers[part]
        blocks = []
        for first in range(0, len(numbers), _BLOCK_LEAVES):
            block = self._block(db, leaves.format, numbers[first : first + _BLOCK_LEAVES])
            if block is None:
                return None
            blocks.append(block)
        key = np.concatenate([block.key for block in blocks])
        if not len(key) or key[0] <= keys[0] or key[-1] > keys[1] or bool((key[1:] <= key[:-1]).any()):
            return None
        kind: tuple[Int32, tuple[KindText, ...]] | None = np.zeros(len(key), dtype=np.int32), ((),)
        if self._table.kinds:
            kind = self._kind(blocks)
        if kind is None:
            return None
        ints = (np.concatenate(column) for column in zip(*(block.ints for block in blocks), strict=True))
        flags = (np.concatenate(column) for column in zip(*(block.flags for block in blocks), strict=True))
        texts = (_joined_texts(column) for column in zip(*(block.texts for block in blocks), strict=True))
        return PackedChunk(tuple(ints), tuple(flags), tuple(texts), *kind)

    def _block(self, db: apsw.Connection, page_format: PageFormat, numbers: Int64) -> _Block | None:
        """Take what is wanted out of some leaves, while they are in the processor's cache."""
        cells = btree_cells.cells_of(read_pages(db, page_format, numbers), page_format)
        columns = None if cells is None or not len(cells.key) else btree_cells.record_columns(cells, self._wanted)
        if cells is None or columns is None:
            return None
        data, table, at = cells.data, self._table, self._at
        ints = [
            cells.key if name == table.key else btree_cells.int_values(data, columns[at[name]]) for name in table.ints
        ]
        flags = [btree_cells.flag_values(data, columns[at[name]]) for name in table.flags]
        texts = [btree_cells.text_values(data, columns[at[name]]) for name in table.texts]
        kind = self._kind_words(cells, columns)
        if kind is None or any(column is None for column in (*ints, *flags, *texts)):
            return None
        return _Block(
            cells.key,
            tuple(column for column in ints if column is not None),
            tuple(column for column in flags if column is not None),
            tuple(_compact(column) for column in texts if column is not None),
            kind,
        )

    def _kind_words(self, cells: Cells, columns: dict[int, RecordColumn]) -> tuple[UInt64, ...] | None:
        """Return what tells kinds apart: their serial types, a byte each, and their bytes, as tables of words."""
        if not self._table.kinds:
            return ()
        parts = [columns[position] for position in self._kind_positions]
        shape = np.zeros(len(cells.key), dtype=np.uint64)
        for part in parts:
            if not bool(_IN_KINDS.take(part.serial).all()):
                return None
            shape <<= np.uint64(8)
            shape |= part.serial.astype(np.uint64)
        tables = [shape[:, np.newaxis]]
        for start, end in _runs(parts):
            if int((end - start).max()) > _KIND_BYTES_MAX:
                return None
            tables.append(packed_fields.masked_words(cells.data, start, end - start))
        return tuple(tables)

    def _kind(self, blocks: list[_Block]) -> tuple[Int32, tuple[KindText, ...]] | None:
        """Number the distinct combinations of the kind columns: of equal serial types and equal bytes."""
        tables = [_joined_tables(column) for column in zip(*(block.kind for block in blocks), strict=True)]
        numbered = packed_fields.number_distinct(tables)
        if numbered is None:
            return None
        kind, rows = numbered
        return kind, tuple(self._kind_text([table[row].tobytes() for table in tables]) for row in rows.tolist())

    def _kind_text(self, raw: list[bytes]) -> KindText:
        key = b"".join(raw)
        found = self._kinds.get(key)
        if found is None:
            serials = int.from_bytes(raw[0], "little").to_bytes(_KIND_COLUMNS_MAX, "big")
            values: dict[int, bytes | None] = {}
            run, place = 0, 0
            for number, position in enumerate(self._kind_positions):
                if number == 0 or position != self._kind_positions[number - 1] + 1:
                    run, place = run + 1, 0
                serial = serials[number - len(self._kind_positions)]
                size = btree_cells.size_of(serial)
                values[position] = _kind_value(serial, raw[run][place : place + size])
                place += size
            found = tuple(values[self._at[name]] for name in self._table.kinds)
            if len(self._kinds) < _KINDS_KEPT_MAX:
                self._kinds[key] = found
        return found


def _joined_tables(tables: tuple[UInt64, ...]) -> UInt64:
    """Join tables of words, zero where one is narrower than another."""
    width = max(table.shape[1] for table in tables)
    joined = np.zeros((sum(len(table) for table in tables), width), dtype=np.uint64)
    row = 0
    for table in tables:
        joined[row : row + len(table), : table.shape[1]] = table
        row += len(table)
    return joined


def _compact(column: TextColumn) -> TextColumn:
    """Copy short texts out of the pages, one after the other: they are looked at several times."""
    width = -(-max(int((column.end - column.start).max()), 1) // 16) * 16
    if width > _TEXT_WINDOW_MAX:
        return column
    start = np.arange(0, len(column) * width, width)
    data = windows(column.data, column.start, width).reshape(-1)
    return TextColumn(data, start, start + (column.end - column.start), column.null)


def _joined_texts(columns: tuple[TextColumn, ...]) -> TextColumn:
    first = np.cumsum([0, *(len(column.data) for column in columns)])[:-1].tolist()
    return TextColumn(
        np.concatenate([*(column.data for column in columns), np.zeros(PAD_BYTES, dtype=np.uint8)]),
        np.concatenate([column.start + offset for column, offset in zip(columns, first, strict=True)]),
        np.concatenate([column.end + offset for column, offset in zip(columns, first, strict=True)]),
        np.concatenate([column.null for column in columns]),
    )


def _runs(columns: list[RecordColumn]) -> Iterator[tuple[Int64, Int64]]:
    """Join columns that follow each other in the record: their bytes are looked at in one go."""
    start, end = columns[0].start, columns[0].end
    for column in columns[1:]:
        if column.start is not end:
            yield start, end
            start = column.start
        end = column.end
    yield start, end


def _kind_value(serial: int, value: bytes) -> bytes | None:
    """Return a value as the text that SQLite makes of it."""
    if serial == 0:
        return None
    if serial >= FIRST_TEXT_TYPE:
        return value
    whole = int.from_bytes(value, "big", signed=True) if serial <= LAST_INT_TYPE else serial - FALSE_TYPE
    return str(whole).encode()
