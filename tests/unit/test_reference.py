"""The reference implementation against cases computed by hand from RULES.md. Nothing here was pasted from output."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.reference.balancing import Limits, apply_cap, late_target, mail_hash, mix, smoothed_target
from tests.reference.behaviour import Behaviour, has_conditions
from tests.reference.config import Config, daily_cap, daily_threshold, profile_of, read_config
from tests.reference.contacts import judge_email, read_contacts, state_of_zip
from tests.reference.dates import anniversary, next_anniversary, read_date, read_moment
from tests.reference.diff import expected_rows, planned_content
from tests.reference.instances import read_overrides
from tests.reference.limits import too_frequent
from tests.reference.model import Contact, Item, PlannedRow, ReferencePlan
from tests.reference.planner import reference_plan
from tests.reference.random_orgs import random_org
from tests.reference.windows import age_on, excluded, first_free

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = (Path(__file__).parents[2] / "infra" / "schema.sql").read_text(encoding="utf-8")
ZIPS = {"90210": "CA", "66101": "KS", "06103": "CT", "10001": "NY", "63101": "MO", "00601": "PR"}
DEFAULTS = Config()


def contact(state: str | None, birth: date | None = None, effective: date | None = None, identity: int = 1) -> Contact:
    return Contact(
        id=identity,
        schedulable=True,
        state=state,
        birth_date=birth,
        effective_date=effective,
        carrier="",
        failed_underwriting=False,
    )


def item(identity: int, target: date, deadline: date, state: str = "KS", birth: date | None = None) -> Item:
    return Item(contact(state, birth, identity=identity), "aep", target, target, deadline, 30, target)


class Org:
    """An org database built in the test."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:")
        self.db.executescript(SCHEMA)

    def add(self, table: str, **row: object) -> None:
        marks = ", ".join("?" * len(row))
        self.db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))

    def contact(self, identity: int, state: str = "KS", **row: object) -> None:
        self.add("contacts", **({"id": identity, "email": f"c{identity}@example.com", "state": state} | row))

    def mail(self, identity: int, contact_id: int, email_type: str, event: str, send: str, **row: object) -> None:
        required = {"id": identity, "contact_id": contact_id, "email_type": email_type}
        dates = {"event_date": event, "scheduled_send_date": send}
        self.add("email_schedules", **(required | dates | {"status": "sent"} | row))

    def plan(self, today: str, **overrides: object) -> ReferencePlan:
        return reference_plan(self.db, overrides, date.fromisoformat(today), ZIPS)

    def rows(self, today: str, email_type: str, **overrides: object) -> list[PlannedRow]:
        return [row for row in self.plan(today, **overrides).rows if row.email_type == email_type]

    def brief(self, today: str, email_type: str, **overrides: object) -> list[tuple[str, str, str | None]]:
        """Event date, send date and skip reason of the rows of one type."""
        rows = self.rows(today, email_type, **overrides)
        return [(str(row.event_date), str(row.scheduled_send_date), row.skip_reason) for row in rows]


@pytest.fixture
def org() -> Org:
    return Org()


# ------------------------------------------------------------------------------------------------ contacts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (None, False)),
        ("  ", (None, False)),
        (" 1960-06-15\t", (date(1960, 6, 15), False)),
        ("1960-06-15T23:59:59Z", (date(1960, 6, 15), False)),
        ("1960-06-15 whatever", (date(1960, 6, 15), False)),
        ("1960-06-15x", (None, True)),
        ("1959-02-29", (date(1959, 2, 28), False)),
        ("1900-02-29", (date(1900, 2, 28), False)),
        ("1960-02-29", (date(1960, 2, 29), False)),
        ("1960-02-30", (None, True)),
        ("1899-12-31", (None, True)),
        ("2100-12-31", (date(2100, 12, 31), False)),
        ("2101-01-01", (None, True)),
        ("1960-6-15", (None, True)),
    ],
)
def test_dates_r21(text: str | None, expected: tuple[date | None, bool]) -> None:
    assert read_date(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("06103", "CT"),
        ("06103-1234", "CT"),
        ("061031234", "CT"),
        ("6103", "CT"),
        ("601", "PR"),
        (" 90210 ", "CA"),
        ("90210-12", None),
        ("61", None),
        ("99999", None),
    ],
)
def test_zip_r23(text: str, expected: str | None) -> None:
    assert state_of_zip(text, ZIPS) == expected


def test_email_r20() -> None:
    assert judge_email(" a@b.co\n") is None
    assert judge_email("  ") == judge_email(None) == "missing_email"
    assert judge_email("a@b.c") == judge_email("ü@b.com") == judge_email("a b@c.com") == "invalid_email"


def test_issues_r20_to_r24(org: Org) -> None:
    org.contact(1, "NY", zip_code="90210")
    org.contact(2, "??", email="", birth_date="2025-01-11", effective_date="soon", status=" Deleted ")
    assert org.plan("2025-01-10").issues == {
        (1, "state_mismatch"),
        (2, "missing_email"),
        (2, "suppressed_status"),
        (2, "bad_birth_date"),  # one day in the future
        (2, "bad_effective_date"),
        (2, "state_unknown"),
    }


