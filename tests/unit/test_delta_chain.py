"""Page deltas between machines: what a machine that is behind downloads, and that a bad delta costs bytes only."""

import errno
import os
import shutil
import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import ObjectInfo, PreconditionFailedError, Transfer
from infra import delta_chain
from infra.delta_chain import DeltaLimits, find_chain
from infra.lease import BucketLease
from infra.memory_bucket import MemoryBucket, NoFaults, Request, RequestKind
from infra.page_delta import MAGIC
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

LIMITS = DeltaLimits(object_bytes_min=0)
PREFIX = "org-delta/acme/"


@pytest.fixture
def bucket(tmp_path: Path) -> MemoryBucket:
    bucket = MemoryBucket()
    seed(bucket, make_database(tmp_path / "seed", rows=3000))
    return bucket


@pytest.fixture
def behind(bucket: MemoryBucket, tmp_path: Path) -> Machine:
    """A machine that looks once and is then overtaken."""
    machine = Machine(bucket, tmp_path / "behind", deltas=LIMITS)
    machine.look()
    return machine


@pytest.fixture
def ahead(bucket: MemoryBucket, behind: Machine, tmp_path: Path) -> Machine:
    machine = Machine(bucket, tmp_path / "ahead", deltas=LIMITS)
    machine.look()
    return machine


def delta_infos(bucket: MemoryBucket) -> Sequence[ObjectInfo]:
    return tuple(bucket.list(PREFIX))


def spoil(bucket: MemoryBucket, info: ObjectInfo, content: bytes) -> None:
    """Put other bytes in the place of a delta."""
    bucket.write(info.name, content, if_generation_match=info.generation, metadata={})


def bytes_of(bucket: MemoryBucket, info: ObjectInfo) -> bytes:
    return bucket._live[info.name].content


def counted(bucket: MemoryBucket, before: Counter[RequestKind]) -> dict[str, int]:
    """What was asked of the bucket since then."""
    return {str(kind): number for kind, number in (bucket.requests - before).items()}


def require_current(bucket: MemoryBucket, machine: Machine) -> Transfer:
    """Sync down, and hold the mirror to the object."""
    _, transfer = machine.look()
    assert (machine.folder / "mirror.db").read_bytes() == live_content(bucket)
    assert sorted(path.name for path in machine.folder.iterdir()) == ["mirror.db", "mirror.json", "working.db"]
    return transfer


def require_whole(bucket: MemoryBucket, machine: Machine, *, reported: bool = True) -> Transfer:
    """Sync down, and see that the deltas were of no use."""
    transfer = require_current(bucket, machine)
    assert transfer.bytes_down >= len(live_content(bucket))
    if reported:
        assert {"page_deltas_not_used", "way_not_used"} & set(machine.journal.events())
    return transfer


# -------------------------------------------------------------------------------------------- the way that works


@pytest.mark.parametrize("runs", [1, 3, 10])
def test_a_machine_behind_downloads_the_deltas(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, runs: int
) -> None:
    pages_changed = sum(ahead.run(deleting(row * 100))[1].pages_changed for row in range(1, runs + 1))
    before = Counter(bucket.requests)
    transfer = require_current(bucket, behind)
    assert counted(bucket, before) == {"stat": 1, "list": 1, "download": runs}
    assert (transfer.requests_class_a, transfer.requests_class_b) == (1, 1 + runs)
    assert transfer.bytes_down == sum(info.size_bytes for info in delta_infos(bucket))
    assert transfer.bytes_down <= 0.5 * pages_changed * 4096
    assert query(behind.folder / "working.db", "SELECT count(*) FROM t") == 3000 - runs


def test_a_warm_run_leaves_its_delta_with_one_request(bucket: MemoryBucket, ahead: Machine) -> None:
    lease = BucketLease(bucket, ahead.clock, ahead.journal, new_token=tokens(), renews=False)
    before = Counter(bucket.requests)
    with lease.hold(ACME, until=0, transfer=Transfer()):
        _, transfer = ahead.run()
    assert counted(bucket, before) == {"write": 1, "stat": 1, "upload": 2, "delete": 1}
    (delta,) = delta_infos(bucket)
    first, second = bucket.versions(NAME)
    assert delta.name == f"{PREFIX}{first.generation}-{second.generation}.pg"
    assert transfer.bytes_up == second.size_bytes + delta.size_bytes
    assert transfer.requests_class_a == 2


