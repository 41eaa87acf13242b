"""The part of an org database that items are applied to, of an org that never gets any."""

from collections.abc import Mapping, Sequence

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


class NoItems:
    """Reads find nothing; nobody asks for a write."""

    def stored_people(self, contact_ids: Sequence[int]) -> StoredPeople:
        return StoredPeople({}, {}, {})

    def change_people(self, writes: PeopleWrites) -> None:
        raise NotImplementedError

    def tombstone_breaches(self, is_kept: Sequence[str]) -> Sequence[Breach]:
        return ()

    def tombstoned_statuses(self) -> Sequence[str]:
        return ()

    def instance_ids(self, refs: Sequence[InstanceRef]) -> Mapping[InstanceRef, int]:
        return {}

    def enrolled(self, contact_ids: Sequence[int]) -> Sequence[tuple[int, int, str | None]]:
        return ()

    def ready_items(self, *, parked_from: str) -> Sequence[ParkedItem]:
        return ()

    def parked_counts(self, *, parked_from: str) -> tuple[int, int]:
        return 0, 0

    def append_items(self, writes: AppendWrites, *, at: str) -> None:
        raise NotImplementedError

    def stored_mails(self, keys: Sequence[MailKey], row_ids: Sequence[int]) -> Sequence[StoredMail]:
        return ()

    def change_mails(self, updates: Sequence[MailUpdate], inserts: Sequence[MailInsert], *, at: str) -> None:
        raise NotImplementedError

    def is_unplanned(self) -> bool:
        return False

    def remember_unplanned(self, *, since: str | None) -> None:
        raise NotImplementedError
