"""What commands print for people: tables on stdout, wide enough for a pipe, coloured on a terminal only."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Final

from rich.console import Console
from rich.table import Table

from events.payloads import RunCompleted, RunCounts
from handlers.cli_output import Change, DayChange, Move, PlanAllOutput

DAYS_SHOWN: Final = 30
_MOVES_SHOWN: Final = 15
_DAY_CHANGES_SHOWN: Final = 21
_PIPE_WIDTH_CHARACTERS: Final = 120
_BAR_CHARACTERS: Final = 30

STANDS: Final = "to be sent"
"""How a person reads a row without a skip reason."""


def stdout() -> Console:
    """Return the console of data; not a terminal: a fixed width, so that the same data gives the same bytes."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH_CHARACTERS)


def print_completed(completed: RunCompleted, *, title: str) -> None:
    """Print what a run did: facts, then counts by type, reason and issue."""
    console = stdout()
    console.print(title, style="bold", markup=False, soft_wrap=True)  # it may hold a long path
    console.print(_facts(completed))
    print_numbers(console, completed)


def print_numbers(console: Console, completed: RunCompleted) -> None:
    """Print counts by type, reason and issue; what is empty is left out."""
    for heading, first, counts in (
        ("Mails to be sent, by type", "type", completed.scheduled_by_type),
        ("Skipped, by reason", "reason", completed.skipped_by_reason),
        ("Issues of contacts and campaigns", "code", completed.issues_by_code),
    ):
        if counts:
            console.print(_counts(heading, first, counts))


def print_changes(console: Console, changes: Iterable[Change]) -> None:
    """Print what would change, by kind, type and reason; the states of exclusions are added up (--json has them)."""
    sums: dict[tuple[str, str, str, str], int] = {}
    for change in changes:
        before = "" if change.kind == "insert" else _reason(change.reason_before)
        after = "" if change.kind == "delete" else _reason(change.reason_after)
        key: tuple[str, str, str, str] = (change.kind, change.email_type, before, after)
        sums[key] = sums.get(key, 0) + change.rows
    if not sums:
        return
    table = Table("change", "type", "before", "after", title="What would change", title_justify="left")
    table.add_column("rows", justify="right")
    for key, rows in sums.items():
        table.add_row(*key, number(rows))
    console.print(table)


def print_moves(console: Console, moves: tuple[Move, ...], left_out: int) -> None:
    """Print the most frequent moves from one send date to another."""
    if not moves:
        return
    table = Table("type", "from", "to", title="Moved send dates, most rows first", title_justify="left")
    table.add_column("rows", justify="right")
    for move in islice(moves, _MOVES_SHOWN):
        table.add_row(
            move.email_type,
            "unreadable" if move.from_day is None else move.from_day.isoformat(),
            move.to_day.isoformat(),
            number(move.rows),
        )
    console.print(table)
    more = len(moves) + left_out - _MOVES_SHOWN
    if more > 0:
        console.print(f"... and {number(more)} more pairs of dates (--json lists them)")


def print_day_changes(console: Console, days: tuple[DayChange, ...]) -> None:
    """Print what would come and go per day; later days are added up."""
    if not days:
        return
    table = Table("day", title="What would change, per day of the mails to be sent", title_justify="left")
    for name in ("before", "added", "moved in", "moved out", "dropped", "changed", "after"):
        table.add_column(name, justify="right")
    for change in days[:_DAY_CHANGES_SHOWN]:
        table.add_row(f"{change.day:%a} {change.day}", *_flows([change]))
    later = days[_DAY_CHANGES_SHOWN:]
    if later:
        table.add_row(f"{len(later)} later days", *_flows(later))
    console.print(table)


def _flows(days: Sequence[DayChange]) -> list[str]:
    names = ("before", "added", "moved_in", "moved_out", "dropped", "changed", "after")
    return [number(sum(getattr(day, name) for day in days)) for name in names]


def print_plans(output: PlanAllOutput) -> None:
    """Print one line per org and the totals; then what is wrong with those that could not be planned."""
    console = stdout()
    table = Table("org", "as of", title="What runs would change; nothing was written", title_justify="left")
    for name in ("to be sent", "skipped", "inserted", "updated", "deleted", "missed", "over cap"):
        table.add_column(name, justify="right")
    table.add_column("remarks")
    for line in output.orgs:
        if line.error is not None:
            table.add_row(line.org_id, "", *[""] * 7, line.error.code)
        elif line.counts is not None:
            remark = "" if line.changed else "in place"
            table.add_row(line.org_id, str(line.as_of), *_totals(line.counts), number(line.days_over_cap or 0), remark)
    table.add_section()
    table.add_row(f"{number(len(output.orgs))} orgs", "", *_totals(output.totals), "", f"{output.orgs_failed} failed")
    console.print(table)
    for line in output.orgs:
        if line.error is not None:
            text = f"{line.org_id}: {line.error.code}: {line.error.detail}; {line.error.hint}"
            console.print(text, markup=False, soft_wrap=True)
    if output.orgs_left_out:
        console.print(f"... and {number(output.orgs_left_out)} more orgs: name them one by one")


