"""mail.reported on a whole machine: claims are granted or refused, facts are recorded (docs/data-events.md)."""

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from core.runs.changes import apply_events
from core.runs.mail_stages import STAGES, stage_of
from core.runs.service import Handled
from events.payloads import ItemCounts, RunCompleted
from infra.memory_bucket import MemoryBucket
from infra.org_db import SqliteOrgStore
from tests.data_events import (
    Item,
    answer,
    claim,
    contact_changed,
    delete,
    mail_reported,
    report,
    unsubscribe,
    upsert,
)
from tests.machines import ACME, NOW, OBJECT, Machine, put_org, rows_in
from tests.recoveries import edit

Rows = Callable[[str], list[tuple[Any, ...]]]

# Contact n has a birthday on 2026-04-<n + 1> (put_org), so its mail is planned for 14 days before.
EVENT_1, SEND_1 = "2026-04-02", "2026-03-19"
EVENT_2, SEND_2 = "2026-04-03", "2026-03-20"
NEW_CONFIG = "INSERT INTO config_versions (config_data, valid_from) VALUES ('{}', '2026-01-01 00:00:00')"
OPEN_LOG = "INSERT INTO campaign_change_log (campaign_instance_id, field_changed, changed_at) VALUES (1, 'x', 'now')"
STATES = "SELECT status, actual_send_datetime FROM email_schedules WHERE contact_id = 1 AND email_type = 'birthday'"


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def machine(tmp_path: Path, bucket: MemoryBucket) -> Machine:
    put_org(bucket, tmp_path)
    machine = Machine(tmp_path, bucket)
    done(machine.run("first"))
    return machine


@pytest.fixture
def rows(tmp_path: Path, bucket: MemoryBucket) -> Rows:
    return lambda sql: rows_in(bucket, tmp_path, sql)


def done(handled: Handled) -> RunCompleted:
    assert handled.outcome == "done", handled.error
    assert handled.completed is not None
    return handled.completed


def refusals(completed: RunCompleted) -> list[str]:
    return [refused.code for claims in completed.claims for refused in claims.refused]


# ------------------------------------------------------------------------------------------------ claims


def test_a_claim_of_an_unchanged_row_is_granted_and_locks_it(machine: Machine, rows: Rows) -> None:
    [(row_id,)] = rows("SELECT id FROM email_schedules WHERE contact_id = 1 AND email_type = 'birthday'")
    event = mail_reported(
        "c", claim(1, EVENT_1, SEND_1, scheduled_send_time="08:30:00", email_template="birthday_template")
    )
    completed = done(machine.handle(event))
    [claims] = completed.claims
    assert (claims.event.id, claims.refused) == ("c", ())
    [granted] = claims.granted
    assert (granted.index, granted.id, granted.row.contact_id, granted.row.event_date) == (0, row_id, 1, EVENT_1)
    assert rows(STATES) == [("scheduled", None)]
    assert "schedule_edited" not in completed.warnings  # the rows before the run were as the run before left them
    assert "schedule_edited" not in done(machine.run("next")).warnings


def test_a_claim_is_granted_once(machine: Machine) -> None:
    first = done(machine.handle(mail_reported("1", claim(1, EVENT_1, SEND_1), claim(1, EVENT_1, SEND_1))))
    assert (len(first.claims[0].granted), refusals(first)) == (1, ["not_ours"])
    assert refusals(done(machine.handle(mail_reported("2", claim(1, EVENT_1, SEND_1))))) == ["not_ours"]


def test_a_redelivered_claim_hears_what_it_heard(machine: Machine) -> None:
    event = mail_reported("1", claim(1, EVENT_1, SEND_1), claim(2, EVENT_2, "2026-03-21"))
    first, again = done(machine.handle(event)), done(machine.handle(event))
    assert (again.replayed, again.claims, again.items) == (True, first.claims, first.items)
    assert (first.items.claims_granted, first.items.claims_refused) == (1, 1)


