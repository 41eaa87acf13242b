"""Which runs may be in progress at once: slots, memory, disk; in turn, and never for ever too late."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from core.runs.admission import MEMORY_BASE_BYTES, OVERTAKES_MAX, Admission, Capacity
from core.runs.errors import ErrorCode, OrgError
from events.types import OrgId
from infra.clock import SystemClock
from tests.unit.test_mailbox import wait_until

SOON = 20.0
MB = 1_000_000


class Runs:
    """Runs that a test begins and ends, in the order in which they were admitted."""

    def __init__(self, admission: Admission, threads: ThreadPoolExecutor) -> None:
        self.admission = admission
        self.begun: list[str] = []
        self._threads = threads
        self._ends: dict[str, threading.Event] = {}

    def arrive(self, name: str, size_bytes: int = 0, within: float = SOON) -> "Future[None]":
        self._ends[name] = threading.Event()
        asked = threading.Event()
        arrived = self._threads.submit(self._run, name, size_bytes, within, asked)
        assert asked.wait(SOON)
        wait_until(lambda: arrived.done() or name in self.begun or self._waits(name))
        return arrived

    def end(self, name: str) -> None:
        before = self.admission.running
        self._ends[name].set()
        wait_until(lambda: self.admission.running < before or len(self.begun) > before)

    def _waits(self, name: str) -> bool:
        return len(self.admission._queue) + len(self.begun) >= list(self._ends).index(name) + 1

    def _run(self, name: str, size_bytes: int, within: float, asked: threading.Event) -> None:
        asked.set()
        with self.admission.visit(OrgId(name), SystemClock().monotonic() + within) as admit:
            admit(size_bytes)
            self.begun.append(name)
            admit(size_bytes)  # a second attempt of the same run
            assert self._ends[name].wait(SOON)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool


def runs_of(threads: ThreadPoolExecutor, slots: int = 8, memory_mb: int = 1_000_000, disk_mb: int = 1_000_000) -> Runs:
    return Runs(Admission(Capacity(slots, memory_mb * MB, disk_mb * MB), SystemClock()), threads)


def test_slots_are_given_in_the_order_of_arrival(threads: ThreadPoolExecutor) -> None:
    runs = runs_of(threads, slots=2)
    for name in "abcde":
        runs.arrive(name)
    assert runs.begun == ["a", "b"]
    assert runs.admission.running == 2
    for ended, next_one in zip("abc", "cde", strict=True):
        runs.end(ended)
        wait_until(lambda n=next_one: runs.begun[-1] == n)  # type: ignore[misc]
    runs.end("d")
    runs.end("e")
    wait_until(lambda: runs.admission.running == 0)


def test_an_org_that_comes_back_queues_behind_those_that_wait(threads: ThreadPoolExecutor) -> None:
    runs = runs_of(threads, slots=1)
    for name in ("noisy-1", "quiet", "noisy-2"):
        runs.arrive(name)
    for name in ("noisy-1", "quiet", "noisy-2"):
        wait_until(lambda n=name: runs.begun[-1] == n)  # type: ignore[misc]
        runs.end(name)
    assert runs.begun == ["noisy-1", "quiet", "noisy-2"]


@pytest.mark.parametrize("limit", ["memory", "disk"])
def test_two_large_orgs_run_one_after_the_other_beside_small_ones(threads: ThreadPoolExecutor, limit: str) -> None:
    large = 200 * MB
    runs = runs_of(threads, **({"memory_mb": 900} if limit == "memory" else {"disk_mb": 1_000}))
    runs.arrive("large-1", large)
    runs.arrive("large-2", large)
    runs.arrive("small", 1 * MB)
    assert runs.begun == ["large-1", "small"]
    runs.end("large-1")
    wait_until(lambda: runs.begun == ["large-1", "small", "large-2"])
    runs.end("small")
    runs.end("large-2")


def test_who_waits_for_room_is_not_overtaken_for_ever(threads: ThreadPoolExecutor) -> None:
    runs = runs_of(threads, disk_mb=1_000)
    runs.arrive("first", 200 * MB)
    runs.arrive("large", 200 * MB)
    for number in range(OVERTAKES_MAX + 1):
        runs.arrive(f"small-{number}", 1 * MB)
        if number < OVERTAKES_MAX:
            wait_until(lambda n=number: f"small-{n}" in runs.begun)  # type: ignore[misc]
            runs.end(f"small-{number}")
    assert f"small-{OVERTAKES_MAX}" not in runs.begun
    runs.end("first")
    wait_until(lambda: {"large", f"small-{OVERTAKES_MAX}"} <= set(runs.begun))
    runs.end("large")
    runs.end(f"small-{OVERTAKES_MAX}")


def test_a_run_that_may_take_all_memory_runs_alone(threads: ThreadPoolExecutor) -> None:
    runs = runs_of(threads, memory_mb=200)
    runs.arrive("large", 200 * MB)  # between 160 and 500 MB of memory: it fits, perhaps just so
    runs.arrive("small", 0)
    assert runs.begun == ["large"]
    runs.end("large")
    wait_until(lambda: runs.begun[-1] == "small")
    runs.end("small")


@pytest.mark.parametrize(
    ("memory_mb", "disk_mb", "limit"), [(150, 10**6, "MEMORY_LIMIT_MB"), (10**6, 700, "DISK_LIMIT_MB")]
)
def test_an_org_that_never_fits_is_told_at_once(memory_mb: int, disk_mb: int, limit: str) -> None:
    admission = Admission(Capacity(1, memory_mb * MB, disk_mb * MB), SystemClock())
    with pytest.raises(OrgError) as raised, admission.visit(OrgId("acme"), SystemClock().monotonic() + SOON) as admit:
        admit(200 * MB)
    assert raised.value.code is ErrorCode.ORG_TOO_LARGE
    assert limit in raised.value.detail
    assert admission.running == 0


def test_who_waits_too_long_is_told_to_come_again_and_blocks_nobody(threads: ThreadPoolExecutor) -> None:
    runs = runs_of(threads, slots=1)
    runs.arrive("a")
    late = runs.arrive("b", within=0.05)
    with pytest.raises(OrgError) as raised:
        late.result(SOON)
    assert raised.value.code is ErrorCode.LEASE_BUSY
    runs.end("a")
    wait_until(lambda: runs.admission.running == 0)
    runs.arrive("c")
    assert runs.begun[-1] == "c"
    runs.end("c")
    assert MEMORY_BASE_BYTES < 64 * MB  # the smallest MEMORY_LIMIT_MB lets an empty org run
