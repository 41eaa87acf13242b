"""Anniversary mail (R30-R36): birthdays and effective dates; AEP has test_rules_aep.py."""

from datetime import date, timedelta

import pytest

from tests.orgs import Mail, Org

BORN = "1960-06-15"


def quiet(**config: object) -> Org:
    """An org without the mail that a case is not about."""
    return Org(**{"aep_enabled": False, "enable_post_window_emails": False, **config})


def day(text: str) -> date:
    return date.fromisoformat(text)


def events(org: Org, today: str) -> list[tuple[date, date, str | None]]:
    return [(m.event, m.send, m.reason) for m in org.mails(today)]


# ------------------------------------------------------------------------------------------------ R30, R31


@pytest.mark.parametrize(
    ("today", "event", "send"),
    [
        ("2025-01-10", "2025-06-15", "2025-06-01"),
        ("2025-06-01", "2025-06-15", "2025-06-01"),
        ("2025-06-15", "2025-06-15", "2025-06-15"),  # today counts; its deadline is today
        ("2025-06-16", "2026-06-15", "2026-06-01"),
        ("2024-12-31", "2025-06-15", "2025-06-01"),
        ("2025-12-31", "2026-06-15", "2026-06-01"),
    ],
)
def test_r31_a_birthday_mail_goes_out_two_weeks_before(today: str, event: str, send: str) -> None:
    org = quiet()
    org.contact(birth_date=BORN)
    assert events(org, today) == [(day(event), day(send), None)]


@pytest.mark.parametrize(
    ("birth_date", "today", "event", "send"),
    [
        # 14 days before 28 February is the 14th, before 29 February the 15th.
        ("1960-02-29", "2025-01-01", "2025-02-28", "2025-02-14"),
        ("1960-02-29", "2025-02-28", "2025-02-28", "2025-02-28"),
        ("1960-02-29", "2025-03-01", "2026-02-28", "2026-02-14"),
        ("1960-02-29", "2027-03-01", "2028-02-29", "2028-02-15"),  # 29 February comes back
        ("1960-02-29", "2028-02-29", "2028-02-29", "2028-02-29"),
        ("1960-02-29", "2028-03-01", "2029-02-28", "2029-02-14"),
        ("1960-02-29", "2099-06-01", "2100-02-28", "2100-02-14"),  # 2100 is no leap year
        ("1959-02-29", "2028-01-01", "2028-02-28", "2028-02-14"),  # R21: born on the 28th, as far as anybody knows
        ("1960-03-01", "2024-01-10", "2024-03-01", "2024-02-16"),  # February has 29 days here
        ("1960-03-01", "2025-01-10", "2025-03-01", "2025-02-15"),
        ("1960-01-05", "2025-06-01", "2026-01-05", "2025-12-22"),  # sent in the year before
        ("1960-12-31", "2025-12-31", "2025-12-31", "2025-12-31"),
        ("1960-01-01", "2025-12-31", "2026-01-01", "2025-12-31"),  # ideal 18 December is past; the deadline is today
    ],
)
def test_r30_the_anniversary_is_computed_from_the_original_date(
    birth_date: str, today: str, event: str, send: str
) -> None:
    org = quiet()
    org.contact(birth_date=birth_date)
    assert events(org, today) == [(day(event), day(send), None)]


@pytest.mark.parametrize(("today", "event"), [("2025-03-01", None), ("2025-03-02", "2026-03-01")])
def test_r31_the_day_of_birth_is_no_birthday(today: str, event: str | None) -> None:
    org = quiet()
    org.contact(birth_date="2025-03-01")
    assert [m.event for m in org.mails(today)] == ([] if event is None else [day(event)])


@pytest.mark.parametrize(("days", "send"), [(0, "2025-06-15"), (1, "2025-06-14"), (180, "2024-12-17")])
def test_r31_days_before_are_the_orgs_own(days: int, send: str) -> None:
    # 15 June is day 166 of 2025; 180 days before is day -14, and day 0 is 31 December: 17 December.
    org = quiet(birthday_days_before=days)
    org.contact(birth_date=BORN)
    assert events(org, "2024-07-01") == [(day("2025-06-15"), day(send), None)]


# ------------------------------------------------------------------------------------------------ R32


@pytest.mark.parametrize(
    ("today", "event", "send"),
    [
        ("2025-01-10", "2025-06-15", "2025-05-16"),  # 30 days before 15 June
        ("2025-05-16", "2025-06-15", "2025-05-16"),
        ("2025-06-15", "2025-06-15", "2025-06-15"),
        ("2025-06-16", "2026-06-15", "2026-05-16"),
    ],
)
def test_r32_an_effective_date_mail_goes_out_thirty_days_before(today: str, event: str, send: str) -> None:
    org = quiet()
    org.contact(effective_date="2010-06-15")
    assert events(org, today) == [(day(event), day(send), None)]


