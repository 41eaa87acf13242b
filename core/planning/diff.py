"""Plan against stored rows: what to insert, update and delete, by event identity (R7, R90-R92)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.planning import digest
from core.planning.changes import IssueChanges, PlannedBatch, RowBatch, ScheduleChanges
from core.planning.columns import NO_DAY, NULL_ID, Int32, Int64, UInt64, parts_of
from core.planning.matching import Matches, match_rows
from core.planning.ordering import dense_keys, stable_order
from core.planning.plan import Issues
from core.planning.reasons import MISSED_SEND_DATE
from core.planning.rows import PlannedRows
from core.planning.schedule import Schedule, digest_rows
from core.planning.schedule_rows import ScheduleRows
from core.planning.snapshot import IssueChunk, RowKind


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes, and the digests of the owned rows before and after them (R96)."""

    changes: ScheduleChanges
    before: UInt64
    after: UInt64


def diff_schedule(rows: PlannedRows, schedule: Schedule, today: int) -> Difference:
    """Compare a plan with the stored rows; raises nothing and writes nothing."""
    owned = schedule.owned
    found = match_rows(rows, schedule)
    changed = _changed(rows, schedule, found)
    gone, missed = _without_counterpart(schedule, found.rest, today)
    new = np.flatnonzero((found.owned_row < 0) & ~found.held).astype(np.int32)
    changed_row = found.owned_row[changed].astype(np.int64)
    leaving = owned.take(np.concatenate((found.extra, gone, missed, changed_row)))
    ends = np.cumsum([len(found.extra) + len(gone), len(missed)])
    deleted_id, missed_id, changed_id = np.split(leaving.row_id, ends)
    updates = rows.take(changed)
    changes = ScheduleChanges(
        inserts=PlannedBatch(rows, _by_send_day(rows, new)),
        updates=RowBatch(
            changed_id, updates.contact_id, updates.instance_id, updates.parent_id, updates.event_day, updates.send_day,
            updates.kind, updates.kinds,
        ),
        delete_row_ids=np.sort(deleted_id),
        missed_row_ids=missed_id,
        unchanged_count=int(np.count_nonzero(found.owned_row >= 0)) - len(changed),
        dropped_locked_count=int(np.count_nonzero(found.held)),
    )  # fmt: skip
    before = _digest_owned(schedule) if schedule.owned_digest is None else schedule.owned_digest
    # What stays as it is counts in both digests alike: only the difference is looked at.
    coming = _digest_missed(leaving.take(slice(*ends)), schedule.kinds)
    for coming_rows in (changed, new):
        coming = coming + _digest_planned(rows, coming_rows)
    return Difference(changes, before, np.subtract(before, digest_rows(leaving, schedule.kinds)) + coming)


def _by_send_day(rows: PlannedRows, inserts: Int32) -> Int32:
    """Order rows by send day, mail before skipped rows, and by what many have in common; then as they are planned.

    What the cap carries over to another day has the highest priority numbers of its day (R66): it lies together too.
    Part by part: on a first run this is every row (R98).
    """
    kinds, count = rows.kinds, len(inserts)
    rank = np.empty(len(kinds), dtype=np.int32)
    rank[sorted(range(len(kinds)), key=lambda k: (kinds[k].skip_reason is not None, kinds[k].priority, k))] = np.arange(
        len(kinds)
    )
    # Every follow-up has a link of its own, and they come after all sources.
    sources = np.int32(np.count_nonzero(rows.links.parent_id == NULL_ID))
    first, last = int(rows.event_day.min(initial=0)), int(rows.event_day.max(initial=0))
    key = np.empty(count, dtype=np.int64)
    for part in parts_of(count):
        here = inserts[part]
        key[part] = rows.send_day[here]
        for size, column in (
            (len(kinds), rank[rows.kind[here]]),
            (int(sources) + 1, np.minimum(rows.link[here], sources)),
            (last - first + 1, rows.event_day[here] - np.int32(first)),
        ):
            key[part] *= size
            key[part] += column
    order = stable_order(key, overwrite=True)
    places = np.empty(count, dtype=np.int32)
    for part in parts_of(count):
        places[part] = inserts[order[part]]
    return places


def _changed(rows: PlannedRows, schedule: Schedule, found: Matches) -> Int64:
    """Return the planned rows whose owned row has other content (R90)."""
    number = {kind: i for i, kind in enumerate(rows.kinds)}
    renumber = np.array([number.get(k, -1) for k in schedule.kinds] or [-1], dtype=np.int32)
    changed = [np.zeros(0, dtype=np.int64)]
    for part in parts_of(len(rows)):
        planned = part.start + np.flatnonzero(found.owned_row[part] >= 0)
        owned_row = found.owned_row[planned].astype(np.int64)
        kind, send_day, instance_id = schedule.owned.content(owned_row)
        link = rows.link[planned]
        differs = renumber[kind] != rows.kind[planned]
        differs |= send_day != rows.send_day[planned]
        differs |= instance_id != rows.links.instance_id[link]
        # All but follow-ups were found by their event (R7).
        follows = np.flatnonzero(rows.links.parent_id[link] != NULL_ID)
        if len(follows):
            _, event_day = schedule.owned.contact_and_event(owned_row[follows])
            differs[follows] |= event_day != rows.event_day[planned[follows]]
        changed.append(planned[differs])
    return np.concatenate(changed)


def _without_counterpart(schedule: Schedule, rest: Int64, today: int) -> tuple[Int64, Int64]:
    """Split owned rows that the plan does not have: those to delete and those that missed their day (R92)."""
    kind, send_day, _ = schedule.owned.content(rest)
    past = (send_day < today) & (send_day != NO_DAY)
    if not past.any():
        return rest, rest[:0]
    kind, kinds = digest.used_kinds(kind, schedule.kinds)
    skipped = np.array([k.status == "skipped" for k in kinds], dtype=np.bool_)[kind]
    return rest[~past], rest[past & ~skipped]


def _digest_owned(schedule: Schedule) -> UInt64:
    total = digest.zero()
    for part in parts_of(len(schedule.owned)):
        total = total + digest_rows(schedule.owned.take(part), schedule.kinds)
    return total


def _digest_missed(rows: ScheduleRows, kinds: Sequence[RowKind]) -> UInt64:
    """Return the digest of missed rows as they will be (R92)."""
    kind, used = digest.used_kinds(rows.kind, kinds)
    marked = [k._replace(status="skipped", skip_reason=MISSED_SEND_DATE) for k in used]
    return digest_rows(replace(rows, kind=kind), marked)


def _digest_planned(rows: PlannedRows, planned: Int64 | Int32) -> UInt64:
    total = digest.zero()
    for part in parts_of(len(planned)):
        here = rows.take(planned[part].astype(np.int64))
        total = total + digest.schedule_rows(
            here.contact_id, here.instance_id, here.parent_id, here.event_day, here.send_day, here.kind, here.kinds
        )
    return total


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
    new_order, old_order = stable_order(new_key), stable_order(old_key)
    if np.array_equal(new_key[new_order], old_key[old_order]):  # as on most days
        return IssueChanges(new_id[:0], new_issue[:0], old_id[:0], old_issue[:0], names)
    added = new_order[~np.isin(new_key[new_order], old_key)]
    removed = np.flatnonzero(~np.isin(old_key, new_key))
    return IssueChanges(new_id[added], new_issue[added], old_id[removed], old_issue[removed], names)


def _renumber(issue: Int32, names: Sequence[str], number: dict[str, int]) -> Int32:
    table = np.array([number[name] for name in names] or [0], dtype=np.int32)
    return table[issue]
