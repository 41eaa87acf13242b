"""What a campaign.changed event means for what is stored: field by field, and nothing where nothing is new."""

from typing import Any

import pytest

from core.runs.campaign_changes import FieldChange, columns_of, judge_campaigns_change, judge_fields
from core.runs.change_ports import InstanceKey, LoggedChange, StoredCampaigns
from events.change_payloads import CampaignChanged, CampaignInstanceChange, CampaignTypeChange

SPRING = InstanceKey("newsletter", "spring")
AUTUMN = InstanceKey("newsletter", "autumn")
TYPE = {
    "respect_exclusion_windows": "1", "enable_followups": "1", "days_before_event": "0", "target_all_contacts": "0",
    "priority": "30", "active": "1", "spread_evenly": "0", "skip_failed_underwriting": "0",
}  # fmt: skip
INSTANCE = {
    "id": "4", "email_template": "plain", "sms_template": None, "active_start_date": "2026-03-01",
    "active_end_date": None, "spread_start_date": None, "spread_end_date": None, "target_states": "CA",
    "target_carriers": None, "metadata": '{"priority": 5, "enable_followups": false}',
}  # fmt: skip
STORED = StoredCampaigns({"newsletter": TYPE}, {SPRING: INSTANCE, AUTUMN: INSTANCE})

TYPE_FIELDS: list[tuple[str, Any, str, str]] = [
    ("respect_exclusion_windows", False, "1", "0"),
    ("enable_followups", False, "1", "0"),
    ("days_before_event", -14, "0", "-14"),
    ("target_all_contacts", True, "0", "1"),
    ("priority", 2**63 - 1, "30", "9223372036854775807"),
    ("active", False, "1", "0"),
    ("spread_evenly", True, "0", "1"),
    ("skip_failed_underwriting", True, "0", "1"),
]
INSTANCE_FIELDS: list[tuple[str, Any, str | None, str | None, bool]] = [
    ("email_template", "fancy", "plain", "fancy", False),
    ("sms_template", "text", None, "text", False),
    ("email_template", None, "plain", None, False),
    ("active_start_date", "2026-02-30", "2026-03-01", "2026-02-30", True),  # a bad date is stored (R52)
    ("active_end_date", "2026-06-30", None, "2026-06-30", True),
    ("active_start_date", None, "2026-03-01", None, True),
    ("spread_start_date", "2026-03-01", None, "2026-03-01", True),
    ("spread_end_date", "2026-03-10", None, "2026-03-10", True),
    ("target_states", "CA,MO", "CA", "CA,MO", True),
    ("target_states", "", "CA", "", True),
    ("target_carriers", "ALL", None, "ALL", True),
    ("metadata", {"b": 1, "a": True}, INSTANCE["metadata"], '{"a":true,"b":1}', True),
    ("metadata", {}, INSTANCE["metadata"], "{}", True),
    ("metadata", None, INSTANCE["metadata"], None, True),
]


def of_type(**fields: Any) -> CampaignChanged:
    return CampaignChanged(types=(CampaignTypeChange(name="newsletter", **fields),))


def of_instance(name: str = "spring", **fields: Any) -> CampaignChanged:
    return CampaignChanged(
        instances=(CampaignInstanceChange(campaign_type="newsletter", instance_name=name, **fields),)
    )


def test_the_cases_cover_every_field() -> None:
    assert {field for field, *_ in TYPE_FIELDS} == set(CampaignTypeChange.__struct_fields__) - {"name"}
    named = {field for field, *_ in INSTANCE_FIELDS}
    assert named == set(CampaignInstanceChange.__struct_fields__) - {"campaign_type", "instance_name"}


@pytest.mark.parametrize(("field", "value", "old", "new"), TYPE_FIELDS)
def test_r58_a_field_of_a_type_is_logged_for_each_of_its_instances(field: str, value: Any, old: str, new: str) -> None:
    writes = judge_campaigns_change(STORED, of_type(**{field: value}))
    assert writes.types == {"newsletter": {field: new}}
    assert writes.log == (
        LoggedChange(SPRING, f"campaign_type.{field}", old, new, requires_rescheduling=True),
        LoggedChange(AUTUMN, f"campaign_type.{field}", old, new, requires_rescheduling=True),
    )
    assert (writes.new_types, writes.new_instances, writes.instances) == ({}, {}, {})


