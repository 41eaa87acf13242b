"""Which stored row is which planned row: equal identities (R7), found without sorting ten million of them.

Nearly all identities are a contact, a type (with a campaign instance) and an event, and nearly always a contact has one
planned row of a type. So the planned rows of one type are laid out by contact, and every stored row of that type looks
where its contact's row is. What does not fit - a second row of a type, follow-ups, types of few rows - is matched by
sorted keys; the two ways share nothing but the result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from core.planning.columns import NO_DAY, Bool, Int16, Int32, Int64, parts_of
from core.planning.ordering import dense_keys, stable_order
from core.planning.places import GAPS_MAX
from core.planning.rows import PlannedRows
from core.planning.rules import FOLLOWUP_PREFIX
from core.planning.schedule import Schedule, null_to_zero
from core.planning.schedule_rows import PackedRows, ScheduleRows, StoredRows
from core.planning.snapshot import RowKind

_NO_EVENT: Final = -100_000
"""Stands for a date that cannot be read: a day that no mail is about, close enough to the others to keep keys small."""
_FOLLOWUPS: Final = 0
_LAYOUTS_MAX: Final = 32
_LAYOUT_ROWS_MIN: Final = 1024
_LAID_OUT: Final = -1
"""Code of planned rows that are found by contact."""
_NONE: Final = np.int32(-1)
_EVENT_BITS: Final = 32
_EVENT_MASK: Final = 2**_EVENT_BITS - 1
_NOBODY: Final = 2**31 - 1
"""A layout's entry for no planned row: nothing is about that day."""

Code: TypeAlias = Int16 | Int32


@dataclass(frozen=True, slots=True)
class Matches:
    """What planned and owned rows have to do with each other."""

    held: Bool
    """Planned rows whose identity a locked row holds (R91)."""
    owned_row: Int32
    """By planned row: the owned row of the same identity with the lowest row id, -1 where there is none."""
    extra: Int64
    """Owned rows of an identity that a row with a lower id has already, ascending."""
    rest: Int64
    """Owned rows of identities that are not planned, ascending."""


def match_rows(rows: PlannedRows, schedule: Schedule) -> Matches:
    """Match a plan with the stored rows; rows that are held are matched with no owned row."""
    matcher = _Matcher(rows, schedule)
    matcher.match_by_contact()
    matcher.match_by_key()
    return matcher.matches()