def test_a_claim_that_was_refused_stays_refused_when_it_comes_again(machine: Machine, tmp_path: Path) -> None:
    event = mail_reported("1", claim(9, EVENT_1, SEND_1))
    first = done(machine.handle(event))
    assert (refusals(first), first.changed) == (["no_such_row"], True)  # what was told is remembered
    edit(
        machine.bucket, tmp_path,
        "INSERT INTO email_schedules (contact_id, email_type, event_date, scheduled_send_date) "
        f"VALUES (9, 'birthday', '{EVENT_1}', '{SEND_1}')",
    )  # fmt: skip
    assert done(machine.handle(event)).claims == first.claims


def test_thousands_of_claims_are_repeated_word_for_word_from_a_record_that_is_small(
    machine: Machine, rows: Rows
) -> None:
    event = mail_reported("many", *(claim(contact, EVENT_1, SEND_1) for contact in range(1, 5_001)))
    first, again = done(machine.handle(event)), done(machine.handle(event))
    assert (again.replayed, again.claims) == (True, first.claims)
    assert (first.items.claims_granted, first.items.claims_refused) == (1, 4_999)
    told = len(machine.bus.messages[-1].data)
    [(stored,)] = rows("SELECT max(length(completion_json)) FROM scheduler_runs")
    assert 10 * stored < told < 1_500_000


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (claim(1, EVENT_1, "2026-03-18"), "row_changed"),
        (claim(1, EVENT_1, SEND_1, scheduled_send_time="09:00:00"), "row_changed"),
        (claim(1, EVENT_1, SEND_1, email_template="other"), "row_changed"),
        (claim(1, EVENT_1, SEND_1, sms_template="other"), "row_changed"),
        (claim(1, EVENT_2, SEND_1), "no_such_row"),
        (claim(1, EVENT_1, SEND_1, "effective_date"), "no_such_row"),
        (claim(1, EVENT_1, SEND_1, campaign_instance_id=3), "no_such_row"),
        (claim(7, EVENT_1, SEND_1), "no_such_row"),
    ],
)
def test_a_claim_of_another_row_than_there_is_is_refused(machine: Machine, rows: Rows, wish: Item, code: str) -> None:
    before = rows("SELECT * FROM email_schedules")
    assert refusals(done(machine.handle(mail_reported("1", wish)))) == [code]
    assert rows("SELECT * FROM email_schedules") == before


def test_the_id_of_a_claim_is_a_hint_and_the_identity_wins(machine: Machine, rows: Rows) -> None:
    [(other,)] = rows("SELECT id FROM email_schedules WHERE contact_id = 2 AND email_type = 'birthday'")
    completed = done(machine.handle(mail_reported("1", claim(1, EVENT_1, SEND_1, id=other))))
    assert completed.claims[0].granted[0].row.contact_id == 1
    assert rows(STATES) == [("scheduled", None)]


def test_a_skipped_row_and_a_past_one_are_not_claimed(machine: Machine, tmp_path: Path) -> None:
    edit(
        machine.bucket, tmp_path,
        "UPDATE email_schedules SET scheduled_send_date = '2026-03-01' WHERE contact_id = 1 AND email_type = 'birthday'",
        "UPDATE email_schedules SET status = 'skipped', skip_reason = 'x' WHERE contact_id = 2 AND email_type = 'birthday'",
    )  # fmt: skip
    event = mail_reported("1", claim(1, EVENT_1, "2026-03-01"), claim(2, EVENT_2, SEND_2))
    assert refusals(done(machine.handle(event))) == ["date_past", "skipped"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (unsubscribe(1), "contact_suppressed"),
        (delete(1), "contact_suppressed"),
        (upsert(1, birth_date="1960-04-09"), "replan_first"),
        (upsert(2, birth_date="1960-04-09"), None),
        (upsert(1, email="person1@example.com"), None),  # nothing new
        (answer(1), None),  # only follow-ups look at it
    ],
)
def test_a_claim_is_judged_by_what_arrives_beside_it(
    machine: Machine, tmp_path: Path, bucket: MemoryBucket, change: Item, code: str | None
) -> None:
    machine.run("again")
    found = _apply(
        bucket, tmp_path, machine, mail_reported("1", claim(1, EVENT_1, SEND_1)), contact_changed("2", change)
    )
    assert [refused.code for refused in found.claims[0].refused] == ([] if code is None else [code])


