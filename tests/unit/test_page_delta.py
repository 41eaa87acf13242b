"""The file format of page deltas: it makes the same bytes, and believes nothing that it reads."""

import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infra import pages
from infra.checksum import crc32c_of_file
from infra.page_delta import MAGIC, BadDeltaError, DeltaHeader, apply_delta, read_header, write_delta
from infra.pages import compare_pages
from tests.unit.sync_fakes import change, make_database

HEADER_BYTES = 44
PAGE = 4096
RECORD = 4 + PAGE


def delta_between(old: Path, new: Path, file: Path) -> DeltaHeader:
    difference = compare_pages(str(old), str(new))
    numbers = difference.changed_bytewise
    header = DeltaHeader(
        difference.page_size_bytes, difference.page_count, numbers.size, crc32c_of_file(str(new)), 17, 18
    )
    write_delta(file, header, numbers, old=old, new=new)
    return header


def changed_copy(old: Path, sql: str) -> Path:
    new = old.with_name("new")
    new.write_bytes(old.read_bytes())
    change(new, sql)
    return new


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return make_database(tmp_path / "old", rows=2000)


@pytest.fixture
def delta(old: Path, tmp_path: Path) -> Path:
    """A delta of three pages or so of ``old``."""
    delta_between(old, changed_copy(old, "UPDATE t SET a = a || 'changed' WHERE id IN (7, 1000)"), tmp_path / "delta")
    return tmp_path / "delta"


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("page_size_bytes", [512, 4096, 65536])
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = a || 'changed' WHERE id % 100 = 7",
        "INSERT INTO t (a) SELECT a || 'more' FROM t",
        "DELETE FROM t WHERE id > 300; VACUUM",
        "PRAGMA user_version = 9",
    ],
    ids=["same size", "growth", "shrink", "page 1 only"],
)
def test_the_result_is_the_new_file_byte_for_byte(
    tmp_path: Path, journal_mode: str, page_size_bytes: int, sql: str
) -> None:
    old = make_database(tmp_path / "old", journal_mode=journal_mode, page_size_bytes=page_size_bytes)
    new = tmp_path / "new"
    new.write_bytes(old.read_bytes())
    for statement in sql.split(";"):
        change(new, statement)
    header = delta_between(old, new, tmp_path / "delta")
    assert read_header(tmp_path / "delta") == header
    apply_delta(tmp_path / "delta", old)
    assert old.read_bytes() == new.read_bytes()


def test_a_new_page_size_is_followed(tmp_path: Path) -> None:
    old, new = make_database(tmp_path / "a"), make_database(tmp_path / "b", page_size_bytes=8192)
    delta_between(old, new, tmp_path / "delta")
    apply_delta(tmp_path / "delta", old)
    assert old.read_bytes() == new.read_bytes()


