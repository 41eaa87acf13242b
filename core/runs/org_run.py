"""The run of one org: rooms 4 to 10, top to bottom. What is not in the object did not happen."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import msgspec
from msgspec.structs import replace

from core.runs.changes import apply_events
from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import (
    Bus,
    Clock,
    Journal,
    Lease,
    Message,
    OrgDatabase,
    OrgStore,
    PreconditionFailedError,
    StoredRun,
    Sync,
    Transfer,
    Uploaded,
    WorkingCopy,
)
from core.runs.reconcile import Order, Reconciled, reconcile
from core.runs.status_board import StatusBoard, post_completed, version_facts
from events.encode import encode
from events.ids import completion_id, run_id
from events.payloads import RequestCounts, RunCompleted
from events.types import ConfigChanged, Event, EventKey, OrgId, Outgoing, RunRequested

ATTEMPTS_MAX: Final = 5
"""How often a run starts again after another writer was first."""

SOURCE: Final = "//emailsched/runs"
"""CloudEvents source of everything that a run publishes."""

_BACKOFF_SECONDS: Final = (0.0, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one org that share a run: same as_of, same wishes."""

    org_id: OrgId
    events: tuple[Event, ...]
    as_of: date | None = None
    force: bool = False
    create: bool = False

    @classmethod
    def of(cls, events: tuple[Event, ...]) -> "Batch":
        """Build the batch of events that ``batch_key`` puts together."""
        as_of, force, create, _ = batch_key(events[0])
        return cls(events[0].org_id, events, as_of, force, create)


BatchKey = tuple[date | None, bool, bool, EventKey | None]


def batch_key(event: Event) -> BatchKey:
    """Return what two events must agree on to share a run: as_of, force, create.

    A change of configuration runs alone: it may be refused, and must not take the events of others with it.
    """
    match event.data:
        case RunRequested() as wish:
            return wish.as_of, wish.force, wish.create, None
        case ConfigChanged():
            return None, False, False, event.key
        case _:
            return None, False, False, None


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that a run needs of the world."""

    sync: Sync
    lease: Lease
    store: OrgStore
    bus: Bus
    clock: Clock
    journal: Journal
    completion_topic: str
    statuses: StatusBoard | None = None
    """None: nobody asks how the last run ended."""


@dataclass(slots=True)
class _Account:
    """What one run cost: bytes and requests, and seconds per step."""

    clock: Clock
    transfer: Transfer = field(default_factory=Transfer)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time spent in a block to a step."""
        started = self.clock.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self.clock.monotonic() - started


Slot = Callable[[Batch, float], AbstractContextManager[None]]
"""Waits until the machine can bear another run (at most until a monotonic moment) and counts it."""


def run_org(batch: Batch, ports: Ports, *, until: float, slot: Slot) -> Mapping[EventKey, RunCompleted]:
    """Run one org for a batch of events and publish; returns the completion of every event.

    ``until`` is the monotonic moment up to which the lease is waited for. The slot is taken after the lease, so that orgs
    that wait for another machine do not keep this one from working. Raises OrgError; then no event of the batch may be
    acknowledged unless the error's answer says so.
    """
    account = _Account(ports.clock)
    with ports.lease.hold(batch.org_id, until=until, transfer=account.transfer), slot(batch, until):
        for attempt in range(1, ATTEMPTS_MAX + 1):
            ports.clock.sleep(_BACKOFF_SECONDS[attempt - 1])
            try:
                return _attempt(batch, ports, account)
            except PreconditionFailedError:
                ports.journal.warning("fence_conflict", org_id=batch.org_id, attempt=attempt, attempts_max=ATTEMPTS_MAX)
    raise OrgError(ErrorCode.FENCE_LOST, batch.org_id, f"another writer was first {ATTEMPTS_MAX} times")


def _attempt(batch: Batch, ports: Ports, account: _Account) -> Mapping[EventKey, RunCompleted]:
    ports.journal.info("sync_down", org_id=batch.org_id)
    with account.step("sync_down"):
        copy = ports.sync.down(batch.org_id, create=batch.create, transfer=account.transfer)
    try:
        ports.journal.info(
            "synced",
            org_id=batch.org_id,
            direction="down",
            generation=copy.generation,
            bytes_down=account.transfer.bytes_down,
        )
        if copy.object_replaced:
            ports.journal.warning("object_replaced", org_id=batch.org_id, generation=copy.generation)
        # Closed also where the run fails: the next run writes the file.
        with closing(ports.store.open(copy.file, batch.org_id)) as db:
            return _with_copy(batch, ports, account, copy, db)
    finally:
        ports.sync.done(copy)


