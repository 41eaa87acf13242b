"""The wire under any input: it never raises, and what is written in any shape is read as the same event."""

import json
from base64 import b64encode
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from events.encode import (
    encode,
    encode_batch,
    encode_http_binary,
    encode_push,
    encode_structured,
    encode_unwrapped_push,
)
from events.http_binding import BATCH, STRUCTURED
from events.rejection import CODES, Rejection
from events.types import FANOUT_REQUESTED, RUN_REQUESTED, Delivery, Event, FleetEvent, OrgId, Outgoing, RunRequested
from events.wire import Decoded, PubSubMessage, decode, decode_message

NAMES = st.sampled_from(
    [
        *("content-type", "Content-Type", "ce-id", "ce-source", "ce-type", "ce-specversion", "ce-subject", "ce-time"),
        *("ce-orgid", "CE-ID", "ce-", "x-goog-pubsub-message-id", "x-goog-pubsub-delivery-attempt", "org_id", "orgid"),
        *("type", "traceparent", "id", "source", "specversion", "subject", "time", "data", "data_base64", "as_of"),
        *("message", "attributes", "messageId", "message_id", "publishTime", "force"),
    ]
)
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "1.0",
            STRUCTURED,
            BATCH,
            RUN_REQUESTED,
            FANOUT_REQUESTED,
            "org/acme",
            "acme",
            "%ff",
            '"',
            '"\\"',
            "2026-03-02",
            "e30=",
        ]
    ),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), VALUES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, st.text(max_size=5)), inner, max_size=6)
    ),
    max_leaves=20,
)
HEADERS = st.dictionaries(st.one_of(NAMES, st.text(max_size=10)), VALUES, max_size=8)
BODIES = st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode()))

PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
"""What CloudEvents allows in a text."""
TRIMMED = PLAIN.filter(lambda text: text == text.strip())
"""What a header can carry without encoding."""
YEAR_2 = datetime(2, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone to naive bounds
YEAR_9998 = datetime(9998, 1, 1)  # noqa: DTZ001 - as above
EVENTS = st.builds(
    Outgoing,
    id=TRIMMED,
    source=TRIMMED,
    org_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True).map(OrgId),
    time=st.none() | st.datetimes(min_value=YEAR_2, max_value=YEAR_9998, timezones=st.timezones() | st.just(UTC)),
    traceparent=st.none() | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True),
    data=st.builds(RunRequested, as_of=st.none() | st.dates(), force=st.booleans(), create=st.booleans()),
)


def judged_or_empty(decoded: Decoded) -> None:
    for result in decoded:
        assert isinstance(result, Event | FleetEvent | Rejection)
        if isinstance(result, Rejection):
            assert result.reasons
            assert all(reason.code in CODES for reason in result.reasons)
            assert result.id
            assert result.to_payload().digest == result.digest


@settings(deadline=None)
@given(headers=HEADERS, body=BODIES)
@example(headers={}, body=b"[" * 100_000)
@example(headers={"content-type": BATCH}, body=b"[" + b'{"a":' * 900 + b"1" + b"}" * 900 + b"]")
@example(headers={"content-type": STRUCTURED}, body=b'{"data":' + b"[" * 900 + b"]" * 900 + b"}")
@example(headers={"content-type": STRUCTURED}, body=b"1" * 10_000)
@example(headers={"ce-id": "\ud800"}, body=b"")
@example(headers={"x-goog-pubsub-message-id": "1", "orgid": "\udfff"}, body=b"")
def test_decode_never_raises(headers: dict[str, str], body: bytes) -> None:
    judged_or_empty(decode(headers, body))


@settings(deadline=None)
@given(attributes=HEADERS, data=BODIES, outer=st.dictionaries(NAMES, JSON, max_size=3))
def test_decode_never_raises_on_a_push(attributes: dict[str, str], data: bytes, outer: dict[str, object]) -> None:
    message = {"data": b64encode(data).decode(), "attributes": attributes, "messageId": "1", **outer}
    judged_or_empty(decode({}, json.dumps({"message": message}).encode()))
    judged_or_empty(decode_message(PubSubMessage(data=data, attributes=attributes)))


@settings(deadline=None)
@given(tree=st.dictionaries(NAMES, JSON, max_size=8))
def test_decode_never_raises_on_a_structured_event(tree: dict[str, object]) -> None:
    judged_or_empty(decode({"content-type": STRUCTURED}, json.dumps(tree).encode()))
    judged_or_empty(decode({"content-type": BATCH}, json.dumps([tree, tree]).encode()))


@settings(deadline=None)
@given(event=EVENTS, attempt=st.none() | st.integers(1, 100))
def test_every_shape_reads_as_the_same_event(event: Outgoing, attempt: int | None) -> None:
    attributes, data = encode(event)
    delivery = Delivery(message_id="9", subscription="projects/p/subscriptions/s", delivery_attempt=attempt)
    binary = PubSubMessage(attributes=attributes, data=data, delivery=delivery)
    structured = PubSubMessage(
        attributes={"content-type": STRUCTURED}, data=encode_structured(event), delivery=delivery
    )
    expected = Event(
        id=event.id,
        source=event.source,
        type=event.type,
        org_id=event.org_id or OrgId(""),
        data=event.data,
        time=None if event.time is None else event.time.astimezone(UTC),
        traceparent=event.traceparent,
    )
    assert decode(*encode_push(binary)) == (expected,)
    assert decode(*encode_push(structured)) == (expected,)
    assert decode(*encode_unwrapped_push(binary)) == (expected,)
    assert decode(*encode_unwrapped_push(structured)) == (expected,)
    assert decode(*encode_http_binary(event)) == (expected,)
    assert decode({"content-type": STRUCTURED}, encode_structured(event)) == (expected,)
    assert decode({"content-type": BATCH}, encode_batch([event, event])) == (expected, expected)
    assert decode_message(binary) == (expected,)
    (pushed,) = decode(*encode_push(binary))
    assert pushed.delivery == delivery
