"""The real Cloud Storage client, retries and all, against the facts of the JSON API that ``tests/fake_gcs`` serves."""

import errno
import gzip
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from google.api_core.exceptions import NotFound

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bucket, ObjectInfo, PreconditionFailedError
from infra.checksum import crc32c_of_bytes
from infra.gcs import GcsBucket
from infra.gcs_client import BoundedStream, GcsLimits
from infra.gcs_errors import is_bucket_missing
from infra.org_folder import has_content
from infra.settings import Settings
from tests.fake_gcs import Dialect, FakeGcs, FaultKind, Received, RequestClass

NAME = "org-data/acme.db"
SMALL = b"small content"
LARGE = os.urandom(1024) * (9 * 1024)  # 9 MiB: more than the client sends in one request
FAST = GcsLimits(
    timeout_seconds=20,
    deadline_seconds=60,
    transfer_deadline_seconds=60,
    retry_first_seconds=0.01,
    retry_longest_seconds=0.05,
    upload_chunk_bytes=4 * 1024 * 1024,
)
NERVOUS = replace(FAST, timeout_seconds=1)
"""Where silence is the fault; a busy machine, too, is silent for a while."""
IMPATIENT = GcsLimits(
    timeout_seconds=0.1,
    deadline_seconds=0.2,
    transfer_deadline_seconds=0.2,
    retry_first_seconds=0.01,
    retry_longest_seconds=0.05,
)


def limits_for(fault: FaultKind) -> GcsLimits:
    return NERVOUS if fault.startswith("stall") else FAST


@pytest.fixture
def gcs() -> Iterator[FakeGcs]:
    with FakeGcs("bucket", page_size=2) as server:
        yield server


class Connect:
    """Makes buckets of the server, and closes them at the end of the test."""

    def __init__(self, gcs: FakeGcs, stack: ExitStack) -> None:
        self._gcs, self._stack = gcs, stack

    def __call__(self, limits: GcsLimits = FAST, name: str = "bucket") -> GcsBucket:
        settings = Settings(gcs_bucket_name=name, storage_emulator_host=self._gcs.url)
        return self._stack.enter_context(closing(GcsBucket.connect(settings, limits)))


@pytest.fixture
def connect(gcs: FakeGcs) -> Iterator[Connect]:
    with ExitStack() as stack:
        yield Connect(gcs, stack)


@pytest.fixture
def bucket(connect: Connect) -> GcsBucket:
    return connect()


@pytest.fixture
def small(tmp_path: Path) -> str:
    (tmp_path / "small").write_bytes(SMALL)
    return str(tmp_path / "small")


@pytest.fixture
def large(tmp_path: Path) -> str:
    (tmp_path / "large").write_bytes(LARGE)
    return str(tmp_path / "large")


def put(gcs: FakeGcs, content: bytes = SMALL, name: str = NAME) -> int:
    return gcs.store.insert(name, content, {"metadata": {"by": "another"}}, {}).generation


def code_of(error: OrgError) -> ErrorCode:
    """No error shows an address: upload ids in it let whoever reads it write."""
    assert "http://" not in str(error)
    assert "upload_id" not in str(error)
    return error.code


# ---------------------------------------------------------------------------------------------------- what it does


def test_it_is_a_bucket(bucket: GcsBucket) -> None:
    port: Bucket = bucket
    assert port.stat("nothing") is None


def test_content_and_metadata_go_up_in_one_request_with_a_precondition(bucket: GcsBucket, gcs: FakeGcs) -> None:
    info = bucket.write(NAME, SMALL, if_generation_match=0, metadata={"run": "r1"})
    (request,) = gcs.received
    assert request.request == "insert"
    assert request.query["ifGenerationMatch"] == "0"
    assert b'"run": "r1"' in request.body
    assert crc32c_of_bytes(SMALL).encode() in request.body
    assert info == bucket.stat(NAME)
    assert (info.size_bytes, info.crc32c, info.metadata) == (len(SMALL), crc32c_of_bytes(SMALL), {"run": "r1"})
    assert info.updated.utcoffset() is not None


