"""Why the decoder reads CloudEvents itself, held to the package; and its users can read what we write."""

from datetime import UTC, datetime

import pytest
from cloudevents.http import from_http

from events.encode import encode_http_binary, encode_structured
from events.http_binding import STRUCTURED
from events.types import OrgId, Outgoing, RunRequested

STRUCTURED_HEADERS = {"content-type": STRUCTURED}
BINARY_HEADERS = {"ce-specversion": "1.0", "ce-type": "t", "ce-source": "s", "ce-id": "a%20b"}


def test_the_package_leaves_percent_encoded_headers_as_they_are() -> None:
    assert from_http(BINARY_HEADERS, b"{}")["id"] == "a%20b"


def test_the_package_invents_a_time_that_differs_on_every_delivery() -> None:
    assert "time" in from_http(BINARY_HEADERS, b"{}").get_attributes()


def test_the_package_keeps_the_last_of_two_equal_keys() -> None:
    body = b'{"specversion":"1.0","type":"t","source":"s","id":"1","id":"2"}'
    assert from_http(STRUCTURED_HEADERS, body)["id"] == "2"


def test_the_package_takes_any_json_value_for_an_attribute() -> None:
    body = b'{"specversion":"1.0","type":"t","source":5,"id":{}}'
    assert from_http(STRUCTURED_HEADERS, body)["id"] == {}


@pytest.mark.parametrize(
    ("body", "error"), [(b"\xff", UnicodeDecodeError), (b"[" * 100_000, RecursionError)], ids=["not UTF-8", "nested"]
)
def test_the_package_lets_foreign_exceptions_through(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        from_http(STRUCTURED_HEADERS, body)


def test_a_reader_with_the_package_reads_what_we_write() -> None:
    event = Outgoing(
        id="1",
        source="//test",
        data=RunRequested(force=True),
        org_id=OrgId("acme"),
        time=datetime(2026, 3, 2, 6, tzinfo=UTC),
    )
    for headers, body in (encode_http_binary(event), (STRUCTURED_HEADERS, encode_structured(event))):
        read = from_http(headers, body)
        assert (read["id"], read["source"], read["type"]) == ("1", "//test", "com.emailscheduler.run.requested.v1")
        assert (read["subject"], read["orgid"], read["time"]) == ("org/acme", "acme", "2026-03-02T06:00:00Z")
        assert read.data == {"as_of": None, "force": True, "create": False}
