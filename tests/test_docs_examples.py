"""The worked examples of docs/rules.md, planned by the shipped code: each table of the document is all that a plan has."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.orgs import Org

RULES = (Path(__file__).parents[1] / "docs" / "rules.md").read_text(encoding="utf-8")

Rows = list[tuple[str, ...]]


def example(name: str) -> Rows:
    """Return the rows of the table after ``<!-- example:name -->``: contact, mail, about, send date, outcome."""
    found = re.search(rf"<!-- example:{name} -->\n((?: *\|.*\n)+)", RULES)
    assert found is not None
    lines = found[1].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip().strip("|").split("|")) for line in lines]


def planned(org: Org, today: str) -> Rows:
    return [
        (str(m.contact_id), m.email_type, str(m.event), str(m.send), m.reason or "sent") for m in org.mails(today)
    ]  # fmt: skip


def one(today: str, *, state: str = "TX", config: dict[str, object] | None = None, **contact: object) -> Rows:
    """Plan one contact; AEP is off unless the configuration says otherwise."""
    org = Org(**{"aep_enabled": False, **(config or {})})
    org.contact(state=state, **contact)
    return planned(org, today)


CALIFORNIAN: dict[str, Any] = {"state": "CA", "birth_date": "1960-06-15"}
ILLINOIS = {"IL": {"type": "birthday_window", "before": 0, "after": 45, "age_76_plus": True}}


def zip_rows() -> Rows:
    org = Org()
    org.contact(state="CT", zip_code="06390", birth_date="1960-05-20")
    org.contact(state=None, zip_code="501", birth_date="1960-05-20")
    return planned(org, "2025-01-10")


def daily_cap() -> Rows:
    org = Org(aep_enabled=False, min_daily_cap=1)
    for _ in range(3):
        org.contact(birth_date="1960-05-20")
    return planned(org, "2025-03-10")


def spread() -> Rows:
    org = Org(aep_enabled=False)
    org.campaign("newsletter", target_all_contacts=1, spread_evenly=1)
    org.instance("newsletter", spread_start_date="2025-09-01", spread_end_date="2025-09-10")
    for contact_id in (7, 10, 23):
        org.contact(id=contact_id)
    return planned(org, "2025-08-20")


def campaign_conflict() -> Rows:
    org = Org(aep_enabled=False)
    contact = org.contact()
    for name, priority in (("rate_increase", 30), ("seasonal", 20)):
        org.campaign(name, days_before_event=14, priority=priority)
        instance = org.instance(name)
        org.insert(
            "contact_campaigns", contact_id=contact, campaign_instance_id=instance, trigger_date="2025-02-15"
        )  # fmt: skip
    return planned(org, "2025-01-10")


def followup() -> Rows:
    org = Org(aep_enabled=False)
    contact = org.contact(birth_date="1960-05-20")
    org.locked(
        contact, "birthday", "2025-05-20",
        scheduled_send_date="2025-05-06", actual_send_datetime="2025-05-06 08:30:12",
    )  # fmt: skip
    org.insert("tracking_clicks", contact_id=contact, clicked_at="2025-05-06 09:15:00")
    return planned(org, "2025-05-07")


EXAMPLES: dict[str, Callable[[], Rows]] = {
    "zip": zip_rows,
    "leap-day": lambda: one("2025-01-10", birth_date="1960-02-29"),
    "leap-year": lambda: one("2027-11-01", birth_date="1960-02-29"),
    "plain": lambda: one("2025-03-10", birth_date="1960-05-20", config={"aep_enabled": True}),
    "effective-date": lambda: one("2025-03-10", effective_date="2024-08-01"),
    "effective-date-23": lambda: one(
        "2025-08-02", effective_date="2024-08-01", config={"effective_date_first_email_months": 23}
    ),
    "california": lambda: one("2025-01-10", **CALIFORNIAN),
    "nevada": lambda: one("2025-01-10", state="NV", birth_date="1958-06-20"),
    "missouri": lambda: one("2025-01-10", state="MO", birth_date="1960-05-20", effective_date="2020-07-10"),
    "idaho": lambda: one("2025-11-20", state="ID", birth_date="1955-12-20", effective_date="2020-03-01"),
    "unknown-date": lambda: one("2025-01-10", state="CA", effective_date="2020-07-10"),
    "age-limit": lambda: one(
        "2025-01-10", state="IL", birth_date="1949-08-01", effective_date="2020-11-20", config={"state_rules": ILLINOIS}
    ),
    "day-after-birthday": lambda: one("2025-06-16", **CALIFORNIAN),
    "post-window-late": lambda: one("2025-08-20", **CALIFORNIAN),
    "spread": spread,
    "late": lambda: one("2025-05-07", birth_date="1960-05-20"),
    "daily-cap": daily_cap,
    "campaign-conflict": campaign_conflict,
    "frequency": lambda: one(
        "2025-03-10", birth_date="1960-05-20", effective_date="2020-06-10", config={"max_emails_per_period": 1}
    ),
    "followup": followup,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_is_the_plan(name: str) -> None:
    assert sorted(example(name)) == sorted(EXAMPLES[name]())


def test_every_example_of_the_document_is_held_to_the_code() -> None:
    assert sorted(re.findall(r"<!-- example:([\w-]+) -->", RULES)) == sorted(EXAMPLES)


def test_sentences_beside_the_examples_hold() -> None:
    # R32: with 23 months the anniversary of 2025 is not written about.
    assert one("2025-03-10", effective_date="2024-08-01", config={"effective_date_first_email_months": 23}) == []
    # R51: on the 30th day after the first free day it still goes out, on the 31st it is dropped.
    owed = ("1", "post_window", "2025-08-15", "2025-09-14", "sent")
    assert owed in one("2025-09-14", **CALIFORNIAN)
    assert not [row for row in one("2025-09-15", **CALIFORNIAN) if row[2] == "2025-08-15"]
    # R63: the slot does not move while it lies ahead.
    assert one("2025-05-08", birth_date="1960-05-20") == example("late")


def test_the_first_and_last_forbidden_days_are_those_of_the_document() -> None:
    """R42, R43: the mail of a campaign whose ideal date is that day is skipped; of the day outside it is sent."""
    cases = (
        ({"state": "CA", "birth_date": "1960-06-15"}, ("2025-03-17", "2025-08-14")),
        ({"state": "NV", "birth_date": "1958-06-20"}, ("2025-04-02", "2025-07-31")),
        ({"state": "MO", "effective_date": "2020-07-10"}, ("2025-04-11", "2025-08-12")),
        ({"state": "ID", "birth_date": "1955-12-20"}, ("2025-10-21", "2026-02-21")),
        ({"state": "IL", "birth_date": "1959-08-01"}, ("2025-06-02", "2025-09-15")),
    )
    for contact, (first, last) in cases:
        assert [skipped_on(day, contact) for day in (shifted(first, -1), first, last, shifted(last, 1))] == [
            False, True, True, False,
        ], contact  # fmt: skip


def skipped_on(day: str, contact: dict[str, str]) -> bool:
    rules = {"IL": {"type": "birthday_window", "before": 0, "after": 45}}
    org = Org(aep_enabled=False, enable_post_window_emails=False, state_rules=rules)
    contact_id = org.contact(**contact)
    org.campaign("probe")
    instance = org.instance("probe")
    org.insert("contact_campaigns", contact_id=contact_id, campaign_instance_id=instance, trigger_date=day)
    (mail,) = org.mails("2025-01-10", email_type="campaign_probe")
    return mail.reason is not None


def shifted(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
