"""Restore and reconcile on whole machines: the plan goes back, the world does not."""

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Transfer
from handlers.cli_errors import UsageError
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from infra.recovery import list_versions
from tests.machines import ACME, OBJECT, Machine, metadata_of, put_org, rows_in
from tests.recoveries import (
    content_of,
    copy_blindly,
    corrupted,
    edit,
    live,
    put_bytes,
    reconciled,
    restored,
)

SEND = (
    "UPDATE email_schedules SET status = 'sent', actual_send_datetime = scheduled_send_date || ' 08:30:01', "
    "metadata = '{\"message\": 7}' WHERE contact_id = 1 AND email_type = 'birthday'"
)
UNSUBSCRIBE = "UPDATE contacts SET status = 'Unsubscribed ' WHERE id = 2"
SENT = "SELECT id, contact_id, event_date, actual_send_datetime, metadata FROM email_schedules WHERE status = 'sent'"
PLANNED_TWICE = (
    "SELECT COUNT(*) FROM email_schedules a JOIN email_schedules b USING (contact_id, email_type, event_date) "
    "WHERE a.status = 'pre-scheduled' AND b.status NOT IN ('pre-scheduled', 'skipped')"
)


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def machine(tmp_path: Path, bucket: MemoryBucket) -> Machine:
    put_org(bucket, tmp_path)
    machine = Machine(tmp_path, bucket)
    machine.run(1)
    return machine


def rows(machine: Machine, folder: Path, sql: str) -> list[tuple[object, ...]]:
    return rows_in(machine.bucket, folder, sql)


def test_what_was_sent_since_is_not_sent_again_and_nobody_is_resubscribed(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, SEND, UNSUBSCRIBE)
    machine.run(2)
    sent = rows(machine, tmp_path, SENT)
    assert len(sent) == 1
    done = restored(machine, planned)
    assert (done.carried.rows_by_status, done.carried.unsubscribes) == ({"sent": 1}, 1)
    assert done.warnings == ()
    # At once, before any run: nothing that a sender would take.
    assert rows(machine, tmp_path, SENT) == sent
    assert rows(machine, tmp_path, PLANNED_TWICE) == [(0,)]
    of_two = "SELECT COUNT(*) FROM email_schedules WHERE contact_id = 2 AND status = 'pre-scheduled'"
    assert rows(machine, tmp_path, of_two) == [(0,)]
    completed = machine.run(3).completed
    assert completed is not None
    assert "object_replaced" not in completed.warnings
    assert rows(machine, tmp_path, SENT) == sent
    assert rows(machine, tmp_path, PLANNED_TWICE) == [(0,)]
    assert rows(machine, tmp_path, of_two) == [(0,)]
    assert rows(machine, tmp_path, "SELECT status FROM contacts WHERE id = 2") == [("Unsubscribed ",)]


