"""Rows that reports take out of our hands still belong to the schedule that the run found (R96)."""

from collections.abc import Sequence

import numpy as np

from core.planning import digest
from core.planning.columns import NULL_ID, Int64, SomeTexts, TextColumn, UInt64
from core.planning.schedule import gather_schedule
from core.planning.snapshot import RowKind, ScheduleChunk
from core.planning.text_dates import DateColumn
from core.runs.item_ports import StoredMail


def digest_of_taken(rows: Sequence[StoredMail]) -> UInt64:
    """Return the digest of owned rows as the schedule's own digest has them."""
    if not rows:
        return digest.zero()
    kinds = [_kind(row) for row in rows]
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    chunk = ScheduleChunk(
        row_id=_ids([row.row_id for row in rows]),
        contact_id=_ids([row.contact_id for row in rows]),
        parent_schedule_id=_ids([row.parent_id for row in rows]),
        event_date=DateColumn.of(TextColumn.of([row.event_date for row in rows])),
        scheduled_send_date=DateColumn.of(TextColumn.of([row.scheduled_send_date for row in rows])),
        actual_send_datetime=SomeTexts.of(TextColumn.of([row.actual_send_datetime for row in rows])),
        kind=np.array([numbers[kind] for kind in kinds], dtype=np.int32),
        kinds=tuple(numbers),
    )
    owned = gather_schedule([chunk])
    part = owned.owned
    return digest.schedule_rows(
        part.contact_id, part.instance_id, part.parent_id, part.event_day, part.send_day, part.kind, owned.kinds
    )


def _kind(row: StoredMail) -> tuple[RowKind, int]:
    kind = RowKind(
        row.email_type,
        row.status,
        row.skip_reason,
        row.scheduled_send_time,
        NULL_ID if row.priority is None else row.priority,
        row.email_template,
        row.sms_template,
    )
    return kind, NULL_ID if row.instance_id is None else row.instance_id


def _ids(ids: Sequence[int | None]) -> Int64:
    return np.array([NULL_ID if value is None else value for value in ids], dtype=np.int64)