def test_machines_by_turns(bucket: MemoryBucket, behind: Machine, ahead: Machine) -> None:
    for row, machine in enumerate([ahead, behind, behind, ahead, ahead, behind, ahead] * 2, start=1):
        copy, transfer = machine.run(deleting(row))
        assert not copy.object_replaced
        assert transfer.bytes_down < 20_000
        assert query(copy.file, "SELECT count(*) FROM t") == 3000 - row


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("page_size_bytes", [512, 4096, 65536])
def test_what_the_object_brings_along(tmp_path: Path, journal_mode: str, page_size_bytes: int) -> None:
    bucket = MemoryBucket()
    file = make_database(tmp_path / "seed", rows=20_000, journal_mode=journal_mode, page_size_bytes=page_size_bytes)
    seed(bucket, file)
    ahead, behind = (Machine(bucket, tmp_path / name, deltas=LIMITS) for name in ("ahead", "behind"))
    behind.look()
    for row in (1, 2):
        ahead.run(deleting(row))
    assert require_current(bucket, behind).bytes_down < len(live_content(bucket)) / 4
    assert (live_content(bucket)[18] == 2) == (journal_mode == "wal")


def test_a_file_that_grows_and_shrinks(bucket: MemoryBucket, behind: Machine, ahead: Machine) -> None:
    sizes = []
    for sql in (
        "CREATE TABLE more AS SELECT a FROM t WHERE id < 1000",
        "DROP TABLE more",
        "PRAGMA auto_vacuum = 0; VACUUM",
        "CREATE TABLE again AS SELECT a || 'again' AS a FROM t WHERE id < 900",
    ):
        for statement in sql.split(";"):
            ahead.run(lambda copy, statement=statement: change(copy.file, statement))  # type: ignore[misc]
        sizes.append(len(live_content(bucket)))
        require_current(bucket, behind)
    assert sizes[0] == sizes[1] > sizes[2] < sizes[3]
    assert "page_deltas_applied" in behind.journal.events()


