"""Reading leaves of the b-tree and reading through SQL are one function, whatever a table holds and went through."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.planning.columns import NULL_ID
from infra import btree_read, packed_read
from infra.btree_read import read_table
from infra.packed_read import PackedTable, read_chunks
from tests.properties.test_packed_read import PlainRow, plain_rows

EXAMPLES = int(os.environ.get("BTREE_EXAMPLES", "60"))

TABLE = PackedTable(
    table="t",
    key="id",
    ints=("id", "n"),
    flags=("f",),
    texts=("a", "b"),
    dates=("d", "e"),
    rare_texts=("r",),
    kinds=("k", "p", "c"),
    int_kinds=("i",),
)
NAMES = "id, n, k, p, a, f, b, c, d, e, r, i, extra"
COLUMNS = (
    "id INTEGER PRIMARY KEY, n INTEGER, k TEXT, p INTEGER, a TEXT, f INTEGER, b TEXT, c TEXT, d TEXT, e TEXT, r TEXT, "
    "i INTEGER, extra"
)

Value = None | int | float | str | bytes

ordinary_text = st.sampled_from([None, "", "a@example.com", "2024-02-29", "birthday", " x ", "é", "日本", "x" * 56])
date = st.sampled_from(
    [None, "2024-02-29", "2023-02-29", "1999-12-31", "2024-13-01", " 2024-01-01", "2024-01-01 00:00"]
)
long_text = st.sampled_from([None, "y", "x" * 57, "x" * 58, "z" * 300, "w" * 5000, "v" * 70_000, "\x1d\x1e\x1f\x00"])
any_value = st.one_of(
    ordinary_text, long_text, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=200)
)
whole = st.one_of(st.none(), st.sampled_from([0, 1, -1, 127, -128, 2**31, -(2**47), 2**62, -(2**63) + 1]))
keys = st.one_of(st.integers(1, 400), st.sampled_from([2**28, 2**35 + 1, 2**55, 2**56, 2**62, -1, -(2**62)]))


@pytest.fixture(autouse=True, scope="module")
def as_if_large() -> Iterator[None]:
    """Small tables are read like large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_read, "FEW_ROWS", 0)
        patch.setattr(btree_read, "ROWS_MIN", 0)
        yield


@contextmanager
def reading(file: Path) -> Iterator[apsw.Connection]:
    db = apsw.Connection(str(file))
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    yield db
    db.execute("ROLLBACK")
    db.close()


def both_ways(file: Path, chunk_rows: int = 40) -> tuple[list[PlainRow], list[PlainRow]]:
    with reading(file) as db:
        leaves = plain_rows(list(read_table(db, TABLE, chunk_rows=chunk_rows)))
        return leaves, plain_rows(list(read_chunks(db, TABLE)))


def ordinary_rows(count: int, seed: int = 1) -> list[tuple[Value, ...]]:
    """Rows such as the product stores: they must all take the fast way."""
    random = Random(seed)
    kinds = [("birthday", 10, None), ("aep", 30, "exclusion:year_round:NY"), ("post_window", 40, "")]
    rows: list[tuple[Value, ...]] = []
    for key in range(1, count + 1):
        kind, priority, reason = kinds[random.randrange(3)]
        number = random.choice([None, 0, 1, 7, 300, 70_000, 2**40, -5])
        text = f"{random.randrange(10**6)}@example.com"
        dates = (f"20{random.randrange(10, 40)}-0{random.randrange(1, 10)}-1{random.randrange(10)}" for _ in range(2))
        sent = random.choice([None, None, "2024-01-25 08:54:00"])
        flag, instance = random.choice([0, 1, None, 4]), random.choice([None, None, 3, 300])
        rows.append((key * 3, number, kind, priority, text, flag, None, reason, *dates, sent, instance, "rest" * 5))
    return rows


def store(file: Path, rows: list[tuple[Value, ...]], *, columns: str = COLUMNS, setup: str = "") -> None:
    db = apsw.Connection(str(file))
    db.execute(f"{setup} CREATE TABLE other (x); CREATE TABLE t ({columns}); BEGIN").fetchall()
    db.executemany(f"INSERT OR REPLACE INTO t VALUES ({', '.join('?' * len(rows[0]))})", rows)
    db.execute("COMMIT")
    db.close()


