"""The mails of a plan in the making, as columns; every step of the pipeline takes Items and gives Items.

Three million contacts have ten million candidates. So what all candidates of a type or a campaign have in common is said
once, by their Source, and a candidate itself has 16 bytes.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from core.planning.columns import NO_DAY, Bool, Int8, Int16, Int32, Int64
from core.planning.reasons import is_exclusion

_NEVER_LATER: Final = -(2**30)
"""Days after the ideal date that lie before any floor: the deadline is the floor."""
_FIRST_ROWS: Final = 1024
_COLUMNS: Final = ("contact", "ideal", "target", "reason")
"""Columns that are copied as they are; a source has another number in other company."""

SourceNumbers: TypeAlias = Int16 | Int32


class Source(NamedTuple):
    """What all candidates of a built-in type, or of one campaign instance, have in common."""

    type_code: int
    """R36: birthday 1, effective_date 2, aep 3, post_window 4, campaign 5."""
    priority: int
    days_before: int = 0
    """From the ideal date to the event."""
    event: int | None = None
    """The event where it is the same for all (spread campaigns), whatever their ideal dates."""
    deadline_days: int | None = None
    """From the ideal date to the deadline; None: the deadline is ``deadline_floor``."""
    deadline_floor: int = NO_DAY
    """No deadline is before this day."""
    respects_windows: bool = True
    instance: int = -1
    """Position in the list of campaign instances, -1 for other types."""
    instance_id: int = 0
    """campaign_instance_id, 0 for other types (tie-breaks of R66, R70)."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of some items as columns over source numbers."""

    entries: tuple[Source, ...]
    type_code: Int8
    priority: Int64
    days_before: Int32
    event: Int32
    """NO_DAY where it depends on the ideal date."""
    has_event: bool
    """Whether it does not, anywhere."""
    deadline_days: Int32
    deadline_floor: Int32
    respects_windows: Bool
    instance: Int32
    instance_id: Int64


@lru_cache(maxsize=16)
def sources_of(entries: tuple[Source, ...]) -> Sources:
    """Tabulate sources; a source's number is its position."""
    later = [_NEVER_LATER if e.deadline_days is None else e.deadline_days for e in entries]
    return Sources(
        entries=entries,
        type_code=np.array([e.type_code for e in entries], dtype=np.int8),
        priority=np.array([e.priority for e in entries], dtype=np.int64),
        days_before=np.array([e.days_before for e in entries], dtype=np.int32),
        event=np.array([NO_DAY if e.event is None else e.event for e in entries], dtype=np.int32),
        has_event=any(e.event is not None for e in entries),
        deadline_days=np.array(later, dtype=np.int32),
        deadline_floor=np.array([e.deadline_floor for e in entries], dtype=np.int32),
        respects_windows=np.array([e.respects_windows for e in entries], dtype=np.bool_),
        instance=np.array([e.instance for e in entries], dtype=np.int32),
        instance_id=np.array([e.instance_id for e in entries], dtype=np.int64),
    )


@dataclass(frozen=True, slots=True)
class Items:
    """Candidate mails, follow-ups aside. Days are day numbers (R2); ``reason`` 0 means that the mail stands.

    Steps change ``target`` and ``reason`` in place. The other columns are worked out from source and ideal date.
    """

    contact: Int32
    """Row number in Contacts."""
    source: SourceNumbers
    """Index into ``sources``."""
    ideal: Int32
    """The send date the rules ask for; never moves."""
    target: Int32
    """The send date after smoothing, catch-up and the daily cap."""
    reason: Int16
    """Reason number, 0 while the mail stands."""
    sources: Sources

    def __len__(self) -> int:
        return len(self.contact)

    def take(self, rows: Int64 | Int32 | Bool | slice) -> "Items":
        """Return some items, in the order given."""
        return Items(
            self.contact[rows], self.source[rows], self.ideal[rows], self.target[rows], self.reason[rows], self.sources
        )

    def with_reason(self, reason: Int16) -> "Items":
        """Return the items with other reasons."""
        return Items(self.contact, self.source, self.ideal, self.target, reason, self.sources)

    @property
    def standing(self) -> Bool:
        """Whether each item is still to be sent."""
        stands: Bool = self.reason == 0
        return stands

    @property
    def checked(self) -> Int32:
        """The date on which a window was met (R51), the ideal date of items that met none."""
        return np.where(is_exclusion(self.reason), self.target, self.ideal)

    @property
    def type_code(self) -> Int8:
        """The type of each item (R36)."""
        codes: Int8 = self.sources.type_code[self.source]
        return codes

    @property
    def priority(self) -> Int64:
        """The priority of each item."""
        priorities: Int64 = self.sources.priority[self.source]
        return priorities

    @property
    def respects_windows(self) -> Bool:
        """Whether windows keep each item back."""
        respects: Bool = self.sources.respects_windows[self.source]
        return respects

    @property
    def instance(self) -> Int32:
        """Position of each item's campaign instance, -1 for other types."""
        positions: Int32 = self.sources.instance[self.source]
        return positions

    @property
    def instance_id(self) -> Int64:
        """campaign_instance_id of each item, 0 for other types."""
        ids: Int64 = self.sources.instance_id[self.source]
        return ids

    @property
    def event(self) -> Int32:
        """What each mail is about (R6)."""
        days: Int32 = self.ideal + self.sources.days_before[self.source]
        if self.sources.has_event:
            fixed = self.sources.event[self.source]
            np.copyto(days, fixed, where=fixed != NO_DAY)
        return days

    @property
    def deadline(self) -> Int32:
        """The last date on which each mail still makes sense."""
        days: Int32 = self.ideal + self.sources.deadline_days[self.source]
        return np.maximum(days, self.sources.deadline_floor[self.source], out=days)