# ---------------------------------------------------------------------------------------------- anniversaries


def test_leap_days_come_back_r30() -> None:
    born = date(1960, 2, 29)
    assert [anniversary(born, year).day for year in (2023, 2024, 2025)] == [28, 29, 28]
    assert next_anniversary(born, date(2024, 2, 29)) == date(2024, 2, 29)
    assert next_anniversary(born, date(2024, 3, 1)) == date(2025, 2, 28)


def test_birthday_r31(org: Org) -> None:
    org.contact(1, birth_date="1960-03-01")
    # 14 days before 1 March 2024, a leap year, is 16 February
    assert org.brief("2024-01-10", "birthday") == [("2024-03-01", "2024-02-16", None)]
    assert org.brief("2024-03-01", "birthday") == [("2024-03-01", "2024-03-01", None)]  # late, the deadline is today
    assert org.brief("2024-03-02", "birthday") == [("2025-03-01", "2025-02-15", None)]


def test_no_mail_on_the_day_of_birth_r31(org: Org) -> None:
    org.contact(1, birth_date="2025-03-01")
    assert org.brief("2025-03-01", "birthday") == []
    assert org.brief("2025-03-02", "birthday") == [("2026-03-01", "2026-02-15", None)]


@pytest.mark.parametrize(("months", "rows"), [(0, 1), (11, 1), (12, 1), (13, 0), (24, 0)])
def test_first_effective_date_mail_r32(org: Org, months: int, rows: int) -> None:
    org.contact(1, effective_date="2024-06-01")
    # the first anniversary, 1 June 2025, is 12 months: ideal is 30 days earlier
    found = org.brief("2025-01-10", "effective_date", effective_date_first_email_months=months)
    assert found == [("2025-06-01", "2025-05-02", None)] * rows


def test_no_effective_date_mail_before_the_effective_date_r32(org: Org) -> None:
    org.contact(1, effective_date="2026-03-01")
    org.contact(2, effective_date="2025-03-01")
    found = org.rows("2025-01-10", "effective_date", effective_date_first_email_months=0)
    assert [(row.contact_id, str(row.event_date)) for row in found] == [(2, "2025-03-01")]


@pytest.mark.parametrize(
    ("event", "rows"), [("2024-12-18", 0), ("2024-12-17", 1), ("2025-12-11", 0), ("2025-12-12", 1)]
)
def test_handled_within_180_days_r33(org: Org, event: str, rows: int) -> None:
    # 15 June is day 166 of 2025, 31 December day 0: 179 and 180 days before are days -13 and -14: 18 and 17 December;
    # 179 and 180 days after are days 345 and 346, 11 and 12 December
    org.contact(1, birth_date="1960-06-15")
    org.mail(1, 1, "birthday", event, "2024-01-01", status="bounced")
    assert len(org.brief("2025-05-01", "birthday")) == rows


def test_aep_r35(org: Org) -> None:
    org.contact(1)
    org.contact(2, "??")  # unknown state: none
    assert org.brief("2025-10-15", "aep") == [("2025-09-15", "2025-10-15", None)]  # 30 days of grace
    assert org.brief("2025-10-16", "aep") == [("2026-09-15", "2026-09-15", None)]
    assert org.brief("2025-10-16", "aep", aep_years=[2025, 2027]) == []  # found first, then looked up
    org.add("campaign_types", name="aep", active=0)
    assert len(org.brief("2025-10-15", "aep")) == 1
    org.db.execute("UPDATE campaign_types SET active = 1")
    assert org.brief("2025-10-15", "aep") == []


def test_underwriting_spares_aep_r34(org: Org) -> None:
    org.contact(1, birth_date="1960-06-15", failed_underwriting=2)
    reason = "failed_underwriting:global"
    assert org.brief("2025-05-01", "birthday", exclude_failed_underwriting_global=True)[0][2] == reason
    assert org.brief("2025-05-01", "aep", exclude_failed_underwriting_global=True)[0][2] is None


def test_lookahead_r36(org: Org) -> None:
    org.contact(1, birth_date="1960-06-15")  # ideal 1 June, 31 days from 1 May
    assert org.brief("2025-05-01", "birthday", lookahead_days=30) == []
    assert len(org.brief("2025-05-01", "birthday", lookahead_days=31)) == 1


# ------------------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize(
    ("state", "first", "last"),
    [
        # 15 June is day 166 of 2025. CA and MO start at 166 - 30 - 60 = day 76, 17 March
        ("CA", date(2025, 3, 17), date(2025, 8, 14)),  # 166 + 60 = day 226
        ("MO", date(2025, 3, 17), date(2025, 7, 18)),  # 166 + 33 = day 199
        ("NV", date(2025, 4, 2), date(2025, 7, 31)),  # 1 June is day 152; 152 - 60 = 92, 152 + 60 = 212
        ("MD", date(2025, 4, 16), date(2025, 7, 15)),  # 166 - 60 = 106, 166 + 30 = 196
    ],
)
def test_window_edges_r42(state: str, first: date, last: date) -> None:
    person = contact(state, date(1960, 6, 15), date(2010, 6, 15))
    kind = "effective_date_window" if state == "MO" else "birthday_window"
    inside = [first - timedelta(days=1), first, last, last + timedelta(days=1)]
    reason = f"exclusion:{kind}:{state}"
    assert [excluded(person, DEFAULTS, day) for day in inside] == [None, reason, reason, None]


