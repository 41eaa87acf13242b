"""Mail of the last weeks and of days to come that the sender has: for follow-ups, limits and the cap (R65, R72, R80)."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.planning.columns import Int32, Int64, parts_of
from core.planning.places import ContactPlaces
from core.planning.schedule_rows import ScheduleRows, StoredRows


@dataclass(frozen=True, slots=True)
class RecentMail:
    """Locked rows from a send day on, and whom they went to: however long an org's history is, they are few."""

    rows: ScheduleRows
    contact: Int32
    """Row number in Contacts; -1 where there is no such contact."""

    @classmethod
    def of(cls, locked: StoredRows, places: ContactPlaces, first_day: int) -> Self:
        """Pick them out."""
        found: list[Int64] = [
            (locked.send_days(part) >= first_day).nonzero()[0] + part.start for part in parts_of(len(locked))
        ]
        rows = locked.take(np.concatenate(found) if found else np.zeros(0, dtype=np.int64))
        return cls(rows, places.of(rows.contact_id))
