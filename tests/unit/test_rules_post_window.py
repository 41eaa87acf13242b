"""Post-window catch-up (R50, R51): what a window kept back goes out on the first free day, once."""

from datetime import date

import pytest

from tests.orgs import Mail, Org

BORN = "1960-06-15"
# California with the default buffer: 15 June - 90 days is 17 March, + 60 is 14 August; the first free day is 15 August.
# A birthday mail is due on 1 June, within the window.


def org_of(
    state: str | None = "CA", *, birth: str | None = BORN, effective: str | None = None, **config: object
) -> Org:
    org = Org(**{"aep_enabled": False, **config})
    org.contact(state=state, birth_date=birth, effective_date=effective)
    return org


def day(text: str) -> date:
    return date.fromisoformat(text)


def owed(org: Org, today: str) -> list[tuple[str, str, str | None]]:
    return [(str(m.event), str(m.send), m.reason) for m in org.mails(today, email_type="post_window")]


# ------------------------------------------------------------------------------------------------ R51a: this run


def test_r51a_an_excluded_birthday_is_replaced_on_the_first_free_day() -> None:
    assert org_of().mails("2025-01-10") == [
        Mail(1, "birthday", day("2025-06-15"), day("2025-06-01"), "exclusion:birthday_window:CA"),
        Mail(1, "post_window", day("2025-08-15"), day("2025-08-15"), None),
    ]


@pytest.mark.parametrize(
    ("state", "first_free"),
    # 15 June is day 166: + 63 is 17 August, + 60 is 14 August, + 30 is 15 July, + 31 is 16 July; Nevada 31 July.
    [("ID", "2025-08-18"), ("KY", "2025-08-15"), ("MD", "2025-07-16"), ("NV", "2025-08-01"), ("OK", "2025-08-15"),
     ("OR", "2025-07-17"), ("VA", "2025-07-16")],
)  # fmt: skip
def test_r50_the_first_free_day_of_each_state(state: str, first_free: str) -> None:
    assert owed(org_of(state), "2025-01-10") == [(first_free, first_free, None)]


def test_r50_the_first_free_day_in_missouri() -> None:
    # The effective-date mail is due on 16 May; 15 June + 33 days is 18 July.
    org = org_of("MO", birth=None, effective="2010-06-15")
    assert owed(org, "2025-01-10") == [("2025-07-19", "2025-07-19", None)]


def test_r51a_what_a_mail_is_about_does_not_matter_only_the_window_does() -> None:
    """An effective-date mail of 11 April, kept back by the window of the birthday."""
    org = org_of(birth=BORN, effective="2010-05-11", birthday_days_before=180)  # the birthday's own is in December
    assert owed(org, "2025-01-10") == [("2025-08-15", "2025-08-15", None)]


def test_r51_everything_kept_back_to_the_same_day_is_one_mail() -> None:
    org = org_of(effective="2010-07-01", aep_enabled=True, aep_month=8, aep_day=1)
    skipped = [m.email_type for m in org.mails("2025-01-10") if m.reason]
    assert skipped == ["aep", "birthday", "effective_date"]
    assert owed(org, "2025-01-10") == [("2025-08-15", "2025-08-15", None)]


def test_r51_different_first_free_days_are_different_mails() -> None:
    # The campaign's two triggers lie in the windows of 2025 and of 2026.
    org = org_of(birthday_days_before=180, max_emails_per_period=9)
    org.campaign("news")
    news = org.instance("news")
    for trigger in ("2025-06-20", "2026-06-20"):
        org.insert("contact_campaigns", contact_id=1, campaign_instance_id=news, trigger_date=trigger)
    assert owed(org, "2025-01-10") == [("2025-08-15", "2025-08-15", None), ("2026-08-15", "2026-08-15", None)]


def test_r51a_an_excluded_campaign_is_owed_for() -> None:
    org = org_of(birthday_days_before=180)
    org.campaign("news")
    org.insert("contact_campaigns", contact_id=1, campaign_instance_id=org.instance("news"), trigger_date="2025-06-20")
    assert owed(org, "2025-01-10") == [("2025-08-15", "2025-08-15", None)]