class _Matcher:
    """Works out Matches: first by contact, then by key."""

    def __init__(self, rows: PlannedRows, schedule: Schedule) -> None:
        self._rows = rows
        self._schedule = schedule
        self._planned_types, self._stored_types = type_numbers(rows.kinds, schedule.kinds)
        self._places = _ContactSlots(rows.contact_ids)
        self._place_of_contact = self._places.of(rows.contact_ids).astype(np.int32)
        self._layout = np.empty(self._places.count, dtype=np.int64)
        self._held = np.zeros(len(rows), dtype=np.bool_)
        self._owned_row = np.full(len(rows), _NONE, dtype=np.int32)
        self._open = np.ones(len(schedule.owned), dtype=np.bool_)
        """Owned rows that nothing is known of yet."""
        self._extra: list[Int64] = []
        self._planned, self._owned, self._locked = self._codes()

    def match_by_contact(self) -> None:
        """Match the types of many rows; what is left of them is given the code of those that go by key."""
        counts = _counts(self._planned)
        large = np.flatnonzero(counts >= max(_LAYOUT_ROWS_MIN, len(self._rows) // _LAYOUTS_MAX))
        for code in large[large != _FOLLOWUPS].tolist():
            layout = self._lay_out(code)
            for here in _rows_of(self._locked, code):
                _, held, contact = self._same(layout, self._schedule.locked, here)
                self._held[held] = True
                layout[contact] = _NOBODY  # an owned row of this identity is none of the plan's (R91)
            for here in _rows_of(self._owned, code):
                self._pair(*self._same(layout, self._schedule.owned, here)[:2])

    def match_by_key(self) -> None:
        """Match the rows that are not laid out by contact, and nothing else: few, as a rule."""
        planned = np.flatnonzero(self._planned != _LAID_OUT)
        if not len(planned):
            return
        few = self._rows.take(planned)
        codes = np.zeros(int(max(c.max(initial=0) for c in (self._planned, self._owned, self._locked))) + 1, np.bool_)
        codes[self._planned[planned]] = True
        asked = np.zeros(self._places.count, dtype=np.bool_)
        asked[self._place_of_contact[few.contact]] = True
        owned_rows = self._asked(self._schedule.owned, np.flatnonzero(codes[self._owned] & self._open), asked)
        locked_rows = self._asked(self._schedule.locked, np.flatnonzero(codes[self._locked]), asked)
        owned = self._schedule.owned.take(owned_rows)
        types = self._planned_types[few.kind]
        planned_key, owned_key, locked_key = dense_keys(
            [
                identity_columns(few.contact_id, few.instance_id, few.parent_id, few.event_day, types),
                self._identity(owned),
                self._identity(self._schedule.locked.take(locked_rows)),
            ]
        )
        order = stable_order(planned_key)
        in_order = planned_key[order]
        place = np.minimum(np.searchsorted(in_order, locked_key), len(order) - 1)
        self._held[planned[order[place[in_order[place] == locked_key]]]] = True
        place = np.minimum(np.searchsorted(in_order, owned_key), len(order) - 1)
        found = in_order[place] == owned_key
        found &= ~self._held[planned[order[place]]]
        self._pair(owned_rows[found], planned[order[place[found]]], owned.event_day[found] != NO_DAY)

    def matches(self) -> Matches:
        """Return what was found; what is open now is not planned."""
        rest = np.flatnonzero(self._open)
        rows = self._schedule.owned.take(rest)
        (key,) = dense_keys([self._identity(rows)])
        order = stable_order(key)  # rows come by ascending row id
        repeats = np.zeros(len(order), dtype=np.bool_)
        repeats[1:] = key[order][1:] == key[order][:-1]
        repeats &= rows.event_day[order] != NO_DAY  # a date that cannot be read is no identity
        extra = np.sort(np.concatenate([*self._extra, rest[order[repeats]]]))
        return Matches(self._held, self._owned_row, extra, rest[np.sort(order[~repeats])])

    def _codes(self) -> tuple[Code, Code, Code]:
        """Number types with instances, alike in planned, owned and locked rows; _FOLLOWUPS for follow-ups."""
        rows, schedule = self._rows, self._schedule
        stored = (schedule.owned, schedule.locked)
        instances = np.unique(
            null_to_zero(np.concatenate([rows.links.instance_id, *(_instances(part) for part in stored)]))
        )
        size = len(instances)
        few = (int(max(self._planned_types.max(), self._stored_types.max())) + 1) * size < 2**15

        def place(instance_id: Int64) -> Int32:
            return np.searchsorted(instances, null_to_zero(instance_id)).astype(np.int32)

        def code(types: Int32, places: Int32) -> Code:
            number = np.where(types > 0, types * np.int32(size) + places, np.int32(_FOLLOWUPS))
            return number.astype(np.int16) if few else number

        planned: Code = np.empty(len(rows), dtype=np.int16) if few else np.empty(len(rows), dtype=np.int32)
        place_of_link = place(rows.links.instance_id)
        for part in parts_of(len(rows)):
            planned[part] = code(self._planned_types[rows.kind[part]], place_of_link[rows.link[part]])
        owned, locked = (
            code(self._stored_types, place(part.instances))[part.short_kind]
            if isinstance(part, PackedRows)
            else code(self._stored_types[part.kind], place(part.instance_id))
            for part in stored
        )
        return planned, owned, locked

    def _lay_out(self, code: int) -> Int64:
        """Return row and event of each contact's planned row, _NOBODY for none; its other rows keep their code."""
        layout = self._layout
        layout.fill(_NOBODY)
        for here in _rows_of(self._planned, code):
            place = self._place_of_contact[self._rows.contact[here]]
            laid_out = here << _EVENT_BITS | self._rows.event_day[here].astype(np.int64) & _EVENT_MASK
            free = layout[place] == _NOBODY
            layout[place[free]] = laid_out[free]
            self._planned[here[layout[place] == laid_out]] = _LAID_OUT
        return layout

    def _same(self, layout: Int64, stored: StoredRows, here: Int64) -> tuple[Int64, Int64, Int64]:
        """Return those of some stored rows whose contact's planned row has the same event, these, and the places."""
        contact_id, event_day = stored.contact_and_event(here)
        place = self._places.of(contact_id)
        found = layout[place]
        same = np.flatnonzero(found.astype(np.int32) == event_day)  # the low bits
        return here[same], found[same] >> _EVENT_BITS, place[same]

    def _pair(self, owned: Int64, planned: Int64, counts: Bool | None = None) -> None:
        """Note owned rows, ascending, with the planned row of each; ``counts``: whether a further one is a duplicate."""
        new = self._owned_row[planned] == _NONE
        self._owned_row[planned[new][::-1]] = owned[new][::-1]  # of several, the last assignment stands
        extra = self._owned_row[planned] != owned
        if counts is not None:
            extra, others = extra & counts, extra & ~counts
            owned, extra = owned[~others], extra[~others]
        self._open[owned] = False
        self._extra.append(owned[extra])

    def _asked(self, stored: StoredRows, among: Int64, asked: Bool) -> Int64:
        found = (here[asked[self._places.of(stored.contact_and_event(here)[0])]] for here in _parts(among))
        return np.concatenate([among[:0], *found])

    def _identity(self, rows: ScheduleRows) -> tuple[Int64, Int64, Int32, Int64]:
        types = self._stored_types[rows.kind]
        return identity_columns(rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, types)


class _ContactSlots:
    """Gives the contacts of an ascending list of ids a place each, from 1; 0 stands for all others.

    Where ids lie close together a place is how far an id is from the first, and ids between have places too: unlike
    ``ContactPlaces`` that takes no look-up.
    """

    def __init__(self, ids: Int64) -> None:
        self._ids = ids
        self._before = int(ids[0]) - 1 if len(ids) else 0
        span = int(ids[-1]) - self._before if len(ids) else 0
        self._close = span <= GAPS_MAX * len(ids)
        self.count = 1 + (span if self._close else len(ids))
        """Of places, 0 included."""

    def of(self, contact_id: Int64) -> Int64:
        """Return the place of each contact."""
        if self._close:
            place = contact_id - self._before
            place[(place < 0) | (place >= self.count)] = 0
            return place
        place = np.minimum(np.searchsorted(self._ids, contact_id), len(self._ids) - 1)
        return np.where(self._ids[place] == contact_id, place + 1, 0)


def type_numbers(*tables: Sequence[RowKind]) -> list[Int32]:
    """Number the email types of kinds from 1, alike in all tables; 0 for follow-ups, whose types are no identity."""
    names = sorted({kind.email_type for kinds in tables for kind in kinds})
    number = {name: 0 if name.startswith(FOLLOWUP_PREFIX) else i + 1 for i, name in enumerate(names)}
    return [np.array([number[kind.email_type] for kind in kinds] or [0], dtype=np.int32) for kinds in tables]


def identity_columns(
    contact_id: Int64, instance_id: Int64, parent_id: Int64, event_day: Int32, types: Int32
) -> tuple[Int64, Int64, Int32, Int64]:
    """A follow-up is its contact and parent; everything else is contact, type, instance and event (R7).

    Parent and event share a column, since no row has both; the type, 0 for follow-ups alone (``type_numbers``), keeps
    them apart.
    """
    follows = types == 0
    event = np.where(event_day == NO_DAY, _NO_EVENT, event_day)
    return (
        np.where(follows, null_to_zero(parent_id), event),
        contact_id,
        types,
        np.where(follows, 0, null_to_zero(instance_id)),
    )


def _instances(rows: StoredRows) -> Int64:
    return rows.instances if isinstance(rows, PackedRows) else rows.instance_id


def _counts(codes: Code) -> Int64:
    """Return how many rows have each code; counting all at once would need eight bytes a row."""
    counts = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.int64)
    for part in parts_of(len(codes)):
        counts += np.bincount(codes[part], minlength=len(counts))
    return counts


def _rows_of(codes: Code, code: int) -> Iterator[Int64]:
    """Yield the rows with a code part by part: all at once they would take eight bytes each (R98)."""
    for part in parts_of(len(codes)):
        here = np.flatnonzero(codes[part] == code)
        if len(here):
            yield here + part.start


def _parts(rows: Int64) -> Iterator[Int64]:
    return (rows[part] for part in parts_of(len(rows)))