def test_windows_across_the_year_end_r43() -> None:
    # KY: 20 December - 60 is 21 October, + 60 is 18 February. CA: 10 January - 90 is 12 October, + 60 is 11 March
    december, january = contact("KY", date(1960, 12, 20)), contact("CA", date(1960, 1, 10))
    edges = [date(2025, 2, 18), date(2025, 2, 19), date(2025, 10, 20), date(2025, 10, 21)]
    assert [excluded(december, DEFAULTS, day) is not None for day in edges] == [True, False, False, True]
    edges = [date(2025, 3, 11), date(2025, 3, 12), date(2025, 10, 11), date(2025, 10, 12)]
    assert [excluded(january, DEFAULTS, day) is not None for day in edges] == [True, False, False, True]


def test_windows_of_a_leap_day_r42() -> None:
    # VA: 29 February 2024 - 60 is 31 December 2023; 28 February 2025 - 60 is 30 December 2024; both end on 30 March
    person = contact("VA", date(1960, 2, 29))
    edges = [date(2023, 12, 30), date(2023, 12, 31), date(2024, 3, 30), date(2024, 3, 31)]
    assert [excluded(person, DEFAULTS, day) is not None for day in edges] == [False, True, True, False]
    edges = [date(2024, 12, 29), date(2024, 12, 30), date(2025, 3, 30), date(2025, 3, 31)]
    assert [excluded(person, DEFAULTS, day) is not None for day in edges] == [False, True, True, False]


def test_years_before_the_anchor_are_excluded_too_r43() -> None:
    assert excluded(contact("MO", None, date(2030, 6, 15)), DEFAULTS, date(2025, 6, 1)) is not None


def test_order_of_reasons_r40() -> None:
    rules = {"IL": {"type": "birthday_window", "after": 45, "age_76_plus": True}, "CA": {"type": "none"}}
    config = read_config({"state_rules": rules})
    assert excluded(contact("NY"), config, date(2025, 1, 1)) == "exclusion:year_round:NY"
    assert excluded(contact("CA", date(1960, 6, 15)), config, date(2025, 6, 15)) is None
    old = contact("IL", date(1949, 6, 15))  # 76 on 15 June 2025; the window starts on day 106, 16 April
    assert excluded(old, config, date(2025, 4, 15)) is None
    assert excluded(old, config, date(2025, 6, 14)) == "exclusion:birthday_window:IL"
    assert excluded(old, config, date(2025, 6, 15)) == "exclusion:age_76_plus:IL"
    assert excluded(contact("IL"), config, date(2025, 6, 15)) == "exclusion:window_date_unknown:IL"  # R44
    send = read_config({"missing_window_date_policy": "send"})
    assert excluded(contact("MO", date(1960, 6, 15)), send, date(2025, 6, 15)) is None


def test_age_r45() -> None:
    born = date(1948, 2, 29)
    assert [age_on(born, date(2024, 2, day)) for day in (28, 29)] == [75, 76]
    assert [age_on(born, date(2025, 2, day)) for day in (27, 28)] == [76, 77]


def test_state_buffer_replaces_the_general_one_r42() -> None:
    config = read_config({"state_buffers": {"CA": 0}})
    person = contact("CA", date(1960, 6, 15))  # 166 - 30 = day 136, 16 May
    assert [excluded(person, config, date(2025, 5, day)) is None for day in (15, 16)] == [True, False]


def test_first_free_through_touching_windows_r50() -> None:
    # 180 before and 184 after cover all of a 365-day year. From 15 June 2027 to 15 June 2028 there are 366 days: the
    # day 185 after 15 June 2027, day 351, 17 December, is free. 800 days before it: two years (730) and 70 days,
    # 8 October 2025
    rules = {"TX": {"type": "birthday_window", "before": 180, "after": 184}}
    config = read_config({"state_rules": rules, "pre_exclusion_buffer_days": 0})
    person = contact("TX", date(1960, 6, 15))
    assert first_free(person, config, date(2025, 10, 8)) == date(2027, 12, 17)
    assert first_free(person, config, date(2025, 10, 7)) is None
    assert first_free(contact("NY"), config, date(2025, 10, 8)) is None


# ---------------------------------------------------------------------------------------------- post-window


def test_post_window_of_the_current_occurrence_r51a(org: Org) -> None:
    org.contact(1, "CA", birth_date="1960-06-15")
    skipped = ("2025-06-15", "2025-06-01", "exclusion:birthday_window:CA")
    assert org.brief("2025-05-01", "birthday") == [skipped]
    assert org.brief("2025-05-01", "post_window") == [("2025-08-15", "2025-08-15", None)]
    assert org.brief("2025-05-01", "post_window", lookahead_days=105) == []  # 15 August is 106 days away


