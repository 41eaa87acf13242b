"""The contact's planned rows against its stored ones, by the planner's own difference (R90-R92)."""

from dataclasses import dataclass

import numpy as np

from core.planning.calendar import to_date
from core.planning.changes import PlannedBatch, RowBatch
from core.planning.columns import NO_DAY, NULL_ID, Int64
from core.planning.diff import diff_schedule
from core.planning.explain_subject import RowKey, Subject, stored_mails
from core.planning.explanation import FieldChange, Leftover, LeftoverChange, Stored
from core.planning.rows import PlannedRows
from core.planning.rules import FOLLOWUP_PREFIX
from core.planning.schedule import null_to_zero
from core.planning.schedule_rows import StoredRows
from core.planning.snapshot import RowKind


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row of the plan, and what a run would do about it."""

    send_day: int
    skip_reason: str | None
    stored: Stored


def planned_rows_of(subject: Subject) -> dict[RowKey, PlannedRow]:
    """Return the contact's planned rows by identity (a follow-up's type and event are those planned)."""
    rows = subject.plan.rows
    rows = rows.take(np.flatnonzero(rows.contact_id == subject.contact_id))
    changes = diff_schedule(rows, subject.snapshot.schedule, subject.frame.today).changes
    inserted = {key: Stored("insert", None, ()) for key in _keys(changes.inserts)}
    updated = dict(zip(_keys(changes.updates), changes.updates.row_id.tolist(), strict=True))
    found: dict[RowKey, PlannedRow] = {}
    for place, key in enumerate(_keys(rows)):
        if key in inserted:
            stored = inserted[key]
        elif key in updated:
            stored = Stored("update", updated[key], _changed_fields(subject, rows, place, updated[key]))
        else:
            stored = _kept(subject, key)
        kind = rows.kinds[rows.kind[place]]
        found[key] = PlannedRow(int(rows.send_day[place]), kind.skip_reason, stored)
    return found


def _keys(rows: PlannedRows | RowBatch | PlannedBatch) -> list[RowKey]:
    instance = rows.instance_id if isinstance(rows, PlannedRows) else rows.campaign_instance_id
    parent = rows.parent_id if isinstance(rows, PlannedRows) else rows.parent_schedule_id
    kinds = [rows.kinds[number].email_type for number in rows.kind.tolist()]
    columns = (null_to_zero(instance).tolist(), null_to_zero(parent).tolist(), rows.event_day.tolist())
    return [RowKey(*cells) for cells in zip(kinds, *columns, strict=True)]


def _kept(subject: Subject, key: RowKey) -> Stored:
    """Return the stored row that holds the identity: a locked one, or an owned one that is as planned."""
    schedule = subject.snapshot.schedule
    for rows, change in ((schedule.locked, "held"), (schedule.owned, "unchanged")):
        for place in range(len(rows)):
            if _same_identity(rows, place, schedule.kinds[rows.kind[place]], key):
                return Stored("held" if change == "held" else "unchanged", int(rows.row_id[place]), ())
    raise ValueError("a planned row is neither new, changed, stored nor held: the difference contradicts itself")


def _same_identity(rows: StoredRows, place: int, kind: RowKind, key: RowKey) -> bool:
    if key.email_type.startswith(FOLLOWUP_PREFIX):
        is_followup = kind.email_type.startswith(FOLLOWUP_PREFIX)
        return is_followup and int(null_to_zero(rows.parent_id[[place]])[0]) == key.parent_id
    instance = int(null_to_zero(rows.instance_id[[place]])[0])
    return (kind.email_type, instance, int(rows.event_day[place])) == (key.email_type, key.instance_id, key.event)


def _changed_fields(subject: Subject, rows: PlannedRows, place: int, row_id: int) -> tuple[FieldChange, ...]:
    schedule = subject.snapshot.schedule
    owned = schedule.owned.take(schedule.owned.row_id == row_id)
    before = _content(schedule.kinds[owned.kind[0]], owned.instance_id, owned.event_day[0], owned.send_day[0])
    after = _content(
        rows.kinds[rows.kind[place]], rows.instance_id[[place]], rows.event_day[place], rows.send_day[place]
    )
    return tuple(FieldChange(name, before[name], after[name]) for name in after if before[name] != after[name])


def _content(kind: RowKind, instance_id: Int64, event_day: int, send_day: int) -> dict[str, str | None]:
    """Return the columns of R90 as texts."""
    instance = int(instance_id[0])
    cells = {
        "campaign_instance_id": None if instance == NULL_ID else instance,
        "event_date": None if event_day == NO_DAY else to_date(int(event_day)),
        "scheduled_send_date": None if send_day == NO_DAY else to_date(int(send_day)),
        **kind._asdict(),
    }
    return {name: None if value is None else str(value) for name, value in cells.items()}


def leftovers_of(subject: Subject) -> tuple[Leftover, ...]:
    """Return the contact's rows of ours that are not planned any more, with what happens to them (R92)."""
    schedule = subject.snapshot.schedule
    rows = subject.plan.rows
    rows = rows.take(np.flatnonzero(rows.contact_id == subject.contact_id))
    changes = diff_schedule(rows, schedule, subject.frame.today).changes
    gone = set(changes.delete_row_ids.tolist())
    missed = set(changes.missed_row_ids.tolist())
    planned = {row.stored.row_id for row in planned_rows_of(subject).values()}
    found: list[Leftover] = []
    for ref, number in zip(stored_mails(schedule.owned, schedule), schedule.owned.kind.tolist(), strict=True):
        if ref.row_id not in planned:
            change: LeftoverChange = "delete" if ref.row_id in gone else "missed" if ref.row_id in missed else "kept"
            found.append(Leftover(ref, schedule.kinds[number].skip_reason, change))
    return tuple(found)
