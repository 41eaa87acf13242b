"""What happens to one event, from the mailbox to the answer: the handler behind every door."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from core.runs.errors import ErrorCode, OrgError, unforeseen
from core.runs.mailbox import Mailbox
from core.runs.org_run import SOURCE, Batch, Ports, publish, run_org
from core.runs.status_board import post_failed
from events.ids import failure_id, rejection_id
from events.payloads import EventRef, EventRejected, RejectedReason, RunCompleted, RunFailed
from events.rejection import Rejection
from events.types import ConfigChanged, Event, EventKey, Outgoing, RunRequested

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

    def __init__(self, ports: Ports, *, waiters_max: int, run_slots: int) -> None:
        self._ports = ports
        self._slots = threading.BoundedSemaphore(run_slots)
        self._running = 0
        self._running_lock = threading.Lock()
        self.mailbox: Mailbox[RunCompleted] = Mailbox(self._run, ports.clock, waiters_max=waiters_max)

    def handle(self, event: Event, *, until: float) -> Handled:
        """Carry one event to its end; raises nothing that an operator could act on (it is in the result)."""
        try:
            return Handled("done", self.mailbox.submit(event, until=until))
        except OrgError as error:
            return self._answer(event, error)

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
        return self._running

    def _run(self, batch: Batch, until: float) -> Mapping[EventKey, RunCompleted]:
        try:
            with self._ports.tracer.span("run", org_id=batch.org_id):
                return run_org(batch, self._ports, until=until, slot=self._slot)
        except OrgError as error:
            ports = self._ports
            post_failed(ports.statuses, error, batch.org_id, ports.clock, ports.journal)
            raise
        except Exception as error:
            # The last boundary: whatever went wrong, the message comes again and the operator learns where.
            raise unforeseen(error, batch.org_id) from error

    @contextmanager
    def _slot(self, batch: Batch, until: float) -> Iterator[None]:
        """Keep the number of runs at once within what the machine can bear."""
        wait = max(0.0, until - self._ports.clock.monotonic())
        if not self._slots.acquire(timeout=wait):
            raise OrgError(ErrorCode.LEASE_BUSY, batch.org_id, "no run slot came free in time")
        self._count_running(1)
        try:
            yield
        finally:
            self._count_running(-1)
            self._slots.release()

    def _count_running(self, change: int) -> None:
        with self._running_lock:
            self._running += change

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
                return self._publish_or_retry(self._failed(event, error), Handled(outcome, error=error))

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
