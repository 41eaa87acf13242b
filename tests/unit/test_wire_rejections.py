"""What can never be processed is refused with every reason at once, and without the values."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from events.http_binding import BATCH, STRUCTURED
from events.limits import Limits
from events.rejection import BODY_BYTES_MAX_INLINE, CODES, Reason, Rejection, pointer_to
from events.types import FANOUT_REQUESTED, RUN_REQUESTED, EventKey, OrgId
from events.wire import decode

GOOD: dict[str, object] = {
    "specversion": "1.0",
    "id": "1",
    "source": "//s",
    "type": RUN_REQUESTED,
    "subject": "org/acme",
}
BINARY = {f"ce-{name}": str(value) for name, value in GOOD.items()}


def refused(headers: Mapping[str, str], body: bytes) -> Rejection:
    (decoded,) = decode(headers, body)
    assert isinstance(decoded, Rejection), decoded
    return decoded


def structured(changes: Mapping[str, object]) -> Rejection:
    return refused({"content-type": STRUCTURED}, json.dumps({**GOOD, **changes}).encode())


def found(rejection: Rejection) -> list[tuple[str, str]]:
    return [(reason.code, reason.pointer) for reason in rejection.reasons]


def test_every_reason_at_once() -> None:
    rejection = structured(
        {
            "specversion": "0.3",
            "id": "",
            "type": RUN_REQUESTED,
            "subject": "org/../x",
            "time": "2026-03-02T06:00:00",
            "data": {"as_of": "soon", "force": 1, "asof": None},
        }
    )
    assert sorted(found(rejection)) == [
        ("bad_org_id", "/subject"),
        ("bad_specversion", "/specversion"),
        ("bad_time", "/time"),
        ("bad_value", "/data/as_of"),
        ("missing_attribute", "/id"),
        ("unknown_field", "/data/asof"),
        ("wrong_type", "/data/force"),
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"specversion": None}, ("missing_attribute", "/specversion")),
        ({"id": 5}, ("wrong_type", "/id")),
        ({"id": "x" * 257}, ("attribute_too_long", "/id")),
        ({"id": "a\nb"}, ("bad_text", "/id")),
        ({"id": "\ud800"}, ("bad_text", "/id")),
        ({"source": "x" * 1025}, ("attribute_too_long", "/source")),
        ({"source": None}, ("missing_attribute", "/source")),
        ({"type": None}, ("missing_attribute", "/type")),
        ({"type": "com.emailscheduler.run.requested.v2"}, ("unknown_type", "/type")),
        ({"subject": None}, ("missing_org", "")),
        ({"subject": "acme"}, ("bad_subject", "/subject")),
        ({"subject": "org/acme\n"}, ("bad_text", "/subject")),
        ({"subject": "org/"}, ("bad_org_id", "/subject")),
        ({"orgid": "other"}, ("org_mismatch", "/orgid")),
        ({"orgid": "../x"}, ("bad_org_id", "/orgid")),
        ({"org_id": "acme"}, ("bad_attribute_name", "/org_id")),
        ({"extension": {}}, ("wrong_type", "/extension")),
        ({"time": "2026-03-02"}, ("bad_time", "/time")),
        ({"time": "0001-01-01T00:00:00+23:00"}, ("bad_time", "/time")),
        ({"data": []}, ("wrong_type", "/data")),
        ({"data": None}, ("wrong_type", "/data")),
        ({"data": "{}"}, ("wrong_type", "/data")),
        ({"data": {"as_of": 20260302}}, ("wrong_type", "/data/as_of")),
        ({"data": {"force": "true"}}, ("wrong_type", "/data/force")),
        ({"data": {}, "data_base64": ""}, ("ambiguous_data", "/data")),
        ({"data_base64": "?"}, ("not_base64", "/data_base64")),
        ({"data_base64": b64encode(b"\xff").decode()}, ("not_utf8", "/data")),
    ],
    ids=str,
)
def test_one_fault_one_reason(changes: dict[str, object], expected: tuple[str, str]) -> None:
    assert found(structured(changes)) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", ("not_json", "")),
        (b"{", ("not_json", "")),
        (b"\xef\xbb\xbf{}", ("not_json", "")),
        (b'{"id": NaN}', ("not_json", "")),
        (b'{"id": -Infinity}', ("not_json", "")),
        (b"\xff", ("not_utf8", "")),
        (b"[" * 200_000, ("nested_too_deep", "")),
        (b'{"a":' * 100_000, ("nested_too_deep", "")),
        (b"[1]", ("wrong_type", "")),
        (b"9" * 5_000, ("number_out_of_range", "")),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_text_that_is_no_event(text: bytes, expected: tuple[str, str]) -> None:
    assert found(refused({"content-type": STRUCTURED}, text)) == [expected]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"force": true, "force": false}', ("duplicate_key", "/data")),
        ('{"as_of": 99999999999999999999}', ("number_out_of_range", "/data/as_of")),
        ('{"as_of": 1e999}', ("number_out_of_range", "/data/as_of")),
        ('{"as_of": "\\ud800"}', ("bad_text", "/data/as_of")),
        (f'{{"as_of": {"[" * 40}{"]" * 40}}}', ("nested_too_deep", "/data/as_of" + "/0" * 31)),
    ],
)
def test_json_that_no_payload_may_contain(data: str, expected: tuple[str, str]) -> None:
    text = json.dumps(GOOD)[:-1] + f', "data": {data}}}'
    assert expected in found(refused({"content-type": STRUCTURED}, text.encode()))


def test_an_event_with_two_ids_is_refused() -> None:
    text = json.dumps(GOOD)[:-1] + ', "id": "2"}'
    assert found(refused({"content-type": STRUCTURED}, text.encode())) == [("duplicate_key", "")]


def test_two_headers_of_one_name_must_agree() -> None:
    assert found(refused({**BINARY, "Ce-Id": "2"}, b"")) == [("duplicate_attribute", "/id")]


@pytest.mark.parametrize("value", ["%C0%A0", "%ff", "\xff", "☃"])
def test_headers_that_are_not_utf8_are_refused(value: str) -> None:
    assert ("not_utf8", "/id") in found(refused({**BINARY, "ce-id": value}, b""))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("unknown_shape", "")]),
        ({"message": []}, [("unknown_shape", "")]),
        (
            {"message": {"data": "?"}},
            [("not_base64", "/message/data"), ("missing_attribute", "/id"), ("missing_org", "")],
        ),
        (
            {"message": {"attributes": {"org_id": 5}, "messageId": 7}},
            [
                ("wrong_type", "/message/attributes/org_id"),
                ("wrong_type", "/message/messageId"),
                ("missing_attribute", "/id"),
                ("missing_org", ""),
            ],
        ),
        (
            {"message": {"attributes": {"org_id": "a"}, "messageId": "1", "message_id": "2"}},
            [("duplicate_attribute", "/message/messageId")],
        ),
        (
            {"message": {"attributes": {"org_id": "a", "orgid": "b"}, "messageId": "1"}},
            [("duplicate_attribute", "/org_id")],
        ),
        (
            {"message": {"attributes": {"content-type": "application/cloudevents+avro"}, "messageId": "1"}},
            [("unsupported_format", "")],
        ),
        (
            {"message": {"attributes": {"ce-id": "1"}, "messageId": "1"}},
            [
                ("missing_attribute", "/specversion"),
                ("missing_attribute", "/source"),
                ("missing_attribute", "/type"),
                ("missing_org", ""),
            ],
        ),
    ],
    ids=str,
)
def test_faults_of_a_push(body: object, expected: list[tuple[str, str]]) -> None:
    assert found(refused({}, json.dumps(body).encode())) == expected


def test_an_event_from_the_future_is_refused_when_the_clock_is_known() -> None:
    now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    body = [json.dumps({**GOOD, "time": f"2026-03-02T12:0{minute}"}).encode() for minute in ("5:00Z", "5:01Z")]
    (on_time,) = decode({"content-type": STRUCTURED}, body[0], received_at=now)
    (ahead,) = decode({"content-type": STRUCTURED}, body[1], received_at=now)
    assert not isinstance(on_time, Rejection)
    assert isinstance(ahead, Rejection)
    assert found(ahead) == [("time_in_future", "/time")]


def test_limits() -> None:
    limits = Limits(body_bytes_max=200, data_bytes_max=10, batch_events_max=2, attributes_max=6, values_max=5)
    cases: list[tuple[dict[str, str], bytes, str]] = [
        ({}, b" " * 201, "too_large"),
        (BINARY, b"[1,2,3,4]", "wrong_type"),
        ({"content-type": STRUCTURED}, json.dumps({**GOOD, "data": {"a": [1, 2, 3, 4]}}).encode(), "too_large"),
        (BINARY, b" " * 11, "too_large"),
        ({"content-type": BATCH}, b"[1,2,3]", "too_many_events"),
        ({**BINARY, "ce-a": "1", "ce-b": "2"}, b"", "too_many_attributes"),
    ]
    for headers, body, code in cases:
        (decoded,) = decode(headers, body, limits=limits)
        assert isinstance(decoded, Rejection)
        assert decoded.reasons[0].code == code


def test_a_message_that_is_wrong_everywhere_gives_a_bounded_list() -> None:
    rejection = structured({"data": {f"x{index}": 1 for index in range(5_000)}})
    assert len(rejection.reasons) == 100
    assert rejection.reasons[-1].code == "more_reasons"


def test_key_and_org_are_told_if_they_are_known() -> None:
    rejection = structured({"data": 1})
    assert rejection.key == EventKey("//s", "1")
    assert rejection.org_id == OrgId("acme")


def test_no_key_and_no_org_if_they_cannot_be_known() -> None:
    rejection = structured({"id": None, "orgid": "other"})
    assert rejection.key is None
    assert rejection.org_id is None


def test_reasons_never_repeat_values() -> None:
    private = "jane@example.com"
    rejection = structured(
        {
            "type": private,
            "subject": private,
            "time": private,
            private: 1,
            "data": {"as_of": private, private: {private: private}},
        }
    )
    assert private not in repr(rejection)
    assert private not in str([reason.message for reason in rejection.reasons])
    assert private not in str(rejection.to_payload().reasons) + str(rejection.attribute_names)


def test_the_same_bad_message_has_the_same_id_however_often_it_is_delivered() -> None:
    def push(attempt: int, message_id: str = "7") -> Rejection:
        message = {"attributes": {"org_id": "../x"}, "messageId": message_id, "publishTime": "2026-03-02T12:30:01Z"}
        return refused({}, json.dumps({"message": message, "deliveryAttempt": attempt}).encode())

    assert push(1).id == push(2).id
    assert push(1).id != push(1, message_id="8").id


def test_two_bad_events_of_a_batch_have_two_ids() -> None:
    first, second = decode({"content-type": BATCH}, json.dumps([{"id": "1"}, {"id": "2"}]).encode())
    assert isinstance(first, Rejection)
    assert isinstance(second, Rejection)
    assert first.id != second.id


def test_a_small_body_travels_with_the_rejection() -> None:
    payload = refused(BINARY, b"{").to_payload()
    assert payload.body_base64 is not None
    assert b64decode(payload.body_base64) == b"{"
    assert payload.body_reference is None


def test_a_large_body_is_referenced() -> None:
    rejection = refused(BINARY, b" " * (BODY_BYTES_MAX_INLINE + 1))
    assert rejection.needs_body_reference
    payload = rejection.to_payload(body_reference=f"rejected/{rejection.id}")
    assert payload.body_base64 is None
    assert payload.body_reference == f"rejected/{rejection.id}"


def test_every_code_has_a_sentence_and_pointers_show_names_only() -> None:
    assert all(Reason(code, "").message for code in CODES)
    assert pointer_to("data", "as_of", 3, "jane@example.com") == "/data/as_of/3/?"


@pytest.mark.parametrize("place", ["subject", "orgid"])
def test_a_fan_out_that_names_an_org_may_have_meant_only_that_one(place: str) -> None:
    named = {"subject": None, place: {"subject": "org/acme", "orgid": "acme"}[place]}
    assert found(structured({"type": FANOUT_REQUESTED, **named})) == [("org_not_expected", f"/{place}")]


def test_a_bare_fan_out_that_names_an_org_is_refused() -> None:
    message = {"attributes": {"type": FANOUT_REQUESTED, "org_id": "acme"}, "messageId": "1"}
    assert found(refused({}, json.dumps({"message": message}).encode())) == [("org_not_expected", "/org_id")]


@pytest.mark.parametrize("pattern", ["", "a" * 65, "a/b", "[ab]", "a b", "ä*"])
def test_a_pattern_that_no_org_can_match_is_refused(pattern: str) -> None:
    rejection = structured({"type": FANOUT_REQUESTED, "subject": None, "data": {"include": ["ok", pattern]}})
    assert found(rejection) == [("bad_value", "/data/include/1")]
