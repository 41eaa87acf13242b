"""The commands around messages: worker, fan-out, dead-letters."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final
from uuid import uuid4

import typer

from events.payloads import ORG_PATTERN_PATTERN, EventRef, FanoutRequested
from events.types import FANOUT_REQUESTED, Event, FleetEvent
from handlers.cli_doors_output import (
    DeadLettersListOutput,
    DeadLettersReplayOutput,
    FanOutOutput,
    FanOutRun,
    WorkerOutput,
)
from handlers.cli_errors import Exit, UsageError
from handlers.cli_options import AsOfOption, ForceOption, JsonOption, load_settings
from handlers.cli_output import print_json
from handlers.cli_runs import CLI_SOURCE

if TYPE_CHECKING:
    from core.runs.service import Handled

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

HELP: Final = "Messages that nobody could carry: what they were, and sending them on their way again."
LETTERS_DEFAULT: Final = 100
LETTERS_MAX: Final = 1_000
"""As `infra.dead_letters` has it; repeated here because Google's client is not loaded to refuse a number."""

FAN_OUT_SECONDS_MAX: Final = 86_400.0
"""Runs here, one after the other, of thousands of orgs."""

LimitOption = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=LETTERS_MAX, help="At most so many letters.")
]


def worker(
    subscriptions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUBSCRIPTION]...", help="Short names.  [default: PULL_SUBSCRIPTIONS]"),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Carry messages of streaming-pull subscriptions until SIGTERM or Ctrl-C, then drain.

    For runs that outlast a push, and for places that Pub/Sub cannot reach. Nothing is acknowledged before it is done;
    what is not comes again. /healthz and /readyz are on HOST and PORT, /metrics is on METRICS_PORT.

    Example: emailsched worker email-scheduler-bulk-pull
    """
    from handlers.worker import subscriptions_of, work

    settings = load_settings()
    chosen = subscriptions_of(settings, subscriptions or ())
    if json:
        print_json(
            WorkerOutput(subscriptions=chosen, host=settings.host, port=settings.port, data_dir=str(settings.data_dir))
        )
    return work(settings, chosen)


def fan_out(
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="PATTERN", help="Only orgs like this (* and ?); may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="No orgs like this; may be repeated.")
    ] = None,
    as_of: AsOfOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> int:
    """Ask for a run of every org that has a database in the bucket.

    With PUBSUB_PROJECT one run request per org is published to REQUEST_TOPIC, for the server or the worker. Without it
    the orgs are run here, RUN_SLOTS at a time: exit code 1 if the run of one failed, 3 if one has to be tried again.

    Example: emailsched fan-out --exclude 'demo-?'
    """
    from handlers.bootstrap import build, open_fanout
    from handlers.progress import progress

    settings = load_settings()
    wish = FanoutRequested(
        include=_patterns("--include", include), exclude=_patterns("--exclude", exclude), as_of=as_of, force=force
    )
    event = FleetEvent(id=str(uuid4()), source=CLI_SOURCE, type=FANOUT_REQUESTED, data=wish)
    runs: list[FanOutRun] = []

    def told(request: Event, handled: "Handled") -> None:
        runs.append(_run_of(request, handled))

    with progress("fan-out", settings.log_level):
        # Where the orgs are run here, they are planned on all cores, as the server does.
        app = build(settings, serving=settings.pubsub_project is None)
        try:
            fanout = open_fanout(settings, app.bucket, app.bus, app.clock, app.journal, app.service, told)
            report = fanout.ask(event, until=app.clock.monotonic() + FAN_OUT_SECONDS_MAX)
        finally:
            app.close()
    output = FanOutOutput(
        event=EventRef(source=event.source, id=event.id),
        orgs_asked=report.orgs_asked,
        orgs_left_out=report.orgs_left_out,
        names_skipped=report.names_skipped,
        topic=None if settings.pubsub_project is None else settings.request_topic,
        runs=None if settings.pubsub_project is not None else tuple(sorted(runs, key=lambda run: run.org_id)),
    )
    if json:
        print_json(output)
    else:
        from handlers.cli_doors_tables import print_fan_out

        print_fan_out(output)
    return _exit_of(runs)


def list_letters(limit: LimitOption = LETTERS_DEFAULT, json: JsonOption = False) -> None:
    """List dead letters: which events, of which orgs, since when. They stay where they are; nobody's data is shown.

    Example: emailsched dead-letters list --limit 20
    """
    from handlers.bootstrap import open_dead_letters
    from handlers.dead_letters import list_letters as look
    from handlers.progress import progress

    settings = load_settings()
    with progress("dead-letters list", settings.log_level), closing(open_dead_letters(settings)) as letters:
        lines = look(letters, limit)
    output = DeadLettersListOutput(subscription=settings.dead_letter_subscription, letters=lines, limit=limit)
    if json:
        print_json(output)
        return
    from handlers.cli_doors_tables import print_letters

    print_letters(output)


def replay_letters(
    limit: LimitOption = LETTERS_DEFAULT,
    topic: Annotated[
        str | None,
        typer.Option(
            "--topic", metavar="TOPIC", help="Publish to this topic.  [default: the one that each letter came from]"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Publish dead letters again to the topic they came from, and take them out of the subscription.

    Mend what killed them first. Where Pub/Sub does not tell the topic (it needs pubsub.subscriptions.get), requests go
    to REQUEST_TOPIC and completions to COMPLETION_TOPIC. Cut short, give it again: ids stay, duplicates are dropped.

    Example: emailsched dead-letters replay --limit 100
    """
    from handlers.bootstrap import open_bus, open_dead_letters
    from handlers.dead_letters import Topics
    from handlers.dead_letters import replay_letters as replay
    from handlers.progress import progress

    settings = load_settings()
    topics = Topics(topic, completions=settings.completion_topic, requests=settings.request_topic)
    with progress("dead-letters replay", settings.log_level), closing(open_dead_letters(settings)) as letters:
        bus, close_bus = open_bus(settings)
        try:
            lines = replay(letters, bus, limit, topics)
        finally:
            close_bus()
    output = DeadLettersReplayOutput(subscription=settings.dead_letter_subscription, letters=lines, limit=limit)
    if json:
        print_json(output)
        return
    from handlers.cli_doors_tables import print_letters

    print_letters(output)


COMMANDS: Final[Mapping[str, Callable[..., int | None]]] = MappingProxyType(
    {"list": list_letters, "replay": replay_letters}
)


def _patterns(option: str, patterns: list[str] | None) -> tuple[str, ...]:
    """Judge patterns as the event's decoder does; raises UsageError."""
    for pattern in patterns or ():
        if re.search(ORG_PATTERN_PATTERN, pattern) is None:
            hint = "letters, digits, _ and - stand for themselves, * for any characters, ? for one; at most 64"
            raise UsageError(f"{option} {pattern!r} is no pattern for org ids", hint)
    return tuple(patterns or ())


def _run_of(request: Event, handled: "Handled") -> FanOutRun:
    return FanOutRun(
        org_id=request.org_id,
        outcome=handled.outcome,
        changed=None if handled.completed is None else handled.completed.changed,
        code=None if handled.error is None else handled.error.code.value,
    )


def _exit_of(runs: Sequence[FanOutRun]) -> Exit:
    outcomes = {run.outcome for run in runs}
    if outcomes & {"failed", "rejected"}:
        return Exit.FAILED
    return Exit.RETRY_LATER if "retry" in outcomes else Exit.DONE
