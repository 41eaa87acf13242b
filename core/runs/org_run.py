"""The run of one org: rooms 4 to 10, top to bottom. What is not in the object did not happen."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec.structs import replace

from core.runs.batch import Batch
from core.runs.errors import ErrorCode, OrgError
from core.runs.holds import Holds
from core.runs.lease import Lease
from core.runs.pace import Pace
from core.runs.planning_job import JobDone, PlanningJob, Steps
from core.runs.ports import (
    Admit,
    Bus,
    Clock,
    Journal,
    Message,
    PreconditionFailedError,
    Transfer,
    Uploaded,
    WorkingCopy,
)
from core.runs.rejected_items import rejections_of
from core.runs.status_board import StatusBoard, post_completed, version_facts
from core.runs.sync_port import Sync
from core.runs.tracer import NoTracer, Tracer
from core.runs.warnings import OBJECT_REPLACED
from events.encode import encode
from events.ids import completion_id
from events.payloads import RequestCounts, RunCompleted
from events.types import EventKey, OrgId, Outgoing

ATTEMPTS_MAX: Final = 5
"""How often a run starts again after another writer was first."""

SOURCE: Final = "//emailsched/runs"
"""CloudEvents source of everything that a run publishes."""

_BACKOFF_SECONDS: Final = (0.0, 0.2, 0.5, 1.0, 2.0)


class Planner(Protocol):
    """Carries out rooms 6 to 8, in this process or in another one; safe between threads."""

    def carry_out(self, job: PlanningJob, lock: int | None) -> JobDone:
        """Do what ``planning_job.carry_out`` does; whoever writes the file holds ``lock`` (a descriptor) open meanwhile.

        Raises OrgError as that does, and PLANNER_LOST where the process that planned is gone: nothing else is harmed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that a run needs of the world."""

    sync: Sync
    lease: Lease
    planner: Planner
    bus: Bus
    clock: Clock
    journal: Journal
    completion_topic: str
    statuses: StatusBoard | None = None
    """None: nobody asks how the last run ended."""
    holds: Holds | None = None
    """None: nothing is ever on hold."""
    tracer: Tracer = field(default_factory=NoTracer)
    pace: Pace | None = None
    """None: uploads of one org may follow each other at once."""
    conflict: Callable[[], None] = lambda: None
    """Told of every upload that met a newer generation, also of those that the next attempt makes good."""


class _Account:
    """What one run cost: bytes and requests, and seconds per step."""

    def __init__(self, ports: Ports) -> None:
        self.transfer = Transfer()
        self.steps = Steps(ports.clock)
        self._tracer = ports.tracer

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step of the run."""
        with self._tracer.span(name), self.steps.step(name):
            yield

    def carried_out(self, seconds: Mapping[str, float]) -> None:
        """Add the steps that the planner took, one after the other, perhaps in another process."""
        for name, taken in seconds.items():
            self.steps.add(name, taken)
            self._tracer.past(name, taken)


Gate = Callable[[OrgId, float], AbstractContextManager[Admit]]
"""Lends what admits a run of an org, waiting until a monotonic moment at most: ``Admission.visit``."""


def run_org(batch: Batch, ports: Ports, *, until: float, gate: Gate) -> Mapping[EventKey, RunCompleted]:
    """Run one org for a batch of events and publish; returns the completion of every event.

    ``until`` is the monotonic moment up to which the lease, and then room on the machine, is waited for: orgs that wait
    for another machine do not keep this one from working. Raises OrgError; then no event of the batch may be
    acknowledged unless the error's answer says so.
    """
    account = _Account(ports)
    with ExitStack() as held:
        with account.step("lease"):
            held.enter_context(ports.lease.hold(batch.org_id, until=until, transfer=account.transfer))
        admit = held.enter_context(gate(batch.org_id, until))
        for attempt in range(1, ATTEMPTS_MAX + 1):
            ports.clock.sleep(_BACKOFF_SECONDS[attempt - 1])
            try:
                return _attempt(batch, ports, account, admit)
            except PreconditionFailedError:
                ports.conflict()
                ports.journal.warning("fence_conflict", org_id=batch.org_id, attempt=attempt, attempts_max=ATTEMPTS_MAX)
    raise OrgError(ErrorCode.FENCE_LOST, batch.org_id, f"another writer was first {ATTEMPTS_MAX} times")


def _attempt(batch: Batch, ports: Ports, account: _Account, admit: Admit) -> Mapping[EventKey, RunCompleted]:
    on_hold = ports.holds is not None and ports.holds.is_held(batch.org_id, account.transfer)
    ports.journal.info("sync_down", org_id=batch.org_id, on_hold=on_hold)
    with account.step("sync_down"):
        copy = ports.sync.down(batch.org_id, create=batch.create, transfer=account.transfer, admit=admit)
    try:
        admit(0)  # a new org has no size to be asked about
        ports.journal.info(
            "synced",
            org_id=batch.org_id,
            direction="down",
            generation=copy.generation,
            bytes_down=account.transfer.bytes_down,
        )
        if copy.object_replaced:
            ports.journal.warning("object_replaced", org_id=batch.org_id, generation=copy.generation)
        done = ports.planner.carry_out(_job(batch, copy, on_hold=on_hold), copy.lock)
        account.carried_out(done.seconds)
        completions = dict(done.known)
        for completed in {c.run_id: c for c in completions.values()}.values():
            _publish(completed, ports)
        if done.failure is not None:
            ports.journal.warning(done.failure.code.value, org_id=batch.org_id, detail=done.failure.detail)
        if done.completed is not None:
            completions.update(dict.fromkeys(done.fresh, _commit(done.completed, ports, account, copy)))
        return completions
    finally:
        ports.sync.done(copy)


