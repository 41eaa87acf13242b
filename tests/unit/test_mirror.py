"""Sync down and up on real files with the real sqlite3_rsync: what is moved, when, and what comes back."""

import json
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Transfer, WorkingCopy
from events.types import InvalidOrgIdError, OrgId
from infra.checksum import crc32c_of_file
from infra.fence import parent_generation_of
from infra.lease import BucketLease
from infra.memory_bucket import MemoryBucket
from infra.sqlite_file import read_header
from tests.unit.sync_fakes import (
    ACME,
    NAME,
    Machine,
    change,
    deleting,
    live_content,
    make_database,
    query,
    seed,
    tokens,
)


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def machine(bucket: MemoryBucket, tmp_path: Path) -> Machine:
    return Machine(bucket, tmp_path / "one")


# -------------------------------------------------------------------------------------------- down


def test_the_first_run_downloads_and_the_mirror_is_the_object(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path
) -> None:
    generation = seed(bucket, make_database(tmp_path / "seed"))
    copy, transfer = machine.look()
    assert (copy.org_id, copy.generation, copy.object_replaced) == (ACME, generation, False)
    assert (machine.folder / "mirror.db").read_bytes() == live_content(bucket)
    assert query(copy.file, "SELECT count(*) FROM t") == 500
    assert transfer.bytes_down == len(live_content(bucket))
    record = json.loads((machine.folder / "mirror.json").read_bytes())
    assert record["generation"] == generation
    assert record["crc32c"] == crc32c_of_file(str(tmp_path / "seed"))
    assert record["verdict"] == "ok"


