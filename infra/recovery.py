"""The versions of an org's object: what there is, a verified copy of one, a backup, a pull."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bucket, ObjectInfo, PreconditionFailedError
from core.runs.recovery import VersionMark
from events.types import OrgId, parse_org_id
from infra.fence import RUN_ID_KEY, object_name, parent_generation_of
from infra.files import disk_errors, remove_sidecars, replace_durably
from infra.org_folder import has_content
from infra.sqlite_file import Verdict, quick_check

RESTORED_KEY: Final = "restored-generation"
"""Metadata of a restored version: which one it was made from."""
CARRIED_KEY: Final = "carried-from"
"""Metadata of a restored or reconciled version: the versions whose locked rows it took along, separated by blanks."""
BACKUP_OF_KEY: Final = "backup-of-generation"

COUNT_KEYS: Final = ("contacts", "emails-scheduled", "emails-skipped")
"""Metadata of a version that a run made: what its plan came to."""

_BACKUP_TIME: Final = "%Y%m%dT%H%M%SZ"
_NUMBER_DIGITS_MAX: Final = 19


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an org's object, as its metadata tell."""

    info: ObjectInfo
    is_live: bool
    parent: int | None
    """None where its metadata is not ours."""
    replaced_blindly: bool
    """It was not made from the version before it: a copy, a restore by hand, an upload from outside."""

    @property
    def run_id(self) -> str | None:
        """The run that made it. A copy has the metadata of its original, so this is also the run of its content."""
        return self.info.metadata.get(RUN_ID_KEY)

    @property
    def restored_from(self) -> int | None:
        """The generation that a restore brought back, None for every other version."""
        return None if self.replaced_blindly else _number(self.info.metadata.get(RESTORED_KEY, ""))

    @property
    def carried_from(self) -> tuple[int, ...] | None:
        """The generations that a restore or a reconciliation carried from, None for every other version."""
        text = self.info.metadata.get(CARRIED_KEY)
        if text is None or self.replaced_blindly:
            return None
        return tuple(number for word in text.split() if (number := _number(word)) is not None)

    @property
    def counts(self) -> tuple[int | None, ...]:
        """The values of COUNT_KEYS, None where the version does not say."""
        return tuple(_number(self.info.metadata.get(key, "")) for key in COUNT_KEYS)

    @property
    def mark(self) -> VersionMark:
        """What judging the history needs."""
        return VersionMark(self.info.generation, self.parent, is_settled=CARRIED_KEY in self.info.metadata)


def list_versions(bucket: Bucket, org_id: OrgId) -> tuple[Version, ...]:
    """Return all versions of an org's object, oldest first; raises OrgError OBJECT_MISSING where there never was one."""
    name = object_name(org_id)
    live = bucket.stat(name)
    found = list(bucket.versions(name))
    if live is not None and live.generation not in {info.generation for info in found}:
        found.append(live)  # written between the two requests
    if not found:
        raise OrgError(ErrorCode.OBJECT_MISSING, org_id, name)
    parents = [parent_generation_of(info) for info in found]
    broken = [
        False,
        *(parent != before.generation for (before, _), parent in zip(pairwise(found), parents[1:], strict=True)),
    ]
    return tuple(
        Version(info, live is not None and info.generation == live.generation, parent, blindly)
        for info, parent, blindly in zip(found, parents, broken, strict=True)
    )


def find_version(versions: Sequence[Version], generation: int, org_id: OrgId) -> Version:
    """Return the version of a generation; raises OrgError GENERATION_MISSING."""
    for version in versions:
        if version.info.generation == generation:
            return version
    raise OrgError(ErrorCode.GENERATION_MISSING, org_id, f"{object_name(org_id)} has no generation {generation}")


def live_version(versions: Sequence[Version]) -> Version | None:
    """Return the live one; None: the object was deleted."""
    return next((version for version in reversed(versions) if version.is_live), None)


def fetch(bucket: Bucket, info: ObjectInfo, file: str, org_id: OrgId) -> None:
    """Download a version to a new file and see that its bytes are those of the bucket.

    Raises OrgError: GENERATION_MISSING (gone meanwhile), DOWNLOAD_CORRUPT, DISK_FULL, BUCKET_*.
    """
    try:
        bucket.download(info.name, info.generation, file)
    except OrgError as error:
        if error.code is not ErrorCode.OBJECT_MISSING:
            raise
        raise OrgError(ErrorCode.GENERATION_MISSING, org_id, f"{info.name} generation {info.generation}") from error
    with disk_errors(org_id):
        if not has_content(Path(file), info.size_bytes, info.crc32c):
            Path(file).unlink(missing_ok=True)
            raise OrgError(ErrorCode.DOWNLOAD_CORRUPT, org_id, f"{info.name} generation {info.generation}")


def fetch_sound(bucket: Bucket, info: ObjectInfo, file: str, org_id: OrgId) -> None:
    """``fetch`` a version that SQLite finds in order; raises also NOT_SQLITE, DATABASE_CORRUPT, SCHEMA_NOT_UNDERSTOOD."""
    fetch(bucket, info, file, org_id)
    require_sound(file, info.generation, org_id)


def require_sound(file: str, generation: int, org_id: OrgId) -> None:
    """Raise OrgError NOT_SQLITE, DATABASE_CORRUPT or SCHEMA_NOT_UNDERSTOOD where quick_check does."""
    verdict = verdict_of(file, org_id)
    if verdict != "ok":
        raise OrgError(ErrorCode(verdict), org_id, f"quick_check of generation {generation}")


def verdict_of(file: str, org_id: OrgId) -> Verdict:
    """Return what quick_check says of a private copy."""
    with disk_errors(org_id):
        return quick_check(file)


def back_up(bucket: Bucket, info: ObjectInfo, file: str, org_id: OrgId, now: datetime) -> ObjectInfo:
    """Put a verified copy of a version at ``backups/<org>/<time>.db``, never over another one; returns the backup.

    Raises OrgError BACKUP_EXISTS where there is one of this second, BUCKET_*.
    """
    name = f"backups/{parse_org_id(org_id)}/{now.strftime(_BACKUP_TIME)}.db"
    metadata = {**info.metadata, BACKUP_OF_KEY: str(info.generation)}
    try:
        return bucket.upload(name, file, if_generation_match=0, metadata=metadata)
    except PreconditionFailedError:
        there = bucket.stat(name)
        if (
            there is not None
            and there.metadata.get(BACKUP_OF_KEY) == str(info.generation)
            and there.crc32c == info.crc32c
        ):
            return there  # ours, and its answer was lost; or of the same version, which is as good
        raise OrgError(ErrorCode.BACKUP_EXISTS, org_id, name) from None


def pull(bucket: Bucket, info: ObjectInfo, target: Path, org_id: OrgId) -> None:
    """Put a version at a path: whole and verified, or not at all; what is there is replaced.

    Raises OrgError as ``fetch`` does, DISK_FULL, SCHEDULER_FAILED where the folder cannot be written.
    """
    staged = target.with_name(f".{target.name}.emailsched")
    with disk_errors(org_id, ErrorCode.SCHEDULER_FAILED):
        staged.unlink(missing_ok=True)
        try:
            fetch(bucket, info, str(staged), org_id)
            remove_sidecars(target)  # a WAL of the old file would be replayed into the new one
            replace_durably(staged, target)
        finally:
            staged.unlink(missing_ok=True)  # gone already if all went well


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX else None
