"""The lease keeps machines apart, ends by the server's time, and never fails a run."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import PreconditionFailedError, Transfer
from events.types import parse_org_id
from infra.clock import SystemClock
from infra.lease import BucketLease, LeaseTimes
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from tests.journals import ListJournal
from tests.unit.sync_fakes import VirtualClock, tokens

ACME = parse_org_id("acme")
NAME = "org-lease/acme"


class World:
    """One bucket whose clock is off by years from that of the machines, which share a virtual one."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.bucket = MemoryBucket(now=lambda: datetime(1999, 1, 1, tzinfo=UTC) + timedelta(seconds=self.clock.seconds))
        self.journal = ListJournal()
        self.never_closed = ExitStack()

    def machine(self, name: str) -> BucketLease:
        return BucketLease(self.bucket, self.clock, self.journal, new_token=tokens(name), renews=False)


@pytest.fixture
def world() -> World:
    return World()


def die_holding(world: World) -> None:
    """Take the lease and never come back: what a killed machine does."""
    world.never_closed.enter_context(world.machine("dead").hold(ACME, until=0, transfer=Transfer()))


def test_a_free_lease_takes_two_requests(world: World) -> None:
    transfer = Transfer()
    with world.machine("a").hold(ACME, until=0, transfer=transfer):
        assert world.bucket.stat(NAME) is not None
    assert world.bucket.stat(NAME) is None
    assert (transfer.requests_class_a, transfer.requests_class_b, transfer.requests_free) == (1, 0, 1)