def make_items(contact: Int64 | Int32, ideal: Int32, source: Source, reason: Int16 | None = None) -> Items:
    """Build the items of one source, on their ideal dates; all standing unless there are reasons."""
    days = ideal.astype(np.int32)
    return Items(
        contact=contact.astype(np.int32),
        source=np.zeros(len(contact), dtype=np.int16),
        ideal=days,
        target=days.copy(),
        reason=np.zeros(len(contact), dtype=np.int16) if reason is None else reason,
        sources=sources_of((source,)),
    )


def no_items() -> Items:
    """Return a table without rows."""
    days = np.zeros(0, dtype=np.int32)
    return Items(days, days, days, days, np.zeros(0, dtype=np.int16), sources_of(()))


class ItemStore:
    """Items that come in parts and are held once: a part is copied and forgotten.

    Room that is not used yet costs no memory, so there may be plenty of it.
    """

    def __init__(self, expected: int, sources_max: int) -> None:
        self._wide = sources_max > np.iinfo(np.int16).max
        self._columns = self._room(max(expected, _FIRST_ROWS))
        self._count = 0
        self._numbers: dict[Source, int] = {}

    def add(self, part: Items) -> None:
        """Append a part. Items given out before do not see it."""
        needed = self._count + len(part)
        if needed > len(self._columns):
            self._move_to(self._room(max(needed, len(self._columns) * 3 // 2)))
        here = slice(self._count, needed)
        numbers = [self._numbers.setdefault(entry, len(self._numbers)) for entry in part.sources.entries]
        self._columns.source[here] = numbers[0] if len(numbers) == 1 else np.array(numbers).take(part.source)
        for name in _COLUMNS:
            getattr(self._columns, name)[here] = getattr(part, name)
        self._count = needed

    def items(self) -> Items:
        """Return all items so far: the store's own columns."""
        return self._first(self._count)

    def with_room(self, items: Items, more: int) -> Items:
        """Return items with room for more rows after them; where they are the store's own, as ever, nothing is copied."""
        if len(items) != self._count or not np.may_share_memory(items.contact, self._columns.contact):
            self._count, self._numbers = 0, {}
            self.add(items)
        if self._count + more > len(self._columns):
            self._move_to(self._room(self._count + more))
        return self._first(self._count + more)

    def _first(self, count: int) -> Items:
        some = self._columns.take(slice(0, count))
        sources = sources_of(tuple(self._numbers))
        return Items(some.contact, some.source, some.ideal, some.target, some.reason, sources)

    def _room(self, rows: int) -> Items:
        days = (np.empty(rows, dtype=np.int32) for _ in range(3))
        numbers = np.empty(rows, dtype=np.int32) if self._wide else np.empty(rows, dtype=np.int16)
        return Items(next(days), numbers, next(days), next(days), np.empty(rows, dtype=np.int16), sources_of(()))

    def _move_to(self, room: Items) -> None:
        for name in ("source", *_COLUMNS):
            getattr(room, name)[: self._count] = getattr(self._columns, name)[: self._count]
        self._columns = room
