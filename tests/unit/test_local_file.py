"""FILE is copied without a trace, and replaced whole or not at all."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from infra import local_file
from infra.local_file import private_copy, replace_if_unchanged
from tests.unit.org_samples import locked_by_another_process, query, run_sql


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_file, "with_retries", lambda work: work())


def database(folder: Path, journal_mode: str = "delete") -> Path:
    file = folder / "their.db"
    run_sql(
        file,
        "PRAGMA page_size = 1024",
        f"PRAGMA journal_mode = {journal_mode}",
        "PRAGMA user_version = 5",
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (1)",
    )
    return file


def trace(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of everything there, but the index into a WAL, which any reader writes."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir() if not p.name.endswith("-shm")}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    folder.mkdir()
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist", "wal"])
def test_a_copy_leaves_no_trace_and_has_every_property(theirs: Path, ours: Path, journal_mode: str) -> None:
    file = database(theirs, journal_mode)
    before = trace(theirs)
    copy = private_copy(str(file), str(ours))
    assert trace(theirs) == before
    assert not [path for path in theirs.iterdir() if path.name.endswith("-shm")]
    assert [path.name for path in ours.iterdir()] == [Path(copy.file).name]
    assert query(Path(copy.file), "SELECT a FROM t") == [(1,)]
    kept = "wal" if journal_mode == "wal" else "delete"
    for pragma, expected in (("journal_mode", kept), ("page_size", 1024), ("user_version", 5)):
        assert query(Path(copy.file), f"PRAGMA {pragma}") == [(expected,)]


def test_commits_that_are_only_in_the_wal_of_an_open_file_are_copied(theirs: Path, ours: Path) -> None:
    file = database(theirs, "wal")
    with locked_by_another_process(file, "PRAGMA wal_autocheckpoint = 0", "INSERT INTO t VALUES (2)"):
        before = trace(theirs)
        copy = private_copy(str(file), str(ours))
        assert trace(theirs) == before
        assert (theirs / "their.db-wal").stat().st_size > 0
    assert query(Path(copy.file), "SELECT a FROM t") == [(1,), (2,)]


def test_commits_that_are_only_in_the_wal_of_a_dead_process_are_copied(
    theirs: Path, ours: Path, tmp_path: Path
) -> None:
    file = database(tmp_path, "wal")
    with locked_by_another_process(file, "PRAGMA wal_autocheckpoint = 0", "INSERT INTO t VALUES (2)"):
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{file}{suffix}", theirs / f"their.db{suffix}")
    before = trace(theirs)
    copy = private_copy(str(theirs / "their.db"), str(ours))
    assert trace(theirs) == before
    assert query(Path(copy.file), "SELECT a FROM t") == [(1,), (2,)]
    run_sql(Path(copy.file), "INSERT INTO t VALUES (3)")
    replace_if_unchanged(str(theirs / "their.db"), copy.file, copy.fingerprint)
    assert [path.name for path in theirs.iterdir()] == ["their.db"]
    assert query(theirs / "their.db", "SELECT a FROM t") == [(1,), (2,), (3,)]


def hot(folder: Path, made_in: Path) -> Path:
    """Make a file whose writer crashed in the middle of a commit."""
    file = database(made_in)
    run_sql(file, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT 7 FROM n")
    statements = ("PRAGMA cache_size = 1", "PRAGMA cache_spill = 1", "BEGIN", "UPDATE t SET a = 8")
    with locked_by_another_process(file, *statements):
        for suffix in ("", "-journal"):
            shutil.copyfile(f"{file}{suffix}", folder / f"their.db{suffix}")
    return folder / "their.db"


def test_what_a_crashed_writer_left_is_rolled_back_in_the_copy(theirs: Path, ours: Path, tmp_path: Path) -> None:
    file = hot(theirs, tmp_path)
    before = trace(theirs)
    assert before["their.db-journal"][0].startswith(b"\xd9\xd5\x05\xf9")
    copy = private_copy(str(file), str(ours))
    assert trace(theirs) == before
    assert copy.fingerprint.has_hot_journal
    assert query(Path(copy.file), "SELECT a, count(*) FROM t GROUP BY a") == [(1, 1), (7, 5000)]
    assert query(Path(copy.file), "PRAGMA integrity_check") == [("ok",)]
    replace_if_unchanged(str(file), copy.file, copy.fingerprint)
    assert [path.name for path in theirs.iterdir()] == ["their.db"]
    assert query(file, "SELECT a, count(*) FROM t GROUP BY a") == [(1, 1), (7, 5000)]


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_the_copy_takes_the_files_place_with_its_permissions(theirs: Path, ours: Path, journal_mode: str) -> None:
    file = database(theirs, journal_mode)
    file.chmod(0o640)
    os.chown(file, os.getuid(), os.getgid())
    copy = private_copy(str(file), str(ours))
    run_sql(Path(copy.file), "INSERT INTO t VALUES (2)")
    replace_if_unchanged(str(file), copy.file, copy.fingerprint)
    assert [path.name for path in theirs.iterdir()] == ["their.db"]
    assert list(ours.iterdir()) == []
    assert file.stat().st_mode & 0o7777 == 0o640
    assert query(file, "SELECT a FROM t") == [(1,), (2,)]
    assert query(file, "PRAGMA journal_mode") == [(journal_mode,)]


def test_a_link_stays_a_link(theirs: Path, ours: Path) -> None:
    file = database(theirs)
    link = ours.parent / "link.db"
    link.symlink_to(file)
    copy = private_copy(str(link), str(ours))
    run_sql(Path(copy.file), "INSERT INTO t VALUES (2)")
    replace_if_unchanged(str(link), copy.file, copy.fingerprint)
    assert link.is_symlink()
    assert query(file, "SELECT a FROM t") == [(1,), (2,)]


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_file_that_changed_meanwhile_is_not_replaced(theirs: Path, ours: Path, journal_mode: str) -> None:
    file = database(theirs, journal_mode)
    copy = private_copy(str(file), str(ours))
    with locked_by_another_process(file, "PRAGMA wal_autocheckpoint = 0", "UPDATE t SET a = 9"):
        with pytest.raises(OrgError) as failure:
            replace_if_unchanged(str(file), copy.file, copy.fingerprint)
        assert failure.value.code is ErrorCode.FILE_CHANGED
    assert query(file, "SELECT a FROM t") == [(9,)]
    assert [path.name for path in theirs.iterdir()] == ["their.db"]


@pytest.mark.parametrize(("journal_mode", "statement"), [("delete", "BEGIN IMMEDIATE"), ("wal", "SELECT * FROM t")])
def test_a_file_in_use_is_not_replaced(theirs: Path, ours: Path, journal_mode: str, statement: str) -> None:
    file = database(theirs, journal_mode)
    copy = private_copy(str(file), str(ours))
    with locked_by_another_process(file, statement):
        with pytest.raises(OrgError) as failure:
            replace_if_unchanged(str(file), copy.file, copy.fingerprint)
        assert failure.value.code is ErrorCode.DATABASE_BUSY
    assert query(file, "SELECT a FROM t") == [(1,)]
    assert [path.name for path in theirs.iterdir()] == ["their.db"]


def test_a_crash_before_the_rename_leaves_the_old_file(
    theirs: Path, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = database(theirs)
    copy = private_copy(str(file), str(ours))
    before = trace(theirs)
    monkeypatch.setattr(local_file, "_swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        replace_if_unchanged(str(file), copy.file, copy.fingerprint)
    assert trace(theirs) == before


def test_what_is_no_database_or_not_there_is_said(theirs: Path, ours: Path) -> None:
    for name, content, code in (
        ("text.db", b"hello" * 1000, ErrorCode.NOT_SQLITE),
        ("empty.db", b"", ErrorCode.NOT_SQLITE),
        ("missing.db", None, ErrorCode.FILE_MISSING),
    ):
        if content is not None:
            (theirs / name).write_bytes(content)
        with pytest.raises(OrgError) as failure:
            private_copy(str(theirs / name), str(ours))
        assert failure.value.code is code
    assert list(ours.iterdir()) == []


def test_a_file_that_changes_all_the_time_is_given_up(
    theirs: Path, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = database(theirs)
    copy = local_file._copy

    def disturbed(*arguments: object) -> bool:
        with sqlite3.connect(file) as raw:
            raw.execute("INSERT INTO t VALUES (0)")
        raw.close()
        return copy(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(local_file, "_copy", disturbed)
    with pytest.raises(OrgError) as failure:
        private_copy(str(file), str(ours))
    assert failure.value.code is ErrorCode.FILE_CHANGED
