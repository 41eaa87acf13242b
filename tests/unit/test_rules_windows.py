"""Exclusion windows (R40-R46), to the day. All dates were counted by hand from the table of R41."""

from datetime import date, timedelta

import numpy as np
import pytest

from core.planning.calendar import day_number, to_date
from core.planning.exclusion import windows_of
from core.planning.reasons import reason_text
from tests.orgs import Org

TODAY = "2025-01-10"
BORN, EFFECTIVE = "1960-06-15", "2010-06-15"


def org_of(state: str, *, birth: str | None = BORN, effective: str | None = EFFECTIVE, **config: object) -> Org:
    """Nothing but one contact."""
    org = Org(**{"aep_enabled": False, "enable_post_window_emails": False, **config})
    org.contact(state=state, birth_date=birth, effective_date=effective)
    return org


def reasons(org: Org, *days: str) -> list[str | None]:
    """Why the first contact must not be written to on each day."""
    windows = windows_of(org.read(TODAY).snapshot.contacts, org.config)
    numbers = np.array([day_number(date.fromisoformat(d)) for d in days], dtype=np.int32)
    return [reason_text(int(code)) for code in windows.check(np.zeros(len(days), dtype=np.int64), numbers)]


def reasons_around(org: Org, first: str, last: str) -> list[str | None]:
    """Reasons on the day before a window, its two ends, and the day after it."""
    before = date.fromisoformat(first) - timedelta(days=1)
    after = date.fromisoformat(last) + timedelta(days=1)
    return reasons(org, before.isoformat(), first, last, after.isoformat())


# ------------------------------------------------------------------------------------------------ R41, R42

# The anniversary is 15 June 2025, day 166 of the year. Months end on days 31, 59, 90, 120, 151, 181, 212, 243.
# First days: 166 - before - buffer: 166 15 June, 136 16 May, 106 16 April, 76 17 March, 46 15 February.
# Nevada counts from 1 June, day 152: 92 is 2 April, 62 is 3 March.
# Last days: 166 + after: 196 15 July, 197 16 July, 199 18 July, 226 14 August, 229 17 August; Nevada 212, 31 July.
WINDOWS = [
    ("CA", 0, "2025-05-16", "2025-08-14"), ("CA", 60, "2025-03-17", "2025-08-14"), ("CA", 90, "2025-02-15", "2025-08-14"),
    ("ID", 0, "2025-06-15", "2025-08-17"), ("ID", 60, "2025-04-16", "2025-08-17"), ("ID", 90, "2025-03-17", "2025-08-17"),
    ("KY", 0, "2025-06-15", "2025-08-14"), ("KY", 60, "2025-04-16", "2025-08-14"), ("KY", 90, "2025-03-17", "2025-08-14"),
    ("MD", 0, "2025-06-15", "2025-07-15"), ("MD", 60, "2025-04-16", "2025-07-15"), ("MD", 90, "2025-03-17", "2025-07-15"),
    ("NV", 0, "2025-06-01", "2025-07-31"), ("NV", 60, "2025-04-02", "2025-07-31"), ("NV", 90, "2025-03-03", "2025-07-31"),
    ("OK", 0, "2025-06-15", "2025-08-14"), ("OK", 60, "2025-04-16", "2025-08-14"), ("OK", 90, "2025-03-17", "2025-08-14"),
    ("OR", 0, "2025-06-15", "2025-07-16"), ("OR", 60, "2025-04-16", "2025-07-16"), ("OR", 90, "2025-03-17", "2025-07-16"),
    ("VA", 0, "2025-06-15", "2025-07-15"), ("VA", 60, "2025-04-16", "2025-07-15"), ("VA", 90, "2025-03-17", "2025-07-15"),
    ("MO", 0, "2025-05-16", "2025-07-18"), ("MO", 60, "2025-03-17", "2025-07-18"), ("MO", 90, "2025-02-15", "2025-07-18"),
]  # fmt: skip