def test_post_window_of_the_previous_occurrence_r51b(org: Org) -> None:
    org.contact(1, "CA", birth_date="1960-06-15")
    assert org.brief("2025-08-20", "post_window", lookahead_days=1) == [("2025-08-15", "2025-08-20", None)]
    assert len(org.brief("2025-09-14", "post_window", lookahead_days=1)) == 1  # the last day of the grace
    assert org.brief("2025-09-15", "post_window", lookahead_days=1) == []


def test_post_window_is_sent_once_r51(org: Org) -> None:
    org.contact(1, "CA", birth_date="1960-06-15")
    org.mail(1, 1, "post_window", "2025-08-15", "2025-08-15")
    assert org.brief("2025-08-20", "post_window", lookahead_days=1) == []


def test_one_post_window_mail_for_one_free_day_r51(org: Org) -> None:
    org.contact(1, "CA", birth_date="1960-06-15", effective_date="2020-06-20")  # both ideal dates in the window
    assert org.brief("2025-05-01", "post_window") == [("2025-08-15", "2025-08-15", None)]


def test_late_post_window_mail_meets_the_next_window_r51(org: Org) -> None:
    # windows of 15 June -180 and +180 leave 4 days of 365: 13 December (day 347) to 16 December 2025
    org.contact(1, "TX", birth_date="1960-06-15")
    rules = {"TX": {"type": "birthday_window", "before": 180, "after": 180}}
    settings = {"state_rules": rules, "pre_exclusion_buffer_days": 0, "lookahead_days": 1}
    assert org.brief("2025-12-16", "post_window", **settings) == [("2025-12-13", "2025-12-16", None)]
    reason = "exclusion:birthday_window:TX"
    assert org.brief("2025-12-17", "post_window", **settings) == [("2025-12-13", "2025-12-13", reason)]


# ------------------------------------------------------------------------------------------------ campaigns


def campaign(org: Org, instance: Mapping[str, object], **settings: object) -> None:
    org.add("campaign_types", **({"name": "push"} | settings))
    org.add("campaign_instances", **{"id": 7, "campaign_type": "push", "instance_name": "a", **instance})


def test_days_before_event_are_before_r55(org: Org) -> None:
    org.contact(1)
    campaign(org, {"email_template": "tpl"}, days_before_event=14, priority=33)
    org.add("contact_campaigns", id=1, contact_id=1, campaign_instance_id=7, trigger_date="2025-02-15")
    (row,) = org.rows("2025-01-10", "campaign_push")
    assert (str(row.event_date), str(row.scheduled_send_date)) == ("2025-02-15", "2025-02-01")
    assert (row.campaign_instance_id, row.priority, row.email_template, row.sms_template) == (7, 33, "tpl", None)


def test_spread_r55(org: Org) -> None:
    for identity in (9, 10, 11):
        org.contact(identity)
    dates = {"spread_start_date": "2025-03-01", "spread_end_date": "2025-03-10"}
    campaign(org, dates, spread_evenly=1, target_all_contacts=1, days_before_event=5)
    rows = org.rows("2025-01-10", "campaign_push")  # 10 days: 9 mod 10, 10 mod 10, 11 mod 10
    assert [str(row.scheduled_send_date) for row in rows] == ["2025-03-10", "2025-03-01", "2025-03-02"]
    assert {str(row.event_date) for row in rows} == {"2025-03-01"}


def test_target_all_triggers_on_its_start_or_creation_r55(org: Org) -> None:
    org.contact(1)
    campaign(org, {"created_at": "2025-01-05 23:00:00"}, target_all_contacts=1)
    assert org.brief("2025-02-04", "campaign_push") == [("2025-01-05", "2025-02-04", None)]  # 5 January + 30 days
    assert org.brief("2025-02-05", "campaign_push") == []


def test_order_of_campaign_skips_r56(org: Org) -> None:
    org.contact(1, "KS", failed_underwriting=1)
    org.contact(2, "CA", failed_underwriting=1)
    org.contact(3, "CA", birth_date="1960-03-01")
    org.contact(4, "??")
    campaign(org, {"target_states": " ca, ,nv", "active_end_date": "2025-03-31"}, skip_failed_underwriting=1)
    for number, (identity, trigger) in enumerate([(1, 2), (2, 2), (3, 2), (3, 4), (4, 2)], start=1):
        trigger_date = f"2025-0{trigger}-15"
        org.add("contact_campaigns", id=number, contact_id=identity, campaign_instance_id=7, trigger_date=trigger_date)
    assert [reason for _, _, reason in org.brief("2025-01-10", "campaign_push")] == [
        "target_mismatch",
        "failed_underwriting:campaign",
        "exclusion:birthday_window:CA",
        "after_campaign_end",
        "target_mismatch",  # a state list needs a known state
    ]


def test_universal_mail_to_unknown_states_r56(org: Org) -> None:
    org.contact(1, "??")
    instance = {"active_start_date": "2025-01-20", "metadata": '{"respect_exclusion_windows": false}'}
    campaign(org, instance, target_all_contacts=1)
    settings = {"send_without_zipcode_for_universal": False}
    assert org.brief("2025-01-20", "campaign_push") == [("2025-01-20", "2025-01-20", None)]
    assert org.brief("2025-01-20", "campaign_push", **settings) == [("2025-01-20", "2025-01-20", "state_unknown")]


