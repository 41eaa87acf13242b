"""Four wire shapes, one event: what a door hands over becomes what the program works with."""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest

from events.http_binding import BATCH, STRUCTURED
from events.pubsub_binding import BARE_SOURCE
from events.rejection import Rejection
from events.types import (
    FANOUT_REQUESTED,
    RUN_REQUESTED,
    Delivery,
    Event,
    EventKey,
    FanoutRequested,
    FleetEvent,
    InvalidOrgIdError,
    OrgId,
    RunRequested,
    is_org_id,
    parse_org_id,
)
from events.wire import PubSubMessage, decode, decode_message

SUBSCRIPTION = "projects/p/subscriptions/requests"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EXPECTED = Event(
    id="nightly 1",
    source="//example.com/é",
    type=RUN_REQUESTED,
    org_id=OrgId("acme"),
    data=RunRequested(as_of=date(2026, 3, 2), force=True),
    time=datetime(2026, 3, 2, 12, 30, tzinfo=UTC),
    traceparent=TRACE,
)
DATA = {"as_of": "2026-03-02", "force": True}
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "nightly 1",
    "source": "//example.com/é",
    "type": RUN_REQUESTED,
    "subject": "org/acme",
    "time": "2026-03-02T06:30:00-06:00",
    "traceparent": TRACE,
}


def event_of(headers: Mapping[str, str], body: bytes) -> Event:
    (decoded,) = decode(headers, body)
    assert isinstance(decoded, Event), decoded
    return decoded


def push(message: Mapping[str, object], **envelope: object) -> bytes:
    return json.dumps({"message": message, "subscription": SUBSCRIPTION, **envelope}).encode()


def data(value: object) -> str:
    return b64encode(json.dumps(value).encode()).decode()


def as_attributes() -> dict[str, str]:
    return {f"ce-{name}": value for name, value in ATTRIBUTES.items()}


def test_pubsub_push_with_a_binary_event() -> None:
    event = event_of({}, push({"data": data(DATA), "attributes": as_attributes(), "messageId": "9"}))
    assert event == EXPECTED
    assert event.shape == "pubsub-wrapped"


def test_pubsub_push_with_a_structured_event() -> None:
    attributes = {"content-type": "application/cloudevents+json; charset=utf-8"}
    event = event_of({}, push({"data": data({**ATTRIBUTES, "data": DATA}), "attributes": attributes}))
    assert event == EXPECTED


def test_pubsub_push_unwrapped() -> None:
    headers = {
        "X-Goog-Pubsub-Message-Id": "9",
        "X-Goog-Pubsub-Subscription-Name": SUBSCRIPTION,
        "X-Goog-Pubsub-Publish-Time": "2026-03-02T12:30:01.123456789Z",
        "X-Goog-Pubsub-Ordering-Key": "acme",
        "Authorization": "Bearer secret",
        # WSGI shows the bytes of a header as Latin-1; Google does not percent-encode attributes
        **{name: value.encode().decode("latin-1") for name, value in as_attributes().items()},
    }
    event = event_of(headers, json.dumps(DATA).encode())
    assert event == EXPECTED
    assert event.shape == "pubsub-unwrapped"
    assert event.delivery == Delivery(
        message_id="9",
        subscription=SUBSCRIPTION,
        ordering_key="acme",
        publish_time=datetime(2026, 3, 2, 12, 30, 1, 123457, tzinfo=UTC),  # nanoseconds are rounded
    )


def test_pubsub_push_unwrapped_with_a_structured_event() -> None:
    headers = {"x-goog-pubsub-message-id": "9", "content-type": STRUCTURED}
    assert event_of(headers, json.dumps({**ATTRIBUTES, "data": DATA}).encode()) == EXPECTED


def test_cloudevent_over_http_binary_with_percent_encoded_headers() -> None:
    headers = {**as_attributes(), "ce-id": "nightly%201", "ce-source": "//example.com/%c3%A9"}
    event = event_of(headers, json.dumps(DATA).encode())
    assert event == EXPECTED
    assert event.shape == "cloudevent-binary"
    assert event.delivery is None


