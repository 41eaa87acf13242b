"""explain on hand-computed cases: what is said, with which dates, and what would have to change."""

import json
from datetime import date
from typing import Any

import pytest

from core.planning.calendar import day_number
from core.planning.explain import UnknownContactError, explain
from core.planning.explain_words import WORDS, find
from core.planning.explanation import Explanation, Finding, Mail
from tests.orgs import Org

TODAY = "2025-03-10"


def told(org: Org, contact_id: int, today: str = TODAY) -> Explanation:
    return explain(org.read(today).snapshot, org.config, day_number(date.fromisoformat(today)), contact_id)


def mail_of(explanation: Explanation, email_type: str, about: date | None = None) -> Mail:
    of_type = [mail for mail in explanation.mails if mail.email_type == email_type]
    (mail,) = [mail for mail in of_type if about in {None, mail.event_date}]
    return mail


def finding_of(mail: Mail, code: str) -> Finding:
    (finding,) = [finding for finding in mail.findings if finding.code == code]
    return finding


def test_a_mail_that_nothing_touches_goes_out_on_its_ideal_date() -> None:
    org = Org()
    mail = mail_of(told(org, org.contact(birth_date="1950-06-20")), "birthday")
    assert [finding.code for finding in mail.findings] == ["asked_birthday", "to_be_sent"]
    assert (mail.event_date, mail.ideal_date, mail.send_date) == (date(2025, 6, 20), date(2025, 6, 6), date(2025, 6, 6))
    assert (mail.outcome, mail.reason, mail.deadline) == ("to_be_sent", None, date(2025, 6, 19))
    assert mail.findings[0].rules == ("R30", "R31")


def test_a_window_is_told_with_its_first_and_last_day_and_the_mail_that_takes_its_place() -> None:
    org = Org()
    explanation = told(org, org.contact(state="CA", birth_date="1950-06-20"))
    kept = mail_of(explanation, "birthday")
    window = finding_of(kept, "exclusion:birthday_window")
    # 30 days before, 60 more of buffer, 60 after (R41, R42)
    assert (window.from_day, window.to_day) == (date(2025, 3, 22), date(2025, 8, 19))
    assert (kept.outcome, kept.reason, kept.send_date) == ("skipped", "exclusion:birthday_window:CA", date(2025, 6, 6))
    assert window.needs is not None
    instead = mail_of(explanation, "post_window", date(2025, 8, 20))
    assert (instead.send_date, instead.outcome) == (date(2025, 8, 20), "to_be_sent")
    (made_up_for,) = finding_of(instead, "makes_up_for").mails
    assert (made_up_for.email_type, made_up_for.event_date, made_up_for.send_date) == (
        "birthday", date(2025, 6, 20), date(2025, 6, 6),
    )  # fmt: skip
    assert (date(2025, 3, 22), date(2025, 8, 19)) in [(w.from_day, w.to_day) for w in explanation.windows]


def test_a_mail_after_a_window_says_when_it_is_switched_off() -> None:
    org = Org(enable_post_window_emails=False)
    explanation = told(org, org.contact(state="CA", birth_date="1950-06-20"))
    assert mail_of(explanation, "post_window", date(2025, 8, 20)).reason == "post_window_off"


def test_a_mail_after_last_years_window_says_that_it_is_too_late() -> None:
    org = Org()
    mail = mail_of(told(org, org.contact(state="CA", birth_date="1950-06-20")), "post_window", date(2024, 8, 20))
    assert (mail.outcome, mail.reason, mail.deadline) == ("no_row", "post_window_expired", date(2024, 9, 19))


@pytest.mark.parametrize(
    ("values", "issue", "verdict"),
    [
        ({"email": None}, "missing_email", "gets nothing at all: missing_email"),
        ({"email": "nobody", "birth_date": "x"}, "invalid_email", "gets nothing at all: invalid_email"),
        ({"status": "Unsubscribed", "birth_date": "x"}, "suppressed_status", "gets nothing at all: suppressed_status"),
    ],
)
def test_a_contact_that_is_not_written_to_gets_nothing_and_hears_why(
    values: dict[str, Any], issue: str, verdict: str
) -> None:
    org = Org()
    explanation = told(org, org.contact(**values))
    assert (explanation.schedulable, explanation.mails, explanation.verdict) == (False, (), verdict)
    assert issue in explanation.issues
    (finding,) = [finding for finding in explanation.findings if finding.code == issue]
    assert finding.needs


