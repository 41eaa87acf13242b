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
from core.planning.ordering import dense_keys
from core.planning.places import ContactPlaces
from core.planning.rows import PlannedRows
from core.planning.schedule import Schedule, is_followup, null_to_zero
from core.planning.schedule_rows import PackedRows, ScheduleRows, StoredRows
from core.planning.snapshot import RowKind

_NO_EVENT: Final = -100_000
"""Stands for a date that cannot be read: a day that no mail is about, close enough to the others to keep keys small."""
_FOLLOWUPS: Final = 0
_LAYOUTS_MAX: Final = 32
_LAYOUT_ROWS_MIN: Final = 1024
_NONE: Final = np.int32(-1)

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
    types = {k.email_type for k in (*rows.kinds, *schedule.kinds)}
    matcher = _Matcher(rows, schedule, {name: i + 1 for i, name in enumerate(sorted(types))})
    matcher.match_by_contact()
    matcher.match_by_key()
    return matcher.matches()


class _Matcher:
    """Works out Matches: first by contact, then by key."""

    def __init__(self, rows: PlannedRows, schedule: Schedule, type_number: dict[str, int]) -> None:
        self._rows = rows
        self._schedule = schedule
        self._type_number = type_number
        self._places = ContactPlaces(rows.contact_ids)
        self._held = np.zeros(len(rows), dtype=np.bool_)
        self._owned_row = np.full(len(rows), _NONE, dtype=np.int32)
        self._open = np.ones(len(schedule.owned), dtype=np.bool_)
        """Owned rows that nothing is known of yet."""
        self._extra: list[Int64] = []
        self._by_key: list[Int64] = []
        """Planned rows that are not laid out by contact."""

    def match_by_contact(self) -> None:
        """Match the types of many rows."""
        planned, owned, locked = self._codes()
        counts = _counts(planned)
        large = np.flatnonzero(counts >= max(_LAYOUT_ROWS_MIN, len(self._rows) // _LAYOUTS_MAX))
        large = large[large != _FOLLOWUPS]
        laid_out = np.zeros(len(counts), dtype=np.bool_)
        laid_out[large] = True
        self._by_key.append(np.flatnonzero(~laid_out[planned]))
        for code in large.tolist():
            layout = self._lay_out(np.flatnonzero(planned == code))
            for here in _parts(np.flatnonzero(locked == code)):
                self._held[self._same(layout, self._schedule.locked, here)[1]] = True
            for here in _parts(np.flatnonzero(owned == code)):
                self._pair(*self._same(layout, self._schedule.owned, here))

    def match_by_key(self) -> None:
        """Match the rows that are not laid out by contact, and nothing else: few, as a rule."""
        planned = np.concatenate(self._by_key)
        asked = np.zeros(len(self._rows.contact_ids) + 1, dtype=np.bool_)  # the last one stands for nobody
        asked[self._rows.contact[planned]] = True
        owned_rows = self._asked(self._schedule.owned, np.flatnonzero(self._open), asked)
        locked_rows = self._asked(self._schedule.locked, None, asked)
        few = self._rows.take(planned)
        owned = self._schedule.owned.take(owned_rows)
        planned_key, owned_key, locked_key = dense_keys(
            [
                identity_columns(
                    few.contact_id,
                    few.instance_id,
                    few.parent_id,
                    few.event_day,
                    few.kind,
                    few.kinds,
                    self._type_number,
                ),
                self._identity(owned),
                self._identity(self._schedule.locked.take(locked_rows)),
            ]
        )
        if not len(planned):
            return
        order = np.argsort(planned_key, kind="stable")
        in_order = planned_key[order]
        place = np.minimum(np.searchsorted(in_order, locked_key), len(order) - 1)
        self._held[planned[order[place[in_order[place] == locked_key]]]] = True
        place = np.minimum(np.searchsorted(in_order, owned_key), len(order) - 1)
        found = in_order[place] == owned_key
        self._pair(owned_rows[found], planned[order[place[found]]], owned.event_day[found] != NO_DAY)

    def matches(self) -> Matches:
        """Return what was found; what is open now is not planned."""
        rest = np.flatnonzero(self._open)
        rows = self._schedule.owned.take(rest)
        (key,) = dense_keys([self._identity(rows)])
        order = np.argsort(key, kind="stable")  # rows come by ascending row id
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
        few = (len(self._type_number) + 1) * size < 2**15

        def code(type_number: Int64, instance_id: Int64) -> Code:
            number = type_number * size + np.searchsorted(instances, null_to_zero(instance_id))
            number = np.where(type_number > 0, number, _FOLLOWUPS)
            return number.astype(np.int16) if few else number.astype(np.int32)

        planned: Code = np.empty(len(rows), dtype=np.int16) if few else np.empty(len(rows), dtype=np.int32)
        type_of_kind = self._types(rows.kinds)
        for part in parts_of(len(rows)):
            planned[part] = code(type_of_kind[rows.kind[part]], rows.links.instance_id[rows.link[part]])
        type_of_kind = self._types(schedule.kinds)
        owned, locked = (
            code(type_of_kind, part.instances)[part.short_kind]
            if isinstance(part, PackedRows)
            else code(type_of_kind[part.kind], part.instance_id)
            for part in stored
        )
        return planned, owned, locked

    def _types(self, kinds: Sequence[RowKind]) -> Int64:
        """Number the types of kinds from 1; 0 for follow-ups."""
        numbers = [0 if is_followup(k) else self._type_number[k.email_type] for k in kinds]
        return np.array(numbers or [0], dtype=np.int64)

    def _lay_out(self, planned: Int64) -> Int32:
        """Return the planned row of each contact, -1 for none and for nobody; a contact's other rows go by key."""
        layout = np.full(len(self._rows.contact_ids) + 1, _NONE, dtype=np.int32)
        contact = self._rows.contact[planned]
        layout[contact] = planned
        self._by_key.append(planned[layout[contact] != planned])
        return layout

    def _same(self, layout: Int32, stored: StoredRows, here: Int64) -> tuple[Int64, Int64]:
        """Return those of some stored rows whose contact's planned row has the same event, and these planned rows."""
        contact_id, event_day = stored.contact_and_event(here)
        planned = layout[self._places.of(contact_id)]
        same = (planned != _NONE) & (self._rows.event_day[planned] == event_day)
        return here[same], planned[same].astype(np.int64)

    def _pair(self, owned: Int64, planned: Int64, counts: Bool | None = None) -> None:
        """Note owned rows, ascending, with the planned row of each; ``counts``: whether a further one is a duplicate."""
        free = ~self._held[planned]
        owned, planned = owned[free], planned[free]
        new = self._owned_row[planned] == _NONE
        self._owned_row[planned[new][::-1]] = owned[new][::-1]  # of several, the last assignment stands
        first = self._owned_row[planned] == owned
        extra = ~first if counts is None else ~first & counts[free]
        self._open[owned[first | extra]] = False
        self._extra.append(owned[extra])

    def _asked(self, stored: StoredRows, among: Int64 | None, asked: Bool) -> Int64:
        found = [np.zeros(0, dtype=np.int64)]
        for part in parts_of(len(stored) if among is None else len(among)):
            here = np.arange(part.start, part.stop) if among is None else among[part]
            found.append(here[asked[self._places.of(stored.contact_and_event(here)[0])]])
        return np.concatenate(found)

    def _identity(self, rows: ScheduleRows) -> tuple[Int64, Int64, Int32, Int64]:
        return identity_columns(
            rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.kind, self._schedule.kinds,
            self._type_number,
        )  # fmt: skip


def identity_columns(  # the columns of R7 and the numbers of email types
    contact_id: Int64,
    instance_id: Int64,
    parent_id: Int64,
    event_day: Int32,
    kind: Int32,
    kinds: Sequence[RowKind],
    number: dict[str, int],
) -> tuple[Int64, Int64, Int32, Int64]:
    """A follow-up is its contact and parent; everything else is contact, type, instance and event (R7).

    Parent and event share a column, since no row has both; the type, 0 for follow-ups alone, keeps them apart.
    """
    follows = np.array([is_followup(k) for k in kinds] or [False], dtype=np.bool_)[kind]
    email_type = np.array([number[k.email_type] for k in kinds] or [0], dtype=np.int32)[kind]
    event = np.where(event_day == NO_DAY, _NO_EVENT, event_day)
    return (
        np.where(follows, null_to_zero(parent_id), event),
        contact_id,
        np.where(follows, 0, email_type).astype(np.int32),
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


def _parts(rows: Int64) -> Iterator[Int64]:
    return (rows[part] for part in parts_of(len(rows)))
