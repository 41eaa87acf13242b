"""Ids that follow from what they name, so that a repetition has the id of the original and consumers can drop it.

Every digest is taken over a JSON list in ASCII without spaces: unambiguous (no separator can be smuggled in) and easy
to check by hand, for example ``printf '%s' '["run","acme",7,[["s","1"]]]' | sha256sum``.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Final
from uuid import NAMESPACE_DNS, UUID, uuid5

from events.limits import DEFAULT_LIMITS
from events.types import EventKey, OrgId

NAMESPACE: Final[UUID] = uuid5(NAMESPACE_DNS, "events.emailscheduler.com")
"""Fixed for good: another namespace would give every repeated publication a new id."""

ORG_ID_CHARACTERS_MAX: Final = 64
RUN_ID_HEX_DIGITS: Final = 32

_Canonical = str | int | None | list["_Canonical"]


def run_id(org_id: OrgId, generation: int, event_keys: Iterable[EventKey]) -> str:
    """Digest of the org, the generation read (0: no object) and the events carried, in any order; 32 hex digits.

    The same events on the same generation are the same run, whoever makes it and however often.
    """
    keys: list[_Canonical] = [[key.source, key.id] for key in sorted(set(event_keys))]
    return hashlib.sha256(_canonical(["run", org_id, generation, keys])).hexdigest()[:RUN_ID_HEX_DIGITS]


def fanout_child_id(fanout_id: str, org_id: OrgId) -> str:
    """Event id of the run request that a fan-out makes for an org: ``<parent>/<org>``, the same however often it is made.

    A parent's id that leaves no room for an org's is replaced by its SHA-256.
    """
    room = DEFAULT_LIMITS.id_characters_max - len("/") - ORG_ID_CHARACTERS_MAX
    parent = fanout_id if len(fanout_id) <= room else hashlib.sha256(fanout_id.encode()).hexdigest()
    return f"{parent}/{org_id}"


def completion_id(org_id: OrgId, run_id: str) -> str:
    """Event id of run.completed: a repeated publication has the same one."""
    return _uuid(["completed", org_id, run_id])


def failure_id(org_id: OrgId, event_key: EventKey, code: str) -> str:
    """Event id of run.failed: once per event and reason, however often the event is redelivered."""
    return _uuid(["failed", org_id, event_key.source, event_key.id, code])


def rejection_id(digest: str, event_key: EventKey | None) -> str:
    """Event id of event.rejected, and the name of a large body in the bucket: the same bad message has the same id."""
    key: _Canonical = None if event_key is None else [event_key.source, event_key.id]
    return _uuid(["rejected", digest, key])


def _uuid(parts: list[_Canonical]) -> str:
    return str(uuid5(NAMESPACE, _canonical(parts).decode("ascii")))


def _canonical(parts: list[_Canonical]) -> bytes:
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=True).encode("ascii")
