"""Rows of email_schedules as columns: plain ones to work with, and packed ones to keep millions of."""

from dataclasses import dataclass, fields
from typing import Final, TypeAlias

import numpy as np

from core.planning.columns import NO_DAY, NULL_ID, Bool, Int16, Int32, Int64
from core.planning.growing import Growing

_MIDDLE_DAY: Final = 20_000
"""Days of 89 years before and after 2024 fit into 16 bits; chunks that reach further are kept in 32."""
_SHORT_NO_DAY: Final = -(2**15)

ShortOrInt: TypeAlias = Int16 | Int32
IntOrLong: TypeAlias = Int32 | Int64


@dataclass(frozen=True, slots=True)
class ScheduleRows:
    """Rows of email_schedules; ``kind`` indexes the ``kinds`` of the Schedule that holds them."""

    row_id: Int64
    contact_id: Int64
    instance_id: Int64
    """NULL_ID where NULL."""
    parent_id: Int64
    """NULL_ID where NULL."""
    event_day: Int32
    """R6; NO_DAY where the stored text is no date (such a row has no identity that a plan could have)."""
    send_day: Int32
    """Owned rows: scheduled_send_date. Locked rows: R5. NO_DAY where unusable."""
    send_second: Int32
    """Second of the day of actual_send_datetime, 0 without one (R82)."""
    kind: Int32

    def __len__(self) -> int:
        return len(self.row_id)

    def take(self, rows: Int64 | Bool | slice) -> "ScheduleRows":
        """Return some rows, in the order given."""
        return ScheduleRows(*(getattr(self, f.name)[rows] for f in fields(self)))

    def contact_ids(self, rows: Int64) -> Int64:
        """Return the contacts of some rows."""
        return self.contact_id.take(rows)

    def event_days(self, part: slice) -> Int32:
        """Return the event days of a part of the rows."""
        return self.event_day[part]

    def send_days(self, part: slice) -> Int32:
        """Return the send days of a part of the rows."""
        return self.send_day[part]

    def kinds_of(self, part: slice) -> Int32:
        """Return the kinds of a part of the rows."""
        return self.kind[part]

    def contact_and_event(self, rows: Int64) -> tuple[Int64, Int32]:
        """Return the contact and the event day of some rows."""
        return self.contact_id[rows], self.event_day[rows]

    def content(self, rows: Int64) -> tuple[Int32, Int32, Int64]:
        """Return kind, send day and instance of some rows: what R90 compares of rows that are about one event."""
        return self.kind[rows], self.send_day[rows], self.instance_id[rows]


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The same in 14 bytes a row instead of 48; a column is unpacked when it is asked for, so ask for parts (``take``).

    Ids are kept in 32 bits and days in 16 where all of them fit. An instance is a property of the kind, and a parent,
    which few rows have, is looked up.
    """

    short_row_id: IntOrLong
    short_contact_id: IntOrLong
    short_event_day: ShortOrInt
    short_send_day: ShortOrInt
    short_kind: ShortOrInt
    instances: Int64
    """Of each kind; NULL_ID where NULL."""
    followers: Int64
    """The rows that have a parent, ascending."""
    parents: Int64
    """Of each of ``followers``."""
    seconds: Int32
    """Second of the day of each row; empty where all are 0."""

    def __len__(self) -> int:
        return len(self.short_row_id)

    @property
    def row_id(self) -> Int64:
        """As in ScheduleRows."""
        return self.short_row_id.astype(np.int64)

    @property
    def contact_id(self) -> Int64:
        """As in ScheduleRows."""
        return self.short_contact_id.astype(np.int64)

    @property
    def instance_id(self) -> Int64:
        """As in ScheduleRows."""
        return self.instances[self.short_kind]

    @property
    def parent_id(self) -> Int64:
        """As in ScheduleRows."""
        ids = np.full(len(self), NULL_ID, dtype=np.int64)
        ids[self.followers] = self.parents
        return ids

    @property
    def event_day(self) -> Int32:
        """As in ScheduleRows."""
        return _long_days(self.short_event_day)

    @property
    def send_day(self) -> Int32:
        """As in ScheduleRows."""
        return _long_days(self.short_send_day)

    @property
    def send_second(self) -> Int32:
        """As in ScheduleRows."""
        return self.seconds if len(self.seconds) else np.zeros(len(self), dtype=np.int32)

    @property
    def kind(self) -> Int32:
        """As in ScheduleRows."""
        return self.short_kind.astype(np.int32)

    def take(self, rows: Int64 | Bool | slice) -> ScheduleRows:
        """Return some rows, in the order given, unpacked."""
        kind = self.short_kind[rows].astype(np.int32)
        return ScheduleRows(
            row_id=self.short_row_id[rows].astype(np.int64),
            contact_id=self.short_contact_id[rows].astype(np.int64),
            instance_id=self.instances[kind],
            parent_id=self._parents_of(rows),
            event_day=_long_days(self.short_event_day[rows]),
            send_day=_long_days(self.short_send_day[rows]),
            send_second=self.seconds[rows] if len(self.seconds) else np.zeros(len(kind), dtype=np.int32),
            kind=kind,
        )

    def contact_ids(self, rows: Int64) -> Int64:
        """As in ScheduleRows."""
        return self.short_contact_id.take(rows).astype(np.int64)

    def event_days(self, part: slice) -> Int32:
        """As in ScheduleRows."""
        return _long_days(self.short_event_day[part])

    def send_days(self, part: slice) -> Int32:
        """As in ScheduleRows."""
        return _long_days(self.short_send_day[part])

    def kinds_of(self, part: slice) -> ShortOrInt:
        """As in ScheduleRows, as narrow as it is kept."""
        return self.short_kind[part]

    def contact_and_event(self, rows: Int64) -> tuple[Int64, Int32]:
        """Return the contact and the event day of some rows."""
        return self.short_contact_id[rows].astype(np.int64), _long_days(self.short_event_day[rows])

    def content(self, rows: Int64) -> tuple[Int32, Int32, Int64]:
        """As in ScheduleRows."""
        kind = self.short_kind[rows].astype(np.int32)
        return kind, _long_days(self.short_send_day[rows]), self.instances[kind]

    def _parents_of(self, rows: Int64 | Bool | slice) -> Int64:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        elif rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        if not len(self.followers):
            return np.full(len(rows), NULL_ID, dtype=np.int64)
        found = np.minimum(np.searchsorted(self.followers, rows), len(self.followers) - 1)
        return np.where(self.followers[found] == rows, self.parents[found], NULL_ID)


StoredRows: TypeAlias = ScheduleRows | PackedRows


class RowCollector:
    """Packs rows as they are read, chunk by chunk."""

    def __init__(self) -> None:
        self._row_id = Growing[IntOrLong](_NO_SHORT_IDS)
        self._contact_id = Growing[IntOrLong](_NO_SHORT_IDS)
        self._event_day, self._send_day = _GrowingDays(), _GrowingDays()
        self._kind = Growing[ShortOrInt](np.zeros(0, dtype=np.int16))
        self._followers, self._parents = Growing[Int64](_NO_IDS), Growing[Int64](_NO_IDS)
        self._second = Growing[Int32](_NO_SHORT_IDS)
        self._has_seconds = False
        self._count = 0

    def add(self, rows: ScheduleRows) -> None:
        """Append the rows of a chunk."""
        self._row_id.add(rows.row_id, _id_type(rows.row_id))
        self._contact_id.add(rows.contact_id, _id_type(rows.contact_id))
        self._event_day.add(rows.event_day)
        self._send_day.add(rows.send_day)
        self._kind.add(_short_kinds(rows.kind))
        followers = np.flatnonzero(rows.parent_id != NULL_ID)
        self._followers.add(followers + self._count)
        self._parents.add(rows.parent_id[followers])
        if not self._has_seconds and bool(rows.send_second.any()):
            self._has_seconds = True
            self._second.add(np.zeros(self._count, dtype=np.int32))
        if self._has_seconds:
            self._second.add(rows.send_second)
        self._count += len(rows)

    def rows(self, instances: Int64) -> StoredRows:
        """Return all rows by ascending row id. ``instances`` are those of the kinds."""
        row_id = self._row_id.column()
        packed = PackedRows(
            row_id,
            self._contact_id.column(),
            self._event_day.column(),
            self._send_day.column(),
            self._kind.column(),
            instances,
            self._followers.column(),
            self._parents.column(),
            self._second.column(),
        )
        if bool(np.all(row_id[1:] > row_id[:-1])):
            return packed
        return packed.take(np.argsort(row_id, kind="stable"))


class _GrowingDays:
    """Days, in 16 bits as long as all of them fit."""

    def __init__(self) -> None:
        self._days = Growing[ShortOrInt](np.zeros(0, dtype=np.int16))

    def add(self, days: Int32) -> None:
        short = _short_days(days)
        so_far = self._days.column()
        if short.dtype != so_far.dtype:
            if so_far.dtype == np.int16:
                self._days = Growing[ShortOrInt](_long_days(so_far))
            short = days
        self._days.add(short)

    def column(self) -> ShortOrInt:
        return self._days.column()


_NO_IDS: Final = np.zeros(0, dtype=np.int64)
_NO_SHORT_IDS: Final = np.zeros(0, dtype=np.int32)


def _id_type(ids: Int64) -> type[np.int32 | np.int64]:
    """Return the shorter type that holds some ids."""
    fits = not len(ids) or (int(ids.min()) >= -(2**31) and int(ids.max()) < 2**31)
    return np.int32 if fits else np.int64


def _short_kinds(kind: Int32) -> ShortOrInt:
    return kind.astype(np.int16) if int(kind.max(initial=0)) < 2**15 else kind


def _short_days(days: Int32) -> ShortOrInt:
    first, last = int(days.min(initial=_MIDDLE_DAY)), int(days.max(initial=_MIDDLE_DAY))
    if first > _MIDDLE_DAY + _SHORT_NO_DAY and last < _MIDDLE_DAY + 2**15:  # all are dates, and near
        return (days - np.int32(_MIDDLE_DAY)).astype(np.int16)
    known = days != NO_DAY
    short = np.where(known, days - np.int32(_MIDDLE_DAY), 0)
    if int(short.min(initial=0)) <= _SHORT_NO_DAY or int(short.max(initial=0)) >= 2**15:
        return days
    return np.where(known, short, _SHORT_NO_DAY).astype(np.int16)


def _long_days(days: ShortOrInt) -> Int32:
    if days.dtype != np.int16:
        return days.astype(np.int32)
    return np.where(days != _SHORT_NO_DAY, days.astype(np.int32) + np.int32(_MIDDLE_DAY), np.int32(NO_DAY))
