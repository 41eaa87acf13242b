"""Which occurrences the sender already has in hand (R33, R57): lookups of locked rows by contact and event."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.planning.columns import NO_DAY, Bool, Int32, Int64
from core.planning.contacts import Contacts
from core.planning.ordering import pair_key
from core.planning.rules import HANDLED_DISTANCE_DAYS
from core.planning.schedule import ScheduleRows


@dataclass(frozen=True, slots=True)
class EventIndex:
    """Sorted (contact, event) pairs of some locked rows; answers questions about many candidates at once."""

    keys: Int64

    @classmethod
    def of(cls, rows: ScheduleRows, contacts: Contacts) -> Self:
        """Index rows whose contact is known and whose event date is a date."""
        contact = contacts.index_of(rows.contact_id)
        usable = (contact >= 0) & (rows.event_day != NO_DAY)
        return cls(np.sort(pair_key(contact[usable], rows.event_day[usable])))

    def has_within(self, contact: Int64, event: Int32, distance_days: int) -> Bool:
        """Whether a row of the contact has an event nearer than ``distance_days`` to each event."""
        if not len(self.keys):
            return np.zeros(len(contact), dtype=np.bool_)
        first = np.searchsorted(self.keys, pair_key(contact, event - np.int32(distance_days - 1)))
        found = self.keys[np.minimum(first, len(self.keys) - 1)]
        inside: Bool = (first < len(self.keys)) & (found <= pair_key(contact, event + np.int32(distance_days - 1)))
        return inside

    def handles(self, contact: Int64, event: Int32) -> Bool:
        """Whether each occurrence is handled: a locked row with an event less than 180 days away (R33)."""
        return self.has_within(contact, event, HANDLED_DISTANCE_DAYS)