def test_a_claim_after_an_import_that_suppressed_the_contact_is_refused(machine: Machine, tmp_path: Path) -> None:
    edit(machine.bucket, tmp_path, "UPDATE contacts SET status = 'Deceased' WHERE id = 1")
    assert refusals(done(machine.handle(mail_reported("1", claim(1, EVENT_1, SEND_1))))) == ["contact_suppressed"]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE contacts SET zip_code = '10001' WHERE id = 1", "replan_first"),  # New York
        ("UPDATE contacts SET state = 'CA' WHERE id = 1", "replan_first"),
        ("UPDATE contacts SET state = 'California' WHERE id = 1", "replan_first"),
        ("UPDATE contacts SET email = 'nobody' WHERE id = 1", "replan_first"),
        ("UPDATE contacts SET zip_code = '10001' WHERE id = 2", None),
        ("UPDATE contacts SET state = 'KS' WHERE id = 1", None),
        (NEW_CONFIG.format('{"state_rules": {"TX": {"type": "year_round"}}}'), "replan_first"),
        (NEW_CONFIG.format('{"state_rules": {"KS": {"type": "year_round"}}}'), None),
        (OPEN_LOG, "replan_first"),
    ],
)
def test_a_claim_is_judged_by_what_was_imported_since_the_plan(
    machine: Machine, tmp_path: Path, statement: str, code: str | None
) -> None:
    edit(machine.bucket, tmp_path, statement)
    completed = done(machine.handle(mail_reported("1", claim(1, EVENT_1, SEND_1))))
    assert refusals(completed) == ([] if code is None else [code])


def test_a_claim_of_a_campaign_that_bypasses_windows_is_granted_in_one(machine: Machine, tmp_path: Path) -> None:
    edit(
        machine.bucket, tmp_path,
        "UPDATE contacts SET state = 'NY' WHERE id = 1",
        "INSERT INTO campaign_types (name, respect_exclusion_windows, target_all_contacts) VALUES ('notice', 0, 1)",
        "INSERT INTO campaign_instances (id, campaign_type, instance_name, active_start_date) "
        "VALUES (4, 'notice', 'one', '2026-03-02')",
    )  # fmt: skip
    done(machine.run("with the campaign"))
    wish = claim(1, "2026-03-02", "2026-03-02", "campaign_notice", campaign_instance_id=4)
    assert len(done(machine.handle(mail_reported("1", wish))).claims[0].granted) == 1


def test_a_mail_that_went_out_is_not_granted_again_by_a_second_row_of_its_identity(
    machine: Machine, tmp_path: Path
) -> None:
    copy = (
        "INSERT INTO email_schedules (contact_id, email_type, event_date, scheduled_send_date, status) "
        "SELECT contact_id, email_type, event_date, scheduled_send_date, {} FROM email_schedules "
        "WHERE contact_id = {} AND email_type = 'birthday'"
    )
    edit(
        machine.bucket, tmp_path,
        "DROP INDEX ux_schedules_identity", copy.format("'sent'", 1), copy.format("status", 2),
    )  # fmt: skip
    twice = claim(2, EVENT_2, SEND_2)
    completed = done(machine.handle(mail_reported("1", claim(1, EVENT_1, SEND_1), twice, twice)))
    assert (refusals(completed), len(completed.claims[0].granted)) == (["not_ours", "not_ours"], 1)


@pytest.mark.parametrize("claims_first", [True, False])
def test_a_claim_beside_news_of_a_mail_that_nobody_claimed_waits_for_the_plan(
    machine: Machine, rows: Rows, claims_first: bool
) -> None:
    """What went out five days apart is the same birthday's mail (R33): the plan takes the other one back."""
    items = [claim(1, EVENT_1, SEND_1), report(1, "sent", "2026-04-07")]
    completed = done(machine.handle(mail_reported("1", *(items if claims_first else reversed(items)))))
    assert refusals(completed) == ["replan_first"]
    assert rows(STATES.replace("status", "event_date")) == [("2026-04-07", "2026-03-02 06:00:00")]


