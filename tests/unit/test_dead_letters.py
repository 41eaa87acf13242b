"""Dead letters: shown without their content, replayed as what they were, and taken out only when that is safe."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from core.runs.errors import OrgError
from events.encode import encode
from events.payloads import RunRequested
from events.pubsub_binding import BARE_SOURCE
from events.replay import DeadLetterMarks, judge_dead_letter, marks_of, replay_of
from events.types import FANOUT_REQUESTED, RUN_REQUESTED, Delivery, Event, EventKey, OrgId, Outgoing
from events.wire import PubSubMessage, decode_message
from handlers.dead_letters import Topics, list_letters, replay_letters
from infra.dead_letters import DeadLetter
from infra.memory_bus import MemoryBus

SAMPLES = Path(__file__).parents[2] / "events" / "samples"
MARKS = {
    "CloudPubSubDeadLetterSourceSubscription": "requests-push",
    "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
    "CloudPubSubDeadLetterSourceDeliveryCount": "100",
    "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-03-02T06:00:00Z",
}
TOPICS = Topics(None, completions="completions", requests="requests")


def letter(number: int, attributes: dict[str, str], data: bytes = b"") -> DeadLetter:
    message = PubSubMessage(data=data, attributes={**attributes, **MARKS}, delivery=Delivery(message_id=str(number)))
    return DeadLetter(f"ack-{number}", message, marks_of(message.attributes))


def run_request(number: int) -> DeadLetter:
    data = RunRequested()
    return letter(number, *encode(Outgoing(id=f"e-{number}", source="//me", data=data, org_id=OrgId("acme"))))


class HeldLetters:
    """A subscription in memory."""

    def __init__(self, *letters: DeadLetter, topic: str | None = None, part: int = 2) -> None:
        self.there = list(letters)
        self.released: list[str] = []
        self._topic, self._part = topic, part

    def hold(self, limit: int) -> Iterator[list[DeadLetter]]:
        waiting = self.there[:limit]
        for first in range(0, len(waiting), self._part):
            yield waiting[first : first + self._part]

    def release(self, letters: Sequence[DeadLetter]) -> None:
        self.released += [one.ack_id for one in letters]

    def forget(self, letters: Sequence[DeadLetter]) -> None:
        self.there = [one for one in self.there if one not in letters]

    def topic_of(self, marks: DeadLetterMarks) -> str | None:
        return self._topic if marks.subscription == "requests-push" else None


def test_a_list_says_what_they_are_and_leaves_them_where_they_are() -> None:
    letters = HeldLetters(run_request(1), letter(2, {"org_id": "acme"}), letter(3, {"org_id": "ada@example.com"}))
    first, second, third = list_letters(letters, 10)
    assert (first.type, first.org_id, first.event and first.event.id) == (RUN_REQUESTED, "acme", "e-1")
    assert (first.subscription, first.deliveries, first.published_at) == ("requests-push", 100, "2026-03-02T06:00:00Z")
    assert (second.event and second.event.source, second.event and second.event.id) == (BARE_SOURCE, "2")
    assert (third.type, third.org_id, third.reasons) == (None, None, ("bad_org_id",))
    assert letters.released == ["ack-1", "ack-2", "ack-3"]
    assert len(letters.there) == 3


def test_what_is_in_a_letter_is_never_shown() -> None:
    secret = letter(1, {"org_id": "acme", "ada@example.com": "x"}, b'{"ada@example.com": "ada@example.com"}')
    assert "ada" not in str(list_letters(HeldLetters(secret), 10))


def test_a_replayed_event_is_the_event_that_it_was() -> None:
    letters, bus = HeldLetters(run_request(1), topic="bulk"), MemoryBus()
    (line,) = replay_letters(letters, bus, 10, TOPICS)
    (message,) = bus.messages
    assert (line.replayed_to, message.topic) == ("bulk", "bulk")
    assert not any(name.startswith("CloudPubSub") for name in message.attributes)
    (event,) = decode_message(PubSubMessage(data=message.data, attributes=message.attributes))
    assert isinstance(event, Event)
    assert event.key == EventKey("//me", "e-1")
    assert letters.there == []


@pytest.mark.parametrize("attributes", [{"org_id": "acme"}, {"type": FANOUT_REQUESTED}])
def test_a_bare_message_keeps_one_id_however_often_it_is_replayed(attributes: dict[str, str]) -> None:
    one = letter(7, attributes, b'{"force": true}')
    written, data = replay_of(one.message, judge_dead_letter(one.message))
    redelivered = [
        decode_message(PubSubMessage(data=data, attributes=written, delivery=Delivery(message_id=new_id)))
        for new_id in ("8", "9")
    ]
    assert redelivered[0] == redelivered[1] == (judge_dead_letter(one.message),)


def test_a_completion_goes_to_consumers_and_what_cannot_be_read_to_us() -> None:
    sample = (SAMPLES / "com.emailscheduler.run.completed.v1" / "changed.json").read_bytes()
    completed = letter(1, {"content-type": "application/cloudevents+json"}, sample)
    letters, bus = HeldLetters(completed, letter(2, {}, b"{")), MemoryBus()
    replay_letters(letters, bus, 10, TOPICS)
    assert [message.topic for message in bus.messages] == ["completions", "requests"]
    assert json.loads(bus.messages[0].data) == json.loads(sample)


def test_a_topic_that_is_named_is_where_all_go() -> None:
    letters, bus = HeldLetters(run_request(1), topic="bulk"), MemoryBus()
    replay_letters(letters, bus, 10, replace(TOPICS, wanted="elsewhere"))
    assert [message.topic for message in bus.messages] == ["elsewhere"]


def test_a_part_that_the_bus_did_not_take_stays_and_the_parts_before_it_are_done() -> None:
    letters = HeldLetters(*(run_request(n) for n in (1, 2, 3, 4)))
    bus = MemoryBus(lambda message: "before" if message.attributes["ce-id"] == "e-4" else None)
    with pytest.raises(OrgError):
        replay_letters(letters, bus, 10, TOPICS)
    assert [one.ack_id for one in letters.there] == ["ack-3", "ack-4"]
    assert letters.released == ["ack-3", "ack-4"]


def test_attributes_that_google_takes_for_arguments_do_not_stop_a_replay() -> None:
    letters, bus = HeldLetters(letter(1, {"timeout": "5", "org_id": "../x"})), MemoryBus()
    replay_letters(letters, bus, 10, TOPICS)
    assert bus.messages[0].attributes == {"org_id": "../x"}


def test_no_more_are_replayed_than_were_asked_for() -> None:
    letters, bus = HeldLetters(*(run_request(n) for n in range(5)), part=100), MemoryBus()
    assert len(replay_letters(letters, bus, 3, TOPICS)) == 3
    assert len(letters.there) == 2
