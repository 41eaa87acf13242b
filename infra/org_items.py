"""The ``ItemStore`` of an org database: each call is one piece of work of ``org_people`` or ``org_mails``."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlite_utils import Database

from core.runs.item_ports import (
    AppendWrites,
    Breach,
    InstanceRef,
    MailInsert,
    MailKey,
    MailUpdate,
    ParkedItem,
    PeopleWrites,
    StoredMail,
    StoredPeople,
)
from infra import org_mails, org_people

T = TypeVar("T")


class ItemRecords:
    """What contact changes and mail reports are applied to; see ``core.runs.item_ports`` for the contract."""

    def _record(self, operation: str, work: Callable[[Database], T]) -> T:
        raise NotImplementedError

    def stored_people(self, contact_ids: Sequence[int]) -> StoredPeople:
        """What is known of these contacts."""
        return self._record("contacts", lambda db: org_people.stored_people(db, contact_ids))

    def change_people(self, writes: PeopleWrites) -> None:
        """Write contacts, tombstones and the order of upserts, in one transaction."""
        self._record("contacts", lambda db: org_people.change_people(db, writes))

    def tombstoned_statuses(self) -> Sequence[str]:
        """The distinct statuses of contacts that are there and have a tombstone."""
        return self._record("scheduler_tombstones", org_people.tombstoned_statuses)

    def tombstone_breaches(self, is_kept: Sequence[str]) -> Sequence[Breach]:
        """Contacts with a tombstone that are there: deleted ones, and those whose status is none of these texts."""
        return self._record("scheduler_tombstones", lambda db: org_people.tombstone_breaches(db, is_kept))

    def instance_ids(self, refs: Sequence[InstanceRef]) -> Mapping[InstanceRef, int]:
        """The ids of those instances that exist."""
        return self._record("campaign_instances", lambda db: org_people.instance_ids(db, refs))

    def enrolled(self, contact_ids: Sequence[int]) -> Sequence[tuple[int, int, str | None]]:
        """Contact, instance and trigger date of all enrolments of these contacts."""
        return self._record("contact_campaigns", lambda db: org_people.enrolled(db, contact_ids))

    def ready_items(self, *, parked_from: str) -> Sequence[ParkedItem]:
        """Parked items whose contact is there by now."""
        return self._record("parked items", lambda db: org_people.ready_items(db, parked_from=parked_from))

    def parked_counts(self, *, parked_from: str) -> tuple[int, int]:
        """How many items are parked, and how many of them before a moment."""
        return self._record("parked items", lambda db: org_people.parked_counts(db, parked_from=parked_from))

    def append_items(self, writes: AppendWrites, *, at: str) -> None:
        """Write what contacts did, park and unpark, in one transaction."""
        self._record("parked items", lambda db: org_people.append_items(db, writes, at=at))

    def stored_mails(self, keys: Sequence[MailKey], row_ids: Sequence[int]) -> Sequence[StoredMail]:
        """All rows of these identities."""
        return self._record("email_schedules", lambda db: org_mails.stored_mails(db, keys, row_ids))

    def change_mails(self, updates: Sequence[MailUpdate], inserts: Sequence[MailInsert], *, at: str) -> None:
        """Write statuses and moments of sending, in one transaction."""
        self._record("email_schedules", lambda db: org_mails.change_mails(db, updates, inserts, at=at))

    def is_unplanned(self) -> bool:
        """Whether contacts, campaigns or configuration changed while nothing was planned."""
        return self._record("scheduler_unplanned", org_mails.is_unplanned)

    def remember_unplanned(self, *, since: str | None) -> None:
        """Remember so, from a moment on; None: a plan knows of everything."""
        self._record("scheduler_unplanned", lambda db: org_mails.remember_unplanned(db, since=since))
