"""Contact changes and mail reports for tests: events with items, as the decoder makes them."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from events.http_binding import STRUCTURED
from events.rejection import Judged, Rejection
from events.types import CONTACT_CHANGED, MAIL_REPORTED, Event
from events.wire import decode
from tests.machines import NOW

Item = dict[str, Any]


def contact_changed(event_id: str, *items: Item, time: datetime | None = NOW, **attributes: Any) -> Event:
    """Return an event of good items."""
    return _only(decoded(CONTACT_CHANGED, event_id, items, time=time, **attributes))


def mail_reported(event_id: str, *items: Item, time: datetime | None = NOW, **attributes: Any) -> Event:
    """Return an event of good items."""
    return _only(decoded(MAIL_REPORTED, event_id, items, time=time, **attributes))


def decoded(
    type_name: str,
    event_id: str,
    items: Any,
    *,
    time: datetime | None = NOW,
    received_at: datetime | None = NOW,
    **attributes: Any,
) -> tuple[Judged, ...]:
    """Return what the decoder makes of an event in structured form."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": "//crm",
        "type": type_name,
        "subject": "org/acme",
        **attributes,
        "data": {"items": items},
    }
    if time is not None:
        event["time"] = time.isoformat()
    return decode({"content-type": STRUCTURED}, json.dumps(event).encode(), received_at=received_at)


def _only(judged: Sequence[Judged]) -> Event:
    for one in judged:
        assert not isinstance(one, Rejection), one.reasons
    (event,) = judged
    assert isinstance(event, Event)
    return event


def upsert(contact_id: int, **fields: Any) -> Item:
    return {"kind": "upsert", "contact_id": contact_id, **fields}


def delete(contact_id: int) -> Item:
    return {"kind": "delete", "contact_id": contact_id}


def unsubscribe(contact_id: int) -> Item:
    return {"kind": "unsubscribe", "contact_id": contact_id}


def resubscribe(contact_id: int) -> Item:
    return {"kind": "resubscribe", "contact_id": contact_id}


def click(contact_id: int, at: str = "2026-03-02T11:00:00Z", **fields: Any) -> Item:
    return {"kind": "click", "contact_id": contact_id, "clicked_at": at, **fields}


def answer(contact_id: int, at: str = "2026-03-02T11:00:00Z", **fields: Any) -> Item:
    return {"kind": "answer", "contact_id": contact_id, "answered_at": at, **fields}


def enrol(contact_id: int, **fields: Any) -> Item:
    return {"kind": "enrol", "contact_id": contact_id, **fields}


def report(contact_id: int, status: str, event_date: str, email_type: str = "birthday", **fields: Any) -> Item:
    return {
        "contact_id": contact_id, "email_type": email_type, "event_date": event_date, "status": status, **fields,
    }  # fmt: skip


def claim(contact_id: int, event_date: str, send_date: str, email_type: str = "birthday", **fields: Any) -> Item:
    return report(contact_id, "scheduled", event_date, email_type, scheduled_send_date=send_date, **fields)
