"""Follow-ups (R80-R86): one per contact, about the latest mail, worded by what the contact did since."""

from datetime import date, timedelta

import pytest

from tests.orgs import Org

TODAY = "2025-05-10"
SENT_DAY = date(2025, 5, 8)


def org_of(*contacts: dict[str, object], **config: object) -> Org:
    base = {"aep_enabled": False, "enable_post_window_emails": False, "lookahead_days": 1}
    org = Org(**{**base, **config})
    for contact in contacts or ({},):
        org.contact(**contact)
    return org


def parent(org: Org, email_type: str = "birthday", days_ago: int = 2, **values: object) -> int:
    """A mail of the first contact that went out so many days before 10 May."""
    send = date.fromisoformat(TODAY) - timedelta(days=days_ago)
    columns = {"contact_id": 1, "email_type": email_type, "event_date": "2025-05-22", "status": "sent", **values}
    return org.insert("email_schedules", **{"scheduled_send_date": str(send), **columns})


def followups(org: Org, today: str = TODAY) -> list[tuple[str, str, str | None]]:
    found = [m for m in org.mails(today) if m.email_type.startswith("followup_")]
    return [(m.email_type, str(m.send), m.reason) for m in found]


def row_of(org: Org, today: str = TODAY) -> dict[str, object]:
    rows = org.plan(today).rows
    (i,) = [i for i in range(len(rows)) if rows.kinds[rows.kind[i]].email_type.startswith("followup_")]
    kind = rows.kinds[rows.kind[i]]
    return {"parent": int(rows.parent_id[i]), "instance": int(rows.instance_id[i]), "event": int(rows.event_day[i]),
            "priority": kind.priority, "templates": kind[5:], "time": kind.scheduled_send_time}  # fmt: skip


COLD = [("followup_1_cold", "2025-05-10", None)]


# ------------------------------------------------------------------------------------------------ R80


@pytest.mark.parametrize("status", ["sent", "delivered"])
@pytest.mark.parametrize("email_type", ["birthday", "effective_date", "aep", "post_window"])
def test_r80_mail_that_went_out_is_followed(email_type: str, status: str) -> None:
    org = org_of()
    parent(org, email_type, status=status)
    assert followups(org) == COLD


@pytest.mark.parametrize(
    "status",
    [
        "scheduled",
        "processing",
        "accepted",
        "deferred",
        "failed",
        "bounced",
        "dropped",
        "cancelled",
        "skipped",
        "pre-scheduled",
    ],
)
def test_r80_other_mail_is_not(status: str) -> None:
    org = org_of()
    parent(org, status=status)
    assert followups(org) == []


@pytest.mark.parametrize("email_type", ["welcome", "campaign", "campaign_gone", "followup_1_cold", "Birthday"])
def test_r80_mail_of_other_types_is_not(email_type: str) -> None:
    org = org_of()
    parent(org, email_type)
    assert followups(org) == []


@pytest.mark.parametrize(("days_ago", "count"), [(-1, 0), (0, 1), (1, 1), (35, 1), (36, 0)])
def test_r80_the_lookback_includes_both_ends(days_ago: int, count: int) -> None:
    org = org_of()
    parent(org, days_ago=days_ago)
    assert len(followups(org)) == count


@pytest.mark.parametrize(("days_ago", "count"), [(1, 1), (2, 0)])
def test_r80_the_lookback_is_the_orgs_own(days_ago: int, count: int) -> None:
    org = org_of(followup_lookback_days=1)
    parent(org, days_ago=days_ago)
    assert len(followups(org)) == count


def test_r5_the_day_is_that_of_the_actual_sending() -> None:
    org = org_of()
    parent(org, days_ago=60, actual_send_datetime="2025-05-09T07:00:00Z")
    assert followups(org) == [("followup_1_cold", "2025-05-11", None)]


@pytest.mark.parametrize("contact", [{"email": "nobody"}, {"status": "deceased"}])
def test_r80_the_contact_must_still_be_schedulable(contact: dict[str, object]) -> None:
    org = org_of(contact)
    parent(org)
    assert followups(org) == []


