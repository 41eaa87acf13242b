"""A crash anywhere costs time, never correctness: at every step by an exception, at random moments by kill -9."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from infra.checksum import crc32c_of_file
from infra.clock import SystemClock
from infra.local_bucket import LocalBucket
from infra.memory_bucket import MemoryBucket
from infra.org_folder import OrgFolder
from tests.unit.sync_fakes import (
    NAME,
    Fail,
    Machine,
    deleting,
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


def test_a_failure_to_keep_the_mirror_does_not_undo_a_committed_run(bucket: MemoryBucket, machine: Machine) -> None:
    machine.look()
    (machine.folder / "mirror.json.tmp").mkdir()
    machine.run()
    assert len(bucket.versions(NAME)) == 2
    assert "mirror_not_kept" in machine.journal.events()
    assert not (machine.folder / "mirror.json").exists()
    (machine.folder / "mirror.json.tmp").rmdir()
    assert query(machine.look()[0].file, "SELECT count(*) FROM t WHERE a LIKE '%changed'") == 1


class CrashError(BaseException):
    """The process is gone."""


def test_a_crash_after_the_commit_costs_no_download(bucket: MemoryBucket, machine: Machine) -> None:
    bucket.faults = Fail("upload", CrashError(), after=True)
    with pytest.raises(CrashError):
        machine.run()
    copy, transfer = machine.look()
    assert transfer.bytes_down == 0
    assert query(copy.file, "SELECT count(*) FROM t WHERE a LIKE '%changed'") == 1


def test_a_crash_before_the_commit_leaves_nothing_of_the_run(bucket: MemoryBucket, machine: Machine) -> None:
    machine.look()
    bucket.faults = Fail("upload", CrashError(), after=False)
    with pytest.raises(CrashError):
        machine.run()
    assert query(machine.look()[0].file, "SELECT count(*) FROM t WHERE a LIKE '%changed'") == 0
    machine.run(deleting(3))
    assert not (machine.folder / "mirror.next.db").exists()


def test_a_crash_at_any_step_leaves_no_false_record(
    bucket: MemoryBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rename, removal and write of a name is a place to die."""
    steps = 0
    die_at = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == die_at:
            raise CrashError

    for method in ("replace", "unlink", "write_bytes"):
        original = getattr(Path, method)

        def around(self: Path, *args: object, original: Callable[..., object] = original, **more: object) -> object:
            if tmp_path in self.parents:
                step()
            return original(self, *args, **more)

        monkeypatch.setattr(Path, method, around)
    row = 0
    while steps >= die_at:  # until a whole run of a warm machine has fewer steps than this
        steps, die_at, row = 0, die_at + 1, row + 1
        machine = Machine(bucket, tmp_path / "one")
        with suppress(CrashError):
            seed(bucket, make_database(tmp_path / f"seed{row}")) if row % 3 == 0 else None
            machine.run(deleting(row))
        folder = OrgFolder(machine.folder)
        record = folder.read_record()
        if record is not None and steps < 1000:
            known = {info.generation: info for info in bucket.versions(NAME)}[record.generation]
            assert crc32c_of_file(str(folder.mirror)) == record.crc32c == known.crc32c
    assert die_at > 10


KILLED = """
import itertools, sys, uuid
from pathlib import Path
from infra.clock import SystemClock
from infra.local_bucket import LocalBucket
from tests.unit.sync_fakes import Machine, deleting
machine = Machine(LocalBucket(sys.argv[1]), Path(sys.argv[2]))
machine.sync._clock = SystemClock()
machine.sync._new_token = lambda: uuid.uuid4().hex
for row in itertools.count(int(sys.argv[3])):
    machine.run(deleting(row))
"""


def wait_for_versions(bucket: LocalBucket, number: int) -> None:
    until = time.monotonic() + 30
    while len(bucket.versions(NAME)) < number:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_kill_9_at_random_moments_tears_nothing(tmp_path: Path) -> None:
    chance = random.Random(20260102)
    bucket = LocalBucket(str(tmp_path / "bucket"))
    bucket.upload(NAME, str(make_database(tmp_path / "seed", rows=3000)), if_generation_match=0, metadata={})
    machine = Machine(bucket, tmp_path / "one")
    # A sqlite3_rsync that outlives its killed parent keeps the org's lock until it ends: that takes real time.
    machine.sync._clock = SystemClock()
    for kill in range(6):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "bucket"), str(tmp_path / "one"), str(kill * 400)]
        with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as victim:
            wait_for_versions(bucket, len(bucket.versions(NAME)) + 1)
            time.sleep(chance.random() * 0.1)
            assert victim.poll() is None
            victim.kill()
        folder = OrgFolder(machine.folder)
        record = folder.read_record()
        known = {info.generation: info for info in bucket.versions(NAME)}
        if record is not None:
            assert crc32c_of_file(str(folder.mirror)) == record.crc32c == known[record.generation].crc32c
        copy, _ = machine.look()
        assert copy.generation == max(known)
    assert len(rows_deleted(bucket, tmp_path)) > 6


def rows_deleted(bucket: LocalBucket, folder: Path) -> list[int]:
    """Judge every version: whole, and each committed run added exactly its own change."""
    deleted = []
    for number, info in enumerate(bucket.versions(NAME)):
        file = folder / f"version{number}"
        bucket.download(NAME, info.generation, str(file))
        assert query(file, "PRAGMA quick_check") == "ok"
        deleted.append(3000 - int(str(query(file, "SELECT count(*) FROM t"))))
    assert deleted == list(range(len(deleted)))
    return deleted


def test_of_two_processes_on_one_disk_one_is_killed_and_the_other_goes_on(tmp_path: Path) -> None:
    """A server and a command beside it: one org, one data directory, each with runs of its own."""
    chance = random.Random(20261125)
    bucket = LocalBucket(str(tmp_path / "bucket"))
    bucket.upload(NAME, str(make_database(tmp_path / "seed", rows=3000)), if_generation_match=0, metadata={})

    def runs_from(row: int) -> list[str]:
        return [sys.executable, "-c", KILLED, str(tmp_path / "bucket"), str(tmp_path / "one"), str(row)]

    root = Path(__file__).parents[2]
    with subprocess.Popen(runs_from(2000), cwd=root) as survivor:
        try:
            for kill in range(4):
                with subprocess.Popen(runs_from(kill * 400), cwd=root) as victim:
                    wait_for_versions(bucket, len(bucket.versions(NAME)) + 3)
                    time.sleep(chance.random() * 0.2)
                    assert victim.poll() is None
                    victim.kill()
                wait_for_versions(bucket, len(bucket.versions(NAME)) + 2)
                assert survivor.poll() is None
        finally:
            survivor.kill()
    last = len(rows_deleted(bucket, tmp_path)) - 1
    assert last > 15
    kept = query(tmp_path / f"version{last}", "SELECT sum(id < 2000) FROM t")
    assert 3000 - last < int(str(kept)) + 1000 < 3000  # both have done something
