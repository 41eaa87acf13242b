"""Holds: what is kept of an org on hold, what is not done for it, and how it goes on."""

from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.holds import HELD_ORGS_MAX, Hold, HoldList
from core.runs.ports import Bucket, Transfer
from events.payloads import RunCompleted
from events.types import CAMPAIGN_CHANGED, CampaignChanged, CampaignInstanceChange, CampaignTypeChange, Event, OrgId
from handlers.cli_hold_output import HoldOutput
from handlers.cli_recovery_output import StatusOutput
from infra.holds import CHANGE_ATTEMPTS, OBJECT_NAME, BucketHolds
from infra.local_bucket import LocalBucket
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from infra.settings import SETTINGS
from tests.command_line import run
from tests.machines import ACME, OBJECT, Machine, put_org, requested, rows_in

WHY = Hold(since=datetime(2026, 3, 2, tzinfo=UTC), by="ann", reason="wrong ZIP codes")
BETA = OrgId("beta")


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def machine(tmp_path: Path, bucket: MemoryBucket) -> Machine:
    put_org(bucket, tmp_path)
    return Machine(tmp_path, bucket)


def campaign(number: int) -> Event:
    change = CampaignChanged(
        changed_by="ann",
        types=(CampaignTypeChange(name="newsletter", target_all_contacts=True),),
        instances=(
            CampaignInstanceChange(
                campaign_type="newsletter", instance_name="spring", email_template="e", active_start_date="2026-03-01"
            ),
        ),
    )
    return Event(id=f"campaign-{number}", source="//test", type=CAMPAIGN_CHANGED, org_id=ACME, data=change)


def done(machine: Machine, event: Event) -> RunCompleted:
    handled = machine.handle(event)
    assert handled.outcome == "done", handled
    assert handled.completed is not None
    return handled.completed


# ------------------------------------------------------------------------------------------------ the list


@pytest.fixture(params=["memory", "directory"])
def any_bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    return MemoryBucket() if request.param == "memory" else LocalBucket(str(tmp_path / "bucket"))


def test_an_org_is_held_by_itself_or_with_all_others(any_bucket: Bucket) -> None:
    holds = BucketHolds(any_bucket)

    def held() -> tuple[bool, bool]:
        return holds.is_held(ACME, Transfer()), holds.is_held(BETA, Transfer())

    assert held() == (False, False)
    assert holds.hold(ACME, WHY) == (HoldList(orgs={"acme": WHY}), True)
    assert held() == (True, False)
    assert holds.hold(ACME, Hold(since=WHY.since, by="bob", reason=None)) == (HoldList(orgs={"acme": WHY}), False)
    assert holds.hold(None, WHY)[1]
    assert held() == (True, True)
    assert holds.release(ACME) == (HoldList(all_orgs=WHY), True)
    assert held() == (True, True)
    assert holds.release(BETA)[1] is False
    assert holds.release(None) == (HoldList(), True)
    assert held() == (False, False)
    assert any_bucket.stat(OBJECT_NAME) is None


def test_asking_costs_one_request_where_nothing_is_held(bucket: MemoryBucket) -> None:
    asked = Transfer()
    assert not BucketHolds(bucket).is_held(ACME, asked)
    assert (asked.requests_class_a, asked.requests_class_b) == (0, 1)


class OtherOperator(NoFaults):
    """Somebody who holds another org just before each write."""

    def __init__(self, bucket: MemoryBucket, times: int) -> None:
        self._bucket, self._times = bucket, times

    def before(self, request: Request) -> None:
        if request.name == OBJECT_NAME and request.kind == "write" and self._times:
            self._times -= 1
            self._bucket.faults = NoFaults()
            BucketHolds(self._bucket).hold(OrgId(f"other-{self._times}"), WHY)
            self._bucket.faults = self


def test_two_operators_at_once_lose_neither_hold(bucket: MemoryBucket) -> None:
    bucket.faults = OtherOperator(bucket, times=2)
    holds, _ = BucketHolds(bucket).hold(ACME, WHY)
    bucket.faults = NoFaults()
    assert sorted(holds.orgs) == ["acme", "other-0", "other-1"]
    BucketHolds(bucket).release(OrgId("other-0"))
    BucketHolds(bucket).release(OrgId("other-1"))
    bucket.faults = OtherOperator(bucket, times=CHANGE_ATTEMPTS)
    with pytest.raises(OrgError) as raised:
        BucketHolds(bucket).hold(BETA, WHY)
    assert raised.value.code is ErrorCode.FENCE_LOST


def test_the_list_has_a_bound(bucket: MemoryBucket) -> None:
    full = HoldList(orgs={f"org-{n}": WHY for n in range(HELD_ORGS_MAX)})
    bucket.write(OBJECT_NAME, msgspec.json.encode(full), if_generation_match=0, metadata={})
    with pytest.raises(OrgError) as raised:
        BucketHolds(bucket).hold(ACME, WHY)
    assert raised.value.code is ErrorCode.TOO_MANY_HOLDS


# ------------------------------------------------------------------------------------------------ runs


