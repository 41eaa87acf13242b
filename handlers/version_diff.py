"""How two versions of a schedule differ, row by row: rows that differ alike are one line."""

from collections import Counter
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from core.planning.calendar import to_date
from core.planning.columns import NO_DAY, Bool, Int32, Int64
from core.planning.matching import identity_columns, type_numbers
from core.planning.ordering import dense_key, dense_keys
from core.planning.rules import OWNED_STATUSES
from core.planning.schedule import Schedule
from core.planning.schedule_rows import ScheduleRows
from core.planning.snapshot import RowKind
from handlers.cli_recovery_output import DateMove, RowChange, RowChangeKind

MOVES_MAX: Final = 1_000
"""Pairs of dates that are listed."""


class VersionDifference(NamedTuple):
    """Lines, most rows first within each kind of change."""

    changes: tuple[RowChange, ...]
    moves: tuple[DateMove, ...]
    moves_left_out: int
    """Pairs of dates beyond the limit."""
    unchanged: int


class _Side(NamedTuple):
    """All rows of one version, owned and locked, with the identity of each."""

    rows: ScheduleRows
    kinds: tuple[RowKind, ...]
    key: Int64


def compare_versions(before: Schedule, after: Schedule) -> VersionDifference:
    """Compare by identity (R7); of several rows of one identity the first goes with the first, and so on."""
    old, new = _sides(before, after)
    _, in_old, in_new = np.intersect1d(old.key, new.key, assume_unique=True, return_indices=True)
    number = {kind: i for i, kind in enumerate(dict.fromkeys((*old.kinds, *new.kinds)))}
    old_kind = _renumbered(old, number)[in_old]
    new_kind = _renumbered(new, number)[in_new]
    is_owned = np.array([kind.status in OWNED_STATUSES for kind in number] or [False], dtype=np.bool_)
    moved: Bool = old.rows.send_day[in_old] != new.rows.send_day[in_new]
    moved &= is_owned[old_kind] & is_owned[new_kind]  # the send day of a locked row is when it went out (R5)
    changed = ~moved & (old_kind != new_kind)
    kinds = tuple(number)
    dropped = np.setdiff1d(np.arange(len(old.key)), in_old)
    added = np.setdiff1d(np.arange(len(new.key)), in_new)
    none = np.full(0, -1, dtype=np.int32)
    changes = (
        *_lines("added", none, _renumbered(new, number)[added], kinds),
        *_lines("moved", old_kind[moved], new_kind[moved], kinds),
        *_lines("changed", old_kind[changed], new_kind[changed], kinds),
        *_lines("dropped", _renumbered(old, number)[dropped], none, kinds),
    )
    moves = _moves(kinds, new_kind[moved], old.rows.send_day[in_old][moved], new.rows.send_day[in_new][moved])
    return VersionDifference(
        changes, moves[:MOVES_MAX], len(moves[MOVES_MAX:]), int(np.count_nonzero(~moved & ~changed))
    )


def _sides(before: Schedule, after: Schedule) -> tuple[_Side, _Side]:
    joined = [_joined(schedule) for schedule in (before, after)]
    keys = dense_keys(
        [
            identity_columns(rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, types[rows.kind])
            for (rows, _), types in zip(joined, type_numbers(before.kinds, after.kinds), strict=True)
        ]
    )
    keys = dense_keys([(key, _occurrence(key)) for key in keys])
    old, new = (_Side(rows, kinds, key) for (rows, kinds), key in zip(joined, keys, strict=True))
    return old, new


def _joined(schedule: Schedule) -> tuple[ScheduleRows, tuple[RowKind, ...]]:
    """Put owned and locked rows into one table, by row id."""
    columns = [
        np.concatenate((getattr(schedule.owned, name), getattr(schedule.locked, name)))
        for name in ScheduleRows.__dataclass_fields__
    ]
    rows = ScheduleRows(*columns)
    return rows.take(np.argsort(rows.row_id, kind="stable")), schedule.kinds


def _occurrence(key: Int64) -> Int64:
    """Number the rows of each key: 0, 1, 2 in the order of the rows."""
    order = np.argsort(key, kind="stable")
    position = np.arange(len(key), dtype=np.int64)
    starts = np.ones(len(key), dtype=np.bool_)
    starts[1:] = key[order][1:] != key[order][:-1]
    out = np.zeros(len(key), dtype=np.int64)
    out[order] = position - np.maximum.accumulate(np.where(starts, position, 0))
    return out


def _renumbered(side: _Side, number: dict[RowKind, int]) -> Int32:
    table = np.array([number[kind] for kind in side.kinds] or [0], dtype=np.int32)
    return table[side.rows.kind]


def _lines(change: RowChangeKind, before: Int32, after: Int32, kinds: tuple[RowKind, ...]) -> list[RowChange]:
    """Count what differs alike; an empty side: the rows are not there."""
    rows = max(len(before), len(after))
    sides = [side if len(side) else np.full(rows, -1, dtype=np.int32) for side in (before, after)]
    _, first, counts = np.unique(dense_key(sides), return_index=True, return_counts=True)
    sums: Counter[tuple[str, str | None, str | None, str | None, str | None]] = Counter()
    for old, new, count in zip(*(side[first].tolist() for side in sides), counts.tolist(), strict=True):
        was, now = (None if kind < 0 else kinds[kind] for kind in (old, new))
        named = now or was
        if named is not None:
            sums[named.email_type, *_state(was), *_state(now)] += count
    return [
        RowChange(
            kind=change,
            email_type=email_type,
            status_before=status_before,
            reason_before=reason_before,
            status_after=status_after,
            reason_after=reason_after,
            rows=count,
        )
        for (email_type, status_before, reason_before, status_after, reason_after), count in sorted(
            sums.items(), key=lambda item: (-item[1], *(text or "" for text in item[0]))
        )
    ]


def _state(kind: RowKind | None) -> tuple[str | None, str | None]:
    return (None, None) if kind is None else (kind.status, kind.skip_reason)


def _moves(kinds: tuple[RowKind, ...], kind: Int32, before: Int32, after: Int32) -> tuple[DateMove, ...]:
    """Count the rows by type and both dates, most rows first."""
    types = sorted({k.email_type for k in kinds})
    number = np.array([types.index(k.email_type) for k in kinds] or [0], dtype=np.int32)
    columns = (number[kind], before, after)
    _, first, counts = np.unique(dense_key(columns), return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(
        DateMove(email_type=types[name], from_day=_date(old), to_day=_date(new), rows=rows)
        for name, old, new, rows in zip(
            *(column[first[order]].tolist() for column in columns), counts[order].tolist(), strict=True
        )
    )


def _date(day: int) -> date | None:
    return None if day == NO_DAY else to_date(day)