def test_a_current_mirror_downloads_no_media(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    seed(bucket, make_database(tmp_path / "seed"))
    machine.look()
    bucket.requests.clear()
    _, transfer = machine.look()
    assert bucket.requests == {"stat": 1}
    assert (transfer.bytes_down, transfer.requests_class_b, transfer.requests_class_a) == (0, 1, 0)


def test_a_warm_run_makes_at_most_eight_requests(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    seed(bucket, make_database(tmp_path / "seed"))
    machine.run()
    lease = BucketLease(bucket, machine.clock, machine.journal, new_token=tokens(), renews=False)
    bucket.requests.clear()
    with lease.hold(ACME, until=0, transfer=Transfer()):
        _, transfer = machine.run(lambda copy: change(copy.file, "DELETE FROM t WHERE id = 9"))
    assert bucket.requests == {"write": 1, "stat": 1, "upload": 1, "delete": 1}
    assert (transfer.bytes_down, transfer.bytes_up) == (0, len(live_content(bucket)))


def test_a_machine_behind_downloads_the_object(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    seed(bucket, make_database(tmp_path / "seed"))
    machine.look()
    other = Machine(bucket, tmp_path / "two")
    other.run()
    copy, transfer = machine.look()
    assert query(copy.file, "SELECT a LIKE '%changed' FROM t WHERE id = 7") == 1
    assert transfer.bytes_down == len(live_content(bucket))
    assert not copy.object_replaced


def test_what_the_last_run_left_in_the_working_copy_is_undone(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path
) -> None:
    seed(bucket, make_database(tmp_path / "seed"))
    copy, _ = machine.look()
    change(copy.file)
    copy, _ = machine.look()
    assert query(copy.file, "SELECT count(*) FROM t WHERE a LIKE '%changed'") == 0


def test_a_missing_object_is_an_error_or_a_new_org(bucket: MemoryBucket, machine: Machine) -> None:
    with pytest.raises(OrgError) as missing:
        machine.look()
    assert (missing.value.code, missing.value.org_id) == (ErrorCode.OBJECT_MISSING, "acme")
    copy, _ = machine.look(create=True)
    assert (copy.generation, copy.object_replaced) == (0, False)
    assert read_header(copy.file) is not None
    assert query(copy.file, "SELECT count(*) FROM sqlite_schema") == 0


def test_the_first_upload_of_a_new_org_creates_the_object(bucket: MemoryBucket, machine: Machine) -> None:
    _, transfer = machine.run(lambda copy: change(copy.file, "CREATE TABLE t (a)"))
    live = bucket.stat(NAME)
    assert live is not None
    assert parent_generation_of(live) == 0
    assert transfer.pages_changed == live.size_bytes // 4096
    copy, _ = machine.look()
    assert (copy.generation, query(copy.file, "SELECT name FROM sqlite_schema")) == (live.generation, "t")


def test_what_an_earlier_life_of_the_org_left_is_not_in_the_new_one(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path
) -> None:
    generation = seed(bucket, make_database(tmp_path / "seed"))
    machine.look()
    bucket.delete(NAME, if_generation_match=generation)
    copy, _ = machine.run(lambda copy: change(copy.file, "CREATE TABLE fresh (a)"))
    assert copy.generation == 0
    assert query(machine.look()[0].file, "SELECT group_concat(name) FROM sqlite_schema") == "fresh"


@pytest.mark.parametrize("org_id", ["../etc", "", "a/b", ".locks", "a" * 65, "a\n"])
def test_an_org_id_is_judged_before_it_becomes_a_path(machine: Machine, org_id: str) -> None:
    with pytest.raises(InvalidOrgIdError):
        machine.sync.down(OrgId(org_id), create=True, transfer=Transfer())
    assert not any(path.is_file() for path in machine.folder.parent.glob("**/*"))


# -------------------------------------------------------------------------------------------- up


def test_a_change_goes_up_with_its_origin(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    generation = seed(bucket, make_database(tmp_path / "seed"))
    _, transfer = machine.run()
    live = bucket.stat(NAME)
    assert live is not None
    assert dict(live.metadata) == {"run-id": "r1", "parent-generation": str(generation), "upload-token": "one-1"}
    assert (machine.folder / "mirror.db").read_bytes() == live_content(bucket)
    assert 1 <= transfer.pages_changed <= 4
    assert transfer.bytes_up == live.size_bytes
    assert not (machine.folder / "mirror.next.db").exists()


def test_every_upload_has_a_token_of_its_own(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    seed(bucket, make_database(tmp_path / "seed"))
    for row in range(1, 4):
        machine.run(deleting(row))
    assert [info.metadata.get("upload-token") for info in bucket.versions(NAME)] == [None, "one-1", "one-2", "one-3"]


def test_a_run_that_changed_nothing_sends_nothing(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    generation = seed(bucket, make_database(tmp_path / "seed"))
    transfer = Transfer()
    copy = machine.sync.down(ACME, create=False, transfer=transfer)
    uploaded = machine.sync.up(copy, run_id="r1", facts={}, transfer=transfer)
    machine.sync.done(copy)
    assert uploaded == (generation, len(live_content(bucket)))
    assert (transfer.requests_class_a, transfer.bytes_up) == (1, 0)  # the one request is the look at the history


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("page_size_bytes", [512, 4096, 8192, 65536])
def test_what_the_file_brings_along_it_keeps(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path, journal_mode: str, page_size_bytes: int
) -> None:
    seed(bucket, make_database(tmp_path / "seed", journal_mode=journal_mode, page_size_bytes=page_size_bytes))
    for row in (1, 2):
        machine.run(deleting(row))
    after = tmp_path / "after"
    after.write_bytes(live_content(bucket))
    header = read_header(str(after))
    assert header is not None
    assert (header.page_size_bytes, header.is_wal) == (page_size_bytes, journal_mode == "wal")
    assert query(after, "PRAGMA application_id") == 77
    assert query(after, "PRAGMA user_version") == 5
    assert query(after, "SELECT count(*) FROM sqlite_schema WHERE name = 'foreign_table'") == 1
    assert query(after, "SELECT count(*) FROM t") == 498
    assert query(after, "PRAGMA integrity_check") == "ok"


@pytest.mark.parametrize(("brought", "left"), [("delete", "wal"), ("wal", "delete")])
def test_a_journal_mode_that_a_run_changed_is_changed_back(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path, brought: str, left: str
) -> None:
    seed(bucket, make_database(tmp_path / "seed", journal_mode=brought))

    def work(copy: WorkingCopy) -> None:
        change(copy.file)
        change(copy.file, f"PRAGMA journal_mode = {left}")

    machine.run(work)
    assert (live_content(bucket)[18] == 2) == (brought == "wal")


def test_an_object_that_changed_its_page_size_is_followed(
    bucket: MemoryBucket, machine: Machine, tmp_path: Path
) -> None:
    seed(bucket, make_database(tmp_path / "seed", page_size_bytes=4096))
    machine.look()
    seed(bucket, make_database(tmp_path / "other", page_size_bytes=8192, rows=10))
    copy, _ = machine.look()
    assert query(copy.file, "PRAGMA page_size") == 8192
    assert "copy_discarded" in machine.journal.events()


# -------------------------------------------------------------------------------------------- replaced from outside


def restore(bucket: MemoryBucket, generation: int, folder: Path) -> None:
    """Do what ``gsutil cp`` of an old version does: content and metadata come back as a new generation."""
    file = folder / f"restored-{generation}"
    bucket.download(NAME, generation, str(file))
    metadata = next(info.metadata for info in bucket.versions(NAME) if info.generation == generation)
    live = bucket.stat(NAME)
    bucket.upload(NAME, str(file), if_generation_match=live.generation if live else 0, metadata=metadata)


def test_runs_of_several_machines_replace_nothing(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    other = Machine(bucket, tmp_path / "two")
    seed(bucket, make_database(tmp_path / "seed"))
    copies = [
        each.run(deleting(row))[0] for row, each in enumerate([machine, machine, other, other, machine, other], start=1)
    ]
    assert not any(copy.object_replaced for copy in copies)


def test_a_restored_version_is_seen_by_every_machine(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    seed(bucket, make_database(tmp_path / "seed"))
    behind, other = Machine(bucket, tmp_path / "behind"), Machine(bucket, tmp_path / "other")
    machine.run()
    first_run = bucket.versions(NAME)[-1].generation
    behind.look()
    for row in (1, 2):
        machine.run(deleting(row))
    restore(bucket, bucket.versions(NAME)[2].generation, tmp_path)
    # ``behind`` has exactly the generation that the restored metadata names: only the history tells it.
    assert behind.sync._bucket is bucket
    assert parent_generation_of(bucket.versions(NAME)[-1]) == first_run
    for each in (machine, behind, other, Machine(bucket, tmp_path / "fresh")):
        assert each.look()[0].object_replaced
        assert each.look()[0].object_replaced  # remembered with the mirror
    machine.run()
    assert not machine.look()[0].object_replaced
    assert not other.look()[0].object_replaced


def test_an_upload_without_our_metadata_is_seen(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    seed(bucket, make_database(tmp_path / "seed"))
    assert not machine.look()[0].object_replaced  # nothing was there before
    seed(bucket, make_database(tmp_path / "other", rows=3))
    assert machine.look()[0].object_replaced


def test_without_versioning_the_mirror_is_the_witness(tmp_path: Path) -> None:
    bucket = MemoryBucket(versioning=False)
    machine, other = Machine(bucket, tmp_path / "one"), Machine(bucket, tmp_path / "two")
    seed(bucket, make_database(tmp_path / "seed"))
    assert not machine.look()[0].object_replaced
    other.run()
    assert not machine.look()[0].object_replaced
    seed(bucket, make_database(tmp_path / "other", rows=3))
    assert machine.look()[0].object_replaced
