"""Limits per contact on final dates (R70-R74): one campaign a day, and so many mails in any period."""

from collections import Counter
from datetime import date, timedelta

import pytest

from core.planning import limits
from tests.orgs import Org

TODAY = "2025-01-10"
DAY = date(2025, 5, 10)


def org_of(**config: object) -> Org:
    base = {
        "aep_enabled": False,
        "enable_post_window_emails": False,
        "enable_followups": False,
        "frequency_period_days": 30,
    }
    org = Org(**{**base, **config})
    org.contact()
    return org


def enrol(org: Org, offset: int, *, priority: int = 30) -> int:
    """Give the contact a campaign mail so many days after 10 May; every one of an instance of its own."""
    name = f"news{priority}"
    if not org.db.execute("SELECT count(*) FROM campaign_types WHERE name = ?", (name,)).fetchone()[0]:
        org.campaign(name, priority=priority)
    instance = org.instance(name)
    trigger = str(DAY + timedelta(days=offset))
    org.insert("contact_campaigns", contact_id=1, campaign_instance_id=instance, trigger_date=trigger)
    return instance


def sent(org: Org, offset: int, email_type: str = "birthday", **values: object) -> None:
    """A mail that is out, or will be, so many days after 10 May; its event is far away from everything."""
    number = org.db.execute("SELECT count(*) FROM email_schedules").fetchone()[0]
    event = str(date(2020, 1, 1) + timedelta(days=number))
    columns = {"contact_id": 1, "email_type": email_type, "event_date": event, "status": "sent", **values}
    org.insert("email_schedules", scheduled_send_date=str(DAY + timedelta(days=offset)), **columns)


def reasons(org: Org, today: str = TODAY) -> dict[int, str | None]:
    """Why each campaign mail does not go out, by instance."""
    return {m.instance_id: m.reason for m in org.mails(today) if m.instance_id is not None}


# ------------------------------------------------------------------------------------------------ R72


@pytest.mark.parametrize(("most", "skipped"), [(1, [2, 3, 4]), (2, [3, 4]), (3, [4]), (4, []), (5, [])])
def test_r72_so_many_mails_go_out_in_a_period_and_the_others_do_not(most: int, skipped: list[int]) -> None:
    org = org_of(max_emails_per_period=most)
    for offset in range(4):
        enrol(org, offset)
    assert [i for i, reason in reasons(org).items() if reason == "frequency_limit"] == skipped


@pytest.mark.parametrize(
    ("distance", "second"), [(1, "frequency_limit"), (29, "frequency_limit"), (30, None), (31, None)]
)
def test_r72_two_mails_exactly_a_period_apart_share_none(distance: int, second: str | None) -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 0)
    enrol(org, distance)
    assert reasons(org) == {1: None, 2: second}


@pytest.mark.parametrize(("distance", "second"), [(0, "frequency_limit"), (1, None)])
def test_r72_a_period_of_one_day_is_that_day(distance: int, second: str | None) -> None:
    org = org_of(max_emails_per_period=1, frequency_period_days=1, birthday_days_before=0)
    org.db.execute("UPDATE contacts SET birth_date = '1960-05-10'")
    enrol(org, distance)
    assert reasons(org) == {1: second}


@pytest.mark.parametrize("distance", [-29, -1, 0, 1, 29])
@pytest.mark.parametrize("status", ["scheduled", "processing", "accepted", "deferred", "sent", "delivered"])
def test_r72_what_went_out_or_will_counts_on_both_sides(distance: int, status: str) -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 0)
    sent(org, distance, status=status)
    assert reasons(org) == {1: "frequency_limit"}


@pytest.mark.parametrize("distance", [-30, 30])
def test_r72_what_went_out_a_period_away_does_not(distance: int) -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 0)
    sent(org, distance)
    assert reasons(org) == {1: None}


@pytest.mark.parametrize("status", ["failed", "bounced", "dropped", "cancelled", "lost", "skipped", "pre-scheduled"])
def test_r72_what_did_not_go_out_does_not_count(status: str) -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 0)
    sent(org, -3, status=status)
    assert reasons(org) == {1: None}


