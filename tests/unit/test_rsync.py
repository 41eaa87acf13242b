"""The real sqlite3_rsync, and what happens when it is not the real one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from infra import rsync as rsync_module
from infra.pages import compare_pages
from infra.rsync import Rsync, find_rsync
from tests.unit.sync_fakes import change, fake_rsync, make_database


@pytest.fixture(scope="module")
def rsync() -> Rsync:
    return find_rsync()


def code_of(rsync: Rsync, origin: Path, replica: Path) -> tuple[ErrorCode, str]:
    with pytest.raises(OrgError) as failed:
        rsync.copy(str(origin), str(replica), org_id="acme")
    assert failed.value.org_id == "acme"
    return failed.value.code, failed.value.detail


def test_the_real_program_says_its_version(rsync: Rsync) -> None:
    assert rsync.version[:2] == "20"
    assert Path(rsync.program).is_absolute()


def test_it_copies_through_any_path(tmp_path: Path, rsync: Rsync) -> None:
    folder = tmp_path / "a b'c:d\"e $x"
    folder.mkdir()
    origin = make_database(tmp_path / "o")
    rsync.copy(str(origin), str(folder / "r"))
    assert compare_pages(str(origin), str(folder / "r")).identical


def test_relative_paths_are_refused(tmp_path: Path, rsync: Rsync) -> None:
    for pair in (("host:o", str(tmp_path / "r")), (str(tmp_path / "o"), "host:r")):
        with pytest.raises(ValueError, match="absolute"):
            rsync.copy(*pair)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00", b"x" * 5000], ids=["zero", "short", "no magic"])
def test_an_origin_that_is_no_database_is_refused(tmp_path: Path, rsync: Rsync, content: bytes) -> None:
    origin = tmp_path / "o"
    origin.write_bytes(content)
    replica = make_database(tmp_path / "r")
    before = replica.read_bytes()
    assert code_of(rsync, origin, replica)[0] is ErrorCode.SYNC_FAILED
    assert replica.read_bytes() == before


def test_a_missing_origin_is_refused(tmp_path: Path, rsync: Rsync) -> None:
    assert code_of(rsync, tmp_path / "o", tmp_path / "r") == (ErrorCode.SYNC_FAILED, "ENOENT")


def test_locks_of_others_are_busy(tmp_path: Path, rsync: Rsync) -> None:
    origin, replica = make_database(tmp_path / "o"), make_database(tmp_path / "r")
    for locked in (origin, replica):
        with held_locked(locked):
            assert code_of(rsync, origin, replica) == (ErrorCode.DATABASE_BUSY, "exit 1: locked")


def test_another_page_size_and_a_damaged_replica_fail(tmp_path: Path, rsync: Rsync) -> None:
    origin = make_database(tmp_path / "o")
    other = make_database(tmp_path / "r", page_size_bytes=1024)
    assert code_of(rsync, origin, other) == (ErrorCode.SYNC_FAILED, "exit 1: page size mismatch")
    (tmp_path / "x").write_bytes(b"x" * 5000)
    assert code_of(rsync, origin, tmp_path / "x") == (ErrorCode.SYNC_FAILED, "exit 1: not a database")
    os.truncate(origin, 4096 * 3)
    assert code_of(rsync, origin, tmp_path / "y") == (ErrorCode.SYNC_FAILED, "exit 1: malformed")


def test_a_full_disk_is_recognised(tmp_path: Path) -> None:
    complaint = "ERROR: SQL statement [COMMIT] failed: database or disk is full"  # recorded on a full 5 MB tmpfs
    program = fake_rsync(tmp_path, f'echo "{complaint}" >&2; exit 1')
    origin = make_database(tmp_path / "o")
    assert code_of(Rsync(program, "v", 10), origin, tmp_path / "r") == (ErrorCode.DISK_FULL, "exit 1: disk full")


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_new_replica_meets_no_stale_sidecar(tmp_path: Path, suffix: str) -> None:
    program = fake_rsync(tmp_path, f'if [ -e "$2{suffix}" ]; then exit 9; fi')
    origin = make_database(tmp_path / "o")
    (tmp_path / f"r{suffix}").write_bytes(b"stale")
    Rsync(program, "v", 10).copy(str(origin), str(tmp_path / "r"))


def test_a_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    # The program's child is what works; killing the program alone would leave it running.
    program = fake_rsync(tmp_path, f'sh -c "echo \\$\\$ > {tmp_path}/child; exec sleep 30" & wait')
    origin = make_database(tmp_path / "o")
    started = time.monotonic()
    assert code_of(Rsync(program, "v", 0.3), origin, tmp_path / "r") == (
        ErrorCode.SYNC_FAILED,
        "timeout after 0.3 s",
    )
    assert time.monotonic() - started < 5
    child = int((tmp_path / "child").read_text())
    until = time.monotonic() + 2
    while is_running(child):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_waits_for_children_that_outlive_the_program(tmp_path: Path) -> None:
    program = fake_rsync(tmp_path, f"(sleep 0.3; touch {tmp_path}/child-is-done) & exit 0")
    origin = make_database(tmp_path / "o")
    Rsync(program, "v", 10).copy(str(origin), str(tmp_path / "r"))
    assert (tmp_path / "child-is-done").exists()


def test_exit_code_zero_proves_nothing(tmp_path: Path) -> None:
    program = fake_rsync(tmp_path, "exit 0")
    origin, replica = make_database(tmp_path / "o"), make_database(tmp_path / "r")
    change(origin)
    Rsync(program, "v", 10).copy(str(origin), str(replica))
    assert not compare_pages(str(origin), str(replica)).identical


@pytest.mark.parametrize("body", ["exit 3", "exit 0", "sleep 20"], ids=["fails", "silent", "hangs"])
def test_a_program_without_a_version_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    (tmp_path / "sqlite3_rsync").write_text(f"#!/bin/sh\n{body}\n")
    (tmp_path / "sqlite3_rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(rsync_module, "_carried_by_apsw", lambda: None)
    monkeypatch.setattr(rsync_module, "VERSION_TIMEOUT_SECONDS", 0.3)
    with pytest.raises(OrgError) as missing:
        find_rsync()
    assert missing.value.code is ErrorCode.RSYNC_MISSING


def test_without_any_program_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rsync_module, "_carried_by_apsw", lambda: None)
    with pytest.raises(OrgError) as missing:
        find_rsync()
    assert missing.value.code is ErrorCode.RSYNC_MISSING


@contextmanager
def held_locked(file: Path) -> Iterator[None]:
    """Lock a database from another process: a lock of this one would be lost with any descriptor of the file."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate()


def is_running(process: int) -> bool:
    """Whether a process is there and not a zombie that its new parent has yet to reap."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
