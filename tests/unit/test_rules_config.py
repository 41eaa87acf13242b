"""Configuration (R8, R10-R13): every key on both sides of its bounds, the row in force, the canonical form."""

import hashlib
import json
from typing import NamedTuple

import pytest

from core.planning.config import Config, ConfigError, parse_config, row_in_force
from core.planning.config_keys import KEYS
from core.planning.rules import StateRule
from infra.clock import is_timezone

DEFAULTS: dict[str, object] = {
    "enable_post_window_emails": True, "effective_date_first_email_months": 11, "exclude_failed_underwriting_global": False,
    "send_without_zipcode_for_universal": True, "pre_exclusion_buffer_days": 60, "birthday_days_before": 14,
    "effective_date_days_before": 30, "send_time_hour": 8, "send_time_minute": 30, "timezone": "America/Chicago",
    "max_emails_per_period": 3, "frequency_period_days": 30, "size_profile": "auto", "aep_enabled": True, "aep_month": 9,
    "aep_day": 15, "aep_years": None, "enable_followups": True, "followup_delay_days": 2, "followup_lookback_days": 35,
    "catch_up_spread_days": 7, "late_grace_days": 30, "overage_threshold": 1.2, "min_daily_cap": 10, "lookahead_days": None,
    "missing_window_date_policy": "hold",
    "suppressed_contact_statuses": ["unsubscribed", "do_not_contact", "deceased", "deleted"],
    "state_rules": {}, "state_buffers": {}, "daily_send_percentage_cap": None, "ed_daily_soft_limit": None,
    "ed_smoothing_window_days": None,
}  # fmt: skip
"""The table of R10."""

BOUNDS = [
    ("effective_date_first_email_months", 0, 1200), ("pre_exclusion_buffer_days", 0, 365), ("birthday_days_before", 0, 180),
    ("effective_date_days_before", 0, 180), ("send_time_hour", 0, 23), ("send_time_minute", 0, 59),
    ("max_emails_per_period", 1, None), ("frequency_period_days", 1, 365), ("aep_month", 1, 12), ("aep_day", 1, 30),
    ("followup_delay_days", 0, 60), ("followup_lookback_days", 1, 365), ("catch_up_spread_days", 1, 60),
    ("late_grace_days", 0, 180), ("min_daily_cap", 1, None), ("lookahead_days", 1, 400), ("ed_daily_soft_limit", 1, None),
    ("ed_smoothing_window_days", 1, 31),
]  # fmt: skip
INTEGERS = [key for key, _, _ in BOUNDS]
FLAGS = [key for key, value in DEFAULTS.items() if isinstance(value, bool)]
NULLABLE = {key for key, value in DEFAULTS.items() if value is None}


def parsed(text: str) -> Config:
    return parse_config(text, is_timezone)


def value_of(key: str, value: object) -> object:
    return getattr(parsed(json.dumps({key: value})), key)


