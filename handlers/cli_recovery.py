"""The commands that put a version in place: restore, reconcile."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from handlers.cli_errors import CommandError, Exit, UsageError
from handlers.cli_options import JsonOption, load_settings, org_of
from handlers.cli_output import print_json
from handlers.cli_recovery_output import CarriedCounts, CarrySource, RecoveryOutput, UnreadableVersion
from handlers.cli_runs import bucket_to_look_at
from handlers.cli_versions import Generation, OrgArgument, OrgFirst

if TYPE_CHECKING:
    from core.runs.ports import Bucket
    from handlers.recovery import Recovered, RecoveryPorts
    from infra.settings import Settings

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be carried; nothing is written.")]


def restore(
    org: OrgFirst,
    generation: Generation,
    dry_run: DryRunOption = False,
    exact: Annotated[bool, typer.Option("--exact", help="Carry nothing: mail that went out may go out again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Make an earlier version of an org's database the live one; what happened to people since is carried into it.

    Carried: mail that was sent or claimed, unsubscribes, deletions, ids of processed events. Plan, contacts, campaigns
    and configuration go back. One upload, and only over the version that is live now.

    Example: emailsched restore acme 1735689600000000 --dry-run
    """
    from handlers.progress import progress
    from handlers.recovery import restore as restore_version

    settings = load_settings()
    org_id = org_of(org, settings)
    if not (dry_run or yes):
        _confirm(f"Replace the live database of {org_id} by generation {generation}{' as it is' if exact else ''}?")
    bucket = bucket_to_look_at(org_id, settings)
    with progress(f"restore {org_id}", settings.log_level):
        done = restore_version(org_id, generation, _ports(bucket, settings), exact=exact, dry_run=dry_run)
    _show(done, dry_run=dry_run, exact=exact, json=json)


def reconcile(
    org: OrgArgument = None,
    dry_run: DryRunOption = False,
    source: Annotated[
        int | None,
        typer.Option("--from", metavar="GENERATION", min=1, help="Carry from this version.  [default: found out]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Carry into the live database what a version had that somebody replaced without looking (`object_replaced`).

    Example: emailsched reconcile acme --dry-run
    """
    from handlers.progress import progress
    from handlers.recovery import reconcile as reconcile_org

    settings = load_settings()
    org_id = org_of(org, settings)
    bucket = bucket_to_look_at(org_id, settings)
    with progress(f"reconcile {org_id}", settings.log_level):
        done = reconcile_org(org_id, _ports(bucket, settings), source=source, dry_run=dry_run)
    _show(done, dry_run=dry_run, exact=False, json=json)


# ------------------------------------------------------------------------------------------------ parts


def _ports(bucket: "Bucket", settings: "Settings") -> "RecoveryPorts":
    from handlers.bootstrap import new_token, open_lease
    from handlers.recovery import RecoveryPorts
    from infra.clock import SystemClock
    from infra.telemetry import LogJournal

    journal, clock = LogJournal(), SystemClock()
    lease = open_lease(settings, bucket, clock, journal)
    return RecoveryPorts(bucket, lease, clock, journal, new_token, settings.run_deadline_seconds)


def _confirm(question: str) -> None:
    """Ask at a terminal; elsewhere ``--yes`` says that somebody meant it. Raises UsageError, CommandError."""
    if not sys.stdin.isatty():
        raise UsageError("restore replaces the live database", "add --yes, or --dry-run to see what it would do")
    if not typer.confirm(question, err=True):
        raise CommandError("declined", "nothing was changed", "give the command again", exit_code=Exit.REFUSED)


def _show(done: "Recovered", *, dry_run: bool, exact: bool, json: bool) -> None:
    carried = done.carried
    sources = tuple(
        CarrySource(
            generation=source.generation,
            used=source.used,
            unreadable=tuple(
                UnreadableVersion(generation=bad.generation, code=bad.code.value) for bad in source.unreadable
            ),
        )
        for source in done.sources
    )
    output = RecoveryOutput(
        org_id=done.org_id,
        dry_run=dry_run,
        exact=exact,
        changed=done.generation is not None,
        base_generation=done.base,
        replaced_generation=done.replaced,
        generation=done.generation,
        size_bytes=done.size_bytes,
        carried=CarriedCounts(
            locked_rows=carried.rows_locked,
            locked_rows_by_status=dict(carried.rows_by_status),
            planned_rows_withdrawn=carried.rows_withdrawn,
            unsubscribes=carried.unsubscribes,
            deletions=carried.deletions,
            tombstones=carried.tombstones,
            processed_events=carried.events,
            runs=carried.runs,
            contacts_missing=carried.contacts_missing,
            contacts_back=carried.contacts_back,
        ),
        sources=sources,
        bytes_down=done.transfer.bytes_down,
        bytes_up=done.transfer.bytes_up,
        warnings=done.warnings,
    )
    if json:
        print_json(output)
        return
    from handlers.cli_recovery_tables import print_recovery

    print_recovery(output)