@pytest.mark.parametrize(("field", "value", "old", "new", "requires"), INSTANCE_FIELDS)
def test_r58_a_field_of_an_instance_is_logged_once(
    field: str, value: Any, old: str | None, new: str | None, requires: bool
) -> None:
    writes = judge_campaigns_change(STORED, of_instance(**{field: value}))
    assert writes.instances == {SPRING: {field: new}}
    assert writes.log == (LoggedChange(SPRING, field, old, new, requires),)


@pytest.mark.parametrize(
    "change",
    [
        of_type(),
        of_type(priority=30, active=True, spread_evenly=False, days_before_event=0),
        of_instance(),
        of_instance(email_template="plain", sms_template=None, target_states="CA", active_end_date=None),
        of_instance(metadata={"enable_followups": False, "priority": 5}),
    ],
)
def test_r93_what_is_stored_already_is_no_change(change: CampaignChanged) -> None:
    assert judge_campaigns_change(STORED, change).is_empty
    assert judge_campaigns_change(STORED, change).log == ()


@pytest.mark.parametrize("metadata", [{"enable_followups": 0, "priority": 5}, {"priority": 5.0}])
def test_metadata_of_other_json_types_is_a_change(metadata: dict[str, object]) -> None:
    # In Python 0 == False and 5 == 5.0, but to R53 they are different things.
    stored = StoredCampaigns({}, {SPRING: {**INSTANCE, "metadata": '{"enable_followups": false, "priority": 5}'}})
    assert not judge_campaigns_change(stored, of_instance(metadata=metadata)).is_empty


@pytest.mark.parametrize("text", ["no json", "[1]", "", "{" * 100_000])
def test_metadata_that_is_no_object_is_replaced(text: str) -> None:
    stored = StoredCampaigns({}, {SPRING: {**INSTANCE, "metadata": text}})
    (logged,) = judge_campaigns_change(stored, of_instance(metadata={})).log
    assert (logged.old_value, logged.new_value) == (text, "{}")


def test_a_new_instance_is_one_row_of_the_log() -> None:
    writes = judge_campaigns_change(STORED, of_instance("winter", email_template="snow", target_states=None))
    key = InstanceKey("newsletter", "winter")
    assert writes.new_instances == {key: {"email_template": "snow", "target_states": None}}
    assert writes.log == (LoggedChange(key, "created", None, "winter", requires_rescheduling=True),)


def test_a_new_type_is_logged_for_instances_that_waited_for_it() -> None:
    stored = StoredCampaigns({}, {SPRING: INSTANCE})
    writes = judge_campaigns_change(stored, of_type(priority=5))
    assert writes.new_types == {"newsletter": {"priority": "5"}}
    assert writes.log == (
        LoggedChange(SPRING, "campaign_type.created", None, "newsletter", requires_rescheduling=True),
    )


def test_a_type_without_instances_changes_without_a_log() -> None:
    writes = judge_campaigns_change(StoredCampaigns({"newsletter": TYPE}, {}), of_type(priority=5))
    assert (writes.is_empty, writes.log) == (False, ())


def test_an_instance_that_is_new_with_the_change_of_its_type_has_only_its_own_row() -> None:
    change = CampaignChanged(
        types=(CampaignTypeChange(name="newsletter", priority=5),),
        instances=(CampaignInstanceChange(campaign_type="newsletter", instance_name="winter"),),
    )
    log = judge_campaigns_change(StoredCampaigns({"newsletter": TYPE}, {}), change).log
    assert [(row.instance.instance_name, row.field_changed) for row in log] == [("winter", "created")]


def test_a_number_that_somebody_stored_as_something_else_is_put_right() -> None:
    assert judge_fields({"priority": "high", "active": None}, {"priority": "0", "active": "1"}) == [
        FieldChange("priority", "high", "0"),
        FieldChange("active", None, "1"),
    ]


def test_absent_fields_are_no_columns_and_null_is_one() -> None:
    change = CampaignInstanceChange(campaign_type="a", instance_name="b", sms_template=None)
    assert columns_of(change) == {"sms_template": None}