def test_cloudevent_over_http_binary_with_quoted_headers_of_older_senders() -> None:
    headers = {**as_attributes(), "ce-id": '"nightly\\ 1"', "ce-source": "//example.com/%C3%A9"}
    assert event_of(headers, json.dumps(DATA).encode()) == EXPECTED


def test_a_percent_sign_is_decoded_once() -> None:
    assert event_of({**as_attributes(), "ce-id": "100%2525", "ce-source": "s"}, b"").id == "100%25"


def test_cloudevent_over_http_structured() -> None:
    event = event_of({"Content-Type": STRUCTURED}, json.dumps({**ATTRIBUTES, "data": DATA}).encode())
    assert event == EXPECTED
    assert event.shape == "cloudevent-structured"


def test_structured_data_may_be_base64() -> None:
    body = json.dumps({**ATTRIBUTES, "data_base64": data(DATA)}).encode()
    assert event_of({"content-type": STRUCTURED}, body) == EXPECTED


def test_null_attributes_are_absent() -> None:
    body = json.dumps({**ATTRIBUTES, "time": None, "dataschema": None}).encode()
    assert event_of({"content-type": STRUCTURED}, body).time is None


def test_of_a_batch_the_good_events_go_through_and_the_bad_are_refused() -> None:
    good = {**ATTRIBUTES, "data": DATA}
    batch = [good, {**good, "id": "", "type": "no.such"}, 5, {**good, "id": "2"}]
    first, second, third, fourth = decode({"content-type": BATCH}, json.dumps(batch).encode())
    assert first == EXPECTED
    assert isinstance(second, Rejection)
    assert {reason.code for reason in second.reasons} == {"missing_attribute", "unknown_type"}
    assert isinstance(third, Rejection)
    assert isinstance(fourth, Event)


def test_an_empty_batch_is_nothing_to_do() -> None:
    assert decode({"content-type": BATCH}, b"[]") == ()


def test_a_batch_inside_one_pubsub_message_is_refused() -> None:
    body = push({"data": data([ATTRIBUTES]), "attributes": {"content-type": BATCH}, "messageId": "1"})
    (decoded,) = decode({}, body)
    assert isinstance(decoded, Rejection)
    assert [reason.code for reason in decoded.reasons] == ["unsupported_format"]


class TestBareMessage:
    """What Cloud Scheduler sends: no CloudEvent, the same payload every day."""

    def test_org_from_the_attribute_id_from_pubsub_default_type(self) -> None:
        event = event_of({}, push({"attributes": {"org_id": "acme"}, "messageId": "77", "message_id": "77"}))
        assert event == Event(
            id="77", source=BARE_SOURCE, type=RUN_REQUESTED, org_id=OrgId("acme"), data=RunRequested()
        )

    def test_data_is_the_payload(self) -> None:
        event = event_of({}, push({"attributes": {"org_id": "acme"}, "messageId": "77", "data": data(DATA)}))
        assert event.data == RunRequested(as_of=date(2026, 3, 2), force=True)

    def test_tomorrows_trigger_is_no_duplicate_of_todays(self) -> None:
        today, tomorrow = (event_of({}, push({"attributes": {"org_id": "a"}, "messageId": day})) for day in "12")
        assert today.key != tomorrow.key

    def test_the_same_message_by_another_subscription_or_by_pull_is_a_duplicate(self) -> None:
        pushed = event_of({}, push({"attributes": {"org_id": "acme"}, "messageId": "77"}, subscription="other"))
        unwrapped = event_of({"x-goog-pubsub-message-id": "77", "orgid": "acme"}, b"")
        (pulled,) = decode_message(
            PubSubMessage(attributes={"org_id": "acme"}, delivery=Delivery(message_id="77", subscription=SUBSCRIPTION))
        )
        assert isinstance(pulled, Event)
        assert pulled.shape == "pubsub-pull"
        assert {pushed.key, unwrapped.key, pulled.key} == {EventKey(BARE_SOURCE, "77")}

    def test_without_any_id_it_is_refused(self) -> None:
        (decoded,) = decode({}, push({"attributes": {"org_id": "acme"}}))
        assert isinstance(decoded, Rejection)
        assert [(reason.code, reason.pointer) for reason in decoded.reasons] == [("missing_attribute", "/id")]

    def test_a_type_that_is_not_taken_is_refused(self) -> None:
        attributes = {"org_id": "acme", "type": "com.emailscheduler.run.completed.v1"}
        (decoded,) = decode({}, push({"attributes": attributes, "messageId": "1"}))
        assert isinstance(decoded, Rejection)
        assert [reason.code for reason in decoded.reasons] == ["unknown_type"]


