"""From what became of messages to numbers: the one place that feeds the metrics."""

import threading
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Final, get_args

from prometheus_client import Metric

from core.planning.reasons import CAMPAIGN_ISSUES, CONTACT_ISSUES, REASON_TEXTS
from core.runs.errors import ErrorCode
from core.runs.service import Handled, Service
from core.runs.warnings import WARNINGS
from events.payloads import RunCompleted
from infra.fleet import Fleet
from infra.metrics import Metrics, Step

_SHARED_RUNS_MAX: Final = 1024
"""More events than may wait at once, so that no sharer of a run comes after it was forgotten."""
_OTHER: Final = "other"


def skip_kind(reason: str) -> str:
    """Return the kind of a skip reason: an exclusion without its state, everything else as it is."""
    return reason.rpartition(":")[0] if reason.startswith("exclusion:") else reason


SKIP_KINDS: Final = (*sorted({skip_kind(text) for text in REASON_TEXTS}), _OTHER)
"""The closed list of labels; ``other`` is a reason that this version of the program does not know."""
ERROR_CODES: Final = tuple(code.value for code in ErrorCode)
WARNING_CODES: Final = (*WARNINGS, _OTHER)
ISSUE_CODES: Final = (*CONTACT_ISSUES, *CAMPAIGN_ISSUES, _OTHER)


class Observer:
    """Counts messages and runs; safe to call from many threads. Events that shared a run count it once."""

    def __init__(self) -> None:
        self._metrics = Metrics(
            SKIP_KINDS, error_codes=ERROR_CODES, warning_codes=WARNING_CODES, issue_codes=ISSUE_CODES
        )
        self._lock = threading.Lock()
        self._counted: deque[RunCompleted] = deque(maxlen=_SHARED_RUNS_MAX)

    def handled(self, handled: Handled) -> None:
        """Record what became of one event."""
        completed = handled.completed
        if handled.error is not None:
            self._metrics.failed(handled.error.code.value)
        if handled.outcome != "done":
            self._metrics.run_finished(handled.outcome)
        elif completed is not None and completed.replayed:
            self._metrics.run_finished("duplicate")
        elif completed is not None and self._is_new(completed):
            self._metrics.run_finished("committed" if completed.changed else "unchanged")
            self._count(completed)

    def fleet_seen(self, fleet: Fleet, at: datetime) -> None:
        """Record how all orgs of the bucket are."""
        self._metrics.orgs_seen(
            orgs=fleet.orgs,
            failed=fleet.failed,
            silent=fleet.silent,
            oldest_age_seconds=fleet.oldest_age_seconds,
            at_timestamp_seconds=at.timestamp(),
        )

    def exposition(self, service: Service | None) -> bytes:
        """Return all series in Prometheus' text format, the gauges as they stand now."""
        self._metrics.waiting(service.mailbox.waiters if service else 0)
        self._metrics.running(service.running if service else 0)
        self._metrics.conflicts(service.conflicts if service else 0)
        return self._metrics.exposition()

    def families(self) -> Iterable[Metric]:
        """Return every family of series, for documentation."""
        return self._metrics.registry.collect()

    def _is_new(self, completed: RunCompleted) -> bool:
        """By identity: sharers of a run hold the same object, and a later run of the same id is another one."""
        with self._lock:
            if any(known is completed for known in self._counted):
                return False
            self._counted.append(completed)
            return True

    def _count(self, completed: RunCompleted) -> None:
        metrics, counts = self._metrics, completed.counts
        metrics.rows_changed("inserted", counts.rows_inserted)
        metrics.rows_changed("updated", counts.rows_updated)
        metrics.rows_changed("deleted", counts.rows_deleted)
        metrics.rows_changed("unchanged", counts.rows_unchanged)
        metrics.rows_changed("missed", counts.rows_missed)
        metrics.bytes_moved("down", completed.bytes_down or 0)
        metrics.bytes_moved("up", completed.bytes_up or 0)
        if completed.requests is not None:
            metrics.requests_made("a", completed.requests.a)
            metrics.requests_made("b", completed.requests.b)
        seconds = completed.durations_seconds or {}
        for step in get_args(Step):
            if step in seconds:
                metrics.step_took(step, seconds[step])
        for reason, mails in completed.skipped_by_reason.items():
            kind = skip_kind(reason)
            metrics.skipped(kind if kind in SKIP_KINDS else _OTHER, mails)
        for code, issues in completed.issues_by_code.items():
            metrics.issues_found(code if code in ISSUE_CODES else _OTHER, issues)
        for code in completed.warnings:
            metrics.warned(code if code in WARNING_CODES else _OTHER)
        metrics.cap_exceeded(len(completed.cap_exceeded_days))