@pytest.fixture
def sql_reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int] | None]:
    """The key ranges that were left to SQLite; None for a whole table."""
    asked: list[tuple[int, int] | None] = []

    def spy(db: apsw.Connection, table: PackedTable, *args: object, **options: object) -> object:
        asked.append(options.get("keys"))  # type: ignore[arg-type] # what read_table passes
        return read_chunks(db, table, *args, **options)  # type: ignore[arg-type] # passed on as it came

    monkeypatch.setattr(btree_read, "read_chunks", spy)
    return asked


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    page_bytes=st.sampled_from([512, 1024, 4096, 65_536]),
    cell=st.sampled_from([ordinary_text, long_text, any_value]),
    number=st.sampled_from([whole, any_value]),
    chunk_rows=st.sampled_from([1, 64, 100_000]),
)
def test_leaves_say_what_sql_says(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    page_bytes: int,
    cell: st.SearchStrategy[Value],
    number: st.SearchStrategy[Value],
    chunk_rows: int,
) -> None:
    file = tmp_path_factory.mktemp("t") / "t.db"
    row = st.tuples(keys, number, cell, number, cell, number, cell, cell, date | cell, date | cell, cell, number, cell)
    rows = [*ordinary_rows(data.draw(st.integers(0, 120))), *data.draw(st.lists(row, max_size=40))]
    typed = data.draw(st.booleans())
    # Everything is drawn before anything is done: an error in between would look like a strategy that draws differently.
    how = data.draw(st.sampled_from(["", "holes", "moved", "added", "added default", "dropped", "vacuumed"]))
    columns = COLUMNS if typed else NAMES.replace("id", "id INTEGER PRIMARY KEY")
    store(file, rows or ordinary_rows(1), columns=columns, setup=f"PRAGMA page_size = {page_bytes};")
    change(file, how)
    leaves, sql = both_ways(file, chunk_rows)
    assert leaves == sql


def change(file: Path, how: str) -> None:
    """Do to a table what happens to tables: rows go, rows grow, columns come and go."""
    db = apsw.Connection(str(file))
    match how:
        case "holes":
            db.execute("DELETE FROM t WHERE id % 4 = 0 OR id BETWEEN 50 AND 150")
        case "moved":
            db.execute("UPDATE t SET extra = printf('%.*c', 700, 'm') WHERE id % 5 = 0")
            db.execute("INSERT INTO other SELECT extra FROM t; DELETE FROM t WHERE id % 7 = 0")
            db.execute("INSERT INTO t (n, k, a) SELECT n, k, a FROM t WHERE id < 2000")
        case "added":
            db.execute("ALTER TABLE t RENAME COLUMN c TO old; ALTER TABLE t ADD COLUMN c TEXT")
            db.execute("INSERT INTO t (n, k, a, c) VALUES (1, 'k', 'a', 'new')")
        case "added default":
            db.execute("ALTER TABLE t RENAME COLUMN b TO old; ALTER TABLE t ADD COLUMN b TEXT NOT NULL DEFAULT 'def'")
        case "dropped":
            db.execute("ALTER TABLE t DROP COLUMN extra")
        case "vacuumed":
            db.execute("DELETE FROM t WHERE id % 4 = 0; VACUUM")
    db.close()


def test_ordinary_rows_take_the_fast_way(tmp_path: Path, sql_reads: list[object]) -> None:
    file = tmp_path / "t.db"
    store(file, ordinary_rows(3000))
    change(file, "holes")
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert len(leaves) > 1000
    assert sql_reads == []


