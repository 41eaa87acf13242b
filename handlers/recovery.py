"""Restore and reconcile: put a version of an org in place without bringing back what must not come back.

One fenced upload is the whole effect of either. The lease is held meanwhile, so that runs wait instead of winning the
race for the object; safety is the fence. Nothing of a machine's mirror is used or changed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

from core.runs.errors import ErrorCode, OrgError
from core.runs.lease import Lease
from core.runs.ports import Bucket, Clock, Journal, PreconditionFailedError, Transfer
from core.runs.recovery import NOTHING_CARRIED, Carried, lost_versions
from events.types import OrgId
from handlers.cli_errors import UsageError
from handlers.local_run import temporary_folder
from infra.carry_over import CarryWishes, carry_over, prepare
from infra.counted_bucket import CountedBucket
from infra.fence import PARENT_GENERATION_KEY, fenced_upload
from infra.files import disk_errors, remove_database
from infra.recovery import (
    CARRIED_KEY,
    COUNT_KEYS,
    RESTORED_KEY,
    Version,
    fetch_sound,
    find_version,
    list_versions,
    live_version,
    require_sound,
)

SOURCES_MAX: Final = 5
"""Versions that are carried from; each is a download of the whole object."""
LOOKS_BACK_MAX: Final = 10
"""Versions that are tried in place of one that cannot be read."""

_UNREADABLE: Final = frozenset(
    {
        ErrorCode.NOT_SQLITE,
        ErrorCode.DATABASE_CORRUPT,
        ErrorCode.SCHEMA_NOT_UNDERSTOOD,
        ErrorCode.GENERATION_MISSING,
    }
)
"""The version is at fault. A bucket or a disk at fault ends the command: later it may succeed."""


@dataclass(frozen=True, slots=True)
class RecoveryPorts:
    """What a recovery needs of the world."""

    bucket: Bucket
    lease: Lease
    clock: Clock
    journal: Journal
    new_token: Callable[[], str]
    wait_seconds: float
    """For a run that has the lease."""


class Unreadable(NamedTuple):
    """A version that could not be carried from, and why."""

    generation: int
    code: ErrorCode


@dataclass(frozen=True, slots=True)
class Source:
    """A version to carry from, and the one that was carried from in the end."""

    generation: int
    used: int | None
    """None: neither it nor what came before it could be read."""
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a restore or a reconciliation did, or would do."""

    org_id: OrgId
    base: int
    """The version that was put in place, or is there."""
    replaced: int | None
    """The version that was live; None: there was none."""
    generation: int | None
    """Of the new object; None: nothing was uploaded."""
    size_bytes: int
    carried: Carried
    sources: tuple[Source, ...]
    transfer: Transfer
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Work:
    """A version that is being put in place."""

    org_id: OrgId
    ports: RecoveryPorts
    folder: Path
    bucket: Bucket
    transfer: Transfer
    versions: tuple[Version, ...]
    base: Version
    carried: Carried = NOTHING_CARRIED
    sources: list[Source] = field(default_factory=list)
    left_out: int = 0

    @property
    def file(self) -> str:
        """The private copy of the version that is put in place."""
        return str(self.folder / "kept.db")


def restore(org_id: OrgId, generation: int, ports: RecoveryPorts, *, exact: bool, dry_run: bool) -> Recovered:
    """Make an earlier version the live one, with what must not be forgotten carried into it unless ``exact``.

    Raises OrgError: OBJECT_MISSING, GENERATION_MISSING, NOT_SQLITE, DATABASE_CORRUPT, SCHEMA_NOT_UNDERSTOOD (the version
    is no good), LEASE_BUSY, FENCE_LOST (another writer was first), DOWNLOAD_CORRUPT, DISK_FULL, BUCKET_*; UsageError for
    the live generation. Then the live object is as it was.
    """
    with _begin(org_id, ports, dry_run=dry_run) as start:
        work = start(lambda versions: find_version(versions, generation, org_id))
        if work.base.is_live:
            raise UsageError(f"generation {generation} is the live one", f"`emailsched versions {org_id}` lists others")
        fetch_sound(work.bucket, work.base.info, work.file, org_id)
        if not exact:
            newest = work.versions[-1].info.generation
            _carry(work, {newest, *lost_versions([v.mark for v in work.versions])} - {generation})
        facts = {RESTORED_KEY: str(generation)}
        return _finish(work, None if dry_run else _commit(work, facts))


def reconcile(org_id: OrgId, ports: RecoveryPorts, *, source: int | None, dry_run: bool) -> Recovered:
    """Carry into the live version what versions know that were replaced by one that was not made from them.

    ``source`` names the version to carry from instead of finding out. Nothing to carry: nothing is uploaded. Raises what
    ``restore`` does.
    """
    with _begin(org_id, ports, dry_run=dry_run) as start:
        work = start(lambda versions: _require_live(versions, org_id))
        wanted = set(lost_versions([v.mark for v in work.versions]))
        if source is not None:
            wanted = {find_version(work.versions, source, org_id).info.generation}
            if work.base.info.generation in wanted:
                raise UsageError(f"generation {source} is the live one", "name an earlier one")
        if wanted:
            fetch_sound(work.bucket, work.base.info, work.file, org_id)
            _carry(work, wanted)
        uploads = not (dry_run or work.carried.is_empty)
        return _finish(work, _commit(work, {}) if uploads else None)


_Start = Callable[[Callable[[Sequence[Version]], Version]], _Work]


