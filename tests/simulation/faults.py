"""What goes wrong, and how often: drawn from the seed for each world, then for each request, publication and copy."""

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Message, PreconditionFailedError
from infra.memory_bucket import Request, RequestKind
from infra.memory_bus import Fault, MemoryBus
from tests.simulation.disk import COPY_FAULTS, CopyFault
from tests.simulation.scheduler import CrashError, Scheduler, Task

_STALLS_SECONDS: Final = (3.0, 25.0, 70.0, 200.0)
"""The second is longer than a renewal, the third than a lease, the last than three of them."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Chances per occasion."""

    request: float
    bus: float
    copy: float
    crash: float
    """Per step."""
    rival: float
    """Per upload of a database: that a stranger is first."""
    calm_after_seconds: float
    """From then on nothing goes wrong, and everything must come to its end."""

    @classmethod
    def drawn(cls, chance: Random) -> "Rates":
        """Most worlds have a little of everything, some have nothing, some a lot of one thing."""
        return cls(
            request=chance.choice((0.0, 0.01, 0.04, 0.04, 0.12)),
            bus=chance.choice((0.0, 0.1, 0.4)),
            copy=chance.choice((0.0, 0.05, 0.2)),
            crash=chance.choice((0.0, 0.001, 0.004, 0.012)),
            rival=chance.choice((0.0, 0.0, 0.0, 0.3, 0.8)),
            calm_after_seconds=chance.choice((200.0, 1500.0)),
        )


class FaultyWorld:
    """Draws faults for whoever runs, and counts what was hit."""

    def __init__(self, chance: Random, rates: Rates, scheduler: Scheduler, hit: Counter[str]) -> None:
        self._chance, self._rates, self._scheduler, self._hit = chance, rates, scheduler, hit
        self.crash: Callable[[Task], None] = lambda task: None
        self.rival: Callable[[str], None] = lambda name: None

    @property
    def is_calm(self) -> bool:
        """Whether the time of faults is over."""
        return self._scheduler.now >= self._rates.calm_after_seconds

    def happens(self, rate: float) -> bool:
        """Draw; the draw is made in calm times too, so that the sequence of draws does not depend on it."""
        return self._chance.random() < rate and not self.is_calm and self._scheduler.current is not None

    def note(self, what: str) -> None:
        """Count a fault that happened."""
        self._hit[what] += 1
        self._scheduler.note(f"FAULT {what}")

    def before_step(self, task: Task, label: str) -> None:
        """Crash the task's machine at any step."""
        del label
        if task.owner is not None and self.happens(self._rates.crash):
            self.crash(task)
            raise CrashError

    # ---------------------------------------------------------------------------------------- bucket

    def before(self, request: Request) -> None:
        """Nothing has happened yet."""
        if self._scheduler.current is None:
            return
        self._scheduler.step(f"{request.kind} {request.name}")
        _count(self._scheduler.current, request.kind)
        if request.kind == "upload" and request.name.startswith("org-data/") and self.happens(self._rates.rival):
            self._scheduler.aside(lambda: self.rival(request.name))
        if not self.happens(self._rates.request):
            return
        faults = ["503 before", "401", "stall before"]
        if _is_fenced(request):
            faults.append("412 before")
        self._fail(self._chance.choice(faults), request)

    def after(self, request: Request) -> None:
        """It took effect; the answer is on the way."""
        if self._scheduler.current is None:
            return
        self._scheduler.step(f"{request.kind} done")
        if not self.happens(self._rates.request):
            return
        faults = ["reset after", "stall after"]
        if _is_fenced(request):
            faults += ["412 after", "reset after"]
        fault = self._chance.choice(faults)
        if request.name.startswith("org-data/") and request.kind == "upload" and not fault.startswith("stall"):
            facts = self._scheduler.current.facts
            facts["lost answers"] = facts.get("lost answers", 0) + 1
        self._fail(fault, request)

    def content(self, request: Request, content: bytes) -> bytes:
        """Spoil bytes on their way."""
        rate = self._rates.request * 3
        if not self.happens(rate):
            return content
        fault = self._chance.choice(("corrupt bytes", "truncated bytes", "broken stream"))
        self.note(f"{request.kind}: {fault}")
        if fault == "broken stream":
            raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "simulated: broken stream")
        if fault == "truncated bytes":
            return content[: self._chance.randrange(len(content))]
        at = self._chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ (1 << self._chance.randrange(8))]) + content[at + 1 :]

    def _fail(self, fault: str, request: Request) -> None:
        self.note(f"{request.kind}: {fault}")
        if fault.startswith("stall"):
            self._scheduler.sleep(self._chance.choice(_STALLS_SECONDS))
        elif fault.startswith("412"):
            raise PreconditionFailedError(request.name)
        elif fault == "401":
            raise OrgError(ErrorCode.BUCKET_REFUSED, None, "simulated: 401")
        else:
            raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, f"simulated: {fault}")

    # ---------------------------------------------------------------------------------------- bus, copies, files

    def bus_fault(self, message: Message) -> Fault | None:
        """Decide what becomes of a publication."""
        del message
        if not self.happens(self._rates.bus):
            return None
        fault: Fault = self._chance.choice(("before", "after"))
        self.note(f"bus: {fault}")
        return fault

    def copy_fault(self) -> CopyFault | None:
        """Decide how a copy goes wrong."""
        if not self.happens(self._rates.copy):
            return None
        fault = self._chance.choice(COPY_FAULTS)
        self.note(f"copy: {fault}")
        return fault

    def free_bytes(self, folder: str) -> int:
        """Say how much room a disk has: sometimes none, until somebody asks again."""
        del folder
        if not self.happens(self._rates.copy / 3):
            return 1 << 40
        self.note("disk: no room")
        return 0

    def sync_fault(self) -> None:
        """Fail the sync of a file as a full disk does; what was written before stays."""
        if self.happens(self._rates.copy / 10):
            self.note("disk: full")
            raise OSError(errno.ENOSPC, "simulated")

    def breaks_working_copy(self) -> bool:
        """Decide whether the disk ruins a page of a finished working copy."""
        return self.happens(self._rates.copy / 3)


class SimBus:
    """The Bus port: steps around the bus in memory, and a look at what is about to be said."""

    def __init__(self, bus: MemoryBus, scheduler: Scheduler, look: Callable[[Message], None]) -> None:
        self._bus, self._scheduler, self._look = bus, scheduler, look

    def publish(self, message: Message) -> None:
        """Publish between two steps."""
        self._scheduler.step(f"publish {message.attributes['ce-type']} {message.attributes['ce-id']}")
        self._look(message)
        self._bus.publish(message)
        self._scheduler.step("published")

    def publish_many(self, messages: Sequence[Message]) -> None:
        """Publish one after the other."""
        for message in messages:
            self.publish(message)


def _is_fenced(request: Request) -> bool:
    """Only a request with a precondition can be told that it does not hold."""
    fenced = ("org-data/", "org-lease/", "org-delta/")
    return request.kind in {"upload", "write", "delete"} and request.name.startswith(fenced)


def _count(task: Task, kind: RequestKind) -> None:
    price = "a" if kind in {"upload", "write", "list", "versions"} else "free" if kind == "delete" else "b"
    task.facts[price] = task.facts.get(price, 0) + 1
