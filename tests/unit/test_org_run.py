"""The run of one org, end to end on one or two machines: effects happen once, and errors say what to do."""

from datetime import date
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode
from core.runs.ports import Message, PreconditionFailedError
from events.types import OrgId
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from infra.memory_bus import MemoryBus
from tests.machines import ACME, OBJECT, TODAY, Machine, metadata_of, put_org, requested, rows_in


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def machine(tmp_path: Path, bucket: MemoryBucket) -> Machine:
    put_org(bucket, tmp_path)
    return Machine(tmp_path, bucket)


def test_a_run_plans_commits_and_publishes(machine: Machine, bucket: MemoryBucket, tmp_path: Path) -> None:
    handled = machine.run()
    assert handled.outcome == "done"
    completed = handled.completed
    assert completed is not None
    assert (completed.changed, completed.replayed, completed.as_of) == (True, False, TODAY)
    assert completed.counts.rows_inserted == 9  # three contacts: birthday, effective date and AEP each
    assert completed.generation == metadata_generation(bucket)
    assert rows_in(bucket, tmp_path, "SELECT COUNT(*) FROM email_schedules WHERE status = 'pre-scheduled'") == [(9,)]
    assert rows_in(bucket, tmp_path, "SELECT source, event_id, run_id FROM scheduler_processed_events") == [
        ("//test", "event-1", completed.run_id)
    ]
    assert machine.published_types() == ["run.completed.v1"]


def metadata_generation(bucket: MemoryBucket) -> int:
    live = bucket.stat(OBJECT)
    assert live is not None
    return live.generation


def test_an_operator_can_follow_the_sequence(machine: Machine) -> None:
    machine.run()
    wanted = ["sync_down", "synced", "planning", "planned", "sync_up", "synced", "published", "completed"]
    assert [event for event in machine.journal.events() if event in wanted] == wanted


def test_r93_a_second_trigger_moves_no_byte_and_makes_no_generation(machine: Machine, bucket: MemoryBucket) -> None:
    first = machine.run(1).completed
    generation = metadata_generation(bucket)
    second = machine.run(2).completed
    assert first is not None
    assert second is not None
    assert second.changed is False
    assert (second.bytes_down, second.bytes_up, second.generation) == (0, 0, generation)
    assert metadata_generation(bucket) == generation
    assert first.run_id != second.run_id


def test_a_redelivered_event_publishes_the_same_completion_and_works_no_more(
    machine: Machine, bucket: MemoryBucket
) -> None:
    machine.run(1)
    generation = metadata_generation(bucket)
    again = machine.run(1).completed
    assert again is not None
    assert again.replayed
    assert (again.generation, again.bytes_up, again.durations_seconds) == (None, None, None)
    (first_id, first), (second_id, second) = machine.completed()
    assert first_id == second_id
    assert first.counts == second.counts
    assert metadata_generation(bucket) == generation


def test_a_redelivered_event_of_a_run_that_changed_nothing_has_the_same_completion_id(machine: Machine) -> None:
    machine.run(1)
    machine.run(2)
    machine.run(2)
    ids = [event_id for event_id, _ in machine.completed()]
    assert ids[1] == ids[2] != ids[0]


def test_a_lost_completion_is_published_when_the_message_comes_again(tmp_path: Path, bucket: MemoryBucket) -> None:
    put_org(bucket, tmp_path)
    faults = iter(["before"])

    def lose_the_first(_: Message) -> str | None:
        return next(faults, None)

    machine = Machine(tmp_path, bucket, MemoryBus(lose_the_first))  # type: ignore[arg-type]
    first = machine.run()
    assert first.outcome == "retry"
    assert first.error is not None
    assert first.error.code is ErrorCode.BUS_UNREACHABLE
    second = machine.run()
    assert second.outcome == "done"
    assert [c.replayed for _, c in machine.completed()] == [True]


class Intruder(NoFaults):
    """Another writer that replaces the object just before each upload of the org's database."""

    def __init__(self, bucket: MemoryBucket, folder: Path, times: int) -> None:
        self._bucket, self._folder, self.times = bucket, folder, times

    def before(self, request: Request) -> None:
        if request.name == OBJECT and request.kind == "upload" and self.times:
            self.times -= 1
            faults, self._bucket.faults = self._bucket.faults, NoFaults()
            put_org(self._bucket, self._folder, contacts=4)
            self._bucket.faults = faults


