"""What a planning process and its parent say to each other: frames of JSON on a Unix socket, typed on both sides.

JSON and not pickle: a frame can only become the values named here, whatever it holds. File names travel, rows never do. A
job brings along the descriptor that says the org's files are in use.
"""

import os
import socket
import struct
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from core.runs.errors import ErrorCode
from core.runs.planning_job import Failure, JobDone, PlanningJob
from events.payloads import RunCompleted
from events.types import EVENT_TYPES, LOCAL, Delivery, Event, EventKey, OrgId, WireShape

FRAME_BYTES_MAX: Final = 512 * 1024 * 1024
"""More than a full batch has; what is longer is no frame."""

Level = Literal["info", "warning", "error"]

_LENGTH: Final = struct.Struct("!Q")
_PAYLOADS: Final = {name: row.payload for name, row in {**EVENT_TYPES, **LOCAL}.items()}


class Ready(Struct, frozen=True, tag="ready"):
    """The process has loaded what planning needs."""


class Logged(Struct, frozen=True, tag="log"):
    """A record for the parent's journal."""

    level: Level
    event: str
    facts: dict[str, object]


class Refused(Struct, frozen=True, tag="refused"):
    """An OrgError that the job ended with."""

    code: ErrorCode
    org_id: str | None
    detail: str


class OutOfMemory(Struct, frozen=True, tag="out_of_memory"):
    """The job ended with MemoryError, and the process ends, too."""


class Done(Struct, frozen=True, tag="done"):
    """What came of a job: a ``JobDone`` with each completion once, however many events its run carried."""

    runs: dict[str, RunCompleted]
    known: tuple[tuple[EventKey, str], ...]
    fresh: tuple[EventKey, ...]
    completed: RunCompleted | None
    failure: Failure | None
    seconds: dict[str, float]
    resident_bytes: int
    """Memory of the process after the job."""

    @classmethod
    def of(cls, done: JobDone, resident_bytes: int) -> "Done":
        """Pack what came of a job."""
        return cls(
            runs={run.run_id: run for _, run in done.known},
            known=tuple((key, run.run_id) for key, run in done.known),
            fresh=done.fresh,
            completed=done.completed,
            failure=done.failure,
            seconds=done.seconds,
            resident_bytes=resident_bytes,
        )

    def unpacked(self) -> JobDone:
        """Return what ``of`` was given."""
        return JobDone(
            known=tuple((key, self.runs[run_id]) for key, run_id in self.known),
            fresh=self.fresh,
            completed=self.completed,
            failure=self.failure,
            seconds=self.seconds,
        )


Report = Ready | Logged | Refused | OutOfMemory | Done


class _WireEvent(Struct, frozen=True):
    """An ``Event`` whose payload is still to be read by its type."""

    id: str
    source: str
    type: str
    org_id: OrgId
    data: Raw
    time: datetime | None
    traceparent: str | None
    shape: WireShape
    delivery: Delivery | None

    def read(self) -> Event:
        data = msgspec.json.decode(self.data, type=_PAYLOADS[self.type])
        head = {name: getattr(self, name) for name in self.__struct_fields__ if name != "data"}
        return Event(data=data, **head)


class _WireJob(Struct, frozen=True):
    """A ``PlanningJob``."""

    org_id: OrgId
    file: str
    generation: int
    events: tuple[_WireEvent, ...]
    as_of: date | None
    force: bool
    on_hold: bool


class PeerGoneError(Exception):
    """The other end is closed, or what came from it is no frame."""


class Frame(NamedTuple):
    """One message, and the descriptor that came with it."""

    content: bytes
    descriptor: int | None


def encode_job(job: PlanningJob) -> bytes:
    """Return a job as the content of a frame."""
    return msgspec.json.encode(job)


def decode_job(content: bytes) -> PlanningJob:
    """Return the job that ``encode_job`` was given; raises msgspec.MsgspecError, KeyError."""
    job = msgspec.json.decode(content, type=_WireJob)
    head = {name: getattr(job, name) for name in job.__struct_fields__ if name != "events"}
    return PlanningJob(events=tuple(event.read() for event in job.events), **head)


def encode_report(report: Report) -> bytes:
    """Return a report as the content of a frame; a fact of a log record that JSON has no form for becomes text."""
    return msgspec.json.encode(report, enc_hook=str)


def decode_report(content: bytes) -> Report:
    """Return a report; raises PeerGoneError for what is none."""
    try:
        report: Report = msgspec.json.decode(content, type=Report)
    except msgspec.MsgspecError as error:
        raise PeerGoneError("no report") from error
    return report


def log_record(level: Level, event: str, facts: Mapping[str, object]) -> Logged:
    """Return a record for the parent's journal."""
    return Logged(level, event, dict(facts))


def send_frame(peer: socket.socket, content: bytes, descriptor: int | None = None) -> None:
    """Send one frame; raises PeerGoneError, also where the socket's timeout passes."""
    try:
        head = _LENGTH.pack(len(content))
        sent = socket.send_fds(peer, [head], [] if descriptor is None else [descriptor])
        peer.sendall(head[sent:] + content)
    except OSError as error:
        raise PeerGoneError(type(error).__name__) from error


def receive_frame(peer: socket.socket) -> Frame:
    """Return the next frame; raises PeerGoneError where there will be none, TimeoutError for the socket's timeout."""
    descriptors: list[int] = []
    try:
        head = b""
        while len(head) < _LENGTH.size:
            part, new, _, _ = socket.recv_fds(peer, _LENGTH.size - len(head), 1)
            descriptors += new
            if not part:
                raise PeerGoneError("closed")
            head += part
        (length,) = _LENGTH.unpack(head)
        if length > FRAME_BYTES_MAX:
            raise PeerGoneError("too long")
        return Frame(_receive(peer, length), descriptors.pop() if descriptors else None)
    except ConnectionError as error:
        raise PeerGoneError(type(error).__name__) from error
    finally:
        for descriptor in descriptors:  # of a frame that did not come whole
            os.close(descriptor)


def _receive(peer: socket.socket, length: int) -> bytes:
    content = bytearray(length)
    view, got = memoryview(content), 0
    while got < length:
        count = peer.recv_into(view[got:])
        if not count:
            raise PeerGoneError("closed")
        got += count
    return bytes(content)