def test_handled_campaigns_r57(org: Org) -> None:
    org.contact(1)
    campaign(org, {})
    for number, trigger in ((1, "2025-02-15"), (2, "2025-02-20"), (3, "2025-02-20 ")):  # the last is a duplicate
        org.add("contact_campaigns", id=number, contact_id=1, campaign_instance_id=7, trigger_date=trigger)
    org.mail(1, 1, "campaign_push", "2025-02-15", "2025-01-02", campaign_instance_id=7, status="failed")
    assert org.brief("2025-01-10", "campaign_push") == [("2025-02-20", "2025-02-20", None)]
    org.db.execute("UPDATE campaign_types SET target_all_contacts = 1")
    org.db.execute("UPDATE campaign_instances SET active_start_date = '2025-01-01'")
    assert org.brief("2025-01-10", "campaign_push") == []  # once is enough for target-all


def test_campaign_issues_r52_to_r54(org: Org) -> None:
    org.contact(1)
    campaign(org, {"metadata": "[]"})
    dates = {"spread_end_date": "2025-02-30"}
    org.add("campaign_instances", id=8, campaign_type="push", instance_name="b", **dates)
    enrolments = [(1, 1, 7, "someday"), (2, 99, 7, None), (3, 1, 8, "someday")]
    for number, contact_id, instance, trigger in enrolments:
        keys = {"contact_id": contact_id, "campaign_instance_id": instance}
        org.add("contact_campaigns", id=number, trigger_date=trigger, **keys)
    expected = {"bad_campaign_metadata:7", "bad_campaign_dates:8", "bad_enrolment:1", "bad_enrolment:2"}
    assert org.plan("2025-01-10").issues == {(0, code) for code in expected}


@pytest.mark.parametrize(
    ("metadata", "overrides", "bad"),
    [
        ("{}", {}, False),
        ('{"respect_exclusion_windows": false, "priority": 3}', {"respect_exclusion_windows": 0, "priority": 3}, False),
        ('{"respect_exclusion_windows": "false"}', {"respect_exclusion_windows": 1}, True),
        ('{"enable_followups": 2, "days_before_event": -3650}', {"days_before_event": -3650}, True),
        ('{"days_before_event": 3651}', {}, True),
        ('{"priority": true}', {}, True),
        ('{"priority": 3.0}', {}, True),
        ("[]", {}, True),
        ("{", {}, True),
    ],
)
def test_metadata_r53(metadata: str, overrides: dict[str, int], bad: bool) -> None:
    assert read_overrides(metadata) == (overrides, bad)


# ------------------------------------------------------------------------------------------------ balancing


def test_hash_r60() -> None:
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    assert mail_hash(1, 1, 2, 2025) == 0xE4A9CB2F972B7049
    assert mail_hash(2, 1, 2, 2025) == 0x02E9739B48C5CDCC
    assert mail_hash(123_456, 2, 1, 2024) == 0x5F8A1EBDA0D53C43
    assert mail_hash(3_000_000, 2, 2, 2026) == 0x93DCD0D83AA26E98


@pytest.mark.parametrize(
    ("identity", "window_days", "offset"),
    [
        # 16 is 1 modulo 3 and 5: the hexadecimal digits of the two hashes above add up to 126 and 133
        (1, 3, 0 - 1),
        (2, 3, 1 - 1),
        (1, 5, 1 - 2),
        (2, 5, 3 - 2),
        (1, 10, 1 - 5),  # odd, 1 modulo 5
        (2, 10, 8 - 5),  # even, 3 modulo 5
        (2, 1, 0),
    ],
)
def test_smoothing_offsets_r62(identity: int, window_days: int, offset: int) -> None:
    ideal = date(2025, 5, 2)
    mail = Item(
        contact("KS", identity=identity), "effective_date", date(2025, 6, 1), ideal, date(2025, 5, 31), 20, ideal
    )
    assert smoothed_target(mail, window_days) == ideal + timedelta(days=offset)


def test_smoothing_counts_what_is_locked_r61(org: Org) -> None:
    org.contact(1, effective_date="2020-06-01")
    settings = {"ed_daily_soft_limit": 1, "ed_smoothing_window_days": 5}
    assert org.brief("2025-04-01", "effective_date", **settings)[0][1] == "2025-05-02"  # 1 is not more than 1
    org.mail(1, 99, "effective_date", "2025-06-01", "2025-05-03", status="scheduled")
    assert org.brief("2025-04-01", "effective_date", **settings)[0][1] == "2025-05-01"
    org.db.execute("UPDATE email_schedules SET status = 'cancelled'")
    assert org.brief("2025-04-01", "effective_date", **settings)[0][1] == "2025-05-02"


def test_smoothing_stays_out_of_windows_r62(org: Org) -> None:
    # windows end on 1 May: contact 1 would be moved from 2 May to 1 May, contact 2 to 3 May
    rules = {"TX": {"type": "birthday_window", "after": 1}}
    for identity in (1, 2):
        org.contact(identity, "TX", birth_date="1960-04-30", effective_date="2020-06-01")
    settings = {"ed_daily_soft_limit": 1, "ed_smoothing_window_days": 5, "state_rules": rules}
    sent = [send for _, send, _ in org.brief("2025-04-01", "effective_date", **settings)]
    assert sent == ["2025-05-02", "2025-05-03"]