def reason_of(state: str) -> str:
    return f"exclusion:{'effective_date' if state == 'MO' else 'birthday'}_window:{state}"


@pytest.mark.parametrize(("state", "buffer_days", "first", "last"), WINDOWS)
def test_r42_the_window_is_inclusive_at_both_ends(state: str, buffer_days: int, first: str, last: str) -> None:
    org = org_of(state, pre_exclusion_buffer_days=buffer_days)
    assert reasons_around(org, first, last) == [None, reason_of(state), reason_of(state), None]


@pytest.mark.parametrize(("state", "buffer_days", "first", "last"), WINDOWS)
def test_r40_mail_on_either_side_of_a_window_goes_out_and_mail_within_does_not(
    state: str, buffer_days: int, first: str, last: str
) -> None:
    """The same edges from end to end, by a campaign whose trigger dates lie on and beside them."""
    org = org_of(
        state, pre_exclusion_buffer_days=buffer_days, max_emails_per_period=100,
        birthday_days_before=0, effective_date_days_before=0,
    )  # fmt: skip
    org.campaign("news", priority=1)
    news = org.instance("news")
    before = date.fromisoformat(first) - timedelta(days=1)
    after = date.fromisoformat(last) + timedelta(days=1)
    for trigger in (before.isoformat(), first, last, after.isoformat()):
        org.insert("contact_campaigns", contact_id=1, campaign_instance_id=news, trigger_date=trigger)
    found = {m.send: m.reason for m in org.mails(TODAY, email_type="campaign_news")}
    reason = reason_of(state)
    assert found == {
        before: None,
        date.fromisoformat(first): reason,
        date.fromisoformat(last): reason,
        after: None,
    }


@pytest.mark.parametrize("state", ["CT", "MA", "NY", "WA"])
def test_r41_year_round_states_get_nothing_at_all(state: str) -> None:
    days = [(date(2025, 1, 1) + timedelta(days=n)).isoformat() for n in range(366)]
    assert set(reasons(org_of(state), *days)) == {f"exclusion:year_round:{state}"}


RULE_STATES = {"CA", "ID", "KY", "MD", "NV", "OK", "OR", "VA", "MO", "CT", "MA", "NY", "WA"}
FREE_STATES = (
    "AL AK AZ AR CO DE FL GA HI IL IN IA KS LA ME MI MN MS MT NE NH NJ NM NC ND OH PA RI SC SD TN TX UT VT WV WI WY "
    "DC PR VI GU AS MP FM MH PW AA AE AP"
).split()


@pytest.mark.parametrize("state", FREE_STATES)
def test_r41_other_states_have_no_window(state: str) -> None:
    days = [(date(2025, 1, 1) + timedelta(days=n)).isoformat() for n in range(366)]
    assert set(reasons(org_of(state), *days)) == {None}


def test_r41_every_state_was_looked_at() -> None:
    assert (len(RULE_STATES), len(FREE_STATES), RULE_STATES & set(FREE_STATES)) == (13, 49, set())


@pytest.mark.parametrize("state", ["ID", "MO"])
def test_r41_only_the_anchor_of_the_states_own_kind_matters(state: str) -> None:
    """15 June is the other date of each contact; the state's own anchor is 20 December, far away."""
    birth, effective = ("1960-12-20", EFFECTIVE) if state == "ID" else (BORN, "2010-12-20")
    assert reasons(org_of(state, birth=birth, effective=effective), "2025-06-15") == [None]


# ------------------------------------------------------------------------------------------------ R43: year ends


