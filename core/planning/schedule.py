"""The stored schedule as columns: the rows that are ours, and the locked ones that the sender has taken (R3-R5)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Final

import numpy as np

from core.planning import digest
from core.planning.columns import NO_DAY, NULL_ID, Bool, Int32, Int64, UInt64
from core.planning.rules import CAMPAIGN_PREFIX, COUNTING_STATUSES, FOLLOWUP_PREFIX, OWNED_STATUSES
from core.planning.schedule_rows import RowCollector, ScheduleRows, StoredRows
from core.planning.snapshot import RowKind, ScheduleChunk
from core.planning.text_dates import DateColumn, parse_dates, parse_moments

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
    kinds = _Kinds()
    owned, locked = RowCollector(), RowCollector()
    owned_digest = digest.zero()
    for chunk in chunks:
        number = kinds.numbers(chunk.kinds)
        kind = number[chunk.kind]
        ours = kinds.owned[kind]
        if bool(ours.any()):
            rows = _owned(chunk, kind, kinds.instances, None if bool(ours.all()) else ours.nonzero()[0])
            owned_digest = owned_digest + _digest(rows, kinds.digests)
            owned.add(rows)
        if not bool(ours.all()):
            locked.add(_locked(chunk, kind, kinds, ~ours, first_day))
    return Schedule(owned.rows(kinds.instances), locked.rows(kinds.instances), kinds.kinds, owned_digest)


def digest_rows(rows: ScheduleRows, kinds: Sequence[RowKind]) -> UInt64:
    """Return the digest of rows (R96)."""
    return digest.schedule_rows(
        rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.send_day, rows.kind, kinds
    )


def _digest(rows: ScheduleRows, kinds: digest.KindDigests) -> UInt64:
    return digest.rows_of_kinds(
        rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.send_day, rows.kind, kinds
    )


def history_before(today: int) -> int:
    """Return the day before which mail that the sender has is history: no rule asks about it any more.

    The rules look back farthest for a mail of the same type around the occurrence before the current one: a year, the
    grace of the current one and the 180 days of R33, 726 days with the widest configuration. Campaign mail (R57) and
    follow-ups (R91) are asked about however old they are.
    """
    return today - _HISTORY_DAYS


class _Kinds:
    """Numbers the kinds of all chunks. An instance is part of a stored kind: few rows have one of many."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[RowKind, int], int] = {}
        self._last: tuple[tuple[RowKind, int], ...] | None = None
        self._last_numbers = np.zeros(1, dtype=np.int32)
        self._tabulate()

    def numbers(self, kinds: tuple[tuple[RowKind, int], ...]) -> Int32:
        """Return the number of each of a chunk's kinds; the chunks of one table have mostly the same."""
        if kinds is not self._last:
            if new := [kind for kind in dict.fromkeys(kinds) if kind not in self._numbers]:
                self._numbers.update(zip(new, count(len(self._numbers)), strict=False))
                self._tabulate()
            found = [self._numbers[kind] for kind in kinds]
            self._last, self._last_numbers = kinds, np.array(found or [0], dtype=np.int32)
        return self._last_numbers

    def _tabulate(self) -> None:
        self.kinds = tuple([kind for kind, _ in self._numbers])
        self.instances = np.array([instance for _, instance in self._numbers] or [NULL_ID], dtype=np.int64)
        self.owned, self.always_asked, self.digests = _kind_tables(self.kinds)


@lru_cache(maxsize=16)
def _kind_tables(kinds: tuple[RowKind, ...]) -> tuple[Bool, Bool, digest.KindDigests]:
    """Return which kinds are ours, which are asked about however old they are, and what they add to digests."""
    owned = np.array([k.status in OWNED_STATUSES for k in kinds] or [False], dtype=np.bool_)
    always = [is_followup(k) or k.email_type.startswith(CAMPAIGN_PREFIX) for k in kinds]
    return owned, np.array(always or [True], dtype=np.bool_), digest.kind_digests(kinds)


def _owned(chunk: ScheduleChunk, kind: Int32, instances: Int64, some: Int64 | None) -> ScheduleRows:
    """Return some rows of a chunk, or all."""
    rows = ScheduleRows(
        row_id=chunk.row_id,
        contact_id=chunk.contact_id,
        instance_id=instances[kind],
        parent_id=chunk.parent_schedule_id,
        event_day=chunk.event_date.days,
        send_day=chunk.scheduled_send_date.days,
        send_second=np.zeros(len(kind), dtype=np.int32),
        kind=kind,
    )
    return rows if some is None else rows.take(some)


def _locked(chunk: ScheduleChunk, kind: Int32, kinds: _Kinds, locked: Bool, first_day: int | None) -> ScheduleRows:
    """Return the locked rows of a chunk that a rule may ask about."""
    event_day, send_day = _lenient(chunk.event_date), _lenient(chunk.scheduled_send_date).copy()
    second = np.zeros(len(kind), dtype=np.int32)
    sent = chunk.actual_send_datetime
    if len(sent.rows):
        day, second_of_day = parse_moments(sent.texts)
        known = day != NO_DAY
        at = sent.rows[known]
        send_day[at], second[at] = day[known], second_of_day[known]
    if first_day is not None:
        recent = (event_day >= first_day) | (send_day >= first_day)
        recent |= (event_day == NO_DAY) | (send_day == NO_DAY)
        locked &= recent | kinds.always_asked[kind]
    rows = locked.nonzero()[0]
    return ScheduleRows(
        row_id=chunk.row_id[rows],
        contact_id=chunk.contact_id[rows],
        instance_id=kinds.instances[kind[rows]],
        parent_id=chunk.parent_schedule_id[rows],
        event_day=event_day[rows],
        send_day=send_day[rows],
        send_second=second[rows],
        kind=kind[rows],
    )


def _lenient(dates: DateColumn) -> Int32:
    """Return days as R21 reads them."""
    if not len(dates.odd.rows):
        return dates.days
    days = dates.days.copy()
    days[dates.odd.rows], _ = parse_dates(dates.odd.texts)
    return days


def null_to_zero(ids: Int64) -> Int64:
    """Return ids with NULL as 0, as identities and tie-breaks read them (R7)."""
    return np.where(ids == NULL_ID, 0, ids)