@pytest.mark.parametrize(
    ("today", "target"),
    [
        # digits of the hash: 133, 3 modulo 5. 1 March 2026 is day 20513, 3 modulo 5
        (date(2026, 2, 25), date(2026, 3, 1)),
        (date(2026, 2, 28), date(2026, 3, 1)),
        (date(2026, 3, 1), date(2026, 3, 1)),
        (date(2026, 3, 2), date(2026, 3, 6)),
        (date(2026, 3, 4), date(2026, 3, 5)),  # the slot of 6 March lies after the deadline
    ],
)
def test_slots_stay_until_they_come_r63(today: date, target: date) -> None:
    deadline = date(2026, 3, 6) if today < date(2026, 3, 4) else date(2026, 3, 5)
    event = deadline + timedelta(days=1)
    mail = Item(contact("KS", identity=3_000_000), "effective_date", event, event, deadline, 20, event)
    assert late_target(mail, read_config({"catch_up_spread_days": 5}), today) == target


def test_cap_and_threshold_r64() -> None:
    config = read_config({"daily_send_percentage_cap": 0.29, "min_daily_cap": 1, "overage_threshold": 1.1})
    assert daily_cap(config, profile_of(config, 100), 100) == 29  # 28.999... in binary
    assert daily_threshold(config, 10) == 11
    assert daily_cap(DEFAULTS, profile_of(DEFAULTS, 4), 4) == 10
    assert daily_cap(DEFAULTS, profile_of(DEFAULTS, 10_000), 10_000) == 1_000  # medium, 10 %


def spread_over_days(items: list[Item], fixed: dict[date, int], limits: Limits) -> tuple[list[date], list[date]]:
    exceeded = apply_cap(items, Counter(fixed), DEFAULTS, date(2025, 5, 1), limits)
    return [mail.target for mail in items], exceeded


def test_carry_forward_r66() -> None:
    first, second, third = (date(2025, 5, day) for day in (1, 2, 3))
    items = [item(identity, first, date(2025, 5, 31)) for identity in (5, 4, 3, 2, 1)]
    assert spread_over_days(items, {}, Limits(2, 2)) == ([third, second, second, first, first], [])
    items = [item(identity, first, date(2025, 5, 31)) for identity in (5, 4, 3, 2, 1)]
    assert spread_over_days(items, {}, Limits(4, 5)) == ([first] * 5, [])  # within the threshold
    items = [item(identity, first, date(2025, 5, 31)) for identity in (5, 4, 3, 2, 1)]
    assert spread_over_days(items, {second: 4}, Limits(4, 4)) == (
        [third] + [first] * 4,
        [],
    )  # nothing fits on the second


def test_unmovable_items_stay_r66() -> None:
    first, second, third = (date(2025, 5, day) for day in (1, 2, 3))
    at_deadline = [item(identity, first, first) for identity in (1, 2, 3)]
    before_window = item(4, first, date(2025, 5, 31), "VA", date(1960, 7, 1))  # 1 July - 60 is 2 May
    movable = item(5, first, date(2025, 5, 31))
    items = [*at_deadline, before_window, movable]
    assert spread_over_days(items, {}, Limits(2, 2)) == ([first] * 4 + [second], [first])
    assert third not in {mail.target for mail in items}


def test_a_fixed_load_over_the_cap_is_not_ours_to_report_r66() -> None:
    first, second = date(2025, 5, 1), date(2025, 5, 2)
    items = [item(1, first, date(2025, 5, 31))]
    assert spread_over_days(items, {first: 9}, Limits(2, 2)) == ([second], [])


# --------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("mail_days", "most", "blocked"),
    [
        ([0], 1, True),
        ([29], 1, True),
        ([-29], 1, True),
        ([30], 1, False),
        ([-30], 1, False),
        ([-20, 20], 2, False),  # no 30 days hold all three
        ([-10, 19], 2, True),  # 30 days from -10 to 19
        ([-10, 20], 2, False),
    ],
)
def test_frequency_r72(mail_days: list[int], most: int, blocked: bool) -> None:
    day = date(2025, 5, 1)
    config = read_config({"max_emails_per_period": most})
    assert too_frequent(day, [day + timedelta(days=days) for days in mail_days], config) is blocked


def test_same_day_campaigns_r71(org: Org) -> None:
    org.contact(1, birth_date="1960-06-15")
    campaign(org, {}, priority=5)
    org.add("campaign_instances", id=3, campaign_type="push", instance_name="b", metadata='{"priority": 6}')
    for instance in (3, 7):
        enrolment = {"campaign_instance_id": instance, "trigger_date": "2025-06-01"}
        org.add("contact_campaigns", id=instance, contact_id=1, **enrolment)
    rows = {row.campaign_instance_id: row.skip_reason for row in org.rows("2025-05-01", "campaign_push")}
    assert rows == {7: None, 3: "campaign_conflict"}
    assert org.brief("2025-05-01", "birthday") == [("2025-06-15", "2025-06-01", None)]