@pytest.mark.parametrize(("email_type", "reason"), [
    ("followup_1_cold", None), ("followup_", None), ("follow", "frequency_limit"), ("something_else", "frequency_limit"),
    ("campaign_gone", "frequency_limit"), ("aep", "frequency_limit"),
])  # fmt: skip
def test_r72_every_type_counts_but_follow_ups(email_type: str, reason: str | None) -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 0)
    sent(org, -3, email_type)
    assert reasons(org) == {1: reason}


@pytest.mark.parametrize(
    ("offsets", "reason"),
    [
        # Two allowed in 30 days. One before and one after: three share a period if they span less than 30 days.
        ((-20, 9), "frequency_limit"),  # -20..9 are 30 days
        ((-20, 10), None),  # 31 days
        ((-29, 29), None), ((-29, -1), "frequency_limit"), ((1, 29), "frequency_limit"), ((-30, -1), None),
        ((0, 0), "frequency_limit"),
    ],
)  # fmt: skip
def test_r72_any_period_around_the_day_is_looked_at(offsets: tuple[int, int], reason: str | None) -> None:
    org = org_of(max_emails_per_period=2)
    enrol(org, 0)
    for offset in offsets:
        sent(org, offset)
    assert reasons(org) == {1: reason}


@pytest.mark.parametrize(
    ("offsets", "reason"),
    [((-20, 9), "frequency_limit"), ((-20, 10), None), ((-29, 29), None), ((-29, -1), "frequency_limit")],
)
def test_r72_the_edges_hold_also_for_contacts_with_too_much_mail_elsewhere(
    offsets: tuple[int, int], reason: str | None
) -> None:
    org = org_of(max_emails_per_period=2)
    enrol(org, 0)
    for offset in (*offsets, 200, 201, 202):
        sent(org, offset)
    assert reasons(org) == {1: reason}


def test_r72_mail_counts_on_the_day_it_really_went_out() -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 0)
    sent(org, -29, actual_send_datetime=f"{DAY - timedelta(days=30)} 23:59:59")
    assert reasons(org) == {1: None}


def test_r72_mail_of_other_contacts_does_not_count() -> None:
    org = org_of(max_emails_per_period=1)
    org.contact()
    enrol(org, 0)
    org.locked(2, "birthday", "2020-01-01", scheduled_send_date=str(DAY))
    assert reasons(org) == {1: None}


def test_r72_a_skipped_mail_takes_nobodys_place() -> None:
    """Three mails, one allowed: the second is skipped, and the third is a period from the first."""
    org = org_of(max_emails_per_period=1)
    for offset in (0, 20, 40):
        enrol(org, offset)
    assert reasons(org) == {1: None, 2: "frequency_limit", 3: None}


# ------------------------------------------------------------------------------------------------ R70


def test_r70_the_lower_priority_number_goes_first_although_its_day_is_later() -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 0, priority=30)
    enrol(org, 10, priority=29)
    assert reasons(org) == {1: "frequency_limit", 2: None}


def test_r70_of_equal_priority_the_earlier_day_goes_first() -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 5)
    enrol(org, 0)
    assert reasons(org) == {1: "frequency_limit", 2: None}


def test_r70_of_one_day_the_type_code_decides() -> None:
    org = org_of(max_emails_per_period=1, birthday_days_before=0)
    org.db.execute("UPDATE contacts SET birth_date = '1960-05-10'")
    enrol(org, 0, priority=10)
    assert {m.email_type: m.reason for m in org.mails(TODAY)} == {
        "birthday": None,
        "campaign_news10": "frequency_limit",
    }


def test_r70_of_one_campaign_the_instance_and_then_the_event_decide() -> None:
    # Two events of instance 2 late on the same day; instance 1 on that day, too.
    org = org_of(max_emails_per_period=1)
    first, second = enrol(org, 0), enrol(org, -1)
    org.insert(
        "contact_campaigns", contact_id=1, campaign_instance_id=second, trigger_date=str(DAY - timedelta(days=2))
    )
    found = {(m.instance_id, m.event): m.reason for m in org.mails(str(DAY))}
    assert found == {
        (first, DAY): None,
        (second, DAY - timedelta(days=2)): "campaign_conflict",
        (second, DAY - timedelta(days=1)): "campaign_conflict",
    }


