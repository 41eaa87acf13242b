"""A bus for one machine: every published event is one JSON line of a file, safe against other processes and crashes.

A line is ``{"topic": ..., "attributes": {...}, "data": "..."}``, or ``data_base64`` where the data is no UTF-8 text.
"""

import base64
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Message
from infra.files import sync_folder

_BLOCK_BYTES: Final = 64 * 1024


class _Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    topic: str
    attributes: dict[str, str]
    data: str | None = None
    data_base64: str | None = None


class ReadMessages(NamedTuple):
    """A part of the file, and where the next part begins."""

    messages: tuple[Message, ...]
    position: int
    """Byte offset behind the last complete line that was read; give it to the next call."""


class LocalBus:
    """The ``Bus`` without a cloud. ``publish`` returns when the line is on disk; OSErrors become BUS_UNREACHABLE."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def publish(self, message: Message) -> None:
        """Append one event and fsync it; raises OrgError BUS_UNREACHABLE and leaves no part of a line behind."""
        self.publish_many([message])

    def publish_many(self, messages: Sequence[Message]) -> None:
        """Append all events with one fsync, or none of them."""
        lines = b"".join(encode(message) for message in messages)
        try:
            with _locked(self._file) as descriptor:
                size_bytes = _without_torn_tail(descriptor)
                try:
                    _write_whole(descriptor, lines)
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, size_bytes)
                    raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise OrgError(ErrorCode.BUS_UNREACHABLE, detail=f"cannot append to {self._file}: {reason}") from error

    def close(self) -> None:
        """Nothing is buffered."""


def read_messages(file: Path, *, position: int = 0, messages_max: int = 1000) -> ReadMessages:
    """Return the complete lines from a byte offset on; a missing file is an empty one.

    A line that is still being written is left for the next call. Raises ValueError for a line that is none of ours.
    """
    messages: list[Message] = []
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        return ReadMessages((), position)
    with stream:
        stream.seek(position)
        while len(messages) < messages_max and (line := stream.readline()).endswith(b"\n"):
            try:
                messages.append(decode(line))
            except ValueError as error:
                raise ValueError(f"{file}: the line at byte {position} is not a published event") from error
            position += len(line)
    return ReadMessages(tuple(messages), position)


def encode(message: Message) -> bytes:
    """Write an event as one line."""
    attributes = dict(sorted(message.attributes.items()))
    try:
        line = _Line(message.topic, attributes, data=message.data.decode("utf-8"))
    except UnicodeDecodeError:
        line = _Line(message.topic, attributes, data_base64=base64.b64encode(message.data).decode("ascii"))
    return msgspec.json.encode(line) + b"\n"


def decode(line: bytes) -> Message:
    """Read one line; raises ValueError."""
    read = msgspec.json.decode(line, type=_Line)
    if (read.data is None) == (read.data_base64 is None):
        raise ValueError("exactly one of data and data_base64 is expected")
    data = (
        read.data.encode("utf-8") if read.data is not None else base64.b64decode(read.data_base64 or "", validate=True)
    )
    attributes: Mapping[str, str] = read.attributes
    return Message(read.topic, attributes, data)


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """Open the file for appending under an exclusive lock; a file that is made here is also made durable."""
    created = not file.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
        if created:
            sync_folder(file.parent)
    finally:
        os.close(descriptor)  # and with it the lock


def _without_torn_tail(descriptor: int) -> int:
    """Cut off what a killed writer left of its line (it never reported success) and return the file's size in bytes."""
    size_bytes = os.fstat(descriptor).st_size
    end = size_bytes
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size_bytes:
        os.ftruncate(descriptor, end)
    return end


def _write_whole(descriptor: int, lines: bytes) -> None:
    """One write; what the system did not take of it (a full disk) is an error of the next one."""
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
