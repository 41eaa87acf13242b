"""contact.changed and mail.reported on the wire: item by item, the bad ones by their index, every reason at once."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from events.contact_payloads import ContactChanged, ContactClick, ContactUpsert
from events.http_binding import STRUCTURED
from events.rejection import Rejection
from events.schema_files import schema_of
from events.types import CONTACT_CHANGED, EVENT_TYPES, MAIL_REPORTED, Event
from events.wire import decode
from tests.data_events import Item, answer, claim, click, decoded, delete, enrol, report, unsubscribe, upsert

SCHEMAS = {
    name: Draft202012Validator(schema_of(EVENT_TYPES[name]), format_checker=FormatChecker())
    for name in (CONTACT_CHANGED, MAIL_REPORTED)
}
AT = "2026-03-02T11:00:00Z"


def told(rejection: object) -> list[tuple[str, str]]:
    assert isinstance(rejection, Rejection)
    return [(reason.code, reason.pointer) for reason in rejection.reasons]


@pytest.mark.parametrize(
    ("type_name", "item"),
    [
        (CONTACT_CHANGED, upsert(2**63 - 1, email="not an address", birth_date="31.12.", zip_code="x", state="??")),
        (CONTACT_CHANGED, upsert(1, status=None, failed_underwriting=False, carrier="")),
        (CONTACT_CHANGED, delete(1)),
        (CONTACT_CHANGED, unsubscribe(1)),
        (CONTACT_CHANGED, enrol(1, campaign_instance_id=1, trigger_date="soon")),
        (CONTACT_CHANGED, enrol(1, campaign_type="a", instance_name="b", metadata={"x": [1]})),
        (CONTACT_CHANGED, click(1, "2026-03-02T11:00:00.123456+05:30", url=None)),
        (CONTACT_CHANGED, answer(1, has_medical_conditions=None)),
        (MAIL_REPORTED, claim(1, "2026-04-02", "2026-03-19", id=5, scheduled_send_time="08:30:00")),
        (MAIL_REPORTED, report(1, "bounced", "2026-04-02", "followup_1_cold", parent_schedule_id=3, sent_at=AT)),
        (MAIL_REPORTED, report(1, "delivered", "2026-04-02", "campaign_x", campaign_instance_id=3, sent_at=None)),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_taken_by_decoder_and_schema(type_name: str, item: Item) -> None:
    (event,) = decoded(type_name, "1", [item])
    assert isinstance(event, Event)
    assert event.rejected_items == ()
    assert SCHEMAS[type_name].is_valid({"items": [item]})


@pytest.mark.parametrize(
    ("type_name", "item", "code", "field"),
    [
        (CONTACT_CHANGED, upsert(0), "bad_value", "/contact_id"),
        (CONTACT_CHANGED, upsert(1.5), "wrong_type", "/contact_id"),  # type: ignore[arg-type]  # what a confused sender sends
        (CONTACT_CHANGED, upsert(1, email=5), "wrong_type", "/email"),
        (CONTACT_CHANGED, upsert(1, birth_date=19600101), "wrong_type", "/birth_date"),
        (CONTACT_CHANGED, upsert(1, failed_underwriting="yes"), "wrong_type", "/failed_underwriting"),
        (CONTACT_CHANGED, upsert(1, failed_underwriting=1), "wrong_type", "/failed_underwriting"),
        (CONTACT_CHANGED, upsert(1, failed_underwriting=None), "wrong_type", "/failed_underwriting"),
        (CONTACT_CHANGED, upsert(1, first_name="a\x00b"), "bad_value", "/first_name"),
        (CONTACT_CHANGED, upsert(1, first_name="a" * 1001), "bad_value", "/first_name"),
        (CONTACT_CHANGED, upsert(1, nick_name="a"), "unknown_field", "/nick_name"),
        (CONTACT_CHANGED, {"kind": "unsubscribe"}, "missing_field", "/contact_id"),
        (CONTACT_CHANGED, {"kind": "merge", "contact_id": 1}, "bad_value", "/kind"),
        (CONTACT_CHANGED, {"kind": 5, "contact_id": 1}, "wrong_type", "/kind"),
        (CONTACT_CHANGED, {"contact_id": 1}, "missing_field", "/kind"),
        (CONTACT_CHANGED, ["upsert"], "wrong_type", ""),
        (CONTACT_CHANGED, click(1, "2026-03-02T11:00:00"), "bad_time", "/clicked_at"),
        (CONTACT_CHANGED, click(1, "yesterday"), "bad_time", "/clicked_at"),
        (CONTACT_CHANGED, answer(1, main_questions_yes_count=-1), "bad_value", "/main_questions_yes_count"),
        (MAIL_REPORTED, report(1, "opened", "2026-04-02"), "bad_value", "/status"),
        (MAIL_REPORTED, report(1, "pre-scheduled", "2026-04-02"), "bad_value", "/status"),
        (MAIL_REPORTED, report(1, "sent", "02.04.2026"), "bad_value", "/event_date"),
        (MAIL_REPORTED, report(1, "sent", "2026-04-02", sent_at="2026-04-02 08:30"), "bad_time", "/sent_at"),
        (MAIL_REPORTED, report(1, "sent", "2026-04-02", email_type=""), "bad_value", "/email_type"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_refused_by_decoder_and_schema(type_name: str, item: Any, code: str, field: str) -> None:
    (rejection,) = decoded(type_name, "1", [item])
    assert told(rejection) == [(code, f"/data/items/0{field}")]
    assert not SCHEMAS[type_name].is_valid({"items": [item]})


@pytest.mark.parametrize(
    ("type_name", "item"),
    [
        (CONTACT_CHANGED, enrol(1)),
        (CONTACT_CHANGED, enrol(1, campaign_type="a")),
        (CONTACT_CHANGED, enrol(1, campaign_instance_id=1, campaign_type="a", instance_name="b")),
        (CONTACT_CHANGED, enrol(1, campaign_instance_id=1, metadata={"a": "b" * 10_000})),
        (CONTACT_CHANGED, click(1, "0001-01-01T00:00:00+14:00")),
        (MAIL_REPORTED, report(1, "scheduled", "2026-04-02")),
        (MAIL_REPORTED, claim(1, "2026-04-02", "2026-03-19", sent_at=AT)),
        (MAIL_REPORTED, report(1, "sent", "2026-04-02", "followup_1_cold")),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_the_fields_of_an_item_say_together_is_judged_too(type_name: str, item: Item) -> None:
    (rejection,) = decoded(type_name, "1", [item])
    assert told(rejection) == [("bad_value", "/data/items/0")]


def test_bad_items_do_not_take_the_good_ones_down_and_all_are_told_at_once() -> None:
    items = [click(1), upsert(2, email=5, zip_code=6), delete(3), {"kind": "x"}, upsert(4, email="a@example.com")]
    event, rejection = decoded(CONTACT_CHANGED, "1", items)
    assert isinstance(event, Event)
    assert isinstance(event.data, ContactChanged)
    assert [item.contact_id for item in event.data.items] == [1, 3, 4]
    assert event.rejected_items == (1, 3)
    assert told(rejection) == [
        ("wrong_type", "/data/items/1/email"),
        ("wrong_type", "/data/items/1/zip_code"),
        ("bad_value", "/data/items/3/kind"),
    ]
    assert isinstance(rejection, Rejection)
    assert rejection.key == event.key
    assert rejection.id == decoded(CONTACT_CHANGED, "1", items)[1].id


def test_json_that_two_readers_read_differently_rejects_its_item() -> None:
    head = f'"specversion":"1.0","id":"1","source":"s","type":"{CONTACT_CHANGED}","subject":"org/a"'
    items = f'{{"kind":"delete","contact_id":1,"contact_id":2}},{{"kind":"click","contact_id":3,"clicked_at":"{AT}"}}'
    event, rejection = decode({"content-type": STRUCTURED}, f'{{{head},"data":{{"items":[{items}]}}}}'.encode())
    assert isinstance(event, Event)
    assert isinstance(event.data, ContactChanged)
    assert isinstance(event.data.items[0], ContactClick)
    assert told(rejection) == [("duplicate_key", "/data/items/0")]


@pytest.mark.parametrize(
    ("data", "code", "pointer"),
    [
        ([], "bad_value", "/data/items"),
        ([upsert(1)] * 5_001, "bad_value", "/data/items"),
        ({}, "wrong_type", "/data/items"),
        (None, "wrong_type", "/data/items"),
    ],
    ids=["none", "5 001", "an object", "null"],
)
def test_one_to_5_000_items_are_expected(data: object, code: str, pointer: str) -> None:
    (rejection,) = decoded(CONTACT_CHANGED, "1", data)
    assert told(rejection) == [(code, pointer)]
    assert not SCHEMAS[CONTACT_CHANGED].is_valid({"items": data})


def test_a_bad_head_and_bad_items_are_told_together() -> None:
    (rejection,) = decoded(CONTACT_CHANGED, "1", [upsert(1, email=5), upsert(2)], specversion="0.3")
    assert told(rejection) == [("bad_specversion", "/specversion"), ("wrong_type", "/data/items/0/email")]


def test_a_bad_field_beside_the_items_rejects_all_of_them_and_bad_items_are_told_with_it() -> None:
    head = {"specversion": "1.0", "id": "1", "source": "s", "type": CONTACT_CHANGED, "subject": "org/a"}
    body = {**head, "data": {"items": [upsert(1), upsert(2, email=5)], "extra": 1}}
    (rejection,) = decode({"content-type": STRUCTURED}, json.dumps(body).encode())
    assert told(rejection) == [("unknown_field", "/data/extra"), ("wrong_type", "/data/items/1/email")]


def test_of_thousands_of_bad_items_each_is_told() -> None:
    bad = {"kind": "upsert", "contact_id": 0, **dict.fromkeys(ContactUpsert.__struct_fields__[1:], 1.5)}
    (rejection,) = decoded(MAIL_REPORTED, "1", [report(0, "x", "y", "", id=0, sent_at=1)] * 5_000)
    assert {pointer.split("/")[3] for code, pointer in told(rejection) if code != "more_reasons"} == set(
        map(str, range(5_000))
    )
    (rejection,) = decoded(CONTACT_CHANGED, "1", [bad])
    assert len(told(rejection)) == len(ContactUpsert.__struct_fields__)


def test_the_sequence_extension_is_read() -> None:
    sequences: list[object] = ["0042", 42, None]
    events = [decoded(CONTACT_CHANGED, "1", [upsert(1)], sequence=sequence)[0] for sequence in sequences]
    assert [event.sequence for event in events if isinstance(event, Event)] == ["0042", "42", None]
    (rejection,) = decoded(CONTACT_CHANGED, "1", [upsert(1)], sequence=[1])
    assert told(rejection) == [("wrong_type", "/sequence")]
