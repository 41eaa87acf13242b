"""What a sync moves: bytes and requests of a machine that is current, 1, 3 and 10 runs behind, or new; copies as a ratio.

    python benchmarks/bench_sync.py [CONTACTS]          # a million by default; 100000 for a quick look

Two machines with a data directory each on one embedded bucket. One plans day after day, the other one looks at it now and
then. Bytes and requests are counts and the same everywhere; the ratio of sqlite3_rsync to cp + fsync compares two ways of
making the same file on this machine, in CPU and elapsed time.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from pathlib import Path

from core.runs.ports import Transfer
from core.runs.reconcile import Order, reconcile
from events.types import OrgId
from infra.clock import SystemClock
from infra.delta_chain import PageDeltas
from infra.fence import object_name
from infra.files import remove_database, sync_file
from infra.local_bucket import LocalBucket
from infra.mirror import MirrorSync
from infra.org_db import SqliteOrgStore
from infra.org_folder import OrgFolder
from infra.pages import compare_pages
from infra.rsync import find_rsync
from infra.synthetic import make_org
from infra.telemetry import LogJournal, configure_logging

ORG = OrgId("bench")
TODAY = date(2026, 3, 2)
BEHIND = (1, 3, 10)
VERSIONS_KEPT = 2
"""Old ones are not looked at here, and each has a gigabyte."""


class Machine:
    """One machine of the two."""

    def __init__(self, bucket: LocalBucket, folder: Path) -> None:
        numbers = count()
        journal = LogJournal()
        self.folder = OrgFolder(folder / ORG)
        self._clock = SystemClock()
        self._journal = journal
        self._sync = MirrorSync(
            bucket,
            find_rsync(),
            self._clock,
            journal,
            data_dir=str(folder),
            new_token=lambda: f"{folder.name}-{next(numbers)}",
            deltas=PageDeltas(bucket, journal),
        )

    def look(self) -> Transfer:
        """Sync down and give everything back."""
        transfer = Transfer()
        self._sync.done(self._sync.down(ORG, create=False, transfer=transfer))
        return transfer

    def plan(self, day: int) -> Transfer:
        """Run the org on a day: down, plan, write, up."""
        transfer = Transfer()
        copy = self._sync.down(ORG, create=False, transfer=transfer)
        try:
            db = SqliteOrgStore().open(copy.file, ORG)
            migrated = db.migrate()
            order = Order(ORG, f"run-{day}", as_of=TODAY + timedelta(days=day), force=True)
            result = reconcile(db, order, self._clock, self._journal, written=migrated)
            if result.changed:
                db.write(result.commit)
            db.close()
            self._sync.up(copy, run_id=order.run_id, facts={}, transfer=transfer)
        finally:
            self._sync.done(copy)
        return transfer


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    transfer: Transfer
    page_bytes: int | None = None
    """Bytes of the pages that the runs in between changed, each run for itself; None where that says nothing."""

    def __str__(self) -> str:
        t = self.transfer
        share = "" if not self.page_bytes else f"{t.bytes_down / self.page_bytes:.3f}"
        pages = "" if self.page_bytes is None else str(self.page_bytes)
        return f"{self.name:<22}{t.bytes_down:>14}{pages:>16}{share:>8}{t.bytes_up:>14}{_requests(t):>12}"


def _requests(transfer: Transfer) -> str:
    return f"{transfer.requests_class_a} + {transfer.requests_class_b}"


def main() -> None:
    """Print the table of transfers and the ratio of the copies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contacts", nargs="?", type=int, default=1_000_000)
    contacts = parser.parse_args().contacts
    configure_logging("WARNING")
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as name:
        folder = Path(name)
        bucket = LocalBucket(str(folder / "bucket"), keep_versions=VERSIONS_KEPT)
        make_org(str(folder / "seed.db"), contacts=contacts, seed=1, today=TODAY)
        bucket.upload(object_name(ORG), str(folder / "seed.db"), if_generation_match=0, metadata={})
        (folder / "seed.db").unlink()
        working, looking = Machine(bucket, folder / "working"), Machine(bucket, folder / "looking")
        print(f"{contacts} contacts; bytes, and requests of class A + B without those of the lease")
        print(f"{'':<22}{'bytes down':>14}{'changed pages':>16}{'share':>8}{'bytes up':>14}{'requests':>12}")
        yesterday = folder / "yesterday.db"
        measure_transfers(working, looking, yesterday)
        measure_copies(working.folder.mirror, yesterday, folder / "copy.db")


def measure_transfers(working: Machine, looking: Machine, yesterday: Path) -> None:
    """Let one machine plan on consecutive days and the other one catch up; keeps the object before the last run."""
    print(Row("first run", working.plan(0)))
    print(Row("cold machine", looking.look()))
    print(Row("current mirror", looking.look(), 0))
    page_size_bytes = compare_pages(None, str(working.folder.mirror)).page_size_bytes
    days = count(1)
    shares = []
    for runs in BEHIND:
        page_bytes = 0
        for _ in range(runs):
            warm = working.plan(next(days))
            page_bytes += warm.pages_changed * page_size_bytes
            shares.append(warm.pages_changed * page_size_bytes / working.folder.mirror.stat().st_size)
        print(Row(f"behind by {runs}", looking.look(), page_bytes))
    shutil.copyfile(working.folder.mirror, yesterday)
    print(Row("warm run, next day", working.plan(next(days))))
    size_bytes = working.folder.mirror.stat().st_size
    shares.sort()
    middle = shares[len(shares) // 2]
    print(
        f"object: {size_bytes} bytes; pages that a day changes: {shares[0]:.2%} to {shares[-1]:.2%}, median {middle:.2%}"
    )


def measure_copies(mirror: Path, yesterday: Path, copy: Path) -> None:
    """Make a copy of the mirror by sqlite3_rsync with its proof, and by cp + fsync, alternately, three times each."""
    rsync = find_rsync()

    def by_copying() -> None:
        shutil.copyfile(mirror, copy)
        sync_file(copy)

    def by_rsync() -> None:
        rsync.copy(str(mirror), str(copy))
        sync_file(copy)
        if not compare_pages(str(mirror), str(copy)).identical:
            raise RuntimeError("sqlite3_rsync made something else")

    before: dict[str, Callable[[], object]] = {
        "identical replica": lambda: None,
        "replica of yesterday": lambda: shutil.copyfile(yesterday, copy),
        "no replica": lambda: remove_database(copy),
    }
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in before}
    for _ in range(3):
        for name, prepare in before.items():
            plain = timed(by_copying)
            prepare()
            ours = timed(by_rsync)
            ratios[name].append((ours[0] / plain[0], ours[1] / plain[1]))
    for name, results in ratios.items():
        elapsed, cpu = sorted(results)[1]
        print(f"sqlite3_rsync + compare / (cp + fsync), {name}: elapsed {elapsed:.1f}, CPU {cpu:.1f}")


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return elapsed and CPU seconds, children included, of a piece of work that begins with a clean disk."""
    os.sync()
    before, started = _cpu_seconds(), time.monotonic()
    work()
    return time.monotonic() - started, _cpu_seconds() - before


def _cpu_seconds() -> float:
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
