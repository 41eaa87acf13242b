"""Tables read as columns straight from the leaves of their b-trees: the fast way of ``packed_read``, same result.

A schedule row costs a quarter of a microsecond so, one or more when SQLite takes it apart and puts it together again.
Where a stretch of leaves holds anything that this way does not understand (``btree_cells``), SQLite reads the keys of
that stretch; where the file or the table is out of the ordinary, it reads everything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, cast

import apsw
import numpy as np

from core.planning.columns import UInt8
from infra import btree_cells, btree_values
from infra.btree_cells import COLUMNS_MAX, IS_INTEGER, IS_TEXT, Cells, RecordColumns
from infra.btree_kinds import LeafKinds, SeenKinds, fits_in_kinds
from infra.btree_layouts import Layouts, Records, records_one_by_one
from infra.btree_pages import PageFormat, leaf_pages, read_pages
from infra.packed_read import CHUNK_ROWS, FIRST_KEY, PackedChunk, PackedTable, has_rows, read_chunks

ROWS_MIN: Final = 1000
"""A smaller table is read by SQLite: what the calls on columns cost is more than what they save."""
LEAVES_MIN: Final = 2
"""So is a table of one page."""

_ROWS_PER_LEAF: Final = 32
_BLOCK_LEAVES: Final = 384
"""1.5 MB of ordinary pages: small enough that a second look at a record finds it in the cache, large enough that
numpy's calls weigh little."""
_TABLE_SQL: Final = "SELECT rootpage, sql FROM sqlite_schema WHERE type = 'table' AND lower(name) = ?"
_COLUMNS_SQL: Final = """
SELECT (SELECT count(*) FROM pragma_index_list(?1) WHERE origin = 'pk'), cid, lower(name), upper(type), pk, hidden
FROM pragma_table_xinfo(?1)"""
_TABLES_KNOWN_MAX: Final = 4
_POSITIONS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a table's columns are in its records."""

    root: int
    positions: dict[str, int]
    """Position by column name in lower case; the key is not among them: it is the rowid."""


