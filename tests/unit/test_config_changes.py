"""What a change of configuration means for config_versions: whole, key by key, back; refused before anything is written."""

import json
from typing import Any

import pytest

from core.runs.config_changes import Opening, judge_config_change
from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import ConfigRow
from events.change_payloads import ConfigChanged
from infra.clock import is_timezone

NOW = "2026-03-02 12:00:00"
OLD = ConfigRow(3, '{"timezone": "America/Denver"}', "2020-01-01 00:00:00", "2025-01-01 00:00:00")
IN_FORCE = ConfigRow(7, '{"min_daily_cap": 20, "aep_enabled": true}', "2025-01-01 00:00:00", None)
LATER = ConfigRow(9, '{"min_daily_cap": 99}', "2027-01-01 00:00:00", None)
ROWS = (OLD, IN_FORCE, LATER)


def judge(change: ConfigChanged, *rows: ConfigRow) -> Opening | None:
    return judge_config_change(rows, change, at=NOW, is_timezone=is_timezone, org_id="acme")


def refusal(change: ConfigChanged, *rows: ConfigRow) -> OrgError:
    with pytest.raises(OrgError) as refused:
        judge(change, *rows)
    return refused.value


def test_r13_a_whole_configuration_ends_the_row_in_force() -> None:
    opening = judge(ConfigChanged(config_data={"min_daily_cap": 5, "aep_years": [2026]}), *ROWS)
    assert opening == Opening('{"aep_years":[2026],"min_daily_cap":5}', closes=7)


def test_the_first_row_ends_none() -> None:
    assert judge(ConfigChanged(set_keys={"min_daily_cap": 5})) == Opening('{"min_daily_cap":5}', closes=None)


def test_keys_are_set_and_unset_over_the_row_in_force() -> None:
    opening = judge(ConfigChanged(set_keys={"size_profile": "small"}, unset_keys=("aep_enabled", "timezone")), *ROWS)
    assert opening == Opening('{"min_daily_cap":20,"size_profile":"small"}', closes=7)


def test_r13_a_rollback_is_the_old_text_in_a_new_row() -> None:
    assert judge(ConfigChanged(rollback_to=3), *ROWS) == Opening(OLD.config_data, closes=7)


@pytest.mark.parametrize(
    "change",
    [
        ConfigChanged(config_data={"aep_enabled": True, "min_daily_cap": 20}),
        ConfigChanged(set_keys={"min_daily_cap": 20}),
        ConfigChanged(unset_keys=("timezone",)),
        ConfigChanged(rollback_to=7),
    ],
)
def test_r93_the_content_in_force_is_no_change(change: ConfigChanged) -> None:
    assert judge(change, *ROWS) is None


def test_r93_no_row_says_what_an_empty_one_says() -> None:
    assert judge(ConfigChanged(config_data={})) is None
    assert judge(ConfigChanged(unset_keys=("timezone",))) is None


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"min_dayly_cap": 5}, "min_dayly_cap: unknown key"),
        ({"min_daily_cap": "5"}, "min_daily_cap: must be an integer of 1 or more"),
        ({"min_daily_cap": 0, "aep_enabled": 1}, "aep_enabled: must be true or false; min_daily_cap: must be"),
        ({"timezone": "Europe/Gotham"}, "timezone: must be an IANA time zone name"),
        ({"aep_month": 2, "aep_day": 29}, "aep_day: must be a day that aep_month has every year"),
        ({"daily_send_percentage_cap": 5}, "daily_send_percentage_cap: must be a number above 0.0 up to 1.0"),
    ],
)
def test_r12_a_bad_key_is_named(keys: dict[str, Any], told: str) -> None:
    for change in (ConfigChanged(config_data=keys), ConfigChanged(set_keys=keys)):
        error = refusal(change, *ROWS)
        assert error.code is ErrorCode.CONFIG_INVALID
        assert error.detail.startswith(f"the new configuration: {told}")


def test_r12_an_earlier_row_that_is_bad_does_not_come_back() -> None:
    bad = ConfigRow(1, '{"colour": "red"}', "2019-01-01 00:00:00", "2020-01-01 00:00:00")
    error = refusal(ConfigChanged(rollback_to=1), bad, *ROWS)
    assert (error.code, error.detail) == (ErrorCode.CONFIG_INVALID, "config_versions id 1: colour: unknown key")


def test_an_unknown_id_is_named() -> None:
    error = refusal(ConfigChanged(rollback_to=4), *ROWS)
    assert (error.code, error.answer) == (ErrorCode.CONFIG_MISSING, "reject")
    assert error.detail == "config_versions has no id 4"


@pytest.mark.parametrize("text", ["[]", "no json", '{"a": ', '{"aep_day": 1, "aep_day": 2}', '{"aep_day": NaN}'])
def test_nothing_is_merged_into_what_is_no_object_but_it_can_be_replaced(text: str) -> None:
    broken = ConfigRow(8, text, "2026-01-01 00:00:00", None)
    assert "config_versions id 8 cannot be read" in refusal(ConfigChanged(unset_keys=("a",)), broken).detail
    assert judge(ConfigChanged(config_data={}), broken) == Opening("{}", closes=8)


def test_a_bad_key_in_force_can_be_unset() -> None:
    broken = ConfigRow(8, json.dumps({"colour": "red", "min_daily_cap": 5}), "2026-01-01 00:00:00", None)
    assert judge(ConfigChanged(unset_keys=("colour",)), broken) == Opening('{"min_daily_cap":5}', closes=8)


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"config_data": {}, "rollback_to": 1},
        {"config_data": {}, "set_keys": {"a": 1}},
        {"unset_keys": ("a",), "rollback_to": 1},
        {"set_keys": {"a": 1}, "unset_keys": ("a",)},
    ],
)
def test_one_way_at_a_time(wishes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"one of them|both set and unset"):
        ConfigChanged(**wishes)
