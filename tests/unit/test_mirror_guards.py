"""Each guard of the sync has a test here that goes red when the guard is taken away."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import WorkingCopy
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from infra.rsync import Rsync, find_rsync
from tests.unit.sync_fakes import (
    NAME,
    Fail,
    Machine,
    change,
    fails_with,
    fake_rsync,
    hot_journal,
    in_another_process,
    live_content,
    make_database,
    query,
    seed,
)


@pytest.fixture
def bucket(tmp_path: Path) -> MemoryBucket:
    bucket = MemoryBucket()
    seed(bucket, make_database(tmp_path / "seed"))
    return bucket


@pytest.fixture
def machine(bucket: MemoryBucket, tmp_path: Path) -> Machine:
    return Machine(bucket, tmp_path / "one")


class Spoil(NoFaults):
    """Changes the bytes of the first so many downloads."""

    def __init__(self, spoil: Callable[[bytes], bytes], times: int) -> None:
        self.spoil = spoil
        self.times = times

    def content(self, request: Request, content: bytes) -> bytes:
        if request.kind != "download" or self.times == 0:
            return content
        self.times -= 1
        return self.spoil(content)


# -------------------------------------------------------------------------------------------- the download


@pytest.mark.parametrize(
    "spoil",
    [lambda b: b[:-1], lambda b: b"", lambda b: b[:5000] + b"?" + b[5001:], lambda b: b + b"\x00"],
    ids=range(4),
)
def test_spoilt_bytes_never_become_the_mirror(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    machine.look()
    mirror, record = (machine.folder / "mirror.db").read_bytes(), (machine.folder / "mirror.json").read_bytes()
    seed(bucket, make_database(tmp_path / "newer", rows=700))
    bucket.faults = Spoil(spoil, times=2)
    with fails_with(ErrorCode.DOWNLOAD_CORRUPT):
        machine.look()
    assert (machine.folder / "mirror.db").read_bytes() == mirror
    assert (machine.folder / "mirror.json").read_bytes() == record
    bucket.faults = Spoil(spoil, times=1)
    assert query(machine.look()[0].file, "SELECT count(*) FROM t") == 700


def test_a_reset_download_leaves_the_mirror_as_it_was(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    machine.look()
    seed(bucket, make_database(tmp_path / "newer", rows=700))
    bucket.faults = Fail("download", OrgError(ErrorCode.BUCKET_UNREACHABLE), after=False)
    with fails_with(ErrorCode.BUCKET_UNREACHABLE):
        machine.look()
    assert query(machine.look()[0].file, "SELECT count(*) FROM t") == 700


def test_a_version_that_is_replaced_while_it_is_fetched(tmp_path: Path) -> None:
    bucket = MemoryBucket(versioning=False)
    seed(bucket, make_database(tmp_path / "seed"))
    newer = make_database(tmp_path / "newer", rows=700)

    class ReplaceFirst(NoFaults):
        def before(self, request: Request) -> None:
            if request.kind == "download" and bucket.requests["download"] == 1:
                seed(bucket, newer)

    bucket.faults = ReplaceFirst()
    copy, _ = Machine(bucket, tmp_path / "one").look()
    assert query(copy.file, "SELECT count(*) FROM t") == 700


def test_a_mirror_that_somebody_changed_is_fetched_again(bucket: MemoryBucket, machine: Machine) -> None:
    machine.look()
    change(machine.folder / "mirror.db")
    copy, transfer = machine.look()
    assert transfer.bytes_down == len(live_content(bucket))
    assert query(copy.file, "SELECT count(*) FROM t WHERE a LIKE '%changed'") == 0


def test_a_damaged_record_costs_a_download(bucket: MemoryBucket, machine: Machine) -> None:
    machine.look()
    (machine.folder / "mirror.json").write_text('{"generation": 1')
    assert machine.look()[1].bytes_down == len(live_content(bucket))


# -------------------------------------------------------------------------------------------- stale sidecars


def test_a_stale_journal_is_not_replayed_into_a_fresh_mirror(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path
) -> None:
    journal = hot_journal(tmp_path)
    machine.look()
    for newer in (False, True):  # beside the mirror that is there, and beside the one that is about to come
        if newer:
            seed(bucket, make_database(tmp_path / "newer", rows=700))
        (machine.folder / "mirror.db-journal").write_bytes(journal)
        copy, _ = machine.look()
        assert query(copy.file, "SELECT count(*) FROM t WHERE a LIKE 'from the journal%'") == 0
        assert (machine.folder / "mirror.db").read_bytes() == live_content(bucket)


def test_a_stale_journal_is_not_replayed_into_what_goes_up(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path
) -> None:
    journal = hot_journal(tmp_path)

    def work(copy: WorkingCopy) -> None:
        change(copy.file)
        (machine.folder / "mirror.next.db-journal").write_bytes(journal)

    machine.run(work)
    assert b"from the journal" not in live_content(bucket)


def test_a_stale_journal_beside_the_working_copy_is_thrown_away(machine: Machine, tmp_path: Path) -> None:
    machine.look()
    (machine.folder / "working.db-journal").write_bytes(hot_journal(tmp_path))
    copy, _ = machine.look()
    assert query(copy.file, "SELECT count(*) FROM t WHERE a LIKE 'from the journal%'") == 0


# -------------------------------------------------------------------------------------------- sqlite3_rsync


def machine_with(bucket: MemoryBucket, folder: Path, body: str, timeout_seconds: float = 10) -> Machine:
    """A machine that worked well once and whose sqlite3_rsync was then replaced."""
    Machine(bucket, folder).look()
    return Machine(bucket, folder, Rsync(fake_rsync(folder, body), "fake", timeout_seconds))


def test_exit_code_zero_with_an_old_replica_is_found_out(bucket: MemoryBucket, tmp_path: Path) -> None:
    machine = machine_with(bucket, tmp_path / "one", "exit 0")
    seed(bucket, make_database(tmp_path / "newer", rows=700))
    with fails_with(ErrorCode.SYNC_FAILED):
        machine.look()
    assert machine.journal.events().count("copy_discarded") == 2


def test_what_fails_on_an_old_replica_is_tried_from_nothing(bucket: MemoryBucket, tmp_path: Path) -> None:
    real = find_rsync().program
    machine = machine_with(bucket, tmp_path / "one", f'[ -e "$2" ] && exit 0; exec "{real}" "$@"')
    seed(bucket, make_database(tmp_path / "newer", rows=700))
    assert query(machine.look()[0].file, "SELECT count(*) FROM t") == 700


def test_exit_code_zero_does_not_send_an_old_file_up(bucket: MemoryBucket, tmp_path: Path) -> None:
    real = find_rsync().program
    body = f'case "$2" in *mirror.next.db) cp "{tmp_path}/seed" "$2"; exit 0;; esac; exec "{real}" "$@"'
    machine = machine_with(bucket, tmp_path / "one", body)
    with fails_with(ErrorCode.SYNC_FAILED):
        machine.run()
    assert len(bucket.versions(NAME)) == 1


def test_a_hanging_sqlite3_rsync_is_an_error(bucket: MemoryBucket, tmp_path: Path) -> None:
    machine = machine_with(bucket, tmp_path / "one", "sleep 20", timeout_seconds=0.1)
    with fails_with(ErrorCode.SYNC_FAILED):
        machine.look()


def test_an_orphan_that_still_writes_keeps_the_orgs_lock(bucket: MemoryBucket, tmp_path: Path) -> None:
    real = find_rsync().program
    # The orphan closes the pipe that is waited for, as one does whose parent process was killed.
    machine = machine_with(bucket, tmp_path / "one", f'sleep 5 2>/dev/null & exec "{real}" "$@"')
    machine.look()
    with fails_with(ErrorCode.DATABASE_BUSY):
        machine.look()


def test_a_replica_that_leaves_a_part_in_its_wal_is_no_copy(bucket: MemoryBucket, tmp_path: Path) -> None:
    real = find_rsync().program
    machine = machine_with(bucket, tmp_path / "one", f'"{real}" "$@"; echo part > "$2-wal"')
    with fails_with(ErrorCode.SYNC_FAILED):
        machine.look()


# -------------------------------------------------------------------------------------------- what is in the files


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda b: b[: 4096 * 3] + os.urandom(3000) + b[4096 * 3 + 3000 :], ErrorCode.DATABASE_CORRUPT),
        (lambda b: b[: 4096 * 5], ErrorCode.DATABASE_CORRUPT),
        (lambda b: b"x" * 5000, ErrorCode.NOT_SQLITE),
        (lambda b: b"", ErrorCode.NOT_SQLITE),
        (lambda b: b[:16] + b"y" * 5000, ErrorCode.NOT_SQLITE),
    ],
    ids=["page", "truncated", "text", "empty", "header"],
)
def test_a_bad_object_is_refused_and_fetched_only_once(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path, spoil: Callable[[bytes], bytes], code: ErrorCode
) -> None:
    good = live_content(bucket)
    (tmp_path / "bad").write_bytes(spoil(good))
    seed(bucket, tmp_path / "bad")
    for _ in range(2):
        with fails_with(code):
            machine.look()
    assert bucket.requests["download"] == 1
    (tmp_path / "good").write_bytes(good)
    seed(bucket, tmp_path / "good")
    assert query(machine.look()[0].file, "SELECT count(*) FROM t") == 500


def test_the_check_leaves_the_mirror_of_a_wal_object_as_it_is(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    seed(bucket, make_database(tmp_path / "seed", journal_mode="wal"))
    machine = Machine(bucket, tmp_path / "one")
    machine.look()
    assert (machine.folder / "mirror.db").read_bytes() == live_content(bucket)
    assert sorted(path.name for path in machine.folder.iterdir()) == ["mirror.db", "mirror.json", "working.db"]


def test_what_is_only_in_the_wal_goes_up_too(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    seed(bucket, make_database(tmp_path / "seed", journal_mode="wal"))
    machine = Machine(bucket, tmp_path / "one")

    def work(copy: WorkingCopy) -> None:
        program = (
            "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('DELETE FROM t WHERE id > 100'); os._exit(0)"
        )
        in_another_process(program, copy.file)
        assert Path(copy.file + "-wal").stat().st_size > 0

    machine.run(work)
    (tmp_path / "after").write_bytes(live_content(bucket))
    assert query(tmp_path / "after", "SELECT count(*) FROM t") == 100


def test_a_working_copy_that_somebody_reads_is_busy(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    seed(bucket, make_database(tmp_path / "seed", journal_mode="wal"))
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN');"
        "c.execute('SELECT count(*) FROM t').fetchall(); print(flush=True); sys.stdin.read()"
    )
    readers: list[subprocess.Popen[bytes]] = []

    def work(copy: WorkingCopy) -> None:
        command = [sys.executable, "-c", program, copy.file]
        readers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert readers[0].stdout is not None
        readers[0].stdout.readline()
        change(copy.file)

    try:
        with fails_with(ErrorCode.DATABASE_BUSY):
            Machine(bucket, tmp_path / "one").run(work)
    finally:
        readers[0].communicate()
    assert len(bucket.versions(NAME)) == 1


@pytest.mark.parametrize(
    "spoil",
    [lambda file: os.truncate(file, 0), os.unlink, lambda file: os.truncate(file, 4096 * 3)],
    ids=["zero bytes", "gone", "truncated"],
)
def test_a_ruined_working_copy_is_not_sent(
    bucket: MemoryBucket, machine: Machine, spoil: Callable[[str], None]
) -> None:
    with fails_with(ErrorCode.SYNC_FAILED):
        machine.run(lambda copy: spoil(copy.file))
    assert len(bucket.versions(NAME)) == 1


def test_a_damaged_page_in_the_working_copy_is_not_sent(bucket: MemoryBucket, machine: Machine) -> None:
    def work(copy: WorkingCopy) -> None:
        with Path(copy.file).open("r+b") as stream:
            stream.seek(4096 * 3)
            stream.write(b"\xff" * 2000)

    with fails_with(ErrorCode.SYNC_FAILED):
        machine.run(work)
    assert len(bucket.versions(NAME)) == 1
    machine.run()
    assert len(bucket.versions(NAME)) == 2
