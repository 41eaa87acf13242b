"""The stored schedule as columns: the rows that are ours, and the locked ones that the sender has taken (R3-R5)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning import digest
from core.planning.columns import NO_DAY, NULL_ID, Bool, Int32, Int64, TextColumn, UInt64
from core.planning.rules import CAMPAIGN_PREFIX, COUNTING_STATUSES, FOLLOWUP_PREFIX, OWNED_STATUSES
from core.planning.schedule_rows import RowCollector, ScheduleRows, StoredRows
from core.planning.snapshot import RowKind, ScheduleChunk
from core.planning.text_dates import parse_dates, parse_exact_dates, parse_moments

_HISTORY_DAYS: Final = 800


@dataclass(frozen=True, slots=True)
class Schedule:
    """All stored rows, by ascending row id within each part."""

    owned: StoredRows
    locked: StoredRows
    kinds: tuple[RowKind, ...]
    """One per combination that is stored with a campaign instance: equal kinds may have several numbers."""
    owned_digest: UInt64 | None = None
    """Of the owned rows, where it was reckoned while they were read (R96)."""

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


def gather_schedule(chunks: Iterable[ScheduleChunk], *, first_day: int | None = None) -> Schedule:
    """Join stored rows into one table, whatever order and chunks they came in.

    Locked rows that are past history on ``first_day`` (see ``history_before``) are passed over.
    """
    numbers = _Kinds()
    owned, locked = RowCollector(), RowCollector()
    owned_digest = digest.zero()
    for chunk in chunks:
        kind = numbers.number(chunk.kinds, chunk.kind, chunk.campaign_instance_id)
        ours = np.array([k.status in OWNED_STATUSES for k in chunk.kinds] or [False], dtype=np.bool_)[chunk.kind]
        days = parse_exact_dates(chunk.event_date), parse_exact_dates(chunk.scheduled_send_date)
        rows = _owned(chunk, days, kind, np.flatnonzero(ours))
        owned_digest = owned_digest + digest_rows(rows, numbers.kinds)
        owned.add(rows)
        locked.add(_recent(_locked(chunk, days, kind, np.flatnonzero(~ours)), numbers.kinds, first_day))
    return Schedule(owned.rows(numbers.instances), locked.rows(numbers.instances), numbers.kinds, owned_digest)


def digest_rows(rows: ScheduleRows, kinds: Sequence[RowKind]) -> UInt64:
    """Return the digest of rows (R96)."""
    return digest.schedule_rows(
        rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.send_day, rows.kind, kinds
    )


def history_before(today: int) -> int:
    """Return the day before which mail that the sender has is history: no rule asks about it any more.

    The rules look back farthest for a mail of the same type around the occurrence before the current one: a year, the
    grace of the current one and the 180 days of R33, 726 days with the widest configuration. Campaign mail (R57) and
    follow-ups (R91) are asked about however old they are.
    """
    return today - _HISTORY_DAYS


def _recent(rows: ScheduleRows, kinds: Sequence[RowKind], first_day: int | None) -> ScheduleRows:
    if first_day is None:
        return rows
    always = np.array(
        [is_followup(k) or k.email_type.startswith(CAMPAIGN_PREFIX) for k in kinds] or [True], dtype=np.bool_
    )
    unknown = (rows.event_day == NO_DAY) | (rows.send_day == NO_DAY)
    recent = (rows.event_day >= first_day) | (rows.send_day >= first_day) | unknown | always[rows.kind]
    return rows if bool(recent.all()) else rows.take(recent)


class _Kinds:
    """Numbers the kinds of all chunks. An instance is part of a stored kind: few rows have one of many."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[RowKind, int], int] = {}

    def number(self, kinds: Sequence[RowKind], kind: Int32, instance_id: Int64) -> Int32:
        """Return the number of each row's kind and instance."""
        numbers = self._of([(k, NULL_ID) for k in kinds])[kind]
        rows = np.flatnonzero(instance_id != NULL_ID)
        if len(rows):
            instances, place = np.unique(instance_id[rows], return_inverse=True)
            pairs, place = np.unique(kind[rows] * np.int64(len(instances)) + place, return_inverse=True)
            found = (divmod(pair, len(instances)) for pair in pairs.tolist())
            numbers[rows] = self._of([(kinds[k], int(instances[i])) for k, i in found])[place]
        return numbers

    def _of(self, found: Sequence[tuple[RowKind, int]]) -> Int32:
        return np.array([self._numbers.setdefault(f, len(self._numbers)) for f in found] or [0], dtype=np.int32)

    @property
    def kinds(self) -> tuple[RowKind, ...]:
        return tuple(kind for kind, _ in self._numbers)

    @property
    def instances(self) -> Int64:
        return np.array([instance for _, instance in self._numbers] or [NULL_ID], dtype=np.int64)


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