def refused(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return caught.value.problems


def is_refused(key: str, value: object) -> bool:
    (problem,) = refused(json.dumps({key: value}))
    return problem.startswith(f"{key}: ")


# ------------------------------------------------------------------------------------------------ R10, R12


def test_r8_without_a_row_everything_is_default() -> None:
    assert json.loads(parse_config(None, is_timezone).canonical_json()) == DEFAULTS


def test_r13_an_empty_object_is_all_defaults() -> None:
    assert parsed("{}") == Config()


def test_r10_there_are_no_other_keys() -> None:
    assert set(KEYS) == set(DEFAULTS)


@pytest.mark.parametrize(("key", "low", "high"), BOUNDS)
def test_r10_the_bounds_are_allowed(key: str, low: int, high: int | None) -> None:
    highest = 10**9 if high is None else high
    assert (value_of(key, low), value_of(key, highest)) == (low, highest)


@pytest.mark.parametrize(("key", "low", "high"), BOUNDS)
def test_r12_below_the_lowest_is_refused(key: str, low: int, high: int | None) -> None:
    assert is_refused(key, low - 1)


@pytest.mark.parametrize(("key", "low", "high"), [b for b in BOUNDS if b[2] is not None])
def test_r12_above_the_highest_is_refused(key: str, low: int, high: int) -> None:
    assert is_refused(key, high + 1)


@pytest.mark.parametrize("value", [True, False, "3", 3.0, 3.5, [3], {"a": 3}, ""])
@pytest.mark.parametrize("key", INTEGERS)
def test_r12_an_integer_is_an_integer(key: str, value: object) -> None:
    assert is_refused(key, value)


@pytest.mark.parametrize("key", FLAGS)
def test_r10_a_flag_is_true_or_false(key: str) -> None:
    assert [value_of(key, value) for value in (True, False)] == [True, False]


@pytest.mark.parametrize("value", [0, 1, "true", "false", None, [], 1.0])
@pytest.mark.parametrize("key", FLAGS)
def test_r12_a_flag_is_nothing_else(key: str, value: object) -> None:
    assert is_refused(key, value)


@pytest.mark.parametrize("key", sorted(DEFAULTS))
def test_r12_null_is_for_those_keys_that_have_it(key: str) -> None:
    if key in NULLABLE:
        assert value_of(key, None) is None
    else:
        assert is_refused(key, None)


@pytest.mark.parametrize("value", [0.000001, 0.07, 0.999, 1, 1.0])
def test_r10_a_percentage_is_above_zero_and_at_most_one(value: float) -> None:
    assert value_of("daily_send_percentage_cap", value) == value


@pytest.mark.parametrize("value", [5, 2, 1.0000001, 0, 0.0, -0.5, "0.2", "20%", True, False, [0.2], 10**400])
def test_r12_a_percentage_is_nothing_else(value: object) -> None:
    assert is_refused("daily_send_percentage_cap", value)


@pytest.mark.parametrize("value", [1, 1.0, 1.001, 1.2, 10, 10.0])
def test_r10_the_overage_is_one_to_ten(value: float) -> None:
    assert value_of("overage_threshold", value) == value


@pytest.mark.parametrize("value", [0.999, 0, 10.001, 11, -1, "1.2", True, [1.2]])
def test_r12_the_overage_is_nothing_else(value: object) -> None:
    assert is_refused("overage_threshold", value)


@pytest.mark.parametrize("key", ["overage_threshold", "daily_send_percentage_cap", "min_daily_cap", "aep_years"])
@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_r12_what_is_no_number_is_refused(key: str, word: str) -> None:
    assert refused(f'{{"{key}": {word}}}')


@pytest.mark.parametrize("value", ["auto", "small", "medium", "large", "enterprise"])
def test_r10_the_profiles(value: str) -> None:
    assert value_of("size_profile", value) == value


@pytest.mark.parametrize("value", ["", "Small", " small", "huge", 1, True, ["small"]])
def test_r12_other_profiles_are_refused(value: object) -> None:
    assert is_refused("size_profile", value)


@pytest.mark.parametrize("value", ["hold", "send"])
def test_r10_the_policies_for_missing_dates(value: str) -> None:
    assert value_of("missing_window_date_policy", value) == value


@pytest.mark.parametrize("value", ["Hold", "", "skip", False])
def test_r12_other_policies_are_refused(value: object) -> None:
    assert is_refused("missing_window_date_policy", value)


@pytest.mark.parametrize("value", ["America/New_York", "UTC", "America/Argentina/Buenos_Aires", "Pacific/Honolulu"])
def test_r10_a_time_zone_is_an_iana_name(value: str) -> None:
    assert value_of("timezone", value) == value


@pytest.mark.parametrize(
    "value", ["America/Nowhere", "", "America", "../etc/passwd", "CST6", "America/Chicago ", 6, True, ["UTC"]]
)
def test_r12_other_time_zones_are_refused(value: object) -> None:
    assert is_refused("timezone", value)


@pytest.mark.parametrize(("month", "day"), [(1, 31), (2, 28), (4, 30), (6, 30), (9, 30), (11, 30), (12, 31)])
def test_r10_the_last_day_of_a_month_can_be_aep(month: int, day: int) -> None:
    config = parsed(json.dumps({"aep_month": month, "aep_day": day}))
    assert (config.aep_month, config.aep_day) == (month, day)


@pytest.mark.parametrize(("month", "day"), [(2, 29), (2, 30), (4, 31), (6, 31), (9, 31), (11, 31)])
def test_r12_a_day_that_some_year_has_not_cannot(month: int, day: int) -> None:
    (problem,) = refused(json.dumps({"aep_month": month, "aep_day": day}))
    assert problem.startswith("aep_day: ")


def test_r12_the_pair_is_judged_with_its_default_half() -> None:
    assert is_refused("aep_day", 31)  # of September, the default month
    assert parsed('{"aep_month": 2}').aep_day == 15


@pytest.mark.parametrize("value", [[], [2025], [2026, 2025, 2026]])
def test_r10_aep_years_are_a_list_of_years(value: list[int]) -> None:
    assert set(value_of("aep_years", value)) == set(value)  # type: ignore[call-overload]


@pytest.mark.parametrize("value", [2025, "2025", ["2025"], [2025.0], [True], [None], {"2025": 1}])
def test_r12_other_years_are_refused(value: object) -> None:
    assert is_refused("aep_years", value)


@pytest.mark.parametrize("value", ["deceased", [1], [None], {"deceased": True}, True])
def test_r12_suppressed_statuses_are_a_list_of_texts(value: object) -> None:
    assert is_refused("suppressed_contact_statuses", value)


# ------------------------------------------------------------------------------------------------ R41: rules and buffers


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"type": "none"}, StateRule("none")),
        ({"type": "year_round"}, StateRule("year_round")),
        ({"type": "birthday_window"}, StateRule("birthday_window", 0, 0)),
        ({"type": "effective_date_window", "before": 365, "after": 365}, StateRule("effective_date_window", 365, 365)),
        (
            {"type": "birthday_window", "before": 0, "after": 45, "use_month_start": False, "age_76_plus": True},
            StateRule("birthday_window", 0, 45, use_month_start=False, age_76_plus=True),
        ),
        ({"type": "birthday_window", "use_month_start": True}, StateRule("birthday_window", use_month_start=True)),
    ],
)
def test_r41_an_own_rule(entry: dict[str, object], rule: StateRule) -> None:
    assert value_of("state_rules", {"IL": entry}) == {"IL": rule}


