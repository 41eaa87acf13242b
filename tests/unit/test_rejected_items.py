"""Items that only a run can refuse: told once with one id, also after a crash between commit and publication."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Message
from events.payloads import EventRejected
from infra.memory_bucket import MemoryBucket
from infra.memory_bus import MemoryBus
from tests.data_events import click, contact_changed, mail_reported, report
from tests.machines import NOW, Machine, put_org, rows_in

AHEAD = (NOW + timedelta(minutes=5, seconds=1)).isoformat()
JUST = (NOW + timedelta(minutes=5)).isoformat()


@pytest.fixture
def bucket(tmp_path: Path) -> MemoryBucket:
    bucket = MemoryBucket()
    put_org(bucket, tmp_path)
    return bucket


def rejections(machine: Machine) -> list[tuple[str, EventRejected]]:
    return [
        (message.attributes["ce-id"], msgspec.json.decode(message.data, type=EventRejected))
        for message in machine.bus.messages
        if message.attributes["ce-type"].endswith("event.rejected.v1")
    ]


def test_a_moment_of_the_future_rejects_its_item_alone(tmp_path: Path, bucket: MemoryBucket) -> None:
    machine = Machine(tmp_path, bucket)
    handled = machine.handle(contact_changed("1", click(1, JUST), click(2, AHEAD), click(3)))
    assert handled.completed is not None
    assert (handled.completed.items.clicks, handled.completed.items.rejected) == (2, 1)
    assert rows_in(bucket, tmp_path, "SELECT contact_id FROM tracking_clicks ORDER BY 1") == [(1,), (3,)]
    [(_, rejected)] = rejections(machine)
    assert rejected.event is not None
    assert (rejected.event.id, rejected.org_id) == ("1", "acme")
    assert [(r.code, r.pointer) for r in rejected.reasons] == [("time_in_future", "/data/items/1/clicked_at")]


def test_it_is_judged_by_the_receipt_not_by_how_long_the_event_waited(tmp_path: Path, bucket: MemoryBucket) -> None:
    machine = Machine(tmp_path, bucket)
    event = mail_reported("1", report(1, "sent", "2026-04-02", sent_at=AHEAD))
    machine.clock.advance(600)
    handled = machine.handle(event)
    assert handled.completed is not None
    assert handled.completed.items.rejected == 1


def test_what_was_rejected_stays_rejected_when_it_comes_again_later(tmp_path: Path, bucket: MemoryBucket) -> None:
    machine = Machine(tmp_path, bucket)
    first = machine.handle(contact_changed("1", click(1, AHEAD)))
    assert first.completed is not None
    machine.clock.advance(3600)
    machine.handle(contact_changed("1", click(1, AHEAD), received_at=NOW + timedelta(hours=1)))
    (one, _), (other, _) = rejections(machine)
    assert one == other
    assert rows_in(bucket, tmp_path, "SELECT count(*) FROM tracking_clicks") == [(0,)]


def test_a_crash_before_the_publication_loses_no_rejection(tmp_path: Path, bucket: MemoryBucket) -> None:
    """The run is committed and nothing is told; another machine gets the message again, long after."""
    dead = Machine(tmp_path, bucket, _DeadBus())
    event = contact_changed("1", click(1, AHEAD), click(2))
    assert dead.handle(event).outcome == "retry"
    machine = Machine(tmp_path, bucket)
    later = contact_changed("1", click(1, AHEAD), click(2), received_at=NOW + timedelta(hours=1))
    handled = machine.handle(later)
    assert handled.completed is not None
    assert handled.completed.replayed
    assert [r.pointer for r in rejections(machine)[0][1].reasons] == ["/data/items/0/clicked_at"]
    assert rows_in(bucket, tmp_path, "SELECT contact_id FROM tracking_clicks") == [(2,)]


class _DeadBus(MemoryBus):
    def publish(self, message: Message) -> None:
        raise OrgError(ErrorCode.BUS_UNREACHABLE)
