"""Plan against stored rows: what to insert, update and delete, by event identity (R7, R90-R92)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning import digest
from core.planning.changes import IssueChanges, RowBatch, ScheduleChanges
from core.planning.columns import NO_DAY, Bool, Int32, Int64, UInt64
from core.planning.ordering import dense_keys
from core.planning.plan import Issues
from core.planning.reasons import MISSED_SEND_DATE
from core.planning.rows import PlannedRows
from core.planning.rules import FOLLOWUP_PREFIX
from core.planning.schedule import Schedule, ScheduleRows, null_to_zero
from core.planning.snapshot import IssueChunk, RowKind

_NO_EVENT: Final = -100_000
"""Stands for a date that cannot be read: a day that no mail is about, close enough to the others to keep keys small."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes, and the digests of the owned rows before and after them (R96)."""

    changes: ScheduleChanges
    before: UInt64
    after: UInt64


def diff_schedule(rows: PlannedRows, schedule: Schedule, today: int) -> Difference:
    """Compare a plan with the stored rows; raises nothing and writes nothing."""
    owned = schedule.owned
    planned_key, owned_key, locked_key = _identities(rows, schedule)
    free = ~np.isin(planned_key, locked_key)
    first, duplicate = _first_of_each(owned_key, owned.event_day)
    candidate = np.flatnonzero(free)
    match = _find(planned_key[candidate], owned_key, first)
    matched = match >= 0
    pair_plan, pair_row = candidate[matched], match[matched]
    same = _same_content(rows, pair_plan, schedule, pair_row)
    unmatched = np.ones(len(owned), dtype=np.bool_)
    unmatched[pair_row] = False
    unmatched[duplicate] = False
    rest = np.flatnonzero(unmatched)
    gone, missed = _without_counterpart(schedule, rest, today)
    inserts = candidate[~matched]
    changes = ScheduleChanges(
        inserts=_batch(rows, inserts[np.lexsort((rows.contact_id[inserts], rows.event_day[inserts]))], None),
        updates=_batch(rows, pair_plan[~same], owned.row_id[pair_row[~same]]),
        delete_row_ids=np.sort(np.concatenate((owned.row_id[duplicate], owned.row_id[gone]))),
        missed_row_ids=owned.row_id[missed],
        unchanged_count=int(np.count_nonzero(same)),
        dropped_locked_count=int(np.count_nonzero(~free)),
    )
    history = np.setdiff1d(rest, np.concatenate((gone, missed)), assume_unique=True)
    return Difference(
        changes, _digest_owned(schedule, owned), _digest_after(rows, candidate, schedule, history, missed)
    )


def _identities(rows: PlannedRows, schedule: Schedule) -> tuple[Int64, Int64, Int64]:
    """Return identity keys of planned, owned and locked rows that are equal exactly where R7 says so."""
    types = {k.email_type for k in rows.kinds} | {k.email_type for k in schedule.kinds}
    number = {name: i + 1 for i, name in enumerate(sorted(types))}
    parts = (
        (rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.kind, rows.kinds),
        *(
            (part.contact_id, part.instance_id, part.parent_id, part.event_day, part.kind, schedule.kinds)
            for part in (schedule.owned, schedule.locked)
        ),
    )
    planned, owned, locked = dense_keys([identity_columns(*part, number) for part in parts])
    return planned, owned, locked


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
    is_followup = np.array([k.email_type.startswith(FOLLOWUP_PREFIX) for k in kinds] or [False], dtype=np.bool_)[kind]
    email_type = np.array([number[k.email_type] for k in kinds] or [0], dtype=np.int32)[kind]
    event = np.where(event_day == NO_DAY, _NO_EVENT, event_day)
    return (
        np.where(is_followup, null_to_zero(parent_id), event),
        contact_id,
        np.where(is_followup, 0, email_type).astype(np.int32),
        np.where(is_followup, 0, null_to_zero(instance_id)),
    )


def _first_of_each(key: Int64, event_day: Int32) -> tuple[Int64, Int64]:
    """Return rows sorted by key without duplicates, and the duplicates: of one identity the lowest row id counts (R91)."""
    order = np.argsort(key, kind="stable")  # rows come by ascending row id
    repeats = np.zeros(len(order), dtype=np.bool_)
    repeats[1:] = key[order][1:] == key[order][:-1]
    repeats &= event_day[order] != NO_DAY  # a date that cannot be read is no identity
    return order[~repeats], np.sort(order[repeats])


