"""The page compare finds every difference but the counters that sqlite3_rsync changes."""

import os
from pathlib import Path

import pytest

from core.runs.errors import OrgError
from infra import pages
from infra.pages import CHUNK_BYTES, compare_pages
from infra.rsync import Rsync, find_rsync
from infra.sqlite_file import read_header
from tests.unit.sync_fakes import change, make_database


@pytest.fixture(scope="module")
def rsync() -> Rsync:
    return find_rsync()


def differing_bytes(first: Path, second: Path) -> set[int]:
    left, right = first.read_bytes(), second.read_bytes()
    assert len(left) == len(right)
    return {place for place in range(len(left)) if left[place] != right[place]}


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("page_size_bytes", [512, 4096, 8192, 65536])
def test_a_replica_differs_in_the_counters_only(
    tmp_path: Path, rsync: Rsync, journal_mode: str, page_size_bytes: int
) -> None:
    origin = make_database(tmp_path / "o", journal_mode=journal_mode, page_size_bytes=page_size_bytes)
    replica = tmp_path / "r"
    for _ in range(2):  # the first time the replica is new, the second time it is not
        rsync.copy(str(origin), str(replica))
        counters = set(range(24, 28)) | set(range(92, 100))
        assert differing_bytes(origin, replica)
        assert differing_bytes(origin, replica) <= counters
        assert compare_pages(str(origin), str(replica)).identical
        change(replica)
        assert not compare_pages(str(origin), str(replica)).identical


@pytest.mark.parametrize("page_size_bytes", [512, 4096, 65536])
def test_every_changed_page_is_named(tmp_path: Path, page_size_bytes: int) -> None:
    rows = 60_000 if page_size_bytes == 4096 else 2_000  # more than one chunk, and less
    first = make_database(tmp_path / "a", rows=rows, page_size_bytes=page_size_bytes)
    second = tmp_path / "b"
    content = bytearray(first.read_bytes())
    page_count = len(content) // page_size_bytes
    assert (len(content) > CHUNK_BYTES) == (page_size_bytes == 4096)
    wanted = sorted(
        {2, 3, page_count // 2, CHUNK_BYTES // page_size_bytes + 1, page_count} & set(range(page_count + 1))
    )
    for page in wanted:
        content[page * page_size_bytes - 1] ^= 1  # its last byte
    second.write_bytes(content)
    difference = compare_pages(str(first), str(second))
    assert difference.changed.tolist() == wanted
    assert (difference.page_count, difference.page_size_bytes) == (page_count, page_size_bytes)


@pytest.mark.parametrize("place", [18, 19, 16 + 4, 40, 60, 68, 91, 100])
def test_page_one_counts_apart_from_its_counters(tmp_path: Path, place: int) -> None:
    first = make_database(tmp_path / "a")
    content = bytearray(first.read_bytes())
    content[place] ^= 1
    (tmp_path / "b").write_bytes(content)
    assert compare_pages(str(first), str(tmp_path / "b")).changed.tolist() == [1]


def test_pages_that_only_one_file_has_are_changed_pages(tmp_path: Path) -> None:
    first = make_database(tmp_path / "a", rows=100)
    second = tmp_path / "b"
    second.write_bytes(first.read_bytes())
    change(second, "INSERT INTO foreign_table VALUES (zeroblob(40000))")
    before, after = first.stat().st_size // 4096, second.stat().st_size // 4096
    grown = compare_pages(str(first), str(second)).changed.tolist()
    shrunk = compare_pages(str(second), str(first)).changed.tolist()
    assert after > before
    assert grown == shrunk
    assert set(range(before + 1, after + 1)) < set(grown)


def test_a_file_that_is_shorter_than_its_header_says_is_no_copy(tmp_path: Path) -> None:
    first = make_database(tmp_path / "a")
    second = tmp_path / "b"
    second.write_bytes(first.read_bytes()[:-4096])
    assert compare_pages(str(first), str(second)).changed.tolist() == [first.stat().st_size // 4096]
    assert not compare_pages(str(second), str(second)).identical


def test_another_page_size_changes_every_page(tmp_path: Path) -> None:
    first = make_database(tmp_path / "a", page_size_bytes=4096)
    second = make_database(tmp_path / "b", page_size_bytes=8192)
    difference = compare_pages(str(first), str(second))
    assert difference.changed.size >= difference.page_count
    assert difference.page_size_bytes == 8192


def test_without_a_first_file_all_pages_are_new(tmp_path: Path) -> None:
    second = make_database(tmp_path / "b")
    assert compare_pages(None, str(second)).changed.tolist() == list(range(1, second.stat().st_size // 4096 + 1))


def test_bytes_after_the_last_page_are_not_part_of_a_database(tmp_path: Path, rsync: Rsync) -> None:
    origin = make_database(tmp_path / "o")
    with origin.open("ab") as stream:
        stream.write(b"left by some tool" * 1000)
    rsync.copy(str(origin), str(tmp_path / "r"))
    assert compare_pages(str(origin), str(tmp_path / "r")).identical


def test_the_page_that_holds_the_lock_bytes_means_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pages._LOCK_BYTE_OFFSET == 0x4000_0000  # PENDING_BYTE of the SQLite file format
    offset = 2**20  # reading a gigabyte of holes takes seconds
    monkeypatch.setattr(pages, "_LOCK_BYTE_OFFSET", offset)
    files = [make_database(tmp_path / name, rows=10, page_size_bytes=65536) for name in "ab"]
    lock_page = offset // 65536 + 1
    for number, file in enumerate(files):
        os.truncate(file, 65536 * (lock_page + 2))
        with file.open("r+b") as stream:
            stream.seek(28)
            stream.write((lock_page + 2).to_bytes(4, "big"))
            for place in (offset + 5, offset + 65536):
                stream.seek(place)
                stream.write(bytes([number]))
    assert compare_pages(str(files[0]), str(files[1])).changed.tolist() == [lock_page + 1]


def test_what_is_no_database_cannot_be_compared(tmp_path: Path) -> None:
    good = make_database(tmp_path / "a")
    bad = tmp_path / "b"
    bad.write_bytes(b"x" * 5000)
    for first, second in ((good, bad), (bad, good)):
        with pytest.raises(OrgError):
            compare_pages(str(first), str(second))


@pytest.mark.parametrize(
    "content", [b"", b"SQLite format 3\x00", b"SQLite format 3\x00" + b"\x00" * 495, b"x" * 4096], ids=range(4)
)
def test_what_is_too_short_or_has_no_magic_is_no_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert read_header(str(tmp_path / "f")) is None


def test_a_header_without_a_page_count_is_counted_by_size(tmp_path: Path) -> None:
    file = make_database(tmp_path / "a")
    content = bytearray(file.read_bytes())
    content[28:32] = bytes(4)  # written by a SQLite before 3.7.0
    (tmp_path / "b").write_bytes(content)
    header = read_header(str(tmp_path / "b"))
    assert header is not None
    assert header.page_count == len(content) // 4096