def test_plan_and_data_do_go_back(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    before = rows(machine, tmp_path, "SELECT * FROM email_schedules ORDER BY id")
    edit(machine.bucket, tmp_path, "UPDATE contacts SET birth_date = '1970-12-24', state = 'CA'")
    machine.run(2)
    assert rows(machine, tmp_path, "SELECT * FROM email_schedules ORDER BY id") != before
    restored(machine, planned)
    assert rows(machine, tmp_path, "SELECT * FROM email_schedules ORDER BY id") == before
    assert rows(machine, tmp_path, "SELECT DISTINCT state FROM contacts") == [("TX",)]


def test_the_new_version_says_what_it_is(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    replaced = edit(machine.bucket, tmp_path, SEND)
    done = restored(machine, planned)
    version = list_versions(machine.bucket, ACME)[-1]
    assert (done.generation, done.replaced, done.base) == (version.info.generation, replaced, planned)
    assert (version.parent, version.restored_from, version.carried_from) == (replaced, planned, (replaced,))
    assert not version.replaced_blindly


def test_redelivered_events_of_runs_after_the_restored_version_do_not_run_twice(
    machine: Machine, tmp_path: Path
) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, UNSUBSCRIBE)
    second = machine.run(2).completed
    assert second is not None
    assert second.changed
    restored(machine, planned)
    generation = live(machine.bucket).generation
    again = machine.run(2).completed
    assert again is not None
    assert (again.replayed, again.run_id) == (True, second.run_id)
    assert live(machine.bucket).generation == generation


def test_exact_carries_nothing(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    content = content_of(machine.bucket, tmp_path, planned)
    edit(machine.bucket, tmp_path, SEND, UNSUBSCRIBE)
    machine.run(2)
    done = restored(machine, planned, exact=True)
    assert done.carried.is_empty
    assert done.sources == ()
    assert content_of(machine.bucket, tmp_path, live(machine.bucket).generation) == content
    again = machine.run(2).completed
    assert again is not None
    assert not again.replayed
    # It was meant: nothing is carried behind the operator's back.
    assert reconciled(machine).generation is None


def test_a_dry_run_says_the_same_and_writes_nothing(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, SEND, UNSUBSCRIBE)
    machine.run(2)
    before = list(machine.bucket.list(""))
    written = [machine.bucket.requests[kind] for kind in ("upload", "write", "delete")]
    dry = restored(machine, planned, dry_run=True)
    assert [machine.bucket.requests[kind] for kind in ("upload", "write", "delete")] == written
    assert list(machine.bucket.list("")) == before
    real = restored(machine, planned)
    assert (dry.carried, dry.sources, dry.generation) == (real.carried, real.sources, None)


class AnotherWriter(NoFaults):
    """Commits just before the restore does."""

    def __init__(self, bucket: MemoryBucket, folder: Path) -> None:
        self._bucket, self._folder = bucket, folder
        self.generation = 0

    def before(self, request: Request) -> None:
        if request.name == OBJECT and request.kind == "upload" and not self.generation:
            self._bucket.faults = NoFaults()
            self.generation = edit(self._bucket, self._folder, SEND)


def test_a_writer_that_was_first_wins_and_the_error_says_so(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, UNSUBSCRIBE)
    other = AnotherWriter(machine.bucket, tmp_path)
    machine.bucket.faults = other
    with pytest.raises(OrgError) as raised:
        restored(machine, planned)
    assert raised.value.code is ErrorCode.FENCE_LOST
    assert "nothing was changed" in raised.value.detail
    assert live(machine.bucket).generation == other.generation
    assert machine.bucket.stat(f"org-lease/{ACME}") is None  # given back
    assert restored(machine, planned).carried.rows_by_status == {"sent": 1}


class LostAnswer(NoFaults):
    def after(self, request: Request) -> None:
        if request.name == OBJECT and request.kind == "upload":
            raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "reset")


def test_a_restore_whose_answer_is_lost_is_recognised(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, SEND)
    machine.bucket.faults = LostAnswer()
    done = restored(machine, planned)
    machine.bucket.faults = NoFaults()
    assert done.generation == live(machine.bucket).generation


def test_a_corrupt_version_is_refused(machine: Machine, tmp_path: Path) -> None:
    good = content_of(machine.bucket, tmp_path, live(machine.bucket).generation)
    bad = put_bytes(machine.bucket, tmp_path, corrupted(good))
    noise = put_bytes(machine.bucket, tmp_path, b"no database at all" * 100)
    put_bytes(machine.bucket, tmp_path, good)
    before = live(machine.bucket)
    for generation, code in ((bad, ErrorCode.DATABASE_CORRUPT), (noise, ErrorCode.NOT_SQLITE)):
        for exact in (False, True):
            with pytest.raises(OrgError) as raised:
                restored(machine, generation, exact=exact)
            assert raised.value.code is code
            assert str(generation) in raised.value.detail
    assert live(machine.bucket) == before


def test_an_unreadable_live_version_gives_way_with_what_the_one_before_it_knew(
    machine: Machine, tmp_path: Path
) -> None:
    planned = live(machine.bucket).generation
    sent = edit(machine.bucket, tmp_path, SEND)
    good = content_of(machine.bucket, tmp_path, sent)
    broken = put_bytes(machine.bucket, tmp_path, corrupted(good))
    assert machine.run(2).outcome == "failed"
    done = restored(machine, planned)
    (source,) = done.sources
    assert (source.generation, source.used) == (broken, sent)
    assert source.unreadable == ((broken, ErrorCode.DATABASE_CORRUPT),)
    assert done.warnings == ("source_unreadable",)
    assert done.carried.rows_by_status == {"sent": 1}
    assert rows(machine, tmp_path, PLANNED_TWICE) == [(0,)]
    assert machine.run(3).outcome == "done"


def test_a_restore_from_ruins_is_made_with_a_warning(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    broken = put_bytes(machine.bucket, tmp_path, b"\0" * 5000)
    done = restored(machine, planned)
    (source,) = done.sources
    assert (source.used, source.unreadable) == (None, ((broken, ErrorCode.NOT_SQLITE),))
    assert done.warnings == ("source_unreadable",)
    assert done.carried.is_empty
    assert machine.run(2).outcome == "done"


def test_a_deleted_object_comes_back_and_is_no_surprise_to_the_next_run(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    deleted = edit(machine.bucket, tmp_path, SEND)
    machine.bucket.delete(OBJECT, if_generation_match=deleted)
    with pytest.raises(OrgError) as raised:
        reconciled(machine)
    assert f"restore {ACME} {deleted}" in raised.value.detail
    done = restored(machine, planned)
    assert (done.replaced, done.carried.rows_by_status) == (None, {"sent": 1})
    completed = machine.run(2).completed
    assert completed is not None
    assert "object_replaced" not in completed.warnings


def test_the_last_version_of_a_deleted_object_needs_nothing_carried(machine: Machine, tmp_path: Path) -> None:
    deleted = edit(machine.bucket, tmp_path, SEND)
    machine.bucket.delete(OBJECT, if_generation_match=deleted)
    done = restored(machine, deleted)
    assert done.carried.is_empty
    assert len(rows(machine, tmp_path, SENT)) == 1


@pytest.mark.parametrize("generation", [999_999_999])
def test_a_generation_that_is_none_is_refused(machine: Machine, generation: int) -> None:
    with pytest.raises(OrgError) as raised:
        restored(machine, generation)
    assert raised.value.code is ErrorCode.GENERATION_MISSING
    with pytest.raises(UsageError):
        restored(machine, live(machine.bucket).generation)


# ------------------------------------------------------------------------------------------------ by hand


def test_after_gsutil_cp_the_run_warns_and_reconcile_carries(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    sent = edit(machine.bucket, tmp_path, SEND, UNSUBSCRIBE)
    copied = copy_blindly(machine.bucket, tmp_path, planned)
    completed = machine.run(2).completed
    assert completed is not None
    assert "object_replaced" in completed.warnings
    marks = {v.info.generation: v.replaced_blindly for v in list_versions(machine.bucket, ACME)}
    assert [generation for generation, blindly in marks.items() if blindly] == [copied]
    dry = reconciled(machine, dry_run=True)
    done = reconciled(machine)
    assert dry.carried == done.carried
    assert [source.used for source in done.sources] == [sent]
    assert (done.carried.rows_by_status, done.carried.unsubscribes) == ({"sent": 1}, 1)
    assert rows(machine, tmp_path, PLANNED_TWICE) == [(0,)]
    machine.run(3)
    assert rows(machine, tmp_path, PLANNED_TWICE) == [(0,)]
    generation = live(machine.bucket).generation
    again = reconciled(machine)
    assert (again.generation, live(machine.bucket).generation) == (None, generation)


def test_reconcile_finds_what_was_lost_some_runs_ago(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    sent = edit(machine.bucket, tmp_path, SEND)
    copy_blindly(machine.bucket, tmp_path, planned)
    for number in (2, 3):
        edit(machine.bucket, tmp_path, f"UPDATE contacts SET birth_date = '1961-05-0{number}' WHERE id = 3")
        machine.run(number)
    done = reconciled(machine)
    assert [source.used for source in done.sources] == [sent]
    assert len(rows(machine, tmp_path, SENT)) == 1


def test_a_restore_over_a_blind_copy_carries_what_the_copy_lost(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    sent = edit(machine.bucket, tmp_path, SEND)
    copied = copy_blindly(machine.bucket, tmp_path, planned)
    done = restored(machine, planned)
    assert [source.used for source in done.sources] == [copied, sent]
    assert done.carried.rows_by_status == {"sent": 1}


def test_reconcile_with_an_intact_history_has_nothing_to_do(machine: Machine, tmp_path: Path) -> None:
    edit(machine.bucket, tmp_path, SEND)
    machine.run(2)
    done = reconciled(machine)
    assert (done.generation, done.sources) == (None, ())


def test_reconcile_from_a_named_version(machine: Machine, tmp_path: Path) -> None:
    sent = edit(machine.bucket, tmp_path, SEND)
    # Somebody took it back the orderly way, and should not have: only the operator can know.
    edit(machine.bucket, tmp_path, "UPDATE email_schedules SET status = 'pre-scheduled' WHERE status = 'sent'")
    assert reconciled(machine).generation is None
    assert reconciled(machine, source=sent).carried.rows_by_status == {"sent": 1}
    with pytest.raises(UsageError):
        reconciled(machine, source=live(machine.bucket).generation)


def test_ids_that_were_given_again_after_a_blind_copy_do_not_collide(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    contact = "INSERT INTO contacts (id, email, state, birth_date) VALUES (?, 'x@example.com', 'TX', '1960-05-05')"
    edit(machine.bucket, tmp_path, contact, parameters=(50,))
    machine.run(2)
    sent = "UPDATE email_schedules SET status = 'sent' WHERE contact_id = 50 AND email_type = 'birthday'"
    edit(machine.bucket, tmp_path, sent)
    copy_blindly(machine.bucket, tmp_path, planned)
    edit(machine.bucket, tmp_path, contact, parameters=(60,))
    machine.run(3)
    ids = "SELECT contact_id, email_type, status FROM email_schedules WHERE contact_id IN (50, 60) ORDER BY 1, 2"
    done = reconciled(machine)
    assert done.carried.rows_by_status == {"sent": 1}
    assert rows(machine, tmp_path, ids) == [
        (50, "birthday", "sent"), (60, "aep", "pre-scheduled"), (60, "birthday", "pre-scheduled"),
    ]  # fmt: skip
    assert done.warnings == ("contacts_missing",)


def test_an_id_is_not_given_again_after_a_restore(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    contact = "INSERT INTO contacts (id, email, state, birth_date) VALUES (50, 'x@example.com', 'TX', '1960-05-05')"
    edit(machine.bucket, tmp_path, contact)
    machine.run(2)
    highest = rows(machine, tmp_path, "SELECT MAX(id) FROM email_schedules")
    restored(machine, planned)
    edit(machine.bucket, tmp_path, contact)
    machine.run(3)
    assert rows(machine, tmp_path, "SELECT MIN(id) FROM email_schedules WHERE contact_id = 50") > highest


# ------------------------------------------------------------------------------------------------ people


def test_who_was_deleted_since_stays_deleted(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    edit(
        machine.bucket, tmp_path, SEND, "DELETE FROM contacts WHERE id IN (1, 3)",
        "INSERT INTO scheduler_tombstones VALUES (1, 'deleted', '2026-03-02 10:00:00')",
    )  # fmt: skip
    done = restored(machine, planned)
    assert (done.carried.deletions, done.carried.tombstones, done.carried.contacts_back) == (1, 1, 1)
    # Contact 3 is gone without a tombstone: that may be what the restore is for.
    assert done.warnings == ("contacts_back",)
    assert rows(machine, tmp_path, "SELECT id FROM contacts ORDER BY id") == [(2,), (3,)]
    assert rows(machine, tmp_path, "SELECT status FROM email_schedules WHERE contact_id = 1") == [("sent",)]
    assert rows(machine, tmp_path, "SELECT contact_id, reason FROM scheduler_tombstones") == [(1, "deleted")]


def test_an_unsubscribed_person_whom_the_old_version_does_not_know_leaves_a_tombstone(
    machine: Machine, tmp_path: Path
) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, "INSERT INTO contacts (id, status) VALUES (50, 'unsubscribed'), (51, '')")
    done = restored(machine, planned)
    assert done.warnings == ("contacts_missing",)
    assert done.carried.contacts_missing == 2
    assert rows(machine, tmp_path, "SELECT contact_id, reason, at FROM scheduler_tombstones") == [
        (50, "unsubscribed", "2026-03-02 12:00:00")
    ]


def test_a_tombstone_suppresses_whatever_the_status_says(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, "INSERT INTO scheduler_tombstones VALUES (2, 'unsubscribed', '2026-03-02 10:00:00')")
    restored(machine, planned)
    assert rows(machine, tmp_path, "SELECT status FROM contacts WHERE id = 2") == [("unsubscribed",)]


@pytest.mark.parametrize(
    ("then", "kept_as"), [("'[\"stop\"]'", "stop"), ('\'["unsubscribed", "stop"]\'', "unsubscribed")]
)
def test_a_word_that_the_old_configuration_does_not_know_is_said_in_its_words(
    tmp_path: Path, bucket: MemoryBucket, then: str, kept_as: str
) -> None:
    put_org(bucket, tmp_path, config='{"suppressed_contact_statuses": %s}' % then.strip("'"))  # noqa: UP031
    machine = Machine(tmp_path, bucket)
    machine.run(1)
    planned = live(bucket).generation
    edit(
        bucket, tmp_path, "UPDATE contacts SET status = 'opted out' WHERE id = 2",
        """UPDATE config_versions SET config_data = '{"suppressed_contact_statuses": ["opted out"]}'""",
    )  # fmt: skip
    done = restored(machine, planned)
    assert done.carried.unsubscribes == 1
    assert rows(machine, tmp_path, "SELECT status FROM contacts WHERE id = 2") == [(kept_as,)]
    machine.run(2)
    assert rows(machine, tmp_path, "SELECT COUNT(*) FROM email_schedules WHERE contact_id = 2") == [(0,)]


def test_a_configuration_that_suppresses_nobody_is_warned_about(tmp_path: Path, bucket: MemoryBucket) -> None:
    put_org(bucket, tmp_path, config='{"suppressed_contact_statuses": []}')
    machine = Machine(tmp_path, bucket)
    machine.run(1)
    planned = live(bucket).generation
    edit(
        bucket, tmp_path, UNSUBSCRIBE,
        """UPDATE config_versions SET config_data = '{}'""",
    )  # fmt: skip
    assert restored(machine, planned).warnings == ("unsubscribes_not_suppressed",)


# ------------------------------------------------------------------------------------------------ the file


def test_a_later_stage_of_sending_is_never_undone(machine: Machine, tmp_path: Path) -> None:
    claimed = edit(machine.bucket, tmp_path, SEND.replace("'sent'", "'scheduled'", 1))
    edit(machine.bucket, tmp_path, SEND.replace("'sent'", "'delivered'", 1))
    restored(machine, claimed)
    statuses = "SELECT status FROM email_schedules WHERE contact_id = 1 AND email_type = 'birthday'"
    assert rows(machine, tmp_path, statuses) == [("delivered",)]
    # The other way round: a blind copy of the claim, and the live version is behind the lost one.
    copy_blindly(machine.bucket, tmp_path, claimed)
    reconciled(machine)
    assert rows(machine, tmp_path, statuses) == [("delivered",)]


def test_journal_mode_and_foreign_tables_go_back_as_they_were(machine: Machine, tmp_path: Path) -> None:
    edit(machine.bucket, tmp_path, "CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)")
    file = tmp_path / "wal.db"
    file.write_bytes(content_of(machine.bucket, tmp_path, live(machine.bucket).generation))
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    wal = put_bytes(machine.bucket, tmp_path, file.read_bytes())
    edit(machine.bucket, tmp_path, SEND, "DROP TABLE theirs")
    restored(machine, wal)
    after = content_of(machine.bucket, tmp_path, live(machine.bucket).generation)
    assert after[18:20] == b"\x02\x02"
    assert rows(machine, tmp_path, "SELECT x FROM theirs") == [(1,)]


def test_a_version_from_before_the_first_run_takes_the_locked_rows(machine: Machine, tmp_path: Path) -> None:
    first = list_versions(machine.bucket, ACME)[0].info.generation
    edit(machine.bucket, tmp_path, SEND)
    restored(machine, first)
    assert len(rows(machine, tmp_path, SENT)) == 1
    machine.run(2, as_of=date(2026, 3, 2))
    assert rows(machine, tmp_path, PLANNED_TWICE) == [(0,)]


def test_no_personal_data_in_what_is_said(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, SEND, UNSUBSCRIBE)
    done = restored(machine, planned)
    said = repr(machine.journal.records) + repr(done) + repr(metadata_of(machine.bucket))
    assert "person1" not in said
    assert "example.com" not in said


def test_a_run_in_flight_is_waited_for(machine: Machine, tmp_path: Path) -> None:
    planned = live(machine.bucket).generation
    edit(machine.bucket, tmp_path, SEND)
    other = Machine(tmp_path, machine.bucket, machine.bus)
    with (
        other.ports.lease.hold(ACME, until=other.clock.monotonic(), transfer=Transfer()),
        pytest.raises(OrgError) as raised,
    ):
        restored(machine, planned)
    # The clock of a test does not wake the other machine: waiting ends, and nothing was done.
    assert raised.value.code is ErrorCode.LEASE_BUSY
