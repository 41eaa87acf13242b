"""Real processes on one org: nothing lost, nothing doubled, nothing torn, with the lease and by the fence alone.

``CONTENTION_PROCESSES`` and ``CONTENTION_RUNS`` size the first test; the benchmark's own size is 8 and 12.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def contend(processes: int, runs: int, *more: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the benchmark found with the lease and without it."""
    program = [sys.executable, str(ROOT / "benchmarks" / "bench_contention.py"), "--json", "--contacts", "100"]
    done = subprocess.run(
        [*program, "--processes", str(processes), "--runs", str(runs), *more],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    with_lease, without = map(json.loads, lines)
    for found in (with_lease, without):
        assert (found["lost"], found["doubled"], found["torn"]) == (0, 0, 0)
        assert found["acknowledged"] == processes * runs
        assert found["versions"] == processes * runs + 1  # the first upload, and one version per event
    assert done.returncode == 0, done.stderr
    assert with_lease["lease"]
    assert not without["lease"]
    return with_lease, without


def test_machines_with_disks_of_their_own() -> None:
    processes, runs = (int(os.environ.get(f"CONTENTION_{name}", "3")) for name in ("PROCESSES", "RUNS"))
    with_lease, _ = contend(processes, runs)
    assert with_lease["wasted_runs"] <= processes * runs // 4  # nearly none: a lease that ran out on a busy machine


def test_processes_that_share_a_disk() -> None:
    for found in contend(2, 4, "--one-disk"):
        assert found["wasted_runs"] == 0  # the files of the org belong to one run at a time
        assert found["downloads_whole"] == 1