def test_r10_follow_ups_can_be_switched_off() -> None:
    org = org_of(enable_followups=False)
    parent(org)
    assert followups(org) == []


@pytest.mark.parametrize(
    ("kind", "metadata", "count"),
    [
        ({"enable_followups": 1}, None, 1), ({"enable_followups": 0}, None, 0),
        ({"enable_followups": 0}, '{"enable_followups": true}', 1), ({"enable_followups": 1}, '{"enable_followups": 0}', 0),
        ({"enable_followups": 1}, '{"enable_followups": "no"}', 1),  # invalid: the type decides
        ({"enable_followups": 1, "active": 0}, None, 1),  # the type need not be active any more
    ],
)  # fmt: skip
def test_r80_a_campaign_says_whether_it_is_followed(kind: dict[str, object], metadata: str | None, count: int) -> None:
    org = org_of()
    org.campaign("news", **kind)
    number = org.instance("news", metadata=metadata, active_end_date="2025-05-09")  # over: does not matter
    parent(org, "campaign_news", campaign_instance_id=number)
    assert len(followups(org)) == count


@pytest.mark.parametrize("instance", [None, 99])
def test_r80_a_campaign_mail_needs_its_instance(instance: int | None) -> None:
    org = org_of()
    org.campaign("news")
    parent(org, "campaign_news", campaign_instance_id=instance)
    assert followups(org) == []


def test_r80_a_campaign_mail_needs_its_type() -> None:
    org = org_of()
    number = org.instance("news")
    parent(org, "campaign_news", campaign_instance_id=number)
    assert followups(org) == []


# ------------------------------------------------------------------------------------------------ R81


@pytest.mark.parametrize("status", ["sent", "scheduled", "bounced", "failed", "cancelled"])
def test_r81_a_follow_up_that_was_taken_is_the_last_for_a_while(status: str) -> None:
    org = org_of()
    first = parent(org, days_ago=20)
    org.locked(
        1, "followup_1_cold", "2025-05-22", status=status, scheduled_send_date="2025-04-22", parent_schedule_id=first
    )
    parent(org, "effective_date", days_ago=1)
    assert followups(org) == []


@pytest.mark.parametrize(("send", "count"), [("2025-04-05", 0), ("2025-04-04", 1)])
def test_r81_for_as_long_as_the_lookback(send: str, count: int) -> None:
    # 10 May - 35 days: 30 April is - 10, 5 April is - 35.
    org = org_of()
    org.locked(1, "followup_x", "2025-03-01", scheduled_send_date=send, parent_schedule_id=999)
    parent(org)
    assert len(followups(org)) == count


def test_r81_another_contacts_follow_up_does_not_matter() -> None:
    org = org_of({}, {})
    org.locked(2, "followup_1_cold", "2025-05-22", scheduled_send_date=TODAY)
    parent(org)
    assert followups(org) == COLD


def test_r81_exactly_one_for_the_latest_mail() -> None:
    org = org_of()
    parent(org, "birthday", days_ago=3)
    latest = parent(org, "effective_date", days_ago=1)
    parent(org, "aep", days_ago=2)
    assert row_of(org)["parent"] == latest


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ({"priority": 20}, {"priority": 10, "email_type": "aep"}, 2),
        ({"email_type": "effective_date"}, {"email_type": "birthday"}, 2),  # type code
        ({"email_type": "post_window"}, {"email_type": "aep"}, 2),
        ({"email_type": "campaign_news", "campaign_instance_id": 1}, {"email_type": "post_window"}, 2),
        ({"email_type": "campaign_news", "campaign_instance_id": 2},
        {"email_type": "campaign_news", "campaign_instance_id": 1}, 2),
        ({"event_date": "2025-05-22"}, {"event_date": "2025-05-21"}, 2),
        ({"actual_send_datetime": "2025-05-08 09:00:00"}, {"actual_send_datetime": "2025-05-08 10:00:00",
                                                           "event_date": "2025-05-23"}, 1),  # the day counts, not the hour
    ],
)  # fmt: skip
def test_r81_of_one_day_the_first_by_priority_type_instance_event(
    first: dict[str, object], second: dict[str, object], chosen: int
) -> None:
    org = org_of()
    org.campaign("news")
    for _ in range(2):
        org.instance("news")
    base = {"contact_id": 1, "email_type": "birthday", "event_date": "2025-05-22", "scheduled_send_date": str(SENT_DAY),
            "status": "sent", "priority": 10}  # fmt: skip
    ids = [org.insert("email_schedules", **{**base, **values}) for values in (first, second)]
    assert row_of(org)["parent"] == ids[chosen - 1]


