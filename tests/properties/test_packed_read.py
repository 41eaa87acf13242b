"""The packed read and the row-by-row read of a table are one function: whatever a table holds, both say the same."""

import math
from collections.abc import Iterator

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.planning.calendar import to_date
from core.planning.columns import NO_DAY, NULL_ID, SomeTexts, TextColumn
from core.planning.text_dates import DateColumn
from infra import packed_read
from infra.packed_read import PackedChunk, PackedTable, packed_sql, read_chunks, rows_sql

TABLE = PackedTable(
    table="t",
    key="id",
    ints=("id", "n"),
    flags=("f",),
    texts=("a", "b"),
    dates=("a", "b"),
    rare_texts=("b",),
    kinds=("k", "p", "a2"),
    int_kinds=("n",),
)

Value = None | int | float | str | bytes
Row = tuple[int | None, int | None, Value, Value, Value, Value, Value]
PlainRow = tuple[list[int], list[bool], list[bytes | None], tuple[bytes | None, ...]]
Cells = st.SearchStrategy[Value]

ordinary = st.sampled_from(["", "a@example.com", "2024-02-29", "birthday", " x ", "é", "日本", "0"])
nasty = st.one_of(
    st.text(max_size=6),
    st.text(alphabet="\x1d\x1e\x1f\x00ab", max_size=4),
    st.binary(max_size=5),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.just("long" * 200),
)
value: Cells = st.one_of(st.none(), ordinary, nasty)
plain: Cells = st.one_of(st.none(), ordinary)
integer = st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1), st.integers(-20, 1200))


