"""The independent checker: its table agrees with the planner's, and a shift of either by one day is caught."""

from datetime import date, timedelta

import pytest

from core.planning import checker, config
from core.planning.calendar import day_number
from core.planning.checker import Line, Violation, check_rows
from core.planning.plan import Plan
from core.planning.rules import STATE_RULES, StateRule
from tests.orgs import Org

WINDOW_STATES = sorted(code for code, rule in STATE_RULES.items() if rule.kind != "year_round")
YEAR_ROUND_STATES = sorted(code for code, rule in STATE_RULES.items() if rule.kind == "year_round")
TODAY = "2026-01-05"
ANCHORS = {"birthday_window": "birth", "effective_date_window": "effective", "year_round": "always"}


def line_of(rule: StateRule) -> Line:
    anchor = ANCHORS[rule.kind] + (" month" if rule.use_month_start else "")
    return Line(anchor, rule.days_before, rule.days_after, rule.age_76_plus)


def org_of(state: str) -> Org:
    """One contact per day of the year, so that some mail lies on each edge of the state's window."""
    org = Org(pre_exclusion_buffer_days=0, max_emails_per_period=50, min_daily_cap=5000, size_profile="enterprise")
    for offset in range(365):
        moving = date(1985, 1, 1) + timedelta(days=offset)
        fixed = date(1970, 6, 20)
        by_birth = STATE_RULES[state].kind != "effective_date_window"
        org.contact(
            state=state,
            birth_date=str(fixed if by_birth else moving),
            effective_date=str(moving if by_birth else fixed),
        )
    return org


def check(org: Org, planned: Plan) -> list[Violation]:
    return check_rows(planned.rows, org.read(TODAY).snapshot.contacts, org.config, ())


def test_the_checkers_table_says_what_the_planners_table_says() -> None:
    assert {code: line_of(rule) for code, rule in STATE_RULES.items()} == checker.LINES


@pytest.mark.parametrize("state", sorted(STATE_RULES))
def test_a_true_plan_passes(state: str) -> None:
    org = org_of(state)
    assert check(org, org.plan(TODAY)) == []


@pytest.mark.parametrize("days", [-1, 1])
@pytest.mark.parametrize("state", WINDOW_STATES)
def test_a_planner_whose_window_is_a_day_off_is_caught(state: str, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = STATE_RULES[state]
    # Later by a day: the window starts and ends a day later; a negative lead is what -1 day before means.
    shifted = rule._replace(days_before=rule.days_before - days, days_after=rule.days_after + days)
    monkeypatch.setattr(config, "STATE_RULES", {**STATE_RULES, state: shifted})
    org = org_of(state)
    violations = check(org, org.plan(TODAY))
    assert violations
    assert {v.rule for v in violations} == {f"R40 {state} {line_of(rule).anchor}"}


@pytest.mark.parametrize("days", [-1, 1])
@pytest.mark.parametrize("state", WINDOW_STATES)
def test_a_checker_whose_window_is_a_day_off_is_caught(state: str, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    line = checker.LINES[state]
    shifted = line._replace(before=line.before - days, after=line.after + days)
    monkeypatch.setitem(checker.LINES, state, shifted)
    org = org_of(state)
    assert check(org, org.plan(TODAY))


@pytest.mark.parametrize("state", YEAR_ROUND_STATES)
def test_a_planner_that_forgets_a_year_round_state_is_caught(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "STATE_RULES", {c: r for c, r in STATE_RULES.items() if c != state})
    org = org_of(state)
    assert {v.rule for v in check(org, org.plan(TODAY))} == {f"R40 {state} always"}


def test_only_mail_that_bypasses_windows_is_left_alone() -> None:
    org = Org(enable_post_window_emails=False, aep_enabled=False)
    org.contact(state="NY")
    org.campaign("notice", target_all_contacts=1, respect_exclusion_windows=0)
    notice = org.instance("notice", active_start_date="2026-01-01")
    planned, contacts = org.plan(TODAY), org.read(TODAY).snapshot.contacts
    assert check_rows(planned.rows, contacts, org.config, [notice]) == []
    assert [v.contact_id for v in check_rows(planned.rows, contacts, org.config, ())] == [1]


def test_r45_nobody_of_76_is_written_to_where_the_state_says_so() -> None:
    rules = {"IL": {"type": "birthday_window", "age_76_plus": True}}
    org = Org(state_rules=rules, pre_exclusion_buffer_days=0, aep_enabled=False)
    org.contact(state="IL", birth_date="1950-02-01", effective_date="1990-02-15")  # 76 on 1 February 2026
    planned = org.plan(TODAY)
    (row,) = [i for i, k in enumerate(planned.rows.kind) if planned.rows.kinds[k].email_type == "effective_date"]
    contacts = org.read(TODAY).snapshot.contacts
    assert check_rows(planned.rows, contacts, org.config, ()) == []  # 16 January, still 75
    planned.rows.send_day[row] = day_number(date(2026, 2, 2))
    assert [v.rule for v in check_rows(planned.rows, contacts, org.config, ())] == ["R40 IL birth"]
