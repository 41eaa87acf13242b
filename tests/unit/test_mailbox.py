"""Group commit per org: who leads, who waits, who shares a run, and what a full or stopping mailbox answers."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.mailbox import Mailbox
from core.runs.org_run import Batch
from events.types import Event, EventKey, OrgId
from infra.clock import SystemClock
from tests.data_events import mail_reported, report
from tests.machines import requested

SOON = 20.0


class Gate:
    """A runner of batches that a test opens and closes; remembers each batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.failure: Exception | None = None

    def run(self, batch: Batch, until: float) -> Mapping[EventKey, str]:
        self.batches.append([e.id for e in batch.events])
        self.entered.release()
        assert self.open.wait(SOON)
        if self.failure is not None:
            raise self.failure
        return {e.key: f"ran {e.id} of {batch.org_id}" for e in batch.events}


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(32)


def mailbox_of(gate: Gate, waiters_max: int = 300) -> Mailbox[str]:
    return Mailbox(gate.run, SystemClock(), waiters_max=waiters_max)


def submit(mailbox: Mailbox[str], pool: ThreadPoolExecutor, event: Event, within: float = SOON) -> Future[str]:
    return pool.submit(mailbox.submit, event, until=SystemClock().monotonic() + within)


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not happen")


def test_events_that_arrive_during_a_run_share_the_next_one(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate)
    first = submit(mailbox, pool, requested(0))
    assert gate.entered.acquire(timeout=SOON)
    rest = [submit(mailbox, pool, requested(i)) for i in range(1, 20)]
    wait_until(lambda: mailbox.waiters == 20)
    gate.open.set()
    assert first.result(SOON) == "ran event-0 of acme"
    assert sorted(f.result(SOON) for f in rest) == sorted(f"ran event-{i} of acme" for i in range(1, 20))
    assert [len(b) for b in gate.batches] == [1, 19]
    assert mailbox.waiters == 0


def test_events_with_more_items_than_a_run_may_have_share_several(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate)
    first = submit(mailbox, pool, requested(0))
    assert gate.entered.acquire(timeout=SOON)
    reports = [report(contact, "sent", "2026-04-02") for contact in range(1, 5_001)]
    events = [mail_reported(f"full-{i}", *reports) for i in range(9)]
    rest = [submit(mailbox, pool, event) for event in events]
    wait_until(lambda: mailbox.waiters == 10)
    gate.open.set()
    first.result(SOON)
    for future in rest:
        future.result(SOON)
    assert [len(batch) for batch in gate.batches] == [1, 4, 4, 1]  # 20 000 items at most


def test_events_with_different_dates_never_share_a_run(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate)
    futures = [submit(mailbox, pool, requested(0))]
    assert gate.entered.acquire(timeout=SOON)
    days = [date(2026, 1, 1 + i % 2) for i in range(6)]
    futures += [submit(mailbox, pool, requested(i + 1, as_of=day)) for i, day in enumerate(days)]
    wait_until(lambda: mailbox.waiters == 7)
    gate.open.set()
    for future in futures:
        future.result(SOON)
    assert sorted(len(b) for b in gate.batches) == [1, 3, 3]


def test_a_twin_of_an_event_in_flight_joins_it(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate)
    one = submit(mailbox, pool, requested(1))
    assert gate.entered.acquire(timeout=SOON)
    twin = submit(mailbox, pool, requested(1))
    wait_until(lambda: mailbox.waiters == 2)
    gate.open.set()
    assert one.result(SOON) == twin.result(SOON)
    assert gate.batches == [["event-1"]]


def test_orgs_do_not_wait_for_each_other(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate)
    futures = [submit(mailbox, pool, requested(1, OrgId(f"org-{i}"))) for i in range(4)]
    for _ in futures:
        assert gate.entered.acquire(timeout=SOON)
    gate.open.set()
    assert {f.result(SOON) for f in futures} == {f"ran event-1 of org-{i}" for i in range(4)}


