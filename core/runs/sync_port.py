"""The port between the bucket and the working copy of a run."""

from collections.abc import Mapping
from typing import Protocol

from core.runs.ports import Admit, Transfer, Uploaded, WorkingCopy
from events.types import OrgId


class Sync(Protocol):
    """Between the bucket and the working copy; safe between threads and processes.

    From ``down`` to ``done`` the org's files on this machine belong to one run::

        copy = sync.down(...)
        try:
            ...  # sync.up(copy, ...)
        finally:
            sync.done(copy)
    """

    def down(self, org_id: OrgId, *, create: bool, transfer: Transfer, admit: Admit = ...) -> WorkingCopy:
        """Bring mirror and working copy to the live generation; without an object and with ``create``: an empty database.

        ``admit`` is told the object's size before anything is moved; it may wait, and raise.
        Raises OrgError: OBJECT_MISSING (and not ``create``), NOT_SQLITE, DATABASE_CORRUPT, SCHEMA_NOT_UNDERSTOOD,
        DOWNLOAD_CORRUPT, SYNC_FAILED, DATABASE_BUSY (another run keeps the org's files), DISK_FULL, BUCKET_*. Then there
        is nothing to give back.
        """
        ...

    def up(self, copy: WorkingCopy, *, run_id: str, facts: Mapping[str, str], transfer: Transfer) -> Uploaded:
        """Send the working copy up, fenced by the generation it was made from; a lost answer is recognised.

        ``facts`` become metadata of the version: what the run says of it to those who look at versions.
        Nobody has the file open. Where no page differs from the object nothing is sent, and the generation stays.
        Succeeds at most once for a copy. Raises PreconditionFailedError where another writer was first (the working copy
        is worthless then), else OrgError; ValueError for a copy that was given back.
        """
        ...

    def done(self, copy: WorkingCopy) -> None:
        """Give the org's files back to other runs; must follow every ``down`` in a finally. A second call does nothing."""
        ...