@contextmanager
def _begin(org_id: OrgId, ports: RecoveryPorts, *, dry_run: bool) -> Iterator[_Start]:
    """Take the lease and a private folder; yields what makes the work, given a choice among the versions."""
    transfer = Transfer()
    until = ports.clock.monotonic() + ports.wait_seconds
    lease: AbstractContextManager[None] = nullcontext()
    if not dry_run:
        lease = ports.lease.hold(org_id, until=until, transfer=transfer)
    with lease, temporary_folder(org_id) as name:
        bucket = CountedBucket(ports.bucket, transfer)

        def start(choose: Callable[[Sequence[Version]], Version]) -> _Work:
            versions = list_versions(bucket, org_id)
            return _Work(org_id, ports, Path(name), bucket, transfer, versions, choose(versions))

        yield start


def _require_live(versions: Sequence[Version], org_id: OrgId) -> Version:
    live = live_version(versions)
    if live is None:
        newest = versions[-1].info.generation
        raise OrgError(
            ErrorCode.OBJECT_MISSING, org_id, f"deleted; `emailsched restore {org_id} {newest}` brings it back"
        )
    return live


def _carry(work: _Work, wanted: set[int]) -> None:
    """Carry from each version wanted, or from the newest readable one before it: the last word is the newest version's."""
    base = work.base.info.generation
    prepare(work.file, work.org_id)
    newest_first = sorted(wanted, reverse=True)
    work.left_out = len(newest_first[SOURCES_MAX:])
    chosen = newest_first[:SOURCES_MAX]
    older, newer = [g for g in chosen if g < base], [g for g in chosen if g > base]
    parts: dict[int, Carried] = {}
    for generation in (*older, *reversed(newer)):
        used, unreadable = _fetch_readable(work, generation, {base, *parts})
        if used is not None:
            work.ports.journal.info("carrying", org_id=work.org_id, generation=used)
            wishes = CarryWishes(used > base, work.ports.clock.now_utc(), work.ports.clock.is_timezone)
            parts[used] = carry_over(work.file, str(_lost_file(work)), wishes, work.org_id)
        work.sources.append(Source(generation, used, unreadable))
    work.sources.sort(key=lambda source: source.generation, reverse=True)
    newest = [parts[generation] for generation in sorted(parts, reverse=True)]
    work.carried = reduce(Carried.plus, newest) if newest else NOTHING_CARRIED


def _fetch_readable(work: _Work, generation: int, known: set[int]) -> tuple[int | None, tuple[Unreadable, ...]]:
    """Fetch a version, or the newest readable one before it, up to one whose content is there already."""
    unreadable: list[Unreadable] = []
    before = [v for v in reversed(work.versions) if v.info.generation <= generation]
    for version in before[:LOOKS_BACK_MAX]:
        if version.info.generation in known:
            break
        lost = _lost_file(work)
        remove_database(lost)
        try:
            fetch_sound(work.bucket, version.info, str(lost), work.org_id)
            prepare(str(lost), work.org_id)
        except OrgError as error:
            if error.code not in _UNREADABLE:
                raise
            work.ports.journal.warning(
                "version_unreadable",
                org_id=work.org_id,
                generation=version.info.generation,
                code=error.code.value,
                detail=error.detail,
            )
            unreadable.append(Unreadable(version.info.generation, error.code))
        else:
            return version.info.generation, tuple(unreadable)
    return None, tuple(unreadable)


def _lost_file(work: _Work) -> Path:
    return work.folder / "lost.db"


def _commit(work: _Work, facts: dict[str, str]) -> int:
    """Upload the version over exactly the one that was live when the work began; returns the new generation."""
    live = live_version(work.versions)
    require_sound(work.file, work.base.info.generation, work.org_id)
    carried = " ".join(str(source.used) for source in work.sources if source.used is not None)
    facts = {**facts, CARRIED_KEY: carried, PARENT_GENERATION_KEY: str(work.versions[-1].info.generation)}
    if work.carried.is_empty:  # else they would be wrong, and the next run says better ones
        facts |= {key: value for key, value in work.base.info.metadata.items() if key in COUNT_KEYS}
    parent = 0 if live is None else live.info.generation
    work.ports.journal.info("sync_up", org_id=work.org_id, generation=parent)
    try:
        info = fenced_upload(
            work.bucket,
            work.org_id,
            work.file,
            parent_generation=parent,
            run_id=uuid4().hex,
            token=work.ports.new_token(),
            facts=facts,
        )
    except PreconditionFailedError:
        detail = f"generation {parent} is no longer the live one; nothing was changed"
        raise OrgError(ErrorCode.FENCE_LOST, work.org_id, detail) from None
    work.ports.journal.info("uploaded", org_id=work.org_id, generation=info.generation)
    return info.generation


def _finish(work: _Work, generation: int | None) -> Recovered:
    live = live_version(work.versions)
    with disk_errors(work.org_id):
        file = Path(work.file)
        size_bytes = file.stat().st_size if file.exists() else work.base.info.size_bytes
    return Recovered(
        org_id=work.org_id,
        base=work.base.info.generation,
        replaced=None if live is None else live.info.generation,
        generation=generation,
        size_bytes=size_bytes,
        carried=work.carried,
        sources=tuple(work.sources),
        transfer=work.transfer,
        warnings=_warnings(work),
    )


def _warnings(work: _Work) -> tuple[str, ...]:
    found = {
        "source_unreadable": any(source.unreadable for source in work.sources),
        "sources_left_out": work.left_out > 0,
        "unsubscribes_not_suppressed": work.carried.unsuppressed > 0,
        "contacts_missing": work.carried.contacts_missing > 0,
        "contacts_back": work.carried.contacts_back > 0,
    }
    return tuple(name for name, holds in found.items() if holds)
