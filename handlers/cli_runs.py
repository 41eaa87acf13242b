"""The commands that plan and keep or draw it: run, schedule, report."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import uuid4

import typer

from core.runs.errors import ErrorCode, OrgError
from events.payloads import EventRef, RunRequested
from events.types import RUN_REQUESTED, Event, OrgId
from handlers.cli_options import (
    AsOfOption,
    ForceOption,
    JsonOption,
    Target,
    TargetArgument,
    load_settings,
    org_id_of_file,
    org_of,
    parse_run_id,
    target_of,
)
from handlers.cli_output import ReportOutput, RunOutput, ScheduleOutput, print_json

if TYPE_CHECKING:
    from core.runs.ports import Bucket
    from handlers.local_run import World
    from handlers.report_data import Picture
    from infra.settings import Settings

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

CLI_SOURCE: Final = "//emailsched/cli"
"""CloudEvents source of the requests that are made at this door."""


def run(
    org: Annotated[str | None, typer.Argument(metavar="ORG", help="Org of the bucket.  [default: ORG_ID]")] = None,
    as_of: AsOfOption = None,
    force: ForceOption = False,
    create: Annotated[bool, typer.Option("--create", help="Make the org's object if there is none.")] = False,
    json: JsonOption = False,
) -> None:
    """Plan one org of the bucket, commit the difference, publish the completion.

    Example: emailsched run acme --json
    """
    from handlers.bootstrap import build
    from handlers.progress import progress

    settings = load_settings()
    org_id = org_of(org, settings)
    request = RunRequested(as_of=as_of, force=force, create=create)
    event = Event(id=str(uuid4()), source=CLI_SOURCE, type=RUN_REQUESTED, org_id=org_id, data=request)
    with progress(f"run {org_id}", settings.log_level):
        app = build(settings)
        try:
            until = app.clock.monotonic() + settings.run_deadline_seconds
            handled = app.service.handle(event, until=until)
        finally:
            app.close()
    if handled.error is not None:
        raise handled.error
    if handled.completed is None:
        raise RuntimeError("an event without an error has a completion")
    if json:
        print_json(RunOutput(event=EventRef(source=event.source, id=event.id), completed=handled.completed))
        return
    from handlers.cli_tables import print_completed

    print_completed(handled.completed, title=f"Run of {org_id}")


def schedule(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Org database on this machine.")],
    run_id: Annotated[
        str | None,
        typer.Option("--run-id", parser=parse_run_id, metavar="ID", help="Run id to record.  [default: a new one]"),
    ] = None,
    as_of: AsOfOption = None,
    json: JsonOption = False,
) -> None:
    """Plan a local database and write the difference into it: whole, or not at all.

    It works on a private copy and replaces FILE in one step, unless somebody wrote to it meanwhile. Without a
    difference FILE keeps its bytes and times. No bucket, no events. FILE is yours, so --as-of takes any day; one that
    a run of a live org would refuse is answered with the warning as_of_forced.

    Example: emailsched schedule acme.db --as-of 2025-03-10
    """
    from core.runs.reconcile import Order
    from handlers.local_run import new_run_id, schedule_file
    from handlers.progress import progress

    settings = load_settings()
    if not file.is_file():
        raise OrgError(ErrorCode.FILE_MISSING, detail=f"{str(file)!r} is no file")
    order = Order(org_id_of_file(file), run_id or new_run_id(), as_of=as_of, force=True)
    with progress(f"schedule {file.name}", settings.log_level):
        completed = schedule_file(file, order, local_world())
    if json:
        print_json(ScheduleOutput(file=str(file), file_replaced=completed.changed, completed=completed))
        return
    from handlers.cli_tables import print_completed

    print_completed(completed, title=f"Schedule of {file}")


def report(
    target: TargetArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="Where to write the page.  [default: stdout]")
    ] = None,
    as_of: AsOfOption = None,
    json: JsonOption = False,
) -> None:
    """Draw the plan of an org as one self-contained HTML page; nothing else is written.

    Example: emailsched report acme --out acme.html
    """
    from handlers.report import render

    settings = load_settings()
    picture = _picture(target_of(target, settings), as_of, settings)
    completed, page = picture.completed, render(picture)
    if out is not None:
        write_page(out, page)
    if json:
        print_json(
            ReportOutput(out=None if out is None else str(out), html=page if out is None else None, completed=completed)
        )
    else:
        typer.echo(page if out is None else str(out), nl=out is not None)


def _picture(target: Target, as_of: date | None, settings: "Settings") -> "Picture":
    """Look at a file or at the live object of an org, for a report."""
    from handlers.progress import progress
    from handlers.report_data import picture_of_file, picture_of_org

    world = local_world(settings)
    with progress(f"report {target.org_id}", settings.log_level):
        if target.file is not None:
            return picture_of_file(target.file, target.org_id, as_of, world)
        return picture_of_org(bucket_to_look_at(target.org_id, settings), target.org_id, as_of, world)


def bucket_to_look_at(org_id: OrgId, settings: "Settings") -> "Bucket":
    """Open the bucket, or raise OrgError OBJECT_MISSING where there is no embedded one yet: looking makes nothing."""
    bucket = bucket_of_all(settings)
    if bucket is None:
        raise OrgError(ErrorCode.OBJECT_MISSING, org_id, f"no bucket in {settings.data_dir}")
    return bucket


def bucket_of_all(settings: "Settings") -> "Bucket | None":
    """Open the bucket to look at all orgs; None where there is no embedded one yet, which looking does not make."""
    from handlers.bootstrap import local_bucket_folder, open_bucket
    from infra.telemetry import LogJournal

    if settings.gcs_bucket_name is None and not local_bucket_folder(settings).is_dir():
        return None
    return open_bucket(settings, LogJournal())


def local_world(settings: "Settings | None" = None) -> "World":
    """Return what a run or a look on this machine needs of the world; settings say where its mirrors are."""
    from handlers.bootstrap import open_store, orgs_folder
    from handlers.local_run import World
    from infra.clock import SystemClock
    from infra.telemetry import LogJournal

    mirrors = None if settings is None else orgs_folder(settings)
    return World(open_store(), SystemClock(), LogJournal(), mirrors)


def write_page(out: Path, page: str) -> None:
    """Write the page whole or not at all; raises OrgError FILE_MISSING, DISK_FULL."""
    from infra.files import disk_errors, write_durably

    if not out.parent.is_dir():
        raise OrgError(ErrorCode.FILE_MISSING, detail=f"no folder {str(out.parent)!r}")
    with disk_errors(None, ErrorCode.SCHEDULER_FAILED):
        write_durably(out, page.encode("utf-8"))
