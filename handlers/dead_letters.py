"""Looking at dead letters and sending them on their way again; ids and codes only, never what is in them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from core.runs.ports import Bus, Message
from events.payloads import EventRef
from events.rejection import Judged, Rejection
from events.replay import DeadLetterMarks, judge_dead_letter, replay_of
from events.types import OUTGOING, Event
from handlers.cli_doors_output import DeadLetterLine
from infra.dead_letters import DeadLetter

UNPUBLISHABLE: Final = frozenset({"topic", "data", "ordering_key", "retry", "timeout"})
"""Attributes that Google's client takes for its own arguments. No message of ours has them, and nobody reads them."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Where letters go."""

    wanted: str | None
    """All of them there, whatever they are; None: each to where it came from."""
    completions: str
    """For what we tell the world, where nobody says where it came from."""
    requests: str
    """For everything else."""


class Letters(Protocol):
    """A subscription of dead letters; `infra.dead_letters` has the contract."""

    def hold(self, limit: int) -> Iterator[list[DeadLetter]]:
        """Yield letters in parts."""
        ...

    def release(self, letters: Sequence[DeadLetter]) -> None:
        """Give letters back."""
        ...

    def forget(self, letters: Sequence[DeadLetter]) -> None:
        """Take letters out for good."""
        ...

    def topic_of(self, marks: DeadLetterMarks) -> str | None:
        """Return the topic of the original."""
        ...


def list_letters(letters: Letters, limit: int) -> tuple[DeadLetterLine, ...]:
    """Describe up to ``limit`` letters, oldest first, and leave all of them where they are; raises OrgError."""
    held: list[DeadLetter] = []
    try:
        for part in letters.hold(limit):
            held.extend(part)
    finally:
        letters.release(held)
    return _in_order(line_of(letter, judge_dead_letter(letter.message), None) for letter in held)


def replay_letters(letters: Letters, bus: Bus, limit: int, topics: Topics) -> tuple[DeadLetterLine, ...]:
    """Publish up to ``limit`` letters again and take them out; raises OrgError.

    A part is taken out only when the bus has all of it: what is cut short is replayed twice rather than not at all, under
    the same ids.
    """
    replayed: list[DeadLetterLine] = []
    for part in letters.hold(limit):
        try:
            outgoing: list[Message] = []
            lines: list[DeadLetterLine] = []
            for letter in part:
                judged = judge_dead_letter(letter.message)
                usual = topics.completions if _is_ours(judged) else topics.requests
                target = topics.wanted or letters.topic_of(letter.marks) or usual
                attributes, data = replay_of(letter.message, judged)
                clean = {name: value for name, value in attributes.items() if name not in UNPUBLISHABLE}
                outgoing.append(Message(target, clean, data))
                lines.append(line_of(letter, judged, target))
            bus.publish_many(outgoing)
        except BaseException:
            letters.release(part)
            raise
        letters.forget(part)
        replayed.extend(lines)
    return _in_order(replayed)


def line_of(letter: DeadLetter, judged: Judged, replayed_to: str | None) -> DeadLetterLine:
    """Describe a letter without its content."""
    key = judged.key
    return DeadLetterLine(
        message_id=letter.message.delivery.message_id,
        published_at=letter.marks.published_at,
        dead_since=letter.message.delivery.publish_time,
        subscription=letter.marks.subscription,
        deliveries=letter.marks.deliveries,
        type=None if isinstance(judged, Rejection) else judged.type,
        org_id=judged.org_id if isinstance(judged, Event | Rejection) else None,
        event=None if key is None else EventRef(source=key.source, id=key.id),
        size_bytes=len(letter.message.data),
        reasons=tuple(sorted({reason.code for reason in judged.reasons})) if isinstance(judged, Rejection) else (),
        replayed_to=replayed_to,
    )


def _is_ours(judged: Judged) -> bool:
    return not isinstance(judged, Rejection) and judged.type in OUTGOING


def _in_order(lines: Iterable[DeadLetterLine]) -> tuple[DeadLetterLine, ...]:
    """Oldest first; those of unknown age at the end."""
    return tuple(sorted(lines, key=lambda line: (line.dead_since is None, str(line.dead_since), line.message_id or "")))