def test_delivery_of_a_wrapped_push() -> None:
    message = {
        "attributes": {"org_id": "acme"},
        "messageId": "77",
        "publishTime": "2026-03-02T12:30:01.5Z",
        "orderingKey": "acme",
    }
    assert event_of({}, push(message, deliveryAttempt=3)).delivery == Delivery(
        message_id="77",
        subscription=SUBSCRIPTION,
        delivery_attempt=3,
        ordering_key="acme",
        publish_time=datetime(2026, 3, 2, 12, 30, 1, 500000, tzinfo=UTC),
    )


@pytest.mark.parametrize("odd", [{"deliveryAttempt": "many"}, {"deliveryAttempt": True}, {"subscription": 5}])
def test_odd_delivery_metadata_does_not_refuse_a_message(odd: dict[str, object]) -> None:
    assert isinstance(event_of({}, push({"attributes": {"org_id": "acme"}, "messageId": "7"}, **odd)), Event)


def test_the_org_may_be_given_by_the_extension_alone() -> None:
    attributes = {name: value for name, value in ATTRIBUTES.items() if name != "subject"}
    body = json.dumps({**attributes, "orgid": "acme", "data": DATA}).encode()
    assert event_of({"content-type": STRUCTURED}, body) == EXPECTED


def test_a_broken_trace_is_dropped_not_refused() -> None:
    body = json.dumps({**ATTRIBUTES, "traceparent": "00-nonsense"}).encode()
    assert event_of({"content-type": STRUCTURED}, body).traceparent is None


@pytest.mark.parametrize("org", ["a", "A-1_b", "0", "a" * 64])
def test_org_ids(org: str) -> None:
    assert parse_org_id(org) == org


@pytest.mark.parametrize("org", ["", "-a", "_a", "a/b", "..", "a\n", "a b", "a" * 65, "é", "a\x00", "٣"])
def test_what_is_no_org_id(org: str) -> None:
    assert not is_org_id(org)
    with pytest.raises(InvalidOrgIdError) as caught:
        parse_org_id(org)
    assert caught.value.length_characters == len(org)


def test_a_bare_message_of_a_fan_out_needs_no_org() -> None:
    attributes = {"type": FANOUT_REQUESTED}
    (pushed,) = decode({}, push({"attributes": attributes, "messageId": "17", "data": data({"exclude": ["*-test"]})}))
    delivery = Delivery(message_id="17")
    (pulled,) = decode_message(PubSubMessage(attributes=attributes, data=b'{"exclude":["*-test"]}', delivery=delivery))
    assert isinstance(pushed, FleetEvent)
    assert pushed == pulled
    assert pushed.key == EventKey(BARE_SOURCE, "17")
    assert pushed.data == FanoutRequested(exclude=("*-test",))


def test_a_fan_out_may_have_a_subject_that_is_no_org() -> None:
    event = {**ATTRIBUTES, "type": FANOUT_REQUESTED, "subject": "nightly", "data": {}}
    (decoded,) = decode({"content-type": STRUCTURED}, json.dumps(event).encode())
    assert isinstance(decoded, FleetEvent)