def test_an_error_reaches_every_event_of_the_batch_and_the_next_batch_runs(
    gate: Gate, pool: ThreadPoolExecutor
) -> None:
    mailbox = mailbox_of(gate)
    gate.failure = OrgError(ErrorCode.FENCE_LOST, "acme")
    futures = [submit(mailbox, pool, requested(0))]
    assert gate.entered.acquire(timeout=SOON)
    futures += [submit(mailbox, pool, requested(i)) for i in (1, 2)]
    wait_until(lambda: mailbox.waiters == 3)
    gate.open.set()
    for future in futures:
        with pytest.raises(OrgError) as raised:
            future.result(SOON)
        assert raised.value.code is ErrorCode.FENCE_LOST
    gate.failure = None
    assert submit(mailbox, pool, requested(3)).result(SOON) == "ran event-3 of acme"


def test_a_leader_that_dies_of_a_bug_leaves_nobody_waiting(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate)
    gate.failure = ZeroDivisionError("bug")
    leader = submit(mailbox, pool, requested(0))
    assert gate.entered.acquire(timeout=SOON)
    twin = submit(mailbox, pool, requested(0))
    follower = submit(mailbox, pool, requested(1))
    wait_until(lambda: mailbox.waiters == 3)
    gate.open.set()
    with pytest.raises(ZeroDivisionError):
        leader.result(SOON)
    with pytest.raises(OrgError) as raised:
        twin.result(SOON)
    assert raised.value.code is ErrorCode.SCHEDULER_FAILED
    with pytest.raises(ZeroDivisionError):
        follower.result(SOON)
    assert mailbox.waiters == 0


def test_who_waits_too_long_is_told_to_come_again(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate)
    first = submit(mailbox, pool, requested(0))
    assert gate.entered.acquire(timeout=SOON)
    late = submit(mailbox, pool, requested(1), within=0.05)
    with pytest.raises(OrgError) as raised:
        late.result(SOON)
    assert raised.value.code is ErrorCode.LEASE_BUSY
    gate.open.set()
    first.result(SOON)
    assert gate.batches == [["event-0"]]


def test_a_full_mailbox_refuses_at_once(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate, waiters_max=1)
    first = submit(mailbox, pool, requested(0))
    assert gate.entered.acquire(timeout=SOON)
    with pytest.raises(OrgError) as raised:
        submit(mailbox, pool, requested(1)).result(SOON)
    assert raised.value.code is ErrorCode.WAITERS_FULL
    gate.open.set()
    first.result(SOON)


def test_a_draining_mailbox_finishes_its_run_and_sends_everybody_else_away(
    gate: Gate, pool: ThreadPoolExecutor
) -> None:
    mailbox = mailbox_of(gate)
    first = submit(mailbox, pool, requested(0))
    assert gate.entered.acquire(timeout=SOON)
    waiting = submit(mailbox, pool, requested(2))
    wait_until(lambda: mailbox.waiters == 2)
    drained = pool.submit(mailbox.drain, until=SystemClock().monotonic() + SOON)
    wait_until(lambda: mailbox.is_draining)
    with pytest.raises(OrgError) as raised:
        submit(mailbox, pool, requested(1)).result(SOON)
    assert raised.value.code is ErrorCode.DRAINING
    with pytest.raises(OrgError) as abandoned:
        waiting.result(SOON)
    assert abandoned.value.code is ErrorCode.DRAINING
    gate.open.set()
    assert first.result(SOON)
    assert drained.result(SOON) is True


def test_two_hundred_events_within_a_run_take_few_runs(gate: Gate) -> None:
    mailbox = mailbox_of(gate)
    with ThreadPoolExecutor(200) as many:
        futures = [submit(mailbox, many, requested(i)) for i in range(200)]
        wait_until(lambda: mailbox.waiters == 200)
        gate.open.set()
        assert len({f.result(SOON) for f in futures}) == 200
    assert len(gate.batches) <= 5
