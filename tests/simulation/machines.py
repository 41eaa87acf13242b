"""A machine of the simulation: the shipped service, mirror and lease on a disk of its own; it crashes and comes back."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

from core.runs.admission import Capacity
from core.runs.lease import Lease
from core.runs.mailbox import MailboxLimits
from core.runs.org_run import Ports
from core.runs.pace import Pace
from core.runs.planning_job import InProcessPlanner
from core.runs.ports import Admit, Clock, Transfer, Uploaded, WorkingCopy
from core.runs.service import Service
from events.types import OrgId
from infra.checksum import crc32c_of_file
from infra.clock import is_timezone, local_time
from infra.delta_chain import DeltaLimits, PageDeltas
from infra.disk_space import DiskSpace
from infra.fence import object_name
from infra.lease import BucketLease, LeaseTimes
from infra.memory_bus import MemoryBus
from infra.mirror import MirrorSync
from infra.org_folder import LOCKS_FOLDER
from infra.status_board import BucketStatusBoard
from tests.machines import NOW
from tests.simulation.bucket import WatchedBucket
from tests.simulation.disk import FakeRsync, break_pages, clone_disk, damage, leave_stale_journal
from tests.simulation.faults import FaultyWorld, SimBus
from tests.simulation.invariants import Observer
from tests.simulation.scheduler import Scheduler
from tests.simulation.tiny_store import TinyStore


@dataclass(frozen=True, slots=True)
class Build:
    """How the machines of a world are built."""

    machines: int
    processes: int
    """Per machine, on one disk: a server, and a command line beside it."""
    lease: bool
    lease_seconds: int
    renews: bool
    waiters_max: int
    org_share: float
    run_slots: int
    upload_gap_seconds: float
    linger_seconds: float
    statuses: bool
    deltas: bool
    delta_limits: DeltaLimits

    @classmethod
    def drawn(cls, chance: Random) -> "Build":
        """Small machines: full and busy ones are what is interesting."""
        return cls(
            machines=chance.randint(2, 4),
            processes=chance.choice((1, 1, 2)),
            lease=chance.random() < 0.7,
            lease_seconds=chance.choice((6, 60)),
            renews=chance.random() < 0.5,
            waiters_max=chance.choice((2, 8)),
            org_share=chance.choice((0.5, 1.0)),
            run_slots=chance.choice((1, 2)),
            upload_gap_seconds=chance.choice((0.0, 1.0)),
            linger_seconds=chance.choice((0.0, 0.0, 5.0)),
            statuses=chance.random() < 0.5,
            deltas=chance.random() < 0.6,
            delta_limits=DeltaLimits(object_bytes_min=1, share_max=4.0, links_max=chance.choice((2, 32))),
        )


@dataclass(frozen=True, slots=True)
class World:
    """What machines share."""

    scheduler: Scheduler
    bucket: WatchedBucket
    bus: MemoryBus
    faults: FaultyWorld
    observer: Observer
    build: Build
    chance: Random
    folder: Path
    hit: Counter[str]


class SimClock:
    """The Clock port: virtual seconds, and a wall clock that is a little wrong on each machine."""

    def __init__(self, scheduler: Scheduler, wrong_by_seconds: float = 0.0) -> None:
        self._scheduler = scheduler
        self._wrong_by = timedelta(seconds=wrong_by_seconds)

    def now_utc(self) -> datetime:
        return NOW + timedelta(seconds=self._scheduler.now) + self._wrong_by

    def local_now(self, timezone: str) -> datetime:
        return local_time(self.now_utc(), timezone)

    def local_time(self, moment: datetime, timezone: str) -> datetime:
        return local_time(moment, timezone)

    def monotonic(self) -> float:
        return self._scheduler.now

    def sleep(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)

    def is_timezone(self, name: str) -> bool:
        return is_timezone(name)


class SteppingJournal:
    """Each record is a step: between two records of a run anything can happen."""

    def __init__(self, scheduler: Scheduler, hit: Counter[str]) -> None:
        self._scheduler, self._hit = scheduler, hit

    def info(self, event: str, **facts: object) -> None:
        way = f" {facts['way']}" if "way" in facts else ""
        self._hit[f"journal {event}{way}"] += 1
        self._scheduler.step(f"journal {event}{way}")

    def warning(self, event: str, **facts: object) -> None:
        self.info(event)

    def error(self, event: str, **facts: object) -> None:
        self.info(event)


class NoLease:
    """A lease that holds nobody back: what must hold must hold without one."""

    @contextmanager
    def hold(self, org_id: OrgId, *, until: float, transfer: Transfer) -> Iterator[None]:
        yield


class WatchedSync:
    """The shipped sync, seen by the observer at its edges; and a disk that may ruin a finished working copy."""

    def __init__(
        self, world: World, make: Callable[[Callable[[], str]], MirrorSync], new_token: Callable[[], str]
    ) -> None:
        self._world = world
        self._new_token = new_token
        self._sync = make(self._next_token)

    def down(
        self, org_id: OrgId, *, create: bool, transfer: Transfer, admit: Admit = lambda _size_bytes: None
    ) -> WorkingCopy:
        live = self._world.bucket.live(object_name(org_id))
        copy = self._sync.down(org_id, create=create, transfer=transfer, admit=admit)
        self._world.observer.came_down(copy, live[0].generation if live else 0)
        return copy

    def up(self, copy: WorkingCopy, *, run_id: str, facts: Mapping[str, str], transfer: Transfer) -> Uploaded:
        self._world.observer.produced(Path(copy.file).read_bytes())
        if self._world.faults.breaks_working_copy() and break_pages(Path(copy.file)):
            self._world.faults.note("disk: working copy ruined")
        task = self._world.scheduler.current
        assert task is not None
        lost = task.facts.get("lost answers", 0)
        uploaded = self._sync.up(copy, run_id=run_id, facts=facts, transfer=transfer)
        self._world.observer.went_up(copy, uploaded, task.tokens[-1] if task.tokens else None)
        self._world.hit["lost answer recognised"] += task.facts.get("lost answers", 0) > lost
        return uploaded

    def done(self, copy: WorkingCopy) -> None:
        self._sync.done(copy)

    def _next_token(self) -> str:
        token = self._new_token()
        task = self._world.scheduler.current
        assert task is not None
        task.tokens.append(token)
        return token


@dataclass(slots=True, eq=False)
class Incarnation:
    """A machine between two crashes; owns its tasks."""

    disk: Path
    services: list[Service] = field(default_factory=list)


class Host:
    """A machine across its crashes."""

    def __init__(self, number: int, world: World) -> None:
        self.number = number
        self._world = world
        self._boots = count()
        self._wrong_by_seconds = world.chance.uniform(-100, 100)
        self.incarnation: Incarnation | None = None
        self._past_disks: list[Path] = []
        self.boot(None)

    def boot(self, disk: Path | None) -> None:
        """Start with a disk as it was left, or with an empty one."""
        world = self._world
        boot = next(self._boots)
        folder = world.folder / f"machine-{self.number}-{boot}"
        if disk is not None:
            clone_disk(disk, folder)
            self._tamper(folder)
        self.incarnation = Incarnation(folder)
        for process in range(world.build.processes):
            self.incarnation.services.append(self._service(folder, f"{self.number}.{boot}.{process}"))

    def replace_services(self) -> list[Service]:
        """Start new processes on the same disk; returns the old ones, which still run."""
        assert self.incarnation is not None
        old, folder = self.incarnation.services, self.incarnation.disk
        name = f"{self.number}.{next(self._boots)}"
        self.incarnation.services = [self._service(folder, f"{name}.{n}") for n in range(len(old))]
        return old

    def crash(self) -> Path:
        """Stop at this very step; returns the disk as it is now. Memory and the tasks are gone."""
        world, incarnation = self._world, self.incarnation
        assert incarnation is not None
        self.incarnation = None
        image = world.folder / f"image-{self.number}-{next(self._boots)}"
        clone_disk(incarnation.disk, image)
        for folder in sorted(image.glob("*")) if image.exists() else ():
            if folder.name != LOCKS_FOLDER:
                world.observer.crashed(folder)
        world.scheduler.kill(incarnation)
        self._past_disks.append(image)
        return image

    def disk_after_crash(self) -> Path | None:
        """Draw what the machine comes back with: its disk, an older image of it, or nothing."""
        drawn = self._world.chance.random()
        if drawn < 0.6:
            return self._past_disks[-1]
        if drawn < 0.8:
            self._world.hit["stale disk"] += len(self._past_disks) > 1
            return self._world.chance.choice(self._past_disks)
        self._world.hit["disk lost"] += 1
        return None

    def _tamper(self, folder: Path) -> None:
        """Leave what operators and dying disks leave: a stale journal, flipped bits."""
        world = self._world
        for org in sorted(folder.glob("*")):
            if world.chance.random() < 0.3:
                name = world.chance.choice(("mirror.db", "mirror.db", "mirror.next.db"))
                world.hit["stale journal"] += leave_stale_journal(org / name)
            if world.chance.random() < 0.1 and damage(org / "mirror.db", world.chance):
                world.hit["damaged mirror"] += 1
                world.observer.tampered.add(crc32c_of_file(str(org / "mirror.db")))

    def _service(self, folder: Path, name: str) -> Service:
        world = self._world
        scheduler, build = world.scheduler, world.build
        numbers = count(1)

        def new_token() -> str:
            return f"{name}-{next(numbers)}"

        clock: Clock = SimClock(scheduler, self._wrong_by_seconds)
        journal = SteppingJournal(scheduler, world.hit)
        rsync = FakeRsync(world.faults.copy_fault, scheduler.step)

        def make_sync(token: Callable[[], str]) -> MirrorSync:
            return MirrorSync(
                world.bucket, rsync.as_rsync(), clock, journal,
                data_dir=str(folder), new_token=token, lock_wait_seconds=0.1,
                deltas=PageDeltas(world.bucket, journal, build.delta_limits) if build.deltas else None,
                space=DiskSpace(str(folder), journal, free_bytes=world.faults.free_bytes),
            )  # fmt: skip

        times = LeaseTimes(duration_seconds=build.lease_seconds, renew_every_seconds=build.lease_seconds / 3)
        lease: Lease = NoLease()
        if build.lease:
            lease = BucketLease(
                world.bucket, clock, journal, new_token=new_token, times=times, renews=build.renews
            )  # fmt: skip
        ports = Ports(
            sync=WatchedSync(world, make_sync, new_token),
            lease=lease,
            planner=InProcessPlanner(TinyStore(_Steps(scheduler)), clock, journal),
            bus=SimBus(world.bus, scheduler, world.observer.about_to_publish),
            clock=clock,
            journal=journal,
            completion_topic="completions",
            statuses=BucketStatusBoard(world.bucket) if build.statuses else None,
            pace=Pace(
                clock,
                upload_gap_seconds=build.upload_gap_seconds,
                linger_seconds_max=build.linger_seconds,
                size_of=lambda _org: 10**12,
            ),
        )
        return Service(
            ports,
            limits=MailboxLimits(waiters_max=build.waiters_max, org_share=build.org_share),
            capacity=Capacity(build.run_slots, 10**12, 10**12),
        )


class _Steps:
    """Each touch of the database is a step."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def opened(self, file: str, org_id: OrgId) -> None:
        self._scheduler.step("db open")

    def touch(self, label: str, org_id: OrgId) -> None:
        self._scheduler.step(label)