@pytest.mark.parametrize(
    "entry",
    [
        {}, {"before": 3}, {"type": None}, {"type": "Birthday_Window"}, {"type": ["none"]},
        {"type": "window"}, None, [], "none", 30,
        {"type": "birthday_window", "before": -1}, {"type": "birthday_window", "before": 366},
        {"type": "birthday_window", "after": 366}, {"type": "birthday_window", "after": -1},
        {"type": "birthday_window", "after": True}, {"type": "birthday_window", "after": "30"},
        {"type": "birthday_window", "after": 30.0}, {"type": "birthday_window", "after": None},
        {"type": "birthday_window", "use_month_start": 1}, {"type": "birthday_window", "age_76_plus": "yes"},
        {"type": "birthday_window", "age_76_plus": None}, {"type": "birthday_window", "days": 3},
        {"type": "birthday_window", "": 1},
        {"type": "none", "age_76_plus": True}, {"type": "none", "use_month_start": True},
    ],
)  # fmt: skip
def test_r12_an_own_rule_that_is_none_is_refused(entry: object) -> None:
    assert is_refused("state_rules", {"IL": entry})


@pytest.mark.parametrize("state", ["XX", "il", " IL", "", "Illinois", "ALL"])
def test_r12_rules_and_buffers_are_for_states(state: str) -> None:
    assert is_refused("state_rules", {state: {"type": "none"}})
    assert is_refused("state_buffers", {state: 30})


@pytest.mark.parametrize("days", [0, 365])
def test_r10_a_states_buffer(days: int) -> None:
    assert value_of("state_buffers", {"CA": days}) == {"CA": days}


@pytest.mark.parametrize("days", [-1, 366, True, "60", 60.0, None, [60]])
def test_r12_a_states_buffer_is_0_to_365_days(days: object) -> None:
    assert is_refused("state_buffers", {"CA": days})


@pytest.mark.parametrize("value", [[], "CA", 60, True, [["CA", 60]]])
@pytest.mark.parametrize("key", ["state_rules", "state_buffers"])
def test_r12_rules_and_buffers_are_objects(key: str, value: object) -> None:
    assert is_refused(key, value)


# ------------------------------------------------------------------------------------------------ R12: the whole


@pytest.mark.parametrize("key", ["unknown", "Timezone", " timezone", "", "state_rule", "batch_size"])
def test_r12_an_unknown_key_is_refused_by_name(key: str) -> None:
    assert refused(json.dumps({key: 1})) == (f"{key}: unknown key",)


def test_r12_every_bad_key_is_named() -> None:
    problems = refused(
        '{"zzz": 1, "send_time_hour": 24, "aep_enabled": 1, "timezone": "Moon/Base", "birthday_days_before": 7}'
    )
    assert {p.partition(":")[0] for p in problems} == {"zzz", "send_time_hour", "aep_enabled", "timezone"}


@pytest.mark.parametrize(
    "text", ["", " ", "{", "{'aep_month': 9}", '{"aep_month": 9,}', "null", "[]", "9", '"x"', "true", "{} {}"]
)
def test_r12_what_is_no_json_object_is_refused(text: str) -> None:
    assert refused(text)


def test_r12_json_that_is_too_deep_is_refused() -> None:
    assert refused("[" * 200_000)


@pytest.mark.parametrize(
    "text",
    [
        '{"max_emails_per_period": 1, "max_emails_per_period": 9}',
        '{"state_rules": {"IL": {"type": "year_round"}, "IL": {"type": "none"}}}',
        '{"state_rules": {"IL": {"type": "birthday_window", "after": 45, "after": 0}}}',
        '{"state_buffers": {"CA": 90, "CA": 0}}',
    ],
)
def test_r12_a_key_given_twice_is_refused(text: str) -> None:
    """Which of the two was meant cannot be told, and one of them may be the window that the law asks for."""
    assert refused(text)


