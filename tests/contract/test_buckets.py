"""The behaviour suite on the two buckets that need no network, and what only one of them has."""

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bucket
from infra.files import disk_errors
from infra.local_bucket import LocalBucket
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from tests.contract.bucket_suite import NAME, BucketSuite, write


class TestMemoryBucket(BucketSuite):
    @pytest.fixture
    def bucket(self) -> Bucket:
        return MemoryBucket()


class TestLocalBucket(BucketSuite):
    @pytest.fixture
    def bucket(self, tmp_path: Path) -> Bucket:
        return LocalBucket(str(tmp_path / "bucket"))


def test_an_object_outlives_its_process(tmp_path: Path) -> None:
    info = write(LocalBucket(str(tmp_path)), b"x")
    assert LocalBucket(str(tmp_path)).stat(NAME) == info


def test_only_the_wanted_versions_are_kept(tmp_path: Path) -> None:
    bucket = LocalBucket(str(tmp_path), keep_versions=2)
    generations = [write(bucket, bytes([n]), match=None).generation for n in range(5)]
    assert [info.generation for info in bucket.versions(NAME)] == generations[-2:]
    assert len(list(tmp_path.glob("*/*.data"))) == 2
    assert bucket.versioning_enabled()
    assert not LocalBucket(str(tmp_path), keep_versions=1).versioning_enabled()


def test_generations_grow_even_if_the_clock_goes_back(tmp_path: Path) -> None:
    future = write(LocalBucket(str(tmp_path), now=lambda: _year(2099)), b"1").generation
    assert write(LocalBucket(str(tmp_path), now=lambda: _year(2026)), b"2", match=future).generation > future


def test_names_stay_inside_the_directory(tmp_path: Path) -> None:
    bucket = LocalBucket(str(tmp_path / "bucket"))
    for name in ("../../outside", "/etc/passwd", "..%2f..", "lock", "x" * 900, "x" * 901):
        write(bucket, b"x", name=name)
    assert [path.name for path in tmp_path.iterdir()] == ["bucket"]
    assert len(list((tmp_path / "bucket").iterdir())) == 6


def test_what_a_crash_left_is_ignored_and_then_removed(tmp_path: Path) -> None:
    bucket = LocalBucket(str(tmp_path))
    info = write(bucket, b"live")
    folder = next(tmp_path.iterdir())
    orphan = info.generation + 5
    (folder / f"{orphan}.data").write_bytes(b"torn")
    (folder / f"{orphan}.json").write_bytes((folder / "live.json").read_bytes())
    (folder / "live.json.tmp").write_bytes(b"{")
    (folder / f"{info.generation - 1}.data").write_bytes(b"pruned by half")
    assert bucket.stat(NAME) == info
    assert [version.generation for version in bucket.versions(NAME)] == [info.generation]
    with pytest.raises(OrgError):
        bucket.download(NAME, orphan, str(tmp_path / "file"))
    newer = write(bucket, b"newer", match=info.generation)
    kept = {"lock", "live.json"} | {f"{g}.{s}" for g in (info.generation, newer.generation) for s in ("data", "json")}
    assert {path.name for path in folder.iterdir()} == kept
    assert [version.generation for version in bucket.versions(NAME)] == [info.generation, newer.generation]


def test_damage_to_the_stored_bytes_is_seen(tmp_path: Path) -> None:
    bucket = LocalBucket(str(tmp_path))
    write(bucket, b"live")
    next(tmp_path.glob("*/*.data")).write_bytes(b"lave")
    with pytest.raises(OrgError) as corrupt:
        bucket.read(NAME, max_bytes=10)
    assert corrupt.value.code is ErrorCode.DOWNLOAD_CORRUPT


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, ErrorCode.DISK_FULL), (errno.EDQUOT, ErrorCode.DISK_FULL), (errno.EIO, ErrorCode.SYNC_FAILED)],
)
def test_a_full_disk_has_a_code_of_its_own(number: int, code: ErrorCode) -> None:
    with pytest.raises(OrgError) as failed, disk_errors("acme"):
        raise OSError(number, "text that must not travel")
    assert (failed.value.code, failed.value.detail) == (code, errno.errorcode[number])


def test_the_twin_calls_its_hooks_around_the_effect() -> None:
    seen: list[tuple[str, bool]] = []

    class Watch(NoFaults):
        def before(self, request: Request) -> None:
            seen.append(("before", NAME in bucket._live))

        def after(self, request: Request) -> None:
            seen.append(("after", NAME in bucket._live))

    bucket = MemoryBucket(faults=Watch())
    write(bucket, b"x")
    assert seen == [("before", False), ("after", True)]
    assert bucket.requests == {"write": 1}


def test_the_twin_refuses_bytes_that_changed_on_the_way_up() -> None:
    class Flip(NoFaults):
        def content(self, request: Request, content: bytes) -> bytes:
            return content[:-1]

    bucket = MemoryBucket(faults=Flip())
    with pytest.raises(OrgError) as refused:
        write(bucket, b"x")
    assert refused.value.code is ErrorCode.BUCKET_UNREACHABLE
    assert bucket.stat(NAME) is None


def _year(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)
