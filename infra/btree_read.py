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

from core.planning.columns import Int16, Int32, Int64
from infra import btree_cells, packed_fields
from infra.btree_cells import FALSE_TYPE, FIRST_TEXT_TYPE, LAST_INT_TYPE, Cells, RecordColumn
from infra.btree_pages import LeafPages, leaf_pages, read_pages
from infra.packed_read import CHUNK_ROWS, FIRST_KEY, KindText, PackedChunk, PackedTable, read_chunks

LEAVES_MIN: Final = 2
"""A table of one page is read by SQLite: nothing is gained, and small orgs need no more code to be right."""

_ROWS_PER_LEAF: Final = 32
_KIND_COLUMNS_MAX: Final = 8
"""As many serial types fit into one word."""
_KIND_SERIAL_MAX: Final = 255
_KIND_BYTES_MAX: Final = 512
_KINDS_KEPT_MAX: Final = 10_000


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


class _LeafReader:
    """Reads stretches of leaves of one table."""

    def __init__(self, table: PackedTable, layout: _Layout) -> None:
        self._table = table
        self._at = layout.positions
        names = (*table.ints, *table.flags, *table.texts, *table.kinds)
        self._wanted = frozenset(self._at[name] for name in names if name in self._at)
        self._kinds: dict[bytes, KindText] = {}
        """By shape and bytes: most stretches of leaves hold the same few hundred."""

    def read(self, db: apsw.Connection, leaves: LeafPages, part: slice, keys: tuple[int, int]) -> PackedChunk | None:
        """Return the rows of some leaves, None where SQLite has to read them; ``keys`` as in ``read_chunks``."""
        cells = btree_cells.cells_of(read_pages(db, leaves.format, leaves.numbers[part]), leaves.format)
        if cells is None or not len(cells.key):
            return None
        if cells.key[0] <= keys[0] or cells.key[-1] > keys[1] or bool((cells.key[1:] <= cells.key[:-1]).any()):
            return None
        columns = btree_cells.record_columns(cells, self._wanted)
        return None if columns is None else self._chunk(cells, columns)

    def _chunk(self, cells: Cells, columns: dict[int, RecordColumn]) -> PackedChunk | None:
        data, table = cells.data, self._table
        ints = [
            cells.key if name == table.key else btree_cells.int_values(data, columns[self._at[name]])
            for name in table.ints
        ]
        flags = [btree_cells.flag_values(data, columns[self._at[name]]) for name in table.flags]
        texts = [btree_cells.text_values(data, columns[self._at[name]]) for name in table.texts]
        kind: tuple[Int32, tuple[KindText, ...]] | None = np.zeros(len(cells.key), dtype=np.int32), ((),)
        if table.kinds:
            kind = self._kind(cells, columns)
        if kind is None or any(column is None for column in (*ints, *flags, *texts)):
            return None
        return PackedChunk(
            tuple(column for column in ints if column is not None),
            tuple(column for column in flags if column is not None),
            tuple(column for column in texts if column is not None),
            *kind,
        )

    def _kind(self, cells: Cells, columns: dict[int, RecordColumn]) -> tuple[Int32, tuple[KindText, ...]] | None:
        """Number the distinct combinations of the kind columns: of equal serial types and equal bytes."""
        parts = [columns[self._at[name]] for name in self._table.kinds]
        shape = np.zeros(len(cells.key), dtype=np.uint64)
        for part in parts:
            if not _is_kind(part.serial):
                return None
            shape <<= np.uint64(8)
            shape |= part.serial.astype(np.uint64)
        tables = [shape[:, np.newaxis]]
        for start, end in _runs([columns[position] for position in sorted(self._at[n] for n in self._table.kinds)]):
            if int((end - start).max()) > _KIND_BYTES_MAX:
                return None
            tables.append(packed_fields.masked_words(cells.data, start, end - start))
        numbered = packed_fields.number_distinct(tables)
        if numbered is None:
            return None
        kind, rows = numbered
        return kind, tuple(
            self._kind_text(b"".join(table[row].tobytes() for table in tables), cells, parts, row)
            for row in rows.tolist()
        )

    def _kind_text(self, key: bytes, cells: Cells, parts: list[RecordColumn], row: int) -> KindText:
        found = self._kinds.get(key)
        if found is None:
            raw = [(int(p.serial[row]), bytes(cells.data[p.start[row] : p.end[row]])) for p in parts]
            found = tuple(_kind_value(serial, value) for serial, value in raw)
            if len(self._kinds) < _KINDS_KEPT_MAX:
                self._kinds[key] = found
        return found


def _is_kind(serial: Int16) -> bool:
    """Whether all values are short texts, integers or NULL."""
    if int(serial.max()) > _KIND_SERIAL_MAX:
        return False
    text = (serial >= FIRST_TEXT_TYPE) & (serial & 1 == 1)
    whole = (serial <= LAST_INT_TYPE) | (serial == FALSE_TYPE) | (serial == FALSE_TYPE + 1)
    return bool((text | whole).all())


def _runs(columns: list[RecordColumn]) -> Iterator[tuple[Int64, Int64]]:
    """Join columns that follow each other: their bytes are looked at in one go."""
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