def _totals(counts: RunCounts) -> list[str]:
    values = (
        counts.emails_scheduled, counts.emails_skipped, counts.rows_inserted, counts.rows_updated, counts.rows_deleted,
        counts.rows_missed,
    )  # fmt: skip
    return [number(value) for value in values]


def print_days(console: Console, completed: RunCompleted) -> None:
    """Print the volume of the next days, each with a bar; the cap is named in the title."""
    days = [completed.as_of + timedelta(days=offset) for offset in range(DAYS_SHOWN)]
    totals = {day: sum(completed.volume_by_day.get(day, {}).values()) for day in days}
    cap = "no cap" if completed.cap is None else f"cap {number(completed.cap)} a day"
    table = Table("day", title=f"Mails per day, next {DAYS_SHOWN} days ({cap})", title_justify="left")
    table.add_column("mails", justify="right")
    table.add_column("")
    top = max(1, *totals.values())
    over: frozenset[date] = frozenset(completed.cap_exceeded_days)
    for day, total in totals.items():
        bar = "█" * -(-total * _BAR_CHARACTERS // top)
        table.add_row(f"{day:%a} {day}", number(total), f"{bar} over the cap" if day in over else bar)
    console.print(table)


def number(value: int) -> str:
    """Write a count with thousands apart."""
    return f"{value:,}".replace(",", " ")


def size(value: int | None) -> str:
    """Write bytes as a person reads them."""
    if value is None:
        return "-"
    for unit, bytes_per_unit in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if value >= bytes_per_unit:
            return f"{value / bytes_per_unit:.1f} {unit}"
    return f"{value} B"


def _facts(completed: RunCompleted) -> Table:
    counts = completed.counts
    table = Table(show_header=False)
    table.add_column("what", style="bold")
    table.add_column("value")
    rows = {
        "changed": "yes" if completed.changed else "no: the plan was already in place",
        "as of": completed.as_of.isoformat(),
        "contacts": f"{number(counts.contacts)} ({number(counts.contacts_invalid)} invalid)",
        "mails": f"{number(counts.emails_scheduled)} to be sent, {number(counts.emails_skipped)} skipped",
        "rows": ", ".join(
            f"{number(value)} {name}"
            for name, value in (
                ("inserted", counts.rows_inserted),
                ("updated", counts.rows_updated),
                ("deleted", counts.rows_deleted),
                ("missed", counts.rows_missed),
                ("unchanged", counts.rows_unchanged),
                ("held by a locked row", counts.dropped_locked),
            )
        ),
        "cap": "none" if completed.cap is None else f"{number(completed.cap)} a day",
        "days over the cap": ", ".join(day.isoformat() for day in completed.cap_exceeded_days[:10]),
        "generation": _generation(completed),
        "moved": _bytes(completed),
        "durations": ", ".join(f"{name} {value:g} s" for name, value in (completed.durations_seconds or {}).items()),
        "warnings": ", ".join(completed.warnings),
        "run id": completed.run_id,
        "config": completed.config_hash,
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def _reason(reason: str | None) -> str:
    """Return a reason without its state, as R40 writes them: ``exclusion:<kind>:<state>``."""
    if reason is None:
        return STANDS
    return reason.rpartition(":")[0] if reason.startswith("exclusion:") else reason


def _generation(completed: RunCompleted) -> str:
    if completed.generation is None:
        return ""
    parent = completed.parent_generation
    return (
        f"{completed.generation}" if parent in {None, completed.generation} else f"{parent} -> {completed.generation}"
    )


def _bytes(completed: RunCompleted) -> str:
    if completed.bytes_down is None and completed.bytes_up is None:
        return ""
    return f"{size(completed.bytes_down)} down, {size(completed.bytes_up)} up, {completed.pages_changed} pages changed"


def _counts(heading: str, first: str, counts: Mapping[str, int]) -> Table:
    table = Table(first, title=heading, title_justify="left")
    table.add_column("rows", justify="right")
    for name, value in counts.items():
        table.add_row(name, number(value))
    return table
