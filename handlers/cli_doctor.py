"""The command that looks at everything a run depends on: ``doctor``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.runs.errors import OrgError
from handlers.cli_errors import Exit
from handlers.cli_options import JsonOption, load_settings, org_of
from handlers.cli_output import print_json
from handlers.cli_recovery_output import DoctorOutput, FindingLine

if TYPE_CHECKING:
    from core.runs.ports import Bucket
    from events.types import OrgId
    from infra.findings import Finding
    from infra.settings import Settings

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing


def doctor(
    org: Annotated[
        str | None, typer.Argument(metavar="ORG", help="Look at this org's database, too: every page of it.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Try everything that a run depends on, and say what to do about what is wrong.

    Credentials, bucket, Object Versioning, lifecycle, permissions, preconditions, clock, topics and subscriptions,
    sqlite3_rsync, disk; with ORG its object, integrity_check, schema, configuration and last run. A small object under
    doctor/ is written and deleted again. Exit 0: no error found (warnings may be), 1: at least one.

    Example: emailsched doctor acme
    """
    findings = tuple(_findings(org))
    output = DoctorOutput(
        findings=tuple(
            FindingLine(check=f.check, state=f.state, detail=f.detail, hint=f.hint or None) for f in findings
        ),
        healthy=all(finding.state != "error" for finding in findings),
    )
    if json:
        print_json(output)
    else:
        from handlers.cli_recovery_tables import print_findings

        print_findings(output)
    return Exit.DONE if output.healthy else Exit.FAILED


def _findings(org: str | None) -> Iterator["Finding"]:
    """Check what does not depend on settings first: a wrong setting must not hide a missing program."""
    from tempfile import TemporaryDirectory

    from infra.doctor_machine import check_rsync, check_sqlite
    from infra.findings import Finding
    from infra.settings import Settings, SettingsError

    yield check_sqlite()
    try:
        settings = load_settings()
    except SettingsError as error:
        yield from (Finding("settings", "error", problem, error.hint) for problem in error.problems)
        settings = Settings()
        with TemporaryDirectory(prefix="emailsched-") as folder:
            yield check_rsync(Path(folder), settings.rsync_timeout_seconds)
        return
    yield Finding("settings", "ok", "every variable can be used")
    with TemporaryDirectory(prefix="emailsched-") as folder:
        yield check_rsync(Path(folder), settings.rsync_timeout_seconds)
    yield from _outside(settings, None if org is None and settings.org_id is None else org_of(org, settings))


def _outside(settings: "Settings", org_id: "OrgId | None") -> Iterator["Finding"]:
    """Check bucket, bus and disk, then the org."""
    from handlers.bootstrap import connect_bucket, new_token
    from infra.clock import SystemClock
    from infra.doctor_bucket import check_lifecycle, check_permissions, check_versioning
    from infra.doctor_bus import check_bus
    from infra.doctor_machine import check_disk
    from infra.findings import Finding, failed
    from infra.telemetry import LogJournal

    largest = 0
    try:
        bucket = connect_bucket(settings, LogJournal())
    except OrgError as error:
        yield failed("credentials", error)
    else:
        yield Finding("credentials", "ok", settings.gcs_bucket_name or "a local directory needs none")
        reached = check_versioning(bucket, allow_unversioned=settings.allow_unversioned_bucket)
        yield from reached
        if reached[0].state == "ok":
            yield check_lifecycle(bucket)
            probe = check_permissions(bucket, SystemClock(), new_token())
            yield from probe.findings
            largest = probe.largest_object_bytes
            if org_id is not None:
                yield from _org(bucket, org_id)
    yield from check_bus(settings)
    yield check_disk(
        settings.data_dir, reserve_bytes=settings.disk_reserve_mb * 1_000_000, largest_object_bytes=largest
    )


def _org(bucket: "Bucket", org_id: "OrgId") -> Iterator["Finding"]:
    """Check one org on a private copy of its live object."""
    from handlers.cli_runs import local_world
    from handlers.local_run import object_copy
    from infra.doctor_org import check_config, check_integrity, check_schema, check_status
    from infra.findings import Finding, failed
    from infra.status_board import read_status

    world = local_world()
    try:
        yield check_status(read_status(bucket, org_id), world.clock.now_utc())
        with object_copy(bucket, org_id, world) as (file, generation):
            size_mb = round(Path(file).stat().st_size / 1_000_000)
            yield Finding("object", "ok", f"generation {generation}, {size_mb} MB, its checksum holds")
            yield check_integrity(file, org_id)
            schema = check_schema(file, org_id, world.store)
            yield schema
            if schema.state == "ok":
                yield check_config(file, org_id, world.store, world.clock)
    except OrgError as error:
        yield failed("object", error)
