"""The commands that look at the versions of an org: status, versions, backup, pull, diff."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.runs.errors import ErrorCode, OrgError
from core.runs.holds import HoldList
from events.types import OrgId
from handlers.cli_errors import UsageError
from handlers.cli_options import JsonOption, load_settings, org_of
from handlers.cli_output import print_json
from handlers.cli_recovery_output import (
    BackupOutput,
    DiffOutput,
    OrgLine,
    PullOutput,
    StatusOutput,
    VersionLine,
    VersionsOutput,
)
from handlers.cli_runs import bucket_of_all, bucket_to_look_at

if TYPE_CHECKING:
    from core.planning.schedule import Schedule
    from core.runs.ports import Bucket, ObjectInfo
    from infra.recovery import Version
    from infra.settings import Settings
    from infra.status_board import StatusLine

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

OrgArgument = Annotated[str | None, typer.Argument(metavar="ORG", help="Org of the bucket.  [default: ORG_ID]")]
OrgFirst = Annotated[str, typer.Argument(metavar="ORG", help="Org of the bucket.")]
Generation = Annotated[int, typer.Argument(metavar="GENERATION", min=1, help="As `versions` lists it.")]


def status(
    org: Annotated[str | None, typer.Argument(metavar="ORG", help="One org.  [default: all]")] = None,
    json: JsonOption = False,
) -> None:
    """Show how the last run of each org ended; the org that has been silent longest comes first.

    Example: emailsched status
    """
    from infra.fence import object_name

    settings = load_settings()
    org_id = None if org is None else org_of(org, settings)
    lines, left_out, holds = _statuses(settings) if org_id is None else _status(org_id, settings)
    if org_id is not None and not lines[0].has_database and lines[0].status is None:
        raise OrgError(ErrorCode.OBJECT_MISSING, org_id, object_name(org_id))
    orgs = tuple(
        OrgLine(org_id=line.org_id, has_database=line.has_database, status=line.status, hold=holds.of(line.org_id))
        for line in sorted(lines, key=_silence)
    )
    output = StatusOutput(orgs=orgs, orgs_left_out=left_out, hold_of_all_orgs=holds.all_orgs)
    if json:
        print_json(output)
        return
    from handlers.cli_recovery_tables import print_statuses

    print_statuses(output)


def versions(org: OrgArgument = None, json: JsonOption = False) -> None:
    """List the versions of an org's database, newest first: what there is to go back to.

    Example: emailsched versions acme
    """
    from infra.fence import object_name
    from infra.recovery import list_versions

    settings = load_settings()
    org_id = org_of(org, settings)
    found = list_versions(bucket_to_look_at(org_id, settings), org_id)
    output = VersionsOutput(
        org_id=org_id,
        object_name=object_name(org_id),
        versions=tuple(_version_line(version) for version in reversed(found)),
    )
    if json:
        print_json(output)
        return
    from handlers.cli_recovery_tables import print_versions

    print_versions(output)


def backup(org: OrgArgument = None, json: JsonOption = False) -> None:
    """Copy an org's live database to backups/ORG/TIME.db, where nothing replaces it.

    Example: emailsched backup acme
    """
    from datetime import UTC, datetime

    from handlers.local_run import temporary_folder
    from infra.recovery import back_up, fetch, verdict_of

    settings = load_settings()
    org_id = org_of(org, settings)
    bucket = bucket_to_look_at(org_id, settings)
    with temporary_folder(org_id) as folder:
        live = _live(bucket, org_id)
        file = str(Path(folder) / "live.db")
        fetch(bucket, live, file, org_id)
        verdict = verdict_of(file, org_id)
        made = back_up(bucket, live, file, org_id, datetime.now(UTC))
    output = BackupOutput(
        org_id=org_id,
        object_name=made.name,
        of_generation=live.generation,
        size_bytes=made.size_bytes,
        crc32c=made.crc32c,
        quick_check=verdict,
    )
    if json:
        print_json(output)
        return
    sound = "" if verdict == "ok" else f"; WARNING: it is damaged ({verdict})"
    typer.echo(f"{made.name}: generation {live.generation}, {made.size_bytes} bytes, crc32c {made.crc32c}{sound}")


def pull(
    org: OrgFirst,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to put it on this machine.")],
    generation: Annotated[
        int | None, typer.Option("--generation", metavar="GENERATION", min=1, help="Another version than the live one.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Download an org's database, verified by its checksum, to a file of this machine.

    Example: emailsched pull acme acme.db
    """
    from infra.recovery import find_version, list_versions
    from infra.recovery import pull as pull_version

    settings = load_settings()
    org_id = org_of(org, settings)
    if file.is_dir() or (file.exists() and not overwrite):
        raise UsageError(f"{str(file)!r} exists", "choose another name, or --overwrite a file")
    if not file.parent.is_dir():
        raise OrgError(ErrorCode.FILE_MISSING, detail=f"no folder {str(file.parent)!r}")
    bucket = bucket_to_look_at(org_id, settings)
    if generation is None:
        info, is_live = _live(bucket, org_id), True
    else:
        version = find_version(list_versions(bucket, org_id), generation, org_id)
        info, is_live = version.info, version.is_live
    pull_version(bucket, info, file, org_id)
    output = PullOutput(
        org_id=org_id,
        file=str(file),
        generation=info.generation,
        live=is_live,
        size_bytes=info.size_bytes,
        crc32c=info.crc32c,
    )
    if json:
        print_json(output)
    else:
        typer.echo(f"{file}: generation {info.generation}, {info.size_bytes} bytes, crc32c {info.crc32c}")