def test_r70_limits_look_at_the_dates_after_balancing() -> None:
    """A cap of one moves the contact's second mail from the first day to the second: there is no conflict any more."""
    org = org_of(min_daily_cap=1, daily_send_percentage_cap=0.000001, max_emails_per_period=9)
    enrol(org, 0)
    enrol(org, 0)
    assert {m.instance_id: (m.send - DAY).days for m in org.mails(TODAY) if m.reason is None} == {1: 0, 2: 1}


# ------------------------------------------------------------------------------------------------ R71


@pytest.mark.parametrize(
    ("priorities", "skipped"),
    [((30, 30), {2}), ((30, 29), {1}), ((29, 30), {2}), ((30, 30, 30), {2, 3}), ((30, 29, 31), {1, 3})],
)
def test_r71_one_campaign_mail_a_day(priorities: tuple[int, ...], skipped: set[int]) -> None:
    org = org_of(max_emails_per_period=9)
    for priority in priorities:
        enrol(org, 0, priority=priority)
    found = reasons(org)
    assert {i for i, reason in found.items() if reason == "campaign_conflict"} == skipped
    assert {reason for i, reason in found.items() if i not in skipped} == {None}


@pytest.mark.parametrize("distance", [-1, 1])
def test_r71_campaign_mails_on_neighbouring_days_do_not_conflict(distance: int) -> None:
    org = org_of(max_emails_per_period=9)
    enrol(org, 0)
    enrol(org, distance)
    assert set(reasons(org).values()) == {None}


@pytest.mark.parametrize(
    ("email_type", "status", "reason"),
    [
        ("campaign_other", "scheduled", "campaign_conflict"), ("campaign_", "sent", "campaign_conflict"),
        ("campaign_other", "bounced", None), ("birthday", "scheduled", None), ("followup_1_cold", "scheduled", None),
    ],
)  # fmt: skip
def test_r71_a_campaign_mail_that_went_out_that_day_conflicts(email_type: str, status: str, reason: str | None) -> None:
    org = org_of(max_emails_per_period=9)
    enrol(org, 0)
    sent(org, 0, email_type, status=status)
    assert reasons(org) == {1: reason}


def test_r71_anniversary_mail_is_no_part_of_it() -> None:
    org = org_of(max_emails_per_period=9, birthday_days_before=0)
    org.db.execute("UPDATE contacts SET birth_date = '1960-05-10'")
    enrol(org, 0)
    assert {m.reason for m in org.mails(TODAY)} == {None}


def test_r71_anniversary_mail_is_no_part_of_it_even_where_campaigns_conflict() -> None:
    """Both campaigns are judged before the birthday, and one of them is accepted on its day."""
    org = org_of(max_emails_per_period=9, birthday_days_before=0)
    org.db.execute("UPDATE contacts SET birth_date = '1960-05-10'")
    enrol(org, 0, priority=5)
    enrol(org, 0, priority=5)
    found = {(m.email_type, m.instance_id): m.reason for m in org.mails(TODAY)}
    assert found == {("birthday", None): None, ("campaign_news5", 1): None, ("campaign_news5", 2): "campaign_conflict"}


def test_r71_a_conflict_is_told_before_the_frequency() -> None:
    org = org_of(max_emails_per_period=1)
    enrol(org, 0)
    enrol(org, 0)
    assert reasons(org) == {1: None, 2: "campaign_conflict"}


def test_r71_a_mail_skipped_for_its_conflict_does_not_use_up_the_frequency() -> None:
    org = org_of(max_emails_per_period=2)
    for offset in (0, 0, 3):
        enrol(org, offset)
    assert reasons(org) == {1: None, 2: "campaign_conflict", 3: None}


def test_r71_a_mail_skipped_for_its_frequency_conflicts_with_nothing() -> None:
    # Instance 1 of priority 29 is too many beside what went out; R70 judges it first, and instance 2 then alone.
    org = org_of(max_emails_per_period=1)
    enrol(org, 0, priority=29)
    enrol(org, 0, priority=30)
    sent(org, 1)
    assert reasons(org) == {1: "frequency_limit", 2: "frequency_limit"}