def test_pages_that_the_compare_forgives_are_carried(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_LOCK_BYTE_OFFSET", 5 * PAGE)
    content = bytearray(old.read_bytes())
    content[25] ^= 1  # a counter on page 1
    content[5 * PAGE + 100] ^= 1  # the page that SQLite locks by
    new = tmp_path / "new"
    new.write_bytes(content)
    assert compare_pages(str(old), str(new)).identical
    delta_between(old, new, tmp_path / "delta")
    apply_delta(tmp_path / "delta", old)
    assert old.read_bytes() == new.read_bytes()


def test_a_delta_is_much_smaller_than_its_pages(old: Path, tmp_path: Path) -> None:
    new = changed_copy(old, "UPDATE t SET a = a || 'changed' WHERE id % 100 = 7")
    header = delta_between(old, new, tmp_path / "delta")
    assert header.changed_pages >= 20
    assert (tmp_path / "delta").stat().st_size <= 0.25 * header.changed_pages * PAGE


def test_a_file_that_is_more_than_its_pages_has_no_delta(old: Path, tmp_path: Path) -> None:
    new = changed_copy(old, "PRAGMA user_version = 9")
    with new.open("ab") as stream:
        stream.write(b"and more")
    with pytest.raises(BadDeltaError):
        delta_between(old, new, tmp_path / "delta")


# -------------------------------------------------------------------------------------------- what is not believed


def test_every_flipped_bit_of_the_body_is_found(old: Path, delta: Path) -> None:
    good, content = delta.read_bytes(), old.read_bytes()
    chance = random.Random(1)
    for place in [HEADER_BYTES, HEADER_BYTES + 1, len(good) - 1, *chance.choices(range(HEADER_BYTES, len(good)), k=60)]:
        spoilt = bytearray(good)
        spoilt[place] ^= 1 << chance.randrange(8)
        delta.write_bytes(spoilt)
        old.write_bytes(content)
        with pytest.raises(BadDeltaError):
            apply_delta(delta, old)


def test_every_truncation_is_found(old: Path, delta: Path) -> None:
    good = delta.read_bytes()
    for length in [0, 1, 7, 8, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, len(good) // 2, len(good) - 1]:
        delta.write_bytes(good[:length])
        with pytest.raises(BadDeltaError):
            apply_delta(delta, old)


def test_what_follows_the_end_is_found(old: Path, delta: Path) -> None:
    delta.write_bytes(delta.read_bytes() + b"\x00")
    with pytest.raises(BadDeltaError, match="too long"):
        apply_delta(delta, old)


def forged(
    records: bytes, *, page_size_bytes: int = PAGE, page_count: int = 100, changed_pages: int = 1, magic: bytes = MAGIC
) -> bytes:
    head = struct.pack(">8sIII8sQQ", magic, page_size_bytes, page_count, changed_pages, b"AAAAAA==", 17, 18)
    return head + zlib.compress(records)


def record(number: int, byte: bytes = b"\x00") -> bytes:
    return struct.pack(">I", number) + byte * PAGE


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: forged(record(1), magic=b"pgdelta\x02"), "version"),
        (lambda: forged(record(1), page_size_bytes=0), "header"),
        (lambda: forged(record(1), page_size_bytes=4097), "header"),
        (lambda: forged(record(1), page_size_bytes=1 << 17), "header"),
        (lambda: forged(b"", changed_pages=0), "header"),
        (lambda: forged(b"", page_count=0, changed_pages=0), "header"),
        (lambda: forged(record(1) + record(2), page_count=1, changed_pages=2), "header"),
        (lambda: forged(record(0)), "page number"),
        (lambda: forged(record(101)), "page number"),
        (lambda: forged(record(2) + record(2), changed_pages=2), "page number"),
        (lambda: forged(record(3) + record(2), changed_pages=2), "page number"),
        (lambda: forged(record(1), changed_pages=2), "too short"),
        (lambda: forged(record(1)[:-1]), "too short"),
        (lambda: forged(record(1) + record(2)), "too late"),
        (lambda: forged(record(1) + b"\x00"), "too late"),
    ],
)
def test_a_forged_delta_is_refused(old: Path, delta: Path, content: Callable[[], bytes], reason: str) -> None:
    delta.write_bytes(content())
    with pytest.raises(BadDeltaError, match=reason):
        apply_delta(delta, old)


def test_a_stream_that_expands_without_end_is_cut_off(old: Path, delta: Path) -> None:
    delta.write_bytes(forged(b"\x00\x00\x00\x01" + bytes(64 * 1024 * 1024)))
    assert delta.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(BadDeltaError, match="too late"):
            apply_delta(delta, old)
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_many_pages_in_bounded_memory(tmp_path: Path) -> None:
    """Also crosses the edges of what is read at once, at every position of a record."""
    chance = np.random.default_rng(1)
    old, new = make_database(tmp_path / "old", rows=200), tmp_path / "new"
    new.write_bytes(make_database(tmp_path / "other", rows=60_000).read_bytes())
    size = new.stat().st_size
    noise = chance.integers(0, 256, size - PAGE, dtype=np.uint8).tobytes()
    new.write_bytes(new.read_bytes()[:PAGE] + noise)  # does not compress: several chunks
    assert size > 5 * 1024 * 1024
    delta_between(old, new, tmp_path / "delta")
    tracemalloc.start()
    try:
        apply_delta(tmp_path / "delta", old)
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert old.read_bytes() == new.read_bytes()
