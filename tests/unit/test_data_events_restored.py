"""What a restore does with the memory of data events: docs/recovery.md says which of it is carried, and why not the rest."""

from datetime import timedelta
from pathlib import Path

import pytest

from infra.memory_bucket import MemoryBucket
from tests.data_events import claim, click, contact_changed, delete, mail_reported, report, unsubscribe, upsert
from tests.machines import NOW, Machine, put_org, rows_in
from tests.recoveries import live, restored

EVENT_1, SEND_1 = "2026-04-02", "2026-03-19"


@pytest.fixture
def bucket(tmp_path: Path) -> MemoryBucket:
    bucket = MemoryBucket()
    put_org(bucket, tmp_path)
    return bucket


@pytest.fixture
def machine(tmp_path: Path, bucket: MemoryBucket) -> Machine:
    machine = Machine(tmp_path, bucket)
    assert machine.run("first").outcome == "done"
    return machine


def test_data_that_a_restore_took_back_can_be_sent_again(machine: Machine, tmp_path: Path) -> None:
    before = live(machine.bucket).generation
    machine.handle(contact_changed("wrong", upsert(1, first_name="wrong"), time=NOW))
    restored(machine, before)
    again = machine.handle(contact_changed("again", upsert(1, first_name="right"), time=NOW - timedelta(hours=1)))
    assert again.completed is not None
    assert again.completed.items.upserts_applied == 1
    assert rows_in(machine.bucket, tmp_path, "SELECT first_name FROM contacts WHERE id = 1") == [("right",)]


def test_what_waits_comes_back_with_the_old_version_but_for_the_deleted(machine: Machine, tmp_path: Path) -> None:
    machine.handle(contact_changed("1", click(8), click(9)))
    before = live(machine.bucket).generation
    machine.handle(contact_changed("2", delete(8)))
    machine.handle(contact_changed("3", upsert(9, email="a@example.com")))
    restored(machine, before)
    assert rows_in(machine.bucket, tmp_path, "SELECT contact_id FROM scheduler_parked_items") == [(9,)]
    assert rows_in(machine.bucket, tmp_path, "SELECT contact_id FROM scheduler_tombstones") == [(8,)]


def test_claims_facts_and_unsubscribes_are_carried(machine: Machine, tmp_path: Path) -> None:
    before = live(machine.bucket).generation
    event = mail_reported("1", claim(1, EVENT_1, SEND_1), report(2, "sent", "2026-04-03"))
    first = machine.handle(event)
    machine.handle(contact_changed("2", unsubscribe(3), unsubscribe(9)))
    restored(machine, before)
    statuses = "SELECT contact_id, status FROM email_schedules WHERE email_type = 'birthday' ORDER BY 1"
    assert rows_in(machine.bucket, tmp_path, statuses) == [(1, "scheduled"), (2, "sent")]
    assert rows_in(machine.bucket, tmp_path, "SELECT contact_id FROM scheduler_tombstones ORDER BY 1") == [(3,), (9,)]
    again = machine.handle(event)
    assert first.completed is not None
    assert again.completed is not None
    assert (again.completed.replayed, again.completed.claims) == (True, first.completed.claims)