@pytest.mark.parametrize(
    "campaign",
    [
        {"respect_exclusion_windows": 0},
        {"skip_failed_underwriting": 1},  # skipped for another reason, inside the window
    ],
)
def test_r51a_only_an_exclusion_is_owed_for(campaign: dict[str, object]) -> None:
    org = org_of(birthday_days_before=180)
    org.db.execute("UPDATE contacts SET failed_underwriting = 1")
    org.campaign("news", **campaign)
    org.insert("contact_campaigns", contact_id=1, campaign_instance_id=org.instance("news"), trigger_date="2025-06-20")
    assert owed(org, "2025-01-10") == []


def test_r51a_a_late_mail_that_meets_a_window_is_owed_for_from_its_late_date() -> None:
    # Effective date 15 April: ideal 16 March, the last free day; on 20 March it is late, and every slot is excluded.
    org = org_of(effective="2010-04-15", birthday_days_before=180)
    assert org.mails("2025-03-20", event=day("2025-04-15")) == [
        Mail(1, "effective_date", day("2025-04-15"), day("2025-03-16"), "exclusion:birthday_window:CA"),
    ]
    assert owed(org, "2025-03-20") == [("2025-08-15", "2025-08-15", None)]


def test_r51_catch_up_can_be_switched_off() -> None:
    assert owed(org_of(enable_post_window_emails=False), "2025-01-10") == []


def test_r51_a_follow_up_never_owes_one() -> None:
    org = org_of(birthday_days_before=180)  # the birthday of 2024 was due in December 2023: free
    org.locked(1, "birthday", "2025-06-15", status="cancelled")
    org.locked(1, "post_window", "2024-08-15", scheduled_send_date="2025-03-20")
    skipped = [m.reason for m in org.mails("2025-03-21") if m.email_type.startswith("followup_")]
    assert (skipped, owed(org, "2025-03-21")) == (["exclusion:birthday_window:CA"], [])


# ------------------------------------------------------------------------------------------------ R50: no end in sight


@pytest.mark.parametrize(
    ("state", "birth", "config"),
    [
        ("NY", BORN, {}),
        ("CA", None, {}),  # held: window_date_unknown
        ("IL", "1930-06-15", {"state_rules": {"IL": {"type": "birthday_window", "after": 45, "age_76_plus": True}}}),
    ],
)
def test_r50_a_bar_without_an_end_has_no_first_free_day(
    state: str, birth: str | None, config: dict[str, object]
) -> None:
    org = org_of(state, birth=birth, effective="2010-06-15", **config)
    kept_back = org.mails("2025-01-10")
    assert kept_back
    assert all(m.reason is not None and m.email_type != "post_window" for m in kept_back)


def test_r50_a_window_that_ends_after_the_76th_birthday_has_no_first_free_day() -> None:
    # 75 on the ideal date, 1 June 2025, in the window (the buffer begins on 16 April); 76 from 15 June on.
    rules = {"IL": {"type": "birthday_window", "after": 45, "age_76_plus": True}}
    org = org_of("IL", birth="1949-06-15", state_rules=rules)
    assert [(m.email_type, m.reason) for m in org.mails("2025-01-10")] == [("birthday", "exclusion:birthday_window:IL")]


def closed(before: int, after: int) -> Org:
    rules = {"FL": {"type": "birthday_window", "before": before, "after": after}}
    return org_of("FL", state_rules=rules, pre_exclusion_buffer_days=0)


def test_r50_windows_that_touch_are_one() -> None:
    # 182 + 1 + 182 days: the only free day is 15 December 2027, in the 366 days to 15 June 2028. The ideal date of the
    # birthday of 2026, 1 June (day 152), is 365 - 152 + 349 = 562 days before it; that of 2025 is 927 days before it.
    assert owed(closed(182, 182), "2025-08-01") == [("2027-12-15", "2027-12-15", None)]