def test_a_conflict_starts_the_run_again_on_what_the_other_writer_left(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    bucket.faults = Intruder(bucket, tmp_path, times=1)
    completed = machine.run().completed
    assert completed is not None
    assert completed.counts.contacts == 4
    assert machine.journal.events().count("fence_conflict") == 1


def test_five_conflicts_and_the_message_has_to_come_again(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    bucket.faults = Intruder(bucket, tmp_path, times=5)
    handled = machine.run()
    assert handled.outcome == "retry"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.FENCE_LOST
    assert machine.journal.events().count("fence_conflict") == 5
    assert machine.bus.messages == []


class LostAnswer(NoFaults):
    """The upload of the org's database takes effect, but its answer never arrives, and the client's retry meets 412."""

    def after(self, request: Request) -> None:
        if request.name == OBJECT and request.kind == "upload":
            raise PreconditionFailedError


def test_a_lost_acknowledgement_is_recognised_by_the_upload_token(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    bucket.faults = LostAnswer()
    completed = machine.run().completed
    bucket.faults = NoFaults()
    assert completed is not None
    assert completed.generation == metadata_generation(bucket)
    assert rows_in(bucket, tmp_path, "SELECT COUNT(*) FROM scheduler_checkpoints") == [(1,)]
    assert "fence_conflict" not in machine.journal.events()


def test_two_machines_take_turns_and_neither_loses_the_others_run(tmp_path: Path, bucket: MemoryBucket) -> None:
    put_org(bucket, tmp_path)
    one, other = Machine(tmp_path, bucket), Machine(tmp_path, bucket)
    assert one.run(1).outcome == "done"
    assert other.run(2, as_of=date(2026, 3, 3)).outcome == "done"
    assert one.run(3, as_of=date(2026, 3, 3)).outcome == "done"
    events = rows_in(bucket, tmp_path, "SELECT event_id FROM scheduler_processed_events ORDER BY event_id")
    assert events[0] == ("event-1",)
    assert metadata_of(bucket)[
        "parent-generation" if "parent-generation" in metadata_of(bucket) else "parent_generation"
    ]


def test_an_org_without_an_object_is_refused_and_nothing_is_made(tmp_path: Path, bucket: MemoryBucket) -> None:
    machine = Machine(tmp_path, bucket)
    handled = machine.run()
    assert handled.outcome == "rejected"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.OBJECT_MISSING
    assert machine.published_types() == ["event.rejected.v1"]
    assert bucket.stat(OBJECT) is None


def test_create_makes_a_new_org(tmp_path: Path, bucket: MemoryBucket) -> None:
    machine = Machine(tmp_path, bucket)
    completed = machine.run(create=True).completed
    assert completed is not None
    assert (completed.parent_generation, completed.counts.contacts, completed.changed) == (0, 0, True)
    assert rows_in(bucket, tmp_path, "SELECT COUNT(*) FROM contacts") == [(0,)]


def test_r12_a_bad_configuration_stops_the_run_and_names_the_key(tmp_path: Path, bucket: MemoryBucket) -> None:
    generation = put_org(bucket, tmp_path, config='{"pre_exclusion_bufer_days": 90}')
    machine = Machine(tmp_path, bucket)
    handled = machine.run()
    assert handled.outcome == "failed"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.CONFIG_INVALID
    assert handled.error.detail == "config_versions id 7: pre_exclusion_bufer_days: unknown key"
    assert machine.published_types() == ["run.failed.v1"]
    assert metadata_generation(bucket) == generation


@pytest.mark.parametrize("as_of", [date(2026, 3, 4), date(2026, 2, 28), date(1890, 1, 1)])
def test_an_as_of_that_is_not_about_now_is_refused(as_of: date, machine: Machine) -> None:
    handled = machine.run(as_of=as_of)
    assert handled.outcome == "rejected"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.AS_OF_REFUSED


def test_an_as_of_before_the_last_checkpoint_needs_force(machine: Machine) -> None:
    assert machine.run(1, as_of=date(2026, 3, 3)).outcome == "done"
    assert machine.run(2, as_of=date(2026, 3, 2)).outcome == "rejected"
    forced = machine.run(3, as_of=date(2026, 3, 2), force=True).completed
    assert forced is not None
    assert forced.warnings == ("as_of_forced",)


def test_a_failing_org_does_not_touch_the_others(tmp_path: Path, bucket: MemoryBucket) -> None:
    put_org(bucket, tmp_path)
    file = tmp_path / "noise"
    file.write_bytes(b"this is no database" * 100)
    bucket.upload("org-data/noise.db", str(file), if_generation_match=0, metadata={})
    machine = Machine(tmp_path, bucket)
    noise = machine.handle(requested(1, OrgId("noise")))
    assert noise.outcome == "failed"
    assert noise.error is not None
    assert noise.error.code is ErrorCode.NOT_SQLITE
    assert machine.run(2).outcome == "done"


def test_an_edit_of_the_schedule_by_somebody_else_is_reported_and_mended(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    import sqlite3

    machine.run(1)
    live = bucket.stat(OBJECT)
    assert live is not None
    file = tmp_path / "edited.db"
    bucket.download(OBJECT, live.generation, str(file))
    with sqlite3.connect(file) as db:
        db.execute("UPDATE email_schedules SET scheduled_send_date = '2026-03-20' WHERE id = 1")
    db.close()
    bucket.upload(OBJECT, str(file), if_generation_match=live.generation, metadata={})
    completed = machine.run(2).completed
    assert completed is not None
    assert set(completed.warnings) == {"schedule_edited", "object_replaced"}
    assert completed.counts.rows_updated == 1


def test_errors_hold_no_personal_data(machine: Machine) -> None:
    machine.run(1)
    said = repr(machine.journal.records) + repr([m.data for m in machine.bus.messages])
    assert "person1" not in said
    assert ACME in said


def test_one_disagreement_of_the_checker_fails_the_run_and_names_row_and_rule(
    machine: Machine, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.planning import checker

    generation = metadata_generation(bucket)
    monkeypatch.setitem(checker.LINES, "TX", checker.Line("always"))
    handled = machine.run()
    assert handled.outcome == "failed"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.CHECK_FAILED
    assert handled.error.detail == "9 rows, the first: contact 1, birthday on 2026-03-19: R40 TX always"
    assert machine.published_types() == ["run.failed.v1"]
    assert metadata_generation(bucket) == generation
