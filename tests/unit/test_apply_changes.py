"""Room 6 on a whole machine: changes of campaigns and configuration happen once, and are planned in the same run."""

import json
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from core.runs.batch import Batch
from core.runs.errors import ErrorCode
from core.runs.org_run import run_org
from core.runs.ports import Admit
from core.runs.service import Handled
from events.change_payloads import CampaignChanged, CampaignInstanceChange, CampaignTypeChange, ConfigChanged
from events.payloads import RunCompleted
from events.types import CAMPAIGN_CHANGED, CONFIG_CHANGED, Event, OrgId
from infra.memory_bucket import MemoryBucket
from tests.machines import ACME, OBJECT, Machine, put_org, requested, rows_in
from tests.unit.test_org_run import Intruder

MAILS = """SELECT contact_id, event_date, scheduled_send_date, email_template, priority, scheduler_run_id
           FROM email_schedules WHERE email_type = 'campaign_newsletter' ORDER BY contact_id"""
LOG = """SELECT campaign_instance_id, field_changed, old_value, new_value, changed_by, requires_rescheduling,
         processed_run_id FROM campaign_change_log ORDER BY id"""
CONFIGS = "SELECT id, config_data, valid_from, valid_to, created_by, note FROM config_versions ORDER BY id"
NOON = "2026-03-02 12:00:00"


def free_gate(_org_id: OrgId, _until: float) -> AbstractContextManager[Admit]:
    return nullcontext(lambda _size_bytes: None)


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def machine(tmp_path: Path, bucket: MemoryBucket) -> Machine:
    put_org(bucket, tmp_path)
    return Machine(tmp_path, bucket)


def generation(bucket: MemoryBucket) -> int:
    live = bucket.stat(OBJECT)
    assert live is not None
    return live.generation


def campaign_changed(number: int, **parts: Any) -> Event:
    data = CampaignChanged(changed_by="ann", **parts)
    return Event(id=f"campaign-{number}", source="//desk", type=CAMPAIGN_CHANGED, org_id=ACME, data=data)


def config_changed(number: int = 1, **parts: Any) -> Event:
    data = ConfigChanged(author="ann", **parts)
    return Event(id=f"config-{number}", source="//cli", type=CONFIG_CHANGED, org_id=ACME, data=data)


def type_of(**fields: Any) -> tuple[CampaignTypeChange, ...]:
    return (CampaignTypeChange(name="newsletter", **fields),)


def instance_of(**fields: Any) -> tuple[CampaignInstanceChange, ...]:
    return (CampaignInstanceChange(campaign_type="newsletter", instance_name="spring", **fields),)


def started(number: int = 1) -> Event:
    """A campaign to everybody, due on 2026-03-20, 10 days before 2026-03-30."""
    return campaign_changed(
        number,
        types=type_of(target_all_contacts=True, days_before_event=10),
        instances=instance_of(email_template="plain", active_start_date="2026-03-30", active_end_date="2026-04-30"),
    )


def done(handled: Handled) -> RunCompleted:
    assert handled.outcome == "done"
    assert handled.completed is not None
    return handled.completed


@pytest.fixture
def running(machine: Machine) -> Machine:
    """A machine whose org has the campaign, opened for mail from the first of March on."""
    done(machine.handle(started()))
    opened = instance_of(active_start_date="2026-03-01", metadata={"days_before_event": -19})
    done(machine.handle(campaign_changed(2, instances=opened)))
    return machine


