"""What a run tells the world about itself: the counts of a plan and its changes as event payloads (R99)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from core.planning.changes import ScheduleChanges
from core.planning.plan import Plan
from core.planning.rows import PlannedRows
from events.payloads import RunCounts


@dataclass(frozen=True, slots=True)
class Volumes:
    """Counts of the rows of a plan."""

    scheduled_by_type: Mapping[str, int]
    skipped_by_reason: Mapping[str, int]
    by_day: Mapping[date, Mapping[str, int]]
    """Pre-scheduled mails per day and type."""

    @property
    def scheduled_count(self) -> int:
        """Rows that are to be sent."""
        return sum(self.scheduled_by_type.values())

    @property
    def skipped_count(self) -> int:
        """Rows that are not."""
        return sum(self.skipped_by_reason.values())


def volumes(rows: PlannedRows) -> Volumes:
    """Count the rows of a plan by type, reason and day."""
    scheduled: dict[str, int] = {}
    skipped: dict[str, int] = {}
    per_kind = np.bincount(rows.kind, minlength=len(rows.kinds)).tolist()
    for kind, count in zip(rows.kinds, per_kind, strict=True):
        if kind.skip_reason is None:
            scheduled[kind.email_type] = scheduled.get(kind.email_type, 0) + count
        else:
            skipped[kind.skip_reason] = skipped.get(kind.skip_reason, 0) + count
    return Volumes(dict(sorted(scheduled.items())), dict(sorted(skipped.items())), _by_day(rows))


def _by_day(rows: PlannedRows) -> dict[date, dict[str, int]]:
    stands = np.array([k.skip_reason is None for k in rows.kinds] or [False], dtype=np.bool_)[rows.kind]
    names = sorted({k.email_type for k in rows.kinds})
    place = {name: i for i, name in enumerate(names)}
    number = np.array([place[k.email_type] for k in rows.kinds] or [0], dtype=np.int64)
    key = rows.send_day[stands].astype(np.int64) * len(names) + number[rows.kind[stands]]
    pairs, counts = np.unique(key, return_counts=True)
    days, types = np.divmod(pairs, max(len(names), 1))
    dates: list[date] = days.astype("datetime64[D]").tolist()
    out: dict[date, dict[str, int]] = {}
    last = None
    for day, name, count in zip(dates, types.tolist(), counts.tolist(), strict=True):
        if day != last:
            last = day
            out[day] = of_day = {}
        of_day[names[name]] = count
    return out


def issue_counts(plan: Plan) -> dict[str, int]:
    """Count issues by code; those about a campaign are counted without its id (R24)."""
    counts: dict[str, int] = {}
    per_issue = np.bincount(plan.issues.issue, minlength=len(plan.issues.issues)).tolist()
    for name, count in zip(plan.issues.issues, per_issue, strict=True):
        if count:
            code = name.partition(":")[0]
            counts[code] = counts.get(code, 0) + count
    return dict(sorted(counts.items()))


def run_counts(plan: Plan, changes: ScheduleChanges, volume: Volumes, contacts_read: int) -> RunCounts:
    """Return the counts of one run as its completion carries them."""
    return RunCounts(
        contacts=contacts_read,
        contacts_invalid=contacts_read - plan.contact_count,
        emails_scheduled=volume.scheduled_count,
        emails_skipped=volume.skipped_count,
        rows_inserted=len(changes.inserts),
        rows_updated=len(changes.updates),
        rows_deleted=len(changes.delete_row_ids),
        rows_missed=len(changes.missed_row_ids),
        rows_unchanged=changes.unchanged_count,
        dropped_locked=changes.dropped_locked_count,
    )