# ------------------------------------------------------------------------------------------------ R73-R75


def test_r73_follow_ups_are_not_limited() -> None:
    org = org_of(max_emails_per_period=1, enable_followups=True)
    sent(org, 0)
    found = org.mails(str(DAY + timedelta(days=1)))
    assert [(m.email_type, m.send, m.reason) for m in found] == [("followup_1_cold", DAY + timedelta(days=2), None)]


def test_r73_planned_follow_ups_are_not_counted() -> None:
    org = org_of(max_emails_per_period=2, enable_followups=True)
    enrol(org, 3)
    sent(org, 0)
    found = org.mails(str(DAY + timedelta(days=1)))
    assert {(m.email_type, m.reason) for m in found} == {("followup_1_cold", None), ("campaign_news30", None)}


def test_r74_a_limited_mail_goes_out_later_before_its_deadline() -> None:
    # Sent on 10 April, one in 30 days. The campaign of 8 May is too early by two days; late, it goes out on 10 May.
    org = org_of(max_emails_per_period=1)
    enrol(org, -2)
    sent(org, -30)
    plans = {offset: org.mails(str(DAY + timedelta(days=offset)))[0] for offset in (-10, -2, -1, 0)}
    assert {offset: (m.send, m.reason) for offset, m in plans.items()} == {
        -10: (DAY - timedelta(days=2), "frequency_limit"),
        -2: (DAY - timedelta(days=2), "frequency_limit"),
        -1: (DAY - timedelta(days=2), "frequency_limit"),
        0: (DAY, None),
    }


def test_r74_a_conflicting_campaign_goes_out_the_next_day() -> None:
    org = org_of(max_emails_per_period=9)
    enrol(org, 0)
    enrol(org, 0)
    org.locked(1, "campaign_news30", str(DAY), campaign_instance_id=1)  # the first one went out
    assert org.mails(str(DAY))[0].reason == "campaign_conflict"
    assert [(m.send, m.reason) for m in org.mails(str(DAY + timedelta(days=1)))] == [(DAY + timedelta(days=1), None)]


def test_r75_a_skipped_mail_stands_at_its_ideal_date() -> None:
    """Although its target is today: the row does not move from run to run."""
    org = org_of(max_emails_per_period=1)
    enrol(org, 0)
    sent(org, 1)
    rows = [org.mails(str(DAY + timedelta(days=offset)))[0] for offset in (1, 2, 3)]
    assert {(m.send, m.reason) for m in rows} == {(DAY, "frequency_limit")}


# ------------------------------------------------------------------------------------------------ contacts with much mail


@pytest.mark.parametrize(("table_days_max", "block_bits", "few_items"), [(1, 0, 0), (64, 1, 0), (2**22, 18, 2**13)])
def test_r72_contacts_with_little_and_with_much_mail_are_judged_alike(
    table_days_max: int, block_bits: int, few_items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_TABLE_DAYS_MAX", table_days_max)
    monkeypatch.setattr(limits, "_BLOCK_BITS", block_bits)
    monkeypatch.setattr(limits, "_FEW_ITEMS", few_items)
    org = org_of(max_emails_per_period=3)
    counts = [1, 3, 4, 5, 17, 40]
    for _ in counts[1:]:
        org.contact()
    org.campaign("news")
    instances = [org.instance("news") for _ in range(max(counts))]
    for contact, count in enumerate(counts, start=1):
        for offset, instance in enumerate(instances[:count]):
            trigger = str(DAY + timedelta(days=offset))
            org.insert("contact_campaigns", contact_id=contact, campaign_instance_id=instance, trigger_date=trigger)
    stands = Counter(m.contact_id for m in org.mails(TODAY) if m.reason is None)
    # Mails come day by day: three in any 30 days are days 0 to 2 and, for those who have so many, days 30 to 32.
    assert [stands[contact] for contact in range(1, len(counts) + 1)] == [1, 3, 3, 3, 3, 6]