def test_r50_windows_that_touch_every_year_have_no_end() -> None:
    assert owed(closed(182, 183), "2025-08-01") == []


@pytest.mark.parametrize(
    ("days_before", "first_free"),
    [
        # The free day is 15 December 2027. From 6 October 2025 (day 279) it is 86 + 365 + 349 = 800 days away, from
        # 5 October 801. The mail for 15 November 2025 (day 319) is due 40 or 41 days before it.
        (40, [("2027-12-15", "2027-12-15", None)]),
        (41, []),
    ],
)
def test_r50_the_first_free_day_is_looked_for_within_800_days(days_before: int, first_free: list[object]) -> None:
    rules = {"FL": {"type": "birthday_window", "before": 182, "after": 182}}
    org = org_of("FL", effective="2010-11-15", effective_date_days_before=days_before, state_rules=rules,
                 pre_exclusion_buffer_days=0)  # fmt: skip
    org.locked(1, "birthday", "2025-06-15", status="cancelled")  # the birthday's own mails are handled
    org.locked(1, "birthday", "2026-06-15", status="cancelled")
    assert owed(org, "2025-08-01") == first_free


# ------------------------------------------------------------------------------------------------ R51b: the one before


def test_r51b_the_day_after_the_birthday_this_years_catch_up_stays_in_the_plan() -> None:
    assert owed(org_of(), "2025-06-15") == [("2025-08-15", "2025-08-15", None)]
    assert owed(org_of(), "2025-06-16") == [("2025-08-15", "2025-08-15", None), ("2026-08-15", "2026-08-15", None)]


def test_r51b_it_is_owed_although_the_next_occurrence_is_beyond_the_lookahead() -> None:
    assert owed(org_of(lookahead_days=60), "2025-06-16") == [("2025-08-15", "2025-08-15", None)]


@pytest.mark.parametrize(
    ("today", "send"),
    [
        ("2025-08-15", "2025-08-15"),
        ("2025-08-16", "2025-08-16"),  # late: today
        ("2025-09-14", "2025-09-14"),  # 15 August + 30 days of grace
        ("2025-09-15", None),
    ],
)
def test_r51_it_is_late_for_as_long_as_the_grace_lasts(today: str, send: str | None) -> None:
    org = org_of(lookahead_days=60)
    assert owed(org, today) == ([] if send is None else [("2025-08-15", send, None)])


def test_r51_a_late_one_is_skipped_where_today_is_excluded() -> None:
    # 180 days either side leave 13 to 16 December 2025: 15 June + 181 is day 347; the next window opens on
    # 15 June 2026 - 180, day -14, 17 December.
    rules = {"FL": {"type": "birthday_window", "before": 180, "after": 180}}
    org = org_of("FL", state_rules=rules, pre_exclusion_buffer_days=0, lookahead_days=60)
    assert owed(org, "2025-12-16") == [("2025-12-13", "2025-12-16", None)]
    assert owed(org, "2025-12-17") == [("2025-12-13", "2025-12-13", "exclusion:birthday_window:FL")]


@pytest.mark.parametrize(
    ("email_type", "event", "still_owed"),
    [
        ("birthday", "2025-06-15", False),
        ("birthday", "2025-12-11", False),  # 179 days after (R33) ...
        ("birthday", "2025-12-12", True),  # ... and 180
        ("effective_date", "2025-06-15", True),  # another type
        ("post_window", "2025-08-15", False),
        ("post_window", "2026-02-10", False),  # 15 August is day 227: 365 - 227 + 41 = 179 days later
        ("post_window", "2026-02-11", True),
        ("post_window", "2025-02-17", False),  # day 48: 179 days before
        ("post_window", "2025-02-16", True),
    ],
)
def test_r51_what_is_handled_is_not_owed(email_type: str, event: str, *, still_owed: bool) -> None:
    org = org_of(lookahead_days=60, enable_followups=False)
    org.locked(1, email_type, event, status="bounced", scheduled_send_date="2024-01-01")
    assert bool(owed(org, "2025-07-01")) is still_owed


