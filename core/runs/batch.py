"""Which events share a run, and how many of them."""

from dataclasses import dataclass
from datetime import date

from core.runs.item_order import RUN_ITEMS_MAX, item_count
from events.types import ConfigChanged, Event, EventKey, OrgId, RunRequested


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one org that share a run: same as_of, same wishes."""

    org_id: OrgId
    events: tuple[Event, ...]
    as_of: date | None = None
    force: bool = False
    create: bool = False

    @classmethod
    def of(cls, events: tuple[Event, ...]) -> "Batch":
        """Build the batch of events that ``batch_key`` puts together."""
        as_of, force, create, _ = batch_key(events[0])
        return cls(events[0].org_id, events, as_of, force, create)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much a run carries at most; the oldest event is carried however large it is."""

    events_max: int = 5_000
    items_max: int = RUN_ITEMS_MAX
    """Over all events; an event without items counts as one."""


BatchKey = tuple[date | None, bool, bool, EventKey | None]


def batch_key(event: Event) -> BatchKey:
    """Return what two events must agree on to share a run: as_of, force, create.

    A change of configuration runs alone: it may be refused, and must not take the events of others with it.
    """
    match event.data:
        case RunRequested() as wish:
            return wish.as_of, wish.force, wish.create, None
        case ConfigChanged():
            return None, False, False, event.key
        case _:
            return None, False, False, None


def is_urgent(event: Event) -> bool:
    """Whether somebody waits for a plan: data is as good in a minute, and others may bring more of it until then."""
    return isinstance(event.data, RunRequested | ConfigChanged)


def weight(event: Event) -> int:
    """Return the items of an event, at least one."""
    return max(1, item_count(event))
