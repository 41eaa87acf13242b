"""Planning in other processes: the same results, and whatever happens to one run happens to no other."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.planning_job import InProcessPlanner, JobDone, PlanningJob
from events.types import OrgId
from infra.clock import SystemClock
from infra.org_db import SqliteOrgStore
from infra.planning_pool import PlanningPool
from tests.journals import ListJournal
from tests.machines import ACME, OBJECT, put_org, requested
from tests.planners import BUGGY, COMMAND, ENVIRONMENT, GREEDY, SLEEPY

SOON = 20.0


def wait_until(condition: Callable[[], bool], within_seconds: float = SOON) -> None:
    deadline = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def job_of(file: Path, org_id: OrgId = ACME, number: int = 1) -> PlanningJob:
    return PlanningJob(org_id=org_id, file=str(file), generation=7, events=(requested(number, org_id),))


@pytest.fixture(scope="module")
def org_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from infra.memory_bucket import MemoryBucket

    folder, bucket = tmp_path_factory.mktemp("org"), MemoryBucket()
    generation = put_org(bucket, folder, contacts=40)
    bucket.download(OBJECT, generation, str(folder / "acme.db"))
    return (folder / "acme.db").read_bytes()


@pytest.fixture
def database(tmp_path: Path, org_file: bytes) -> Path:
    file = tmp_path / "working.db"
    file.write_bytes(org_file)
    return file


@pytest.fixture(scope="module")
def journal() -> ListJournal:
    return ListJournal()


@pytest.fixture(scope="module")
def pool(journal: ListJournal) -> Iterator[PlanningPool]:
    with closing(PlanningPool(COMMAND, ENVIRONMENT, journal, processes=2, job_seconds_max=SOON)) as pool:
        yield pool


def code_of(call: Callable[[], object]) -> tuple[ErrorCode, str]:
    with pytest.raises(OrgError) as raised:
        call()
    return raised.value.code, raised.value.detail


def test_a_job_has_the_same_result_in_another_process(
    pool: PlanningPool, journal: ListJournal, database: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(database.read_bytes())
    here_journal = ListJournal()
    here = InProcessPlanner(SqliteOrgStore(), SystemClock(), here_journal).carry_out(job_of(other), None)
    journal.records.clear()
    there = pool.carry_out(job_of(database), None)
    assert there.completed == here.completed
    assert there.fresh == here.fresh
    assert set(there.seconds) == {"apply", "plan", "commit"}
    assert here.completed is not None
    assert here.completed.counts.rows_inserted == 120
    assert [record[:2] for record in journal.records] == [record[:2] for record in here_journal.records]
    assert {facts["run_id"] for _, _, facts in journal.records} == {here.completed.run_id}
    again = pool.carry_out(job_of(database), None)  # the rows are in the file: the event is known now
    assert (again.completed, again.fresh) == (None, ())
    assert again.known == ((requested(1).key, here.completed),)


def test_an_error_of_the_org_is_the_same_error(pool: PlanningPool, tmp_path: Path) -> None:
    file = tmp_path / "no.db"
    file.write_bytes(b"no database" * 100)
    here = code_of(
        lambda: InProcessPlanner(SqliteOrgStore(), SystemClock(), ListJournal()).carry_out(job_of(file), None)
    )
    assert code_of(lambda: pool.carry_out(job_of(file), None)) == here


def begin(pool: PlanningPool, file: Path, threads: ThreadPoolExecutor) -> "tuple[Future[JobDone], int]":
    """Begin a job that takes a minute; returns it and the process that does it."""
    idle = set(pool.pids)
    sleeping = threads.submit(pool.carry_out, job_of(file, SLEEPY), None)
    wait_until(lambda: file.exists() and file.read_text() == "begun")
    assert set(pool.pids) == idle
    return sleeping, pool.pids[-1]  # busy ones come last


def test_a_killed_process_takes_its_own_run_and_no_other(pool: PlanningPool, database: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        lost, pid = begin(pool, tmp_path / "sleepy", threads)
        os.kill(pid, signal.SIGKILL)
        assert code_of(lambda: lost.result(SOON)) == (ErrorCode.PLANNER_LOST, "closed, signal 9")
    assert pid not in pool.pids
    assert len(pool.pids) == 2
    with ThreadPoolExecutor(2) as threads:
        lost, pid = begin(pool, tmp_path / "sleepier", threads)
        assert pool.carry_out(job_of(database), None).completed is not None  # while the other one is busy
        os.kill(pid, signal.SIGKILL)
        assert code_of(lambda: lost.result(SOON))[0] is ErrorCode.PLANNER_LOST


def test_memory_that_runs_out_ends_the_run_and_the_process(pool: PlanningPool, database: Path) -> None:
    before = pool.pids
    assert code_of(lambda: pool.carry_out(job_of(database, GREEDY), None)) == (
        ErrorCode.PLANNER_LOST,
        "MemoryError, exit 0",
    )
    assert len(set(before) & set(pool.pids)) == 1
    assert pool.carry_out(job_of(database), None).completed is not None


def test_a_bug_shows_its_place_and_not_its_text(pool: PlanningPool, database: Path) -> None:
    before = sorted(pool.pids)
    code, detail = code_of(lambda: pool.carry_out(job_of(database, BUGGY), None))
    assert code is ErrorCode.SCHEDULER_FAILED
    assert detail.startswith("ZeroDivisionError in _stumble")
    assert "ada" not in detail
    assert sorted(pool.pids) == before


def test_a_run_that_never_ends_is_ended_and_a_closed_pool_leaves_nobody(tmp_path: Path) -> None:
    pool = PlanningPool(COMMAND, ENVIRONMENT, ListJournal(), processes=1, job_seconds_max=2.0)
    first = pool.pids
    assert code_of(lambda: pool.carry_out(job_of(tmp_path / "s", SLEEPY), None)) == (
        ErrorCode.PLANNER_LOST,
        "not done after 2 s",
    )
    second = pool.pids
    assert first != second
    pool.close()
    for pid in (*first, *second):
        assert not Path(f"/proc/{pid}").exists()
    assert code_of(lambda: pool.carry_out(job_of(tmp_path / "s"), None))[0] is ErrorCode.PLANNER_LOST


def test_a_program_that_cannot_start_is_an_error_of_the_run(database: Path) -> None:
    with closing(PlanningPool(("/bin/false",), {}, ListJournal(), processes=1, job_seconds_max=SOON)) as pool:
        assert code_of(lambda: pool.carry_out(job_of(database), None))[0] is ErrorCode.PLANNER_LOST


_PARENT = """
import sys, threading
from pathlib import Path
from infra.planning_pool import PlanningPool
from tests.journals import ListJournal
from tests.planners import COMMAND, ENVIRONMENT, SLEEPY
from tests.unit.test_planning_pool import job_of
lock = open(sys.argv[2], "w")
import fcntl
fcntl.flock(lock, fcntl.LOCK_EX)
pool = PlanningPool(COMMAND, ENVIRONMENT, ListJournal(), processes=2, job_seconds_max=60)
print(*pool.pids, flush=True)
pool.carry_out(job_of(Path(sys.argv[1]), SLEEPY), lock.fileno())
"""


def test_a_parent_that_is_killed_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    file, lock_file = tmp_path / "sleepy", tmp_path / "lock"
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(file), str(lock_file)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        pids = [int(word) for word in parent.stdout.readline().split()]
        wait_until(lambda: file.exists() and file.read_text() == "begun")
        parent.kill()
        parent.wait(SOON)
    wait_until(lambda: not any(_runs(pid) for pid in pids), 10)
    with lock_file.open() as lock:
        wait_until(lambda: _is_free(lock))  # the last thread of a process closes its files


def test_the_lock_lives_as_long_as_the_process_that_writes(pool: PlanningPool, tmp_path: Path) -> None:
    file, lock_file = tmp_path / "sleepy", tmp_path / "lock"
    with ThreadPoolExecutor(1) as threads:
        with lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lost = threads.submit(pool.carry_out, job_of(file, SLEEPY), lock.fileno())
            wait_until(lambda: file.exists() and file.read_text() == "begun")
        with lock_file.open() as mine:
            assert not _is_free(mine)  # this process gave it back; the one that plans has not
            os.kill(pool.pids[-1], signal.SIGKILL)
            assert code_of(lambda: lost.result(SOON))[0] is ErrorCode.PLANNER_LOST
            wait_until(lambda: _is_free(mine))


def _is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