def test_the_lease_is_given_back_after_a_failure(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.machine("a").hold(ACME, until=0, transfer=Transfer()):
        raise ZeroDivisionError
    assert world.bucket.stat(NAME) is None


def test_who_does_not_get_it_waits_until_the_given_moment(world: World) -> None:
    with world.machine("a").hold(ACME, until=0, transfer=Transfer()):
        with pytest.raises(OrgError) as busy, world.machine("b").hold(ACME, until=7.5, transfer=Transfer()):
            pytest.fail("two machines have the lease")
        assert busy.value.code is ErrorCode.LEASE_BUSY
        assert world.clock.seconds == 7.5


def test_it_is_had_as_soon_as_it_is_given_back(world: World) -> None:
    holder = world.machine("a").hold(ACME, until=0, transfer=Transfer())
    holder.__enter__()

    class GiveBackAfterThreeLooks(NoFaults):
        looks = 0

        def before(self, request: Request) -> None:
            self.looks += request.kind == "stat"
            if self.looks == 3:
                self.looks = 99
                holder.__exit__(None, None, None)

    world.bucket.faults = GiveBackAfterThreeLooks()
    with world.machine("b").hold(ACME, until=60, transfer=Transfer()):
        assert 1 < world.clock.seconds < 4


def test_a_dead_holder_is_overtaken_when_the_servers_time_is_up(world: World) -> None:
    die_holding(world)
    with world.machine("b").hold(ACME, until=500, transfer=Transfer()):
        assert 60 <= world.clock.seconds <= 61.1
    assert "lease_taken_over" in world.journal.events()


def test_a_lease_that_ended_long_ago_is_overtaken_at_once(world: World) -> None:
    die_holding(world)
    world.clock.seconds = 3600
    with world.machine("b").hold(ACME, until=3600, transfer=Transfer()):
        assert world.clock.seconds == 3600


def test_of_two_that_overtake_one_wins(world: World) -> None:
    die_holding(world)
    world.clock.seconds = 100

    class AnotherIsFaster(NoFaults):
        done = False

        def before(self, request: Request) -> None:
            if request == ("write", NAME) and world.bucket.requests["write"] == 4 and not self.done:
                self.done = True
                live = world.bucket._live[NAME].info
                world.bucket.write(NAME, b"", if_generation_match=live.generation, metadata={"lease-holder": "c"})

    world.bucket.faults = AnotherIsFaster()
    with pytest.raises(OrgError) as busy, world.machine("b").hold(ACME, until=110, transfer=Transfer()):
        pytest.fail("two machines have the lease")
    assert busy.value.code is ErrorCode.LEASE_BUSY


@pytest.mark.parametrize("error", [PreconditionFailedError, lambda: OrgError(ErrorCode.BUCKET_UNREACHABLE)])
def test_a_lost_answer_to_the_creation_is_recognised(world: World, error: Callable[[], Exception]) -> None:
    class LoseTheFirst(NoFaults):
        done = False

        def after(self, request: Request) -> None:
            if request.kind == "write" and not self.done:
                self.done = True
                raise error()

    world.bucket.faults = LoseTheFirst()
    with world.machine("a").hold(ACME, until=0, transfer=Transfer()):
        assert world.clock.seconds == 0
    assert world.bucket.stat(NAME) is None


def test_a_bucket_fault_at_the_start_is_the_runs_fault(world: World) -> None:
    class Down(NoFaults):
        def before(self, request: Request) -> None:
            raise OrgError(ErrorCode.BUCKET_UNREACHABLE)

    world.bucket.faults = Down()
    with pytest.raises(OrgError) as failed, world.machine("a").hold(ACME, until=0, transfer=Transfer()):
        pytest.fail("no lease was had")
    assert failed.value.code is ErrorCode.BUCKET_UNREACHABLE


def test_only_its_own_generation_is_deleted(world: World) -> None:
    with world.machine("a").hold(ACME, until=0, transfer=Transfer()):
        theirs = world.bucket.write(NAME, b"", if_generation_match=None, metadata={"lease-holder": "b"})
    assert world.bucket.stat(NAME) == theirs
    assert "lease_was_lost" in world.journal.events()


def test_a_failure_to_give_it_back_is_logged(world: World) -> None:
    class NoDelete(NoFaults):
        def before(self, request: Request) -> None:
            if request.kind == "delete":
                raise OrgError(ErrorCode.BUCKET_UNREACHABLE)

    world.bucket.faults = NoDelete()
    with world.machine("a").hold(ACME, until=0, transfer=Transfer()):
        pass
    assert "lease_not_given_back" in world.journal.events()


@pytest.mark.parametrize("seconds", ["", "-5", "1e9", "99999999", "\u0665"])
def test_nonsense_in_the_metadata_is_our_own_duration(world: World, seconds: str) -> None:
    world.bucket.write(NAME, b"", if_generation_match=0, metadata={"lease-holder": "x", "lease-seconds": seconds})
    with world.machine("b").hold(ACME, until=500, transfer=Transfer()):
        assert 60 <= world.clock.seconds <= 61.1


# -------------------------------------------------------------------------------------------- renewal: a real thread


def real_lease(bucket: MemoryBucket, journal: ListJournal, **times: float) -> BucketLease:
    return BucketLease(
        bucket,
        SystemClock(),
        journal,
        new_token=tokens(),
        times=LeaseTimes(renew_every_seconds=0.02, **times),  # type: ignore[arg-type]
    )


def is_renewing() -> bool:
    return any(thread.name == "lease-acme" for thread in threading.enumerate())


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_it_is_renewed_while_the_block_runs_and_deleted_after_it() -> None:
    bucket, journal, transfer = MemoryBucket(), ListJournal(), Transfer()
    with real_lease(bucket, journal).hold(ACME, until=time.monotonic(), transfer=transfer):
        wait_for(lambda: bucket.requests["write"] >= 4)
    assert bucket.stat(NAME) is None
    assert not is_renewing()
    assert transfer.requests_class_a == bucket.requests["write"]
    assert journal.events() == []


def test_a_renewal_that_fails_is_logged_and_tried_again() -> None:
    class FailTwice(NoFaults):
        failures = 0

        def before(self, request: Request) -> None:
            if request.kind == "write" and bucket.requests["write"] in {2, 3}:
                raise OrgError(ErrorCode.BUCKET_UNREACHABLE)

    bucket, journal = MemoryBucket(faults=FailTwice()), ListJournal()
    with real_lease(bucket, journal).hold(ACME, until=time.monotonic(), transfer=Transfer()):
        wait_for(lambda: bucket.requests["write"] >= 5)
    assert journal.events() == ["lease_renewal_failed"] * 2
    assert bucket.stat(NAME) is None


def test_a_renewal_whose_answer_was_lost_is_found() -> None:
    class Lose(NoFaults):
        def after(self, request: Request) -> None:
            if request.kind == "write" and bucket.requests["write"] == 2:
                raise PreconditionFailedError

    bucket, journal = MemoryBucket(faults=Lose()), ListJournal()
    with real_lease(bucket, journal).hold(ACME, until=time.monotonic(), transfer=Transfer()):
        wait_for(lambda: bucket.requests["write"] >= 4)
    assert journal.events() == []
    assert bucket.stat(NAME) is None


def test_a_lost_lease_is_logged_and_the_block_goes_on() -> None:
    bucket, journal = MemoryBucket(), ListJournal()
    with real_lease(bucket, journal).hold(ACME, until=time.monotonic(), transfer=Transfer()):
        bucket.write(NAME, b"", if_generation_match=None, metadata={"lease-holder": "another"})
        wait_for(lambda: "lease_lost" in journal.events())
    assert journal.events() == ["lease_lost", "lease_was_lost"]


def test_a_renewal_that_hangs_does_not_hold_the_run_up() -> None:
    release = threading.Event()

    class Stall(NoFaults):
        def before(self, request: Request) -> None:
            if request.kind == "write" and bucket.requests["write"] == 2:
                release.wait(10)

    bucket, journal = MemoryBucket(faults=Stall()), ListJournal()
    started = time.monotonic()
    with real_lease(bucket, journal, join_seconds=0.1).hold(ACME, until=started, transfer=Transfer()):
        wait_for(lambda: bucket.requests["write"] == 2)
    assert time.monotonic() - started < 2
    assert journal.events() == ["lease_renewal_hangs"]
    release.set()
    wait_for(lambda: not is_renewing())
    assert bucket.stat(NAME) is None