# ------------------------------------------------------------------------------------------------ R8


class Row(NamedTuple):
    config_id: int
    valid_from: str
    valid_to: str | None = None


NOW = "2025-03-10 12:00:00"


@pytest.mark.parametrize(
    ("rows", "in_force"),
    [
        ([], None),
        ([Row(1, "2025-03-10 12:00:00")], 1),  # from its first second on
        ([Row(1, "2025-03-10 12:00:01")], None),
        ([Row(1, "2025-01-01 00:00:00", "2025-03-10 12:00:00")], None),  # valid_to is the first second after
        ([Row(1, "2025-01-01 00:00:00", "2025-03-10 12:00:01")], 1),
        ([Row(1, "2025-01-01 00:00:00"), Row(2, "2025-02-01 00:00:00")], 2),  # the latest valid_from
        ([Row(2, "2025-01-01 00:00:00"), Row(1, "2025-02-01 00:00:00")], 1),
        (
            [Row(5, "2025-02-01 00:00:00"), Row(7, "2025-02-01 00:00:00"), Row(6, "2025-02-01 00:00:00")],
            7,
        ),  # the highest id
        ([Row(1, "2025-01-01 00:00:00"), Row(2, "2025-02-01 00:00:00", "2025-03-01 00:00:00")], 1),
        ([Row(1, "2025-01-01 00:00:00"), Row(2, "2025-04-01 00:00:00")], 1),
        ([Row(1, "2025-03-10 12:00:00", "2025-03-10 12:00:00")], None),
    ],
)
def test_r8_the_row_in_force(rows: list[Row], in_force: int | None) -> None:
    found = row_in_force(rows, NOW)
    assert (None if found is None else found.config_id) == in_force


def test_r8_the_order_of_rows_does_not_matter() -> None:
    rows = [Row(1, "2025-01-01 00:00:00"), Row(2, "2025-02-01 00:00:00"), Row(3, "2025-02-01 00:00:00", NOW)]
    assert {row_in_force(order, NOW) for order in (rows, rows[::-1], [rows[1], rows[2], rows[0]])} == {rows[1]}


# ------------------------------------------------------------------------------------------------ R13


def test_r13_the_canonical_form_has_sorted_keys_and_no_spaces() -> None:
    expected = json.dumps({**DEFAULTS, "aep_years": [2025, 2026]}, sort_keys=True, separators=(",", ":"))
    assert parsed('{ "aep_years": [2026, 2025] }').canonical_json() == expected


def test_r13_the_hash_is_that_of_the_canonical_form() -> None:
    text = json.dumps(DEFAULTS, sort_keys=True, separators=(",", ":"))
    assert parsed("{}").digest() == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"aep_day": 15, "send_time_hour": 8}', '{"send_time_hour":8}'),  # a default that is spelled out
        ('{"state_buffers": {"CA": 1, "MO": 2}}', '{"state_buffers": {"MO": 2, "CA": 1}}'),
        ('{"overage_threshold": 2}', '{"overage_threshold": 2.0}'),
        (
            '{"state_rules": {"IL": {"type": "none"}}}',
            '{"state_rules": {"IL": {"after": 0, "type": "none", "age_76_plus": false}}}',
        ),
        ('{"aep_years": [2025, 2026]}', '{"aep_years": [2026, 2025, 2025]}'),
    ],
)
def test_r13_equal_configurations_have_equal_hashes(one: str, other: str) -> None:
    assert parsed(one).digest() == parsed(other).digest()


@pytest.mark.parametrize("key", sorted(DEFAULTS))
def test_r13_another_value_of_any_key_is_another_hash(key: str) -> None:
    default = DEFAULTS[key]
    others: dict[str, object] = {
        "timezone": "UTC", "size_profile": "small", "missing_window_date_policy": "send", "aep_years": [2025],
        "suppressed_contact_statuses": [], "state_rules": {"CA": {"type": "none"}}, "state_buffers": {"CA": 1},
        "overage_threshold": 1.3, "daily_send_percentage_cap": 0.5, "lookahead_days": 5, "ed_daily_soft_limit": 5,
        "ed_smoothing_window_days": 5,
    }  # fmt: skip
    other = others.get(key, (not default) if isinstance(default, bool) else None)
    value = int(str(default)) + 1 if other is None else other
    assert parsed(json.dumps({key: value})).digest() != Config().digest()


def test_r13_the_canonical_form_is_a_configuration_that_means_the_same() -> None:
    rules = '{"IL": {"type": "birthday_window", "after": 45, "age_76_plus": true}}'
    once = parsed(f'{{"state_rules": {rules}, "aep_years": [2026], "min_daily_cap": 3}}')
    assert parsed(once.canonical_json()).canonical_json() == once.canonical_json()