def test_r51b_an_occurrence_that_was_none_is_not_owed() -> None:
    """The 15 June before is the very day of birth."""
    assert owed(org_of(birth="2025-06-15", lookahead_days=60), "2025-07-01") == []
    assert owed(org_of(birth="2024-06-15", lookahead_days=60), "2025-07-01") != []


@pytest.mark.parametrize(
    ("effective", "months", "mails"), [("2024-06-15", 12, 1), ("2024-06-15", 13, 0), ("2025-06-15", 0, 1)]
)
def test_r51b_the_gate_of_r32_holds_for_the_previous_occurrence(effective: str, months: int, mails: int) -> None:
    org = org_of("MO", birth=None, effective=effective, effective_date_first_email_months=months, lookahead_days=60)
    assert len(owed(org, "2025-07-01")) == mails


def test_r51_who_is_barred_by_underwriting_is_owed_nothing() -> None:
    org = org_of(exclude_failed_underwriting_global=True, aep_enabled=True, aep_month=6, aep_day=1)
    org.db.execute("UPDATE contacts SET failed_underwriting = 1")
    found = [(m.email_type, m.reason) for m in org.mails("2025-01-10")]
    # AEP is exempt from R34 and meets the window, but the catch-up would not be AEP mail.
    assert found == [("aep", "exclusion:birthday_window:CA"), ("birthday", "failed_underwriting:global")]


@pytest.mark.parametrize(("lookahead", "mails"), [(216, 0), (217, 1)])
def test_r51_beyond_the_lookahead_it_is_not_planned_yet(lookahead: int, mails: int) -> None:
    # 15 August is day 227, 10 January day 10.
    assert len(owed(org_of(lookahead_days=lookahead), "2025-01-10")) == mails


def aep_org(birth: str | None, **config: object) -> Org:
    """Born on 1 October: the window of 2025 is 3 July to 30 November (day 274 - 90 = 184, + 60 = 334)."""
    base: dict[str, object] = {"aep_enabled": True, "lookahead_days": 60, "birthday_days_before": 180, **config}
    return org_of("CA", birth=birth, effective=None, **base)


def test_r51b_the_previous_aep_is_owed() -> None:
    # On 1 November AEP of 15 September is past its grace (15 October). The birthday mail was due on 4 April: free.
    assert owed(aep_org("1960-10-01"), "2025-11-01") == [("2025-12-01", "2025-12-01", None)]


@pytest.mark.parametrize(("years", "mails"), [([2025], 1), ([2026], 0), ([], 0)])
def test_r51b_an_aep_of_a_year_that_is_not_listed_is_not_owed(years: list[int], mails: int) -> None:
    assert len(owed(aep_org("1960-10-01", aep_years=years), "2025-11-01")) == mails


@pytest.mark.parametrize("how", ["disabled", "superseded"])
def test_r51b_without_built_in_aep_nothing_is_owed_for_it(how: str) -> None:
    org = aep_org("1960-10-01", aep_enabled=how != "disabled")
    if how == "superseded":
        org.campaign("aep")
    assert owed(org, "2025-11-01") == []


def test_r51_several_previous_occurrences_of_one_window_are_one_mail() -> None:
    # Birthday (ideal 17 September) and AEP (15 September), both in the window that ends on 30 November.
    org = aep_org("1960-10-01", birthday_days_before=14)
    assert owed(org, "2025-11-01") == [("2025-12-01", "2025-12-01", None)]


def test_r51_sending_it_ends_it() -> None:
    """Planned until sent (b); once sent, R33 knows it."""
    org = org_of(lookahead_days=60, enable_followups=False)
    assert owed(org, "2025-08-15") != []
    org.locked(1, "post_window", "2025-08-15")
    assert [owed(org, today) for today in ("2025-08-15", "2025-08-16", "2025-09-14")] == [[], [], []]