def changes(file: str, script: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(script)


def test_a_chain_over_a_file_that_grew_and_shrank(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    file = make_database(tmp_path / "seed", rows=3000)
    changes(str(file), "PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
    seed(bucket, file)
    ahead, behind = (Machine(bucket, tmp_path / name, deltas=LIMITS) for name in ("ahead", "behind"))
    behind.look()
    # A page cut off and made again: the delta that makes it again starts from zeros, whatever was there before.
    sizes = [len(live_content(bucket))]
    for sql in (
        "INSERT INTO foreign_table VALUES (randomblob(30000))",
        "DELETE FROM foreign_table; PRAGMA incremental_vacuum",
        "INSERT INTO foreign_table VALUES (randomblob(20000))",
    ):
        ahead.run(lambda copy, sql=sql: changes(copy.file, sql))  # type: ignore[misc]
        sizes.append(len(live_content(bucket)))
    assert sizes[1] > sizes[2] < sizes[3]
    assert require_current(bucket, behind).bytes_down < sizes[0]
    assert "page_deltas_applied" in behind.journal.events()


# -------------------------------------------------------------------------------------------- when there is none


def test_a_small_object_has_no_deltas_and_no_list_request(bucket: MemoryBucket, tmp_path: Path) -> None:
    limits = DeltaLimits(object_bytes_min=len(live_content(bucket)) + 1)
    behind, ahead = (Machine(bucket, tmp_path / name, deltas=limits) for name in ("behind", "ahead"))
    behind.look()
    ahead.run()
    assert delta_infos(bucket) == ()
    before = Counter(bucket.requests)
    require_whole(bucket, behind, reported=False)
    assert "list" not in bucket.requests - before


def test_the_first_upload_and_a_big_change_leave_no_delta(bucket: MemoryBucket, tmp_path: Path) -> None:
    bucket.delete(NAME, if_generation_match=bucket.versions(NAME)[-1].generation)
    machine = Machine(bucket, tmp_path / "one", deltas=LIMITS)
    machine.run(lambda copy: change(copy.file, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"))
    assert delta_infos(bucket) == ()
    many = "INSERT INTO t (a) SELECT hex(randomblob(2000)) FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8))"
    machine.run(lambda copy: change(copy.file, many))
    assert delta_infos(bucket) == ()
    machine.run(deleting(3))
    assert len(delta_infos(bucket)) == 1


def test_the_first_upload_has_nothing_to_differ_from(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    machine = Machine(bucket, tmp_path / "one", deltas=replace(LIMITS, share_max=10))
    machine.run(lambda copy: change(copy.file, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"))
    assert delta_infos(bucket) == ()
    assert "page_delta_not_left" not in machine.journal.events()


def test_more_pages_than_may_be_compressed(bucket: MemoryBucket, tmp_path: Path) -> None:
    limits = replace(LIMITS, page_bytes_max=4096)
    machine = Machine(bucket, tmp_path / "one", deltas=limits)
    machine.run()
    assert delta_infos(bucket) == ()


def test_a_fresh_machine_and_a_machine_without_its_mirror_ask_for_no_deltas(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, tmp_path: Path
) -> None:
    ahead.run()
    (behind.folder / "mirror.db").unlink()
    for machine in (behind, Machine(bucket, tmp_path / "fresh", deltas=LIMITS)):
        before = Counter(bucket.requests)
        require_whole(bucket, machine, reported=False)
        assert "list" not in bucket.requests - before


def test_a_replaced_object_has_no_chain_and_is_reported(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, tmp_path: Path
) -> None:
    ahead.run()
    seed(bucket, make_database(tmp_path / "other", rows=3001))
    copy, transfer = behind.look()
    assert copy.object_replaced
    assert transfer.bytes_down == len(live_content(bucket))
    ahead.run()  # on the replaced object: what follows is a chain again
    behind.run(deleting(5))
    copy, transfer = ahead.look()
    assert not copy.object_replaced
    assert transfer.bytes_down < 20_000


# -------------------------------------------------------------------------------------------- bad deltas


def header_with(position: int, form: str, value: int) -> Callable[[bytes], bytes]:
    def forge(good: bytes) -> bytes:
        content = bytearray(good)
        struct.pack_into(form, content, position, value)
        return bytes(content)

    return forge


def bomb(good: bytes) -> bytes:
    return good[:44] + zlib.compress(bytes(64 * 1024 * 1024))


def other_content(good: bytes) -> bytes:
    """A delta that is right in every respect but what it writes."""
    body = bytearray(zlib.decompress(good[44:]))
    body[-1] ^= 1
    return good[:44] + zlib.compress(bytes(body))


BAD = {
    "empty": lambda good: b"",
    "text": lambda good: b"not found",
    "truncated": lambda good: good[:-20],
    "half": lambda good: good[: len(good) // 2],
    "header only": lambda good: good[:44],
    "corrupt": lambda good: good[:100] + bytes([good[100] ^ 1]) + good[101:],
    "longer": lambda good: good + b"more",
    "other version": lambda good: good.replace(MAGIC, b"pgdelta\x02"),
    "page size": header_with(8, ">I", 8192),
    "page count": header_with(12, ">I", 0xFFFFFFFF),
    "one page more": lambda good: header_with(12, ">I", struct.unpack_from(">I", good, 12)[0] + 1)(good),
    "no pages": header_with(12, ">I", 0),
    "changed pages": header_with(16, ">I", 1),
    "checksum": lambda good: good[:20] + b"AAAAAA==" + good[28:],
    "from": header_with(28, ">Q", 1000),
    "to": header_with(36, ">Q", 1000),
    "other content": other_content,
    "bomb": bomb,
}


HEALED = {"checksum", "one page more"}
"""What a delta says of a result in the middle of the chain binds nobody: the next one has the last word."""


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("link", [0, 2])
def test_a_bad_delta_costs_a_download(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, bad: str, link: int
) -> None:
    for row in (1, 2, 3):
        ahead.run(deleting(row))
    info = delta_infos(bucket)[link]
    mirror = (behind.folder / "mirror.db").read_bytes()
    spoilt = BAD[bad](bytes_of(bucket, info))
    assert spoilt != bytes_of(bucket, info)
    spoil(bucket, info, spoilt)

    class MirrorStays(NoFaults):
        def before(self, request: Request) -> None:
            assert (behind.folder / "mirror.db").read_bytes() == mirror

    bucket.faults = MirrorStays()
    healed = bad in HEALED and link < 2
    transfer = require_current(bucket, behind) if healed else require_whole(bucket, behind)
    assert transfer.bytes_down < 1.2 * len(live_content(bucket))
    bucket.faults = NoFaults()
    behind.run(deleting(4))  # and it goes on as if nothing had been
    assert require_current(bucket, ahead).bytes_down < 20_000


def test_a_header_is_judged_before_anything_is_written(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each forged header is refused for what it says: no page of it is applied, no file of its size is made."""
    for row in (1, 2):
        ahead.run(deleting(row))
    applied: list[Path] = []
    monkeypatch.setattr(delta_chain, "apply_delta", lambda file, database: applied.append(database))
    for bad, reason in [
        ("page size", "live object"),
        ("one page more", "live object"),
        ("checksum", "live object"),
        ("from", "generation"),
        ("to", "generation"),
    ]:
        info = delta_infos(bucket)[-1]
        good = bytes_of(bucket, info)
        spoil(bucket, info, BAD[bad](good))
        applied.clear()
        record = (behind.folder / "mirror.json").read_bytes()
        mirror = (behind.folder / "mirror.db").read_bytes()
        require_whole(bucket, behind)
        assert len(applied) == 1, bad  # the first link
        said = [facts["reason"] for _, event, facts in behind.journal.records if event == "page_deltas_not_used"]
        assert reason in str(said[-1])
        (behind.folder / "mirror.db").write_bytes(mirror)
        (behind.folder / "mirror.json").write_bytes(record)
        spoil(bucket, delta_infos(bucket)[-1], good)


def test_a_link_in_the_middle_may_not_make_a_huge_file(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in (1, 2):
        ahead.run(deleting(row))
    applied: list[Path] = []
    monkeypatch.setattr(delta_chain, "apply_delta", lambda file, database: applied.append(database))
    info = delta_infos(bucket)[0]
    pages = 2 * len(live_content(bucket)) // 4096 + 1
    spoil(bucket, info, header_with(12, ">I", pages)(bytes_of(bucket, info)))
    require_whole(bucket, behind)
    assert applied == []


def test_a_mirror_that_is_not_what_its_record_says(bucket: MemoryBucket, behind: Machine, ahead: Machine) -> None:
    ahead.run()
    change(behind.folder / "mirror.db", "DELETE FROM t WHERE id = 2000")
    require_whole(bucket, behind)


# -------------------------------------------------------------------------------------------- the chain


def test_a_missing_link_costs_a_download(bucket: MemoryBucket, behind: Machine, ahead: Machine) -> None:
    for row in (1, 2, 3):
        ahead.run(deleting(row))
    info = delta_infos(bucket)[1]
    bucket.delete(info.name, if_generation_match=info.generation)
    transfer = require_whole(bucket, behind, reported=False)
    assert transfer.bytes_down == len(live_content(bucket))  # no byte of the other links


def named(*links: tuple[int, int], size_bytes: int = 10) -> MemoryBucket:
    bucket = MemoryBucket()
    for first, second in links:
        bucket.write(f"{PREFIX}{first}-{second}.pg", bytes(size_bytes), if_generation_match=None, metadata={})
    return bucket


def chain_in(bucket: MemoryBucket, first: int, last: int, limits: DeltaLimits = LIMITS) -> list[str]:
    live = ObjectInfo(NAME, last, 1000, "", bucket._now(), {})
    return [info.name.removeprefix(PREFIX) for info in find_chain(bucket, ACME, live, first, limits)]


@pytest.mark.parametrize(
    "links",
    [
        [(1, 2), (2, 1), (2, 3)],
        [(1, 2), (2, 2), (3, 4)],
        [(1, 3), (3, 2), (2, 1)],
        [(1, 3), (3, 2), (2, 4)],
        [(1, 1)],
        [(1, 5)],
        [(1, 3), (3, 5)],
        [(2, 4)],
        [],
    ],
)
def test_names_that_lead_nowhere_or_in_circles(links: list[tuple[int, int]]) -> None:
    assert chain_in(named(*links), 1, 4) == []


def test_a_chain_is_found_among_others() -> None:
    bucket = named((1, 2), (2, 4), (4, 7), (3, 4), (7, 9), (9, 7))
    for name in ("x-4.pg", "4-x.pg", "4-7", "4-7.pgx", "04-7.pg/1", "٤-7.pg", "4-" + "7" * 30 + ".pg"):
        bucket.write(PREFIX + name, b"?", if_generation_match=None, metadata={})
    assert chain_in(bucket, 1, 7) == ["1-2.pg", "2-4.pg", "4-7.pg"]
    assert chain_in(bucket, 4, 7) == ["4-7.pg"]


def test_a_long_chain_is_not_used() -> None:
    bucket = named(*((n, n + 1) for n in range(1, 50)), size_bytes=1)
    assert len(chain_in(bucket, 1, 1 + LIMITS.links_max)) == LIMITS.links_max
    assert chain_in(bucket, 1, 2 + LIMITS.links_max) == []


def test_a_chain_of_more_than_half_the_object_is_not_used() -> None:
    assert len(chain_in(named((1, 2), (2, 3), size_bytes=250), 1, 3)) == 2
    assert chain_in(named((1, 2), (2, 3), size_bytes=251), 1, 3) == []


def test_names_that_are_looked_at_are_bounded() -> None:
    bucket = named((1, 2), (2, 3), (3, 4))
    assert chain_in(bucket, 1, 4, replace(LIMITS, listed_max=2)) == []
    assert len(chain_in(bucket, 1, 4, replace(LIMITS, listed_max=3))) == 3


def test_only_what_can_belong_to_the_chain_is_listed() -> None:
    class Listened(NoFaults):
        prefixes: list[str] = []  # noqa: RUF012 - one test

        def before(self, request: Request) -> None:
            self.prefixes += [request.name] if request.kind == "list" else []

    bucket = named((1795463501000001, 1795463502000001))
    bucket.faults = Listened()
    assert len(chain_in(bucket, 1795463501000001, 1795463502000001)) == 1
    assert chain_in(bucket, 999, 1000) == []
    assert len(chain_in(named((17, 50), (50, 170)), 17, 170)) == 2  # text and number are in another order
    assert Listened.prefixes == [PREFIX + "179546350", PREFIX]


# -------------------------------------------------------------------------------------------- faults


class FailDelta(NoFaults):
    """Fails what is asked about deltas, and leaves the object alone."""

    def __init__(self, kind: str, error: BaseException, *, after: bool = False) -> None:
        self.kind, self.error, self.wants_after = kind, error, after

    def before(self, request: Request) -> None:
        if not self.wants_after:
            self._fail(request)

    def after(self, request: Request) -> None:
        if self.wants_after:
            self._fail(request)

    def _fail(self, request: Request) -> None:
        if request.kind == self.kind and request.name.startswith("org-delta/"):
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        OrgError(ErrorCode.BUCKET_UNREACHABLE),
        OrgError(ErrorCode.BUCKET_REFUSED),
        OSError(errno.ENOSPC, "full"),
        ValueError("a library's surprise"),
        MemoryError(),
    ],
    ids=str,
)
def test_a_delta_that_cannot_be_left_fails_no_committed_run(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, error: Exception
) -> None:
    bucket.faults = FailDelta("upload", error)
    ahead.run()
    assert len(bucket.versions(NAME)) == 2
    assert "page_delta_not_left" in ahead.journal.events()
    assert require_current(bucket, ahead).bytes_down == 0
    require_whole(bucket, behind, reported=False)


def test_a_delta_whose_answer_is_lost_is_there(bucket: MemoryBucket, behind: Machine, ahead: Machine) -> None:
    bucket.faults = FailDelta("upload", PreconditionFailedError(), after=True)
    ahead.run()
    assert "page_delta_left" in ahead.journal.events()
    assert require_current(bucket, behind).bytes_down < 20_000


@pytest.mark.parametrize("kind", ["list", "download"])
@pytest.mark.parametrize("code", [ErrorCode.BUCKET_UNREACHABLE, ErrorCode.BUCKET_REFUSED, ErrorCode.OBJECT_MISSING])
def test_deltas_that_cannot_be_fetched_cost_a_download(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, kind: str, code: ErrorCode
) -> None:
    ahead.run()
    bucket.faults = FailDelta(kind, OrgError(code))
    require_whole(bucket, behind)


def test_no_room_for_the_copy_costs_a_download(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead.run()

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    require_whole(bucket, behind)


class CrashError(BaseException):
    """The process is gone."""


def test_a_crash_while_the_delta_is_sent_costs_no_byte(bucket: MemoryBucket, ahead: Machine) -> None:
    bucket.faults = FailDelta("upload", CrashError())
    with pytest.raises(CrashError):
        ahead.run()
    assert (ahead.folder / "delta.tmp").exists()
    assert require_current(bucket, ahead).bytes_down == 0


def test_a_crash_at_any_step_of_the_patching(
    bucket: MemoryBucket, behind: Machine, ahead: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = die_at = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == die_at:
            raise CrashError

    for module, name in ((delta_chain, "apply_delta"), (delta_chain, "read_header"), (shutil, "copyfile")):
        original = getattr(module, name)

        def around(*args: object, original: Callable[..., object] = original) -> object:
            step()
            found = original(*args)
            step()
            return found

        monkeypatch.setattr(module, name, around)
    row = 0
    while steps >= die_at:
        steps, die_at = 0, die_at + 1
        for _ in range(2):
            row += 1
            ahead.run(deleting(row))
        with suppress(CrashError):
            behind.look()
        if steps >= die_at:
            assert (behind.folder / "mirror.db").read_bytes() != live_content(bucket)
            assert require_current(bucket, behind).bytes_down < 40_000
    assert die_at > 10