@pytest.mark.parametrize(
    ("state", "birth", "first", "last"),
    [
        # 10 January 2026 - 90 days is day -80: 365 - 80 = 285, 12 October 2025; + 60 is day 70, 11 March.
        ("CA", "1960-01-10", "2025-10-12", "2026-03-11"),
        # 1 January 2026 - 60 days is day -59: 306, 2 November; + 63 is day 64, 5 March.
        ("ID", "1960-01-01", "2025-11-02", "2026-03-05"),
        # 20 December 2025 is day 354; - 60 is day 294, 21 October; + 63 is day 417, 52 of 2026, 21 February.
        ("ID", "1960-12-20", "2025-10-21", "2026-02-21"),
        # 31 December 2025 is day 365; - 60 is day 305, 1 November; + 30 is 30 January.
        ("MD", "1960-12-31", "2025-11-01", "2026-01-30"),
        # Nevada, 31 January counts from 1 January 2026: 2 November; + 60 is day 61, 2 March.
        ("NV", "1960-01-31", "2025-11-02", "2026-03-02"),
        # Nevada, 31 December from 1 December 2025, day 335: - 60 is 275, 2 October; + 60 is 395, 30 January.
        ("NV", "1960-12-31", "2025-10-02", "2026-01-30"),
    ],
)
def test_r43_windows_over_a_year_end_hold_on_both_sides_of_it(state: str, birth: str, first: str, last: str) -> None:
    org = org_of(state, birth=birth)
    reason = f"exclusion:birthday_window:{state}"
    assert reasons_around(org, first, last) == [None, reason, reason, None]
    assert reasons(org, "2025-12-31", "2026-01-01") == [reason, reason]


def test_r43_the_effective_date_window_over_a_year_end() -> None:
    # 1 January 2026 - 90 days is day -89: 276, 3 October 2025; + 33 is day 34, 3 February.
    org = org_of("MO", effective="2010-01-01")
    reason = "exclusion:effective_date_window:MO"
    assert reasons_around(org, "2025-10-03", "2026-02-03") == [None, reason, reason, None]


def test_r43_a_window_of_more_than_a_year_is_found_two_years_away() -> None:
    # 365 days before plus a buffer of 365: the window of 15 June 2027 opens on 15 June 2025 (730 days, no 29 February).
    rules = {"TX": {"type": "effective_date_window", "before": 365, "after": 0}}
    org = org_of("TX", effective="2027-06-15", state_rules=rules, pre_exclusion_buffer_days=365)
    assert reasons(org, "2025-06-15") == ["exclusion:effective_date_window:TX"]


def test_r43_years_before_the_anchors_own_count_too() -> None:
    org = org_of("MO", effective="2031-06-15")
    assert reasons(org, "2025-06-14", "2025-06-20") == ["exclusion:effective_date_window:MO"] * 2


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2025-02-28", "2025-03-30"),  # 28 February is day 59, + 30 is day 89
        ("2028-02-29", "2028-03-30"),  # day 60, + 30 is day 90, and January to March have 91 in 2028
    ],
)
def test_r42_a_birthday_of_29_february(first: str, last: str) -> None:
    org = org_of("MD", birth="1960-02-29", pre_exclusion_buffer_days=0)
    reason = "exclusion:birthday_window:MD"
    assert reasons_around(org, first, last) == [None, reason, reason, None]


@pytest.mark.parametrize(
    ("buffer_days", "first", "last"),
    # 1 March 2028 is day 61: 60 days before is day 1; in 2025 it is day 60: 31 December 2024. + 30 is 31 March.
    [(60, "2028-01-01", "2028-03-31"), (60, "2024-12-31", "2025-03-31")],
)
def test_r42_buffers_count_over_29_february(buffer_days: int, first: str, last: str) -> None:
    org = org_of("VA", birth="1960-03-01", pre_exclusion_buffer_days=buffer_days)
    reason = "exclusion:birthday_window:VA"
    assert reasons_around(org, first, last) == [None, reason, reason, None]


@pytest.mark.parametrize("birth", ["1960-06-01", "1960-06-15", "1960-06-30"])
def test_r42_nevada_counts_from_the_first_of_the_birth_month(birth: str) -> None:
    org = org_of("NV", birth=birth, pre_exclusion_buffer_days=0)
    reason = "exclusion:birthday_window:NV"
    assert reasons_around(org, "2025-06-01", "2025-07-31") == [None, reason, reason, None]


