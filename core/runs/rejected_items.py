"""The event.rejected of items that a run refused, made from the run's record: every repetition has the same id."""

import hashlib
from collections.abc import Iterator
from datetime import datetime

import msgspec

from events.ids import rejection_id
from events.payloads import EventRejected, RunCompleted
from events.types import EventKey, Outgoing


def rejections_of(completed: RunCompleted, *, source: str, time: datetime) -> Iterator[Outgoing]:
    """Yield one event.rejected per event of which the run refused items.

    The body is not repeated: whoever sent it has it, and the pointers say which items are meant.
    """
    for refused in completed.rejected_items:
        digest = hashlib.sha256(msgspec.json.encode(refused)).hexdigest()
        payload = EventRejected(
            org_id=completed.org_id,
            event=refused.event,
            reasons=refused.reasons,
            digest=digest,
            attribute_names=(),
            body_base64=None,
            body_reference=None,
        )
        key = EventKey(refused.event.source, refused.event.id)
        yield Outgoing(id=rejection_id(digest, key), source=source, data=payload, org_id=completed.org_id, time=time)
