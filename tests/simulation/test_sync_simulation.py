"""Seeded worlds of machines, messages and faults over the shipped runs and the shipped sync: nothing lost, nothing twice.

SIM_SEEDS says how many worlds (default 200: 15 s on one core), SIM_FIRST_SEED with which to begin. A world that fails prints
its seed and the command that runs it again, step by step the same. CI plays ten thousand (6 to 12 minutes on two cores):
``SIM_SEEDS=10000 python -m pytest -n 2 tests/simulation/test_sync_simulation.py``.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.world import Report, simulate

SEEDS = int(os.environ.get("SIM_SEEDS", "200"))
FIRST_SEED = int(os.environ.get("SIM_FIRST_SEED", "0"))
BLOCK_SEEDS = max(20, SEEDS // 100)
"""Seeds of one test; blocks are what workers share."""
SEEDS_FOR_COVERAGE = 150
"""Fewer than that need not hit everything."""

BLOCKS = range(FIRST_SEED, FIRST_SEED + SEEDS, BLOCK_SEEDS)

MUST_BE_HIT = (
    # what goes wrong
    *(f"{kind}: {fault}" for kind in ("stat", "upload", "write") for fault in ("503 before", "401", "stall before")),
    *(f"{kind}: {fault}" for kind in ("stat", "upload", "write", "download") for fault in ("reset after", "stall after")),
    *(f"{kind}: {fault}" for kind in ("upload", "write", "delete") for fault in ("412 before", "412 after")),
    *(f"{k}: {f}" for k in ("upload", "write", "download") for f in ("corrupt bytes", "truncated bytes", "broken stream")),
    *(f"{kind}: {fault}" for kind in ("versions", "list") for fault in ("503 before", "reset after")),
    *("delete: 503 before", "delete: reset after", "bus: before", "bus: after", "ack lost"),
    *("copy: exit 0 without copying", "copy: partial copy", "copy: stale replica", "copy: locked", "copy: failed"),
    *("copy: disk full", "disk: working copy ruined", "disk: no room"),
    *("disk: full", "journal mirror_not_kept", "journal status_not_written"),
    *("crash", "disk lost", "stale disk", "stale journal", "damaged mirror", "drain", "stranger", "ruin", "late duplicate"),
    # what the shipped code made of it
    *("outcome done", "outcome retry", "outcome rejected", "outcome failed"),
    *("replayed", "unchanged", "group commit", "object replaced", "lost answer recognised"),
    *("journal fence_conflict", "journal lease_taken_over", "journal lease_was_lost", "journal lease_not_given_back"),
    *("journal lease_renewal_failed", "journal lease_lost", "journal copy_discarded", "journal download_not_used"),
    "journal download_resumed",
    *("journal mirror_replaced _whole_object", "journal mirror_replaced _left_by_a_crash"),
    *("journal mirror_replaced _page_deltas", "journal way_not_used _whole_object", "journal page_delta_left"),
    *("journal page_delta_not_left", "journal page_deltas_not_used", "journal org_evicted"),
    *(
        f"error {code}"
        for code in (
            "bucket_unreachable", "bucket_refused", "bus_unreachable", "database_busy", "disk_full", "draining",
            "waiters_full", "lease_busy", "sync_failed", "download_corrupt", "object_missing", "as_of_refused",
            "not_sqlite", "database_corrupt", "fence_lost",
        )
    ),
)  # fmt: skip


def told(report: Report) -> str:
    """Say what failed, and how to see it again."""
    return "\n".join(
        (
            f"seed {report.seed}: {report.violation}: {report.detail}",
            f"again: SIM_FIRST_SEED={report.seed} SIM_SEEDS=1 python -m pytest tests/simulation/{Path(__file__).name}",
            "its last steps (virtual second, task, step):",
            *report.last_steps[-80:],
        )
    )


@pytest.fixture(scope="session")
def hits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulation-hits"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("first", BLOCKS)
def test_nothing_is_lost_and_nothing_happens_twice(first: int, hits_folder: Path) -> None:
    hit: Counter[str] = Counter()
    for seed in range(first, min(first + BLOCK_SEEDS, FIRST_SEED + SEEDS)):
        report = simulate(seed)
        hit += report.hit
        if report.violation is not None:
            pytest.fail(told(report), pytrace=False)
    sys.stdout.write(f"seeds from {first}: {dict(sorted(hit.items()))}\n")
    (hits_folder / f"{first}.tmp").write_text(json.dumps(hit))
    (hits_folder / f"{first}.tmp").rename(hits_folder / f"{first}.json")
    require_coverage(hits_folder)


def require_coverage(hits_folder: Path) -> None:
    """Whoever finishes last looks whether every fault and every path was met: a fault that never happens tests nothing."""
    files = [hits_folder / f"{first}.json" for first in BLOCKS]
    if SEEDS < SEEDS_FOR_COVERAGE or not all(file.exists() for file in files):
        return
    hit: Counter[str] = Counter()
    for file in files:
        hit.update(json.loads(file.read_text()))
    sys.stdout.write(f"all {SEEDS} seeds: {dict(sorted(hit.items()))}\n")
    assert [what for what in MUST_BE_HIT if not hit[what]] == []


def test_a_seed_is_a_run() -> None:
    """Twice here, and in a process with other hashes: the same steps, faults and bytes."""
    seeds = (1, 7, 12)
    here = [simulate(seed).digest for seed in seeds]
    assert here == [simulate(seed).digest for seed in seeds]
    assert len(set(here)) == len(seeds)
    program = f"from tests.simulation.world import simulate\nfor s in {seeds}: print(simulate(s).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    root = Path(__file__).parents[2]
    there = subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, check=True)
    assert there.stdout.decode().split() == here
