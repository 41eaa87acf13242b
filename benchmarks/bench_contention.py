"""Many processes, one org: nothing lost, nothing doubled, nothing torn; and what the lease saves.

    python benchmarks/bench_contention.py [--processes 8] [--runs 12] [--contacts 500] [--one-disk] [--json]

Each process is a machine with a data directory of its own (``--one-disk``: all share one) on the embedded bucket, and
carries so many events through the shipped run, each again and again until it is acknowledged. The database appends the
ids of the events that it commits to a table without a key. A wasted run is one that lost the fence. Once with the lease
and once without; the exit code is 1 where anything is lost, doubled or torn.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.runs.batch import Batch
from core.runs.errors import OrgError
from core.runs.org_run import Ports, run_org
from core.runs.planning_job import InProcessPlanner
from core.runs.ports import Admit, Clock, Commit, Transfer
from events.types import RUN_REQUESTED, Event, OrgId, RunRequested
from infra.clock import SystemClock
from infra.delta_chain import DeltaLimits, PageDeltas
from infra.fence import object_name
from infra.lease import BucketLease, LeaseTimes
from infra.local_bucket import LocalBucket
from infra.memory_bus import MemoryBus
from infra.mirror import MirrorSync
from infra.org_db import SqliteOrgDatabase, SqliteOrgStore
from infra.org_folder import OrgFolder
from infra.rsync import find_rsync
from infra.sqlite_file import quick_check
from infra.synthetic import make_org

ORG = OrgId("acme")
EVENT_SECONDS_MAX = 300.0
"""An event that is not carried in this time is a failure of the whole run."""


class CountingJournal:
    """Counts the records of a run."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def info(self, event: str, **_: object) -> None:
        """Count."""
        self.seen[event] += 1

    warning = info
    error = info


class NoLease:
    """Everybody may."""

    @contextmanager
    def hold(self, org_id: OrgId, *, until: float, transfer: Transfer) -> Iterator[None]:
        """Return at once."""
        del org_id, until, transfer
        yield


class AppendingDatabase(SqliteOrgDatabase):
    """Writes in every run, and appends the ids of the run's events where nothing keeps them from being there twice."""

    def migrate(self) -> bool:
        """Say that something was changed, so that every event commits."""
        super().migrate()
        return True

    def write(self, commit: Commit) -> tuple[str, ...]:
        """Append, then write as usual."""
        warnings = super().write(commit)
        self.close()
        with closing(sqlite3.connect(self.file)) as db, db:
            db.executemany("INSERT INTO carried VALUES (?)", [(key.id,) for key in commit.event_keys])
        return warnings

    file: str


class AppendingStore(SqliteOrgStore):
    """Opens those."""

    def open(self, file: str, org_id: OrgId | None) -> AppendingDatabase:
        """Return the database in ``file``."""
        database = AppendingDatabase(file, org_id, chunk_rows=65536, retry_delays_seconds=(1.0,), sleep=time.sleep)
        database.file = file
        return database


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended."""

    lease: bool
    acknowledged: int
    lost: int
    doubled: int
    torn: int
    """Versions in the object's history that do not pass quick_check, and mirrors that are not what they say."""
    wasted_runs: int
    """Runs that had planned and written when another machine was first."""
    refused: int
    """Events that were told to come again (fence lost five times, lease or files busy)."""
    versions: int
    downloads_by_delta: int
    downloads_whole: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return self.lost == self.doubled == self.torn == 0


def work(folder: Path, machine: int, runs: int, *, lease: bool, one_disk: bool) -> dict[str, int]:
    """Be one machine: carry the events, each until it is acknowledged; returns counts."""
    journal, clock, bucket = CountingJournal(), SystemClock(), LocalBucket(str(folder / "bucket"))
    ports = Ports(
        sync=MirrorSync(
            bucket,
            find_rsync(timeout_seconds=60),
            clock,
            journal,
            data_dir=str(folder / ("disk" if one_disk else f"disk-{machine}")),
            new_token=lambda: uuid.uuid4().hex,
            deltas=PageDeltas(bucket, journal, DeltaLimits(object_bytes_min=0)),
        ),
        lease=BucketLease(
            bucket, clock, journal, new_token=lambda: uuid.uuid4().hex, times=LeaseTimes(poll_seconds=0.05)
        )
        if lease
        else NoLease(),
        planner=InProcessPlanner(AppendingStore(), clock, journal),
        bus=MemoryBus(),
        clock=clock,
        journal=journal,
        completion_topic="completions",
    )
    refused = sum(carry(f"event-{machine}-{run}", ports, clock) for run in range(runs))
    return {**journal.seen, "refused": refused}


def carry(event_id: str, ports: Ports, clock: Clock) -> int:
    """Send one event until it is acknowledged; returns how often it was told to come again."""
    event = Event(id=event_id, source="//bench", type=RUN_REQUESTED, org_id=ORG, data=RunRequested())
    end = time.monotonic() + EVENT_SECONDS_MAX
    refused = 0
    while True:
        try:
            run_org(Batch.of((event,)), ports, until=clock.monotonic() + 60, gate=free_gate)
        except OrgError as error:
            if not error.retryable or time.monotonic() > end:
                raise
            refused += 1
        else:
            return refused


