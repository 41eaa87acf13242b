"""What may go wrong with a request, told to the server before it happens."""

import threading
from dataclasses import dataclass
from typing import Literal

RequestClass = Literal["bucket", "stat", "media", "list", "insert", "session", "chunk", "status", "delete"]
"""``insert``: upload in one request. ``session``, ``chunk``, ``status``: the parts of a resumable upload."""

FaultKind = Literal[
    "401", "403", "404", "410", "412", "429", "500", "503",
    "reset before",  # the connection breaks and nothing happened
    "reset after",  # it happened, and the connection breaks: a lost answer
    "stall",  # silence until the client gives up
    "stall after",  # it happened, and then silence
    "truncate",  # half of the body, then the connection breaks
    "corrupt",  # one byte of the body is another one
    "corrupt on arrival",  # one byte of what was sent is another one at the server
    "misdescribe",  # it happened, but the answer has another checksum
    "whole",  # a range is not heeded: all of the media, as HTTP allows
    "partial",  # only the first 256 KiB of a chunk are kept
]  # fmt: skip


@dataclass(slots=True)
class Fault:
    """One fault: which requests it meets, how many it lets pass first and how many it hits."""

    request: RequestClass
    kind: FaultKind
    times: int = 1
    skip: int = 0


class FaultPlan:
    """The faults that are still to come; thread-safe."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def take(self, request: RequestClass) -> FaultKind | None:
        """Return what happens to the next request of a class."""
        with self._lock:
            for fault in self._faults:
                if fault.request == request and fault.times:
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault.kind
        return None
