"""What a plan would change, in numbers that a person can read: rows that change alike are one line."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from core.planning.calendar import to_date
from core.planning.changes import ScheduleChanges
from core.planning.columns import NO_DAY, Bool, Int16, Int32, Int64
from core.planning.reasons import MISSED_SEND_DATE
from core.planning.schedule import Schedule
from core.planning.snapshot import RowKind
from handlers.cli_output import Change, ChangeKind, DayChange, Move

MOVES_MAX: Final = 1_000
"""Pairs of dates that are listed; an org that is planned a month later can have a few ten thousand."""


class Moves(NamedTuple):
    """Rows by the dates that they leave and go to, most rows first."""

    moves: tuple[Move, ...]
    left_out: int
    """Pairs beyond the limit."""


def list_changes(changes: ScheduleChanges, stored: Schedule) -> tuple[Change, ...]:
    """Count the rows that would change by what happens to them, type and reason, in the order of `ChangeKind`."""
    inserts, updates = changes.inserts, changes.updates
    before, before_day = _stored_rows(stored, updates.row_id)
    moved = before_day != updates.send_day
    none = np.full(len(inserts), -1, dtype=np.int32)
    lines = _count("insert", none, (), inserts.kind, inserts.kinds)
    for kind, rows in (("move", moved), ("update", ~moved)):
        lines += _count(kind, before[rows], stored.kinds, updates.kind[rows], updates.kinds)  # type: ignore[arg-type]
    for kind, row_ids, after in (
        ("delete", changes.delete_row_ids, None),
        ("missed", changes.missed_row_ids, MISSED_SEND_DATE),
    ):
        gone, _ = _stored_rows(stored, row_ids)
        lines += _count_gone(kind, gone, stored.kinds, after)  # type: ignore[arg-type]
    return tuple(lines)


def list_moves(changes: ScheduleChanges, stored: Schedule) -> Moves:
    """Count the rows that would get another send date, by type and both dates."""
    updates = changes.updates
    _, before_day = _stored_rows(stored, updates.row_id)
    moved = before_day != updates.send_day
    types = sorted({kind.email_type for kind in updates.kinds})
    number = np.array([types.index(kind.email_type) for kind in updates.kinds] or [0], dtype=np.int32)
    columns = np.stack((number[updates.kind[moved]], before_day[moved], updates.send_day[moved]))
    pairs, counts = np.unique(columns, axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    moves = tuple(
        Move(email_type=types[name], from_day=_date(old), to_day=to_date(new), rows=rows)
        for (name, old, new), rows in zip(
            pairs.T[order[:MOVES_MAX]].tolist(), counts[order[:MOVES_MAX]].tolist(), strict=True
        )
    )
    return Moves(moves, max(0, len(order) - MOVES_MAX))


def list_days(changes: ScheduleChanges, stored: Schedule) -> tuple[DayChange, ...]:
    """Count, per day, the mails to be sent that come, go and change; a stored date that cannot be read is no day."""
    flows = _Flows()
    inserts, updates = changes.inserts, changes.updates
    flows.add("added", inserts.send_day[_stands(inserts.kinds)[inserts.kind]])
    kind, day = _stored_rows(stored, updates.row_id)
    stood, stands = _stands(stored.kinds)[kind], _stands(updates.kinds)[updates.kind]
    moved = stood & stands & (day != updates.send_day)
    flows.add("moved_out", day[moved])
    flows.add("moved_in", updates.send_day[moved])
    flows.add("changed", day[stood & stands & ~moved])
    flows.add("dropped", day[stood & ~stands])
    flows.add("added", updates.send_day[~stood & stands])
    for row_ids in (changes.delete_row_ids, changes.missed_row_ids):
        kind, day = _stored_rows(stored, row_ids)
        flows.add("dropped", day[_stands(stored.kinds)[kind]])
    before = _per_day(stored.owned.send_day[_stands(stored.kinds)[stored.owned.kind]])
    return flows.days(before)


class _Flows:
    """What comes and goes, by kind and day."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[int]] = {
            name: Counter() for name in ("added", "moved_in", "moved_out", "dropped", "changed")
        }

    def add(self, name: str, days: Int32) -> None:
        self._counts[name].update(_per_day(days))

    def days(self, before: Mapping[int, int]) -> tuple[DayChange, ...]:
        found = []
        for day in sorted(set().union(*self._counts.values())):
            flow = {name: counts[day] for name, counts in self._counts.items()}
            had = before.get(day, 0)
            after = had + flow["added"] + flow["moved_in"] - flow["moved_out"] - flow["dropped"]
            found.append(DayChange(day=to_date(day), before=had, after=after, **flow))
        return tuple(found)


def _stands(kinds: tuple[RowKind, ...]) -> Bool:
    """Return a table over kind numbers: which are to be sent."""
    return np.array(
        [kind.skip_reason is None and kind.status != "skipped" for kind in kinds] or [False], dtype=np.bool_
    )


def _per_day(days: Int32) -> dict[int, int]:
    numbers, counts = np.unique(days[days != NO_DAY], return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _stored_rows(stored: Schedule, row_ids: Int64) -> tuple[Int32, Int32]:
    """Return kind and send day of owned rows; they exist: the changes were made from them."""
    owned = stored.owned
    place = np.searchsorted(owned.row_id, row_ids)
    return owned.kind[place], owned.send_day[place]


def _count(
    change: ChangeKind,
    before: Int32,
    before_kinds: tuple[RowKind, ...],
    after: Int32 | Int16,
    after_kinds: tuple[RowKind, ...],
) -> list[Change]:
    """Count pairs of kinds; -1 before: there is no such row yet."""
    pairs, counts = np.unique(np.stack((before, after)), axis=1, return_counts=True)
    found = (
        (
            after_kinds[new].email_type,
            None if old < 0 else before_kinds[old].skip_reason,
            after_kinds[new].skip_reason,
            rows,
        )
        for (old, new), rows in zip(pairs.T.tolist(), counts.tolist(), strict=True)
    )
    return _summed(change, found)


def _count_gone(change: ChangeKind, kind: Int32, kinds: tuple[RowKind, ...], after: str | None) -> list[Change]:
    numbers, counts = np.unique(kind, return_counts=True)
    found = (
        (kinds[number].email_type, kinds[number].skip_reason, after, rows)
        for number, rows in zip(numbers.tolist(), counts.tolist(), strict=True)
    )
    return _summed(change, found)


def _summed(change: ChangeKind, found: Iterable[tuple[str, str | None, str | None, int]]) -> list[Change]:
    """Add up kinds that differ only in what is not shown (priority, templates, send time)."""
    sums: dict[tuple[str, str | None, str | None], int] = {}
    for email_type, before, after, rows in found:
        key = (email_type, before, after)
        sums[key] = sums.get(key, 0) + rows
    return [
        Change(kind=change, email_type=email_type, reason_before=before, reason_after=after, rows=rows)
        for (email_type, before, after), rows in sorted(
            sums.items(), key=lambda item: (item[0][0], item[0][1] or "", item[0][2] or "")
        )
    ]


def _date(day: int) -> date | None:
    return None if day == NO_DAY else to_date(day)
