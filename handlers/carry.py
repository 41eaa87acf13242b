"""What happens to one decoded message, whatever door it came through: the push, the pull, or a batch."""

from collections.abc import Iterable, Sequence
from typing import Final

from core.runs.errors import OrgError
from core.runs.ports import PreconditionFailedError
from core.runs.service import Handled
from events.rejection import Judged, Rejection
from events.types import Event, FleetEvent
from handlers.bootstrap import App
from handlers.process import Runtime

REJECTED_PREFIX: Final = "rejected/"
"""Where bodies go that are too large for event.rejected; a lifecycle rule of the bucket removes them after 30 days."""


def carry_all(decoded: Iterable[Judged], runtime: Runtime, arrived: float) -> list[Handled]:
    """Carry all that came together: events of one org share its runs, and a bad message holds up no other.

    ``arrived`` is the monotonic moment when the request came. Returns what became of each message, in their order.
    """
    app = runtime.app
    messages = list(decoded)
    until = arrived + app.settings.run_deadline_seconds
    carried = iter(_carried(app, [m for m in messages if isinstance(m, Event)], until))
    outcomes: list[Handled] = []
    for message in messages:
        match message:
            case Event():
                handled = next(carried)
            case FleetEvent():
                handled = app.fanout.handle(message, until=until)
            case Rejection():
                handled = _rejected(message, app)
        runtime.observer.handled(handled)
        outcomes.append(handled)
    return outcomes


def _carried(app: App, events: Sequence[Event], until: float) -> list[Handled]:
    """Carry events; those that come together are one piece of work, and so in the trace of the first."""
    if not events:
        return []
    with app.tracer.span("mailbox", org_id=events[0].org_id, parent=events[0].traceparent):
        return app.service.handle_all(events, until=until)


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
