"""Rows out, and the diff against the stored ones (R3, R7, R75, R90-R93)."""

from datetime import date

import pytest

from core.planning.calendar import day_number
from core.planning.columns import NULL_ID
from core.planning.diff import Difference, diff_schedule
from core.planning.plan import plan
from tests.orgs import Org

TODAY = "2025-03-10"
# The birthday mail of a contact born on 15 June 1960: event 2025-06-15, send 2025-06-01.
CONTENT: dict[str, object] = {
    "contact_id": 1, "email_type": "birthday", "campaign_instance_id": None, "event_date": "2025-06-15",
    "scheduled_send_date": "2025-06-01", "scheduled_send_time": "08:30:00", "status": "pre-scheduled", "skip_reason": None,
    "priority": 10, "email_template": "birthday_template", "sms_template": None, "scheduler_run_id": "earlier",
}  # fmt: skip


def org_of(**config: object) -> Org:
    org = Org(**{"aep_enabled": False, "enable_post_window_emails": False, **config})
    org.contact(birth_date="1960-06-15")
    org.db.execute("DROP INDEX ux_schedules_identity")  # a file before its first run may hold duplicates
    return org


def stored(org: Org, **values: object) -> int:
    """A row that is as the plan wants it, but for ``values``."""
    return org.insert("email_schedules", **{**CONTENT, **values})


def difference(org: Org, today: str = TODAY) -> Difference:
    day = day_number(date.fromisoformat(today))
    snapshot = org.read(today).snapshot
    return diff_schedule(plan(snapshot, org.config, day).rows, snapshot.schedule, day)


def summary(org: Org, today: str = TODAY) -> dict[str, object]:
    """What is to be done: inserted contacts, ids updated, deleted, missed, and the counts."""
    changes = difference(org, today).changes
    return {
        "insert": changes.inserts.contact_id.tolist(),
        "update": changes.updates.row_id.tolist(),
        "delete": changes.delete_row_ids.tolist(),
        "missed": changes.missed_row_ids.tolist(),
        "unchanged": changes.unchanged_count,
        "dropped": changes.dropped_locked_count,
    }


def expected(**values: object) -> dict[str, object]:
    nothing: dict[str, object] = {"insert": [], "update": [], "delete": [], "missed": [], "unchanged": 0, "dropped": 0}
    return {**nothing, **values}


# ------------------------------------------------------------------------------------------------ R75, R90


def test_r75_a_planned_row_has_all_its_columns() -> None:
    rows = org_of(send_time_hour=0, send_time_minute=7).plan(TODAY).rows
    assert (int(rows.contact_id[0]), int(rows.instance_id[0]), int(rows.parent_id[0])) == (1, NULL_ID, NULL_ID)
    assert tuple(rows.kinds[rows.kind[0]]) == (
        "birthday",
        "pre-scheduled",
        None,
        "00:07:00",
        10,
        "birthday_template",
        None,
    )


def test_r75_a_skipped_row_says_why() -> None:
    org = org_of()
    org.db.execute("UPDATE contacts SET state = 'NY'")
    rows = org.plan(TODAY).rows
    assert rows.kinds[rows.kind[0]][:3] == ("birthday", "skipped", "exclusion:year_round:NY")


# ------------------------------------------------------------------------------------------------ R91


def test_r91_a_missing_row_is_inserted() -> None:
    assert summary(org_of()) == expected(insert=[1])


def test_r91_an_equal_row_is_not_touched() -> None:
    org = org_of()
    stored(
        org,
        scheduler_run_id=None,
        created_at="2001-01-01",
        updated_at="2001-01-01",
        metadata="own",
        actual_send_datetime="x",
    )
    assert summary(org) == expected(unchanged=1)


@pytest.mark.parametrize(
    "values",
    [
        {"scheduled_send_date": "2025-06-02"}, {"scheduled_send_date": "2025-01-02"}, {"scheduled_send_time": "08:30"},
        {"status": "skipped"}, {"status": "skipped", "skip_reason": "frequency_limit"}, {"skip_reason": "left over"},
        {"skip_reason": ""}, {"priority": 11}, {"email_template": None}, {"email_template": ""}, {"sms_template": ""},
        {"scheduled_send_date": ""}, {"scheduled_send_date": "2025-06-01 "}, {"scheduled_send_date": "2025-06-31"},
        {"campaign_instance_id": 0},  # the same identity (R7), another content (R90)
    ],
)  # fmt: skip
def test_r91_a_row_that_differs_is_updated_in_place(values: dict[str, object]) -> None:
    org = org_of()
    row = stored(org, **values)
    assert summary(org) == expected(update=[row])