@pytest.fixture(autouse=True, scope="module")
def as_if_large() -> Iterator[None]:
    """Small tables are read like large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_read, "FEW_ROWS", 0)
        yield


def rows_of(cell: Cells) -> st.SearchStrategy[list[Row]]:
    return st.lists(st.tuples(integer, integer, cell, cell, cell, cell, cell), max_size=30)


def table_of(rows: list[Row], encoding: str = "UTF-8") -> apsw.Connection:
    db = apsw.Connection(":memory:")
    db.pragma("encoding", encoding)
    # No declared types: every value keeps the storage class that hypothesis gave it.
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n, f, a, b, k, p, a2)")
    ids: dict[int, list[Value]] = {}
    for key, *rest in rows:
        ids[NULL_ID + 1 if key is None else key] = rest
    db.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(key, *rest, None) for key, rest in ids.items()])
    db.execute("UPDATE t SET a2 = b WHERE n > 0")
    return db


def plain_rows(chunks: list[PackedChunk]) -> list[PlainRow]:
    found = []
    for chunk in chunks:
        for row in range(len(chunk.kind)):
            assert all(t.start[row] <= t.end[row] for t in chunk.texts)
            texts = [
                *(raw(t, row) for t in chunk.texts),
                *(date_text(d, row) for d in chunk.dates),
                *(some_text(t, row) for t in chunk.rare_texts),
            ]
            ints = [int(column[row]) for column in chunk.ints]
            found.append((ints, [bool(flag[row]) for flag in chunk.flags], texts, chunk.kinds[chunk.kind[row]]))
    return found


def raw(column: TextColumn, row: int) -> bytes | None:
    return None if column.null[row] else bytes(column.data[column.start[row] : column.end[row]])


def some_text(column: SomeTexts, row: int) -> bytes | None:
    """The text of a row: NULL where nothing is said of it."""
    places = column.rows.tolist()
    return raw(column.texts, places.index(row)) if row in places else None


def date_text(column: DateColumn, row: int) -> bytes | None:
    """The text that a date had: what is no exact date is kept as it was written."""
    day = int(column.days[row])
    assert day == NO_DAY or row not in column.odd.rows
    return some_text(column.odd, row) if day == NO_DAY else to_date(day).isoformat().encode()


def slow_rows(db: apsw.Connection) -> list[PlainRow]:
    bounds = (-(2**63), 2**63 - 1)
    return plain_rows(list(packed_read._read_rows(db, TABLE, bounds)))


@settings(max_examples=150, deadline=None)
@given(rows=st.one_of(rows_of(plain), rows_of(value)), chunk_rows=st.sampled_from([1, 3, 100]))
@example(rows=[(1, 2, "\x1e", None, None, None, None)], chunk_rows=100)
@example(rows=[(1, 2, "\x1e", None, "\x1f", None, None), (2, None, None, None, "", "", None)], chunk_rows=100)
@example(rows=[(1, 2, None, None, None, "\x1d", None)], chunk_rows=100)
@example(rows=[(-5, -(2**63), "", "", "", "", "")], chunk_rows=1)
@example(rows=[(1, "12abc", "yes", b"\xff\x00", math.pi, "x", "1e3")], chunk_rows=1)
def test_packed_rows_are_the_rows_read_one_by_one(rows: list[Row], chunk_rows: int) -> None:
    db = table_of(rows)
    assert plain_rows(list(read_chunks(db, TABLE, chunk_rows=chunk_rows))) == slow_rows(db)


@settings(max_examples=60, deadline=None)
@given(rows=rows_of(plain))
def test_ordinary_rows_take_the_packed_way(rows: list[Row]) -> None:
    db = table_of(rows)
    packed = packed_read._read_packed(db, TABLE, packed_sql(TABLE), (-(2**63), 2**63 - 1))
    assert packed is not None
    assert plain_rows([packed]) == slow_rows(db)


@settings(max_examples=40, deadline=None)
@given(rows=rows_of(value))
def test_rows_read_one_by_one_mean_what_sqlite_casts(rows: list[Row]) -> None:
    db = table_of(rows)
    expected = [
        ([key, NULL_ID if n is None else n], [bool(flag)], [a, b, a, b, b], (k, p, a2, i))
        for key, n, flag, a, b, k, p, a2, i in db.execute(
            "SELECT id, CAST(n AS INTEGER), COALESCE(f, 0) <> 0, CAST(CAST(a AS TEXT) AS BLOB), "
            "CAST(CAST(b AS TEXT) AS BLOB), CAST(CAST(k AS TEXT) AS BLOB), CAST(CAST(p AS TEXT) AS BLOB), "
            "CAST(CAST(a2 AS TEXT) AS BLOB), CAST(CAST(CAST(n AS INTEGER) AS TEXT) AS BLOB) FROM t ORDER BY id"
        )
    ]
    assert slow_rows(db) == expected


@settings(max_examples=40, deadline=None)
@given(rows=rows_of(plain))
def test_a_utf16_file_reads_like_a_utf8_file(rows: list[Row]) -> None:
    wide, narrow = table_of(rows, "UTF-16"), table_of(rows)
    assert plain_rows(list(read_chunks(wide, TABLE))) == plain_rows(list(read_chunks(narrow, TABLE)))


def test_half_a_pair_in_a_utf16_file_stops_no_run() -> None:
    db = table_of([(1, 1, None, "a@example.com", b"\x00\xd8", "kind", None)], "UTF-16le")
    (row,) = plain_rows(list(read_chunks(db, TABLE)))
    assert row[2][:2] == [b"a@example.com", "\ufffd".encode()]
    assert row[3][0] == b"kind"


@pytest.mark.parametrize("wide", ["é", "x"])
def test_a_huge_value_is_cut_after_its_white_space_and_marked(wide: str) -> None:
    db = table_of([(1, 1, None, "  \n" + wide * 70_000, " " * 70_000, None, None)])
    (row,) = plain_rows(list(read_chunks(db, TABLE)))
    assert row[2][:2] == [wide.encode() * 65_536 + b"\0", b"\0"]


def test_a_chunk_above_the_block_bound_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    db = table_of([(n, n, None, "x" * 50_000, None, None, None) for n in range(100)])
    monkeypatch.setattr(packed_read, "BLOCK_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(packed_read, "_SLOW_BYTES", 300_000)
    chunks = list(read_chunks(db, TABLE))
    assert len(chunks) > 4
    assert [row[0][0] for row in plain_rows(chunks)] == list(range(100))


def test_the_slow_way_keeps_the_order_of_keys() -> None:
    assert rows_sql(TABLE).endswith("ORDER BY id")


def test_a_null_that_a_constraint_forbids_is_read_as_null() -> None:
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n, f, a, b, k, p, a2)")
    db.execute("INSERT INTO t (id, a) VALUES (1, NULL), (2, 'x')")
    db.execute("PRAGMA writable_schema = 1")
    db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'f, a,', 'f, a NOT NULL,')")
    db.execute("PRAGMA writable_schema = RESET")
    (chunk,) = read_chunks(db, TABLE)
    assert packed_read._not_null(db, TABLE) == {"id", "a"}
    assert [chunk.texts[0].value(row) for row in (0, 1)] == [None, "x"]
