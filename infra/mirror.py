"""Sync down and up: between the bucket's object, the mirror of it, and the working copy of one run.

The generation of the object is the commit point. Everything on this machine is a cache that may be deleted: no step
believes a file because of its name, and a crash between any two steps costs time, never correctness.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Admit, Bucket, Clock, Journal, ObjectInfo, Transfer, Uploaded, WorkingCopy
from events.types import OrgId
from infra.counted_bucket import CountedBucket
from infra.delta_chain import PageDeltas
from infra.disk_space import DiskSpace, mark_used
from infra.fence import fenced_upload, object_name, parent_generation_of
from infra.files import disk_errors, has_sidecar_content, remove_database, remove_sidecars
from infra.locks import LockTimeoutError, acquire
from infra.org_folder import MirrorRecord, OrgFolder, has_content, lock_file, open_folder
from infra.pages import PageDifference, compare_pages
from infra.rsync import Rsync
from infra.sqlite_file import create_empty, quick_check, read_header, settle

DOWNLOAD_ATTEMPTS: Final = 2
"""Per sync down, each with a fresh look at the metadata: the object may be replaced while it is fetched."""

_DOWNLOAD_AGAIN: Final = frozenset({ErrorCode.OBJECT_MISSING, ErrorCode.DOWNLOAD_CORRUPT})
"""The version is gone meanwhile, or its bytes are wrong: worth another look at once, and nothing that came is kept."""

COPY_ATTEMPTS: Final = 2
"""The second one without the replica that the first one met."""


@dataclass(frozen=True, slots=True)
class _Held:
    copy: WorkingCopy
    lock: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The live version, and what there is to get it with."""

    org_id: OrgId
    folder: OrgFolder
    live: ObjectInfo
    known: MirrorRecord | None
    bucket: Bucket
    transfer: Transfer


