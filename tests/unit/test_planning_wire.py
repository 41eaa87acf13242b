"""Frames between a planning process and its parent: every event arrives as it was, and nonsense is told apart."""

import os
import socket
import threading
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from core.runs.planning_job import PlanningJob
from events.types import CONFIG_CHANGED, EVENT_TYPES, INCOMING, ConfigChanged, Delivery, Event, OrgId, Payload
from infra.planning_wire import (
    FRAME_BYTES_MAX,
    PeerGoneError,
    decode_job,
    decode_report,
    encode_job,
    encode_report,
    log_record,
    receive_frame,
    send_frame,
)

SAMPLES = Path(__file__).resolve().parents[2] / "events" / "samples"


def payload_in(sample: Path, type_name: str) -> Payload:
    data = msgspec.json.encode(msgspec.json.decode(sample.read_bytes())["data"])
    return msgspec.json.decode(data, type=EVENT_TYPES[type_name].payload)


def every_event() -> tuple[Event, ...]:
    """One event for each sample of an incoming type, and one of a type that no wire carries."""
    samples = [(name, file) for name in INCOMING for file in sorted((SAMPLES / name).glob("*.json"))]
    events = [
        Event(
            id=f"event-{number}",
            source="//sender",
            type=name,
            org_id=OrgId("acme"),
            data=payload_in(file, name),
            time=datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC),
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            shape="pubsub-wrapped",
            delivery=Delivery(message_id="9", delivery_attempt=3, publish_time=datetime(2026, 3, 2, tzinfo=UTC)),
        )
        for number, (name, file) in enumerate(samples)
    ]
    change = ConfigChanged(set_keys={"a": 10**30, "b": [1.5, None, "ä"]}, unset_keys=("c",), note="n")
    return (*events, Event(id="c", source="//cli", type=CONFIG_CHANGED, org_id=OrgId("acme"), data=change))


def test_every_kind_of_event_arrives_as_it_was() -> None:
    events = every_event()
    assert {event.type for event in events} >= set(INCOMING)
    job = PlanningJob(
        org_id=OrgId("acme"), file="/data/ä.db", generation=2**60, events=events, as_of=date(2026, 3, 2), force=True
    )
    arrived = decode_job(encode_job(job))
    assert arrived == job
    assert [(e.shape, e.delivery) for e in arrived.events] == [(e.shape, e.delivery) for e in events]


def test_a_frame_of_any_length_arrives_whole_with_its_descriptor(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    content = os.urandom(3_000_000)
    with closing(ours), closing(theirs), (tmp_path / "lock").open("w") as lock:
        sender = threading.Thread(target=send_frame, args=(ours, content, lock.fileno()))
        sender.start()
        frame = receive_frame(theirs)
        sender.join()
        assert frame.content == content
        assert frame.descriptor is not None
        assert os.path.sameopenfile(frame.descriptor, lock.fileno())
        os.close(frame.descriptor)
        send_frame(ours, b"")
        assert receive_frame(theirs) == (b"", None)


@pytest.mark.parametrize("sent", [b"", b"\0\0", (FRAME_BYTES_MAX + 1).to_bytes(8, "big"), b"\0" * 7 + b"\5abc"])
def test_a_peer_that_leaves_or_talks_nonsense_is_gone(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with closing(theirs):
        ours.sendall(sent)
        ours.close()
        with pytest.raises(PeerGoneError):
            receive_frame(theirs)


def test_what_is_no_report_is_not_believed() -> None:
    with pytest.raises(PeerGoneError):
        decode_report(b'{"type": "done"}')


def test_a_fact_without_a_form_in_json_arrives_as_text() -> None:
    record = decode_report(
        encode_report(log_record("info", "e", {"path": Path("/a"), "day": date(2026, 3, 2), "n": 1}))
    )
    assert record == log_record("info", "e", {"path": "/a", "day": "2026-03-02", "n": 1})