def test_r42_nevada_and_29_february() -> None:
    # 1 February + 60 days: day 92, 2 April 2025; in 2028 day 92 is 1 April.
    org = org_of("NV", birth="1960-02-29", pre_exclusion_buffer_days=0)
    reason = "exclusion:birthday_window:NV"
    assert reasons_around(org, "2025-02-01", "2025-04-02") == [None, reason, reason, None]
    assert reasons_around(org, "2028-02-01", "2028-04-01") == [None, reason, reason, None]


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        (182, 182, [None, "exclusion:birthday_window:FL", "exclusion:birthday_window:FL"]),
        (182, 183, ["exclusion:birthday_window:FL"] * 3),
    ],
)
def test_r43_windows_that_touch_leave_no_day_between_them(before: int, after: int, between: list[str | None]) -> None:
    # 182 + 1 + 182 days fill a common year; from 15 June 2027 to 15 June 2028 there are 366 days, and one is left:
    # 166 + 183 is day 349 of 2027, 15 December.
    org = org_of("FL", state_rules={"FL": {"type": "birthday_window", "before": before, "after": after}},
                 pre_exclusion_buffer_days=0)  # fmt: skip
    assert reasons(org, "2027-12-15", "2027-12-14", "2027-12-16") == between


# ------------------------------------------------------------------------------------------------ R41: the org's own rules


def test_r41_an_own_rule_replaces_the_line_whole() -> None:
    """California keeps nothing of its 30 days before; Nevada not its month start."""
    rules = {"CA": {"type": "birthday_window", "after": 10}, "NV": {"type": "birthday_window", "after": 60}}
    for state, last in (("CA", "2025-06-25"), ("NV", "2025-08-14")):
        org = org_of(state, state_rules=rules, pre_exclusion_buffer_days=0)
        reason = f"exclusion:birthday_window:{state}"
        assert reasons_around(org, "2025-06-15", last) == [None, reason, reason, None]


@pytest.mark.parametrize("state", sorted(RULE_STATES))
def test_r41_an_own_rule_of_none_opens_a_state(state: str) -> None:
    assert reasons(org_of(state, state_rules={state: {"type": "none"}}), "2025-06-15", "2025-12-01") == [None, None]


def test_r41_an_own_rule_of_year_round_closes_a_state() -> None:
    org = org_of("TX", state_rules={"TX": {"type": "year_round"}})
    assert reasons(org, "2025-01-10", "2025-06-15") == ["exclusion:year_round:TX"] * 2


def test_r41_an_own_rule_leaves_the_other_states_alone() -> None:
    org = org_of("CA", state_rules={"TX": {"type": "year_round"}, "MO": {"type": "none"}})
    assert reasons(org, "2025-03-16", "2025-03-17") == [None, "exclusion:birthday_window:CA"]


def test_r41_an_own_rule_can_change_the_anchor() -> None:
    org = org_of(
        "CA", birth="1960-12-01", state_rules={"CA": {"type": "effective_date_window"}}, pre_exclusion_buffer_days=0
    )
    assert reasons_around(org, "2025-06-15", "2025-06-15") == [
        None, "exclusion:effective_date_window:CA", "exclusion:effective_date_window:CA", None,
    ]  # fmt: skip


def test_r42_an_effective_month_can_be_the_anchor() -> None:
    rules = {"TX": {"type": "effective_date_window", "before": 1, "after": 2, "use_month_start": True}}
    org = org_of("TX", state_rules=rules, pre_exclusion_buffer_days=0)
    reason = "exclusion:effective_date_window:TX"
    assert reasons_around(org, "2025-05-31", "2025-06-03") == [None, reason, reason, None]


