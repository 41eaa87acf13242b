"""What is counted, for Prometheus: totals over all orgs. No label names an org: their number has no bound.

Every series exists from the start with zero, so that a rate is right from the first event on and an alert can tell
"never happened" from "not running".
"""

import math
import threading
from collections.abc import Sequence
from typing import Final, Literal, get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

Outcome = Literal["committed", "unchanged", "duplicate", "rejected", "failed", "retry"]
Step = Literal["lease", "sync_down", "apply", "plan", "commit", "sync_up", "status"]
RowChange = Literal["inserted", "updated", "deleted", "unchanged", "missed"]
Direction = Literal["down", "up"]
RequestClass = Literal["a", "b", "free"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Of ``exposition()``."""

_SECONDS_BUCKETS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 600.0)


class Metrics:
    """One registry and one function per thing that happens; ``skip_kinds`` and the ``codes`` are closed lists.

    A label outside its list raises ValueError: that is a mistake in the program, and would be a series without an end.
    """

    def __init__(
        self,
        skip_kinds: Sequence[str] = (),
        *,
        error_codes: Sequence[str] = (),
        warning_codes: Sequence[str] = (),
        issue_codes: Sequence[str] = (),
    ) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._conflicts_seen = 0
        ProcessCollector(registry=self.registry)  # memory, and the start time by which a restart loop is seen
        self._errors = self._counter("emailsched_errors", "Messages that failed, by error code", "code", error_codes)
        self._warnings = self._counter("emailsched_warnings", "Warnings of runs, by code", "code", warning_codes)
        self._issues = self._counter("emailsched_issues", "Issues that runs found, by code", "code", issue_codes)
        self._cap_days = Counter(
            "emailsched_cap_exceeded_days", "Days over the daily cap that runs planned", registry=self.registry
        )
        self._runs = self._counter("emailsched_runs", "Runs by outcome", "outcome", get_args(Outcome))
        self._rows = self._counter("emailsched_rows", "Schedule rows by change", "change", get_args(RowChange))
        self._bytes = self._counter("emailsched_bucket_bytes", "Media bytes moved", "direction", get_args(Direction))
        self._requests = self._counter("emailsched_bucket_requests", "Requests", "class", get_args(RequestClass))
        self._skips = self._counter("emailsched_skips", "Mails not scheduled, by kind of reason", "kind", skip_kinds)
        self._conflicts = Counter("emailsched_conflicts", "Uploads that met a newer generation", registry=self.registry)
        self._steps = Histogram(
            "emailsched_step_seconds", "Duration of a run's steps", ["step"], registry=self.registry,
            buckets=_SECONDS_BUCKETS,
        )  # fmt: skip
        for step in get_args(Step):
            self._steps.labels(step)
        self._waiters = Gauge("emailsched_waiters", "Messages that wait for a run", registry=self.registry)
        self._running = Gauge("emailsched_running", "Runs in progress", registry=self.registry)
        self._orgs = Gauge("emailsched_orgs", "Orgs with a database in the bucket", registry=self.registry)
        self._orgs_failed = Gauge("emailsched_orgs_failed", "Orgs whose last run failed", registry=self.registry)
        self._orgs_silent = Gauge(
            "emailsched_orgs_silent", "Orgs without a completed run for longer than a day", registry=self.registry
        )
        self._oldest = Gauge(
            "emailsched_oldest_completed_run_age_seconds",
            "Age of the last completed run of the org that has been silent longest",
            registry=self.registry,
        )
        self._oldest.set(math.nan)  # not yet known is not zero seconds
        self._looked = Gauge(
            "emailsched_orgs_looked_at_timestamp_seconds", "When the bucket was last asked", registry=self.registry
        )
        self._labels = {
            "code": frozenset((*error_codes, *warning_codes, *issue_codes)),
            "outcome": frozenset(get_args(Outcome)),
            "change": frozenset(get_args(RowChange)),
            "direction": frozenset(get_args(Direction)),
            "class": frozenset(get_args(RequestClass)),
            "step": frozenset(get_args(Step)),
            "kind": frozenset(skip_kinds),
        }

    def run_finished(self, outcome: Outcome) -> None:
        """Count a run."""
        self._runs.labels(self._known("outcome", outcome)).inc()

    def step_took(self, step: Step, seconds: float) -> None:
        """Record how long a step of a run took."""
        self._steps.labels(self._known("step", step)).observe(seconds)

    def rows_changed(self, change: RowChange, rows: int) -> None:
        """Count schedule rows that a run changed or left."""
        self._rows.labels(self._known("change", change)).inc(rows)

    def bytes_moved(self, direction: Direction, size_bytes: int) -> None:
        """Count media bytes between bucket and machine."""
        self._bytes.labels(self._known("direction", direction)).inc(size_bytes)

    def requests_made(self, request_class: RequestClass, requests: int) -> None:
        """Count requests to the bucket by price class."""
        self._requests.labels(self._known("class", request_class)).inc(requests)

    def conflicts(self, total: int) -> None:
        """Say how many uploads have met a newer generation since the process began."""
        with self._lock:
            self._conflicts.inc(max(0, total - self._conflicts_seen))
            self._conflicts_seen = max(total, self._conflicts_seen)

    def skipped(self, kind: str, mails: int) -> None:
        """Count mails that were not scheduled, by the kind of the reason."""
        self._skips.labels(self._known("kind", kind)).inc(mails)

    def failed(self, code: str) -> None:
        """Count a message that a run could not carry."""
        self._errors.labels(self._known("code", code)).inc()

    def warned(self, code: str) -> None:
        """Count a warning of a run."""
        self._warnings.labels(self._known("code", code)).inc()

    def issues_found(self, code: str, issues: int) -> None:
        """Count issues of contacts and campaigns that a run found."""
        self._issues.labels(self._known("code", code)).inc(issues)

    def cap_exceeded(self, days: int) -> None:
        """Count days over the cap that a run planned."""
        self._cap_days.inc(days)

    def orgs_seen(
        self, *, orgs: int, failed: int, silent: int, oldest_age_seconds: float | None, at_timestamp_seconds: float
    ) -> None:
        """Say how all orgs of the bucket are, whichever machine runs them; ``None``: no org has completed a run."""
        self._orgs.set(orgs)
        self._orgs_failed.set(failed)
        self._orgs_silent.set(silent)
        self._oldest.set(math.nan if oldest_age_seconds is None else oldest_age_seconds)
        self._looked.set(at_timestamp_seconds)

    def waiting(self, messages: int) -> None:
        """Say how many messages wait now."""
        self._waiters.set(messages)

    def running(self, runs: int) -> None:
        """Say how many runs are in progress now."""
        self._running.set(runs)

    def exposition(self) -> bytes:
        """Return all series in the text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, label: str, values: Sequence[str]) -> Counter:
        counter = Counter(name, documentation, [label], registry=self.registry)
        for value in values:
            counter.labels(value)
        return counter

    def _known(self, label: str, value: str) -> str:
        if value not in self._labels[label]:
            raise ValueError(f"{value!r} is no {label}: the known ones are {', '.join(sorted(self._labels[label]))}")
        return value