@pytest.mark.parametrize(
    ("months", "year"),
    [(0, 2025), (11, 2025), (12, 2025), (13, None), (23, None), (24, None)],
)
def test_r32_the_first_anniversary_is_twelve_months(months: int, year: int | None) -> None:
    org = quiet(effective_date_first_email_months=months)
    org.contact(effective_date="2024-06-01")
    assert [m.event.year for m in org.mails("2025-01-10")] == ([] if year is None else [year])


@pytest.mark.parametrize(("months", "mails"), [(12, 1), (13, 1), (24, 1), (25, 0), (36, 0)])
def test_r32_the_second_anniversary_is_twenty_four_months(months: int, mails: int) -> None:
    org = quiet(effective_date_first_email_months=months)
    org.contact(effective_date="2024-06-01")
    assert len(org.mails("2025-06-02")) == mails  # next: 1 June 2026


@pytest.mark.parametrize("today", ["2024-06-02", "2024-12-01", "2025-05-02", "2025-06-01"])
def test_r32_the_gate_is_about_the_anniversary_and_not_about_today(today: str) -> None:
    """Eleven months after 1 June 2024 is 1 May 2025, but the first anniversary is planned from the day after the date."""
    org = quiet()
    org.contact(effective_date="2024-06-01")
    assert [m.event for m in org.mails(today)] == [day("2025-06-01")]


@pytest.mark.parametrize(
    ("effective_date", "mails"),
    [("2025-03-01", 1), ("2026-03-01", 0), ("2025-01-10", 1), ("2026-01-10", 0)],
)
def test_r32_no_mail_before_the_effective_date_itself(effective_date: str, mails: int) -> None:
    """With 0 months the effective date itself is an occurrence, but no earlier year's is."""
    org = quiet(effective_date_first_email_months=0)
    org.contact(effective_date=effective_date)
    assert len(org.mails("2025-01-10")) == mails


def test_r32_an_effective_date_of_29_february() -> None:
    org = quiet()
    org.contact(effective_date="2020-02-29")
    # 30 days before 28 February 2025 is 29 January; before 29 February 2028 it is 30 January.
    assert events(org, "2025-01-01") == [(day("2025-02-28"), day("2025-01-29"), None)]
    assert events(org, "2027-07-01") == [(day("2028-02-29"), day("2028-01-30"), None)]


# ------------------------------------------------------------------------------------------------ R33


@pytest.mark.parametrize(
    ("event", "mails"),
    [
        # 15 June is day 166 of 2025. 179 days before: day -13, 18 December (day 0 is 31 December); 180: the 17th.
        ("2024-12-17", 1), ("2024-12-18", 0), ("2025-06-15", 0),
        # 179 days after: day 345; November ends on day 334, so 11 December; 180: the 12th.
        ("2025-12-11", 0), ("2025-12-12", 1), ("2024-06-15", 1), ("2026-06-15", 1),
    ],
)  # fmt: skip
def test_r33_a_locked_mail_of_less_than_180_days_handles_the_occurrence(event: str, mails: int) -> None:
    org = quiet(enable_followups=False)
    org.contact(birth_date=BORN)
    org.locked(1, "birthday", event, scheduled_send_date="2023-01-01")
    assert len(org.mails("2025-05-01")) == mails


@pytest.mark.parametrize(
    "status",
    [
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
        "?",
    ],
)
def test_r33_any_locked_status_handles(status: str) -> None:
    org = quiet(enable_followups=False)
    org.contact(birth_date=BORN)
    org.locked(1, "birthday", "2025-06-15", status=status)
    assert org.mails("2025-01-10") == []


@pytest.mark.parametrize("status", ["pre-scheduled", "skipped"])
def test_r33_a_row_of_ours_does_not_handle(status: str) -> None:
    org = quiet()
    org.contact(birth_date=BORN)
    org.locked(1, "birthday", "2025-06-15", status=status)
    assert len(org.mails("2025-01-10")) == 1


@pytest.mark.parametrize(("contact_id", "email_type"), [(1, "effective_date"), (2, "birthday"), (1, "post_window")])
def test_r33_only_the_same_type_of_the_same_contact_handles(contact_id: int, email_type: str) -> None:
    org = quiet(enable_followups=False)
    org.contact(birth_date=BORN)
    org.contact()
    org.locked(contact_id, email_type, "2025-06-15")
    assert len(org.mails("2025-01-10", email_type="birthday")) == 1