@pytest.mark.parametrize(
    ("state", "first"),
    # California's own 0 leaves its 30 days before; Idaho's 10: 5 June; Kentucky has the org's 60.
    [("CA", "2025-05-16"), ("ID", "2025-06-05"), ("KY", "2025-04-16")],
)
def test_r42_a_states_buffer_beats_the_orgs(state: str, first: str) -> None:
    org = org_of(state, state_buffers={"CA": 0, "ID": 10})
    before = (date.fromisoformat(first) - timedelta(days=1)).isoformat()
    assert reasons(org, before, first) == [None, f"exclusion:birthday_window:{state}"]


def test_r42_the_buffer_applies_to_an_own_rule() -> None:
    org = org_of("TX", state_rules={"TX": {"type": "birthday_window"}}, state_buffers={"TX": 5})
    reason = "exclusion:birthday_window:TX"
    assert reasons_around(org, "2025-06-10", "2025-06-15") == [None, reason, reason, None]


# ------------------------------------------------------------------------------------------------ R44

MISSING = [("CA", None, EFFECTIVE), ("NV", "1960-13-01", EFFECTIVE), ("MO", BORN, None), ("MO", BORN, "soon")]


@pytest.mark.parametrize(("state", "birth", "effective"), MISSING)
def test_r44_without_its_anchor_date_a_contact_is_held_on_every_day(
    state: str, birth: str | None, effective: str | None
) -> None:
    org = org_of(state, birth=birth, effective=effective)
    days = [(date(2025, 1, 1) + timedelta(days=n)).isoformat() for n in range(366)]
    assert set(reasons(org, *days)) == {f"exclusion:window_date_unknown:{state}"}


@pytest.mark.parametrize(("state", "birth", "effective"), MISSING)
def test_r44_the_policy_send_lets_everything_out(state: str, birth: str | None, effective: str | None) -> None:
    org = org_of(state, birth=birth, effective=effective, missing_window_date_policy="send")
    days = [(date(2025, 1, 1) + timedelta(days=n)).isoformat() for n in range(366)]
    assert set(reasons(org, *days)) == {None}


@pytest.mark.parametrize("policy", ["hold", "send"])
def test_r44_year_round_states_and_states_without_a_rule_need_no_date(policy: str) -> None:
    for state, reason in (("NY", "exclusion:year_round:NY"), ("TX", None)):
        org = org_of(state, birth=None, effective=None, missing_window_date_policy=policy)
        assert reasons(org, "2025-06-15") == [reason]


# ------------------------------------------------------------------------------------------------ R45


def aged(birth: str | None, kind: str = "birthday_window", *, effective: str | None = EFFECTIVE) -> Org:
    rule = {"type": kind, "before": 0, "after": 0, "age_76_plus": True}
    return org_of("IL", birth=birth, effective=effective, state_rules={"IL": rule}, pre_exclusion_buffer_days=0)


@pytest.mark.parametrize(
    ("birth", "last_free", "first_barred"),
    [
        ("1950-02-01", "2026-01-31", "2026-02-01"),
        ("1949-12-31", "2025-12-30", "2025-12-31"),
        ("1950-01-01", "2025-12-31", "2026-01-01"),
        ("1952-02-29", "2028-02-28", "2028-02-29"),  # 76 years after a leap day is a leap day
        ("1951-02-28", "2027-02-27", "2027-02-28"),
    ],
)
def test_r45_from_the_76th_birthday_on_nobody_is_written_to(birth: str, last_free: str, first_barred: str) -> None:
    assert reasons(aged(birth), last_free, first_barred) == [None, "exclusion:age_76_plus:IL"]


def test_r45_the_bar_of_age_has_no_end() -> None:
    assert reasons(aged("1950-02-01"), "2027-06-15", "2040-01-01") == ["exclusion:age_76_plus:IL"] * 2


def test_r45_the_flag_is_set_nowhere_by_default() -> None:
    org = org_of("CA", birth="1930-06-15")
    assert reasons(org, "2025-08-15") == [None]


def test_r45_age_is_by_the_birth_date_also_where_the_window_is_not() -> None:
    org = aged("1950-02-01", "effective_date_window")
    assert reasons(org, "2026-01-31", "2026-02-01") == [None, "exclusion:age_76_plus:IL"]