# ------------------------------------------------------------------------------------------------ R82

SENT_AT = "2025-05-08 09:00:00"


def acted(org: Org, table: str, when: str | None, **values: object) -> None:
    if table == "tracking_clicks":
        org.insert(table, contact_id=1, tracking_id="t", clicked_at=when, **values)
    else:
        org.insert(table, **{"contact_id": 1, "event_type": "eligibility_answered", "created_at": when, **values})


def kind_of(org: Org) -> str:
    ((kind, _, _),) = followups(org)
    return kind.split("_")[1]


@pytest.mark.parametrize(
    ("when", "kind"),
    [
        ("2025-05-08 09:00:00", "2"),  # the very second counts
        ("2025-05-08 08:59:59", "1"),
        ("2025-05-08T09:00", "2"),
        ("2025-05-08 09:00:00.123456-05:00", "2"),  # the rest is ignored
        ("2025-05-08 08:59", "1"),
        ("2025-05-08", "1"),  # midnight
        ("2025-05-09", "2"),
        ("2026-01-01", "2"),
        (" 2025-05-08 09:00:00\t", "2"),  # white space is none of it
        ("\n2025-05-09 ", "2"),
        (None, "1"), ("", "1"), ("2025-05-09x", "1"), ("2025-05-09 9:00", "1"), ("2025-05-09 25:00:00", "1"),
        ("tomorrow", "1"),
        ("2025-05-09 10:60", "1"), ("05/09/2025", "1"),
    ],
)  # fmt: skip
def test_r82_a_click_since_the_mail_went_out(when: str | None, kind: str) -> None:
    org = org_of()
    parent(org, actual_send_datetime=SENT_AT)
    acted(org, "tracking_clicks", when)
    assert kind_of(org) == kind


@pytest.mark.parametrize(("sent_at", "when", "kind"), [
    (None, "2025-05-08 00:00:00", "2"), (None, "2025-05-07 23:59:59", "1"),  # else the scheduled day, from midnight on
    ("soon", "2025-05-08", "2"), ("2025-05-08", "2025-05-08", "2"), ("2025-05-08 09:00", "2025-05-08 08:59:59", "1"),
    (" 2025-05-08 09:00 ", "2025-05-08 08:59:59", "1"),
])  # fmt: skip
def test_r82_the_moment_of_sending(sent_at: str | None, when: str, kind: str) -> None:
    org = org_of()
    parent(org, actual_send_datetime=sent_at)
    acted(org, "tracking_clicks", when)
    assert kind_of(org) == kind


