"""Room 7 of a run while its org is on hold: what the events said is kept, and nothing is planned.

``as_of`` is judged as ever: a request that no run would carry is refused, on hold or not.
"""

from typing import Final, NamedTuple

import numpy as np

from core.planning.changes import IssueChanges, RowBatch, ScheduleChanges
from core.planning.columns import Int32, Int64
from core.runs.applied import Applied
from core.runs.ports import Clock, Commit, OrgDatabase, StoredRun
from core.runs.reconcile import Order, checkpoint_of, config_of, planning_date
from core.runs.warnings import ON_HOLD
from events.encode import encode_data
from events.payloads import EventRef, ItemCounts, RunChecksums, RunCompleted, RunCounts

_NO_IDS: Final[Int64] = np.empty(0, dtype=np.int64)
_NO_DAYS: Final[Int32] = np.empty(0, dtype=np.int32)
_NO_ROWS: Final = RowBatch(_NO_IDS, _NO_IDS, _NO_IDS, _NO_IDS, _NO_DAYS, _NO_DAYS, _NO_DAYS, ())
_NO_CHANGES: Final = ScheduleChanges(_NO_ROWS, _NO_ROWS, _NO_IDS, _NO_IDS, 0, 0)
_NO_ISSUES: Final = IssueChanges(_NO_IDS, _NO_DAYS, _NO_IDS, _NO_DAYS, ())


class Recorded(NamedTuple):
    """The completion of a run without a plan, and what it commits."""

    completed: RunCompleted
    commit: Commit

    @property
    def changed(self) -> bool:
        """Whether anything has to be written (R93)."""
        return self.completed.changed


def record_only(db: OrgDatabase, order: Order, clock: Clock, *, written: bool, applied: Applied) -> Recorded:
    """Return what a run on hold comes to; arguments and errors are those of ``reconcile``, without those of planning."""
    started = clock.now_utc()
    config = config_of(db, order, clock, started)
    today, warnings = planning_date(db, order, config, clock)
    completed = RunCompleted(
        org_id=order.org_id,
        run_id=order.run_id,
        changed=written,
        replayed=True,  # as stored; the first publication says otherwise and knows more
        as_of=today,
        event_ids=tuple(EventRef(source=k.source, id=k.id) for k in order.event_keys),
        counts=RunCounts(**dict.fromkeys(RunCounts.__struct_fields__, 0)),
        scheduled_by_type={},
        skipped_by_reason={},
        issues_by_code={},
        volume_by_day={},
        cap=None,
        cap_exceeded_days=(),
        config_hash=config.digest(),
        generation=None,
        parent_generation=None,
        bytes_down=None,
        bytes_up=None,
        requests=None,
        pages_changed=None,
        durations_seconds=None,
        checksums=RunChecksums(contacts="", schedules_before="", schedules_after=""),
        warnings=(ON_HOLD, *warnings, *applied.warnings),
        items=applied.counts if written else ItemCounts(),
        claims=applied.claims,
        rejected_items=applied.rejected,
    )
    commit = Commit(
        schedule=_NO_CHANGES,
        issues=_NO_ISSUES,
        checkpoint=checkpoint_of(completed, started, clock.now_utc()),
        run=StoredRun(order.run_id, encode_data(completed)),
        event_keys=order.event_keys,
        parked_before=applied.parked_before,
    )
    return Recorded(completed, commit)
