"""The fence of the upload, and who owns an org's files on a machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import ObjectInfo, PreconditionFailedError, Transfer, WorkingCopy
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from tests.unit.sync_fakes import (
    ACME,
    NAME,
    Fail,
    Machine,
    change,
    deleting,
    fails_with,
    make_database,
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


@pytest.mark.parametrize(
    "error", [PreconditionFailedError(), OrgError(ErrorCode.BUCKET_UNREACHABLE)], ids=["412", "reset"]
)
def test_a_lost_answer_is_a_success(bucket: MemoryBucket, machine: Machine, error: Exception) -> None:
    bucket.faults = Fail("upload", error, after=True)
    machine.run()
    assert len(bucket.versions(NAME)) == 2
    _, transfer = machine.look()
    assert transfer.bytes_down == 0


def test_an_upload_that_never_arrived_is_an_error(bucket: MemoryBucket, machine: Machine) -> None:
    bucket.faults = Fail("upload", OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "first"), after=False)
    with pytest.raises(OrgError, match="first"):
        machine.run()
    assert len(bucket.versions(NAME)) == 1


def test_a_bucket_that_stays_away_is_the_first_error(bucket: MemoryBucket, machine: Machine) -> None:
    class GoneAfterUpload(NoFaults):
        def after(self, request: Request) -> None:
            if request.kind == "upload":
                raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "first")

        def before(self, request: Request) -> None:
            if request.kind == "stat" and bucket.requests["upload"]:
                raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "second")

    bucket.requests.clear()
    bucket.faults = GoneAfterUpload()
    with pytest.raises(OrgError, match="first"):
        machine.run()


@pytest.mark.parametrize("same_run", [False, True])
def test_another_writer_wins(bucket: MemoryBucket, machine: Machine, tmp_path: Path, same_run: bool) -> None:
    other = Machine(bucket, tmp_path / "two")

    def work(copy: WorkingCopy) -> None:
        change(copy.file)
        # The same run made twice has the same id and the same bytes; only the token of the upload differs.
        other.run() if same_run else other.run(deleting(3))

    with pytest.raises(PreconditionFailedError):
        machine.run(work)
    assert [info.metadata.get("upload-token") for info in bucket.versions(NAME)] == [None, "two-1"]
    machine.run(deleting(4))
    assert len(bucket.versions(NAME)) == 3


def test_an_answer_that_describes_other_bytes_is_not_believed(bucket: MemoryBucket, tmp_path: Path) -> None:
    class Liar(MemoryBucket):
        def upload(self, *args: object, **facts: object) -> ObjectInfo:
            return replace(super().upload(*args, **facts), crc32c="AAAAAA==")  # type: ignore[arg-type]

    liar = Liar()
    seed(liar, tmp_path / "seed")
    machine = Machine(liar, tmp_path / "one")
    with fails_with(ErrorCode.SYNC_FAILED):
        machine.run()


# -------------------------------------------------------------------------------------------- who owns the files


def test_two_runs_of_one_org_do_not_share_files(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    other = Machine(bucket, tmp_path / "one")
    copy = machine.sync.down(ACME, create=False, transfer=Transfer())
    with fails_with(ErrorCode.DATABASE_BUSY):
        other.look()
    assert 30 <= other.clock.seconds < 31
    machine.sync.done(copy)
    other.look()


def test_a_failed_sync_down_gives_the_files_back(bucket: MemoryBucket, machine: Machine, tmp_path: Path) -> None:
    bucket.faults = Fail("stat", OrgError(ErrorCode.BUCKET_UNREACHABLE), after=False)
    with fails_with(ErrorCode.BUCKET_UNREACHABLE):
        machine.look()
    Machine(bucket, tmp_path / "one").look()


def test_a_copy_that_was_given_back_cannot_go_up(bucket: MemoryBucket, machine: Machine) -> None:
    copy, _ = machine.look()
    machine.sync.done(copy)  # a second time does nothing
    newer = machine.sync.down(ACME, create=False, transfer=Transfer())
    machine.sync.done(copy)  # and does not touch another run's lock
    with pytest.raises(ValueError, match="given back"):
        machine.sync.up(copy, run_id="r1", facts={}, transfer=Transfer())
    change(newer.file)
    machine.sync.up(newer, run_id="r1", facts={}, transfer=Transfer())
    with fails_with(ErrorCode.SYNC_FAILED):  # once is enough
        machine.sync.up(newer, run_id="r1", facts={}, transfer=Transfer())
    machine.sync.done(newer)
    assert len(bucket.versions(NAME)) == 2
