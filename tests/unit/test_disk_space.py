"""A short disk: who is removed, who never is, and what an operator is told."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Journal
from events.types import OrgId
from infra.disk_space import DiskSpace, free_bytes, mark_used
from infra.locks import acquire, locked
from infra.memory_bucket import MemoryBucket
from infra.org_folder import lock_file
from tests.journals import ListJournal
from tests.unit.sync_fakes import ACME, Machine, deleting, fails_with, make_database, query, seed

MB = 1_000_000


class Disk:
    """A disk of a certain size on which there is nothing but the data directory."""

    def __init__(self, root: Path, size_bytes: int) -> None:
        self.root, self.size_bytes = root, size_bytes
        self.journal = ListJournal()
        self.space = DiskSpace(str(root), self.journal, reserve_bytes=MB, free_bytes=self.free)

    def free(self, folder: str) -> int:
        assert folder == str(self.root)
        return self.size_bytes - sum(file.stat().st_size for file in self.root.rglob("*") if file.is_file())

    def add(self, org_id: str, size_bytes: int, *, used_at: float | None) -> Path:
        """Put an org's files there; ``used_at`` None: it has never been locked."""
        folder = self.root / org_id
        folder.mkdir()
        for name in ("mirror.db", "working.db"):
            (folder / name).write_bytes(bytes(size_bytes // 2))
        (folder / "mirror.json").write_text("{}")
        if used_at is not None:
            lock = lock_file(str(self.root), OrgId(org_id))
            lock.touch()
            os.utime(lock, (used_at, used_at))
        return folder

    def orgs(self) -> list[str]:
        return sorted(folder.name for folder in self.root.iterdir() if folder.is_dir() and folder.name != ".locks")

    def evicted(self) -> list[object]:
        return [facts["org_id"] for _, event, facts in self.journal.records if event == "org_evicted"]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """20 MB, 12 of them taken by three orgs."""
    root = tmp_path / "orgs"
    root.mkdir()
    disk = Disk(root, 20 * MB)
    disk.add("old", 4 * MB, used_at=100)
    disk.add("older", 4 * MB, used_at=50)
    disk.add("new", 4 * MB, used_at=200)
    return disk


def test_enough_room_removes_nothing(disk: Disk) -> None:
    disk.space.require(ACME, 1 * MB)  # 4 and 1 in reserve; 8 are free
    assert disk.orgs() == ["new", "old", "older"]
    assert disk.journal.records == []


def test_the_org_that_was_used_longest_ago_goes_first_and_no_more_than_needed(disk: Disk) -> None:
    disk.space.require(ACME, 2 * MB)
    assert disk.evicted() == ["older"]
    disk.space.require(ACME, int(3.5 * MB))
    assert disk.evicted() == ["older", "old"]
    assert disk.orgs() == ["new"]


def test_four_copies_and_the_reserve_are_wanted(disk: Disk) -> None:
    disk.space.require(ACME, int(1.74 * MB))
    assert disk.evicted() == []
    disk.space.require(ACME, int(1.76 * MB))
    assert disk.evicted() == ["older"]


def test_what_the_org_has_already_counts_as_its_room(disk: Disk) -> None:
    disk.space.require(OrgId("new"), int(2.7 * MB))  # 10.8 minus its own 4, and the reserve: less than the free 8
    assert disk.evicted() == []


def test_the_org_itself_and_orgs_in_use_are_not_removed(disk: Disk) -> None:
    with locked(lock_file(str(disk.root), OrgId("old")), wait_seconds=0), fails_with(ErrorCode.DISK_FULL):
        disk.space.require(OrgId("new"), 20 * MB)
    assert disk.orgs() == ["new", "old"]
    assert "org_in_use" in disk.journal.events()


def test_the_org_itself_is_safe_also_without_its_lock(disk: Disk) -> None:
    with fails_with(ErrorCode.DISK_FULL):
        disk.space.require(OrgId("older"), 100 * MB)
    assert disk.orgs() == ["older"]


def test_an_org_that_was_never_locked_is_the_oldest(disk: Disk) -> None:
    disk.size_bytes += MB
    disk.add("ancient", MB, used_at=None)
    disk.space.require(ACME, int(1.8 * MB))
    assert disk.evicted() == ["ancient"]


def test_still_too_little_is_an_error_with_numbers(disk: Disk) -> None:
    with pytest.raises(OrgError) as failed:
        disk.space.require(ACME, 10 * MB)
    error = failed.value
    assert (error.code, error.org_id, error.retryable) == (ErrorCode.DISK_FULL, "acme", True)
    assert "20000000 bytes free, 41000000 needed (1000000 of them in reserve)" in error.detail
    assert disk.orgs() == []


def test_what_is_no_org_is_left_alone(disk: Disk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("precious", "mirror.json"):
        (outside / name).write_text("kept")
    (disk.root / "linked").symlink_to(outside)
    (disk.root / "a file").write_text("kept")
    (disk.root / "lost+found").mkdir()
    (disk.root / "plain").write_text("kept")
    with fails_with(ErrorCode.DISK_FULL):
        disk.space.require(ACME, 10 * MB)
    assert sorted(path.name for path in outside.iterdir()) == ["mirror.json", "precious"]
    assert {"a file", "lost+found", "plain", "linked"} <= {path.name for path in disk.root.iterdir()}


def test_a_crash_while_removing_leaves_no_record(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(folder: Path) -> None:
        (folder / "mirror.db").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", crash)
    with pytest.raises(KeyboardInterrupt):
        disk.space.require(ACME, 2 * MB)
    assert [path.name for path in (disk.root / "older").iterdir()] == ["working.db"]
    descriptor = acquire(lock_file(str(disk.root), OrgId("older")), wait_seconds=0)  # and no lock
    os.close(descriptor)


def test_a_folder_that_cannot_be_removed_stops_nobody(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., None] = shutil.rmtree

    def refuse(folder: Path) -> None:
        if folder.name == "older":
            raise PermissionError(errno.EACCES, "no")
        original(folder)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    disk.space.require(ACME, 2 * MB)
    assert disk.evicted() == ["old"]
    assert [facts["error"] for _, event, facts in disk.journal.records if event == "org_not_evicted"] == ["EACCES"]
    assert not (disk.root / "older" / "mirror.json").exists()


def test_use_is_what_the_lock_file_says(disk: Disk) -> None:
    mark_used(str(disk.root), OrgId("older"))
    disk.space.require(ACME, 2 * MB)
    assert disk.evicted() == ["old"]


def test_the_real_disk_answers(tmp_path: Path) -> None:
    assert 0 < free_bytes(str(tmp_path)) <= shutil.disk_usage(tmp_path).total
    DiskSpace(str(tmp_path), ListJournal(), reserve_bytes=0).require(ACME, 1000)


# -------------------------------------------------------------------------------------------- in a run


def small_disk(root: Path, size_bytes: int) -> Callable[[Journal], DiskSpace]:
    return lambda journal: DiskSpace(str(root), journal, 0, Disk(root, size_bytes).free)


def test_a_run_makes_room_for_itself(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    size_bytes = make_database(tmp_path / "seed", rows=5000).stat().st_size
    seed(bucket, tmp_path / "seed")
    root = tmp_path / "one"
    root.mkdir()
    disk = Disk(root, 5 * size_bytes)
    disk.add("other", 2 * size_bytes, used_at=50)
    machine = Machine(bucket, root, space=small_disk(root, 5 * size_bytes))
    machine.run(deleting(1))
    assert disk.orgs() == ["acme"]
    machine.run(deleting(2))
    assert machine.journal.events().count("org_evicted") == 1


def test_a_run_marks_its_org_as_used(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    seed(bucket, make_database(tmp_path / "seed"))
    machine = Machine(bucket, tmp_path / "one")
    machine.look()
    lock = lock_file(str(tmp_path / "one"), ACME)
    os.utime(lock, (100, 100))
    machine.look()
    assert lock.stat().st_mtime > 100


def test_a_run_without_room_fails_before_it_downloads(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    size_bytes = make_database(tmp_path / "seed", rows=5000).stat().st_size
    seed(bucket, tmp_path / "seed")
    (tmp_path / "one").mkdir()
    with fails_with(ErrorCode.DISK_FULL):
        Machine(bucket, tmp_path / "one", space=small_disk(tmp_path / "one", 3 * size_bytes)).look()
    assert bucket.requests["download"] == 0


def test_an_org_that_was_evicted_comes_back(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    seed(bucket, make_database(tmp_path / "seed"))
    machine = Machine(bucket, tmp_path / "one")
    machine.run(deleting(1))
    journal = ListJournal()
    space = DiskSpace(str(tmp_path / "one"), journal, 0, lambda folder: 0 if machine.folder.exists() else 10 * MB)
    space.require(OrgId("other"), 1 * MB)
    assert journal.events() == ["org_evicted"]
    machine.run(deleting(2))
    assert query(machine.look()[0].file, "SELECT count(*) FROM t") == 498
