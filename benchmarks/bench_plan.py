"""What planning costs by org size: CPU seconds, peak memory, file pages and bytes; compared with what is checked in.

    python -m benchmarks.bench_plan [CONTACTS ...] [--org FILE] [--accept]

Runs: ``first`` on a new org, ``same day`` and ``next day`` after it, ``sender`` (who marks a day's mail sent: pages only),
and ``AEP day``, a first run on the day on which every contact has a mail. Each runs in a process of its own, whose peak
memory is measured; the smallest size also runs many times in one living process, and the median is told.

The ratios are compared with those of benchmarks/planning.json, and with the bars that there are. Where none is worse than
it may be, or with ``--accept``, the figures are written there and into the README; otherwise the exit code is 1.
"""

import argparse
import json
import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import apsw
import numpy as np

from core.runs.reconcile import Order, reconcile
from events.types import OrgId
from handlers import docs_tables
from handlers.docs_performance import Figures, Ratio, Run, Size, bars, checked_in, ratios, store
from infra.clock import SystemClock
from infra.org_db import SqliteOrgStore
from infra.pages import compare_pages
from infra.synthetic import make_org
from infra.telemetry import LogJournal, configure_logging

ROOT = Path(__file__).parents[1]
TODAY = date(2026, 3, 2)
AEP_DAY = date(2026, 9, 15)
SIZES = (663, 25_000, 100_000, 300_000, 1_000_000)
WARM_CONTACTS_MAX = 1_000
WARM_RUNS = 60


def run_once(file: Path, as_of: date, run_id: str) -> tuple[float, int]:
    """Plan and write one file; returns CPU seconds and rows changed."""
    started = time.process_time()
    with closing(SqliteOrgStore().open(str(file), OrgId("bench"))) as db:
        migrated = db.migrate()
        order = Order(OrgId("bench"), run_id, as_of=as_of, force=True)
        result = reconcile(db, order, SystemClock(), LogJournal(), written=migrated)
        if result.changed:
            db.write(result.commit)
    counts = result.completed.counts
    changed = counts.rows_inserted + counts.rows_updated + counts.rows_deleted + counts.rows_missed
    return time.process_time() - started, changed


def mark_sent(file: Path, day: date) -> int:
    """Do what a sender does after a day's mail; returns the rows changed."""
    with closing(sqlite3.connect(file)) as db, db:
        return db.execute(
            "UPDATE email_schedules SET status = 'sent', actual_send_datetime = scheduled_send_date || ' 08:31:00' "
            "WHERE status = 'pre-scheduled' AND scheduled_send_date = ?",
            (day.isoformat(),),
        ).rowcount


def warm_ms(file: Path) -> float:
    """Return the median CPU of next-day runs in this process, in milliseconds."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "org.db"
        for number in range(WARM_RUNS):
            shutil.copyfile(file, copy)
            seconds.append(run_once(copy, TODAY + timedelta(days=1), f"warm-{number}")[0])
    return round(1_000 * statistics.median(seconds), 1)


def peak_mb() -> float:
    """Return the peak memory of this process; ``ru_maxrss`` would count what its parent held when it started it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    if found is None:
        raise SystemExit("/proc/self/status tells no peak memory: run this on Linux")
    return round(int(found[1]) / 1024, 1)


