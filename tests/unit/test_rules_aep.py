"""AEP (R35): built in by default, superseded by a campaign, never both."""

from datetime import date

import pytest

from tests.orgs import Mail, Org


def org_of(state: str | None = "TX", **config: object) -> Org:
    org = Org(**config)
    org.contact(state=state)
    return org


def found(org: Org, today: str) -> list[tuple[str, str, str | None]]:
    return [(str(m.event), str(m.send), m.reason) for m in org.mails(today, email_type="aep")]


@pytest.mark.parametrize(
    ("today", "event", "send"),
    [
        ("2025-01-10", "2025-09-15", "2025-09-15"),
        ("2025-09-15", "2025-09-15", "2025-09-15"),
        ("2025-09-16", "2025-09-15", "2025-09-16"),  # late: today (R63)
        ("2025-10-15", "2025-09-15", "2025-10-15"),  # 15 September + 30 days: the last day of grace
        ("2025-10-16", "2026-09-15", "2026-09-15"),
        ("2025-12-31", "2026-09-15", "2026-09-15"),
    ],
)
def test_r35_aep_is_on_15_september_and_may_be_late_by_the_grace(today: str, event: str, send: str) -> None:
    assert found(org_of(), today) == [(event, send, None)]


@pytest.mark.parametrize(("grace", "today", "event"), [
    (0, "2025-09-15", "2025-09-15"), (0, "2025-09-16", "2026-09-15"),
    (180, "2026-03-14", "2025-09-15"), (180, "2026-03-15", "2026-09-15"),  # 107 days to the year's end, day 73 of 2026
])  # fmt: skip
def test_r35_the_grace_is_the_orgs_own(grace: int, today: str, event: str) -> None:
    assert [e for e, _, _ in found(org_of(late_grace_days=grace), today)] == [event]


@pytest.mark.parametrize(
    ("today", "event", "send"),
    [
        ("2025-01-10", "2024-12-20", "2025-01-10"),
        ("2025-01-19", "2024-12-20", "2025-01-19"),  # 20 December + 30: 31 December is + 11, 19 January + 30
        ("2025-01-20", "2025-12-20", "2025-12-20"),
    ],
)
def test_r35_the_grace_can_reach_over_the_year_end(today: str, event: str, send: str) -> None:
    assert found(org_of(aep_month=12, aep_day=20), today) == [(event, send, None)]


@pytest.mark.parametrize(
    ("years", "today", "events"),
    [
        (None, "2025-01-10", ["2025-09-15"]),
        ([2025], "2025-01-10", ["2025-09-15"]),
        ([2026], "2025-01-10", []),  # the event is found first: it is 2025's
        ([2026], "2025-10-15", []),
        ([2026], "2025-10-16", ["2026-09-15"]),
        ([2025], "2025-10-16", []),
        ([2024, 2026], "2025-12-01", ["2026-09-15"]),
        ([], "2025-01-10", []),
    ],
)
def test_r35_only_listed_years_have_an_aep(years: list[int] | None, today: str, events: list[str]) -> None:
    assert [e for e, _, _ in found(org_of(aep_years=years), today)] == events


def test_r35_the_year_of_a_late_aep_is_its_own() -> None:
    """In January 2025 the event is still that of December 2024."""
    assert found(org_of(aep_month=12, aep_day=20, aep_years=[2025]), "2025-01-10") == []
    assert len(found(org_of(aep_month=12, aep_day=20, aep_years=[2024]), "2025-01-10")) == 1


def test_r35_aep_can_be_switched_off() -> None:
    assert found(org_of(aep_enabled=False), "2025-01-10") == []


@pytest.mark.parametrize(
    ("name", "active", "mails"),
    [("aep", 1, 0), ("aep", 0, 1), ("aep_blast", 1, 1), ("AEP", 1, 1)],
)
def test_r35_an_active_campaign_type_named_aep_supersedes_it(name: str, active: int, mails: int) -> None:
    """The type alone is enough: between two instances the built-in mail must not come back."""
    org = org_of()
    org.campaign(name, active=active)
    assert len(found(org, "2025-01-10")) == mails


def test_r35_the_campaign_is_sent_instead() -> None:
    org = org_of()
    org.campaign("aep", target_all_contacts=1)
    instance = org.instance("aep", active_start_date="2025-09-01", active_end_date="2025-12-07")
    event = date(2025, 9, 1)
    assert org.mails("2025-09-01") == [Mail(1, "campaign_aep", event, event, None, instance)]


def test_r35_aep_needs_a_known_state() -> None:
    assert found(org_of(None), "2025-01-10") == []


def test_r36_aep_meets_windows_like_all_mail() -> None:
    org = Org(aep_month=6, aep_day=20)
    org.contact(state="MD", birth_date="1960-06-15")  # window to 15 July
    assert found(org, "2025-01-10") == [("2025-06-20", "2025-06-20", "exclusion:birthday_window:MD")]


def test_r63_a_late_aep_that_meets_a_window_is_skipped() -> None:
    """20 June is free, but on 25 June the window of a birthday on 25 August - 60 days has begun (26 June)."""
    org = Org(aep_month=6, aep_day=20)
    org.contact(state="MD", birth_date="1960-08-25")
    # 25 August is day 237; 237 - 60 = 177, 26 June.
    assert found(org, "2025-06-25") == [("2025-06-20", "2025-06-25", None)]
    assert found(org, "2025-06-26") == [("2025-06-20", "2025-06-20", "exclusion:birthday_window:MD")]


@pytest.mark.parametrize(
    ("event", "mails"),
    # 15 September is day 258; - 179 is day 79, 20 March; - 180 is 19 March.
    [("2025-03-19", 1), ("2025-03-20", 0), ("2025-09-15", 0), ("2024-09-15", 1)],
)
def test_r33_an_aep_that_went_out_handles_it(event: str, mails: int) -> None:
    org = org_of(enable_followups=False)
    org.locked(1, "aep", event, scheduled_send_date="2024-01-01")
    assert len(found(org, "2025-05-01")) == mails


@pytest.mark.parametrize(("lookahead", "mails"), [(247, 0), (248, 1)])
def test_r36_lookahead_applies_to_aep(lookahead: int, mails: int) -> None:
    # 15 September is day 258, 10 January day 10.
    assert len(found(org_of(lookahead_days=lookahead), "2025-01-10")) == mails


@pytest.mark.parametrize(("month", "day"), [(2, 28), (1, 31), (12, 31), (1, 1)])
def test_r35_any_day_that_every_year_has(month: int, day: int) -> None:
    org = org_of(aep_month=month, aep_day=day, late_grace_days=0)
    assert [e for e, _, _ in found(org, "2028-01-01")] == [date(2028, month, day).isoformat()]
