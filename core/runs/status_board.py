"""Where statuses are kept, and how a run leaves one: best effort, because a committed run is committed."""

from typing import Protocol

from core.runs.errors import ErrorCode, OrgError
from core.runs.org_status import OrgStatus
from core.runs.ports import Clock, Journal, Transfer
from core.runs.warnings import ON_HOLD
from events.payloads import RequestCounts, RunCompleted
from events.types import OrgId


class StatusBoard(Protocol):
    """Where statuses are kept; raises OrgError BUCKET_*."""

    @property
    def cost(self) -> RequestCounts:
        """The requests that a post makes: a status names them among those of its run, before it is written."""
        ...

    def read(self, org_id: OrgId) -> OrgStatus | None:
        """The status of an org, None where there is none or one that cannot be read."""
        ...

    def post(self, status: OrgStatus, transfer: Transfer) -> None:
        """Replace the status of an org, and add the requests to the account."""
        ...


def post_completed(
    board: StatusBoard | None, completed: RunCompleted, clock: Clock, journal: Journal, transfer: Transfer
) -> None:
    """Say that a run completed; raises nothing that would stop it."""
    if board is None:
        return
    now = clock.now_utc()
    cost = board.cost
    status = OrgStatus(
        org_id=completed.org_id,
        at=now,
        outcome="completed",
        error_code=None,
        last_completed_at=now,
        run_id=completed.run_id,
        changed=completed.changed,
        as_of=completed.as_of.isoformat(),
        generation=completed.generation,
        counts=None if ON_HOLD in completed.warnings else completed.counts,
        bytes_down=completed.bytes_down,
        bytes_up=completed.bytes_up,
        requests=RequestCounts(a=transfer.requests_class_a + cost.a, b=transfer.requests_class_b + cost.b),
        warnings=completed.warnings,
    )
    try:
        board.post(status, transfer)
    except OrgError as error:
        _warn(error, completed.org_id, journal)


def post_failed(board: StatusBoard | None, error: OrgError, org_id: OrgId, clock: Clock, journal: Journal) -> None:
    """Say that a run failed for good, and when one last completed; raises nothing that would hide the error.

    A failure that comes again by itself says nothing yet, and an org without an object is none.
    """
    if board is None or error.answer == "retry" or error.code is ErrorCode.OBJECT_MISSING:
        return
    try:
        before = board.read(org_id)
        status = OrgStatus(
            org_id=org_id,
            at=clock.now_utc(),
            outcome="failed" if error.answer == "fail" else "rejected",
            error_code=error.code.value,
            last_completed_at=None if before is None else before.last_completed_at,
            run_id=None,
            changed=None,
            as_of=None,
            generation=None,
            counts=None,
            bytes_down=None,
            bytes_up=None,
            requests=None,
            warnings=(),
        )
        board.post(status, Transfer())
    except OrgError as failure:
        _warn(failure, org_id, journal)


def version_facts(completed: RunCompleted) -> dict[str, str]:
    """Return what the metadata of a version say of the plan in it, so that nobody has to download it to know."""
    if ON_HOLD in completed.warnings:  # nothing was planned: what it holds was not counted
        return {}
    counts = completed.counts
    return {
        "contacts": str(counts.contacts),
        "emails-scheduled": str(counts.emails_scheduled),
        "emails-skipped": str(counts.emails_skipped),
    }


def _warn(error: OrgError, org_id: str, journal: Journal) -> None:
    journal.warning("status_not_written", org_id=org_id, code=error.code.value, detail=error.detail)
