"""campaign.changed: what the decoder takes and refuses, and that the schema says the same."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec import UNSET

from events.http_binding import STRUCTURED
from events.rejection import Judged, Rejection
from events.schema_files import schema_of
from events.types import CAMPAIGN_CHANGED, CONFIG_CHANGED, EVENT_TYPES, INCOMING, LOCAL, CampaignChanged, Event
from events.wire import decode

SCHEMA = Draft202012Validator(schema_of(EVENT_TYPES[CAMPAIGN_CHANGED]))


def event_with(data: object, event_type: str = CAMPAIGN_CHANGED) -> Judged:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": event_type, "subject": "org/a", "data": data}
    (decoded,) = decode({"content-type": STRUCTURED}, json.dumps(event).encode())
    return decoded


def of_type(**fields: Any) -> dict[str, Any]:
    return {"types": [{"name": "a", **fields}]}


def of_instance(**fields: Any) -> dict[str, Any]:
    return {"instances": [{"campaign_type": "a", "instance_name": "b", **fields}]}


@pytest.mark.parametrize(
    "data",
    [
        of_type(),
        of_type(days_before_event=-3650, priority=-1, active=False),
        of_type(name="Rate increase_2026 - B"),
        of_instance(email_template=None, active_start_date="31.12.2026", target_states=""),
        of_instance(active_end_date="2026-02-30\n"),
        of_instance(instance_name="Frühjahr 2026 (Test)", metadata={"priority": "high", "nested": {"a": [1]}}),
        {**of_type(), **of_instance(), "changed_by": None},
        {"types": [{"name": f"t{i}"} for i in range(250)],
         "instances": [{"campaign_type": "a", "instance_name": f"i{i}"} for i in range(250)]},
    ],
    ids=lambda data: json.dumps(data)[:60],
)  # fmt: skip
def test_taken_by_decoder_and_schema(data: dict[str, Any]) -> None:
    decoded = event_with(data)
    assert isinstance(decoded, Event)
    assert isinstance(decoded.data, CampaignChanged)
    assert SCHEMA.is_valid(data)


@pytest.mark.parametrize(
    ("data", "code", "pointer"),
    [
        (of_type(name=""), "bad_value", "/data/types/0/name"),
        (of_type(name="a\n"), "bad_value", "/data/types/0/name"),
        (of_type(name=" a"), "bad_value", "/data/types/0/name"),
        (of_type(name="a/b"), "bad_value", "/data/types/0/name"),
        (of_type(name="a" * 65), "bad_value", "/data/types/0/name"),
        (of_type(active=1), "wrong_type", "/data/types/0/active"),
        (of_type(active=None), "wrong_type", "/data/types/0/active"),
        (of_type(priority="1"), "wrong_type", "/data/types/0/priority"),
        (of_type(priority=1.5), "wrong_type", "/data/types/0/priority"),
        (of_type(days_before_event=3651), "bad_value", "/data/types/0/days_before_event"),
        (of_type(colour="red"), "unknown_field", "/data/types/0/?"),
        ({"types": [{"active": True}]}, "missing_field", "/data/types/0"),
        ({"types": {}}, "wrong_type", "/data/types"),
        ({"types": [{"name": f"t{i}"} for i in range(501)]}, "bad_value", "/data/types"),
        (of_instance(instance_name="b "), "bad_value", "/data/instances/0/instance_name"),
        (of_instance(instance_name="b\tc"), "bad_value", "/data/instances/0/instance_name"),
        (of_instance(instance_name=None), "wrong_type", "/data/instances/0/instance_name"),
        (of_instance(email_template=5), "wrong_type", "/data/instances/0/email_template"),
        (of_instance(email_template="a\x00b"), "bad_value", "/data/instances/0/email_template"),
        (of_instance(active_start_date=20260101), "wrong_type", "/data/instances/0/active_start_date"),
        (of_instance(active_start_date="2" * 65), "bad_value", "/data/instances/0/active_start_date"),
        (of_instance(target_states=["CA"]), "wrong_type", "/data/instances/0/target_states"),
        (of_instance(target_carriers="c" * 10_001), "bad_value", "/data/instances/0/target_carriers"),
        (of_instance(metadata="{}"), "wrong_type", "/data/instances/0/metadata"),
        (of_instance(metadata=[]), "wrong_type", "/data/instances/0/metadata"),
        ({**of_type(), "changed_by": ""}, "bad_value", "/data/changed_by"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_refused_by_decoder_and_schema(data: dict[str, Any], code: str, pointer: str) -> None:
    decoded = event_with(data)
    assert isinstance(decoded, Rejection)
    assert [(reason.code, reason.pointer) for reason in decoded.reasons] == [(code, pointer)]
    assert not SCHEMA.is_valid(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "1 to 500"),
        ({"types": [], "instances": []}, "1 to 500"),
        ({"types": [{"name": f"t{i}"} for i in range(300)],
          "instances": [{"campaign_type": "a", "instance_name": f"i{i}"} for i in range(300)]}, "1 to 500"),
        ({"types": [{"name": "a"}, {"name": "a", "active": False}]}, "named twice"),
        ({"instances": of_instance()["instances"] * 2}, "named twice"),
    ],
    ids=["no data", "no items", "600 items", "a type twice", "an instance twice"],
)  # fmt: skip
def test_the_items_are_judged_together(data: dict[str, Any], told: str) -> None:
    decoded = event_with(data)
    assert isinstance(decoded, Rejection)
    ((code, pointer, detail),) = [(reason.code, reason.pointer, reason.detail) for reason in decoded.reasons]
    assert (code, pointer) == ("bad_value", "/data")
    assert told in detail


def test_metadata_is_bounded_as_json() -> None:
    assert isinstance(event_with(of_instance(metadata={"a": "b" * 9_992})), Event)
    refused = event_with(of_instance(metadata={"a": "b" * 9_993}))
    assert isinstance(refused, Rejection)
    assert [(r.code, r.pointer) for r in refused.reasons] == [("bad_value", "/data/instances/0")]


def test_an_absent_field_is_not_null() -> None:
    decoded = event_with(of_instance(sms_template=None))
    assert isinstance(decoded, Event)
    assert isinstance(decoded.data, CampaignChanged)
    (instance,) = decoded.data.instances
    assert instance.sms_template is None
    assert instance.email_template is UNSET


def test_a_change_of_configuration_is_never_read_from_a_wire() -> None:
    assert CONFIG_CHANGED in LOCAL
    assert not set(LOCAL) & (set(INCOMING) | set(EVENT_TYPES))
    refused = event_with({"config_data": {}}, CONFIG_CHANGED)
    assert isinstance(refused, Rejection)
    assert [reason.code for reason in refused.reasons] == ["unknown_type"]
