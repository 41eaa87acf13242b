"""Tables read as columns: SQLite concatenates a range of rows into one block, numpy takes it apart (``packed_fields``).

Measured against reading row by row: a schedule row costs about 1 instead of 3 microseconds, a contact 0.6 instead of
2. Rows that do not fit the packed form - separators in values, huge values - are read one by one with the same result.

Values mean the same on both ways: a text is ``CAST(x AS TEXT)``, an integer ``CAST(x AS INTEGER)``. A text above
VALUE_BYTES_MAX is cut to that many characters after white space is stripped, and gets a NUL at its end, so that it is
never mistaken for a short value; the only judgement this changes is that such an e-mail address is invalid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final, cast

import apsw
import numpy as np

from core.planning.columns import NULL_ID, Bool, Int32, Int64, SomeTexts, TextColumn
from core.planning.text_dates import DateColumn
from infra import packed_fields
from infra.packed_fields import KIND_SEPARATOR, MARK, SEPARATOR, VALUE_BYTES_MAX

CHUNK_ROWS: Final = 50_000
FIRST_KEY: Final = -(2**63)
"""Below all keys that are read."""
LAST_KEY: Final = 2**63 - 1
BLOCK_BYTES_MAX: Final = 64 * 2**20
"""Bound on a block (a chunk of ordinary rows has 5 MB); beyond it the chunk is read row by row."""

FEW_ROWS: Final = 256
"""So few rows are read one by one: a dozen statements and calls on columns cost more than they."""

_SLOW_ROWS: Final = 20_000
_SLOW_BYTES: Final = 16 * 2**20
_LOOK_ROWS: Final = 16
"""Rows between looks at how many bytes there are: at most a megabyte each, with all their texts cut."""
_STATEMENTS_MAX: Final = 64
"""Texts of statements that are kept: a dozen tables are read, in every run."""
_SQLITE_LENGTH_MAX: Final = 10**9
_WHITE_SPACE: Final = "char(9,10,11,12,13,32)"

KindText = tuple[bytes | None, ...]
Row = tuple[int | bytes | None, ...]


@dataclass(frozen=True, slots=True)
class PackedTable:
    """What to read of a table. All parts are constant SQL; column names are ours, never taken from a file."""

    table: str
    key: str
    """An integer column whose b-tree the table is: rows are read in ranges of it."""
    ints: tuple[str, ...] = ()
    """Integer columns, the key included if it is wanted."""
    flags: tuple[str, ...] = ()
    """Columns of which it matters whether they are neither NULL nor 0."""
    texts: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    """Text columns of dates."""
    rare_texts: tuple[str, ...] = ()
    """Text columns that are NULL in most rows."""
    kinds: tuple[str, ...] = ()
    """Text columns that are dictionary-encoded together."""
    int_kinds: tuple[str, ...] = ()
    """Integer columns that follow them there, written as text."""
    condition: str = ""
    """Further condition, with parameters from ``?3`` on; a ``+`` before each column keeps SQLite off other indexes."""

    @property
    def all_texts(self) -> tuple[str, ...]:
        """All columns of text that are no kinds, in the order in which they are read."""
        return (*self.texts, *self.dates, *self.rare_texts)

    @property
    def all_kinds(self) -> tuple[str, ...]:
        """All columns of a kind."""
        return (*self.kinds, *self.int_kinds)


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """Some rows of a PackedTable: one column per entry of its parts."""

    ints: tuple[Int64, ...]
    flags: tuple[Bool, ...]
    texts: tuple[TextColumn, ...]
    dates: tuple[DateColumn, ...]
    rare_texts: tuple[SomeTexts, ...]
    kind: Int32
    """Index into ``kinds``; all 0 where the table has no kinds."""
    kinds: tuple[KindText, ...]
    """Distinct; the rows need not have all of them."""


def read_chunks(
    db: apsw.Connection,
    table: PackedTable,
    parameters: tuple[str, ...] = (),
    *,
    chunk_rows: int = CHUNK_ROWS,
    keys: tuple[int, int] = (FIRST_KEY, LAST_KEY),
) -> Iterator[PackedChunk]:
    """Yield the rows with keys above ``keys[0]`` up to ``keys[1]``, about ``chunk_rows`` at a time; raises apsw.Error."""
    if not has_rows(db, table, min(FEW_ROWS, chunk_rows), keys[0]):
        yield from _read_rows(db, table, (*keys, *parameters))
        return
    packable = db.pragma("encoding") == "UTF-8"  # a UTF-16 file's text would be concatenated as UTF-16
    sql = packed_sql(table, _not_null(db, table)) if packable else ""
    low, last = keys
    while True:
        high = db.execute(bound_sql(table), (low, chunk_rows - 1)).get
        at_end = high is None or high >= last
        bounds = (low, last if at_end else high, *parameters)
        chunk = _read_packed(db, table, sql, bounds) if packable else None
        if chunk is not None:
            if len(chunk.kind):
                yield chunk
        else:
            yield from _read_rows(db, table, bounds)
        if at_end:
            return
        low = high


def has_rows(db: apsw.Connection, table: PackedTable, count: int, key: int = FIRST_KEY) -> bool:
    """Whether a table has more than so many rows above a key, whatever its condition."""
    return count == 0 or db.execute(bound_sql(table), (key, count)).get is not None


def bound_sql(table: PackedTable) -> str:
    """SQL of the key that ends the chunk after ``?1``: an index walk that decodes no row."""
    return f"SELECT {table.key} FROM {table.table} WHERE {table.key} > ?1 ORDER BY {table.key} LIMIT 1 OFFSET ?2"  # noqa: S608


@lru_cache(maxsize=_STATEMENTS_MAX)
def packed_sql(table: PackedTable, not_null: frozenset[str] = frozenset()) -> str:
    """SQL of one block: (rows, NULLs, block). One aggregate of one expression: a row cannot come apart.

    Columns of ``not_null`` are neither counted nor marked, which saves a tenth; should one hold NULL in spite of its
    constraint, ``concat_ws`` leaves it out and the block is refused.
    """
    separator, kind_separator = f"char({SEPARATOR})", f"char({KIND_SEPARATOR})"
    nullable = [name for name in (*table.ints, *table.all_texts, *table.all_kinds) if name not in not_null]

    def marked(name: str, value: str) -> str:
        return f"COALESCE({value}, char({MARK}))" if name in nullable else value

    fields = [
        *(marked(name, f"CAST({name} AS INTEGER)") for name in table.ints),
        *(_flag(name) for name in table.flags),
        *(marked(name, name) for name in table.all_texts),
    ]
    if table.all_kinds:
        kinds = [
            *(marked(name, name) for name in table.kinds),
            *(marked(name, f"CAST({name} AS INTEGER)") for name in table.int_kinds),
        ]
        fields.append(f"concat_ws({kind_separator}, {', '.join(kinds)})")
    row = f"concat_ws({separator}, {', '.join(fields)})"
    nulls = " + ".join(["0", *(f"count(*) - count({name})" for name in nullable)])
    return f"SELECT count(*), {nulls}, CAST(group_concat({row}, {separator}) AS BLOB) {_range_sql(table)}"


@lru_cache(maxsize=_STATEMENTS_MAX)
def rows_sql(table: PackedTable) -> str:
    """SQL of the same rows one by one; texts are BLOBs in the encoding of the file."""
    fields = [
        *(f"CAST({name} AS INTEGER)" for name in table.ints),
        *(_flag(name) for name in table.flags),
        *(_bounded_text(name) for name in (*table.all_texts, *table.kinds)),
        *(f"CAST(CAST({name} AS INTEGER) AS BLOB)" for name in table.int_kinds),
    ]
    return f"SELECT {', '.join(fields)} {_range_sql(table)} ORDER BY {table.key}"


def _flag(name: str) -> str:
    return f"COALESCE({name}, 0) <> 0"


def _range_sql(table: PackedTable) -> str:
    condition = f" AND {table.condition}" if table.condition else ""
    return f"FROM {table.table} WHERE {table.key} > ?1 AND {table.key} <= ?2{condition}"


def _bounded_text(name: str) -> str:
    cut = f"substr(trim({name}, {_WHITE_SPACE}), 1, {VALUE_BYTES_MAX}) || char(0)"
    return f"CAST(CASE WHEN octet_length({name}) > {VALUE_BYTES_MAX} THEN {cut} ELSE CAST({name} AS TEXT) END AS BLOB)"


def _not_null(db: apsw.Connection, table: PackedTable) -> frozenset[str]:
    """Name the columns that the stored table declares NOT NULL, or that are its rowid."""
    columns = db.execute('SELECT name FROM pragma_table_info(?) WHERE "notnull"', (table.table,))
    return frozenset(str(name).lower() for (name,) in columns) | {table.key}


def _read_packed(
    db: apsw.Connection, table: PackedTable, sql: str, bounds: tuple[int | str, ...]
) -> PackedChunk | None:
    """Read a range as one block; None where it has to be read row by row."""
    db.limit(apsw.SQLITE_LIMIT_LENGTH, BLOCK_BYTES_MAX)
    try:
        rows, nulls, block = cast("tuple[int, int, bytes]", db.execute(sql, bounds).fetchall()[0])
    except apsw.TooBigError:
        return None
    finally:
        db.limit(apsw.SQLITE_LIMIT_LENGTH, _SQLITE_LENGTH_MAX)
    if not rows:
        return _chunk_of_rows(table, [])
    first_flag, first_text = len(table.ints), len(table.ints) + len(table.flags)
    first_kind = first_text + len(table.all_texts)
    fields = first_kind + bool(table.all_kinds)
    packed = packed_fields.split(block, rows=rows, fields=fields, kind_fields=len(table.all_kinds), nulls=nulls)
    if packed is None:
        return None
    ints = [packed_fields.int_column(packed, field) for field in range(first_flag)]
    flags = [packed_fields.flag_column(packed, field) for field in range(first_flag, first_text)]
    texts = [packed_fields.text_column(packed, field) for field in range(first_text, first_kind)]
    kind: tuple[Int32, tuple[KindText, ...]] | None = np.zeros(rows, dtype=np.int32), ((),)
    if table.all_kinds:
        kind = packed_fields.kind_column(packed, first_kind)
    if kind is None or any(column is None for column in (*ints, *texts)):
        return None
    return _chunk(
        table,
        tuple(column for column in ints if column is not None),
        tuple(flags),
        tuple(column for column in texts if column is not None),
        kind,
    )


def _chunk(
    table: PackedTable,
    ints: tuple[Int64, ...],
    flags: tuple[Bool, ...],
    texts: tuple[TextColumn, ...],
    kind: tuple[Int32, tuple[KindText, ...]],
) -> PackedChunk:
    """Sort the texts by what they are read as."""
    first_date = len(table.texts)
    first_rare = first_date + len(table.dates)
    dates = tuple(DateColumn.of(column) for column in texts[first_date:first_rare])
    rare_texts = tuple(SomeTexts.of(column) for column in texts[first_rare:])
    return PackedChunk(ints, flags, texts[:first_date], dates, rare_texts, *kind)


def _read_rows(db: apsw.Connection, table: PackedTable, bounds: tuple[int | str, ...]) -> Iterator[PackedChunk]:
    """Read a range row by row, in chunks bounded by rows and by bytes."""
    encoding = str(db.pragma("encoding"))
    first_text = len(table.ints) + len(table.flags)
    rows: list[Row] = []
    size_bytes = 0
    cursor = cast("Iterator[Row]", db.execute(rows_sql(table), bounds))
    while some := list(islice(cursor, _LOOK_ROWS)):
        if encoding != "UTF-8":
            some = [tuple(_as_utf8(value, encoding) for value in row) for row in some]
        rows += some
        for column in islice(zip(*some, strict=True), first_text, None):
            size_bytes += sum(map(len, filter(None, cast("tuple[bytes | None, ...]", column))))
        if len(rows) >= _SLOW_ROWS or size_bytes >= _SLOW_BYTES:
            yield _chunk_of_rows(table, rows)
            rows, size_bytes = [], 0
    if rows:
        yield _chunk_of_rows(table, rows)


def _as_utf8(value: int | bytes | None, encoding: str) -> int | bytes | None:
    """Return UTF-16 as UTF-8. What is none - a half of a pair, a BLOB of odd length - is marked, and stops no run (R97)."""
    if not isinstance(value, bytes):
        return value
    return value.decode("utf-16-be" if encoding.endswith("be") else "utf-16-le", "replace").encode()


def _chunk_of_rows(table: PackedTable, rows: list[Row]) -> PackedChunk:
    first_flag, first_text = len(table.ints), len(table.ints) + len(table.flags)
    first_kind = first_text + len(table.all_texts)
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in range(first_kind + len(table.all_kinds))]
    return _chunk(
        table,
        tuple(
            np.array([NULL_ID if value is None else value for value in column] if None in column else column, np.int64)
            for column in columns[:first_flag]
        ),
        tuple(np.array(column, dtype=np.int64) != 0 for column in columns[first_flag:first_text]),
        tuple(TextColumn.of(column) for column in columns[first_text:first_kind]),
        _kinds_of_rows(table, [cast("KindText", kind) for kind in zip(*columns[first_kind:], strict=True)], len(rows)),
    )


def _kinds_of_rows(table: PackedTable, kinds: list[KindText], count: int) -> tuple[Int32, tuple[KindText, ...]]:
    if not table.all_kinds:
        return np.zeros(count, dtype=np.int32), ((),)
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    return np.array([numbers[kind] for kind in kinds], dtype=np.int32), tuple(numbers)