@contextmanager
def free_gate(org_id: OrgId, until: float) -> Iterator[Admit]:
    """Let everything run."""
    del org_id, until
    yield lambda _size_bytes: None


def contend(processes: int, runs: int, contacts: int, *, lease: bool, one_disk: bool) -> Verdict:
    """Start the machines together, wait for all of them, and judge what they left."""
    with tempfile.TemporaryDirectory(prefix="contention-") as name:
        folder = Path(name)
        make_org(str(folder / "seed.db"), contacts=contacts, seed=1, today=datetime.now(UTC).date())
        with closing(sqlite3.connect(folder / "seed.db")) as db:
            db.execute("CREATE TABLE carried (event_id TEXT)")
            db.commit()
        bucket = LocalBucket(str(folder / "bucket"))
        bucket.upload(object_name(ORG), str(folder / "seed.db"), if_generation_match=0, metadata={})
        started = time.monotonic()
        counts = run_machines(folder, processes, runs, lease=lease, one_disk=one_disk)
        seconds = time.monotonic() - started
        wanted = {f"event-{machine}-{run}" for machine in range(processes) for run in range(runs)}
        return judge(bucket, folder, wanted, counts, lease=lease, seconds=seconds)


def run_machines(folder: Path, processes: int, runs: int, *, lease: bool, one_disk: bool) -> Counter[str]:
    """Return what all the machines counted; raises where one of them failed."""
    arguments = ["--work", str(folder), "--runs", str(runs), *["--lease"] * lease, *["--one-disk"] * one_disk]
    machines = [
        subprocess.Popen(
            [sys.executable, __file__, *arguments, "--machine", str(machine)], stdout=subprocess.PIPE, text=True
        )
        for machine in range(processes)
    ]
    counts: Counter[str] = Counter()
    try:
        for machine in machines:
            out, _ = machine.communicate()
            if machine.returncode != 0:
                raise RuntimeError("a machine failed; its traceback is above")
            counts.update(json.loads(out))
    finally:
        for machine in machines:
            machine.kill()
            machine.wait()
    return counts


def judge(
    bucket: LocalBucket, folder: Path, wanted: set[str], counts: Counter[str], *, lease: bool, seconds: float
) -> Verdict:
    """Look at every version and count the events in the last one."""
    versions = bucket.versions(object_name(ORG))
    torn = 0
    for info in versions:
        file = folder / f"version-{info.generation}.db"
        bucket.download(object_name(ORG), info.generation, str(file))
        torn += quick_check(str(file)) != "ok"
    known = {info.generation: info.crc32c for info in versions}
    for disk in folder.glob("disk*"):
        mirror = OrgFolder(disk / ORG)
        record = mirror.read_record()
        torn += record is not None and not (mirror.mirror_is(record) and known.get(record.generation) == record.crc32c)
    with closing(sqlite3.connect(file)) as db:
        carried = Counter(str(event_id) for (event_id,) in db.execute("SELECT event_id FROM carried"))
        (processed,) = db.execute("SELECT count(*) FROM scheduler_processed_events").fetchone()
    return Verdict(
        lease=lease,
        acknowledged=len(wanted),
        lost=len(wanted - carried.keys()) + max(0, len(wanted) - int(processed)),
        doubled=sum(carried.values()) - len(carried) + len(carried.keys() - wanted),
        torn=torn,
        wasted_runs=counts["fence_conflict"],
        refused=counts["refused"],
        versions=len(versions),
        downloads_by_delta=counts["page_deltas_applied"],
        downloads_whole=counts["mirror_replaced"] - counts["page_deltas_applied"],
        seconds=round(seconds, 1),
    )


def main() -> None:
    """Print one line with the lease and one without."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--runs", type=int, default=12, help="events per process")
    parser.add_argument("--contacts", type=int, default=500)
    parser.add_argument("--one-disk", action="store_true", help="all processes share one data directory")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    for hidden in ("--work", "--machine"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--lease", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.work is not None:
        found = work(Path(wanted.work), int(wanted.machine), wanted.runs, lease=wanted.lease, one_disk=wanted.one_disk)
        print(json.dumps(found))
        return
    verdicts = [
        contend(wanted.processes, wanted.runs, wanted.contacts, lease=lease, one_disk=wanted.one_disk)
        for lease in (True, False)
    ]
    for verdict in verdicts:
        if wanted.json:
            print(json.dumps(asdict(verdict)))
            continue
        title = "lease + generation match" if verdict.lease else "generation match"
        print(
            f"{title:>25}", *(f"{name} {value}" for name, value in asdict(verdict).items() if name != "lease"), sep="  "
        )
    sys.exit(0 if all(verdict.good for verdict in verdicts) else 1)


if __name__ == "__main__":
    main()