def _find(wanted: Int64, key: Int64, first: Int64) -> Int64:
    """Return for each wanted key the row that has it, -1 where none has."""
    if not len(first):
        return np.full(len(wanted), -1, dtype=np.int64)
    ordered = key[first]
    place = np.minimum(np.searchsorted(ordered, wanted), len(first) - 1)
    return np.where(ordered[place] == wanted, first[place], -1)


def _same_content(rows: PlannedRows, planned: Int64, schedule: Schedule, stored: Int64) -> Bool:
    """Whether each pair has equal content (R90)."""
    number = {kind: i for i, kind in enumerate(rows.kinds)}
    renumber = np.array([number.get(k, -1) for k in schedule.kinds] or [-1], dtype=np.int32)
    owned = schedule.owned
    same: Bool = (
        (renumber[owned.kind[stored]] == rows.kind[planned])
        & (owned.send_day[stored] == rows.send_day[planned])
        & (owned.event_day[stored] == rows.event_day[planned])
        & (owned.instance_id[stored] == rows.instance_id[planned])
    )
    return same


def _without_counterpart(schedule: Schedule, rest: Int64, today: int) -> tuple[Int64, Int64]:
    """Split owned rows that the plan does not have: those to delete and those that missed their day (R92)."""
    owned = schedule.owned
    send_day = owned.send_day[rest]
    past = (send_day < today) & (send_day != NO_DAY)
    skipped = schedule.kinds_where(lambda k: k.status == "skipped")[owned.kind[rest]]
    return rest[~past], rest[past & ~skipped]


def _batch(rows: PlannedRows, planned: Int64, row_id: Int64 | None) -> RowBatch:
    part = rows.take(planned)
    return RowBatch(
        row_id=np.zeros(0, dtype=np.int64) if row_id is None else row_id,
        contact_id=part.contact_id,
        campaign_instance_id=part.instance_id,
        parent_schedule_id=part.parent_id,
        event_day=part.event_day,
        send_day=part.send_day,
        kind=part.kind,
        kinds=part.kinds,
    )


def _digest_owned(schedule: Schedule, rows: ScheduleRows) -> UInt64:
    return digest.schedule_rows(
        rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.send_day, rows.kind, schedule.kinds
    )


def _digest_after(rows: PlannedRows, kept: Int64, schedule: Schedule, history: Int64, missed: Int64) -> UInt64:
    """Return the digest of the owned rows as they will be: the plan, the history, and the missed ones."""
    planned = rows.take(kept)
    of_plan = digest.schedule_rows(
        planned.contact_id, planned.instance_id, planned.parent_id, planned.event_day, planned.send_day, planned.kind,
        planned.kinds,
    )  # fmt: skip
    late = schedule.owned.take(missed)
    marked = tuple(k._replace(status="skipped", skip_reason=MISSED_SEND_DATE) for k in schedule.kinds)
    of_missed = digest.schedule_rows(
        late.contact_id, late.instance_id, late.parent_id, late.event_day, late.send_day, late.kind, marked
    )
    return of_plan + of_missed + _digest_owned(schedule, schedule.owned.take(history))


def diff_issues(found: Issues, in_force: Sequence[IssueChunk]) -> IssueChanges:
    """Compare the issues found with those in force (R24); an issue that persists is not rewritten."""
    names = tuple(sorted({*found.issues, *(name for chunk in in_force for name in chunk.issues)}))
    number = {name: i for i, name in enumerate(names)}
    new_id, new_issue = found.contact_id, _renumber(found.issue, found.issues, number)
    old_id = np.concatenate([np.zeros(0, dtype=np.int64), *(c.contact_id for c in in_force)])
    old_issue = np.concatenate(
        [np.zeros(0, dtype=np.int32), *(_renumber(c.issue, c.issues, number) for c in in_force)]
    ).astype(np.int32)
    new_key, old_key = dense_keys([(new_id, new_issue), (old_id, old_issue)])
    added = np.flatnonzero(~np.isin(new_key, old_key))
    added = added[np.argsort(new_key[added], kind="stable")]
    removed = np.flatnonzero(~np.isin(old_key, new_key))
    return IssueChanges(new_id[added], new_issue[added], old_id[removed], old_issue[removed], names)


def _renumber(issue: Int32, names: Sequence[str], number: dict[str, int]) -> Int32:
    table = np.array([number[name] for name in names] or [0], dtype=np.int32)
    return table[issue]