def test_r33_survives_the_correction_of_a_birth_date() -> None:
    """The mail for 15 June went out; the birth date turns out to be 10 July: 25 days later, the same cycle."""
    org = quiet(enable_followups=False)
    org.contact(birth_date="1960-07-10")
    org.locked(1, "birthday", "2025-06-15", scheduled_send_date="2025-06-01")
    assert org.mails("2025-06-05") == []


# ------------------------------------------------------------------------------------------------ R34


def failed(**config: object) -> Org:
    org = Org(**{"exclude_failed_underwriting_global": True, **config})
    org.contact(birth_date=BORN, effective_date="2010-10-01", failed_underwriting=1)
    return org


def test_r34_anniversary_mail_of_failed_contacts_is_skipped_at_its_ideal_date() -> None:
    assert failed(aep_enabled=False).mails("2025-01-10") == [
        Mail(1, "birthday", day("2025-06-15"), day("2025-06-01"), "failed_underwriting:global"),
        Mail(1, "effective_date", day("2025-10-01"), day("2025-09-01"), "failed_underwriting:global"),
    ]


def test_r34_aep_is_exempt() -> None:
    found = failed().mails("2025-01-10", email_type="aep")
    assert found == [Mail(1, "aep", day("2025-09-15"), day("2025-09-15"), None)]


def test_r34_is_off_by_default() -> None:
    org = quiet()
    org.contact(birth_date=BORN, failed_underwriting=1)
    assert [m.reason for m in org.mails("2025-01-10")] == [None]


@pytest.mark.parametrize(
    ("flag", "reason"), [(0, None), (1, "failed_underwriting:global"), (2, "failed_underwriting:global")]
)
def test_r34_anything_but_zero_is_failed(flag: int, reason: str | None) -> None:
    org = quiet(exclude_failed_underwriting_global=True)
    org.contact(birth_date=BORN, failed_underwriting=flag)
    assert [m.reason for m in org.mails("2025-01-10")] == [reason]


# ------------------------------------------------------------------------------------------------ R36


def test_r36_underwriting_comes_before_exclusion() -> None:
    org = quiet(exclude_failed_underwriting_global=True, aep_enabled=True)
    org.contact(state="NY", birth_date=BORN, failed_underwriting=1)
    assert [(m.email_type, m.reason) for m in org.mails("2025-01-10")] == [
        ("aep", "exclusion:year_round:NY"),
        ("birthday", "failed_underwriting:global"),
    ]


@pytest.mark.parametrize(
    ("lookahead", "mails"),
    # Ideal 1 June 2025 is 142 days after 10 January: 21 + 28 + 31 + 30 + 31 + 1.
    [(141, 0), (142, 1), (143, 1), (None, 1)],
)
def test_r36_lookahead_ends_on_its_last_day(lookahead: int | None, mails: int) -> None:
    org = quiet(lookahead_days=lookahead)
    org.contact(birth_date=BORN)
    assert len(org.mails("2025-01-10")) == mails


def test_r36_lookahead_does_not_hold_back_what_is_late() -> None:
    org = quiet(lookahead_days=1)
    org.contact(birth_date=BORN)
    (mail,) = org.mails("2025-06-03")  # ideal was 1 June; the slot is one of 3..9 June
    assert day("2025-06-03") <= mail.send <= day("2025-06-03") + timedelta(days=6)


def test_r36_what_is_not_due_is_counted() -> None:
    org = quiet(lookahead_days=30)
    org.contact(birth_date=BORN)  # beyond
    org.contact(birth_date="1960-01-20")  # handled
    org.contact(effective_date="2024-12-20")  # next is 2025-12-20, 12 months: eligible but beyond
    org.contact(birth_date="2025-01-10")  # born today: not eligible
    org.contact(birth_date="1960-01-30")  # due on 16 January
    org.locked(2, "birthday", "2025-01-20", status="scheduled")
    planned = org.plan("2025-01-10")
    assert (planned.considered["birthday"], planned.considered["effective_date"]) == (4, 1)
    assert dict(planned.not_due) == {"beyond_lookahead": 2, "handled": 1, "not_eligible": 1}
    assert len(planned.rows) == 1


def test_r36_the_types_have_the_priorities_of_the_rule_book() -> None:
    org = Org(state_rules={"TX": {"type": "birthday_window", "before": 0, "after": 5}}, pre_exclusion_buffer_days=0,
              birthday_days_before=0)  # fmt: skip
    org.contact(birth_date=BORN, effective_date="2010-10-01")
    rows = org.plan("2025-01-10").rows
    assert {rows.kinds[k].email_type: rows.kinds[k].priority for k in rows.kind} == {
        "birthday": 10,
        "effective_date": 20,
        "aep": 30,
        "post_window": 40,  # 21 June, after the birthday's window
    }
