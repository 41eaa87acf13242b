"""The local bus writes whole lines, whatever happens to its writers; the memory bus fails where it is told to."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bus, Message
from infra.local_bus import LocalBus, read_messages
from infra.memory_bus import MemoryBus

ONE = Message("completions", {"ce-id": "1", "ce-type": "t"}, b'{"a": "\xc3\xbc\\n"}')
ROOT = Path(__file__).parents[2]
BINARY = Message("completions", {}, b"\xff\x00\n")


def test_what_was_published_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "bus" / "events.jsonl"
    bus: Bus = LocalBus(file)
    bus.publish(ONE)
    bus.publish(BINARY)
    read = read_messages(file)
    assert read.messages == (ONE, BINARY)
    assert read.position == file.stat().st_size
    assert read_messages(file, position=read.position).messages == ()


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    bus = LocalBus(file)
    bus.publish(ONE)
    bus.publish(BINARY)
    first = read_messages(file, messages_max=1)
    assert first.messages == (ONE,)
    assert read_messages(file, position=first.position).messages == (BINARY,)


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert read_messages(tmp_path / "none", position=0) == ((), 0)


def test_a_line_in_the_making_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    LocalBus(file).publish(ONE)
    with file.open("ab") as stream:
        stream.write(b'{"topic": "comp')
    assert read_messages(file).messages == (ONE,)


@pytest.mark.parametrize("torn", [b"{", b'{"topic": "' + b"x" * 200_000])
def test_what_a_killed_writer_left_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "events.jsonl"
    bus = LocalBus(file)
    bus.publish(ONE)
    with file.open("ab") as stream:
        stream.write(torn)
    bus.publish(BINARY)
    assert read_messages(file).messages == (ONE, BINARY)


def test_a_foreign_line_is_an_error_that_says_where(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    LocalBus(file).publish(ONE)
    size = file.stat().st_size
    with file.open("ab") as stream:
        stream.write(b"hello\n")
    with pytest.raises(ValueError, match=f"line at byte {size} is not"):
        read_messages(file)


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "events.jsonl"
    bus = LocalBus(file)
    bus.publish(ONE)
    real_write = os.write
    written: list[int] = []

    def full(descriptor: int, part: bytes) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(real_write(descriptor, bytes(part[:5])))
        return 5

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OrgError, match="No space left") as caught:
            bus.publish(BINARY)
    assert caught.value.code is ErrorCode.BUS_UNREACHABLE
    assert read_messages(file).messages == (ONE,)
    assert file.read_bytes().endswith(b"\n")


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from core.runs.ports import Message\nfrom infra.local_bus import LocalBus\n"
        "bus = LocalBus(Path(sys.argv[1]))\n"
        "for n in range(50):\n    bus.publish(Message('t', {'writer': sys.argv[2], 'n': str(n)}, b'x' * 20000))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(file), str(w)], cwd=ROOT) for w in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    messages = read_messages(file).messages
    for writer in range(3):
        mine = [m.attributes["n"] for m in messages if m.attributes["writer"] == str(writer)]
        assert mine == [str(n) for n in range(50)]


def test_an_unwritable_file_says_which_and_why(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").mkdir()
    with pytest.raises(OrgError, match=r"events.jsonl: Is a directory"):
        LocalBus(tmp_path / "events.jsonl").publish(ONE)


def test_the_memory_bus_keeps_what_got_through() -> None:
    faults = iter(["before", "after", None])
    bus = MemoryBus(fault=lambda _: next(faults))  # type: ignore[arg-type]
    port: Bus = bus
    for _ in range(2):
        with pytest.raises(OrgError, match="injected"):
            port.publish(ONE)
    port.publish(BINARY)
    assert bus.messages == [ONE, BINARY]


def test_many_are_written_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "events.jsonl"
    bus = LocalBus(file)
    bus.publish_many([ONE, BINARY, ONE])
    assert read_messages(file).messages == (ONE, BINARY, ONE)

    def no_room(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OrgError):
        bus.publish_many([BINARY, BINARY])
    assert read_messages(file).messages == (ONE, BINARY, ONE)