def read_table(
    db: apsw.Connection, table: PackedTable, parameters: tuple[str, ...] = (), *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[PackedChunk]:
    """Yield all rows of a table, by key, at most about ``chunk_rows`` at a time; raises apsw.Error."""
    plain = not table.condition and not parameters and has_rows(db, table, ROWS_MIN)
    places = _places(db, table) if plain else None
    leaves = None if places is None else leaf_pages(db, places.root)
    if places is None or leaves is None or len(leaves.numbers) < LEAVES_MIN:
        yield from read_chunks(db, table, parameters, chunk_rows=chunk_rows)
        return
    reader = _LeafReader(table, places)
    per_chunk = min(max(1, chunk_rows // _ROWS_PER_LEAF), _BLOCK_LEAVES)
    low = FIRST_KEY
    for first in range(0, len(leaves.numbers), per_chunk):
        part = slice(first, first + per_chunk)
        keys = low, int(leaves.last_keys[part][-1])
        chunk = reader.read(read_pages(db, leaves.format, leaves.numbers[part]), leaves.format, keys)
        if chunk is None:
            yield from read_chunks(db, table, chunk_rows=chunk_rows, keys=keys)
        elif len(chunk.kind):
            yield chunk
        low = keys[1]
    reader.done()


def _places(db: apsw.Connection, table: PackedTable) -> _Places | None:
    """Return where the columns are; None for tables whose records do not simply list them."""
    found = cast("list[tuple[int, str]]", db.execute(_TABLE_SQL, (table.table,)).fetchall())
    if not found:
        return None
    ((root, created),) = found
    like = table, created
    if like not in _POSITIONS:
        if len(_POSITIONS) >= _POSITIONS_MAX:
            _POSITIONS.clear()
        _POSITIONS[like] = _positions(db, table)
    positions = _POSITIONS[like]
    return None if positions is None else _Places(root, positions)


def _positions(db: apsw.Connection, table: PackedTable) -> dict[str, int] | None:
    """Return the same but for the root: that the statement says which created the table."""
    columns = cast("list[tuple[int, int, str, str, int, int]]", db.execute(_COLUMNS_SQL, (table.table,)).fetchall())
    positions: dict[str, int] = {}
    key_columns = []
    indexed_key = columns[0][0] if columns else 0
    for _, position, name, declared, key_part, hidden in columns:
        if hidden or _is_real(declared):  # an integer in a REAL column is stored as one and means another text
            return None
        if key_part:
            key_columns.append((name, declared))
        positions[name] = position
    wanted = {*table.ints, *table.flags, *table.all_texts, *table.all_kinds}
    if indexed_key or key_columns != [(table.key, "INTEGER")] or not wanted <= positions.keys():
        return None
    del positions[table.key]
    wanted.discard(table.key)
    if table.key in {*table.flags, *table.all_texts, *table.all_kinds}:
        return None
    if any(positions[name] >= COLUMNS_MAX for name in wanted):
        return None
    return positions


def _is_real(declared: str) -> bool:
    return any(word in declared for word in ("REAL", "FLOA", "DOUB"))


_POSITIONS: dict[tuple[PackedTable, str], dict[str, int] | None] = {}
"""Positions of columns by what is read and the statement that created the table: asking anew costs a tenth of a
millisecond in every run."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was learned of a table's records while they were read."""

    layouts: Layouts
    kinds: LeafKinds

    @property
    def is_full(self) -> bool:
        """Whether that is more than is worth remembering."""
        return self.layouts.is_full or self.kinds.is_full


_KNOWN: dict[tuple[PackedTable, tuple[tuple[str, int], ...]], _Known | None] = {}
"""By table and places of its columns. A reader takes it out, so that no two have the same."""


class _LeafReader:
    """Reads stretches of leaves of one table."""

    def __init__(self, table: PackedTable, places: _Places) -> None:
        self._table = table
        self._key = table.key

        def at(names: tuple[str, ...]) -> tuple[int, ...]:
            return tuple(places.positions.get(name, -1) for name in names)

        self._ints, self._flags, self._texts = at(table.ints), at(table.flags), at(table.texts)
        self._dates, self._rare_texts, self._kind = at(table.dates), at(table.rare_texts), at(table.all_kinds)
        self._whole = [*(column for column in self._ints if column >= 0), *self._flags, *at(table.int_kinds)]
        self._count = 1 + max((*self._whole, *at(table.all_texts), *self._kind), default=0)
        # Layouts and kinds are much the same in all orgs: who reads such a table borrows what the last one learned.
        self._like = (table, tuple(places.positions.items()))
        known = _KNOWN.pop(self._like, None)
        self._known = self._nothing_known() if known is None else known
        self._seen = SeenKinds(self._known.kinds)

    def done(self) -> None:
        """Leave what was learned to the next reader."""
        if self._kind and not self._known.is_full:
            if len(_KNOWN) >= _TABLES_KNOWN_MAX:
                _KNOWN.clear()
            _KNOWN[self._like] = self._known

    def read(self, block: UInt8, page_format: PageFormat, keys: tuple[int, int]) -> PackedChunk | None:
        """Return the rows of some leaves, None where SQLite has to read them; ``keys`` as in ``read_chunks``."""
        cells = btree_cells.cells_of(block, page_format)
        if cells is None:
            return None
        key = cells.key
        if key[0] <= keys[0] or key[-1] > keys[1] or bool((key[1:] <= key[:-1]).any()):
            return None
        records = self._records(cells)
        if records is None:
            self._forget()
            return None
        kind = self._seen.read(records) if self._kind else np.zeros(len(key), dtype=np.int32)
        return PackedChunk(
            ints=tuple(key if column < 0 else btree_values.int_values(records, column) for column in self._ints),
            flags=tuple(btree_values.flag_values(records, column) for column in self._flags),
            texts=tuple(btree_values.text_values(records, column) for column in self._texts),
            dates=btree_values.date_values(records, self._dates),
            rare_texts=tuple(btree_values.some_texts(records, column) for column in self._rare_texts),
            kind=kind,
            kinds=self._seen.kinds if self._kind else ((),),
        )

    def _records(self, cells: Cells) -> Records | None:
        """Find the columns; only tables with kinds have few layouts."""
        if not self._kind:
            return records_one_by_one(cells, self._count, self._fits)
        if self._known.is_full:
            self._forget()
        return self._known.layouts.of(cells, self._fits)

    def _nothing_known(self) -> "_Known":
        return _Known(Layouts(self._count), LeafKinds(self._kind))

    def _forget(self) -> None:
        self._known = self._nothing_known()
        self._seen = SeenKinds(self._known.kinds)

    def _fits(self, columns: RecordColumns) -> bool:
        """Whether all values are of the types that are expected."""
        texts = [*self._texts, *self._dates, *self._rare_texts]
        return (
            bool(IS_INTEGER[columns.serial[self._whole]].all())
            and bool(IS_TEXT[columns.serial[texts]].all())
            and (not self._kind or fits_in_kinds(columns, self._kind))
        )
