"""Which occurrences the sender already has in hand (R33, R57): lookups of locked rows by contact and event."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.planning.columns import NO_DAY, Bool, Int32, Int64
from core.planning.contacts import Contacts
from core.planning.ordering import pair_key
from core.planning.rules import EMAIL_TYPES, HANDLED_DISTANCE_DAYS
from core.planning.schedule import Schedule

_YEAR_DAYS_MAX = 366


@dataclass(frozen=True, slots=True)
class EventIndex:
    """Sorted (contact, event) pairs of some locked rows; answers questions about many candidates at once."""

    keys: Int64
    has_any: Bool
    """By contact: whether any pair is about it. Most are not, and need no search."""

    @classmethod
    def of(cls, contact: Int64, event: Int32, contact_count: int) -> Self:
        """Index events of contacts; rows of nobody (-1) and events that are no date are left out."""
        usable = np.flatnonzero((contact >= 0) & (event != NO_DAY))
        contact = contact[usable]
        has_any = np.zeros(contact_count, dtype=np.bool_)
        has_any[contact] = True
        return cls(np.sort(pair_key(contact, event[usable])), has_any)

    def has_within(self, contact: Int64 | Int32, event: Int32, distance_days: int) -> Bool:
        """Whether a row of the contact has an event nearer than ``distance_days`` to each event."""
        inside = self.has_any[contact]
        rows = np.flatnonzero(inside)
        if len(rows):
            contact, event = contact[rows], event[rows]
            first = np.searchsorted(self.keys, pair_key(contact, event - np.int32(distance_days - 1)))
            found = self.keys[np.minimum(first, len(self.keys) - 1)]
            last = pair_key(contact, event + np.int32(distance_days - 1))
            inside[rows] = (first < len(self.keys)) & (found <= last)
        return inside

    def handles(self, contact: Int64 | Int32, event: Int32) -> Bool:
        """Whether each occurrence is handled: a locked row with an event less than 180 days away (R33)."""
        return self.has_within(contact, event, HANDLED_DISTANCE_DAYS)


def handled_events(schedule: Schedule, contacts: Contacts, first_event: int) -> dict[str, EventIndex]:
    """Index the locked rows of every built-in type that can handle an event on or after ``first_event``.

    Mail of past years is passed over: however long an org's history is, only the last year of it is looked at.
    """
    names = list(EMAIL_TYPES)
    number = {name: position for position, name in enumerate(names)}
    of_kind = np.array([number.get(k.email_type, -1) for k in schedule.kinds] or [-1], dtype=np.int8)
    locked = schedule.locked
    rows = np.flatnonzero((locked.event_day > first_event - HANDLED_DISTANCE_DAYS) & (of_kind[locked.kind] >= 0))
    contact = contacts.index_of(locked.contact_id[rows])
    email_type, event = of_kind[locked.kind[rows]], locked.event_day[rows]
    found = {}
    for name in names:
        here = np.flatnonzero(email_type == number[name])
        found[name] = EventIndex.of(contact[here], event[here], len(contacts))
    return found


def first_event_asked_for(today: int, late_grace_days: int) -> int:
    """Return a day before which no event lies that a plan asks about: the occurrence before the current one (R51b)."""
    return today - late_grace_days - _YEAR_DAYS_MAX
