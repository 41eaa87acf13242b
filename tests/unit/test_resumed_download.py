"""A whole object that did not come in one go: what came is kept, what is kept is believed only when all of it is there."""

from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from tests.unit.sync_fakes import Fail, Machine, fails_with, live_content, make_database, query, seed


class BreakOff(NoFaults):
    """Of the first so many downloads a third arrives; then the connection breaks, or merely ends."""

    def __init__(self, times: int, *, quietly: bool = False) -> None:
        self.left, self.quietly = times, quietly
        self.broken = False

    def content(self, request: Request, content: bytes) -> bytes:
        self.broken = request.kind == "download" and self.left > 0
        self.left -= self.broken
        return content[: len(content) // 3] if self.broken else content

    def after(self, request: Request) -> None:
        if request.kind == "download" and self.broken and not self.quietly:
            raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "reset")


@pytest.fixture
def bucket(tmp_path: Path) -> MemoryBucket:
    bucket = MemoryBucket()
    seed(bucket, make_database(tmp_path / "seed"))
    return bucket


@pytest.fixture
def machine(bucket: MemoryBucket, tmp_path: Path) -> Machine:
    return Machine(bucket, tmp_path / "one")


def parts(machine: Machine) -> list[Path]:
    return sorted(machine.folder.glob("download*"))


def broken_off(machine: Machine, bucket: MemoryBucket) -> Path:
    """Let a run end in the middle of its download."""
    bucket.faults = BreakOff(times=1)
    with fails_with(ErrorCode.BUCKET_UNREACHABLE):
        machine.look()
    bucket.faults = NoFaults()
    (part,) = parts(machine)
    return part


def test_the_next_run_fetches_only_the_rest(machine: Machine, bucket: MemoryBucket) -> None:
    content = live_content(bucket)
    came = broken_off(machine, bucket).stat().st_size
    copy, transfer = machine.look()
    assert transfer.bytes_down == len(content) - came
    assert (machine.folder / "mirror.db").read_bytes() == content
    assert query(copy.file, "SELECT count(*) FROM t") == 500
    assert parts(machine) == []


def test_a_link_too_slow_for_one_run_is_fast_enough_for_several(machine: Machine, bucket: MemoryBucket) -> None:
    bucket.faults = BreakOff(times=4)
    for _ in range(4):
        with fails_with(ErrorCode.BUCKET_UNREACHABLE):
            machine.look()
    _, transfer = machine.look()
    assert transfer.bytes_down < len(live_content(bucket)) / 4


def test_a_stream_that_merely_ends_is_taken_up_again_in_the_same_run(machine: Machine, bucket: MemoryBucket) -> None:
    bucket.faults = BreakOff(times=1, quietly=True)
    _, transfer = machine.look()
    assert transfer.bytes_down == len(live_content(bucket))
    assert bucket.requests["download"] == 2


def test_what_came_of_another_generation_is_of_no_use(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    broken_off(machine, bucket)
    seed(bucket, make_database(tmp_path / "newer", rows=700))
    copy, transfer = machine.look()
    assert transfer.bytes_down == len(live_content(bucket))
    assert query(copy.file, "SELECT count(*) FROM t") == 700
    assert parts(machine) == []


def test_a_part_that_was_spoilt_on_disk_costs_a_download(machine: Machine, bucket: MemoryBucket) -> None:
    """After a loss of power a file may have its length and not its content."""
    part = broken_off(machine, bucket)
    part.write_bytes(b"\x00" * part.stat().st_size)
    _, transfer = machine.look()
    content = live_content(bucket)
    assert transfer.bytes_down == 2 * len(content) - len(content) // 3
    assert (machine.folder / "mirror.db").read_bytes() == content


@pytest.mark.parametrize("whole", [True, False])
def test_a_download_that_was_complete_when_the_machine_stopped(
    machine: Machine, bucket: MemoryBucket, *, whole: bool
) -> None:
    part = broken_off(machine, bucket)
    content = live_content(bucket)
    part.write_bytes(content if whole else content[::-1])
    _, transfer = machine.look()
    assert transfer.bytes_down == (0 if whole else len(content))
    assert (machine.folder / "mirror.db").read_bytes() == content
    assert parts(machine) == []


def test_bytes_that_the_client_finds_wrong_are_fetched_again_at_once(machine: Machine, bucket: MemoryBucket) -> None:
    bucket.faults = Fail("download", OrgError(ErrorCode.DOWNLOAD_CORRUPT), after=True)
    _, transfer = machine.look()
    assert transfer.bytes_down == 2 * len(live_content(bucket))
    assert "download_failed" in machine.journal.events()


def test_nothing_is_kept_of_an_org_that_is_gone(machine: Machine, bucket: MemoryBucket) -> None:
    broken_off(machine, bucket)
    live = next(iter(bucket.list("org-data/")))
    bucket.delete(live.name, if_generation_match=live.generation)
    with fails_with(ErrorCode.OBJECT_MISSING):
        machine.look()
    assert parts(machine) == []