ANSWERS = [
    ('{"has_medical_conditions": true}', "4"), ('{"has_medical_conditions": false}', "3"),
    ('{"has_medical_conditions": 1}', "4"), ('{"has_medical_conditions": 0}', "3"),
    ('{"has_medical_conditions": -2.5}', "4"),
    ('{"has_medical_conditions": "true"}', "4"), ('{"has_medical_conditions": " YES\\n"}', "4"),
    ('{"has_medical_conditions": "1"}', "4"), ('{"has_medical_conditions": "no"}', "3"),
    ('{"has_medical_conditions": "y"}', "3"),
    ('{"has_medical_conditions": "2"}', "3"), ('{"has_medical_conditions": ""}', "3"),
    ('{"has_medical_conditions": null}', "3"),
    ('{"has_medical_conditions": [1]}', "3"), ('{"has_medical_conditions": {"a": 1}}', "3"),
    # The key decides where it is present, whatever the count says.
    ('{"has_medical_conditions": false, "main_questions_yes_count": 3}', "3"),
    ('{"has_medical_conditions": null, "main_questions_yes_count": 3}', "3"),
    ('{"main_questions_yes_count": 1}', "4"), ('{"main_questions_yes_count": 0}', "3"),
    ('{"main_questions_yes_count": 0.5}', "4"),
    ('{"main_questions_yes_count": -1}', "3"), ('{"main_questions_yes_count": "3"}', "3"),
    ('{"main_questions_yes_count": true}', "3"),
    ('{"main_questions_yes_count": null}', "3"),
    ("{}", "3"), ("[]", "3"), ("null", "3"), ("true", "3"), ("{broken", "3"), ("", "3"), (None, "3"),
]  # fmt: skip


@pytest.mark.parametrize(("metadata", "kind"), ANSWERS)
def test_r82_an_answer_is_yes_or_no(metadata: str | None, kind: str) -> None:
    org = org_of()
    parent(org)
    acted(org, "contact_events", "2025-05-09", metadata=metadata)
    assert kind_of(org) == kind


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (("2025-05-09 10:00", "true"), ("2025-05-09 11:00", "false"), "3"),
        (("2025-05-09 11:00", "true"), ("2025-05-09 10:00", "false"), "4"),
        (("2025-05-09 10:00", "true"), ("2025-05-09 10:00", "false"), "3"),  # of one moment the higher id
        (("2025-05-09 10:00", "true"), ("never", "false"), "4"),  # no time, no answer
        (("2025-05-09", "true"), ("2025-05-09T00:00:00", "false"), "3"),
    ],
)
def test_r82_the_latest_answer_counts(first: tuple[str, str], second: tuple[str, str], kind: str) -> None:
    org = org_of()
    parent(org)
    for when, yes in (first, second):
        acted(org, "contact_events", when, metadata=f'{{"has_medical_conditions": {yes}}}')
    assert kind_of(org) == kind


@pytest.mark.parametrize(
    ("when", "kind"), [("2025-05-08 09:00:00", "3"), ("2025-05-08 08:59:59", "1"), ("2025-05-08T09:00", "3")]
)
def test_r82_an_answer_since_the_mail_went_out(when: str, kind: str) -> None:
    org = org_of()
    parent(org, actual_send_datetime=SENT_AT)
    acted(org, "contact_events", when, metadata="{}")
    assert kind_of(org) == kind


def test_r82_an_answer_beats_a_click() -> None:
    org = org_of()
    parent(org)
    acted(org, "tracking_clicks", "2025-05-09 12:00")
    acted(org, "contact_events", "2025-05-09 10:00", metadata="{}")
    assert kind_of(org) == "3"


@pytest.mark.parametrize(
    "values",
    [
        {"event_type": "page_viewed"},
        {"event_type": "Eligibility_Answered"},
        {"contact_id": 2},
        {"created_at": "2025-05-07"},
    ],
)
def test_r82_other_events_do_not_matter(values: dict[str, object]) -> None:
    org = org_of({}, {})
    parent(org)
    acted(org, "contact_events", "2025-05-09", **{"metadata": '{"has_medical_conditions": true}', **values})
    assert kind_of(org) == "1"


# ------------------------------------------------------------------------------------------------ R83, R75


@pytest.mark.parametrize(
    ("days_ago", "delay", "send"),
    [(0, 2, "2025-05-12"), (2, 2, "2025-05-10"), (3, 2, "2025-05-10"), (30, 2, "2025-05-10"), (0, 0, "2025-05-10"),
     (5, 60, "2025-07-04")],
)  # fmt: skip
def test_r83_a_follow_up_waits_and_an_overdue_one_goes_out_today(days_ago: int, delay: int, send: str) -> None:
    # 5 May + 60 days: 31 May is + 26, 30 June + 56, 4 July + 60.
    org = org_of(followup_delay_days=delay)
    parent(org, days_ago=days_ago)
    assert followups(org) == [("followup_1_cold", send, None)]


