"""What happens to one event, from the mailbox to the answer: the handler behind every door."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, Literal

from core.runs.admission import Admission, Capacity
from core.runs.batch import Batch
from core.runs.errors import OrgError, unforeseen
from core.runs.lease import KeptLease
from core.runs.mailbox import Mailbox, MailboxLimits
from core.runs.org_run import SOURCE, Gate, Ports, publish, run_org
from core.runs.status_board import post_failed
from events.ids import failure_id, rejection_id
from events.payloads import EventRef, EventRejected, RejectedReason, RunCompleted, RunFailed
from events.rejection import Rejection
from events.types import ConfigChanged, Event, EventKey, OrgId, Outgoing, RunRequested

ORGS_AT_ONCE: Final = 8
"""Of the events of one request: as many orgs are served side by side."""
TOLD_MAX: Final = 10_000
"""Failures that are remembered as published."""

POINTERS_LOGGED_MAX: Final = 20
"""Of one rejection; the event has them all."""

Outcome = Literal["done", "rejected", "failed", "retry"]


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of an event, and so what its sender is told.

    ``done``: a run carried it. ``rejected``: it is bad for good, and event.rejected is published. ``failed``: the org is at
    fault, and run.failed is published. ``retry``: it must come again.
    """

    outcome: Outcome
    completed: RunCompleted | None = None
    error: OrgError | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether the sender may forget the message."""
        return self.outcome != "retry"


class Service:
    """Handles events; safe to call from many threads."""

    def __init__(self, ports: Ports, *, limits: MailboxLimits, capacity: Capacity) -> None:
        self._conflicts = count(1)
        self.conflicts = 0
        """Uploads that met a newer generation so far, also those that the next attempt made good."""
        self._ports = replace(ports, conflict=self._count_conflict)
        self._admission = Admission(capacity, ports.clock)
        self._told: OrderedDict[str, None] = OrderedDict()
        self._told_lock = threading.Lock()
        self.mailbox: Mailbox[RunCompleted] = Mailbox(
            lambda _org_id: _OrgSession(self._ports, self._admission.visit),
            ports.clock,
            limits=limits,
            pace=ports.pace,
        )

    def handle(self, event: Event, *, until: float) -> Handled:
        """Carry one event to its end; raises nothing that an operator could act on (it is in the result)."""
        (handled,) = self._handle_org((event,), until)
        return handled

    def handle_all(self, events: Sequence[Event], *, until: float) -> list[Handled]:
        """Carry events to their end; those of one org share its runs, and orgs do not wait for each other.

        Returns what became of them, in their order.
        """
        by_org: dict[OrgId, list[Event]] = {}
        for event in events:
            by_org.setdefault(event.org_id, []).append(event)
        groups = list(by_org.values())
        if len(groups) > 1:
            with ThreadPoolExecutor(min(len(groups), ORGS_AT_ONCE)) as threads:
                answers = list(threads.map(lambda group: self._handle_org(group, until), groups))
        else:
            answers = [self._handle_org(group, until) for group in groups]
        left = {group[0].org_id: iter(handled) for group, handled in zip(groups, answers, strict=True)}
        return [next(left[event.org_id]) for event in events]

    def _count_conflict(self) -> None:
        self.conflicts = next(self._conflicts)

    def _handle_org(self, events: Sequence[Event], until: float) -> list[Handled]:
        outcomes = self.mailbox.submit_all(events, until=until)
        return [
            self._answer(event, outcome) if isinstance(outcome, OrgError) else Handled("done", outcome)
            for event, outcome in zip(events, outcomes, strict=True)
        ]

    def reject(self, rejection: Rejection, body_reference: str | None = None) -> Handled:
        """Tell the world about a message that can never be processed."""
        journal = self._ports.journal
        journal.error(
            "event_rejected",
            org_id=rejection.org_id,
            event_id=rejection.key.id if rejection.key else None,
            codes=sorted({reason.code for reason in rejection.reasons}),
            reasons=len(rejection.reasons),
            pointers=[reason.pointer for reason in rejection.reasons[:POINTERS_LOGGED_MAX]],
        )
        payload = rejection.to_payload(body_reference)
        return self._publish_or_retry(
            Outgoing(
                id=rejection.id,
                source=SOURCE,
                data=payload,
                org_id=rejection.org_id,
                time=self._ports.clock.now_utc(),
            ),
            Handled("rejected"),
        )

    @property
    def running(self) -> int:
        """How many runs are in progress."""
        return self._admission.running

    def _answer(self, event: Event, error: OrgError) -> Handled:
        self._ports.journal.error(
            error.code.value,
            org_id=event.org_id,
            event_id=event.id,
            detail=error.detail,
            hint=error.hint,
            retryable=error.retryable,
        )
        match error.answer:
            case "retry":
                return Handled("retry", error=error)
            case "reject":
                return self._publish_or_retry(self._rejected(event, error), Handled("rejected", error=error))
            case "fail":
                # What an operator asked for can be asked again once the org is mended; data must not be lost meanwhile.
                outcome: Outcome = "failed" if isinstance(event.data, RunRequested | ConfigChanged) else "retry"
                return self._tell_once(self._failed(event, error), Handled(outcome, error=error))

    def _tell_once(self, outgoing: Outgoing, handled: Handled) -> Handled:
        """Publish what a redelivery would repeat; after a restart it may be published again, with the same id."""
        with self._told_lock:
            if outgoing.id in self._told:
                self._told.move_to_end(outgoing.id)
                return handled
        told = self._publish_or_retry(outgoing, handled)
        if told is handled:
            with self._told_lock:
                self._told[outgoing.id] = None
                while len(self._told) > TOLD_MAX:
                    self._told.popitem(last=False)
        return told

    def _publish_or_retry(self, outgoing: Outgoing, handled: Handled) -> Handled:
        try:
            publish(outgoing, self._ports)
        except OrgError as error:
            self._ports.journal.error(error.code.value, org_id=outgoing.org_id, detail=error.detail, hint=error.hint)
            return Handled("retry", error=error)
        return handled

    def _rejected(self, event: Event, error: OrgError) -> Outgoing:
        digest = hashlib.sha256(f"{event.source}\n{event.id}\n{error.code}".encode()).hexdigest()
        reason = RejectedReason(code=error.code.value, pointer="", message=f"{error}; {error.hint}")
        payload = EventRejected(
            org_id=event.org_id,
            event=EventRef(source=event.source, id=event.id),
            reasons=(reason,),
            digest=digest,
            attribute_names=(),
            body_base64=None,
            body_reference=None,
        )
        return Outgoing(
            id=rejection_id(digest, event.key),
            source=SOURCE,
            data=payload,
            org_id=event.org_id,
            time=self._ports.clock.now_utc(),
        )

    def _failed(self, event: Event, error: OrgError) -> Outgoing:
        payload = RunFailed(
            org_id=event.org_id,
            event_ids=(EventRef(source=event.source, id=event.id),),
            code=error.code.value,
            message=str(error),
            hint=error.hint,
            retryable=error.retryable,
            run_id=None,
        )
        return Outgoing(
            id=failure_id(event.org_id, event.key, error.code.value),
            source=SOURCE,
            data=payload,
            org_id=event.org_id,
            time=self._ports.clock.now_utc(),
        )


class _OrgSession:
    """Serves one org: the lease is taken once for consecutive batches, room on the machine anew for each."""

    def __init__(self, ports: Ports, gate: Gate) -> None:
        self._lease = KeptLease(ports.lease)
        self._ports = replace(ports, lease=self._lease)
        self._gate = gate

    def run(self, batch: Batch, until: float) -> Mapping[EventKey, RunCompleted]:
        """Carry a batch; raises OrgError and nothing else."""
        ports = self._ports
        try:
            with ports.tracer.span("run", org_id=batch.org_id):
                return run_org(batch, ports, until=until, gate=self._gate)
        except OrgError as error:
            if not _is_order(batch):
                post_failed(ports.statuses, error, batch.org_id, ports.clock, ports.journal)
            raise
        except Exception as error:
            # The last boundary: whatever went wrong, the message comes again and the operator learns where.
            raise unforeseen(error, batch.org_id) from error

    def close(self) -> None:
        """Give the lease back."""
        self._lease.give_back()


def _is_order(batch: Batch) -> bool:
    """Whether somebody changes the configuration: one that is refused leaves the org as well as it was, and is no news."""
    return all(isinstance(event.data, ConfigChanged) for event in batch.events)
