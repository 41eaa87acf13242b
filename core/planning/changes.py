"""What a plan asks a writer to do: rows to insert, update and delete, as columns (R90-R92)."""

from dataclasses import dataclass

from core.planning.columns import Int32, Int64
from core.planning.snapshot import RowKind


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Schedule rows as columns; ``row_id`` is the row to update, or empty for inserts.

    Days are day numbers (R2) and always real dates; ids are NULL_ID where the column is NULL. Inserts are sorted by
    (event_day, contact_id), the order of the identity index, so that a bulk write appends instead of jumping about.
    """

    row_id: Int64
    contact_id: Int64
    campaign_instance_id: Int64
    parent_schedule_id: Int64
    event_day: Int32
    send_day: Int32
    kind: Int32
    """Index into ``kinds``."""
    kinds: tuple[RowKind, ...]

    def __len__(self) -> int:
        return len(self.contact_id)


@dataclass(frozen=True, slots=True)
class ScheduleChanges:
    """The difference between a plan and the owned rows: apply deletes, then updates, then missed, then inserts."""

    inserts: RowBatch
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