def _with_copy(
    batch: Batch, ports: Ports, account: _Account, copy: WorkingCopy, db: OrgDatabase
) -> Mapping[EventKey, RunCompleted]:
    migrated = db.migrate()
    keys = tuple(dict.fromkeys(event.key for event in batch.events))
    known = db.runs_of_events(keys)
    completions = {key: _replay(run) for key, run in known.items()}
    for completed in {c.run_id: c for c in completions.values()}.values():
        _publish(completed, ports)
    fresh: dict[EventKey, Event] = {}
    for event in batch.events:
        if event.key not in known:
            fresh.setdefault(event.key, event)
    if fresh:
        try:
            completed = _run_fresh(batch, tuple(fresh.values()), ports, account, copy, db, migrated=migrated)
        except OrgError as error:
            if not known:
                raise
            # What is done stays done, whatever is wrong with the others: those come again alone, and hear it then.
            ports.journal.warning(error.code.value, org_id=batch.org_id, detail=error.detail)
            return completions
        completions.update(dict.fromkeys(fresh, completed))
    return completions


def _run_fresh(  # the rest of the rooms needs all that was prepared
    batch: Batch,
    fresh: tuple[Event, ...],
    ports: Ports,
    account: _Account,
    copy: WorkingCopy,
    db: OrgDatabase,
    *,
    migrated: bool,
) -> RunCompleted:
    keys = tuple(event.key for event in fresh)
    order = Order(
        org_id=batch.org_id,
        run_id=run_id(batch.org_id, copy.generation, keys),
        event_keys=keys,
        as_of=batch.as_of,
        force=batch.force,
    )
    with account.step("apply"):
        applied = apply_events(db, fresh, ports.clock)
    if applied:
        ports.journal.info("applied", org_id=order.org_id, run_id=order.run_id, events=len(fresh))
    with account.step("plan"):
        result = reconcile(db, order, ports.clock, ports.journal, written=migrated or applied)
    _journal_plan(result, ports.journal)
    uploaded = Uploaded(copy.generation, 0)
    if result.changed:
        with account.step("commit"):
            for warning in db.write(result.commit):
                ports.journal.warning(warning, org_id=order.org_id, run_id=order.run_id)
            db.close()
        ports.journal.info("sync_up", org_id=order.org_id, run_id=order.run_id)
        with account.step("sync_up"):
            facts = version_facts(result.completed)
            uploaded = ports.sync.up(copy, run_id=order.run_id, facts=facts, transfer=account.transfer)
        ports.journal.info(
            "synced",
            org_id=order.org_id,
            run_id=order.run_id,
            direction="up",
            generation=uploaded.generation,
            bytes_up=account.transfer.bytes_up,
        )
    with account.step("status"):
        completed = _first_publication(result, account, copy, uploaded)
        post_completed(ports.statuses, completed, ports.clock, ports.journal, account.transfer)
    completed = _first_publication(result, account, copy, uploaded)  # the status was a request, too
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
        **_rates(completed, account.seconds),
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


def _journal_plan(result: Reconciled, journal: Journal) -> None:
    completed = result.completed
    journal.info(
        "planned",
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


def _first_publication(result: Reconciled, account: _Account, copy: WorkingCopy, uploaded: Uploaded) -> RunCompleted:
    """Add what is known only after the upload; a repeated publication comes from the record and lacks it."""
    transfer = account.transfer
    warnings = result.completed.warnings
    return replace(
        result.completed,
        replayed=False,
        generation=uploaded.generation,
        parent_generation=copy.generation,
        bytes_down=transfer.bytes_down,
        bytes_up=transfer.bytes_up,
        requests=RequestCounts(a=transfer.requests_class_a, b=transfer.requests_class_b),
        pages_changed=transfer.pages_changed,
        durations_seconds={name: round(seconds, 3) for name, seconds in account.seconds.items()},
        warnings=(*warnings, "object_replaced") if copy.object_replaced else warnings,
    )


def _replay(run: StoredRun) -> RunCompleted:
    return msgspec.json.decode(run.completion_json, type=RunCompleted)


def _publish(completed: RunCompleted, ports: Ports) -> None:
    event = Outgoing(
        id=completion_id(completed.org_id, completed.run_id),
        source=SOURCE,
        data=completed,
        org_id=completed.org_id,
        time=ports.clock.now_utc(),
        run_id=completed.run_id,
    )
    publish(event, ports)
    ports.journal.info(
        "published", org_id=completed.org_id, run_id=completed.run_id, event_id=event.id, replayed=completed.replayed
    )


def publish(event: Outgoing, ports: Ports) -> None:
    """Publish one event on the completion topic; returns when the bus has it."""
    attributes, data = encode(event)
    ports.bus.publish(Message(ports.completion_topic, attributes, data))