def test_r91_a_moved_date_is_an_update_with_the_new_date() -> None:
    org = org_of()
    row = stored(org, scheduled_send_date="2025-05-30")
    updates = difference(org).changes.updates
    assert (updates.row_id.tolist(), updates.send_day.tolist()) == ([row], [day_number(date(2025, 6, 1))])


@pytest.mark.parametrize(
    "values",
    [
        {"event_date": "2025-06-16"},
        {"email_type": "post_window"},
        {"contact_id": 2},
        {"campaign_instance_id": 7},
        {"event_date": "bad"},
    ],
)
def test_r7_another_identity_is_another_row(values: dict[str, object]) -> None:
    org = org_of()
    row = stored(org, **values)
    assert summary(org) == expected(insert=[1], delete=[row])


def test_r7_a_parent_is_no_part_of_the_identity_of_other_mail() -> None:
    """Only follow-ups have one; what else carries it is content that R90 does not list."""
    org = org_of()
    stored(org, parent_schedule_id=77)
    assert summary(org) == expected(unchanged=1)


def test_r91_of_several_rows_of_one_identity_the_lowest_id_counts() -> None:
    org = org_of()
    first = stored(org, priority=99)
    rest = [stored(org, campaign_instance_id=0), stored(org)]
    assert summary(org) == expected(update=[first], delete=rest)


def test_r91_duplicates_of_what_nobody_wants_go_whatever_their_day() -> None:
    org = org_of()
    org.db.execute("DELETE FROM contacts")
    stored(org, status="skipped", scheduled_send_date="2025-01-01")  # history
    second = stored(org, status="skipped", scheduled_send_date="2025-01-02")
    assert summary(org) == expected(delete=[second])


@pytest.mark.parametrize("status", ["scheduled", "bounced", "cancelled", "anything"])
def test_r91_what_a_locked_row_holds_is_dropped_and_counted(status: str) -> None:
    """R33 and R57 keep most planned mail away from locked rows. A follow-up meets one where the follow-up of its parent
    was taken so long ago that R81 does not see it any more."""
    org = org_of(lookahead_days=1)
    sent = org.locked(1, "birthday", "2025-06-15", scheduled_send_date="2025-03-08")
    org.locked(1, "followup_2_clicked_no_hq", "2025-06-15", status=status, parent_schedule_id=sent,
               scheduled_send_date="2024-01-01")  # fmt: skip
    assert summary(org) == expected(dropped=1)


def test_r91_our_row_beside_a_locked_one_of_its_identity_goes() -> None:
    org = org_of()
    org.locked(1, "birthday", "2025-06-15", status="scheduled", scheduled_send_date="2025-06-01")
    row = stored(org)
    assert summary(org) == expected(delete=[row])


def test_r3_locked_rows_are_never_touched() -> None:
    org = org_of()
    org.db.execute("DELETE FROM contacts")
    for status in (
        "scheduled",
        "processing",
        "accepted",
        "deferred",
        "sent",
        "delivered",
        "failed",
        "bounced",
        "dropped",
        "cancelled",
        "",
    ):
        org.locked(1, "birthday", "2025-06-15", status=status)
    assert summary(org) == expected()


# ------------------------------------------------------------------------------------------------ R91, R86: follow-ups


def followed(**values: object) -> tuple[Org, int]:
    """An org with a mail that went out two days ago, and the follow-up of its plan as a stored row."""
    org = org_of(lookahead_days=1)
    sent = org.locked(1, "effective_date", "2025-04-01", scheduled_send_date="2025-03-08", priority=20)
    row = stored(org, **{
        "email_type": "followup_1_cold", "parent_schedule_id": sent, "event_date": "2025-04-01", "priority": 20,
        "scheduled_send_date": "2025-03-10", "email_template": "followup_1_cold_template", **values,
    })  # fmt: skip
    return org, row


def test_r91_an_equal_follow_up_is_not_touched() -> None:
    org, _ = followed()
    assert summary(org) == expected(unchanged=1)


def test_r86_a_follow_up_of_another_type_is_the_same_row() -> None:
    org, row = followed()
    org.insert("tracking_clicks", contact_id=1, tracking_id="t", clicked_at="2025-03-09")
    updates = difference(org).changes.updates
    assert updates.row_id.tolist() == [row]
    assert [updates.kinds[k].email_type for k in updates.kind] == ["followup_2_clicked_no_hq"]