def test_data_is_recorded_and_nothing_is_planned(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    BucketHolds(bucket).hold(ACME, WHY)
    completed = done(machine, campaign(1))
    assert (completed.changed, completed.warnings) == (True, ("on_hold",))
    assert completed.counts.contacts == 0
    assert rows_in(bucket, tmp_path, "SELECT instance_name FROM campaign_instances") == [("spring",)]
    assert rows_in(bucket, tmp_path, "SELECT count(*) FROM email_schedules") == [(0,)]
    assert rows_in(bucket, tmp_path, "SELECT event_id, run_id FROM scheduler_processed_events") == [
        ("campaign-1", completed.run_id)
    ]
    again = done(machine, campaign(1))
    assert (again.run_id, again.replayed) == (completed.run_id, True)


def test_a_run_request_is_done_without_a_plan_and_without_an_upload(machine: Machine, bucket: MemoryBucket) -> None:
    done(machine, requested(1))
    live = bucket.stat(OBJECT)
    machine.clock.advance(24 * 3600)
    BucketHolds(bucket).hold(None, WHY)
    completed = done(machine, requested(2))
    assert (completed.changed, completed.warnings) == (False, ("on_hold",))
    assert bucket.stat(OBJECT) == live
    assert machine.completed()[-1][1].warnings == ("on_hold",)


def test_an_unacceptable_as_of_is_refused_on_hold_too(machine: Machine, bucket: MemoryBucket) -> None:
    BucketHolds(bucket).hold(ACME, WHY)
    handled = machine.run(1, as_of=date(2020, 1, 1))
    assert handled.outcome == "rejected"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.AS_OF_REFUSED
    assert machine.run(2, as_of=date(2020, 1, 1), force=True).outcome == "done"


def test_after_the_release_the_next_message_plans_what_was_recorded(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    done(machine, requested(1))
    BucketHolds(bucket).hold(ACME, WHY)
    recorded = done(machine, campaign(1))
    BucketHolds(bucket).release(ACME)
    planned = done(machine, requested(2))
    assert planned.scheduled_by_type["campaign_newsletter"] == 3
    assert planned.warnings == ()  # nobody edited the schedule meanwhile
    assert rows_in(bucket, tmp_path, "SELECT DISTINCT processed_run_id FROM campaign_change_log") == [(planned.run_id,)]
    assert recorded.run_id != planned.run_id


def test_other_orgs_go_on(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    put_org(bucket, tmp_path, name="org-data/beta.db")
    BucketHolds(bucket).hold(ACME, WHY)
    assert done(machine, requested(1, BETA)).counts.rows_inserted == 9


def test_a_list_that_cannot_be_read_holds_everybody(machine: Machine, bucket: MemoryBucket) -> None:
    info = bucket.write(OBJECT_NAME, b'{"orgs": 5}', if_generation_match=0, metadata={})
    live = bucket.stat(OBJECT)
    handled = machine.run(1)
    assert handled.outcome == "retry"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.HOLDS_UNREADABLE
    assert bucket.stat(OBJECT) == live
    bucket.delete(OBJECT_NAME, if_generation_match=info.generation)
    assert machine.run(1).outcome == "done"


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def output_of(*args: str) -> HoldOutput:
    ran = run(*args, "--json")
    assert ran.code == 0, ran.err
    return msgspec.json.decode(ran.out, type=HoldOutput)


def test_an_operator_holds_an_org_sees_it_and_releases_it(shell: Path) -> None:
    assert run("run", "acme", "--create").code == 0
    held = output_of("hold", "acme", "--reason", "wrong ZIP codes", "--by", "ann")
    assert (held.org_id, held.changed, held.on_hold, held.has_database) == ("acme", True, True, True)
    assert (held.holds.orgs["acme"].by, held.holds.orgs["acme"].reason) == ("ann", "wrong ZIP codes")
    assert output_of("hold", "acme").changed is False
    status = msgspec.json.decode(run("status", "--json").out, type=StatusOutput)
    assert status.orgs[0].hold == held.holds.orgs["acme"]
    assert "on hold now" in run("status", "acme").out
    assert run("run", "acme", "--json").json["completed"]["warnings"] == ["on_hold"]
    released = output_of("release", "acme")
    assert (released.changed, released.on_hold, released.holds) == (True, False, HoldList())
    assert output_of("release", "acme").changed is False
    assert run("run", "acme", "--json").json["completed"]["warnings"] == []


def test_releasing_all_leaves_those_that_are_held_by_themselves(shell: Path) -> None:
    assert output_of("hold", "ghost").has_database is False
    everybody = output_of("hold", "--all")
    assert (everybody.org_id, everybody.on_hold, everybody.has_database) == (None, True, None)
    assert everybody.holds.all_orgs is not None
    released = output_of("release", "--all")
    assert (released.changed, released.on_hold, list(released.holds.orgs)) == (True, True, ["ghost"])
    shown = run("release", "ghost").out
    assert shown.splitlines() == ["ghost: not on hold", "note: there is no database of ghost"]


@pytest.mark.parametrize("args", [(), ("acme", "--all"), ("a/b",), ("acme", "--reason", "x" * 201)])
def test_an_unclear_hold_is_wrong_usage(shell: Path, args: tuple[str, ...]) -> None:
    assert run("hold", *args).code == 2


def test_the_default_org_is_not_held_by_accident(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORG_ID", "acme")
    assert run("hold").code == 2
    assert run("release").code == 2
