"""What every bucket must do, whatever it is made of. A subclass gives the bucket; pytest collects it there."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bucket, ObjectInfo, PreconditionFailedError
from events.types import parse_org_id
from infra.checksum import crc32c_of_bytes, crc32c_of_file
from infra.fence import RUN_ID_KEY, UPLOAD_TOKEN_KEY, fenced_upload, parent_generation_of
from infra.org_folder import has_content

NAME = "org-data/acme.db"
ACME = parse_org_id("acme")


def write(bucket: Bucket, content: bytes, *, match: int | None = 0, name: str = NAME) -> ObjectInfo:
    return bucket.write(name, content, if_generation_match=match, metadata={})


class LostAnswer:
    """Around any bucket: uploads take effect, but their answer never arrives."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def __getattr__(self, name: str) -> object:
        return getattr(self.bucket, name)

    def upload(self, name: str, file: str, *, if_generation_match: int, metadata: Mapping[str, str]) -> ObjectInfo:
        self.bucket.upload(name, file, if_generation_match=if_generation_match, metadata=metadata)
        raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "reset after commit")


class RetriedUpload(LostAnswer):
    """Around any bucket: a client library that lost an answer sends again, and is told that it is too late."""

    def upload(self, name: str, file: str, *, if_generation_match: int, metadata: Mapping[str, str]) -> ObjectInfo:
        self.bucket.upload(name, file, if_generation_match=if_generation_match, metadata=metadata)
        return self.bucket.upload(name, file, if_generation_match=if_generation_match, metadata=metadata)


