"""CPU seconds, peak memory and file pages of planning: first run, same day again, next day, by org size.

    python benchmarks/bench_plan.py [CONTACTS ...]

Each size runs in a process of its own (peak memory is the process's). Seconds are CPU seconds of one run on whatever
machine this is: compare the columns with each other, not with another machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from core.runs.reconcile import Order, reconcile
from events.types import OrgId
from infra.clock import SystemClock
from infra.org_db import SqliteOrgStore
from infra.pages import compare_pages
from infra.synthetic import make_org
from infra.telemetry import LogJournal, configure_logging

TODAY = date(2026, 3, 2)
SIZES = (663, 25_000, 100_000)
RUNS = (("first", 0), ("same day", 0), ("next day", 1))


def run_once(file: Path, as_of: date, run_id: str) -> tuple[float, int]:
    """Plan and write one file; returns CPU seconds and rows changed."""
    started = time.process_time()
    db = SqliteOrgStore().open(str(file), OrgId("bench"))
    migrated = db.migrate()
    order = Order(OrgId("bench"), run_id, as_of=as_of, force=True)
    result = reconcile(db, order, SystemClock(), LogJournal(), written=migrated)
    if result.changed:
        db.write(result.commit)
    db.close()
    counts = result.completed.counts
    changed = counts.rows_inserted + counts.rows_updated + counts.rows_deleted + counts.rows_missed
    return time.process_time() - started, changed


def measure(contacts: int) -> dict[str, object]:
    """Measure one size in this process."""
    configure_logging("WARNING")
    with tempfile.TemporaryDirectory() as folder:
        file, before = Path(folder) / "org.db", Path(folder) / "before.db"
        make_org(str(file), contacts=contacts, seed=1, today=TODAY)
        found: dict[str, object] = {"contacts": contacts}
        for number, (name, days) in enumerate(RUNS):
            before.write_bytes(file.read_bytes())
            seconds, rows = run_once(file, TODAY + timedelta(days=days), f"run-{number}")
            pages = compare_pages(str(before), str(file))
            found[name] = {
                "cpu_seconds": round(seconds, 3),
                "rows_changed": rows,
                "pages_changed": len(pages.changed),
                "pages": pages.page_count,
            }
        found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return found


def main() -> None:
    """Print one line per size and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contacts", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.measure is not None:
        print(json.dumps(measure(wanted.measure)))
        return
    print(f"{'contacts':>10} {'run':>9} {'CPU s':>8} {'rows changed':>13} {'pages changed':>14} {'peak MB':>8}")
    for contacts in wanted.contacts:
        command = [sys.executable, __file__, "--measure", str(contacts)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for name, _ in RUNS:
            run = found[name]
            pages = f"{run['pages_changed']}/{run['pages']}"
            print(
                f"{contacts:>10} {name:>9} {run['cpu_seconds']:>8} {run['rows_changed']:>13} {pages:>14} "
                f"{found['peak_mb']:>8}"
            )


if __name__ == "__main__":
    main()
