"""kill -9 at random moments: of a run, of a whole machine with its sqlite3_rsync, of the real server with several orgs.

``CRASH_RANDOM`` (default 12) kills of single runs, and a fifth of that of servers; ``CRASH_RANDOM=1000`` on demand.
``CRASH_FIRST_SEED`` (default 0) is where the seeds begin; every failure names its seed, which replays form, plot and
moments (what a moment hits depends on the machine).
"""

import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.server_process import Background, Server, assert_intact, rows_of
from tests.acceptance.test_kill import PLAN
from tests.crash.conftest import Staged
from tests.crash.judge import after_death
from tests.crash.matrix import recovered
from tests.crash.worlds import PLOTS, ROLLBACK, WAL, WIDE

RANDOM: Final = int(os.environ.get("CRASH_RANDOM", "12"))
FIRST_SEED: Final = int(os.environ.get("CRASH_FIRST_SEED", "0"))
SERVER_SEEDS: Final = range(FIRST_SEED, FIRST_SEED + max(1, RANDOM // 5) if RANDOM else FIRST_SEED)
RUN_SECONDS: Final = 0.1
"""About as long as an undisturbed run."""


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RANDOM))
def test_a_run_killed_at_random_moments_and_its_repetition_are_one_run(staged: Staged, seed: int) -> None:
    chance = random.Random(f"run {seed}")
    plot, form = chance.choice(PLOTS), chance.choice([ROLLBACK, WAL, WIDE])
    stage, rehearsal = staged(form, plot)
    world = stage.copy_to(Path(f"{stage.root}-random-{seed}"))
    found: list[str] = []
    try:
        for death in range(chance.choice([1, 1, 1, 2, 3])):
            machine, moment, everything = (
                chance.choice(["one", "two"]),
                chance.random() * RUN_SECONDS,
                chance.random() < 0.5,
            )
            what = (
                f"seed {seed}: {form.name} {plot.name}, {machine} killed after {moment:.4f} s, everything {everything}"
            )
            print(what)  # noqa: T201
            ended = world.run(
                **{
                    **plot.case,
                    "machine": machine,
                    "kill_after_seconds": moment,
                    "kill_all": everything,
                    "hours_later": death + 1,
                }
            )
            acknowledged = any(answer.acknowledged for answer in ended.report.answers)
            judged = after_death(world.root, acknowledged=acknowledged, undisturbed=rehearsal.undisturbed)
            found += [f"{what}: {sentence}" for sentence in judged]
        again = {**plot.case, "machine": chance.choice(["one", "two"]), "hours_later": 9}
        found += [f"seed {seed}: {sentence}" for sentence in recovered(world, rehearsal.undisturbed, **again)]
    finally:
        shutil.rmtree(world.root)
    assert found == []


@pytest.mark.parametrize("seed", SERVER_SEEDS)
def test_a_server_killed_at_a_random_moment_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """Several orgs at once; the lease of a dead machine is taken away, as its time is not what is tested here."""
    chance = random.Random(f"server {seed}")
    moment = chance.random() * 0.8
    print(f"seed {seed}: the server is killed {moment:.4f} s after the messages")  # noqa: T201
    orgs = [f"org{number}" for number in range(4)]
    server = Server(tmp_path / "data", {"RUN_SLOTS": "4"})
    for org in (*orgs, "undisturbed"):
        server.make_org(org, contacts=300)
    try:
        server.start()
        running = [Background(lambda org=org: server.push(f"message-{org}", {"org_id": org})) for org in orgs]  # type: ignore[misc]
        time.sleep(moment)
        server.kill()
        acknowledged = [
            org for org, sent in zip(orgs, running, strict=True) if (answer := sent.join()) and answer.status == 204
        ]
        for lease in (server.data_dir / "bucket").glob("org-lease*"):
            shutil.rmtree(lease)
        server.port = 0
        server.start()
        for org in acknowledged:
            assert len(server.bucket().versions(f"org-data/{org}.db")) == 2, org
        with ThreadPoolExecutor(len(orgs) + 1) as senders:
            everybody = [*orgs, "undisturbed"]
            answers = list(senders.map(lambda org: server.push(f"message-{org}", {"org_id": org}), everybody))
        assert [answer.status for answer in answers] == [204] * len(everybody)
        expected = rows_of(server.org_file("undisturbed", tmp_path / "undisturbed.db"), PLAN)
        for org in orgs:
            assert len({attributes["ce-id"] for attributes, _ in server.events("run.completed", org)}) == 1, org
            assert len(server.bucket().versions(f"org-data/{org}.db")) == 2, org
            file = server.org_file(org, tmp_path / f"{org}.db")
            assert_intact(file)
            assert rows_of(file, PLAN) == expected, org
            assert rows_of(file, "SELECT count(*) FROM scheduler_checkpoints") == [(1,)], org
    finally:
        server.kill()
