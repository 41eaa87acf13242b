"""What the commands around messages print for people."""

from typing import Final

from rich.table import Table

from handlers.cli_doors_output import DeadLetterLine, DeadLettersListOutput, DeadLettersReplayOutput, FanOutOutput
from handlers.cli_tables import number, size, stdout

_SHORT_TYPE: Final = "com.emailscheduler."


def print_fan_out(output: FanOutOutput) -> None:
    """Print what was asked for, and where it was run here what became of it: one line per org that needs a look."""
    console = stdout()
    where = "run here" if output.topic is None else f"asked for on {output.topic}"
    console.print(f"{number(output.orgs_asked)} orgs {where}, {number(output.orgs_left_out)} left out", markup=False)
    if output.names_skipped:
        console.print(f"{number(output.names_skipped)} objects among the databases have names that are no org's")
    if output.runs is None:
        return
    changed = sum(run.changed is True for run in output.runs)
    unchanged = sum(run.changed is False for run in output.runs)
    console.print(f"{number(changed)} plans changed, {number(unchanged)} were in place")
    bad = [run for run in output.runs if run.outcome != "done"]
    if bad:
        table = Table("org", "outcome", "code", title="Not done", title_justify="left")
        for run in bad:
            table.add_row(run.org_id, run.outcome, run.code or "")
        console.print(table)


def print_letters(output: DeadLettersListOutput | DeadLettersReplayOutput) -> None:
    """Print one line per letter, oldest first."""
    console = stdout()
    if not output.letters:
        console.print(f"no letters in {output.subscription}", markup=False)
        return
    table = Table("dead since", "type", "org", "event", title=f"Letters of {output.subscription}", title_justify="left")
    table.add_column("size", justify="right")
    table.add_column("tries", justify="right")
    table.add_column("remarks")
    for line in output.letters:
        table.add_row(*_cells(line))
    console.print(table)
    if len(output.letters) == output.limit:
        console.print(f"... perhaps more: --limit was {number(output.limit)}")


def _cells(line: DeadLetterLine) -> tuple[str, ...]:
    remarks = [f"unreadable: {', '.join(line.reasons)}"] if line.reasons else []
    remarks += [f"from {line.subscription}"] if line.subscription else []
    remarks += [f"published to {line.replayed_to}"] if line.replayed_to else []
    return (
        "" if line.dead_since is None else f"{line.dead_since:%Y-%m-%d %H:%M:%S}",
        "" if line.type is None else line.type.removeprefix(_SHORT_TYPE),
        line.org_id or "",
        "" if line.event is None else line.event.id,
        size(line.size_bytes),
        "" if line.deliveries is None else number(line.deliveries),
        ", ".join(remarks),
    )
