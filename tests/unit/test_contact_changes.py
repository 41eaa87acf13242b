"""contact.changed on a whole machine: what each kind does, what is stale, what waits (docs/data-events.md)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.runs.service import Handled
from core.runs.warnings import UNSUBSCRIBES_NOT_SUPPRESSED
from events.payloads import ItemCounts, RunCompleted
from infra.memory_bucket import MemoryBucket
from tests.data_events import answer, click, contact_changed, delete, enrol, resubscribe, unsubscribe, upsert
from tests.machines import NOW, OBJECT, Machine, put_org, rows_in
from tests.recoveries import edit

Rows = Callable[[str], list[tuple[Any, ...]]]

STATUS = "SELECT id, status FROM contacts ORDER BY id"
STONES = "SELECT contact_id, reason FROM scheduler_tombstones ORDER BY contact_id"
PLANNED = "SELECT DISTINCT contact_id FROM email_schedules WHERE status = 'pre-scheduled' ORDER BY contact_id"
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def machine(tmp_path: Path, bucket: MemoryBucket) -> Machine:
    put_org(bucket, tmp_path)
    return Machine(tmp_path, bucket)


@pytest.fixture
def rows(tmp_path: Path, bucket: MemoryBucket) -> Rows:
    return lambda sql: rows_in(bucket, tmp_path, sql)


def generation(bucket: MemoryBucket) -> int:
    live = bucket.stat(OBJECT)
    assert live is not None
    return live.generation


def done(handled: Handled) -> RunCompleted:
    assert handled.outcome == "done", handled.error
    assert handled.completed is not None
    return handled.completed


# ------------------------------------------------------------------------------------------------ upserts


def test_an_upsert_makes_a_contact_and_plans_for_it_in_the_same_run(machine: Machine, rows: Rows) -> None:
    fields = {"email": "new@example.com", "state": "TX", "birth_date": "1958-07-19", "failed_underwriting": True}
    completed = done(machine.handle(contact_changed("1", upsert(9, **fields))))
    assert completed.items == ItemCounts(upserts_applied=1)
    columns = "email, first_name, zip_code, birth_date, failed_underwriting, status"
    assert rows(f"SELECT {columns} FROM contacts WHERE id = 9") == [
        ("new@example.com", None, None, "1958-07-19", 1, "")
    ]
    assert rows("SELECT event_date FROM email_schedules WHERE contact_id = 9 AND email_type = 'birthday'") == [
        ("2026-07-19",)
    ]


def test_a_field_that_is_absent_stays_and_null_clears_it(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", upsert(1, first_name="Ada", carrier="Aetna"))))
    done(machine.handle(contact_changed("2", upsert(1, carrier=None), time=NOW + SECOND)))
    assert rows("SELECT email, first_name, carrier FROM contacts WHERE id = 1") == [
        ("person1@example.com", "Ada", None)
    ]


def test_an_upsert_moves_the_mail_of_the_contact(machine: Machine, rows: Rows) -> None:
    done(machine.run())
    done(machine.handle(contact_changed("1", upsert(1, birth_date="1960-05-20"))))
    assert rows("SELECT event_date FROM email_schedules WHERE contact_id = 1 AND email_type = 'birthday'") == [
        ("2026-05-20",)
    ]


def test_what_the_rules_judge_is_stored_and_becomes_an_issue(machine: Machine, rows: Rows) -> None:
    bad = {"email": "good@example.com", "birth_date": "1960-13-45", "zip_code": "ABC", "state": "Utopia"}
    completed = done(machine.handle(contact_changed("1", upsert(9, **bad))))
    assert completed.items.upserts_applied == 1
    assert rows("SELECT email, birth_date, zip_code, state FROM contacts WHERE id = 9") == [tuple(bad.values())]
    assert rows("SELECT issue FROM scheduler_issues WHERE contact_id = 9 ORDER BY 1") == [
        ("bad_birth_date",),
        ("state_unknown",),
    ]


def test_the_later_upsert_stands_in_whatever_order_they_arrive(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("late", upsert(1, first_name="new"), time=NOW)))
    stale = done(machine.handle(contact_changed("early", upsert(1, first_name="old"), time=NOW - DAY)))
    assert stale.items == ItemCounts(upserts_stale=1)
    assert not stale.changed
    assert rows("SELECT first_name FROM contacts WHERE id = 1") == [("new",)]


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [
        ({"source": "//b"}, {"source": "//a"}, "first"),
        ({"sequence": "10"}, {"sequence": "9"}, "first"),
        ({"sequence": 9}, {"sequence": 10}, "second"),
        ({"sequence": "b"}, {"sequence": "a"}, "first"),
        ({"id": "2"}, {"id": "1"}, "first"),
        ({"id": "1"}, {"id": "2"}, "second"),
    ],
)
def test_upserts_of_one_moment_are_ordered_by_source_sequence_and_id(
    machine: Machine, rows: Rows, first: dict[str, Any], second: dict[str, Any], stands: str
) -> None:
    for name, event in (("first", first), ("second", second)):
        attributes = {"id": name, **event}
        done(machine.handle(contact_changed(attributes.pop("id"), upsert(1, first_name=name), **attributes)))
    assert rows("SELECT first_name FROM contacts WHERE id = 1") == [(stands,)]


def test_an_equal_upsert_still_makes_older_ones_stale(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", upsert(1, first_name="Ada"), time=NOW - 2 * DAY)))
    done(machine.handle(contact_changed("3", upsert(1, first_name="Ada"), time=NOW)))
    assert done(machine.handle(contact_changed("2", upsert(1, first_name="Eve"), time=NOW - DAY))).items.upserts_stale
    assert rows("SELECT first_name FROM contacts WHERE id = 1") == [("Ada",)]


def test_without_a_time_the_receipt_orders(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", upsert(1, first_name="old"), time=None, received_at=NOW - SECOND)))
    done(machine.handle(contact_changed("0", upsert(1, first_name="new"), time=None)))
    assert rows("SELECT first_name FROM contacts WHERE id = 1") == [("new",)]


# ------------------------------------------------------------------------------------------------ tombstones


def test_an_unsubscribe_takes_the_mail_back_and_no_upsert_lifts_it(machine: Machine, rows: Rows) -> None:
    done(machine.run())
    done(machine.handle(contact_changed("1", unsubscribe(1))))
    assert rows(PLANNED) == [(2,), (3,)]
    done(machine.handle(contact_changed("2", upsert(1, status="active", first_name="Ada"), time=NOW + SECOND)))
    assert rows("SELECT first_name, status FROM contacts WHERE id = 1") == [("Ada", "unsubscribed")]
    assert rows(PLANNED) == [(2,), (3,)]
    assert rows(STONES) == [(1, "unsubscribed")]


def test_an_unsubscribe_of_an_unseen_contact_waits_for_it(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", unsubscribe(9))))
    done(machine.handle(contact_changed("2", upsert(9, email="a@example.com", state="TX"), time=NOW + SECOND)))
    assert rows("SELECT status FROM contacts WHERE id = 9") == [("unsubscribed",)]


def test_an_old_unsubscribe_applies_all_the_same(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("2", upsert(1, status="active"))))
    done(machine.handle(contact_changed("1", unsubscribe(1), time=NOW - 30 * DAY)))
    assert rows("SELECT status FROM contacts WHERE id = 1") == [("unsubscribed",)]


def test_only_a_resubscribe_lifts_an_unsubscribe(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", unsubscribe(1))))
    completed = done(machine.handle(contact_changed("2", resubscribe(1), time=NOW + SECOND)))
    assert completed.items == ItemCounts(resubscribes=1)
    assert rows("SELECT status FROM contacts WHERE id = 1") == [("",)]
    assert rows(STONES) == []
    assert (1,) in rows(PLANNED)


def test_a_resubscribe_of_before_the_unsubscribe_lifts_nothing(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("2", unsubscribe(1))))
    completed = done(machine.handle(contact_changed("1", resubscribe(1), time=NOW - SECOND)))
    assert completed.items == ItemCounts(resubscribes_stale=1)
    assert rows(STONES) == [(1, "unsubscribed")]


def test_a_resubscribe_leaves_a_status_that_says_something_else(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", upsert(1, status="deceased"), unsubscribe(1), resubscribe(1))))
    assert rows("SELECT status FROM contacts WHERE id = 1") == [("deceased",)]


def test_a_delete_takes_the_contact_and_what_is_known_of_it(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", click(1), answer(1), click(2))))
    completed = done(machine.handle(contact_changed("2", delete(1))))
    assert completed.items == ItemCounts(deletes=1)
    assert rows("SELECT id FROM contacts ORDER BY id") == [(2,), (3,)]
    assert rows("SELECT contact_id FROM tracking_clicks") == [(2,)]
    assert rows("SELECT contact_id FROM contact_events") == []
    assert rows(PLANNED) == [(2,), (3,)]


def test_a_deleted_contact_stays_away_until_it_is_resubscribed(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", delete(9))))  # not seen yet
    back = upsert(9, email="a@example.com", state="TX", birth_date="1960-04-04")
    kept_away = done(machine.handle(contact_changed("2", back, click(9), time=NOW + SECOND)))
    assert kept_away.items == ItemCounts(upserts_of_deleted=1, dropped_deleted=1)
    assert rows(STONES) == [(9, "deleted")]
    done(machine.handle(contact_changed("3", resubscribe(9), back, time=NOW + 2 * SECOND)))
    assert rows(STONES) == []
    assert (9,) in rows(PLANNED)


def test_an_unsubscribe_does_not_weaken_a_delete(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", delete(1), unsubscribe(1))))
    assert rows(STONES) == [(1, "deleted")]


def test_an_import_past_the_events_does_not_lift_a_tombstone(machine: Machine, tmp_path: Path, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", unsubscribe(1), delete(2))))
    edit(machine.bucket, tmp_path, "UPDATE contacts SET status = 'active' WHERE id = 1",
         "INSERT INTO contacts (id, email, state) VALUES (2, 'back@example.com', 'TX')")  # fmt: skip
    completed = done(machine.run(2))
    assert completed.items.tombstones_restored == 2
    assert rows(STATUS) == [(1, "unsubscribed"), (3, "")]


@pytest.mark.parametrize(
    ("config", "word"), [('{"suppressed_contact_statuses": ["stop"]}', "stop"), ("{}", "unsubscribed")]
)
def test_an_unsubscribe_speaks_the_words_of_the_configuration(
    tmp_path: Path, bucket: MemoryBucket, rows: Rows, config: str, word: str
) -> None:
    put_org(bucket, tmp_path, config=config)
    machine = Machine(tmp_path, bucket)
    done(machine.handle(contact_changed("1", unsubscribe(1))))
    assert rows("SELECT status FROM contacts WHERE id = 1") == [(word,)]
    assert (1,) not in rows(PLANNED)


def test_a_configuration_that_suppresses_nobody_is_warned_of(tmp_path: Path, bucket: MemoryBucket) -> None:
    put_org(bucket, tmp_path, config='{"suppressed_contact_statuses": []}')
    completed = done(Machine(tmp_path, bucket).handle(contact_changed("1", unsubscribe(1))))
    assert UNSUBSCRIBES_NOT_SUPPRESSED in completed.warnings


# ------------------------------------------------------------------------------------------------ deeds


def test_clicks_and_answers_are_appended_at_the_local_time_of_the_org(machine: Machine, rows: Rows) -> None:
    deeds = (
        click(1, "2026-03-02T11:59:59.7Z", tracking_id="t", url="https://example.com/x"),
        answer(1, "2026-01-15T23:30:00+09:00", has_medical_conditions=True, main_questions_yes_count=2),
    )
    completed = done(machine.handle(contact_changed("1", *deeds)))
    assert completed.items == ItemCounts(clicks=1, answers=1)
    assert rows("SELECT contact_id, tracking_id, clicked_at, url FROM tracking_clicks") == [
        (1, "t", "2026-03-02 05:59:59", "https://example.com/x")  # Chicago is six hours behind
    ]
    assert rows("SELECT contact_id, event_type, metadata, created_at FROM contact_events") == [
        (
            1,
            "eligibility_answered",
            '{"has_medical_conditions":true,"main_questions_yes_count":2}',
            "2026-01-15 08:30:00",
        )
    ]


def test_what_is_said_twice_in_one_event_is_appended_twice(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", click(1), click(1))))
    assert rows("SELECT count(*) FROM tracking_clicks") == [(2,)]


def test_a_redelivered_event_does_no_work(machine: Machine, bucket: MemoryBucket, rows: Rows) -> None:
    event = contact_changed("1", click(1), upsert(1, first_name="Ada"))
    first = done(machine.handle(event))
    before = generation(bucket)
    again = done(machine.handle(event))
    assert (first.replayed, again.replayed, again.items) == (False, True, first.items)
    assert len({event_id for event_id, _ in machine.completed()}) == 1
    assert generation(bucket) == before
    assert rows("SELECT count(*) FROM tracking_clicks") == [(1,)]


def test_a_deed_waits_for_its_contact_and_is_applied_once(machine: Machine, rows: Rows) -> None:
    waiting = done(machine.handle(contact_changed("1", click(9), answer(9))))
    assert waiting.items == ItemCounts(parked=2)
    assert rows("SELECT count(*) FROM tracking_clicks") == [(0,)]
    machine.clock.advance(6 * 86_400)
    came = done(machine.handle(contact_changed("2", upsert(9, email="a@example.com"))))
    assert came.items == ItemCounts(upserts_applied=1, clicks=1, answers=1, unparked=2)
    assert rows("SELECT contact_id, clicked_at FROM tracking_clicks") == [(9, "2026-03-02 05:00:00")]
    assert rows("SELECT count(*) FROM scheduler_parked_items") == [(0,)]


def test_a_deed_beside_its_contact_need_not_wait(machine: Machine) -> None:
    completed = done(machine.handle(contact_changed("1", click(9), upsert(9, email="a@example.com"))))
    assert completed.items == ItemCounts(upserts_applied=1, clicks=1)


def test_a_deed_waits_for_a_contact_that_comes_by_file(
    machine: Machine, tmp_path: Path, bucket: MemoryBucket, rows: Rows
) -> None:
    done(machine.handle(contact_changed("1", click(9))))
    edit(bucket, tmp_path, "INSERT INTO contacts (id, email) VALUES (9, 'a@example.com')")
    assert done(machine.run(2)).items == ItemCounts(clicks=1, unparked=1)
    assert rows("SELECT contact_id FROM tracking_clicks") == [(9,)]


def test_a_deed_that_waits_for_longer_than_7_days_has_expired(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", click(9))))
    machine.clock.advance(7 * 86_400 + 1)
    completed = done(machine.handle(contact_changed("2", upsert(9, email="a@example.com"))))
    assert completed.items == ItemCounts(upserts_applied=1, parked_expired=1)
    assert rows("SELECT count(*) FROM tracking_clicks") == [(0,)]
    assert rows("SELECT count(*) FROM scheduler_parked_items") == [(0,)]


def test_what_has_expired_is_no_reason_to_write(machine: Machine, bucket: MemoryBucket) -> None:
    done(machine.handle(contact_changed("1", click(9))))
    machine.clock.advance(8 * 86_400)
    done(machine.run("day"))  # the new day changes the plan, and prunes
    machine.clock.advance(60)
    before = generation(bucket)
    quiet = done(machine.run("again"))
    assert (quiet.changed, quiet.items, generation(bucket)) == (False, ItemCounts(), before)


def test_a_deleted_contacts_waiting_deeds_go_with_it(machine: Machine, rows: Rows) -> None:
    done(machine.handle(contact_changed("1", click(9))))
    done(machine.handle(contact_changed("2", delete(9))))
    assert rows("SELECT count(*) FROM scheduler_parked_items") == [(0,)]


# ------------------------------------------------------------------------------------------------ enrolments

INSTANCE = (
    "INSERT INTO campaign_types (name) VALUES ('rate')",
    """INSERT INTO campaign_instances (id, campaign_type, instance_name, email_template, active_end_date)
    VALUES (4, 'rate', 'spring', 'rate_template', '2026-12-31')""",
)


@pytest.mark.parametrize(
    "named", [{"campaign_instance_id": 4}, {"campaign_type": "rate", "instance_name": "spring"}], ids=["id", "name"]
)
def test_an_enrolment_is_planned_in_the_same_run(
    machine: Machine, tmp_path: Path, bucket: MemoryBucket, rows: Rows, named: dict[str, Any]
) -> None:
    done(machine.run())
    edit(bucket, tmp_path, *INSTANCE)
    wish = enrol(1, **named, trigger_date="2026-04-15", metadata={"b": 1, "a": 2})
    completed = done(machine.handle(contact_changed("1", wish, wish)))
    assert completed.items == ItemCounts(enrolments=1, enrolments_repeated=1)
    columns = "contact_id, campaign_instance_id, trigger_date, status, metadata, created_at"
    assert rows(f"SELECT {columns} FROM contact_campaigns") == [
        (1, 4, "2026-04-15", "pending", '{"a":2,"b":1}', "2026-03-02 12:00:00")
    ]
    mail = "SELECT contact_id, event_date, email_template FROM email_schedules WHERE email_type = 'campaign_rate'"
    assert rows(mail) == [(1, "2026-04-15", "rate_template")]


def test_an_enrolment_without_a_trigger_date_is_not_repeated_either(
    machine: Machine, tmp_path: Path, bucket: MemoryBucket
) -> None:
    done(machine.run())
    edit(bucket, tmp_path, *INSTANCE)
    done(machine.handle(contact_changed("1", enrol(1, campaign_instance_id=4))))
    again = done(machine.handle(contact_changed("2", enrol(1, campaign_instance_id=4))))
    assert (again.items, again.changed) == (ItemCounts(enrolments_repeated=1), False)


def test_an_enrolment_waits_for_its_campaign(machine: Machine, tmp_path: Path, bucket: MemoryBucket) -> None:
    wish = enrol(1, campaign_type="rate", instance_name="spring", trigger_date="2026-04-15")
    assert done(machine.handle(contact_changed("1", wish))).items == ItemCounts(parked=1)
    edit(bucket, tmp_path, *INSTANCE)
    assert done(machine.run(2)).items == ItemCounts(enrolments=1, unparked=1)