def test_on_hold_claims_are_refused_and_facts_and_data_recorded(
    machine: Machine, tmp_path: Path, bucket: MemoryBucket
) -> None:
    events = (
        mail_reported("1", claim(1, EVENT_1, SEND_1), report(2, "sent", EVENT_2)),
        contact_changed("2", upsert(3, first_name="Ada")),
    )
    held = _apply(bucket, tmp_path, machine, *events, on_hold=True)
    assert [refused.code for refused in held.claims[0].refused] == ["on_hold"]
    assert held.counts == ItemCounts(claims_refused=1, facts_recorded=1, upserts_applied=1)
    after = _apply(bucket, tmp_path, machine, mail_reported("3", claim(1, EVENT_1, SEND_1)), keep=True)
    assert [refused.code for refused in after.claims[0].refused] == ["replan_first"]  # nothing was planned meanwhile
    later = _apply(bucket, tmp_path, machine, mail_reported("4", claim(1, EVENT_1, SEND_1)), keep=True)
    assert len(later.claims[0].granted) == 1


def _apply(
    bucket: MemoryBucket, folder: Path, machine: Machine, *events: Any, on_hold: bool = False, keep: bool = False
) -> Any:
    """Apply events together to a copy of the live object; ``keep``: to the copy of the last time."""
    file = folder / "applied.db"
    if not keep:
        file.unlink(missing_ok=True)
        live = bucket.stat(OBJECT)
        assert live is not None
        bucket.download(OBJECT, live.generation, str(file))
    db = SqliteOrgStore().open(str(file), ACME)
    try:
        return apply_events(db, events, machine.clock, on_hold=on_hold)
    finally:
        db.close()


# ------------------------------------------------------------------------------------------------ facts


def test_a_fact_is_recorded_at_the_local_time_of_the_org(machine: Machine, rows: Rows) -> None:
    sent = report(1, "sent", EVENT_1, sent_at="2026-03-02T05:31:04-06:00")
    assert done(machine.handle(mail_reported("1", sent))).items == ItemCounts(facts_recorded=1)
    assert rows(STATES) == [("sent", "2026-03-02 05:31:04")]


def test_a_fact_changes_no_content(machine: Machine, rows: Rows) -> None:
    content = """SELECT email_type, event_date, scheduled_send_date, scheduled_send_time, skip_reason, priority,
                 email_template, sms_template, scheduler_run_id, created_at FROM email_schedules
                 WHERE contact_id = 1 AND email_type NOT LIKE 'followup%'"""
    before = rows(content)
    done(
        machine.handle(
            mail_reported("1", report(1, "sent", EVENT_1), report(1, "bounced", "2026-06-02", "effective_date"))
        )
    )
    assert rows(content) == before


def test_a_fact_about_a_skipped_row_is_recorded(machine: Machine, tmp_path: Path, rows: Rows) -> None:
    edit(
        machine.bucket,
        tmp_path,
        "UPDATE email_schedules SET status = 'skipped', skip_reason = 'x' WHERE contact_id = 1",
    )
    done(machine.handle(mail_reported("1", report(1, "delivered", EVENT_1))))
    assert rows(STATES) == [("delivered", "2026-03-02 06:00:00")]  # no moment is told: when it was reported


def test_a_fact_about_a_mail_without_a_row_makes_one_that_is_locked(machine: Machine, rows: Rows) -> None:
    gone = report(1, "bounced", "2026-01-05", "campaign_x", campaign_instance_id=3, sent_at="2026-02-03T03:00:00Z")
    assert done(machine.handle(mail_reported("1", gone))).items == ItemCounts(facts_recorded=1, facts_inserted=1)
    done(machine.run("next"))
    columns = (
        "contact_id, campaign_instance_id, event_date, scheduled_send_date, priority, status, actual_send_datetime"
    )
    assert rows(f"SELECT {columns} FROM email_schedules WHERE email_type = 'campaign_x'") == [
        (1, 3, "2026-01-05", "2026-02-02", 10, "bounced", "2026-02-02 21:00:00")
    ]


def test_a_mail_that_was_reported_is_not_planned_again(machine: Machine, rows: Rows) -> None:
    done(machine.handle(mail_reported("1", report(1, "failed", EVENT_1), report(2, "sent", "2026-04-20"))))
    planned = "SELECT contact_id FROM email_schedules WHERE email_type = 'birthday' AND status = 'pre-scheduled'"
    assert rows(planned) == [(3,)]  # R33: 2026-04-20 is less than 180 days from contact 2's birthday


