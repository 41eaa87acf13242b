"""The consumer that others copy from does what the contract says."""

import json
from pathlib import Path
from typing import Any

import pytest

from events.sample_consumer import COMPLETED, Claim, Consumer, main

SAMPLES = Path(__file__).parents[2] / "events" / "samples" / COMPLETED
ROW = {"contact_id": 7, "email_type": "birthday", "event_date": "2026-05-20", "campaign_instance_id": None}
GRANTED = {"index": 0, "id": 41, "row": {**ROW, "parent_schedule_id": None}}
REFUSED = {**GRANTED, "index": 1, "id": 42, "code": "row_changed"}
CLAIMS = [{"event": {"source": "//sender", "id": "c-1"}, "granted": [GRANTED], "refused": [REFUSED]}]


def published(sample: str = "changed", **changes: object) -> tuple[dict[str, str], bytes]:
    """Return a sample as a message: attributes and data."""
    event: dict[str, Any] = json.loads((SAMPLES / f"{sample}.json").read_bytes())
    attributes = {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}
    return attributes, json.dumps({**event["data"], "claims": CLAIMS, **changes}).encode()


class Outbox:
    """What was sent; the first sends may fail."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[tuple[str, int]] = []
        self._failures = failures

    def send(self, org_id: str, claim: Claim) -> None:
        if self._failures:
            self._failures -= 1
            raise OSError("no connection")
        self.sent.append((org_id, claim["id"]))


def test_what_is_granted_is_sent_and_nothing_else() -> None:
    outbox = Outbox()
    attributes, data = published()
    assert Consumer(outbox.send).take(attributes, data)
    assert outbox.sent == [(json.loads(data)["org_id"], 41)]


def test_the_same_event_is_done_once_although_its_repetition_looks_different() -> None:
    outbox = Outbox()
    consumer = Consumer(outbox.send)
    attributes, data = published()
    assert consumer.take(attributes, data)
    assert not consumer.take(attributes, published(replayed=True, generation=None, bytes_up=None)[1])
    assert len(outbox.sent) == 1


def test_a_repetition_whose_original_never_came_is_done() -> None:
    outbox = Outbox()
    assert Consumer(outbox.send).take(*published("replayed"))
    assert len(outbox.sent) == 1


def test_what_could_not_be_done_is_done_when_it_comes_again() -> None:
    outbox = Outbox(failures=1)
    consumer = Consumer(outbox.send)
    with pytest.raises(OSError, match="no connection"):
        consumer.take(*published())
    assert consumer.take(*published())
    assert len(outbox.sent) == 1


def test_other_events_and_unknown_fields_are_nothing_to_it() -> None:
    outbox = Outbox()
    attributes, data = published(a_field_of_tomorrow=1)
    assert not Consumer(outbox.send).take({**attributes, "ce-type": "com.emailscheduler.run.failed.v1"}, data)
    assert Consumer(outbox.send).take(attributes, data)


def test_it_reads_the_file_of_a_local_bus(capsys: pytest.CaptureFixture[str]) -> None:
    attributes, data = published()
    line = json.dumps({"topic": "t", "attributes": attributes, "data": data.decode()})
    main([line, line])
    shown = capsys.readouterr().out
    assert "may send 41" in shown
    assert "1 of 2 messages were new completions" in shown