def test_skipped_rows_carry_the_ideal_date_r75(org: Org) -> None:
    org.contact(1, birth_date="1960-05-10")
    org.mail(1, 1, "post_window", "2025-01-01", "2025-04-30")
    late = org.brief("2025-05-01", "birthday", max_emails_per_period=1)
    assert late == [("2025-05-10", "2025-04-26", "frequency_limit")]


# ------------------------------------------------------------------------------------------------- follow-ups


def test_follow_up_r80_to_r85(org: Org) -> None:
    org.contact(1)
    org.mail(1, 1, "birthday", "2025-05-10", "2025-04-26", priority=10, actual_send_datetime="2025-04-27T08:30")
    (row,) = org.rows("2025-04-28", "followup_1_cold")
    assert (str(row.scheduled_send_date), str(row.event_date)) == ("2025-04-29", "2025-05-10")  # 27 April + 2
    assert (row.parent_schedule_id, row.priority, row.email_template) == (1, 10, "followup_1_cold_template")
    assert org.brief("2025-05-09", "followup_1_cold")[0][1] == "2025-05-09"  # overdue: today
    assert len(org.brief("2025-06-01", "followup_1_cold")) == 1  # 35 days after 27 April
    assert org.brief("2025-06-02", "followup_1_cold") == []
    assert org.brief("2025-04-26", "followup_1_cold") == []  # not sent yet


def test_one_follow_up_for_the_latest_parent_r81(org: Org) -> None:
    org.contact(1)
    org.mail(1, 1, "effective_date", "2025-05-10", "2025-04-26", priority=20)
    org.mail(2, 1, "aep", "2025-05-10", "2025-04-26", priority=10)
    org.mail(3, 1, "birthday", "2025-05-10", "2025-04-25", priority=1)
    assert [row.parent_schedule_id for row in org.rows("2025-04-28", "followup_1_cold")] == [2]
    org.mail(4, 1, "followup_2_clicked_no_hq", "2025-05-10", "2025-03-24", status="failed", parent_schedule_id=3)
    assert org.rows("2025-04-28", "followup_1_cold") == []  # 24 March is 35 days before
    assert len(org.rows("2025-04-29", "followup_1_cold")) == 1


def test_skipped_follow_up_keeps_the_undelayed_date_r84(org: Org) -> None:
    org.contact(1, "NY")
    org.mail(1, 1, "aep", "2025-04-20", "2025-04-20")
    reason = "exclusion:year_round:NY"
    assert org.brief("2025-04-28", "followup_1_cold") == [("2025-04-20", "2025-04-22", reason)]