def test_a_new_campaign_is_planned_by_the_run_that_carries_it(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    completed = done(
        machine.handle(
            campaign_changed(
                1,
                types=type_of(target_all_contacts=True),
                instances=instance_of(email_template="plain", active_start_date="2026-03-01"),
            )
        )
    )
    assert completed.changed
    assert completed.scheduled_by_type["campaign_newsletter"] == 3
    assert [row[3] for row in rows_in(bucket, tmp_path, MAILS)] == ["plain"] * 3
    assert rows_in(bucket, tmp_path, LOG) == [(1, "created", None, "spring", "ann", 1, completed.run_id)]
    assert rows_in(bucket, tmp_path, "SELECT changed_at FROM campaign_change_log") == [(NOON,)]
    assert rows_in(bucket, tmp_path, "SELECT created_at, updated_at FROM campaign_instances") == [(NOON, NOON)]
    assert "apply" in (completed.durations_seconds or {})


def test_the_same_event_twice_happens_once(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    first = done(machine.handle(started()))
    before = generation(bucket)
    again = done(machine.handle(started()))
    assert (again.run_id, again.replayed) == (first.run_id, True)
    assert generation(bucket) == before
    assert len(rows_in(bucket, tmp_path, LOG)) == 1


def test_r93_another_event_that_says_the_same_changes_nothing(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    done(machine.handle(started(1)))
    before = generation(bucket)
    assert done(machine.handle(started(2))).changed is False
    assert generation(bucket) == before


def test_r58_a_change_of_the_type_plans_anew_and_is_logged_for_its_instances(
    running: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    before = rows_in(bucket, tmp_path, MAILS)
    completed = done(running.handle(campaign_changed(3, types=type_of(priority=3, target_all_contacts=False))))
    assert len(before) == 3
    assert rows_in(bucket, tmp_path, MAILS) == []  # nobody is enrolled
    assert completed.counts.rows_deleted == 3
    assert rows_in(bucket, tmp_path, LOG)[-2:] == [
        (1, "campaign_type.target_all_contacts", "1", "0", "ann", 1, completed.run_id),
        (1, "campaign_type.priority", "30", "3", "ann", 1, completed.run_id),
    ]


def test_r58_another_template_reaches_the_rows_through_the_difference(
    running: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    before = rows_in(bucket, tmp_path, MAILS)
    completed = done(running.handle(campaign_changed(3, instances=instance_of(email_template="fancy"))))
    assert rows_in(bucket, tmp_path, MAILS) == [(*row[:3], "fancy", row[4], completed.run_id) for row in before]
    assert (completed.counts.rows_updated, completed.counts.rows_inserted) == (3, 0)
    assert rows_in(bucket, tmp_path, LOG)[-1] == (1, "email_template", "plain", "fancy", "ann", 0, completed.run_id)


def test_r58_rows_of_others_are_stamped_too(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    import sqlite3

    done(machine.run(1))
    file = tmp_path / "edited.db"
    bucket.download(OBJECT, generation(bucket), str(file))
    with sqlite3.connect(file) as db:
        db.execute(
            "INSERT INTO campaign_change_log (campaign_instance_id, field_changed, changed_at, requires_rescheduling) "
            "VALUES (1, 'email_template', '2026-03-01 00:00:00', 0)"
        )
    db.close()
    bucket.upload(OBJECT, str(file), if_generation_match=generation(bucket), metadata={})
    completed = done(machine.run(2))
    assert completed.changed
    assert rows_in(bucket, tmp_path, "SELECT processed_run_id FROM campaign_change_log") == [(completed.run_id,)]
    assert done(machine.run(3)).changed is False


def test_r52_a_bad_date_is_stored_and_becomes_an_issue(running: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    completed = done(running.handle(campaign_changed(3, instances=instance_of(active_end_date="2026-02-30"))))
    assert rows_in(bucket, tmp_path, "SELECT active_end_date FROM campaign_instances") == [("2026-02-30",)]
    assert completed.issues_by_code == {"bad_campaign_dates": 1}
    assert rows_in(bucket, tmp_path, MAILS) == []


def test_events_of_one_batch_are_applied_in_their_order(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    events = tuple(
        campaign_changed(number, types=type_of(priority=priority), instances=instance_of(email_template=f"t{number}"))
        for number, priority in ((1, 5), (2, 6), (3, 4))
    )
    results = run_org(
        Batch.of((*events, events[0])), machine.ports, until=machine.clock.monotonic() + 60, gate=free_gate
    )
    assert len({completed.run_id for completed in results.values()}) == 1
    assert rows_in(bucket, tmp_path, "SELECT priority FROM campaign_types") == [(4,)]
    assert [row[1:4] for row in rows_in(bucket, tmp_path, LOG)] == [
        ("created", None, "spring"),
        ("campaign_type.priority", "5", "6"),
        ("email_template", "t1", "t2"),
        ("campaign_type.priority", "6", "4"),
        ("email_template", "t2", "t3"),
    ]


def test_only_fresh_events_of_a_batch_are_applied(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    first = campaign_changed(1, types=type_of(priority=5))
    second = campaign_changed(2, types=type_of(priority=6))
    done(machine.handle(first))
    done(machine.handle(second))
    run_org(Batch.of((first, requested(9))), machine.ports, until=machine.clock.monotonic() + 60, gate=free_gate)
    assert rows_in(bucket, tmp_path, "SELECT priority FROM campaign_types") == [(6,)]


def test_a_change_that_loses_the_race_is_applied_to_what_the_other_writer_left(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    bucket.faults = Intruder(bucket, tmp_path, times=1)
    completed = done(machine.handle(campaign_changed(1, types=type_of(priority=5), instances=instance_of())))
    assert completed.counts.contacts == 4
    assert len(rows_in(bucket, tmp_path, LOG)) == 1
    assert rows_in(bucket, tmp_path, "SELECT priority FROM campaign_types") == [(5,)]


def test_another_configuration_changes_the_plan(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    first = done(machine.run(1))
    changed = done(machine.handle(config_changed(set_keys={"aep_enabled": False}, note="no AEP")))
    assert "aep" in first.scheduled_by_type
    assert "aep" not in changed.scheduled_by_type
    assert changed.config_hash != first.config_hash
    assert rows_in(bucket, tmp_path, CONFIGS) == [(1, '{"aep_enabled":false}', NOON, None, "ann", "no AEP")]


def test_r13_a_rollback_is_a_new_row(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    done(machine.handle(config_changed(1, config_data={"min_daily_cap": 5})))
    machine.clock.advance(60)
    done(machine.handle(config_changed(2, set_keys={"aep_enabled": False})))
    machine.clock.advance(60)
    completed = done(machine.handle(config_changed(3, rollback_to=1, note="back")))
    assert completed.changed
    assert [row[:4] for row in rows_in(bucket, tmp_path, CONFIGS)] == [
        (1, '{"min_daily_cap":5}', NOON, "2026-03-02 12:01:00"),
        (2, '{"aep_enabled":false,"min_daily_cap":5}', "2026-03-02 12:01:00", "2026-03-02 12:02:00"),
        (3, '{"min_daily_cap":5}', "2026-03-02 12:02:00", None),
    ]


def test_two_changes_within_a_second_leave_the_later_one_in_force(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    done(machine.handle(config_changed(1, config_data={"aep_enabled": False})))
    changed = done(machine.handle(config_changed(2, config_data={"aep_enabled": True})))
    assert "aep" in changed.scheduled_by_type
    assert [row[2:4] for row in rows_in(bucket, tmp_path, CONFIGS)] == [(NOON, NOON), (NOON, None)]


def test_r93_the_configuration_in_force_set_again_changes_nothing(machine: Machine, bucket: MemoryBucket) -> None:
    done(machine.handle(config_changed(1, config_data={"min_daily_cap": 5})))
    before = generation(bucket)
    assert done(machine.handle(config_changed(2, set_keys={"min_daily_cap": 5}))).changed is False
    assert generation(bucket) == before


def test_r12_a_bad_key_fails_the_run_and_the_object_stays(machine: Machine, bucket: MemoryBucket) -> None:
    done(machine.run(1))
    before = generation(bucket)
    handled = machine.handle(config_changed(1, set_keys={"min_dayly_cap": 5}))
    assert handled.outcome == "failed"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.CONFIG_INVALID
    assert handled.error.detail == "the new configuration: min_dayly_cap: unknown key"
    assert generation(bucket) == before
    assert machine.published_types() == ["run.completed.v1", "run.failed.v1"]


def test_an_unknown_row_is_refused(machine: Machine, bucket: MemoryBucket) -> None:
    before = generation(bucket)
    handled = machine.handle(config_changed(1, rollback_to=5))
    assert (handled.outcome, generation(bucket)) == ("rejected", before)
    assert handled.error is not None
    assert handled.error.code is ErrorCode.CONFIG_MISSING


@pytest.mark.parametrize(
    "mistake", [{"set_keys": {"min_dayly_cap": 5}}, {"rollback_to": 5}], ids=["bad key", "no such row"]
)
def test_a_mistake_in_a_change_of_configuration_leaves_the_status_of_the_org(
    machine: Machine, bucket: MemoryBucket, mistake: dict[str, Any]
) -> None:
    done(machine.run(1))
    before = bucket.stat("org-status/acme.json")
    assert machine.handle(config_changed(2, **mistake)).outcome != "done"
    assert before is not None
    assert bucket.stat("org-status/acme.json") == before


def test_a_bad_configuration_takes_no_other_event_with_it(machine: Machine) -> None:
    bad = config_changed(1, set_keys={"min_dayly_cap": 5})
    events = [bad, requested(1), campaign_changed(1, types=type_of(priority=5)), requested(2)]
    outcomes: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda e=event: outcomes.__setitem__(e.id, machine.handle(e).outcome))
        for event in events
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes == {"config-1": "failed", "event-1": "done", "campaign-1": "done", "event-2": "done"}


def test_what_is_applied_is_in_the_log_without_contents(machine: Machine) -> None:
    done(machine.handle(started()))
    (applied,) = [record for record in machine.journal.records if "applied" in repr(record)]
    assert "plain" not in json.dumps(applied, default=str)