def test_r75_a_skipped_follow_up_stands_at_its_undelayed_date() -> None:
    org = org_of({"state": "NY"})
    parent(org, days_ago=10)
    assert followups(org) == [("followup_1_cold", "2025-05-02", "exclusion:year_round:NY")]


# ------------------------------------------------------------------------------------------------ R84


def test_r84_underwriting_comes_first() -> None:
    org = org_of({"state": None, "failed_underwriting": 1}, exclude_failed_underwriting_global=True)
    parent(org)
    assert [r for _, _, r in followups(org)] == ["failed_underwriting:global"]


@pytest.mark.parametrize(
    ("email_type", "reason"),
    [
        ("aep", None),
        ("campaign_aep", None),
        ("campaign_aep2", "failed_underwriting:global"),
        ("post_window", "failed_underwriting:global"),
    ],
)
def test_r84_follow_ups_of_aep_mail_are_exempt(email_type: str, reason: str | None) -> None:
    org = org_of({"failed_underwriting": 1}, exclude_failed_underwriting_global=True)
    org.campaign(email_type.removeprefix("campaign_"))
    number = org.instance(email_type.removeprefix("campaign_"))
    is_campaign = email_type.startswith("campaign_")
    parent(org, email_type, campaign_instance_id=number if is_campaign else None)
    assert [r for _, _, r in followups(org)] == [reason]


def test_r84_then_the_unknown_state() -> None:
    org = org_of({"state": None})
    parent(org)
    assert [r for _, _, r in followups(org)] == ["state_unknown"]


@pytest.mark.parametrize("respects", [0, 1])
def test_r84_windows_are_respected_whatever_the_parent_did(respects: int) -> None:
    org = org_of({"state": "NY"})
    org.campaign("news", respect_exclusion_windows=respects)
    parent(org, "campaign_news", campaign_instance_id=org.instance("news"))
    assert [r for _, _, r in followups(org)] == ["exclusion:year_round:NY"]


@pytest.mark.parametrize(
    ("birth", "reason"),
    [
        ("1960-07-10", None),  # 10 July - 60 days is 11 May (31 May is - 40): opens tomorrow
        ("1960-07-09", "exclusion:birthday_window:MD"),
        ("1960-04-09", None),  # + 30 is 9 May
        ("1960-04-10", "exclusion:birthday_window:MD"),
    ],
)
def test_r84_the_window_is_asked_about_the_day_it_would_go_out(birth: str, reason: str | None) -> None:
    org = org_of({"state": "MD", "birth_date": birth})
    parent(org, "aep", days_ago=20)  # the undelayed date, 22 April, is excluded for April's birthdays alone
    assert [r for _, _, r in followups(org)] == [reason]


# ------------------------------------------------------------------------------------------------ R85, R86


def test_r85_a_follow_up_inherits_from_its_parent() -> None:
    org = org_of(send_time_hour=9, send_time_minute=5)
    org.campaign("news")
    number = org.instance("news", email_template="news_mail", sms_template="news_sms")
    sent = parent(org, "campaign_news", campaign_instance_id=number, priority=17, event_date="2025-06-01")
    assert row_of(org) == {
        "parent": sent,
        "instance": number,
        "event": (date(2025, 6, 1) - date(1970, 1, 1)).days,
        "priority": 17,
        "templates": ("followup_1_cold_template", None),
        "time": "09:05:00",
    }


def test_r86_the_type_follows_what_the_contact_does() -> None:
    org = org_of()
    parent(org)
    kinds = [kind_of(org)]
    acted(org, "tracking_clicks", "2025-05-09")
    kinds.append(kind_of(org))
    acted(org, "contact_events", "2025-05-09", metadata="{}")
    kinds.append(kind_of(org))
    acted(org, "contact_events", "2025-05-09 01:00", metadata='{"main_questions_yes_count": 2}')
    kinds.append(kind_of(org))
    assert kinds == ["1", "2", "3", "4"]