@pytest.mark.parametrize(
    ("metadata", "conditions"),
    [
        ('{"has_medical_conditions": true}', True),
        ('{"has_medical_conditions": 0.5}', True),
        ('{"has_medical_conditions": " Yes "}', True),
        ('{"has_medical_conditions": "1"}', True),
        ('{"has_medical_conditions": "2"}', False),
        ('{"has_medical_conditions": 0, "main_questions_yes_count": 4}', False),
        ('{"has_medical_conditions": null, "main_questions_yes_count": 4}', False),
        ('{"has_medical_conditions": [1]}', False),
        ('{"main_questions_yes_count": 1}', True),
        ('{"main_questions_yes_count": "1"}', False),
        ('{"main_questions_yes_count": true}', False),
        ("{}", False),
        ("[1]", False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_conditions_r82(metadata: str | None, conditions: bool) -> None:
    assert has_conditions(metadata) is conditions


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-04-27", datetime(2025, 4, 27)),  # noqa: DTZ001 - naive local by R82
        ("2025-04-27 08:30", datetime(2025, 4, 27, 8, 30)),  # noqa: DTZ001
        ("2025-04-27T08:30:15.5-06:00", datetime(2025, 4, 27, 8, 30, 15)),  # noqa: DTZ001
        ("2025-02-29 08:30:00", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_timestamps_r82(text: str | None, moment: datetime | None) -> None:
    assert read_moment(text) == moment


def test_behaviour_since_the_mail_r82(org: Org) -> None:
    since = datetime(2025, 4, 27, 8, 30)  # noqa: DTZ001
    org.add("tracking_clicks", contact_id=1, clicked_at="2025-04-27 08:29:59")
    assert Behaviour(org.db).followup_type(1, since) == "followup_1_cold"
    org.add("tracking_clicks", contact_id=1, clicked_at="2025-04-27T08:30")
    assert Behaviour(org.db).followup_type(1, since) == "followup_2_clicked_no_hq"
    answers = [(1, "2025-04-28", "{}"), (2, "2025-04-29", '{"main_questions_yes_count": 2}'), (3, "soon", "{}")]
    for number, created, metadata in answers:
        answer = {"event_type": "eligibility_answered", "metadata": metadata}
        org.add("contact_events", id=number, contact_id=1, created_at=created, **answer)
    assert Behaviour(org.db).followup_type(1, since) == "followup_4_hq_with_yes"
    org.db.execute("UPDATE contact_events SET created_at = '2025-04-29 00:00:00' WHERE id = 3")  # same time, higher id
    assert Behaviour(org.db).followup_type(1, since) == "followup_3_hq_no_yes"


# ----------------------------------------------------------------------------------------------------- diff


def test_diff_r91_r92(org: Org) -> None:
    org.contact(1, birth_date="1960-06-15")
    ours: dict[str, object] = {"status": "pre-scheduled", "email_template": "birthday_template", "priority": 10}
    org.mail(1, 1, "birthday", "2025-06-15", "2025-06-01", **ours)  # right
    org.mail(2, 1, "aep", "2025-09-15", "2025-09-15", **ours)  # stale: template and priority
    org.mail(3, 1, "birthday", "2024-06-15", "2024-06-01", **ours)  # missed
    org.mail(4, 1, "birthday", "2023-06-15", "2023-06-01", **(ours | {"status": "skipped"}))  # history
    org.mail(5, 2, "birthday", "2025-06-15", "2025-05-01", **ours)  # not wanted, dated today
    org.mail(6, 2, "birthday", "2025-06-99", "never", **ours)
    org.contact(3, birth_date="1960-06-15")
    today = date(2025, 5, 1)
    expected = expected_rows(org.db, org.plan("2025-05-01"), today)
    assert expected.untouched == {1, 4}
    assert expected.deleted == {5, 6}
    aep = ("aep", None, "2025-09-15", "2025-09-15", "08:30:00", "pre-scheduled", None, 30, "aep_template", None)
    assert expected.updated == {2: aep}
    assert {key: content[5:7] for key, content in expected.missed.items()} == {3: ("skipped", "missed_send_date")}
    assert {(row.contact_id, row.email_type) for row in expected.inserted} == {(3, "birthday"), (3, "aep")}


def test_follow_ups_are_identified_by_their_parent_r91(org: Org) -> None:
    org.contact(1)
    org.mail(1, 1, "birthday", "2025-05-10", "2025-04-26")
    for number, email_type in ((2, "followup_2_clicked_no_hq"), (3, "followup_1_cold")):
        org.mail(number, 1, email_type, "2025-05-10", "2025-04-28", status="pre-scheduled", parent_schedule_id=1)
    expected = expected_rows(org.db, org.plan("2025-04-27"), date(2025, 4, 27))
    assert expected.deleted == {3}
    assert expected.updated[2][0] == "followup_1_cold"


def test_a_locked_identity_drops_the_planned_row_r91(org: Org) -> None:
    org.contact(1)
    org.mail(1, 1, "birthday", "2025-05-10", "2025-04-26")
    org.mail(2, 1, "followup_1_cold", "2025-05-10", "2025-01-01", status="cancelled", parent_schedule_id=1)
    expected = expected_rows(org.db, org.plan("2025-04-27"), date(2025, 4, 27))
    assert [row.email_type for row in expected.dropped] == ["followup_1_cold"]


# ---------------------------------------------------------------------------------------- random organisations


@pytest.mark.parametrize("seed", range(8))
def test_random_orgs_are_deterministic_and_settle_in_one_run(seed: int) -> None:
    """R93: after the difference is applied there is none."""
    org = random_org(seed, schema_sql=SCHEMA, contacts=25)
    again = random_org(seed, schema_sql=SCHEMA, contacts=25)
    assert list(org.db.iterdump()) == list(again.db.iterdump())
    plan = reference_plan(org.db, org.overrides, org.today, org.zip_states)
    apply_expected(org.db, plan, org.today)
    second = reference_plan(org.db, org.overrides, org.today, org.zip_states)
    assert second == plan
    expected = expected_rows(org.db, second, org.today)
    assert (expected.deleted, expected.updated, expected.missed, expected.inserted) == (set(), {}, {}, [])


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_sent_into_a_window_r46(seed: int) -> None:
    org = random_org(seed, schema_sql=SCHEMA, contacts=25)
    config = read_config(org.overrides)
    contacts, _ = read_contacts(org.db, config, org.today, org.zip_states)
    for row in reference_plan(org.db, org.overrides, org.today, org.zip_states).rows:
        if row.status != "pre-scheduled":
            continue
        assert row.scheduled_send_date >= org.today
        if not row.email_type.startswith("campaign_"):  # campaigns may be told not to respect windows
            assert excluded(contacts[row.contact_id], config, row.scheduled_send_date) is None


def apply_expected(db: sqlite3.Connection, plan: ReferencePlan, today: date) -> None:
    """Carry out the difference; the unique index of the schema watches."""
    columns = (
        "email_type, campaign_instance_id, event_date, scheduled_send_date, scheduled_send_time, status, skip_reason, "
        "priority, email_template, sms_template"
    )
    marks = ", ".join("?" * 10)
    expected = expected_rows(db, plan, today)
    db.executemany("DELETE FROM email_schedules WHERE id = ?", [(identity,) for identity in sorted(expected.deleted)])
    update = f"UPDATE email_schedules SET ({columns}) = ({marks}) WHERE id = ?"
    changed = expected.updated | expected.missed
    db.executemany(update, [(*content, identity) for identity, content in sorted(changed.items())])
    insert = f"INSERT INTO email_schedules (contact_id, parent_schedule_id, {columns}) VALUES (?, ?, {marks})"
    rows = [(row.contact_id, row.parent_schedule_id, *planned_content(row)) for row in expected.inserted]
    db.executemany(insert, rows)