def test_r40_age_is_looked_at_before_a_missing_anchor() -> None:
    org = aged("1940-02-01", "effective_date_window", effective=None)
    assert reasons(org, "2025-06-15") == ["exclusion:age_76_plus:IL"]


def test_r44_a_missing_anchor_holds_those_who_are_younger() -> None:
    org = aged("1960-02-01", "effective_date_window", effective=None)
    assert reasons(org, "2025-06-15") == ["exclusion:window_date_unknown:IL"]


def test_r40_without_a_birth_date_there_is_no_age() -> None:
    assert reasons(aged(None, "effective_date_window"), "2025-06-14", "2025-06-15") == [
        None, "exclusion:effective_date_window:IL",
    ]  # fmt: skip


def test_r40_age_is_looked_at_before_the_window() -> None:
    assert reasons(aged("1949-06-15"), "2025-06-15") == ["exclusion:age_76_plus:IL"]


def test_r40_year_round_comes_before_age() -> None:
    rules = {"IL": {"type": "year_round", "age_76_plus": True}}
    assert reasons(org_of("IL", birth="1930-01-01", state_rules=rules), "2025-06-15") == ["exclusion:year_round:IL"]


def test_r43_windows_of_any_width_cover_what_the_five_years_around_a_date_say() -> None:
    spans = {"IL": (365, 365, 365), "IN": (200, 3, 0), "OH": (0, 300, 0), "KS": (365, 0, 20)}  # before, after, buffer
    org = Org(
        state_rules={
            state: {"type": "birthday_window", "before": before, "after": after}
            for state, (before, after, _) in spans.items()
        },
        state_buffers={state: buffer for state, (_, _, buffer) in spans.items()},
    )
    born = (date(1960, 2, 29), date(1961, 1, 1), date(1962, 12, 31), date(1963, 7, 4))
    people = [(state, day) for state in spans for day in born]
    for state, birth in people:
        org.contact(state=state, birth_date=birth.isoformat())
    windows = windows_of(org.read("2026-01-01").snapshot.contacts, org.config)
    days = np.arange(day_number(date(2023, 12, 1)), day_number(date(2026, 2, 1)), dtype=np.int32)
    for row, (state, birth) in enumerate(people):
        before, after, buffer = spans[state]
        expected = []
        for day in days.tolist():
            anchors = [anniversary_of(birth, to_date(day).year + offset) for offset in (-2, -1, 0, 1, 2)]
            expected.append(any(a - before - buffer <= day <= a + after for a in anchors))
        assert (windows.check(np.full(len(days), row), days) != 0).tolist() == expected


def anniversary_of(born: date, year: int) -> int:
    last = 28 if born.month == 2 and year % 4 else 31  # no year here is a century
    return day_number(born.replace(year=year, day=min(born.day, last)))


def test_r46_free_days_end_on_the_eve_of_the_next_window_or_of_the_age_limit() -> None:
    rules = {"IL": {"type": "birthday_window", "after": 45, "age_76_plus": True}}
    org = Org(state_rules=rules, pre_exclusion_buffer_days=60)
    for state, birth in (("IL", "1950-06-15"), ("CA", "1960-02-29"), ("MO", "1960-01-01"), ("TX", "1960-01-01")):
        org.contact(state=state, birth_date=birth, effective_date="2010-11-20")
    contacts = org.read("2026-01-01").snapshot.contacts
    windows = windows_of(contacts, org.config)
    days = np.arange(day_number(date(2025, 1, 1)), day_number(date(2027, 1, 1)), dtype=np.int32)
    for row in range(3):
        rows = np.full(len(days), row)
        free = windows.check(rows, days) == 0
        until = windows.free_until(rows, days)
        for place in np.flatnonzero(free[:500]).tolist():
            later = np.flatnonzero(~free[place:])
            assert until[place] == days[place + later[0]] - 1
    assert windows.free_until(np.array([3]), days[:1])[0] > day_number(date(2200, 1, 1))
