"""Group commit per org: who leads, who waits, who shares a run, and what a full or stopping mailbox answers."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest

from core.runs.batch import Batch, BatchLimits
from core.runs.errors import ErrorCode, OrgError
from core.runs.mailbox import Mailbox, MailboxLimits
from core.runs.pace import Pace
from events.types import Event, EventKey, OrgId
from infra.clock import SystemClock
from tests.clocks import FixedClock
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
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

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


def mailbox_of(gate: Gate, waiters_max: int = 300, pace: Pace | None = None, **limits: Any) -> Mailbox[str]:
    return Mailbox(
        lambda _org_id: gate, SystemClock(), limits=MailboxLimits(waiters_max=waiters_max, **limits), pace=pace
    )


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


# ------------------------------------------------------------------------------------------------ several at once


def outcome_codes(outcomes: "Sequence[str | OrgError]") -> list[str]:
    return [o.code.value if isinstance(o, OrgError) else o for o in outcomes]


def test_events_that_come_together_share_a_run(gate: Gate) -> None:
    gate.open.set()
    mailbox = mailbox_of(gate)
    events = [requested(i) for i in range(5)]
    assert mailbox.submit_all(events, until=SystemClock().monotonic() + SOON) == [
        f"ran event-{i} of acme" for i in range(5)
    ]
    assert gate.batches == [[f"event-{i}" for i in range(5)]]


def test_events_that_come_together_and_differ_in_date_take_a_run_per_date(gate: Gate) -> None:
    gate.open.set()
    mailbox = mailbox_of(gate)
    days = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 1), None]
    events = [requested(i, as_of=day) for i, day in enumerate(days)]
    assert mailbox.submit_all(events, until=SystemClock().monotonic() + SOON) == [
        f"ran event-{i} of acme" for i in range(4)
    ]
    assert gate.batches == [["event-0", "event-2"], ["event-1"], ["event-3"]]


def test_twins_that_come_together_are_one_event(gate: Gate) -> None:
    gate.open.set()
    outcomes = mailbox_of(gate).submit_all((requested(1), requested(1)), until=SystemClock().monotonic() + SOON)
    assert outcomes == ["ran event-1 of acme"] * 2
    assert gate.batches == [["event-1"]]


def test_a_batch_has_a_bound(gate: Gate) -> None:
    gate.open.set()
    mailbox = mailbox_of(gate, batch=BatchLimits(events_max=2, items_max=100))
    mailbox.submit_all([requested(i) for i in range(5)], until=SystemClock().monotonic() + SOON)
    assert [len(batch) for batch in gate.batches] == [2, 2, 1]


def test_a_batch_is_bounded_by_its_items_and_an_event_is_never_too_large_for_one(gate: Gate) -> None:
    gate.open.set()
    mailbox = mailbox_of(gate, batch=BatchLimits(events_max=100, items_max=4))
    mailbox.submit_all(
        [data_event(n, items) for n, items in enumerate((3, 1, 2, 9, 1))], until=SystemClock().monotonic() + SOON
    )
    assert gate.batches == [["data-0", "data-1"], ["data-2"], ["data-3"], ["data-4"]]


def test_items_that_wait_have_a_bound(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate, items_max=10)
    first = submit(mailbox, pool, data_event(1, 12))  # an idle service takes one of any size
    assert gate.entered.acquire(timeout=SOON)
    refused = mailbox.submit_all((data_event(2, 1),), until=SystemClock().monotonic() + SOON)
    assert outcome_codes(refused) == ["waiters_full"]
    gate.open.set()
    first.result(SOON)
    assert mailbox.submit(data_event(2, 1), until=SystemClock().monotonic() + SOON)


def test_a_noisy_org_leaves_room_for_others(gate: Gate, pool: ThreadPoolExecutor) -> None:
    mailbox = mailbox_of(gate, waiters_max=8, org_share=0.5)
    futures = [submit(mailbox, pool, requested(i, OrgId("noisy"))) for i in range(4)]
    wait_until(lambda: mailbox.waiters == 4)
    with pytest.raises(OrgError) as raised:
        submit(mailbox, pool, requested(9, OrgId("noisy"))).result(SOON)
    assert raised.value.code is ErrorCode.WAITERS_FULL
    futures += [submit(mailbox, pool, requested(1, OrgId(f"quiet-{i}"))) for i in range(4)]
    wait_until(lambda: mailbox.waiters == 8)
    gate.open.set()
    assert all(future.result(SOON) for future in futures)


# ------------------------------------------------------------------------------------------------ the session


def test_what_serves_an_org_is_kept_while_more_wait_and_closed_before_the_last_answer(
    gate: Gate, pool: ThreadPoolExecutor
) -> None:
    opened: list[OrgId] = []

    def open_session(org_id: OrgId) -> Gate:
        opened.append(org_id)
        return gate

    mailbox: Mailbox[str] = Mailbox(open_session, SystemClock(), limits=MailboxLimits(waiters_max=300))
    first = submit(mailbox, pool, requested(0))
    assert gate.entered.acquire(timeout=SOON)
    second = submit(mailbox, pool, requested(1))
    wait_until(lambda: mailbox.waiters == 2)
    gate.open.set()
    first.result(SOON)
    second.result(SOON)
    assert (len(gate.batches), len(opened), gate.closed) == (2, 1, 1)
    mailbox.submit(requested(2), until=SystemClock().monotonic() + SOON)
    assert (len(opened), gate.closed) == (2, 2)


def test_what_serves_an_org_is_closed_when_those_who_waited_gave_up(gate: Gate, pool: ThreadPoolExecutor) -> None:
    pace = Pace(SystemClock(), upload_gap_seconds=60)
    mailbox = mailbox_of(gate, pace=pace)
    first = submit(mailbox, pool, data_event(0, 1))
    assert gate.entered.acquire(timeout=SOON)
    late = submit(mailbox, pool, data_event(1, 1), within=0.5)
    wait_until(lambda: mailbox.waiters == 2)
    pace.before_upload(OrgId("acme"))
    gate.open.set()
    first.result(SOON)
    late.result(SOON)  # it did not wait for the gap: it would have been late
    assert (len(gate.batches), gate.closed) == (2, 1)


def test_a_drain_closes_what_was_kept_for_those_it_sends_away(gate: Gate, pool: ThreadPoolExecutor) -> None:
    pace = Pace(SystemClock(), upload_gap_seconds=60)
    mailbox = mailbox_of(gate, pace=pace)
    first = submit(mailbox, pool, data_event(0, 1))
    assert gate.entered.acquire(timeout=SOON)
    waiting = submit(mailbox, pool, data_event(1, 1))
    wait_until(lambda: mailbox.waiters == 2)
    pace.before_upload(OrgId("acme"))
    gate.open.set()
    first.result(SOON)
    assert gate.closed == 0
    assert mailbox.drain(until=SystemClock().monotonic() + SOON)
    with pytest.raises(OrgError) as raised:
        waiting.result(SOON)
    assert raised.value.code is ErrorCode.DRAINING
    assert (len(gate.batches), gate.closed) == (1, 1)


# ------------------------------------------------------------------------------------------------ the pace


def data_event(number: int, items: int) -> Event:
    """An event that carries data of so many contacts."""
    return mail_reported(f"data-{number}", *(report(contact, "sent", "2026-04-02") for contact in range(1, items + 1)))


def test_data_waits_for_the_orgs_next_upload_and_a_run_request_for_nobody(gate: Gate, pool: ThreadPoolExecutor) -> None:
    gate.open.set()
    pace = Pace(SystemClock(), upload_gap_seconds=30)
    pace.before_upload(OrgId("acme"))
    mailbox = mailbox_of(gate, pace=pace)
    waiting = [submit(mailbox, pool, data_event(n, 1)) for n in range(3)]
    wait_until(lambda: mailbox.waiters == 3)
    assert not gate.batches
    assert mailbox.submit(requested(9), until=SystemClock().monotonic() + SOON)
    assert [future.result(SOON) for future in waiting]
    assert [sorted(batch) for batch in gate.batches] == [["data-0", "data-1", "data-2", "event-9"]]


def test_a_full_batch_lingers_for_nobody(gate: Gate, pool: ThreadPoolExecutor) -> None:
    gate.open.set()
    pace = Pace(SystemClock(), linger_seconds_max=30, size_of=lambda _org: 10**10)
    mailbox = mailbox_of(gate, pace=pace, batch=BatchLimits(events_max=2, items_max=100))
    first = submit(mailbox, pool, data_event(1, 1))
    wait_until(lambda: mailbox.waiters == 1)
    assert not gate.batches
    mailbox.submit(data_event(2, 1), until=SystemClock().monotonic() + SOON)
    first.result(SOON)
    assert gate.batches == [["data-1", "data-2"]]


@pytest.mark.parametrize(
    ("size_bytes", "seconds"), [(0, 0.0), (49_999_999, 0.0), (50_000_000, 5.0), (600_000_000, 60.0), (10**12, 120.0)]
)
def test_large_objects_are_worth_waiting_for(size_bytes: int, seconds: float) -> None:
    pace = Pace(SystemClock(), linger_from_bytes=50_000_000, linger_seconds_max=120.0, size_of=lambda _org: size_bytes)
    assert pace.linger_seconds(OrgId("acme")) == seconds


def test_uploads_of_one_org_keep_their_distance_and_those_of_two_do_not() -> None:
    clock = FixedClock()
    pace = Pace(clock, upload_gap_seconds=1.0)
    pace.before_upload(OrgId("acme"))
    pace.before_upload(OrgId("beta"))
    assert clock.slept == []
    clock.advance(0.25)
    pace.before_upload(OrgId("acme"))
    assert clock.slept == [0.75]
    clock.advance(5)
    pace.before_upload(OrgId("acme"))
    assert clock.slept == [0.75]
