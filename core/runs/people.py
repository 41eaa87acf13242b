"""What contact changes mean for contacts: a pure fold over the items, in their order (docs/data-events.md).

Only upserts can be stale. Unsubscribe and delete always apply and leave a tombstone, which nothing but a resubscribe lifts:
so changes that arrive in another order than they were made end in the same contacts.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import UnsetType

from core.runs.item_order import Numbered
from core.runs.item_ports import (
    CONTACT_COLUMNS,
    Breach,
    Columns,
    PeopleWrites,
    StoredPeople,
    Tombstone,
    UpsertOrder,
    Value,
)
from core.runs.recovery import DELETED, UNSUBSCRIBED
from core.runs.suppression import Suppression
from events.contact_payloads import ContactDelete, ContactResubscribe, ContactUnsubscribe, ContactUpsert

EMPTY_CONTACT: Final[dict[str, Value]] = {
    **dict.fromkeys(CONTACT_COLUMNS), "failed_underwriting": 0, "status": "",
}  # fmt: skip
"""A contact of whom nothing is known."""

PERSON_ITEMS: Final = (ContactUpsert, ContactDelete, ContactUnsubscribe, ContactResubscribe)
"""The kinds that are folded here."""


class People:
    """The contacts that some items speak of: what they were, what they are to be, and what has to be written for it."""

    def __init__(self, stored: StoredPeople, suppression: Suppression) -> None:
        self._suppression = suppression
        self._before = {
            contact_id: dict(zip(CONTACT_COLUMNS, values, strict=True))
            for contact_id, values in stored.contacts.items()
        }
        self._now = {contact_id: dict(columns) for contact_id, columns in self._before.items()}
        self._stones_before = dict(stored.tombstones)
        self._stones = dict(stored.tombstones)
        self._orders_before = dict(stored.orders)
        self._orders = dict(stored.orders)
        self._deleted: set[int] = set()
        self.counts: dict[str, int] = {}

    def apply(self, one: Numbered) -> None:
        """Fold one item in; other kinds than PERSON_ITEMS change nobody."""
        match one.item:
            case ContactUpsert() as item:
                self._upsert(item, one.origin.order)
            case ContactUnsubscribe() as item:
                self._bury(item.contact_id, UNSUBSCRIBED, one.origin.order.at)
                self._count("unsubscribes")
            case ContactDelete() as item:
                self._bury(item.contact_id, DELETED, one.origin.order.at)
                self._count("deletes")
            case ContactResubscribe() as item:
                self._resubscribe(item.contact_id, one.origin.order.at)
            case _:
                return

    def is_there(self, contact_id: int) -> bool:
        """Whether the contact is there by now."""
        return contact_id in self._now

    def is_deleted(self, contact_id: int) -> bool:
        """Whether the contact was deleted and nobody resubscribed it."""
        stone = self._stones.get(contact_id)
        return stone is not None and stone.reason == DELETED

    def may_be_written_to(self, contact_id: int) -> bool:
        """Whether the contact is there, has no tombstone and no suppressed status."""
        if contact_id in self._stones or contact_id not in self._now:
            return False
        return not self._suppression.covers(str(self._now[contact_id]["status"] or ""))

    def there(self) -> Mapping[int, Columns]:
        """Return the contacts that are there by now, by id."""
        return self._now

    def changed(self) -> frozenset[int]:
        """Return the contacts whose mail may have to be planned anew."""
        ids = self._before.keys() | self._now.keys() | self._stones.keys() | self._stones_before.keys()
        return frozenset(
            contact_id
            for contact_id in ids
            if self._before.get(contact_id) != self._now.get(contact_id)
            or (contact_id in self._stones) != (contact_id in self._stones_before)
        )

    def writes(self) -> PeopleWrites:
        """Return what has to be written: only what differs (R93)."""
        fresh = {
            contact_id: columns
            for contact_id, columns in self._now.items()
            if contact_id not in self._before or contact_id in self._deleted
        }
        changed = {
            contact_id: {name: value for name, value in columns.items() if self._before[contact_id][name] != value}
            for contact_id, columns in self._now.items()
            if contact_id not in fresh and self._before[contact_id] != columns
        }
        return PeopleWrites(
            deletes=frozenset(self._deleted),
            upserts={**fresh, **changed},
            tombstones={k: v for k, v in self._stones.items() if self._stones_before.get(k) != v},
            lifted=frozenset(self._stones_before.keys() - self._stones.keys()),
            orders={k: v for k, v in self._orders.items() if self._orders_before.get(k) != v},
        )

    def _upsert(self, item: ContactUpsert, order: UpsertOrder) -> None:
        contact_id = item.contact_id
        last = self._orders.get(contact_id)
        if last is not None and order < last:
            self._count("upserts_stale")
            return
        self._orders[contact_id] = order
        stone = self._stones.get(contact_id)
        if stone is not None and stone.reason == DELETED:
            self._count("upserts_of_deleted")
            return
        columns = self._now.setdefault(contact_id, dict(EMPTY_CONTACT))
        columns.update(_given(item))
        if stone is not None:
            columns["status"] = self._suppression.kept(str(columns["status"] or ""))
        self._count("upserts_applied")

    def _bury(self, contact_id: int, reason: str, at: str) -> None:
        """Leave a tombstone: of two the later moment counts, and a delete is more than an unsubscribe."""
        stone = self._stones.get(contact_id)
        if stone is not None:
            at = max(at, stone.at)
            reason = DELETED if DELETED in {reason, stone.reason} else reason
        was_deleted = stone is not None and stone.reason == DELETED
        self._stones[contact_id] = Tombstone(reason, at)
        if reason == DELETED:
            if not was_deleted:
                self._deleted.add(contact_id)
            self._now.pop(contact_id, None)
        elif contact_id in self._now:
            columns = self._now[contact_id]
            columns["status"] = self._suppression.kept(str(columns["status"] or ""))

    def _resubscribe(self, contact_id: int, at: str) -> None:
        stone = self._stones.get(contact_id)
        if stone is not None and at < stone.at:
            self._count("resubscribes_stale")
            return
        self._stones.pop(contact_id, None)
        if contact_id in self._now:
            columns = self._now[contact_id]
            columns["status"] = self._suppression.lifted(str(columns["status"] or ""))
        self._count("resubscribes")

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


def mend(breaches: Iterable[Breach], suppression: Suppression) -> PeopleWrites:
    """Put right what an import past the events did: who was deleted goes, who unsubscribed is suppressed again."""
    deletes = set()
    statuses: dict[int, dict[str, Value]] = {}
    for breach in breaches:
        if breach.reason == DELETED:
            deletes.add(breach.contact_id)
        elif suppression.kept(breach.status) != breach.status:
            statuses[breach.contact_id] = {"status": suppression.kept(breach.status)}
    return PeopleWrites(deletes=frozenset(deletes), upserts=statuses)


def _given(item: ContactUpsert) -> dict[str, Value]:
    """Return the columns that an upsert gives, as they are stored."""
    given: dict[str, Value] = {}
    for name in CONTACT_COLUMNS:
        value: Value | UnsetType = getattr(item, name)
        if not isinstance(value, UnsetType):
            given[name] = int(value) if isinstance(value, bool) else value
    if "status" in given:
        given["status"] = given["status"] or ""
    return given