class BucketSuite:
    @pytest.fixture
    def bucket(self) -> Bucket:
        raise NotImplementedError

    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        path = tmp_path / "content"
        path.write_bytes(b"0123456789" * 300_000)  # more than one chunk
        return str(path)

    # -- what is there

    def test_a_name_without_an_object_is_none(self, bucket: Bucket) -> None:
        assert bucket.stat(NAME) is None
        assert bucket.read(NAME, max_bytes=10) is None
        assert list(bucket.versions(NAME)) == []
        assert list(bucket.list("")) == []

    def test_a_written_object_is_described(self, bucket: Bucket) -> None:
        written = bucket.write(NAME, b"hello", if_generation_match=0, metadata={"run-id": "r1"})
        assert bucket.stat(NAME) == written
        assert (written.name, written.size_bytes) == (NAME, 5)
        assert written.crc32c == "mnG7TA=="  # base64 of the big-endian CRC32C 0x9a71bb4c of "hello"
        assert dict(written.metadata) == {"run-id": "r1"}
        assert written.generation > 0
        assert written.updated.utcoffset() == timedelta(0)

    def test_an_uploaded_file_comes_back_byte_for_byte(self, bucket: Bucket, file: str, tmp_path: Path) -> None:
        info = bucket.upload(NAME, file, if_generation_match=0, metadata={})
        copy = tmp_path / "copy"
        bucket.download(NAME, info.generation, str(copy))
        assert copy.read_bytes() == Path(file).read_bytes()
        assert (info.size_bytes, info.crc32c) == (3_000_000, crc32c_of_file(file))

    def test_an_empty_object_is_an_object(self, bucket: Bucket) -> None:
        info = write(bucket, b"")
        assert (info.size_bytes, info.crc32c) == (0, "AAAAAA==")
        found = bucket.read(NAME, max_bytes=0)
        assert found is not None
        assert found[0] == b""

    def test_reading_more_than_allowed_is_refused(self, bucket: Bucket) -> None:
        write(bucket, b"12345")
        with pytest.raises(OrgError) as refused:
            bucket.read(NAME, max_bytes=4)
        assert refused.value.code is ErrorCode.DOWNLOAD_CORRUPT

    # -- generations and preconditions

    def test_every_write_has_a_higher_generation(self, bucket: Bucket) -> None:
        first = write(bucket, b"1")
        second = write(bucket, b"2", match=first.generation)
        third = write(bucket, b"3", match=None)
        assert first.generation < second.generation < third.generation
        assert first.updated <= second.updated <= third.updated

    def test_generations_grow_across_a_delete(self, bucket: Bucket) -> None:
        first = write(bucket, b"1")
        bucket.delete(NAME, if_generation_match=first.generation)
        assert bucket.stat(NAME) is None
        assert write(bucket, b"2").generation > first.generation

    def test_create_once(self, bucket: Bucket) -> None:
        first = write(bucket, b"1")
        with pytest.raises(PreconditionFailedError):
            write(bucket, b"2")
        assert bucket.stat(NAME) == first

    def test_a_stale_write_changes_nothing(self, bucket: Bucket, file: str) -> None:
        first = write(bucket, b"1")
        second = write(bucket, b"2", match=first.generation)
        for stale in (first.generation, second.generation + 1):
            with pytest.raises(PreconditionFailedError):
                write(bucket, b"3", match=stale)
            with pytest.raises(PreconditionFailedError):
                bucket.upload(NAME, file, if_generation_match=stale, metadata={})
        assert bucket.stat(NAME) == second
        assert len(bucket.versions(NAME)) == 2

    def test_a_precondition_needs_an_object(self, bucket: Bucket) -> None:
        with pytest.raises(PreconditionFailedError):
            write(bucket, b"1", match=12345)
        assert bucket.stat(NAME) is None

    def test_a_stale_delete_changes_nothing(self, bucket: Bucket) -> None:
        first = write(bucket, b"1")
        second = write(bucket, b"2", match=first.generation)
        with pytest.raises(PreconditionFailedError):
            bucket.delete(NAME, if_generation_match=first.generation)
        assert bucket.stat(NAME) == second

    def test_deleting_what_is_not_there_fails(self, bucket: Bucket) -> None:
        with pytest.raises(PreconditionFailedError):
            bucket.delete(NAME, if_generation_match=1)
        gone = write(bucket, b"1")
        bucket.delete(NAME, if_generation_match=gone.generation)
        with pytest.raises(PreconditionFailedError):
            bucket.delete(NAME, if_generation_match=gone.generation)

    # -- versions

    def test_versions_keep_content_metadata_and_order(self, bucket: Bucket, tmp_path: Path) -> None:
        first = bucket.write(NAME, b"one", if_generation_match=0, metadata={"k": "1"})
        second = bucket.write(NAME, b"two", if_generation_match=first.generation, metadata={"k": "2"})
        assert [v.generation for v in bucket.versions(NAME)] == [first.generation, second.generation]
        assert [v.metadata["k"] for v in bucket.versions(NAME)] == ["1", "2"]
        bucket.download(NAME, first.generation, str(tmp_path / "old"))
        assert (tmp_path / "old").read_bytes() == b"one"
        assert bucket.versioning_enabled()

    def test_a_deleted_object_stays_as_a_version(self, bucket: Bucket, tmp_path: Path) -> None:
        info = write(bucket, b"one")
        bucket.delete(NAME, if_generation_match=info.generation)
        assert [v.generation for v in bucket.versions(NAME)] == [info.generation]
        bucket.download(NAME, info.generation, str(tmp_path / "old"))
        assert (tmp_path / "old").read_bytes() == b"one"

    def test_a_version_that_never_was_is_missing(self, bucket: Bucket, tmp_path: Path) -> None:
        info = write(bucket, b"one")
        for name, generation in ((NAME, info.generation + 1), ("org-data/other.db", 1)):
            with pytest.raises(OrgError) as missing:
                bucket.download(name, generation, str(tmp_path / "file"))
            assert missing.value.code is ErrorCode.OBJECT_MISSING
            assert not (tmp_path / "file").exists()

    # -- ranged reads

    @pytest.mark.parametrize("there", [0, 1, 2_000_000, 2_999_999, 3_000_000])
    def test_a_download_goes_on_where_it_ended(self, bucket: Bucket, file: str, tmp_path: Path, there: int) -> None:
        info = bucket.upload(NAME, file, if_generation_match=0, metadata={})
        content = Path(file).read_bytes()
        part = tmp_path / "part"
        if there:
            part.write_bytes(content[:there])
        bucket.resume_download(NAME, info.generation, str(part), size_bytes=info.size_bytes)
        assert part.read_bytes() == content
        assert has_content(part, info.size_bytes, info.crc32c)

    def test_a_range_is_appended_and_trusted_by_nobody(self, bucket: Bucket, file: str, tmp_path: Path) -> None:
        """What is there is not looked at: that it was the beginning of something else is for the caller to find."""
        info = bucket.upload(NAME, file, if_generation_match=0, metadata={})
        part = tmp_path / "part"
        part.write_bytes(b"x" * 2_000_000)
        bucket.resume_download(NAME, info.generation, str(part), size_bytes=info.size_bytes)
        assert part.read_bytes() == b"x" * 2_000_000 + Path(file).read_bytes()[2_000_000:]
        assert not has_content(part, info.size_bytes, info.crc32c)

    def test_a_range_is_one_of_the_version_that_is_named(self, bucket: Bucket, tmp_path: Path) -> None:
        first = write(bucket, b"first version")
        write(bucket, b"FIRST VERSION, replaced", match=first.generation)
        part = tmp_path / "part"
        part.write_bytes(b"first ")
        bucket.resume_download(NAME, first.generation, str(part), size_bytes=first.size_bytes)
        assert part.read_bytes() == b"first version"

    def test_an_empty_object_comes_whole(self, bucket: Bucket, tmp_path: Path) -> None:
        info = write(bucket, b"")
        bucket.resume_download(NAME, info.generation, str(tmp_path / "part"), size_bytes=0)
        assert (tmp_path / "part").read_bytes() == b""

    def test_a_range_of_a_version_that_never_was_is_missing(self, bucket: Bucket, tmp_path: Path) -> None:
        info = write(bucket, b"one")
        part = tmp_path / "part"
        part.write_bytes(b"o")
        with pytest.raises(OrgError) as missing:
            bucket.resume_download(NAME, info.generation + 1, str(part), size_bytes=3)
        assert missing.value.code is ErrorCode.OBJECT_MISSING
        assert part.read_bytes() == b"o"

    # -- names

    def test_list_is_by_prefix_and_by_name(self, bucket: Bucket) -> None:
        for name in ("org-data/b.db", "org-data/a.db", "org-lease/a", "org-data", "other"):
            write(bucket, b"x", name=name)
        gone = write(bucket, b"x", name="org-data/c.db")
        bucket.delete("org-data/c.db", if_generation_match=gone.generation)
        assert [info.name for info in bucket.list("org-data/")] == ["org-data/a.db", "org-data/b.db"]
        assert len(list(bucket.list(""))) == 5

    @pytest.mark.parametrize(
        "name",
        ["../../outside", "a/../b", "/absolute", "a//b", "a b%2Fc", "x" * 1000, "ä/€", "con.trol\x01", "..."],
    )
    def test_names_are_only_names(self, bucket: Bucket, name: str) -> None:
        write(bucket, b"mine", name=name)
        write(bucket, b"other", name=name[:-1] + "~")
        found = bucket.read(name, max_bytes=10)
        assert found is not None
        assert found[0] == b"mine"
        assert name in [info.name for info in bucket.list(name[:2])]

    @pytest.mark.parametrize("name", ["", ".", "..", "x" * 1025, "a\nb"])
    def test_names_that_cloud_storage_refuses_are_refused(self, bucket: Bucket, name: str) -> None:
        with pytest.raises(OrgError) as refused:
            write(bucket, b"x", name=name)
        assert refused.value.code is ErrorCode.BUCKET_REFUSED

    # -- what the caller makes of it

    def test_bytes_that_changed_on_the_way_are_seen_by_the_caller(self, bucket: Bucket, tmp_path: Path) -> None:
        info = write(bucket, b"one")
        copy = tmp_path / "copy"
        bucket.download(NAME, info.generation, str(copy))
        assert has_content(copy, info.size_bytes, info.crc32c)
        for wrong in (b"onf", b"on", b"onee", b""):
            copy.write_bytes(wrong)
            assert not has_content(copy, info.size_bytes, info.crc32c)
        assert info.crc32c == crc32c_of_bytes(b"one")

    def test_a_download_does_not_touch_a_file_that_is_there(self, bucket: Bucket, tmp_path: Path) -> None:
        info = write(bucket, b"one")
        (tmp_path / "precious").write_bytes(b"old")
        with pytest.raises(OrgError):
            bucket.download(NAME, info.generation, str(tmp_path / "precious"))
        assert (tmp_path / "precious").read_bytes() == b"old"

    @pytest.mark.parametrize("around", [LostAnswer, RetriedUpload])
    def test_a_lost_answer_is_recognised(self, bucket: Bucket, file: str, around: type[LostAnswer]) -> None:
        first = write(bucket, b"1")
        info = fenced_upload(
            around(bucket),  # type: ignore[arg-type]
            ACME,
            file,
            parent_generation=first.generation,
            run_id="r1",
            token="t1",  # noqa: S106
        )
        assert bucket.stat(NAME) == info
        assert (info.metadata[RUN_ID_KEY], info.metadata[UPLOAD_TOKEN_KEY]) == ("r1", "t1")
        assert parent_generation_of(info) == first.generation

    def test_anothers_upload_is_not_taken_for_ours(self, bucket: Bucket, file: str) -> None:
        fenced_upload(bucket, ACME, file, parent_generation=0, run_id="r1", token="theirs")  # noqa: S106
        with pytest.raises(PreconditionFailedError):  # same run, same bytes: only the token differs
            fenced_upload(bucket, ACME, file, parent_generation=0, run_id="r1", token="ours")  # noqa: S106
