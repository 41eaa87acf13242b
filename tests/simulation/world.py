"""One world per seed: machines, messages that come until they are acknowledged, strangers who write, and faults."""

import os
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from core.runs.service import Handled
from events.types import RUN_REQUESTED, Event, OrgId, RunRequested
from infra import files
from infra.fence import object_name
from infra.memory_bus import MemoryBus
from tests.machines import TODAY
from tests.simulation.bucket import WatchedBucket
from tests.simulation.faults import FaultyWorld, Rates
from tests.simulation.invariants import Observer, ViolationError
from tests.simulation.machines import Build, Host, SimClock, World
from tests.simulation.primitives import simulated_threads
from tests.simulation.scene import NO_FOCUS, Scene, focused
from tests.simulation.scheduler import Scheduler, Task
from tests.simulation.strangers import Strangers
from tests.simulation.tiny_store import IDLE

ANSWER_WITHIN_SECONDS: Final = 540.0
DELIVERIES_MAX: Final = 300
"""More than twice what the unluckiest message of thousands of seeds needed; beyond it nothing will ever carry it."""

_MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - a folder with a random name is made in it


@dataclass(slots=True, eq=False)
class Letter:
    """One message, which comes again until it is acknowledged, and perhaps once more."""

    event: Event
    deliveries: int = 0
    acknowledged: bool = False
    done: bool = False
    """Acknowledged because a run carried it."""


@dataclass(slots=True)
class Report:
    """What became of a seed."""

    seed: int
    digest: str = ""
    hit: Counter[str] = field(default_factory=Counter)
    violation: str | None = None
    detail: str = ""
    last_steps: tuple[str, ...] = ()


def simulate(seed: int, focus: Mapping[str, Any] = NO_FOCUS) -> Report:
    """Run one world to its end and judge it; the same seed gives the same report, always.

    ``focus`` sets fields of Scene, Build and Rates that are drawn otherwise: worlds in which something is likely.
    """
    base = _MEMORY_DISK if _MEMORY_DISK.is_dir() and os.access(_MEMORY_DISK, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="simulated-", dir=base))
    report = Report(seed)
    play = Play(seed, folder, report.hit, focus)
    try:
        with simulated_threads(play.scheduler), stepping_disk(play.scheduler, play.sync_fault):
            try:
                play.run()
            finally:
                play.scheduler.end()
    except ViolationError as found:
        report.violation, report.detail = found.what, str(found)
        report.last_steps = play.scheduler.last_steps
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed has to be told with it
        report.violation, report.detail = type(error).__name__, "".join(traceback.format_exception(error))
        report.last_steps = play.scheduler.last_steps
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.digest = play.digest
    return report


@contextmanager
def stepping_disk(scheduler: Scheduler, fault: Callable[[], None]) -> Iterator[None]:
    """Make each sync of a file or a folder a step: between a rename and the next write others run, and machines die.

    ``fault`` may raise what a full disk raises.
    """

    def stepping(sync: Callable[[Path], None]) -> Callable[[Path], None]:
        def around(path: Path) -> None:
            sync(path)
            scheduler.step("fsync")
            fault()

        return around

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "sync_file", stepping(files.sync_file))
        patch.setattr(files, "sync_folder", stepping(files.sync_folder))
        yield


