"""The mails of a plan in the making, as columns; every step of the pipeline takes Items and gives Items."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from core.planning.columns import Bool, Int8, Int16, Int32, Int64


@dataclass(frozen=True, slots=True)
class Items:
    """Candidate mails, follow-ups aside. Days are day numbers (R2); ``reason`` 0 means that the mail stands."""

    contact: Int64
    """Row number in Contacts."""
    type_code: Int8
    """R36: birthday 1, effective_date 2, aep 3, post_window 4, campaign 5."""
    instance: Int32
    """Position in the list of campaign instances, -1 for other types."""
    instance_id: Int64
    """campaign_instance_id, 0 for other types (tie-breaks of R66, R70)."""
    event: Int32
    """R6: what the mail is about."""
    ideal: Int32
    """The send date the rules ask for; never moves."""
    target: Int32
    """The send date after smoothing, catch-up and the daily cap."""
    deadline: Int32
    """The last date on which the mail still makes sense."""
    checked: Int32
    """The date on which exclusion was last looked at (R51)."""
    priority: Int64
    respects_windows: Bool
    reason: Int16
    """Reason number, 0 while the mail stands."""

    def __len__(self) -> int:
        return len(self.contact)

    def take(self, rows: Int64 | Bool) -> "Items":
        """Return some items, in the order given."""
        return Items(*(getattr(self, f.name)[rows] for f in fields(self)))

    def with_target(self, target: Int32) -> "Items":
        """Return the items with other send dates."""
        return replace(self, target=target)

    def with_reason(self, reason: Int16) -> "Items":
        """Return the items with other reasons."""
        return replace(self, reason=reason)

    @property
    def standing(self) -> Bool:
        """Whether each item is still to be sent."""
        stands: Bool = self.reason == 0
        return stands


def make_items(  # every column of a candidate, by name
    *,
    contact: Int64,
    type_code: int,
    event: Int32,
    ideal: Int32,
    deadline: Int32,
    priority: int,
    respects_windows: bool = True,
    instance: int = -1,
    instance_id: int = 0,
) -> Items:
    """Build the items of one type (and instance): scalars are spread over all of them."""
    count = len(contact)
    return Items(
        contact=contact.astype(np.int64),
        type_code=np.full(count, type_code, dtype=np.int8),
        instance=np.full(count, instance, dtype=np.int32),
        instance_id=np.full(count, instance_id, dtype=np.int64),
        event=event.astype(np.int32),
        ideal=ideal.astype(np.int32),
        target=ideal.astype(np.int32),
        deadline=deadline.astype(np.int32),
        checked=ideal.astype(np.int32),
        priority=np.full(count, priority, dtype=np.int64),
        respects_windows=np.full(count, respects_windows, dtype=np.bool_),
        reason=np.zeros(count, dtype=np.int16),
    )


def no_items() -> Items:
    """Return a table without rows."""
    none = np.zeros(0, dtype=np.int64)
    days = np.zeros(0, dtype=np.int32)
    return make_items(contact=none, type_code=0, event=days, ideal=days, deadline=days, priority=0)


def join_items(parts: Sequence[Items]) -> Items:
    """Put tables of items one after the other."""
    if not parts:
        return no_items()
    return Items(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Items)))