def diff(org: OrgFirst, before: Generation, after: Generation, json: JsonOption = False) -> None:
    """Show how the schedule of one version differs from that of another: rows added, moved, changed, dropped.

    Example: emailsched diff acme 1735689600000000 1735776000000000
    """
    from handlers.version_diff import compare_versions

    settings = load_settings()
    org_id = org_of(org, settings)
    bucket = bucket_to_look_at(org_id, settings)
    found = compare_versions(_schedule_of(bucket, org_id, before), _schedule_of(bucket, org_id, after))
    output = DiffOutput(
        org_id=org_id,
        before=before,
        after=after,
        changes=found.changes,
        moves=found.moves,
        moves_left_out=found.moves_left_out,
        unchanged=found.unchanged,
    )
    if json:
        print_json(output)
        return
    from handlers.cli_recovery_tables import print_diff

    print_diff(output)


# ------------------------------------------------------------------------------------------------ parts


def _status(org_id: OrgId, settings: "Settings") -> tuple[tuple["StatusLine", ...], int, HoldList]:
    """Return the line of one org, in the form of ``_statuses``."""
    from infra.holds import BucketHolds
    from infra.status_board import read_status

    bucket = bucket_to_look_at(org_id, settings)
    return (read_status(bucket, org_id),), 0, BucketHolds(bucket).read()


def _statuses(settings: "Settings") -> tuple[tuple["StatusLine", ...], int, HoldList]:
    """Return the lines of all orgs, how many were left out, and the holds; without a bucket there is nothing."""
    from infra.holds import BucketHolds
    from infra.status_board import list_statuses

    bucket = bucket_of_all(settings)
    if bucket is None:
        return (), 0, HoldList()
    return (*list_statuses(bucket), BucketHolds(bucket).read())


def _live(bucket: "Bucket", org_id: OrgId) -> "ObjectInfo":
    from infra.fence import object_name

    live = bucket.stat(object_name(org_id))
    if live is None:
        raise OrgError(ErrorCode.OBJECT_MISSING, org_id, object_name(org_id))
    return live


def _schedule_of(bucket: "Bucket", org_id: OrgId, generation: int) -> "Schedule":
    """Read the rows of a version from a private copy, brought to the schema."""
    from core.planning.schedule import gather_schedule
    from handlers.bootstrap import open_store
    from handlers.local_run import temporary_folder
    from infra.carry_over import prepare
    from infra.recovery import fetch_sound, find_version, list_versions

    with temporary_folder(org_id) as folder:
        file = str(Path(folder) / "version.db")
        fetch_sound(bucket, find_version(list_versions(bucket, org_id), generation, org_id).info, file, org_id)
        prepare(file, org_id)
        with closing(open_store().open(file, org_id)) as db:
            return gather_schedule(db.schedule_chunks())


def _silence(line: "StatusLine") -> tuple[bool, str, str]:
    """Order orgs: never completed, then by the time of the last completed run."""
    at = None if line.status is None else line.status.last_completed_at
    return at is not None, "" if at is None else at.isoformat(), line.org_id


def _version_line(version: "Version") -> VersionLine:
    contacts, scheduled, skipped = version.counts
    return VersionLine(
        generation=version.info.generation,
        live=version.is_live,
        updated=version.info.updated,
        size_bytes=version.info.size_bytes,
        run_id=version.run_id,
        parent_generation=version.parent,
        replaced_blindly=version.replaced_blindly,
        restored_from=version.restored_from,
        carried_from=version.carried_from,
        contacts=contacts,
        emails_scheduled=scheduled,
        emails_skipped=skipped,
    )
