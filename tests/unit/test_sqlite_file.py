"""SQLite files as they are met: judged without a trace, and complete in themselves before their bytes are moved."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from core.runs.errors import ErrorCode, OrgError
from infra.files import remove_database
from infra.org_folder import MirrorRecord, OrgFolder
from infra.sqlite_file import create_empty, quick_check, read_header, settle
from tests.unit.sync_fakes import hot_journal, make_database, query


def test_the_check_neither_replays_nor_removes_what_lies_beside(tmp_path: Path) -> None:
    journal = hot_journal(tmp_path)
    file = make_database(tmp_path / "f")
    beside = tmp_path / "f-journal"
    beside.write_bytes(journal)
    before = file.read_bytes()
    assert quick_check(str(file)) == "ok"
    assert file.read_bytes() == before
    assert beside.read_bytes() == journal


def test_a_collation_of_another_program_is_no_damage(tmp_path: Path) -> None:
    file = str(tmp_path / "f")
    with closing(apsw.Connection(file)) as connection:
        connection.create_collation("theirs", lambda left, right: (left > right) - (left < right))
        connection.execute("CREATE TABLE f (a TEXT COLLATE theirs); CREATE INDEX i ON f (a)")
        connection.execute("INSERT INTO f VALUES ('b'), ('a')")
    assert quick_check(file) == "ok"


@pytest.mark.parametrize(
    ("table", "verdict"),
    [("a CHECK (theirs(a) > 0)", "ok"), ("a, b AS (theirs(a)) NOT NULL", "schema_not_understood")],
)
def test_a_function_of_another_program_is_no_damage(tmp_path: Path, table: str, verdict: str) -> None:
    def theirs(*values: float | bytes | str | None) -> float | bytes | str | None:
        return values[0]

    file = str(tmp_path / "f")
    with closing(apsw.Connection(file)) as connection:
        connection.create_scalar_function("theirs", theirs, 1, deterministic=True)
        connection.execute(f"CREATE TABLE f ({table}); INSERT INTO f (a) VALUES (1)")
    assert quick_check(file) == verdict


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%20b", "a b", "a'b"])
def test_any_file_name_can_be_checked(tmp_path: Path, name: str) -> None:
    assert quick_check(str(make_database(tmp_path / name))) == "ok"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_empty_database_is_a_database(tmp_path: Path) -> None:
    create_empty(str(tmp_path / "f"))
    header = read_header(str(tmp_path / "f"))
    assert header is not None
    assert (header.page_count, header.is_wal) == (1, False)
    assert quick_check(str(tmp_path / "f")) == "ok"


def test_settling_rolls_back_what_a_killed_writer_left(tmp_path: Path) -> None:
    hot_journal(tmp_path)
    settle(str(tmp_path / "victim"), "acme", wal=None)
    assert not (tmp_path / "victim-journal").exists()
    assert query(tmp_path / "victim", "SELECT count(*) FROM t WHERE a LIKE '%1' AND length(a) % 10 = 1") == 0


@pytest.mark.parametrize("wal", [None, True, False])
def test_settling_brings_the_wal_into_the_file(tmp_path: Path, wal: bool | None) -> None:
    file = make_database(tmp_path / "f", journal_mode="wal")
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('DELETE FROM t WHERE id > 100'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(file)], check=True)
    assert query(file, "SELECT count(*) FROM t") == 500
    settle(str(file), "acme", wal=wal)
    assert query(file, "SELECT count(*) FROM t") == 100
    header = read_header(str(file))
    assert header is not None
    assert header.is_wal is (wal is not False)


def test_settling_what_is_no_database_is_a_failed_sync(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 5000)
    for name in ("f", "missing"):
        with pytest.raises(OrgError) as failed:
            settle(str(tmp_path / name), "acme", wal=None)
        assert (failed.value.code, failed.value.org_id) == (ErrorCode.SYNC_FAILED, "acme")


def test_a_file_that_becomes_the_mirror_loses_the_sidecars_of_both_names(tmp_path: Path) -> None:
    journal = hot_journal(tmp_path)
    folder = OrgFolder(tmp_path / "acme")
    folder.path.mkdir()
    make_database(folder.mirror)
    make_database(folder.next_mirror, rows=700)
    for file in (folder.mirror, folder.next_mirror):
        file.with_name(file.name + "-journal").write_bytes(journal)
    folder.install(folder.next_mirror, MirrorRecord(generation=7, crc32c="", size_bytes=0))
    assert sorted(path.name for path in folder.path.iterdir()) == ["mirror.db", "mirror.json"]
    with closing(sqlite3.connect(folder.mirror)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (700,)


def test_a_removed_database_leaves_nothing_behind(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"f{suffix}").write_bytes(b"x")
    remove_database(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []
