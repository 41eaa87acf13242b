"""What a plan asks a writer to do: rows to insert, update and delete, as columns (R90-R92)."""

from dataclasses import dataclass

import numpy as np

from core.planning.columns import Int16, Int32, Int64
from core.planning.rows import PlannedRows
from core.planning.snapshot import RowKind


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Schedule rows as columns; ``row_id`` is the row to update, or empty for inserts.

    Days are day numbers (R2) and always real dates; ids are NULL_ID where the column is NULL.
    """

    row_id: Int64
    contact_id: Int64
    campaign_instance_id: Int64
    parent_schedule_id: Int64
    event_day: Int32
    send_day: Int32
    kind: Int32 | Int16
    """Index into ``kinds``."""
    kinds: tuple[RowKind, ...]

    def __len__(self) -> int:
        return len(self.contact_id)

    def take(self, rows: Int64) -> "RowBatch":
        """Return some rows, in the order given."""
        return RowBatch(
            self.row_id[rows] if len(self.row_id) else self.row_id,
            self.contact_id[rows],
            self.campaign_instance_id[rows],
            self.parent_schedule_id[rows],
            self.event_day[rows],
            self.send_day[rows],
            self.kind[rows],
            self.kinds,
        )


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """Rows of a plan to insert, as a RowBatch that is worked out when it is asked for: on a first run they are all."""

    rows: PlannedRows
    places: Int32
    """Of the rows to insert, in the order of insertion."""

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: Int64 | slice) -> RowBatch:
        """Return some rows, in the order given."""
        part = self.rows.take(self.places[rows].astype(np.int64))
        return RowBatch(
            np.zeros(0, dtype=np.int64), part.contact_id, part.instance_id, part.parent_id, part.event_day,
            part.send_day, part.kind, part.kinds,
        )  # fmt: skip

    @property
    def kinds(self) -> tuple[RowKind, ...]:
        """As in RowBatch."""
        return self.rows.kinds

    @property
    def row_id(self) -> Int64:
        """As in RowBatch."""
        return np.zeros(0, dtype=np.int64)

    @property
    def contact_id(self) -> Int64:
        """As in RowBatch."""
        return self.rows.contact_ids[self.rows.contact[self.places]]

    @property
    def campaign_instance_id(self) -> Int64:
        """As in RowBatch."""
        return self.rows.links.instance_id[self.rows.link[self.places]]

    @property
    def event_day(self) -> Int32:
        """As in RowBatch."""
        return self.rows.event_day[self.places]

    @property
    def kind(self) -> Int32 | Int16:
        """As in RowBatch."""
        return self.rows.kind[self.places]

    @property
    def send_day(self) -> Int32:
        """As in RowBatch."""
        return self.rows.send_day[self.places]

    @property
    def parent_schedule_id(self) -> Int64:
        """As in RowBatch."""
        return self.rows.links.parent_id[self.rows.link[self.places]]


@dataclass(frozen=True, slots=True)
class ScheduleChanges:
    """The difference between a plan and the owned rows: apply deletes, then updates, then missed, then inserts."""

    inserts: RowBatch | PlannedBatch
    """By send day and content: what the sender takes on one day lies together, and so does what a run moves after it."""
    updates: RowBatch
    """All R90 columns of the row are rewritten in place; id and created_at stay (R91)."""
    delete_row_ids: Int64
    missed_row_ids: Int64
    """Owned rows whose day passed unsent: status skipped, reason ``missed_send_date`` (R92)."""
    unchanged_count: int
    dropped_locked_count: int
    """Planned rows whose identity a locked row holds (R91)."""

    @property
    def is_empty(self) -> bool:
        """Whether the schedule is already as planned."""
        return not (len(self.inserts) or len(self.updates) or len(self.delete_row_ids) or len(self.missed_row_ids))


@dataclass(frozen=True, slots=True)
class IssueChanges:
    """The difference between the issues found and the issues in force (R24)."""

    insert_contact_id: Int64
    insert_issue: Int32
    """Index into ``issues``."""
    delete_contact_id: Int64
    delete_issue: Int32
    """Index into ``issues``."""
    issues: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the issues in force are already those found."""
        return not (len(self.insert_contact_id) or len(self.delete_contact_id))