def test_an_unknown_state_keeps_back_all_but_campaigns_without_windows() -> None:
    org = Org()
    org.campaign("notice", respect_exclusion_windows=0, target_all_contacts=1)
    org.instance("notice", active_start_date=TODAY)
    explanation = told(org, org.contact(state=None, birth_date="1950-06-20", effective_date="2020-06-20"))
    for name in ("birthday", "effective_date", "aep"):
        assert mail_of(explanation, name).reason == "state_unknown_for_type"
    notice = mail_of(explanation, "campaign_notice")
    assert notice.outcome == "to_be_sent"
    assert finding_of(notice, "windows_bypassed").rules == ("R53", "R56")


def test_a_row_that_the_sender_has_is_named_by_its_id() -> None:
    org = Org()
    contact = org.contact(birth_date="1950-03-20")
    row = org.locked(contact, "birthday", "2025-03-20", status="bounced", scheduled_send_date="2025-03-06")
    finding = finding_of(mail_of(told(org, contact), "birthday"), "handled")
    assert [(ref.row_id, ref.status, ref.send_date) for ref in finding.mails] == [(row, "bounced", date(2025, 3, 6))]


def test_a_mail_beyond_the_lookahead_says_from_when_on_it_is_planned() -> None:
    org = Org(lookahead_days=30)
    mail = mail_of(told(org, org.contact(birth_date="1950-06-20")), "birthday")
    finding = finding_of(mail, "beyond_lookahead")
    assert (finding.from_day, finding.to_day) == (date(2025, 5, 7), date(2025, 6, 6))
    assert (mail.outcome, mail.send_date, mail.stored) == ("no_row", None, None)


def test_a_young_policy_says_at_which_anniversary() -> None:
    org = Org(effective_date_first_email_months=24)
    mail = mail_of(told(org, org.contact(effective_date="2024-06-20")), "effective_date")
    finding = finding_of(mail, "effective_date_not_eligible")
    assert (finding.to_day, finding.counts) == (date(2025, 6, 20), {"months": 24})


def test_campaigns_say_who_they_are_for_and_why_not_this_contact() -> None:
    org = Org()
    contact = org.contact(state="TX")
    for name, values in (("all", {"target_all_contacts": 1}), ("some", {}), ("off", {"active": 0})):
        org.campaign(name, **values)
    org.instance("all", active_start_date=TODAY, target_states="OH")
    org.instance("some", active_start_date=TODAY)
    org.instance("off", active_start_date=TODAY)
    late = org.instance("some", active_start_date="2025-03-11")
    over = org.instance("some", active_end_date="2025-03-09")
    org.instance("none", active_start_date=TODAY)
    reasons = {
        (mail.email_type, mail.campaign_instance_id): mail.reason
        for mail in told(org, contact).mails
        if mail.campaign_instance_id is not None
    }
    assert reasons == {
        ("campaign_all", 1): "not_targeted",
        ("campaign_some", 2): "not_enrolled",
        ("campaign_off", 3): "campaign_inactive",
        ("campaign_some", late): "campaign_not_begun",
        ("campaign_some", over): "campaign_ended",
        ("campaign_none", 6): "campaign_type_missing",
    }


def test_the_frequency_limit_names_the_mails_that_fill_the_period() -> None:
    org = Org(max_emails_per_period=1, aep_enabled=False)
    contact = org.contact(birth_date="1950-06-20", effective_date="2020-07-01")
    explanation = told(org, contact)
    birthday = mail_of(explanation, "birthday")
    assert (birthday.outcome, birthday.send_date) == ("to_be_sent", date(2025, 6, 6))
    limited = finding_of(mail_of(explanation, "effective_date"), "frequency_limit")
    assert [(ref.email_type, ref.send_date, ref.row_id) for ref in limited.mails] == [
        ("birthday", date(2025, 6, 6), None)
    ]
    assert (limited.to_day, limited.from_day) == (date(2025, 6, 1), date(2025, 6, 30))


def test_a_conflict_names_the_campaign_mail_of_the_day() -> None:
    org = Org()
    contact = org.contact()
    row = org.locked(contact, "campaign_first", TODAY, status="scheduled", campaign_instance_id=99)
    org.campaign("second", target_all_contacts=1)
    org.instance("second", active_start_date=TODAY)
    conflict = finding_of(mail_of(told(org, contact), "campaign_second"), "campaign_conflict")
    assert [ref.row_id for ref in conflict.mails] == [row]


def test_a_day_over_the_cap_passes_mail_on_and_says_how_full_it_was() -> None:
    org = Org(min_daily_cap=2, daily_send_percentage_cap=0.01, overage_threshold=1.0, aep_enabled=False)
    contacts = [org.contact(birth_date="1950-06-20") for _ in range(5)]
    last = mail_of(told(org, contacts[4]), "birthday")
    carried = [finding for finding in last.findings if finding.code == "carried"]
    # 5 on the first day, of which 2 stay; 3 on the next, of which 2 stay (R66)
    assert [(f.from_day, f.to_day, dict(f.counts)) for f in carried] == [
        (date(2025, 6, 6), date(2025, 6, 7), {"wanted": 5, "stayed": 2, "fixed": 0, "cap": 2}),
        (date(2025, 6, 7), date(2025, 6, 8), {"wanted": 3, "stayed": 2, "fixed": 0, "cap": 2}),
    ]
    assert last.send_date == date(2025, 6, 8)


