"""The command that shows what runs would change: of a file, of an org, of all orgs of the bucket."""

from typing import TYPE_CHECKING, Annotated

import typer

from events.payloads import RunCounts
from events.types import OrgId
from handlers.cli_errors import Exit, UsageError, describe
from handlers.cli_options import (
    AsOfOption,
    ConfigOption,
    JsonOption,
    Target,
    TargetArgument,
    config_text,
    load_settings,
    target_of,
)
from handlers.cli_output import PlanAllOutput, PlanLine, PlanOutput, print_json
from handlers.cli_runs import bucket_of_all, bucket_to_look_at, local_world

if TYPE_CHECKING:
    from core.runs.ports import Bucket
    from handlers.local_run import Planned, Wish, World
    from infra.settings import Settings

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

AllOption = Annotated[bool, typer.Option("--all", help="Every org of the bucket, one after the other, with totals.")]


def plan(
    target: TargetArgument = None,
    everything: AllOption = False,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Exit:
    """Show what a run would change; nothing is written anywhere, and --as-of takes any day.

    With --all an org that cannot be planned stops no other; the exit code is 1 then.

    Example: emailsched plan acme.db --as-of 2025-03-10

    Example: emailsched plan acme --config stricter.json

    Example: emailsched plan --all --json
    """
    from handlers.local_run import Wish

    settings = load_settings()
    wish = Wish(as_of, config_text(config))
    if everything:
        if target is not None:
            raise UsageError("one org, and all", "name an org or a file, or give --all")
        return _plan_all(wish, settings, json=json)
    found = target_of(target, settings)
    output = _output(found, _planned(found, wish, settings), what_if=wish.config_data is not None)
    if json:
        print_json(output)
    else:
        _print(output, title=f"Plan of {found.file or found.org_id}; nothing was written")
    return Exit.DONE


def _planned(target: Target, wish: "Wish", settings: "Settings") -> "Planned":
    """Look at a file or at the live object of an org."""
    from handlers.local_run import plan_file, plan_org
    from handlers.progress import progress

    world = local_world(settings)
    with progress(f"plan {target.org_id}", settings.log_level):
        if target.file is not None:
            return plan_file(target.file, target.org_id, wish, world)
        return plan_org(bucket_to_look_at(target.org_id, settings), target.org_id, wish, world)


def _output(found: Target, planned: "Planned", *, what_if: bool) -> PlanOutput:
    from handlers.plan_changes import list_changes, list_days, list_moves

    difference = planned.result.difference.changes
    moves = list_moves(difference, planned.stored)
    return PlanOutput(
        file=None if found.file is None else str(found.file),
        generation=planned.generation,
        what_if=what_if,
        schema_outdated=planned.migrated,
        changes=list_changes(difference, planned.stored),
        moves=moves.moves,
        moves_left_out=moves.left_out,
        days=list_days(difference, planned.stored),
        completed=planned.completed,
    )


def _print(output: PlanOutput, *, title: str) -> None:
    from handlers import cli_tables

    console = cli_tables.stdout()
    cli_tables.print_completed(output.completed, title=title)
    cli_tables.print_changes(console, output.changes)
    cli_tables.print_moves(console, output.moves, output.moves_left_out)
    cli_tables.print_day_changes(console, output.days)
    cli_tables.print_days(console, output.completed)


def _plan_all(wish: "Wish", settings: "Settings", *, json: bool) -> Exit:
    """Plan every org of the bucket, one at a time: memory is that of the largest."""
    from handlers.progress import progress
    from infra.status_board import list_orgs

    world = local_world(settings)
    with progress("plan all orgs", settings.log_level):
        bucket = bucket_of_all(settings)
        orgs, left_out = ((), 0) if bucket is None else list_orgs(bucket)
        lines = tuple(_line(bucket, org_id, wish, world) for org_id in orgs if bucket is not None)
    failed = sum(line.error is not None for line in lines)
    output = PlanAllOutput(
        what_if=wish.config_data is not None,
        orgs=lines,
        orgs_left_out=left_out,
        orgs_failed=failed,
        orgs_changed=sum(line.changed is True for line in lines),
        totals=_summed([line.counts for line in lines if line.counts is not None]),
    )
    if json:
        print_json(output)
    else:
        from handlers.cli_tables import print_plans

        print_plans(output)
    return Exit.FAILED if failed else Exit.DONE


def _line(bucket: "Bucket", org_id: OrgId, wish: "Wish", world: "World") -> PlanLine:
    from handlers.local_run import plan_org

    try:
        planned = plan_org(bucket, org_id, wish, world)
    except Exception as error:  # noqa: BLE001 - told below, and no org may keep the others from being looked at
        body, _ = describe(error)
        world.journal.error(body.code, org_id=org_id, detail=body.detail)
        return PlanLine(
            org_id=org_id, error=body, generation=None, as_of=None, changed=None, counts=None, days_over_cap=None,
            config_hash=None,
        )  # fmt: skip
    completed = planned.completed
    return PlanLine(
        org_id=org_id,
        error=None,
        generation=planned.generation,
        as_of=completed.as_of,
        changed=completed.changed,
        counts=completed.counts,
        days_over_cap=len(completed.cap_exceeded_days),
        config_hash=completed.config_hash,
    )


def _summed(counts: list[RunCounts]) -> RunCounts:
    return RunCounts(**{name: sum(getattr(one, name) for one in counts) for name in RunCounts.__struct_fields__})
