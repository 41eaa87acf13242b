"""Runs of local files, and looks at what a run would change.

``schedule_file`` is the run of one org without its outer rooms: no lease, no bucket, nothing published; the file's place
in the folder is the commit point. ``plan_file`` and ``plan_org`` look and write nothing anywhere, nor does anybody who
reads what ``file_copy`` and ``object_copy`` lend.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from msgspec.structs import replace

from core.planning.schedule import Schedule, gather_schedule
from core.runs.changes import apply_events
from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bucket, Clock, Commit, Journal, ObjectInfo, OrgDatabase, OrgStore
from core.runs.reconcile import Order, Reconciled, reconcile
from events.payloads import RunCompleted
from events.types import Event, OrgId
from handlers.cli_errors import UsageError
from infra.checksum import crc32c_of_file
from infra.fence import object_name
from infra.files import disk_errors
from infra.local_file import private_copy, replace_if_unchanged
from infra.mirror_copy import copy_current_mirror
from infra.sqlite_file import quick_check

_TEMPORARY_PREFIX: Final = "emailsched-"
_RUN_ID_COLUMNS: Final = ("scheduler_checkpoints.scheduler_run_id", "scheduler_runs.run_id")
"""Where a run id may be once."""


@dataclass(frozen=True, slots=True)
class World:
    """What a local run needs of the world."""

    store: OrgStore
    clock: Clock
    journal: Journal
    mirrors: str | None = None
    """Folder of this machine's mirrors; a look at an org copies a current one instead of downloading it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a look is to be made as of, and with."""

    as_of: date | None = None
    """None: the org's own date."""
    config_data: str | None = None
    """None: the configuration in force."""

    def order(self, org_id: OrgId) -> Order:
        """Return the order of a run that only looks."""
        return Order(org_id, new_run_id(), as_of=self.as_of, dry=True, config_data=self.config_data)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would do, and the stored rows that it would change."""

    result: Reconciled
    stored: Schedule
    migrated: bool
    """Whether tables, columns or indexes would be added."""
    generation: int | None
    """Of the object that was read; None for a file."""

    @property
    def completed(self) -> RunCompleted:
        """The completion that a run would publish, with the generation that was read."""
        return completion_of(self.result, self.generation)


def completion_of(result: Reconciled, generation: int | None) -> RunCompleted:
    """Return the completion that a run would publish, with the generation that was read."""
    return replace(result.completed, replayed=False, generation=generation)


def new_run_id() -> str:
    """Return a run id that no other run has."""
    return uuid4().hex


def schedule_file(file: Path, order: Order, world: World, events: Sequence[Event] = ()) -> RunCompleted:
    """Plan a local database and put the result in its place in one step; without a difference it keeps bytes and times.

    ``events`` are those of the order: what they change is part of the same step. Raises OrgError: FILE_MISSING,
    FILE_CHANGED (somebody wrote to it meanwhile; it is as they left it), NOT_SQLITE, DATABASE_CORRUPT, DATABASE_BUSY,
    DISK_FULL, and what ``apply_events`` and ``reconcile`` raise; UsageError for a run id that the file knows. The file is
    untouched then.
    """
    warnings: tuple[str, ...] = ()
    started = world.clock.monotonic()
    with temporary_folder(order.org_id) as folder:
        world.journal.info("copying", org_id=order.org_id, run_id=order.run_id)
        copy = private_copy(str(file), folder)
        _require_sound(copy.file, order.org_id)
        with closing(world.store.open(copy.file, order.org_id)) as db:
            migrated = db.migrate()
            applied = apply_events(db, events, world.clock, on_hold=False)
            written = migrated or applied.written
            result = reconcile(db, order, world.clock, world.journal, written=written, applied=applied)
            if result.changed:
                world.journal.info("planned", org_id=order.org_id, run_id=order.run_id)
                warnings = _write(db, result.commit)
        if result.changed:
            world.journal.info("replacing", org_id=order.org_id, run_id=order.run_id)
            replace_if_unchanged(str(file), copy.file, copy.fingerprint)
    seconds = round(world.clock.monotonic() - started, 3)
    return replace(
        result.completed,
        replayed=False,
        durations_seconds={"total": seconds},
        warnings=(*result.completed.warnings, *warnings),
    )


def plan_file(file: Path, org_id: OrgId, wish: Wish, world: World) -> Planned:
    """Return what a run would do to a local file; not one byte of it, or beside it, is written."""
    with file_copy(file, org_id, world) as copy:
        return _plan(copy, org_id, wish, world, generation=None)


def plan_org(bucket: Bucket, org_id: OrgId, wish: Wish, world: World) -> Planned:
    """Return what a run would do to an org's live object; takes no lease and leaves nothing in bucket or mirror.

    Raises OrgError: what ``object_copy`` and ``plan_file`` raise.
    """
    with object_copy(bucket, org_id, world) as (copy, generation):
        return _plan(copy, org_id, wish, world, generation=generation)


@contextmanager
def file_copy(file: Path, org_id: OrgId, world: World) -> Iterator[str]:
    """Lend a sound private copy of a local database. Raises OrgError as ``schedule_file`` does."""
    with temporary_folder(org_id) as folder:
        world.journal.info("copying", org_id=org_id)
        copy = private_copy(str(file), folder).file
        _require_sound(copy, org_id)
        yield copy


@contextmanager
def object_copy(bucket: Bucket, org_id: OrgId, world: World) -> Iterator[tuple[str, int]]:
    """Lend a sound private copy of an org's live object, and say its generation.

    Raises OrgError: OBJECT_MISSING, DOWNLOAD_CORRUPT, NOT_SQLITE, DATABASE_CORRUPT, DISK_FULL, BUCKET_*.
    """
    name = object_name(org_id)
    info = bucket.stat(name)
    if info is None:
        raise OrgError(ErrorCode.OBJECT_MISSING, org_id, name)
    with temporary_folder(org_id) as folder:
        file = str(Path(folder) / "object.db")
        world.journal.info("copying", org_id=org_id, generation=info.generation)
        with disk_errors(org_id):
            mirrored = world.mirrors is not None and copy_current_mirror(world.mirrors, org_id, info, file)
        if not mirrored:
            _download(bucket, info, file, org_id)
        _require_sound(file, org_id, info.generation)
        yield file, info.generation


def _download(bucket: Bucket, info: ObjectInfo, file: str, org_id: OrgId) -> None:
    """Fetch a version and prove it; raises OrgError DOWNLOAD_CORRUPT."""
    bucket.download(info.name, info.generation, file)
    with disk_errors(org_id):
        arrived = (Path(file).stat().st_size, crc32c_of_file(file))
    if arrived != (info.size_bytes, info.crc32c):
        raise OrgError(ErrorCode.DOWNLOAD_CORRUPT, org_id, f"{info.name} generation {info.generation}")


def _write(db: OrgDatabase, commit: Commit) -> tuple[str, ...]:
    """Write the changes; a run id that an earlier run has is a mistake of the operator's, not of the schema."""
    try:
        return db.write(commit)
    except OrgError as error:
        if error.code is ErrorCode.SCHEMA_NOT_UNDERSTOOD and any(column in error.detail for column in _RUN_ID_COLUMNS):
            raise UsageError(
                f"an earlier run has the id {commit.run.run_id}", "name another --run-id, or leave it out"
            ) from error
        raise


def _plan(file: str, org_id: OrgId, wish: Wish, world: World, *, generation: int | None) -> Planned:
    """Plan a copy that is thrown away: bringing its schema up to date costs nobody anything."""
    order = wish.order(org_id)
    with closing(world.store.open(file, org_id)) as db:
        migrated = db.migrate()
        result = reconcile(db, order, world.clock, world.journal, written=migrated)
        return Planned(result, gather_schedule(db.schedule_chunks()), migrated, generation)


def _require_sound(file: str, org_id: OrgId, generation: int | None = None) -> None:
    """Refuse a damaged database before anything is read of it: a plan of half an org looks like a plan."""
    with disk_errors(org_id):
        verdict = quick_check(file)
    if verdict != "ok":
        what = "the file" if generation is None else f"generation {generation}"
        raise OrgError(ErrorCode(verdict), org_id, f"{what} does not pass quick_check")


@contextmanager
def temporary_folder(org_id: OrgId) -> Iterator[str]:
    """Lend a folder that only this user can read; what is in it is gone at the end."""
    with disk_errors(org_id):
        folder = TemporaryDirectory(prefix=_TEMPORARY_PREFIX)
    with folder as name:
        yield name