def test_a_late_mail_says_which_day_it_missed() -> None:
    org = Org()
    mail = mail_of(told(org, org.contact(birth_date="1950-03-20")), "birthday")
    late = finding_of(mail, "late")
    assert late.from_day == date(2025, 3, 6)
    assert late.to_day == mail.send_date
    assert date(2025, 3, 10) <= (mail.send_date or date.min) <= date(2025, 3, 16)


def test_a_cluster_says_how_large_it_is_and_where_the_mail_went() -> None:
    org = Org(ed_daily_soft_limit=2, ed_smoothing_window_days=5, min_daily_cap=100, aep_enabled=False)
    contacts = [org.contact(effective_date="2020-06-20") for _ in range(8)]
    for contact in contacts:
        mail = mail_of(told(org, contact), "effective_date")
        spread = finding_of(mail, "cluster_spread")
        assert dict(spread.counts) == {"cluster": 8, "limit": 2, "window_days": 5}
        assert (spread.from_day, spread.to_day) == (date(2025, 5, 21), mail.send_date)


def test_a_follow_up_says_what_it_follows_and_what_the_contact_did() -> None:
    org = Org()
    contact = org.contact(birth_date="1950-03-20")
    row = org.locked(contact, "birthday", "2025-03-20", scheduled_send_date="2025-03-06")
    org.insert("tracking_clicks", contact_id=contact, tracking_id="t", clicked_at="2025-03-07 10:00:00")
    mail = mail_of(told(org, contact), "followup_2_clicked_no_hq")
    assert [ref.row_id for ref in finding_of(mail, "followup_of").mails] == [row]
    assert finding_of(mail, "behaviour_clicked").counts == {"clicks": 1, "answers": 0}
    assert (mail.ideal_date, mail.send_date) == (date(2025, 3, 8), date(2025, 3, 10))


def test_no_follow_up_says_which_one_the_contact_had() -> None:
    org = Org()
    contact = org.contact()
    org.locked(contact, "birthday", "2025-03-20", scheduled_send_date="2025-03-06")
    row = org.locked(contact, "followup_1_cold", "2025-03-20", scheduled_send_date="2025-03-08")
    mail = mail_of(told(org, contact), "followup")
    assert mail.reason == "followed_already"
    assert [ref.row_id for ref in mail.findings[0].mails] == [row]


def test_stored_rows_are_held_against_the_plan_field_by_field() -> None:
    org = Org(aep_enabled=False)
    contact = org.contact(birth_date="1950-06-20")
    org.locked(contact, "birthday", "2025-06-20", status="pre-scheduled", scheduled_send_date="2025-06-01", priority=10)
    gone = org.locked(contact, "aep", "2025-09-15", status="pre-scheduled")
    explanation = told(org, contact)
    stored = mail_of(explanation, "birthday").stored
    assert stored is not None
    assert stored.change == "update"
    changed = {field.column: (field.before, field.after) for field in stored.fields}
    assert changed["scheduled_send_date"] == ("2025-06-01", "2025-06-06")
    assert "priority" not in changed
    assert [(left.row.row_id, left.change) for left in explanation.leftovers] == [(gone, "delete")]


def test_nothing_in_an_explanation_says_who_the_contact_is() -> None:
    org = Org()
    contact = org.contact(
        email="ann.secret@example.com", first_name="Ann", last_name="Secret", phone_number="555-0100",
        birth_date="1949-06-20", zip_code="90210", status="Gold",
    )  # fmt: skip
    text = json.dumps(told(org, contact), default=repr)
    for word in ("Ann", "ecret", "555-0100", "1949", "90210", "Gold", "@"):
        assert word not in text


def test_a_contact_that_is_not_there_is_an_error() -> None:
    org = Org()
    with pytest.raises(UnknownContactError):
        told(org, 7)


def test_every_sentence_can_be_filled_from_what_findings_carry() -> None:
    counts = dict.fromkeys(
        "days months enrolment clicks cluster limit wanted fixed cap most period before buffer after".split(), 1
    )
    for code in WORDS:
        finding = find(code, from_day=0, to_day=1, counts=counts, kind="birthday_window")
        assert "{" not in finding.text + (finding.needs or "")
        assert finding.rules
