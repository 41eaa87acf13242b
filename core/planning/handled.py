"""Which occurrences the sender already has in hand (R33, R57): lookups of locked rows by contact and event."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from core.planning.columns import Bool, Int16, Int32, Int64, parts_of
from core.planning.kinds import KindTable
from core.planning.ordering import contact_of, day_of, pair_key
from core.planning.places import ContactPlaces
from core.planning.rules import CAMPAIGN, EMAIL_TYPES, HANDLED_DISTANCE_DAYS
from core.planning.schedule_rows import StoredRows

_YEAR_DAYS_MAX: Final = 366
_NO_KEYS: Final = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class EventIndex:
    """Sorted (contact, event) pairs of some locked rows; answers questions about many candidates at once."""

    keys: Int64
    latest: Int32 | Int16
    """By contact: the last event, in days after the one before ``first``; 0 for none. Most candidates are about a later
    one by far, and need no search."""
    first: int

    @classmethod
    def of(cls, keys: Int64, contact_count: int) -> Self:
        """Index pair keys (pair_key)."""
        if not len(keys):
            return cls(keys, np.zeros(0, dtype=np.int16), 0)
        keys = np.sort(keys, kind="stable")  # rows are in the order of their contacts, nearly: there is little to sort
        event = day_of(keys)
        first = int(event.min())
        short = int(event.max()) - first < np.iinfo(np.int16).max
        latest: Int32 | Int16 = (
            np.zeros(contact_count, dtype=np.int16) if short else np.zeros(contact_count, dtype=np.int32)
        )
        latest[contact_of(keys)] = event - np.int32(first - 1)  # of several the last one is assigned last
        return cls(keys, latest, first)

    def has_within(self, contact: Int64 | Int32, event: Int32, distance_days: int) -> Bool:
        """Whether a row of the contact has an event nearer than ``distance_days`` to each event."""
        if not len(self.keys):
            return np.zeros(len(contact), dtype=np.bool_)
        latest = self.latest.take(contact)
        near: Bool = (event - latest < self.first - 1 + distance_days) & (latest != 0)
        rows = near.nonzero()[0]
        if len(rows):
            contact, event = contact.take(rows), event.take(rows)
            found = self.keys.searchsorted(pair_key(contact, event - np.int32(distance_days - 1)))
            last = pair_key(contact, event + np.int32(distance_days - 1))
            near[rows] = self.keys.take(found) <= last  # something is found: the contact's latest event at the latest
        return near

    def handles(self, contact: Int64 | Int32, event: Int32) -> Bool:
        """Whether each occurrence is handled: a locked row with an event less than 180 days away (R33)."""
        return self.has_within(contact, event, HANDLED_DISTANCE_DAYS)


def handled_events(
    locked: StoredRows, kinds: KindTable, places: ContactPlaces, contact_count: int, first_event: int
) -> dict[str, EventIndex]:
    """Index the locked rows of every built-in type that can handle an event on or after ``first_event``.

    Mail of past years is passed over: however long an org's history is, only the last year of it is looked at.
    """
    found: dict[str, list[Int64]] = {name: [_NO_KEYS] for name in EMAIL_TYPES}
    is_built_in = (kinds.type_code != 0) & (kinds.type_code != CAMPAIGN)
    for part in parts_of(len(locked)):
        event, kind = locked.event_days(part), locked.kinds_of(part)
        rows = ((event > first_event - HANDLED_DISTANCE_DAYS) & is_built_in.take(kind)).nonzero()[0]
        contact = places.of(locked.contact_ids(rows + part.start))
        known = (contact >= 0).nonzero()[0]
        rows = rows.take(known)
        key, type_code = pair_key(contact.take(known), event.take(rows)), kinds.type_code.take(kind.take(rows))
        for name, spec in EMAIL_TYPES.items():
            found[name].append(key[type_code == spec.code])
    return {name: EventIndex.of(np.concatenate(keys), contact_count) for name, keys in found.items()}


def first_event_asked_for(today: int, late_grace_days: int) -> int:
    """Return a day before which no event lies that a plan asks about: the occurrence before the current one (R51b)."""
    return today - late_grace_days - _YEAR_DAYS_MAX
