"""The stored schedule as columns: the rows that are ours, and the locked ones that the sender has taken (R3-R5)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from core.planning.columns import NO_DAY, NULL_ID, Bool, Int32, Int64, TextColumn
from core.planning.rules import COUNTING_STATUSES, FOLLOWUP_PREFIX, OWNED_STATUSES
from core.planning.snapshot import RowKind, ScheduleChunk
from core.planning.text_dates import parse_dates, parse_exact_dates, parse_moments

_FIRST_ROWS: Final = 1024


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

    def take(self, rows: Int64 | Bool) -> "ScheduleRows":
        """Return some rows, in the order given."""
        return ScheduleRows(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Schedule:
    """All stored rows, by ascending row id within each part."""

    owned: ScheduleRows
    locked: ScheduleRows
    kinds: tuple[RowKind, ...]

    def kinds_where(self, test: Callable[[RowKind], bool]) -> Bool:
        """Return a table over kind numbers: which kinds pass a test."""
        return np.array([test(k) for k in self.kinds] or [False], dtype=np.bool_)

    def locked_where(self, test: Callable[[RowKind], bool]) -> ScheduleRows:
        """Return the locked rows whose kind passes a test."""
        return self.locked.take(self.kinds_where(test)[self.locked.kind])

    def counting(self) -> ScheduleRows:
        """Return the locked rows that went out or will, with a day on which they do (R4, R5)."""
        rows = self.locked_where(lambda k: k.status in COUNTING_STATUSES)
        return rows.take(rows.send_day != NO_DAY)


def is_followup(kind: RowKind) -> bool:
    """Whether rows of a kind are follow-ups (R72, R73)."""
    return kind.email_type.startswith(FOLLOWUP_PREFIX)


def gather_schedule(chunks: Iterable[ScheduleChunk]) -> Schedule:
    """Join stored rows into one table, whatever order and chunks they came in."""
    numbers: dict[RowKind, int] = {}
    owned, locked = _Growing(), _Growing()
    for chunk in chunks:
        renumber = np.array([numbers.setdefault(k, len(numbers)) for k in chunk.kinds] or [0], dtype=np.int32)
        ours = np.array([k.status in OWNED_STATUSES for k in chunk.kinds] or [False], dtype=np.bool_)[chunk.kind]
        kind = renumber[chunk.kind]
        days = parse_exact_dates(chunk.event_date), parse_exact_dates(chunk.scheduled_send_date)
        owned.add(_owned(chunk, days, kind, np.flatnonzero(ours)))
        locked.add(_locked(chunk, days, kind, np.flatnonzero(~ours)))
    return Schedule(owned.rows(), locked.rows(), tuple(numbers))


class _Growing:
    """Columns that grow by chunks. Chunks are copied and forgotten: a list of them would be held twice while joined."""

    def __init__(self) -> None:
        self._columns = _no_rows()
        self._count = 0

    def add(self, chunk: ScheduleRows) -> None:
        """Append the rows of a chunk."""
        needed = self._count + len(chunk)
        if needed > len(self._columns):
            self._reserve(max(needed, len(self._columns) * 3 // 2, _FIRST_ROWS))
        for f in fields(ScheduleRows):
            getattr(self._columns, f.name)[self._count : needed] = getattr(chunk, f.name)
        self._count = needed

    def rows(self) -> ScheduleRows:
        """Return all rows by ascending row id."""
        rows = ScheduleRows(*(getattr(self._columns, f.name)[: self._count] for f in fields(ScheduleRows)))
        if bool(np.all(rows.row_id[1:] > rows.row_id[:-1])):
            return rows
        return rows.take(np.argsort(rows.row_id, kind="stable"))

    def _reserve(self, count: int) -> None:
        larger = ScheduleRows(
            *(np.empty(count, dtype=getattr(self._columns, f.name).dtype) for f in fields(ScheduleRows))
        )
        for f in fields(ScheduleRows):
            getattr(larger, f.name)[: self._count] = getattr(self._columns, f.name)[: self._count]
        self._columns = larger


def _no_rows() -> ScheduleRows:
    ids = np.zeros(0, dtype=np.int64)
    days = np.zeros(0, dtype=np.int32)
    return ScheduleRows(ids, ids, ids, ids, days, days, days, days)


def _owned(chunk: ScheduleChunk, days: tuple[Int32, Int32], kind: Int32, rows: Int64) -> ScheduleRows:
    return ScheduleRows(
        row_id=chunk.row_id[rows],
        contact_id=chunk.contact_id[rows],
        instance_id=chunk.campaign_instance_id[rows],
        parent_id=chunk.parent_schedule_id[rows],
        event_day=days[0][rows],
        send_day=days[1][rows],
        send_second=np.zeros(len(rows), dtype=np.int32),
        kind=kind[rows],
    )


def _locked(chunk: ScheduleChunk, days: tuple[Int32, Int32], kind: Int32, rows: Int64) -> ScheduleRows:
    actual_day, actual_second = parse_moments(chunk.actual_send_datetime.take(rows))
    scheduled_day = _lenient(chunk.scheduled_send_date, days[1], rows)
    return ScheduleRows(
        row_id=chunk.row_id[rows],
        contact_id=chunk.contact_id[rows],
        instance_id=chunk.campaign_instance_id[rows],
        parent_id=chunk.parent_schedule_id[rows],
        event_day=_lenient(chunk.event_date, days[0], rows),
        send_day=np.where(actual_day != NO_DAY, actual_day, scheduled_day).astype(np.int32),
        send_second=np.where(actual_day != NO_DAY, actual_second, 0).astype(np.int32),
        kind=kind[rows],
    )


def _lenient(dates: TextColumn, exact: Int32, rows: Int64) -> Int32:
    """Return the days of some rows as R21 reads them, given those that are exact dates."""
    days = exact[rows]
    odd = np.flatnonzero(days == NO_DAY)
    if len(odd):
        days[odd], _ = parse_dates(dates.take(rows[odd]))
    return days


def null_to_zero(ids: Int64) -> Int64:
    """Return ids with NULL as 0, as identities and tie-breaks read them (R7)."""
    return np.where(ids == NULL_ID, 0, ids)