def test_one_odd_row_costs_its_own_stretch_only(tmp_path: Path, sql_reads: list[tuple[int, int]]) -> None:
    file = tmp_path / "t.db"
    rows = ordinary_rows(3000)
    rows[1500] = (*rows[1500][:4], 3.5, *rows[1500][5:])
    store(file, rows, columns=COLUMNS.replace("a TEXT", "a"))
    leaves, sql = both_ways(file)
    assert leaves == sql
    (keys_read,) = sql_reads
    assert keys_read[0] < 1501 * 3 <= keys_read[1]
    assert keys_read[1] - keys_read[0] < 1000


def test_values_past_the_wanted_ones_may_be_as_long_as_they_like(tmp_path: Path, sql_reads: list[object]) -> None:
    file = tmp_path / "t.db"
    store(file, [(*row[:-1], "notes" * 2000) for row in ordinary_rows(300)])
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert sql_reads == []


def test_texts_of_more_than_57_bytes_take_the_fast_way(tmp_path: Path, sql_reads: list[object]) -> None:
    file = tmp_path / "t.db"
    store(file, [(*row[:6], "street" * 15, *row[7:]) for row in ordinary_rows(300)])
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert sql_reads == []


def test_long_texts_in_some_leaves_of_a_wide_table(tmp_path: Path, sql_reads: list[object]) -> None:
    """Whole headers are compared where a text is long, and their beginnings where none is: in any order."""
    file = tmp_path / "t.db"
    more = [f"more{number}" for number in range(30)]
    long = {*range(60, 120), *range(200, 210)}
    rows = [
        (*row[:6], "street" * 15 if place in long else row[6], *row[7:], *more)
        for place, row in enumerate(ordinary_rows(300))
    ]
    store(file, rows, columns=", ".join((COLUMNS, *more)))
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert sql_reads == []


def test_a_null_in_a_needed_column_of_an_old_record_is_left_to_sqlite(tmp_path: Path, sql_reads: list[object]) -> None:
    file = tmp_path / "t.db"
    store(file, ordinary_rows(300))
    change(file, "added default")
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert {row[2][1] for row in leaves} == {b"def"}
    assert sql_reads


@pytest.mark.parametrize(
    ("columns", "setup"),
    [
        (COLUMNS, "PRAGMA encoding = 'UTF-16';"),
        (COLUMNS.replace("p INTEGER", "p REAL"), ""),
        (COLUMNS.replace("id INTEGER PRIMARY KEY", "id INT PRIMARY KEY"), ""),
        (COLUMNS.replace("id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY DESC"), ""),
        (COLUMNS + ") WITHOUT ROWID; CREATE TABLE u (x", ""),
    ],
    ids=["utf-16", "real", "no rowid alias", "descending", "without rowid"],
)
def test_an_unusual_table_is_left_to_sqlite_whole(
    tmp_path: Path, sql_reads: list[object], columns: str, setup: str
) -> None:
    file = tmp_path / "t.db"
    store(file, ordinary_rows(300), columns=columns, setup=setup)
    leaves, sql = both_ways(file)
    assert sorted(leaves, key=lambda row: row[0]) == sorted(sql, key=lambda row: row[0])
    assert len(sql_reads) == 1


@pytest.mark.parametrize("count", [100, 120, 600])
def test_columns_far_back_in_the_record_are_found_or_left_to_sqlite(
    tmp_path: Path, sql_reads: list[object], count: int
) -> None:
    file = tmp_path / "t.db"
    store(file, [(row[0], *[None] * count, *row[1:]) for row in ordinary_rows(300)], columns=far_back(count))
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert len(sql_reads) == (count > 100)


def far_back(count: int) -> str:
    key, rest = COLUMNS.split(", ", 1)
    return ", ".join((key, *(f"more{number}" for number in range(count)), rest))


def test_a_generated_column_is_left_to_sqlite(tmp_path: Path, sql_reads: list[object]) -> None:
    file = tmp_path / "t.db"
    store(file, ordinary_rows(300), columns=COLUMNS + ", g AS (n + 1)")
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert len(sql_reads) == 1


