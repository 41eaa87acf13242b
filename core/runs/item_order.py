"""The items of a run's events one by one: which event they are of, where they stood in it, and when that was."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from core.runs.item_ports import UpsertOrder
from events.contact_payloads import ContactAnswer, ContactChanged, ContactClick, ContactItem
from events.mail_payloads import MailReport, MailReported
from events.payloads import EventRef, ItemsRejected, RejectedReason
from events.rejection import Reason, pointer_to
from events.types import Event, EventKey

AHEAD_MAX: Final = timedelta(minutes=5)
"""A moment that is further ahead of receipt is a clock that is wrong."""
RUN_ITEMS_MAX: Final = 20_000
"""Items that share a run, unless one event has more: the completion lists every claim, and a message has at most 10 MB."""
_SEQUENCE_DIGITS: Final = 20

Item = ContactItem | MailReport


@dataclass(frozen=True, slots=True)
class Origin:
    """The event of an item."""

    source: str
    event_id: str
    moment: datetime
    """When it happened: its time, else when Pub/Sub had it, else its receipt. Aware, UTC."""
    received: datetime
    order: UpsertOrder

    @property
    def ref(self) -> EventRef:
        """As it is told."""
        return EventRef(source=self.source, id=self.event_id)


@dataclass(frozen=True, slots=True)
class Numbered:
    """One item, and its position in the event as it was sent."""

    origin: Origin
    index: int
    item: Item


def utc_text(moment: datetime) -> str:
    """Return a moment as ours are stored: sorts as a text, and says what it has to."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


def item_count(event: Event) -> int:
    """Return how many items an event brings."""
    return len(event.data.items) if isinstance(event.data, ContactChanged | MailReported) else 0


def numbered_items(events: Iterable[Event], now: datetime) -> Iterator[Numbered]:
    """Yield the items of all contact.changed and mail.reported events, in their order of arrival."""
    for event in events:
        if not isinstance(event.data, ContactChanged | MailReported):
            continue
        origin = _origin(event, now)
        missing = frozenset(event.rejected_items)
        places = (index for index in range(len(event.data.items) + len(missing)) if index not in missing)
        for index, item in zip(places, event.data.items, strict=True):
            yield Numbered(origin, index, item)


class Refusals:
    """Items that a run refuses, and why; told by event, in the order in which events were met."""

    def __init__(self) -> None:
        self._reasons: dict[EventKey, list[Reason]] = {}
        self.count = 0

    def add(self, source: str, event_id: str, index: int, code: str, field: str | None = None) -> None:
        """Refuse one item, or what one field of it says."""
        pointer = pointer_to("data", "items", index, *([] if field is None else [field]))
        self._reasons.setdefault(EventKey(source, event_id), []).append(Reason(code, pointer))
        self.count += 1

    def told(self) -> tuple[ItemsRejected, ...]:
        """Return them as a completion carries them."""
        return tuple(
            ItemsRejected(
                event=EventRef(source=key.source, id=key.id),
                reasons=tuple(RejectedReason(code=r.code, pointer=r.pointer, message=r.message) for r in reasons),
            )
            for key, reasons in self._reasons.items()
        )


def without_future(items: Iterable[Numbered], refusals: Refusals) -> list[Numbered]:
    """Return the items without those that speak of the future; these are refused.

    It is judged here and not on the wire, because it depends on when the event was received: an event that comes again
    after it was carried must hear the same as the first time, and what a run says is kept.
    """
    good: list[Numbered] = []
    for one in items:
        named = _moment(one.item)
        if named is None or named[1] - one.origin.received <= AHEAD_MAX:
            good.append(one)
        else:
            refusals.add(one.origin.source, one.origin.event_id, one.index, "time_in_future", named[0])
    return good


def _moment(item: Item) -> tuple[str, datetime] | None:
    """The moment that an item itself names, with its field."""
    match item:
        case ContactClick():
            return "clicked_at", item.clicked_at
        case ContactAnswer():
            return "answered_at", item.answered_at
        case MailReport():
            return None if item.sent_at is None else ("sent_at", item.sent_at)
        case _:
            return None


def _origin(event: Event, now: datetime) -> Origin:
    received = event.received_at or now
    published = None if event.delivery is None else event.delivery.publish_time
    moment = event.time or published or received
    sequence = event.sequence or ""
    if sequence.isascii() and sequence.isdigit():
        sequence = sequence.zfill(_SEQUENCE_DIGITS)
    order = UpsertOrder(utc_text(moment), event.source, sequence, event.id)
    return Origin(event.source, event.id, moment, received, order)