@pytest.mark.parametrize("size", [0, 1, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1])
def test_files_of_any_size_go_up_and_come_back(size: int, bucket: GcsBucket, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(LARGE[:size])
    info = bucket.upload(NAME, str(tmp_path / "up"), if_generation_match=0, metadata={"token": "t"})
    assert (info.size_bytes, info.crc32c) == (size, crc32c_of_bytes(LARGE[:size]))
    assert info.metadata == {"token": "t"}
    bucket.download(NAME, info.generation, str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == LARGE[:size]


def test_a_large_file_goes_up_in_a_session_that_names_its_checksum_first(
    bucket: GcsBucket, gcs: FakeGcs, large: str
) -> None:
    bucket.upload(NAME, large, if_generation_match=0, metadata={"token": "t"})
    assert gcs.requests() == ["session", "chunk", "chunk", "chunk"]
    start = gcs.received[0]
    assert start.query["ifGenerationMatch"] == "0"
    assert crc32c_of_bytes(LARGE).encode() in start.body
    assert b'"token": "t"' in start.body


def test_generations_grow_and_old_ones_stay(bucket: GcsBucket, tmp_path: Path) -> None:
    first = bucket.write(NAME, b"one", if_generation_match=0, metadata={})
    second = bucket.write(NAME, b"two", if_generation_match=first.generation, metadata={})
    assert second.generation > first.generation
    bucket.download(NAME, first.generation, str(tmp_path / "old"))
    assert (tmp_path / "old").read_bytes() == b"one"
    bucket.delete(NAME, if_generation_match=second.generation)
    assert bucket.stat(NAME) is None
    assert [v.generation for v in bucket.versions(NAME)] == [first.generation, second.generation]


def test_versions_are_those_of_the_name_only(bucket: GcsBucket, gcs: FakeGcs) -> None:
    generations = [put(gcs, b"%d" % n) for n in range(5)]
    put(gcs, name=NAME + "-old")
    assert [v.generation for v in bucket.versions(NAME)] == generations
    assert all(v.name == NAME for v in bucket.versions(NAME))


def test_a_listing_is_paged_by_name_and_live_only(bucket: GcsBucket, gcs: FakeGcs) -> None:
    for name in ("org-data/c.db", "org-data/a.db", "org-data/b.db", "other/x", "org-data/d.db"):
        put(gcs, name=name)
    gone = put(gcs, name="org-data/e.db")
    bucket.delete("org-data/e.db", if_generation_match=gone)
    gcs.received.clear()
    assert [i.name for i in bucket.list("org-data/")] == [f"org-data/{org}.db" for org in "abcd"]
    assert gcs.requests() == ["list", "list"]
    first = next(bucket.list("org-data/"))
    assert isinstance(first, ObjectInfo)
    assert first.metadata == {"by": "another"}
    assert list(bucket.list("nothing/")) == []


@pytest.mark.parametrize("on", [True, False])
def test_versioning_is_read_from_the_bucket(bucket: GcsBucket, gcs: FakeGcs, *, on: bool) -> None:
    gcs.store.versioning = on
    assert bucket.versioning_enabled() is on


def test_names_are_quoted_once(bucket: GcsBucket) -> None:
    name = "rejected/a b+c/ü?%2F#x"
    bucket.write(name, SMALL, if_generation_match=0, metadata={})
    found = bucket.read(name, max_bytes=100)
    assert found is not None
    assert found[0] == SMALL
    assert [i.name for i in bucket.list("rejected/a b+c/ü")] == [name]


def test_reading_gives_content_and_description(bucket: GcsBucket, gcs: FakeGcs) -> None:
    generation = put(gcs)
    found = bucket.read(NAME, max_bytes=len(SMALL))
    assert found is not None
    assert (found[0], found[1].generation) == (SMALL, generation)
    assert bucket.read("nothing", max_bytes=1) is None


def test_reading_follows_a_replacement_between_its_two_requests(bucket: GcsBucket, gcs: FakeGcs) -> None:
    gcs.store.versioning = False
    put(gcs, b"old")
    gcs.before = lambda request: replace_once(gcs, request, "media", b"new")
    found = bucket.read(NAME, max_bytes=100)
    assert found is not None
    assert found[0] == b"new"


def replace_once(gcs: FakeGcs, request: Received, when: RequestClass, content: bytes) -> None:
    """Another writer is faster by one request."""
    if request.request == when:
        gcs.before = lambda _: None
        put(gcs, content)


def test_one_client_serves_many_threads(bucket: GcsBucket, gcs: FakeGcs) -> None:
    generation = put(gcs)
    won: list[int] = []
    lost: list[int] = []

    def write(n: int) -> None:
        try:
            bucket.write(NAME, b"%d" % n, if_generation_match=generation, metadata={})
            won.append(n)
        except PreconditionFailedError:
            lost.append(n)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 11)
    found = bucket.read(NAME, max_bytes=9)
    assert found is not None
    assert found[0] == b"%d" % won[0]


def test_the_client_asks_for_nothing_of_its_own(bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path, large: str) -> None:
    """Its background request for the bucket's metadata would be one that nobody counts."""
    info = bucket.upload(NAME, large, if_generation_match=0, metadata={})
    bucket.download(NAME, info.generation, str(tmp_path / "down"))
    list(bucket.list(""))
    assert "bucket" not in gcs.requests()


# ---------------------------------------------------------------------------------------------------- preconditions


@pytest.mark.parametrize("match", [0, 12345])
def test_a_stale_write_changes_nothing(match: int, bucket: GcsBucket, gcs: FakeGcs, small: str, large: str) -> None:
    generation = put(gcs)
    with pytest.raises(PreconditionFailedError):
        bucket.write(NAME, b"x", if_generation_match=match, metadata={})
    with pytest.raises(PreconditionFailedError):
        bucket.upload(NAME, small, if_generation_match=match, metadata={})
    with pytest.raises(PreconditionFailedError):
        bucket.upload(NAME, large, if_generation_match=match, metadata={})
    with pytest.raises(PreconditionFailedError):
        bucket.delete(NAME, if_generation_match=match)
    assert [v.generation for v in bucket.versions(NAME)] == [generation]
    assert bucket.stat(NAME) is not None


def test_a_missing_object_has_no_generation(bucket: GcsBucket, small: str, large: str) -> None:
    for file in (small, large):
        with pytest.raises(PreconditionFailedError):
            bucket.upload(NAME, file, if_generation_match=7, metadata={})
    with pytest.raises(PreconditionFailedError):
        bucket.delete(NAME, if_generation_match=7)


def test_a_session_is_fenced_at_its_end_too(bucket: GcsBucket, gcs: FakeGcs, large: str) -> None:
    generation = put(gcs)
    gcs.before = lambda request: replace_once(gcs, request, "chunk", b"another writer's")
    with pytest.raises(PreconditionFailedError):
        bucket.upload(NAME, large, if_generation_match=generation, metadata={})
    live = gcs.store.live(NAME)
    assert live is not None
    assert live.content == b"another writer's"


def test_without_a_precondition_the_last_writer_wins(bucket: GcsBucket, gcs: FakeGcs) -> None:
    put(gcs)
    gcs.fail("insert", "503")
    bucket.write(NAME, b"mine", if_generation_match=None, metadata={})
    assert "ifGenerationMatch" not in gcs.received[-1].query
    assert bucket.read(NAME, max_bytes=9) is not None


# ---------------------------------------------------------------------------------------------------- lost answers


@pytest.mark.parametrize("fault", ["reset after", "stall after"])
def test_a_lost_answer_to_a_write_shows_as_a_failed_precondition(
    fault: FaultKind, connect: Connect, gcs: FakeGcs, small: str
) -> None:
    bucket = connect(limits_for(fault))
    gcs.fail("insert", fault)
    with pytest.raises(PreconditionFailedError):
        bucket.upload(NAME, small, if_generation_match=0, metadata={"token": "t1"})
    assert gcs.requests() == ["insert", "insert"]
    info = bucket.stat(NAME)
    assert info is not None
    assert (info.metadata, info.crc32c) == ({"token": "t1"}, crc32c_of_bytes(SMALL))


@pytest.mark.parametrize("fault", ["reset after", "stall after"])
def test_a_lost_answer_to_the_end_of_a_session_is_asked_for_again(
    fault: FaultKind, connect: Connect, gcs: FakeGcs, large: str
) -> None:
    bucket = connect(limits_for(fault))
    gcs.fail("chunk", fault, skip=2)
    info = bucket.upload(NAME, large, if_generation_match=0, metadata={"token": "t1"})
    assert gcs.requests() == ["session", "chunk", "chunk", "chunk", "chunk"]
    assert [v.generation for v in bucket.versions(NAME)] == [info.generation]


@pytest.mark.parametrize("skip", [0, 1])
def test_a_lost_answer_within_a_session_is_no_loss(skip: int, bucket: GcsBucket, gcs: FakeGcs, large: str) -> None:
    gcs.fail("session", "reset after")
    gcs.fail("chunk", "reset after", skip=skip)
    info = bucket.upload(NAME, large, if_generation_match=0, metadata={})
    live = gcs.store.live(NAME)
    assert live is not None
    assert live.content == LARGE
    assert info.generation == live.generation


def test_a_lost_answer_to_a_delete_shows_as_a_failed_precondition(bucket: GcsBucket, gcs: FakeGcs) -> None:
    generation = put(gcs)
    gcs.fail("delete", "reset after")
    with pytest.raises(PreconditionFailedError):
        bucket.delete(NAME, if_generation_match=generation)
    assert bucket.stat(NAME) is None


def test_a_chunk_of_which_a_part_was_kept_costs_a_session(connect: Connect, gcs: FakeGcs, large: str) -> None:
    bucket = connect()
    gcs.fail("chunk", "partial", skip=1)
    info = bucket.upload(NAME, large, if_generation_match=0, metadata={"token": "t1"})
    assert gcs.requests().count("session") == 2
    assert (info.size_bytes, info.crc32c, info.metadata) == (len(LARGE), crc32c_of_bytes(LARGE), {"token": "t1"})
    assert [v.generation for v in bucket.versions(NAME)] == [info.generation]


def test_a_server_that_keeps_only_parts_ends_the_upload_without_harm(
    bucket: GcsBucket, gcs: FakeGcs, large: str
) -> None:
    generation = put(gcs)
    gcs.fail("chunk", "partial", times=1000)
    with pytest.raises(OrgError) as caught:
        bucket.upload(NAME, large, if_generation_match=generation, metadata={})
    assert code_of(caught.value) is ErrorCode.BUCKET_UNREACHABLE
    info = bucket.stat(NAME)
    assert info is not None
    assert info.generation == generation


# ---------------------------------------------------------------------------------------------------- wrong bytes


@pytest.mark.parametrize("request_class", ["insert", "chunk"])
def test_bytes_that_changed_on_their_way_up_are_refused_and_the_live_object_stays(
    request_class: RequestClass, bucket: GcsBucket, gcs: FakeGcs, small: str, large: str
) -> None:
    generation = put(gcs)
    gcs.fail(request_class, "corrupt on arrival")
    file = small if request_class == "insert" else large
    with pytest.raises(OrgError) as caught:
        bucket.upload(NAME, file, if_generation_match=generation, metadata={})
    assert code_of(caught.value) is ErrorCode.BUCKET_UNREACHABLE
    assert "delete" not in gcs.requests()
    info = bucket.stat(NAME)
    assert info is not None
    assert info.generation == generation


def test_an_answer_that_describes_other_bytes_is_not_believed_and_deletes_nothing(
    bucket: GcsBucket, gcs: FakeGcs, large: str
) -> None:
    """The client's own check would delete the live object here, without a precondition."""
    gcs.fail("chunk", "misdescribe", skip=2)
    with pytest.raises(OrgError, match="other bytes") as caught:
        bucket.upload(NAME, large, if_generation_match=0, metadata={})
    assert code_of(caught.value) is ErrorCode.BUCKET_UNREACHABLE
    assert "delete" not in gcs.requests()
    assert bucket.stat(NAME) is not None


def test_a_refused_look_at_the_configuration_names_the_role(bucket: GcsBucket, gcs: FakeGcs) -> None:
    gcs.fail("bucket", "403")
    with pytest.raises(OrgError, match="legacyBucketReader"):
        bucket.versioning_enabled()


def test_bytes_that_changed_on_their_way_down_leave_no_file(bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path) -> None:
    generation = put(gcs)
    gcs.fail("media", "corrupt")
    with pytest.raises(OrgError) as caught:
        bucket.download(NAME, generation, str(tmp_path / "down"))
    assert code_of(caught.value) is ErrorCode.DOWNLOAD_CORRUPT
    assert list(tmp_path.iterdir()) == []
    gcs.fail("media", "corrupt")
    with pytest.raises(OrgError) as caught:
        bucket.read(NAME, max_bytes=100)
    assert code_of(caught.value) is ErrorCode.DOWNLOAD_CORRUPT


@pytest.mark.parametrize("fault", ["truncate", "reset before", "stall", "503", "429"])
def test_a_broken_download_is_resumed_or_repeated(
    fault: FaultKind, connect: Connect, gcs: FakeGcs, tmp_path: Path
) -> None:
    bucket = connect(limits_for(fault))
    generation = put(gcs, LARGE)
    gcs.fail("media", fault, times=2)
    bucket.download(NAME, generation, str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == LARGE
    assert gcs.requests() == ["media", "media", "media"]
    assert all(request.query["generation"] == str(generation) for request in gcs.received)
    assert ("range" in gcs.received[-1].headers) is (fault == "truncate")


# ---------------------------------------------------------------------------------------------------- ranged reads


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """What came before a download broke off."""
    file = tmp_path / "part"
    file.write_bytes(LARGE[:5_000_000])
    return file


def resume(bucket: GcsBucket, generation: int, part: Path) -> None:
    bucket.resume_download(NAME, generation, str(part), size_bytes=len(LARGE))


def test_a_download_is_resumed_by_one_ranged_request(bucket: GcsBucket, gcs: FakeGcs, part: Path) -> None:
    resume(bucket, put(gcs, LARGE), part)
    assert part.read_bytes() == LARGE
    (request,) = gcs.received
    assert request.headers["range"] == f"bytes=5000000-{len(LARGE) - 1}"
    resume(bucket, int(request.query["generation"]), part)
    assert len(gcs.received) == 1  # there was nothing more to ask for


@pytest.mark.parametrize("fault", ["truncate", "reset before", "stall", "503", "429"])
def test_a_ranged_request_that_breaks_goes_on_where_it_broke(
    fault: FaultKind, connect: Connect, gcs: FakeGcs, part: Path
) -> None:
    gcs.fail("media", fault, times=2)
    resume(connect(limits_for(fault)), put(gcs, LARGE), part)
    assert part.read_bytes() == LARGE
    starts = [int(request.headers["range"].split("=")[1].split("-")[0]) for request in gcs.received]
    assert starts == sorted(starts)
    assert (starts[-1] > starts[0]) is (fault == "truncate")


def test_what_came_before_an_outage_stays(connect: Connect, gcs: FakeGcs, part: Path) -> None:
    generation = put(gcs, LARGE)
    gcs.fail("media", "truncate")
    gcs.fail("media", "503", times=1000)
    limits = GcsLimits(timeout_seconds=20, transfer_deadline_seconds=2, retry_first_seconds=0.01)
    with pytest.raises(OrgError) as caught:
        resume(connect(limits), generation, part)
    assert code_of(caught.value) is ErrorCode.BUCKET_UNREACHABLE
    came = part.read_bytes()
    assert len(came) > 5_000_000
    assert LARGE.startswith(came)


def test_bytes_that_changed_within_a_range_are_for_the_caller_to_find(
    bucket: GcsBucket, gcs: FakeGcs, part: Path
) -> None:
    gcs.fail("media", "corrupt")
    resume(bucket, put(gcs, LARGE), part)
    assert not has_content(part, len(LARGE), crc32c_of_bytes(LARGE))


@pytest.mark.parametrize("content", [LARGE[:4_000_000], LARGE[:5_000_000]])
def test_a_version_that_ends_before_the_range_is_another_one(
    content: bytes, bucket: GcsBucket, gcs: FakeGcs, part: Path
) -> None:
    with pytest.raises(OrgError, match="HTTP 416") as caught:
        resume(bucket, put(gcs, content), part)
    assert code_of(caught.value) is ErrorCode.DOWNLOAD_CORRUPT


def test_a_server_that_does_not_heed_the_range_fills_no_disk(bucket: GcsBucket, gcs: FakeGcs, part: Path) -> None:
    gcs.fail("media", "whole", times=1000)
    with pytest.raises(OrgError, match="more bytes than were asked for") as caught:
        resume(bucket, put(gcs, LARGE), part)
    assert code_of(caught.value) is ErrorCode.DOWNLOAD_CORRUPT
    assert part.stat().st_size <= len(LARGE)


def test_a_content_encoding_does_not_change_the_bytes(bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path) -> None:
    stored = gzip.compress(SMALL, mtime=0)
    version = gcs.store.insert(NAME, stored, {"contentEncoding": "gzip"}, {})
    bucket.download(NAME, version.generation, str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == stored


def test_a_larger_object_than_expected_is_not_read(bucket: GcsBucket, gcs: FakeGcs) -> None:
    put(gcs)
    with pytest.raises(OrgError) as caught:
        bucket.read(NAME, max_bytes=len(SMALL) - 1)
    assert code_of(caught.value) is ErrorCode.DOWNLOAD_CORRUPT
    assert gcs.requests() == ["stat"]


# ---------------------------------------------------------------------------------------------------- files


def test_an_existing_file_is_not_touched(bucket: GcsBucket, gcs: FakeGcs, small: str) -> None:
    generation = put(gcs, b"other")
    with pytest.raises(OrgError, match="EEXIST"):
        bucket.download(NAME, generation, small)
    assert Path(small).read_bytes() == SMALL


def test_a_version_that_is_gone_is_missing(bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path) -> None:
    put(gcs)
    with pytest.raises(OrgError) as caught:
        bucket.download(NAME, 12345, str(tmp_path / "down"))
    assert code_of(caught.value) is ErrorCode.OBJECT_MISSING
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_no_file(
    bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: BoundedStream, __: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    generation = put(gcs)
    monkeypatch.setattr(BoundedStream, "write", full)
    with pytest.raises(OrgError) as caught:
        bucket.download(NAME, generation, str(tmp_path / "down"))
    assert code_of(caught.value) is ErrorCode.DISK_FULL
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------- every fault

CALLS: dict[RequestClass, Callable[[GcsBucket, int, Path], object]] = {
    "stat": lambda b, g, d: b.stat(NAME),
    "media": lambda b, g, d: b.download(NAME, g, str(d / "down")),
    "list": lambda b, g, d: list(b.list("org-data/")),
    "insert": lambda b, g, d: b.write(NAME, b"x", if_generation_match=g, metadata={}),
    "session": lambda b, g, d: b.upload(NAME, str(d / "large"), if_generation_match=g, metadata={}),
    "chunk": lambda b, g, d: b.upload(NAME, str(d / "large"), if_generation_match=g, metadata={}),
    "delete": lambda b, g, d: b.delete(NAME, if_generation_match=g),
    "bucket": lambda b, g, d: b.versioning_enabled(),
}


@pytest.mark.parametrize("request_class", CALLS)
@pytest.mark.parametrize("fault", ["503", "429", "500", "reset before"])
def test_a_passing_fault_is_not_noticed(
    request_class: RequestClass, fault: FaultKind, bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    generation = put(gcs)
    gcs.fail(request_class, fault, times=2)
    CALLS[request_class](bucket, generation, tmp_path)
    assert gcs.requests().count(request_class) >= 3


@pytest.mark.parametrize("request_class", CALLS)
@pytest.mark.parametrize("fault", ["401", "403"])
def test_a_refusal_is_no_outage(
    request_class: RequestClass, fault: FaultKind, bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    generation = put(gcs)
    gcs.fail(request_class, fault, times=9)
    with pytest.raises(OrgError) as caught:
        CALLS[request_class](bucket, generation, tmp_path)
    assert code_of(caught.value) is ErrorCode.BUCKET_REFUSED
    assert "objectAdmin" in caught.value.hint


@pytest.mark.parametrize("request_class", CALLS)
@pytest.mark.parametrize("fault", ["503", "reset before", "stall"])
def test_an_outage_ends_in_time(
    request_class: RequestClass, fault: FaultKind, connect: Connect, gcs: FakeGcs, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    generation = put(gcs)
    gcs.fail(request_class, fault, times=1000)
    with pytest.raises(OrgError) as caught:
        CALLS[request_class](connect(IMPATIENT), generation, tmp_path)
    assert code_of(caught.value) is ErrorCode.BUCKET_UNREACHABLE
    assert caught.value.retryable


@pytest.mark.parametrize("request_class", CALLS)
def test_a_bucket_that_does_not_exist_is_named(request_class: RequestClass, connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    with pytest.raises(OrgError, match="bucket wrong-name: it does not exist") as caught:
        CALLS[request_class](connect(name="wrong-name"), 1, tmp_path)
    assert code_of(caught.value) is ErrorCode.BUCKET_UNREACHABLE
    assert "GCS_BUCKET_NAME" in caught.value.hint


@pytest.mark.parametrize("request_class", ["media", "insert", "chunk"])
def test_a_transfer_has_an_end(request_class: RequestClass, connect: Connect, gcs: FakeGcs, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    generation = put(gcs)
    out_of_time = GcsLimits(timeout_seconds=1, deadline_seconds=1, transfer_deadline_seconds=-1)
    with pytest.raises(OrgError, match="TransferDeadlineError") as caught:
        CALLS[request_class](connect(out_of_time), generation, tmp_path)
    assert code_of(caught.value) is ErrorCode.BUCKET_UNREACHABLE
    info = connect().stat(NAME)
    assert info is not None
    assert info.generation == generation


def test_a_session_that_is_gone_shows_as_a_failed_precondition(bucket: GcsBucket, gcs: FakeGcs, large: str) -> None:
    gcs.fail("chunk", "404")
    with pytest.raises(PreconditionFailedError):
        bucket.upload(NAME, large, if_generation_match=0, metadata={})


@pytest.mark.parametrize("name", ["", ".", "a\nb", "x" * 1025])
def test_names_that_no_object_has_are_not_asked_for(name: str, bucket: GcsBucket, gcs: FakeGcs) -> None:
    with pytest.raises(OrgError) as caught:
        bucket.stat(name)
    assert code_of(caught.value) is ErrorCode.BUCKET_REFUSED
    assert gcs.received == []


# ---------------------------------------------------------------------------------------------------- other servers


@pytest.mark.parametrize("after", ["", "/", "//", "/gcs", "/gcs/"])
def test_an_emulators_address_may_end_in_a_path(after: str, gcs: FakeGcs) -> None:
    gcs.prefix = "/gcs" if "gcs" in after else ""
    settings = Settings.from_env({"GCS_BUCKET_NAME": "bucket", "STORAGE_EMULATOR_HOST": gcs.url + after})
    with closing(GcsBucket.connect(settings, FAST)) as bucket:
        info = bucket.write(NAME, SMALL, if_generation_match=0, metadata={})
        found = bucket.read(NAME, max_bytes=100)
        assert found == (SMALL, info)
        assert [version.generation for version in bucket.versions(NAME)] == [info.generation]


@pytest.mark.parametrize(
    "leaves_out", [{"updated"}, {"crc32c"}, {"generation"}, {"size"}, {"crc32c", "md5Hash", "updated"}]
)
def test_an_answer_that_leaves_something_out_is_not_believed(
    leaves_out: set[str], bucket: GcsBucket, gcs: FakeGcs
) -> None:
    put(gcs)
    gcs.dialect = Dialect(leaves_out=frozenset(leaves_out))
    with pytest.raises(OrgError, match="incomplete") as caught:
        bucket.stat(NAME)
    assert code_of(caught.value) is ErrorCode.BUCKET_UNREACHABLE


@pytest.mark.parametrize("updated", ["yesterday", "", "12:00", 5])
def test_a_time_that_is_none_is_not_believed(updated: object, bucket: GcsBucket, gcs: FakeGcs) -> None:
    gcs.store.insert(NAME, SMALL, {"updated": updated}, {})
    with pytest.raises(OrgError, match="incomplete"):
        bucket.stat(NAME)


def test_a_bucket_that_does_not_exist_is_named_in_other_words_too() -> None:
    def speaks_of_the_bucket(words: str) -> bool:
        return is_bucket_missing(NotFound(f"GET http://x/b/bucket: {words}"))  # type: ignore[no-untyped-call]  # not typed

    for words in ("The specified bucket does not exist.", "Bucket wrong-name does not exist.", "bucket does not exist"):
        assert speaks_of_the_bucket(words), words
    for words in ("No such object: bucket/org-data/acme.db", "Live version of object my-bucket/x does not exist."):
        assert not speaks_of_the_bucket(words), words