def test_what_a_write_ahead_log_holds_is_read_by_sqlite(tmp_path: Path, sql_reads: list[object]) -> None:
    file = tmp_path / "t.db"
    store(file, ordinary_rows(300), setup="PRAGMA journal_mode = WAL;")
    writer = apsw.Connection(str(file))
    writer.execute("UPDATE t SET a = 'in the log' WHERE id = 30")
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert [b"in the log", None] in [row[2][:2] for row in leaves]
    assert len(sql_reads) == 1
    writer.close()  # moves the log into the file
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert len(sql_reads) == 1


def test_rows_that_are_not_committed_yet_are_read_by_sqlite(tmp_path: Path, sql_reads: list[object]) -> None:
    file = tmp_path / "t.db"
    store(file, ordinary_rows(300))
    db = apsw.Connection(str(file))
    db.execute("BEGIN IMMEDIATE; UPDATE t SET n = 77")
    assert {row[0][1] for row in plain_rows(list(read_table(db, TABLE)))} == {77}
    assert len(sql_reads) == 1
    db.execute("ROLLBACK")


def test_a_database_in_memory_is_read_by_sqlite(sql_reads: list[object]) -> None:
    db = apsw.Connection(":memory:")
    db.execute(f"CREATE TABLE t ({COLUMNS}); BEGIN")
    db.executemany(f"INSERT INTO t VALUES ({', '.join('?' * 13)})", ordinary_rows(300))
    db.execute("COMMIT; BEGIN; SELECT 1 FROM t")
    assert len(plain_rows(list(read_table(db, TABLE)))) == 300
    assert len(sql_reads) == 1


def test_reading_keeps_the_lock_of_the_reader(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    store(file, ordinary_rows(300))
    writer = apsw.Connection(str(file))
    with reading(file) as db:
        chunks = read_table(db, TABLE, chunk_rows=40)
        next(chunks)
        with pytest.raises(apsw.BusyError):
            writer.execute("UPDATE t SET n = 1")
        assert NULL_ID in [value for chunk in chunks for value in chunk.ints[1].tolist()]
    writer.close()


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_is_never_more_than_an_error(tmp_path: Path, seed: int) -> None:
    file, random = tmp_path / "t.db", Random(seed)
    store(file, ordinary_rows(400), setup="PRAGMA page_size = 512;")
    raw = bytearray(file.read_bytes())
    for _ in range(random.choice([1, 5, 100])):
        raw[random.randrange(512 * 3, len(raw))] = random.randrange(256)
    file.write_bytes(raw)
    try:
        leaves, _ = both_ways(file)
    except apsw.Error:
        return
    assert all(isinstance(row[0][0], int) for row in leaves)


def test_what_one_file_taught_says_nothing_of_the_next(tmp_path: Path, sql_reads: list[object]) -> None:
    """Layouts and kinds are remembered between files; a chunk has its own file's kinds, numbered as they come."""
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    rows = ordinary_rows(300, seed=2)
    store(first, [(*row[:2], "of the first alone", *row[3:]) for row in ordinary_rows(300)])
    store(second, rows)
    btree_read._KNOWN.clear()
    with reading(second) as db:
        alone = list(read_table(db, TABLE, chunk_rows=100))
    btree_read._KNOWN.clear()
    both_ways(first)
    assert btree_read._KNOWN
    with reading(second) as db:
        after = list(read_table(db, TABLE, chunk_rows=100))
    assert plain_rows(after) == plain_rows(alone)
    assert [chunk.kinds for chunk in after] == [chunk.kinds for chunk in alone]
    assert [chunk.kind.tolist() for chunk in after] == [chunk.kind.tolist() for chunk in alone]
    assert sql_reads == []


def test_records_that_were_not_understood_are_forgotten(tmp_path: Path, sql_reads: list[object]) -> None:
    odd, file = tmp_path / "odd.db", tmp_path / "t.db"
    store(odd, [(*row[:4], 3.5, *row[5:]) for row in ordinary_rows(300)], columns=COLUMNS.replace("a TEXT", "a"))
    store(file, ordinary_rows(300))
    leaves, sql = both_ways(odd)
    assert leaves == sql
    asked = len(sql_reads)
    leaves, sql = both_ways(file)
    assert leaves == sql
    assert len(sql_reads) == asked
