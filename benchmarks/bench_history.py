"""What the mail of past years costs a run: the same org with and without millions of rows that the sender has long taken.

    python -m benchmarks.bench_history [ROWS] [--contacts N] [--kept]

A run has to read every schedule row once to know that it is history, and to keep what rules ask about. So a run with
history may be slower by the time that this takes, and not by more. Each figure is the median of several processes, which
take turns; ``extra`` is what the history adds. Without ``--kept`` it is birthday mail, which no rule asks about after 800
days; with it, campaign mail, which is asked about for ever (R57).
"""

import argparse
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from benchmarks.bench_plan import ROOT, TODAY, peak_mb, run_once
from core.planning.calendar import day_number
from core.planning.schedule import gather_schedule, history_before
from events.types import OrgId
from infra.org_db import SqliteOrgStore
from infra.synthetic import make_org
from infra.telemetry import configure_logging

REPEATS = 3
_HISTORY = """
INSERT INTO email_schedules (contact_id, email_type, campaign_instance_id, event_date, scheduled_send_date, status, priority,
                             scheduler_run_id, actual_send_datetime)
SELECT id, ?1, ?2, ?3, ?3, 'sent', 10, 'before', ?3 || ' 08:31:00' FROM contacts ORDER BY id LIMIT ?4
"""
_INDEXES = ("ux_schedules_identity", "ix_schedules_due")


def add_history(file: Path, rows: int, *, kept: bool) -> None:
    """Add sent mail, one mail per contact and day, on days that lie three years back and more."""
    email_type, instance = ("campaign_of_old", 1_000_000) if kept else ("birthday", None)
    with closing(sqlite3.connect(file)) as db:
        indexes = [
            db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0] for name in _INDEXES
        ]
        for name in _INDEXES:
            db.execute(f"DROP INDEX {name}")
        day = TODAY - timedelta(days=1_100)
        while rows > 0:
            added = db.execute(_HISTORY, (email_type, instance, day.isoformat(), rows)).rowcount
            rows, day = rows - added, day - timedelta(days=1)
        for sql in indexes:
            db.execute(sql)
        db.commit()


def read_rows(file: Path) -> None:
    """Read what a run reads of email_schedules."""
    with closing(SqliteOrgStore().open(str(file), OrgId("bench"))) as db:
        gather_schedule(db.schedule_chunks(), first_day=history_before(day_number(TODAY)))


def step(file: Path, name: str) -> None:
    """Do one thing in this process and print what it cost."""
    configure_logging("WARNING")
    started = time.process_time()
    if name == "read":
        read_rows(file)
    else:
        run_once(file, TODAY, "again")
    print(json.dumps([time.process_time() - started, peak_mb()]))


def in_own_process(file: Path, name: str) -> tuple[float, float]:
    """Return CPU seconds and peak megabytes."""
    command = [sys.executable, "-m", "benchmarks.bench_history", "--step", str(file), name]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    seconds, megabytes = json.loads(done.stdout)
    return seconds, megabytes


def measure(folder: Path, contacts: int, rows: int, *, kept: bool) -> None:
    """Make both files, let them take turns, print the medians."""
    plain, old = folder / "plain.db", folder / "old.db"
    make_org(str(plain), contacts=contacts, seed=1, today=TODAY)
    run_once(plain, TODAY, "first")
    shutil.copyfile(plain, old)
    add_history(old, rows, kept=kept)
    run_once(old, TODAY, "settled")
    taken = [
        {(file.stem, name): in_own_process(file, name) for file in (plain, old) for name in ("read", "run")}
        for _ in range(REPEATS)
    ]
    extra = {}
    print(f"{contacts} contacts, {rows} rows of {'campaign' if kept else 'birthday'} mail of past years")
    print(f"{'':<16}{'without':>10}{'with':>10}{'extra':>10}   CPU s; peak MB without, with")
    for name in ("read", "run"):
        seconds = [statistics.median(turn[file, name][0] for turn in taken) for file in ("plain", "old")]
        peaks = [statistics.median(turn[file, name][1] for turn in taken) for file in ("plain", "old")]
        extra[name] = seconds[1] - seconds[0]
        told = "read the schedule" if name == "read" else "same-day run"
        print(f"{told:<17}{seconds[0]:>9.2f}{seconds[1]:>10.2f}{extra[name]:>10.2f}   {peaks[0]:.0f}, {peaks[1]:.0f}")
    print(f"a run is slower by {extra['run'] / extra['read']:.2f} times what reading the rows takes")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--kept", action="store_true", help="rows that rules ask about for ever")
    parser.add_argument("--step", nargs=2, metavar=("FILE", "NAME"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.step is not None:
        step(Path(wanted.step[0]), wanted.step[1])
        return
    configure_logging("WARNING")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), wanted.contacts, wanted.rows, kept=wanted.kept)


if __name__ == "__main__":
    main()
