"""Rooms 6 to 8: what a run does inside its working copy. It needs the file, a clock and a journal, and no more.

So it can be carried out by this process or by another one: a job and what came of it are plain values, and rows never leave
the process that plans them.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date

import msgspec

from core.runs.changes import apply_events
from core.runs.errors import ErrorCode, OrgError
from core.runs.held_run import Recorded, record_only
from core.runs.ports import Clock, Journal, OrgDatabase, OrgStore, StoredRun
from core.runs.reconcile import Order, Reconciled, reconcile
from core.runs.warnings import ON_HOLD
from events.ids import run_id
from events.payloads import RunCompleted
from events.types import Event, EventKey, OrgId


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningJob:
    """One batch of events, and the working copy that it is to change."""

    org_id: OrgId
    file: str
    generation: int
    """What the working copy was made from; 0: a new org."""
    events: tuple[Event, ...]
    as_of: date | None = None
    force: bool = False
    on_hold: bool = False
    """Keep what the events say, plan nothing."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the new events of a job were not carried although others were known."""

    code: ErrorCode
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """What came of a job. The working copy is closed, and nobody else has seen it yet."""

    known: tuple[tuple[EventKey, RunCompleted], ...]
    """Events that committed runs have carried, with the completion of each run."""
    fresh: tuple[EventKey, ...]
    """The others."""
    completed: RunCompleted | None
    """Of the run of the fresh ones, as it is stored; None where there are none, or with ``failure``."""
    failure: Failure | None
    seconds: dict[str, float]
    """Per step."""


@dataclass(slots=True)
class Steps:
    """Seconds per step."""

    clock: Clock
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time spent in a block to a step."""
        started = self.clock.monotonic()
        try:
            yield
        finally:
            self.add(name, self.clock.monotonic() - started)

    def add(self, name: str, seconds: float) -> None:
        """Add time to a step."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def carry_out(job: PlanningJob, store: OrgStore, clock: Clock, journal: Journal) -> JobDone:
    """Apply the events that no run has carried, plan, and write the difference into the working copy.

    Raises OrgError: what ``apply_events``, ``reconcile`` and the database raise; the working copy is worthless then.
    """
    steps = Steps(clock)
    # Closed also where it fails: the next run writes the file.
    with closing(store.open(job.file, job.org_id)) as db:
        migrated = db.migrate()
        known = db.runs_of_events(tuple(dict.fromkeys(event.key for event in job.events)))
        replays = {run.run_id: _replay(run) for run in known.values()}
        fresh: dict[EventKey, Event] = {}
        for event in job.events:
            if event.key not in known:
                fresh.setdefault(event.key, event)
        completed: RunCompleted | None = None
        failure: Failure | None = None
        if fresh:
            try:
                completed = _run(job, tuple(fresh.values()), db, steps, journal, migrated=migrated)
            except OrgError as error:
                if not known:
                    raise
                # What is done stays done, whatever is wrong with the others: those come again alone, and hear it then.
                failure = Failure(error.code, error.detail)
    return JobDone(
        known=tuple((key, replays[run.run_id]) for key, run in known.items()),
        fresh=tuple(fresh),
        completed=completed,
        failure=failure,
        seconds=steps.seconds,
    )


def _run(
    job: PlanningJob, events: tuple[Event, ...], db: OrgDatabase, steps: Steps, journal: Journal, *, migrated: bool
) -> RunCompleted:
    keys = tuple(event.key for event in events)
    order = Order(
        org_id=job.org_id,
        run_id=run_id(job.org_id, job.generation, keys),
        event_keys=keys,
        as_of=job.as_of,
        force=job.force,
    )
    with steps.step("apply"):
        applied = apply_events(db, events, steps.clock, on_hold=job.on_hold)
    if applied.written:
        counts = {name: getattr(applied.counts, name) for name in applied.counts.__struct_fields__}
        told = {name: count for name, count in counts.items() if count}
        journal.info("applied", org_id=order.org_id, run_id=order.run_id, events=len(events), **told)
    written = migrated or applied.written
    result: Reconciled | Recorded
    with steps.step("plan"):
        if job.on_hold:
            result = record_only(db, order, steps.clock, written=written, applied=applied)
        else:
            result = reconcile(db, order, steps.clock, journal, written=written, applied=applied)
    _journal_plan(result.completed, journal)
    if result.changed:
        with steps.step("commit"):
            for warning in db.write(result.commit):
                journal.warning(warning, org_id=order.org_id, run_id=order.run_id)
            db.close()
    return result.completed


def _journal_plan(completed: RunCompleted, journal: Journal) -> None:
    journal.info(
        "recorded" if ON_HOLD in completed.warnings else "planned",
        org_id=completed.org_id,
        run_id=completed.run_id,
        changed=completed.changed,
        **{name: getattr(completed.counts, name) for name in completed.counts.__struct_fields__},
    )
    if completed.cap_exceeded_days:
        journal.warning(
            "cap_exceeded", org_id=completed.org_id, run_id=completed.run_id, days=len(completed.cap_exceeded_days)
        )
    for warning in completed.warnings:
        journal.warning(warning, org_id=completed.org_id, run_id=completed.run_id)


def _replay(run: StoredRun) -> RunCompleted:
    return msgspec.json.decode(run.completion_json, type=RunCompleted)


@dataclass(frozen=True, slots=True)
class InProcessPlanner:
    """The ``Planner`` that needs no other process: for the command line, and for tests with a clock of their own."""

    store: OrgStore
    clock: Clock
    journal: Journal

    def carry_out(self, job: PlanningJob, lock: int | None) -> JobDone:  # noqa: ARG002 - this process has the lock
        """Carry out a job here and now; see the port."""
        return carry_out(job, self.store, self.clock, self.journal)
