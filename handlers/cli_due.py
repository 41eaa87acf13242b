"""The command that says what goes out on a day, as the sender needs it."""

from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Annotated, Final

import typer

from handlers.cli_changes import is_on_hold, lent_copy
from handlers.cli_look_output import DueMail, DueNote, DueOutput
from handlers.cli_options import JsonOption, Target, TargetArgument, load_settings, parse_day, target_of
from handlers.cli_output import print_json
from handlers.cli_runs import local_world

if TYPE_CHECKING:
    from infra.settings import Settings

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

MAILS_MAX: Final = 100_000
"""More than the enterprise profile sends of a million contacts in a day; --limit may ask for more."""
LIMIT_MAX: Final = 3_000_000

DateOption = Annotated[
    date | None,
    typer.Option("--date", parser=parse_day, metavar="DATE", help="The day.  [default: today in the org's time zone]"),
]
TodayOption = Annotated[
    date | None,
    typer.Option("--as-of", parser=parse_day, metavar="DATE", help="Ask as if today were this day."),
]
LimitOption = Annotated[
    int, typer.Option("--limit", metavar="N", min=0, max=LIMIT_MAX, help="List at most so many mails.")
]


def due(
    target: TargetArgument = None,
    day: DateOption = None,
    as_of: TodayOption = None,
    limit: LimitOption = MAILS_MAX,
    json: JsonOption = False,
) -> None:
    """List the mail that the sender may claim for a day: pre-scheduled for it, not in the past, of an org not on hold.

    Nothing is claimed by looking: the sender claims with a mail.reported event, and sends what was granted.

    Example: emailsched due acme

    Example: emailsched due acme --date 2025-09-15 --json
    """
    settings = load_settings()
    output = _due(target_of(target, settings), day, as_of, limit, settings)
    if json:
        print_json(output)
        return
    from handlers.cli_look_tables import print_due

    print_due(output)


def _due(found: Target, day: date | None, as_of: date | None, limit: int, settings: "Settings") -> DueOutput:
    from core.runs.reconcile import effective_config
    from infra.due_mail import Due, mail_of_day

    on_hold = is_on_hold(found, settings)
    world = local_world(settings)
    with lent_copy(found, settings) as (copy, generation):
        with closing(world.store.open(copy, found.org_id)) as db:
            db.migrate()
            config = effective_config(db, world.clock, found.org_id, world.clock.now_utc())
            last = db.last_checkpoint()
            unplanned = db.is_unplanned()
        local = world.clock.local_now(config.timezone)
        today = as_of or local.date()
        wanted = day or today
        notes = _notes(wanted, today, on_hold=on_hold, unplanned=unplanned)
        found_due = Due((), {}, 0)
        if not notes:
            suppressed = config.suppressed_contact_statuses
            found_due = mail_of_day(copy, found.org_id, wanted.isoformat(), limit, suppressed)
    if found_due.withheld:
        notes = (*notes, "contact_suppressed")
    return DueOutput(
        org_id=found.org_id,
        file=None if found.file is None else str(found.file),
        generation=generation,
        day=wanted,
        local_date=today,
        timezone=config.timezone,
        planned_as_of=None if last is None else last.as_of,
        notes=notes,
        mails=tuple(DueMail(**mail._asdict()) for mail in found_due.mails),
        mails_left_out=sum(found_due.by_type.values()) - len(found_due.mails),
        mails_by_type=found_due.by_type,
        mails_withheld=found_due.withheld,
    )


def _notes(day: date, today: date, *, on_hold: bool, unplanned: bool) -> tuple[DueNote, ...]:
    """Return why nothing of a day may be claimed, by the predicate that claims are judged by; empty where it may."""
    from core.runs.claims import CLAIMABLE, refusal_of

    refusal = refusal_of(CLAIMABLE, day.isoformat(), local_date=today.isoformat(), on_hold=on_hold)
    if refusal in {"on_hold", "date_past"}:
        return (refusal,)
    return ("replan_first",) if unplanned else ()
