"""What happens to one decoded message, whatever door it came through: the push, the pull, or a batch."""

from collections.abc import Iterable
from typing import Final

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import PreconditionFailedError
from core.runs.service import Handled
from events.rejection import Judged, Rejection
from events.types import Event, FleetEvent
from handlers.bootstrap import App
from handlers.process import Runtime

REJECTED_PREFIX: Final = "rejected/"
"""Where bodies go that are too large for event.rejected; a lifecycle rule of the bucket removes them after 30 days."""


def carry_all(decoded: Iterable[Judged], runtime: Runtime, arrived: float) -> list[Handled]:
    """Carry every event of a request to its end, each for itself: a bad one does not hold up the others.

    ``arrived`` is the monotonic moment when the request came.
    """
    until = arrived + runtime.app.settings.run_deadline_seconds
    outcomes: list[Handled] = []
    for message in decoded:
        if runtime.app.clock.monotonic() > until:
            error = OrgError(ErrorCode.LEASE_BUSY, detail="the batch did not end in time")
            outcomes.append(Handled("retry", error=error))
            break
        outcomes.append(_carry(message, runtime, until=until))
    return outcomes


def _carry(message: Judged, runtime: Runtime, *, until: float) -> Handled:
    """Carry one event, or the news of a bad message, to its end, and count it; ``until`` as `Service.handle` has it."""
    app = runtime.app
    match message:
        case Event():
            with app.tracer.span("mailbox", org_id=message.org_id, parent=message.traceparent):
                handled = app.service.handle(message, until=until)
        case FleetEvent():
            handled = app.fanout.handle(message, until=until)
        case Rejection():
            handled = _rejected(message, app)
    runtime.observer.handled(handled)
    return handled


def _rejected(rejection: Rejection, app: App) -> Handled:
    """Tell the world of a bad message; a large body is kept in the bucket first, and referred to."""
    reference = None
    if rejection.needs_body_reference:
        reference = REJECTED_PREFIX + rejection.id
        try:
            app.bucket.write(reference, rejection.body, if_generation_match=0, metadata={})
        except PreconditionFailedError:
            app.journal.info("rejected_body_kept_already", object=reference)  # an earlier delivery of this message
        except OrgError as error:
            app.journal.error(error.code.value, org_id=rejection.org_id, detail=error.detail, hint=error.hint)
            return Handled("retry", error=error)
    return app.service.reject(rejection, reference)