def in_own_process(*arguments: str) -> dict[str, float]:
    """Run a part of this program by itself and return what it found."""
    command = [sys.executable, "-m", "benchmarks.bench_plan", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measured(file: Path, before: Path | None, *arguments: str) -> Run:
    """Measure one run of a file; pages are counted against what the file was before, if that is asked for."""
    if before is not None:
        shutil.copyfile(file, before)
    found = in_own_process("--step", str(file), *arguments)
    pages = compare_pages(str(before) if before is not None else None, str(file))
    return Run(
        cpu_seconds=round(found["cpu_seconds"], 3),
        peak_mb=found["peak_mb"],
        rows_changed=int(found["rows_changed"]),
        pages_changed=len(pages.changed),
        pages=pages.page_count,
        bytes_changed=len(pages.changed) * pages.page_size_bytes,
    )


def measure(contacts: int, org: Path | None) -> Size:
    """Measure all runs of one size, on a copy of an org or on a new one."""
    with tempfile.TemporaryDirectory() as folder:
        new, file, before = (Path(folder) / name for name in ("new.db", "org.db", "before.db"))
        if org is None:
            make_org(str(new), contacts=contacts, seed=1, today=TODAY)
        else:
            shutil.copyfile(org, new)
        shutil.copyfile(new, file)
        runs = {"AEP day": measured(file, None, str(AEP_DAY), "aep")}
        new.replace(file)
        runs["first"] = measured(file, None, str(TODAY), "first")
        with closing(sqlite3.connect(file)) as db:
            rows = int(db.execute("SELECT count(*) FROM email_schedules").fetchone()[0])
        warm = in_own_process("--warm", str(file))["warm_ms"] if contacts <= WARM_CONTACTS_MAX else 0.0
        runs["same day"] = measured(file, before, str(TODAY), "same")
        runs["next day"] = measured(file, before, str(TODAY + timedelta(days=1)), "next")
        runs["sender"] = measured(file, before, str(TODAY + timedelta(days=1)), "sender")
    return Size(contacts, rows, warm, runs)


def step(file: Path, day: date, name: str) -> dict[str, float]:
    """Do one run in this process."""
    configure_logging("WARNING")
    seconds, rows = (0.0, mark_sent(file, day)) if name == "sender" else run_once(file, day, f"run-{name}")
    return {"cpu_seconds": seconds, "rows_changed": rows, "peak_mb": peak_mb()}


def machine() -> str:
    """Say what the figures were measured on."""
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, SQLite {apsw.sqlite_lib_version()}"
    return f"{os.cpu_count()} cores ({platform.machine()}), {versions}"


def print_size(size: Size) -> None:
    """Print a size's runs."""
    for name, run in size.runs.items():
        print(
            f"{size.contacts:>9} {name:>9} {run.cpu_seconds:>8.2f} {run.peak_mb:>8.0f} {run.rows_changed:>13} "
            f"{run.pages_changed:>9}/{run.pages:<9} {run.bytes_changed / 2**20:>9.1f}",
            flush=True,
        )
    if size.warm_ms:
        print(f"{size.contacts:>9} {'warm':>9} {size.warm_ms / 1000:>8.4f}", flush=True)


def judged(found: Figures, known: Figures) -> bool:
    """Print the ratios beside those checked in, and whether the bars are met; returns whether all is as it may be."""
    before = {ratio.name: ratio.value for ratio in ratios(known)}
    good = True
    print(f"\n{'ratio':<62} {'now':>10} {'checked in':>11} {'bar':>8}")
    for ratio in (*ratios(found), *bars(found)):
        verdict = _verdict(ratio, before.get(ratio.name))
        good = good and verdict in {"", "new"}
        then = f"{before[ratio.name]:.3f}" if ratio.name in before else "-"
        bar = "-" if ratio.bar is None else f"{ratio.bar:.3g}"
        print(f"{ratio.name:<62} {ratio.value:>10.3f} {then:>11} {bar:>8} {verdict}")
    return good


def _verdict(ratio: Ratio, before: float | None) -> str:
    if ratio.bar is not None and ratio.value > ratio.bar:
        return "OVER THE BAR"
    if before is None:
        return "new"
    return "WORSE" if ratio.value > before * ratio.allowance else ""


def main() -> int:
    """Measure, print, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contacts", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--org", type=Path, help="an org of that size, made by make-org; one size only")
    parser.add_argument("--accept", action="store_true", help="write the figures whatever they are")
    parser.add_argument("--step", nargs=3, metavar=("FILE", "DAY", "NAME"), help=argparse.SUPPRESS)
    parser.add_argument("--warm", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.step is not None:
        file, day, name = wanted.step
        print(json.dumps(step(Path(file), date.fromisoformat(day), name)))
        return 0
    if wanted.warm is not None:
        configure_logging("WARNING")
        print(json.dumps({"warm_ms": warm_ms(wanted.warm)}))
        return 0
    print(
        f"{'contacts':>9} {'run':>9} {'CPU s':>8} {'peak MB':>8} {'rows changed':>13} {'pages changed':>19} {'MB':>9}"
    )
    sizes = []
    for contacts in sorted(set(wanted.contacts)):
        sizes.append(measure(contacts, wanted.org))
        print_size(sizes[-1])
    known = checked_in()
    good = judged(Figures(machine(), tuple(sizes)), known)
    if not good and not wanted.accept:
        print("\nsome ratio is worse than it may be; --accept writes the figures all the same")
        return 1
    kept = [size for size in known.sizes if size.contacts not in wanted.contacts]
    store(Figures(machine(), tuple(sorted([*kept, *sizes], key=lambda size: size.contacts))))
    return docs_tables.main(["--write"])


if __name__ == "__main__":
    sys.exit(main())