class MirrorSync:
    """The Sync port on a data directory. From ``down`` to ``done`` an org's files belong to one run of one process.

    ``new_token`` returns a text that no other upload ever had. ``lock_wait_seconds`` bounds the wait for another run of
    the same org on this machine. Without ``deltas`` none are left or looked for: the embedded bucket has only one
    machine, which is never behind.
    """

    def __init__(
        self,
        bucket: Bucket,
        rsync: Rsync,
        clock: Clock,
        journal: Journal,
        *,
        data_dir: str,
        new_token: Callable[[], str],
        lock_wait_seconds: float = 30.0,
        deltas: PageDeltas | None = None,
        space: DiskSpace | None = None,
    ) -> None:
        self._bucket = bucket
        self._rsync = rsync
        self._clock = clock
        self._journal = journal
        self._data_dir = os.path.abspath(data_dir)  # noqa: PTH100 - names are text in the ports
        self._new_token = new_token
        self._lock_wait_seconds = lock_wait_seconds
        self._deltas = deltas
        self._space = space or DiskSpace(self._data_dir, journal)
        self._held: dict[OrgId, _Held] = {}

    def down(
        self, org_id: OrgId, *, create: bool, transfer: Transfer, admit: Admit = lambda _size_bytes: None
    ) -> WorkingCopy:
        """Bring mirror and working copy to the live generation; see the port."""
        with disk_errors(org_id):
            lock = self._acquire(org_id)
            try:
                mark_used(self._data_dir, org_id)
                folder = open_folder(self._data_dir, org_id)
                record = self._refresh(folder, org_id, transfer, admit)
                if record is None:
                    copy = self._new_org(folder, org_id, lock, create=create)
                else:
                    self._require_sound(folder, record, org_id)
                    # What a killed run left in the working copy, sidecars included, is undone here or thrown away.
                    self._copy_proven(folder.mirror, folder.working, org_id, lock)
                    copy = WorkingCopy(org_id, str(folder.working), record.generation, record.object_replaced, lock)
                self._held[org_id] = _Held(copy, lock)
            except BaseException:
                os.close(lock)
                raise
        self._journal.info("working_copy_ready", org_id=org_id, generation=copy.generation)
        return copy

    def up(self, copy: WorkingCopy, *, run_id: str, facts: Mapping[str, str], transfer: Transfer) -> Uploaded:
        """Send the working copy up, fenced; see the port."""
        org_id = copy.org_id
        held = self._held.get(org_id)
        if held is None or held.copy is not copy:
            raise ValueError("this working copy is not in use: it was given back, or made by somebody else")
        bucket = CountedBucket(self._bucket, transfer)
        with disk_errors(org_id):
            folder = open_folder(self._data_dir, org_id)
            difference = self._make_next(folder, copy, held.lock)
            pages_changed = difference.changed.size
            transfer.pages_changed += pages_changed
            if not pages_changed:
                folder.discard_next()
                return Uploaded(copy.generation, folder.mirror.stat().st_size)
            self._journal.info("upload_starts", org_id=org_id, run_id=run_id, pages_changed=pages_changed)
            info = fenced_upload(
                bucket,
                org_id,
                str(folder.next_mirror),
                parent_generation=copy.generation,
                run_id=run_id,
                token=self._new_token(),
                facts=facts,
            )
        self._journal.info("uploaded", org_id=org_id, run_id=run_id, generation=info.generation)
        if self._deltas is not None:  # before the next line, which takes one of the two files away
            self._deltas.leave(
                org_id, folder, difference, parent_generation=copy.generation, to=info, transfer=transfer
            )
        self._keep_as_mirror(folder, info, org_id)
        return Uploaded(info.generation, info.size_bytes)

    def done(self, copy: WorkingCopy) -> None:
        """Give the org's files back; see the port."""
        held = self._held.get(copy.org_id)
        if held is not None and held.copy is copy:
            del self._held[copy.org_id]
            os.close(held.lock)

    def mirror_bytes(self, org_id: OrgId) -> int:
        """Return the size of the org's object when it was last here, 0 where that is not known; asks no bucket."""
        with disk_errors(org_id):
            record = open_folder(self._data_dir, org_id).read_record()
        return 0 if record is None else record.size_bytes

    # -------------------------------------------------------------------------------------------- down

    def _acquire(self, org_id: OrgId) -> int:
        try:
            return acquire(
                lock_file(self._data_dir, org_id),
                wait_seconds=self._lock_wait_seconds,
                monotonic=self._clock.monotonic,
                sleep=self._clock.sleep,
            )
        except LockTimeoutError:
            raise OrgError(ErrorCode.DATABASE_BUSY, org_id, "another run has the org's files on this machine") from None

    def _new_org(self, folder: OrgFolder, org_id: OrgId, lock: int, *, create: bool) -> WorkingCopy:
        if not create:
            raise OrgError(ErrorCode.OBJECT_MISSING, org_id, object_name(org_id))
        folder.forget_mirror()
        folder.discard_working()
        create_empty(str(folder.working))
        return WorkingCopy(org_id, str(folder.working), 0, object_replaced=False, lock=lock)

    def _refresh(self, folder: OrgFolder, org_id: OrgId, transfer: Transfer, admit: Admit) -> MirrorRecord | None:
        """Bring the mirror to the live generation; None where there is no object."""
        bucket = CountedBucket(self._bucket, transfer)
        remove_sidecars(folder.mirror)  # nobody of ours leaves any: what is there would be replayed into the mirror
        folder.remove_temporaries()
        for _ in range(DOWNLOAD_ATTEMPTS):
            live = bucket.stat(object_name(org_id))
            folder.remove_downloads(but_of=None if live is None else live.generation)
            if live is None:
                return None
            admit(live.size_bytes)
            self._space.require(org_id, live.size_bytes)
            known = folder.read_record()
            if known is not None and _describes(known, live) and folder.mirror_is(known):
                return known
            wanted = _Wanted(org_id, folder, live, known, bucket, transfer)
            record = self._fetched(wanted)
            if record is not None:
                return record
            self._journal.warning("download_not_used", org_id=org_id, generation=live.generation)
        raise OrgError(ErrorCode.DOWNLOAD_CORRUPT, org_id, f"{DOWNLOAD_ATTEMPTS} attempts")

    def _fetched(self, wanted: _Wanted) -> MirrorRecord | None:
        """Make the live version the mirror by the cheapest way that works; None where none does.

        What a way brings must match the object's size and checksum: it can cost bytes, never correctness.
        """
        folder, live, org_id = wanted.folder, wanted.live, wanted.org_id
        for way in (self._left_by_a_crash, self._page_deltas, self._whole_object):
            candidate = way(wanted)
            if candidate is None:
                continue
            if not has_content(candidate, live.size_bytes, live.crc32c):
                self._journal.info("way_not_used", org_id=org_id, generation=live.generation, way=way.__name__)
                remove_database(candidate)
                continue
            record = MirrorRecord(
                generation=live.generation,
                crc32c=live.crc32c,
                size_bytes=live.size_bytes,
                # A chain of deltas is a chain of fenced uploads (``infra.delta_chain``): one request less.
                object_replaced=way != self._page_deltas and _was_replaced(wanted.bucket, live, wanted.known),
            )
            folder.install(candidate, record)
            folder.remove_downloads(but_of=None)
            self._journal.info("mirror_replaced", org_id=org_id, generation=live.generation, way=way.__name__)
            return record
        return None

    def _left_by_a_crash(self, wanted: _Wanted) -> Path | None:
        """Return what this machine was uploading when it stopped: if it did arrive, no byte need be fetched."""
        return wanted.folder.next_mirror if wanted.folder.next_mirror.exists() else None

    def _page_deltas(self, wanted: _Wanted) -> Path | None:
        """Bring a copy of the mirror forward by what the runs in between left."""
        if self._deltas is None:
            return None
        return self._deltas.fetch(wanted.org_id, wanted.folder, wanted.known, wanted.live, wanted.transfer)

    def _whole_object(self, wanted: _Wanted) -> Path | None:
        """Download to a temporary name, from where an earlier attempt ended.

        None where that version is gone meanwhile (a bucket without versioning), or where not all of it came.
        """
        live, file = wanted.live, wanted.folder.download(wanted.live.generation)
        came_bytes = file.stat().st_size if file.exists() else 0
        if came_bytes >= live.size_bytes:  # all of it came, and then this machine stopped
            if has_content(file, live.size_bytes, live.crc32c):
                return file
            file.unlink(missing_ok=True)
        elif came_bytes:
            self._journal.info("download_resumed", org_id=wanted.org_id, generation=live.generation, bytes=came_bytes)
        try:
            wanted.bucket.resume_download(live.name, live.generation, str(file), size_bytes=live.size_bytes)
        except OrgError as error:
            if error.code not in _DOWNLOAD_AGAIN:
                raise  # what came stays for the next run
            self._journal.warning("download_failed", org_id=wanted.org_id, code=error.code.value, detail=error.detail)
            file.unlink(missing_ok=True)
            return None
        return file if file.stat().st_size >= live.size_bytes else None

    def _require_sound(self, folder: OrgFolder, record: MirrorRecord, org_id: OrgId) -> None:
        """Judge each generation once; the copy is proven against the mirror, so the mirror itself must be sound."""
        verdict = record.verdict
        if verdict is None:
            verdict = quick_check(str(folder.mirror))
            folder.write_record(msgspec.structs.replace(record, verdict=verdict))
        if verdict != "ok":
            raise OrgError(ErrorCode(verdict), org_id, f"generation {record.generation}")

    def _copy_proven(self, origin: Path, replica: Path, org_id: OrgId, lock: int) -> None:
        """Make a replica and prove it page by page; what fails is tried once more from nothing."""
        failure = OrgError(ErrorCode.SYNC_FAILED, org_id, "the copy differs from its origin")
        for _ in range(COPY_ATTEMPTS):
            try:
                with disk_errors(org_id):
                    self._rsync.copy(str(origin), str(replica), org_id=org_id, keep_open=(lock,))
                    if _is_copy(origin, replica):
                        return
            except OrgError as error:
                if error.code not in {ErrorCode.SYNC_FAILED, ErrorCode.DATABASE_BUSY}:
                    raise
                failure = OrgError(error.code, org_id, error.detail)
            self._journal.warning("copy_discarded", org_id=org_id, code=failure.code.value, detail=failure.detail)
            remove_database(replica)
        raise failure

    # -------------------------------------------------------------------------------------------- up

    def _make_next(self, folder: OrgFolder, copy: WorkingCopy, lock: int) -> PageDifference:
        """Make the file that goes up; returns in what it differs from the object it replaces."""
        known = folder.read_record()
        if (known.generation if known else 0) != copy.generation:
            raise OrgError(ErrorCode.SYNC_FAILED, copy.org_id, "the mirror is not what the working copy was made from")
        mirror = read_header(str(folder.mirror)) if known else None
        settle(copy.file, copy.org_id, wal=None if mirror is None else mirror.is_wal)
        self._copy_proven(Path(copy.file), folder.next_mirror, copy.org_id, lock)
        if quick_check(str(folder.next_mirror)) != "ok":
            folder.discard_next()
            raise OrgError(ErrorCode.SYNC_FAILED, copy.org_id, "the working copy is damaged; it is not sent")
        return compare_pages(str(folder.mirror) if known else None, str(folder.next_mirror))

    def _keep_as_mirror(self, folder: OrgFolder, info: ObjectInfo, org_id: OrgId) -> None:
        """Make what was uploaded the mirror. The run is committed: a failure here costs the next run a download."""
        record = MirrorRecord(generation=info.generation, crc32c=info.crc32c, size_bytes=info.size_bytes, verdict="ok")
        try:
            with disk_errors(org_id):
                folder.install(folder.next_mirror, record)
        except OrgError as error:
            self._journal.warning("mirror_not_kept", org_id=org_id, code=error.code.value, detail=error.detail)
        else:
            self._journal.info("mirror_kept", org_id=org_id, generation=info.generation)


def _describes(record: MirrorRecord, live: ObjectInfo) -> bool:
    return (record.generation, record.crc32c, record.size_bytes) == (live.generation, live.crc32c, live.size_bytes)


def _is_copy(origin: Path, replica: Path) -> bool:
    return not has_sidecar_content(replica) and compare_pages(str(origin), str(replica)).identical


def _was_replaced(bucket: Bucket, live: ObjectInfo, known: MirrorRecord | None) -> bool:
    """Whether the live version does not name the generation before it: a restore, a copy or an upload from outside.

    Its own metadata cannot tell: a restored version carries the metadata of its first life. The bucket's history can.
    Where the version before is gone (no versioning, lifecycle) the generation that this machine knew is the only
    witness. The first version of a name has nothing before it and replaces nothing.
    """
    parent = parent_generation_of(live)
    before = [version.generation for version in bucket.versions(live.name) if version.generation < live.generation]
    if before:
        return parent != max(before)
    return known is not None and known.generation < live.generation and (parent is None or parent < known.generation)