@pytest.mark.parametrize(
    "values", [{"event_date": "2025-04-02"}, {"campaign_instance_id": 3}, {"event_date": "2025-4-1"}]
)
def test_r7_a_follow_up_is_its_contact_and_parent(values: dict[str, object]) -> None:
    org, row = followed(**values)
    assert summary(org) == expected(update=[row])


def test_r7_a_follow_up_of_another_parent_is_another_row() -> None:
    org, row = followed(parent_schedule_id=999)
    assert summary(org) == expected(insert=[1], delete=[row])


def test_r91_several_follow_ups_of_one_parent_are_duplicates_whatever_their_type() -> None:
    org, row = followed()
    parent = org.db.execute("SELECT parent_schedule_id FROM email_schedules WHERE id = ?", (row,)).fetchone()[0]
    second = stored(org, email_type="followup_3_hq_no_yes", parent_schedule_id=parent, event_date="2025-04-01")
    assert summary(org) == expected(unchanged=1, delete=[second])


# ------------------------------------------------------------------------------------------------ R92


@pytest.mark.parametrize(
    ("status", "send", "fate"),
    [
        ("pre-scheduled", "2025-03-10", "delete"), ("pre-scheduled", "2025-03-11", "delete"),
        ("pre-scheduled", "2025-03-09", "missed"),
        ("pre-scheduled", "2001-01-01", "missed"),
        ("skipped", "2025-03-10", "delete"), ("skipped", "2025-03-09", None), ("skipped", "2001-01-01", None),
        # What is no date has no day that passed.
        ("pre-scheduled", "", "delete"), ("skipped", "garbage", "delete"), ("pre-scheduled", "2025-02-30", "delete"),
    ],
)  # fmt: skip
def test_r92_rows_that_the_plan_does_not_have(status: str, send: str, fate: str | None) -> None:
    org = org_of()
    org.db.execute("DELETE FROM contacts")
    row = stored(org, status=status, scheduled_send_date=send, skip_reason="why" if status == "skipped" else None)
    assert summary(org) == (expected() if fate is None else expected(**{fate: [row]}))


def test_r92_a_row_of_the_plan_is_not_missed_although_its_day_passed() -> None:
    """The sender was down on 1 June: the mail is late, and the row moves."""
    org = org_of()
    row = stored(org)
    assert summary(org, "2025-06-03") == expected(update=[row])


def test_r92_the_day_after_the_birthday_the_unsent_mail_was_missed() -> None:
    org = org_of()
    row = stored(org, scheduled_send_date="2025-06-10")
    assert summary(org, "2025-06-16") == expected(insert=[1], missed=[row])  # and next year's is planned


# ------------------------------------------------------------------------------------------------ R93


@pytest.mark.parametrize("state", ["TX", "CA", "NY"])
def test_r93_a_plan_compared_with_itself_changes_nothing(state: str) -> None:
    org = Org()
    org.contact(state=state, birth_date="1960-06-15", effective_date="2010-10-01")
    rows = org.plan(TODAY).rows
    for i in range(len(rows)):
        kind = rows.kinds[rows.kind[i]]
        stored(
            org, **kind._asdict(),
            event_date=str(date.fromordinal(int(rows.event_day[i]) + 719_163)),
            scheduled_send_date=str(date.fromordinal(int(rows.send_day[i]) + 719_163)),
        )  # fmt: skip
    found = difference(org)
    assert (found.changes.is_empty, found.changes.unchanged_count) == (True, len(rows))
    assert found.before.tolist() == found.after.tolist()


def test_r96_the_digest_after_a_run_is_the_digest_before_the_next() -> None:
    """Missed, history, updated, inserted and deleted rows in one; what the writer does is done here by hand."""
    org = org_of()
    stored(org, priority=99)
    stored(org, event_date="2024-06-15", scheduled_send_date="2024-06-01")
    stored(org, event_date="2023-06-15", scheduled_send_date="2023-06-01", status="skipped", skip_reason="why")
    stored(org, event_date="2026-06-15", scheduled_send_date="2026-06-01")
    after = difference(org).after
    org.db.execute("UPDATE email_schedules SET priority = 10 WHERE id = 1")
    org.db.execute("UPDATE email_schedules SET status = 'skipped', skip_reason = 'missed_send_date' WHERE id = 2")
    org.db.execute("DELETE FROM email_schedules WHERE id = 4")
    assert difference(org).before.tolist() == after.tolist()