def test_a_fact_said_twice_is_stale_the_second_time(machine: Machine) -> None:
    sent = report(1, "sent", EVENT_1, sent_at="2026-03-02T11:00:00Z")
    done(machine.handle(mail_reported("1", sent)))
    again = done(machine.handle(mail_reported("2", sent)))
    assert (again.items, again.changed) == (ItemCounts(facts_stale=1), False)


def test_facts_in_any_order_end_the_same(machine: Machine, tmp_path: Path, bucket: MemoryBucket) -> None:
    facts = [
        mail_reported("1", report(1, "accepted", EVENT_1)),
        mail_reported("2", report(1, "sent", EVENT_1, sent_at="2026-03-02T11:00:00Z")),
        mail_reported("3", report(1, "delivered", EVENT_1), time=NOW + timedelta(minutes=4)),
        mail_reported("4", report(1, "failed", EVENT_1)),
    ]
    for order in permutations(facts):
        for number, fact in enumerate(order):
            _apply(bucket, tmp_path, machine, fact, keep=number > 0)
        assert _file_rows(tmp_path, STATES) == [("delivered", "2026-03-02 05:00:00")]


def _file_rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(folder / "applied.db")
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def test_the_order_of_statuses_is_the_one_that_is_documented() -> None:
    assert STAGES.index("scheduled") == 0
    assert stage_of("pre-scheduled") == stage_of("skipped") < stage_of("scheduled")
    assert stage_of("cancelled") < stage_of("sent") < stage_of("opened") < stage_of("failed")
    assert stage_of("failed") < stage_of("delivered") < stage_of("bounced")


def test_a_follow_up_is_known_by_its_parent_whatever_type_and_date_it_has_by_now(
    machine: Machine, tmp_path: Path, rows: Rows
) -> None:
    done(machine.handle(mail_reported("1", report(1, "sent", EVENT_1, sent_at="2026-03-01T15:00:00Z"))))
    [(parent,)] = rows("SELECT id FROM email_schedules WHERE status = 'sent'")
    followup = """SELECT email_type, parent_schedule_id, scheduled_send_date FROM email_schedules
                  WHERE email_type LIKE 'followup%'"""
    assert rows(followup) == [("followup_1_cold", parent, "2026-03-03")]
    wrong_type = claim(1, EVENT_1, "2026-03-03", "followup_2_clicked_no_hq", parent_schedule_id=parent)
    assert refusals(done(machine.handle(mail_reported("2", wrong_type)))) == ["row_changed"]
    # Sent as the sender had read it, with a date that nobody knows: one row, and the plan's own type.
    fact = report(1, "sent", "2020-01-01", "followup_2_clicked_no_hq", parent_schedule_id=parent)
    assert done(machine.handle(mail_reported("3", fact))).items.facts_inserted == 0
    assert rows("SELECT email_type, status FROM email_schedules WHERE email_type LIKE 'followup%'") == [
        ("followup_1_cold", "sent")
    ]


def test_a_follow_up_claim_is_refused_where_the_contact_just_answered(
    machine: Machine, tmp_path: Path, bucket: MemoryBucket, rows: Rows
) -> None:
    done(machine.handle(mail_reported("1", report(1, "sent", EVENT_1, sent_at="2026-03-01T15:00:00Z"))))
    [(parent,)] = rows("SELECT id FROM email_schedules WHERE status = 'sent'")
    wish = claim(1, EVENT_1, "2026-03-03", "followup_1_cold", parent_schedule_id=parent)
    found = _apply(bucket, tmp_path, machine, mail_reported("2", wish), contact_changed("3", answer(1)))
    assert [refused.code for refused in found.claims[0].refused] == ["replan_first"]


def test_rows_are_found_without_an_index_over_identities(
    machine: Machine, tmp_path: Path, bucket: MemoryBucket
) -> None:
    edit(bucket, tmp_path, "DROP INDEX ux_schedules_identity")
    found = _apply(bucket, tmp_path, machine, mail_reported("1", claim(1, EVENT_1, SEND_1), claim(2, EVENT_2, SEND_2)))
    assert len(found.claims[0].granted) == 2