def _job(batch: Batch, copy: WorkingCopy, *, on_hold: bool) -> PlanningJob:
    return PlanningJob(
        org_id=batch.org_id,
        file=copy.file,
        generation=copy.generation,
        events=batch.events,
        as_of=batch.as_of,
        force=batch.force,
        on_hold=on_hold,
    )


def _commit(planned: RunCompleted, ports: Ports, account: _Account, copy: WorkingCopy) -> RunCompleted:
    """Rooms 9 and 10: send the working copy up if the run changed it, post the status, publish."""
    uploaded = Uploaded(copy.generation, 0)
    if planned.changed:
        ports.journal.info("sync_up", org_id=planned.org_id, run_id=planned.run_id)
        if ports.pace is not None:
            ports.pace.before_upload(planned.org_id)
        with account.step("sync_up"):
            facts = version_facts(planned)
            uploaded = ports.sync.up(copy, run_id=planned.run_id, facts=facts, transfer=account.transfer)
        ports.journal.info(
            "synced",
            org_id=planned.org_id,
            run_id=planned.run_id,
            direction="up",
            generation=uploaded.generation,
            bytes_up=account.transfer.bytes_up,
        )
    with account.step("status"):
        completed = _first_publication(planned, account, copy, uploaded)
        post_completed(ports.statuses, completed, ports.clock, ports.journal, account.transfer)
    completed = _first_publication(planned, account, copy, uploaded)  # the status was a request, too
    _publish(completed, ports)
    _journal_completion(completed, account, ports.journal)
    return completed


def _journal_completion(completed: RunCompleted, account: _Account, journal: Journal) -> None:
    """Say what the run did, moved and asked for, and how fast it was."""
    journal.info(
        "completed",
        org_id=completed.org_id,
        run_id=completed.run_id,
        changed=completed.changed,
        generation=completed.generation,
        bytes_down=completed.bytes_down,
        bytes_up=completed.bytes_up,
        requests_class_a=account.transfer.requests_class_a,
        requests_class_b=account.transfer.requests_class_b,
        pages_changed=completed.pages_changed,
        durations_seconds=completed.durations_seconds,
        **_rates(completed, account.steps.seconds),
    )


def _rates(completed: RunCompleted, seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the run's speed, and how much of its mail a window keeps back (R99)."""
    busy = seconds.get("plan", 0.0) + seconds.get("commit", 0.0)
    excluded = sum(n for reason, n in completed.skipped_by_reason.items() if reason.startswith("exclusion:"))
    mails = completed.counts.emails_scheduled + completed.counts.emails_skipped
    return {
        "contacts_per_second": round(completed.counts.contacts / busy) if busy else 0,
        "exclusion_hit_rate": round(excluded / mails, 4) if mails else 0.0,
    }


def _first_publication(planned: RunCompleted, account: _Account, copy: WorkingCopy, uploaded: Uploaded) -> RunCompleted:
    """Add what is known only after the upload; a repeated publication comes from the record and lacks it."""
    transfer = account.transfer
    warnings = planned.warnings
    return replace(
        planned,
        replayed=False,
        generation=uploaded.generation,
        parent_generation=copy.generation,
        bytes_down=transfer.bytes_down,
        bytes_up=transfer.bytes_up,
        requests=RequestCounts(a=transfer.requests_class_a, b=transfer.requests_class_b),
        pages_changed=transfer.pages_changed,
        durations_seconds={name: round(seconds, 3) for name, seconds in account.steps.seconds.items()},
        warnings=(*warnings, OBJECT_REPLACED) if copy.object_replaced else warnings,
    )


def _publish(completed: RunCompleted, ports: Ports) -> None:
    event = Outgoing(
        id=completion_id(completed.org_id, completed.run_id),
        source=SOURCE,
        data=completed,
        org_id=completed.org_id,
        time=ports.clock.now_utc(),
        run_id=completed.run_id,
        traceparent=ports.tracer.traceparent(),
    )
    with ports.tracer.span("publish"):
        for rejection in rejections_of(completed, source=SOURCE, time=ports.clock.now_utc()):
            publish(rejection, ports)
            ports.journal.warning(
                "items_rejected", org_id=completed.org_id, run_id=completed.run_id, event_id=rejection.id
            )
        publish(event, ports)
    ports.journal.info(
        "published", org_id=completed.org_id, run_id=completed.run_id, event_id=event.id, replayed=completed.replayed
    )


def publish(event: Outgoing, ports: Ports) -> None:
    """Publish one event on the completion topic; returns when the bus has it."""
    attributes, data = encode(event)
    ports.bus.publish(Message(ports.completion_topic, attributes, data))