class Play:
    """The run of one world."""

    def __init__(self, seed: int, folder: Path, hit: Counter[str], focus: Mapping[str, Any]) -> None:
        self._chance = chance = Random(seed)
        self.scheduler = Scheduler(
            chance, stay=chance.choice((0.2, 0.6, 0.9)), slow=chance.choice((0.0, 0.003, 0.03))
        )  # fmt: skip
        self._scene = focused(Scene.drawn(chance), focus)
        build, rates = focused(Build.drawn(chance), focus), focused(Rates.drawn(chance), focus)
        self._hit = hit
        self._bus = MemoryBus()
        self._bucket = WatchedBucket(self.scheduler, now=SimClock(self.scheduler).now_utc)
        faults = FaultyWorld(chance, rates, self.scheduler, hit)
        self._faults = self._bucket.faults = faults
        self._bus.fault = faults.bus_fault
        faults.crash, self.scheduler.before_step = self._crash_owner, faults.before_step
        self._observer = Observer(self._bucket, self._bus, self.scheduler, hit)
        self._world = World(
            self.scheduler, self._bucket, self._bus, faults, self._observer, build, chance, folder, hit
        )  # fmt: skip
        self._orgs = [OrgId(f"org-{n}") for n in range(self._scene.orgs)]
        self._strangers = Strangers(
            self.scheduler, self._bucket, self._observer, chance, folder, self._orgs, hit
        )  # fmt: skip
        faults.rival = self._strangers.write_object
        self._letters = [self._letter(n) for n in range(self._scene.letters)]
        self._hosts: list[Host] = []

    def sync_fault(self) -> None:
        """Let a sync of a file fail."""
        self._faults.sync_fault()

    @property
    def digest(self) -> str:
        """Digest of every step, and of every version of every object."""
        for org in self._orgs:
            for info, _ in self._bucket.history(object_name(org)):
                self.scheduler.note(f"{info.generation} {info.crc32c} {sorted(info.metadata.items())}")
        return self.scheduler.digest

    def run(self) -> None:
        """Let everything happen, wait for the end, judge."""
        for org in self._orgs:
            if self._scene.begins != "nothing":
                self._strangers.put_first(org, self._scene)
        self._hosts = [Host(n, self._world) for n in range(self._world.build.machines)]
        self._write_the_script()
        self.scheduler.run()
        for letter in self._letters:
            if not letter.acknowledged:
                raise ViolationError("never acknowledged", letter.event.id)
        for org in self._orgs:
            self._observer.judge(org, {x.event.key: x.done for x in self._letters if x.event.org_id == org})

    def _write_the_script(self) -> None:
        """Draw when messages come and when the world interferes."""
        for letter in self._letters:
            self.scheduler.at(self._when(), self._deliverer(letter))
            if self._chance.random() < self._scene.duplicates:
                self.scheduler.at(self._when(), self._deliverer(letter))
        interferences = (
            (self._scene.strangers, self._strangers.write),
            (self._scene.vandals, self._strangers.ruin),
            (self._scene.restarts, self._restart_gracefully),
            (self._scene.crashes, self._crash_somebody),
        )
        for times, interfere in interferences:
            for _ in range(times):
                self.scheduler.at(self._when(), interfere)

    # ---------------------------------------------------------------------------------------- messages

    def _letter(self, number: int) -> Letter:
        chance = self._chance
        as_of: date | None = None
        if self._scene.dated and chance.random() < 0.6:
            as_of = TODAY + timedelta(days=chance.choice((0, 0, 1)))
        idle = IDLE if chance.random() < 0.15 else ""
        event = Event(
            id=f"{idle}{number // 2}",  # two sources may use one id
            source=f"//source/{number % 2}",
            type=RUN_REQUESTED,
            org_id=chance.choice(self._orgs),
            data=RunRequested(as_of=as_of, create=self._scene.begins == "nothing" and chance.random() < 0.7),
        )
        return Letter(event)

    def _when(self) -> float:
        return self._chance.uniform(0.0, self._scene.spread_seconds)

    def _deliverer(self, letter: Letter) -> Callable[[], None]:
        return lambda: self._deliver(letter)

    def _deliver(self, letter: Letter) -> None:
        up = [host.incarnation for host in self._hosts if host.incarnation is not None]
        if not up:
            self.scheduler.at(1.0, self._deliverer(letter))
            return
        letter.deliveries += 1
        if letter.deliveries > DELIVERIES_MAX:
            raise ViolationError("never acknowledged", letter.event.id)
        incarnation = self._chance.choice(up)
        service = self._chance.choice(incarnation.services)
        answered = False

        def handle() -> None:
            nonlocal answered
            try:
                handled = service.handle(letter.event, until=self.scheduler.now + ANSWER_WITHIN_SECONDS)
                self.scheduler.step("answer")
                answered = True
                self._answered(letter, handled)
            finally:
                if not answered:  # the connection broke
                    self.scheduler.at(self._chance.uniform(0.0, 20.0), self._deliverer(letter))

        self.scheduler.spawn(f"{letter.event.id}/{letter.event.source[-1]}#{letter.deliveries}", incarnation, handle)

    def _answered(self, letter: Letter, handled: Handled) -> None:
        self.scheduler.note(f"ANSWER {letter.event.id} {handled.outcome} {handled.error.code if handled.error else ''}")
        self._observer.answered(letter.event, handled)
        if not handled.acknowledged:
            self.scheduler.at(self._chance.uniform(1.0, 60.0), self._deliverer(letter))
            return
        letter.done |= handled.outcome == "done"
        if self._faults.happens(self._scene.acks_lost):
            self._faults.note("ack lost")
            self.scheduler.at(self._chance.uniform(0.0, 60.0), self._deliverer(letter))
        elif not letter.acknowledged:
            letter.acknowledged = True
            if self._chance.random() < self._scene.duplicates:
                self._hit["late duplicate"] += 1
                self.scheduler.at(self._chance.uniform(0.0, 300.0), self._deliverer(letter))

    # ---------------------------------------------------------------------------------------- machines

    def _crash_owner(self, task: Task) -> None:
        for host in self._hosts:
            if host.incarnation is task.owner:
                self._crash(host)

    def _crash_somebody(self) -> None:
        up = [host for host in self._hosts if host.incarnation is not None]
        if up:
            self._crash(self._chance.choice(up))

    def _crash(self, host: Host) -> None:
        self._hit["crash"] += 1
        self.scheduler.note(f"CRASH machine {host.number}")
        host.crash()
        self.scheduler.at(self._chance.uniform(0.0, 90.0), lambda: self._boot(host))

    def _boot(self, host: Host) -> None:
        self.scheduler.note(f"BOOT machine {host.number}")
        host.boot(host.disk_after_crash())

    def _restart_gracefully(self) -> None:
        """Start new processes beside the old ones, which drain: two of them share a disk for a while."""
        up = [host for host in self._hosts if host.incarnation is not None]
        if not up:
            return
        host = self._chance.choice(up)
        self._hit["drain"] += 1
        for service in host.replace_services():

            def drain(mailbox: Callable[..., bool] = service.mailbox.drain) -> None:
                mailbox(until=self.scheduler.now + 240.0)

            self.scheduler.spawn(f"drain {host.number}", host.incarnation, drain)
