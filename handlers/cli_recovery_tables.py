"""What the commands of recovery print for people."""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Final

from rich.table import Table
from rich.text import Text

from handlers.cli_recovery_output import (
    CarriedCounts,
    DiffOutput,
    DoctorOutput,
    OrgLine,
    RecoveryOutput,
    RowChange,
    StatusOutput,
    VersionLine,
    VersionsOutput,
)
from handlers.cli_tables import number, size, stdout

_MOVES_SHOWN: Final = 15


def print_statuses(output: StatusOutput) -> None:
    """Print one line per org, or all that is known of a single one."""
    console = stdout()
    table = Table("org", "last completed", "last run", "as of", "generation", title="Orgs", title_justify="left")
    table.add_column("mails", justify="right")
    table.add_column("remarks")
    for line in output.orgs:
        table.add_row(*_status_cells(line))
    console.print(table)
    if output.orgs_left_out:
        console.print(f"... and {number(output.orgs_left_out)} more orgs")


def _status_cells(line: OrgLine) -> tuple[str, ...]:
    gone = [] if line.has_database else ["the database was deleted"]
    if line.hold is not None:
        gone.append("on hold now")
    status = line.status
    if status is None:
        return line.org_id, "never", "", "", "", "", ", ".join(["no run yet", *gone])
    changed = " (nothing to do)" if status.changed is False else ""
    code = "" if status.error_code is None else f": {status.error_code}"
    return (
        line.org_id,
        "unknown" if status.last_completed_at is None else moment(status.last_completed_at),
        f"{status.outcome}{code}{changed}",
        status.as_of or "",
        "" if status.generation is None else str(status.generation),
        "" if status.counts is None else number(status.counts.emails_scheduled),
        ", ".join([*status.warnings, *gone]),
    )


def print_versions(output: VersionsOutput) -> None:
    """Print the history of an org's object, newest first."""
    table = Table("generation", "when", title=f"Versions of {output.object_name}", title_justify="left")
    table.add_column("size", justify="right")
    table.add_column("mails", justify="right")
    table.add_column("what it is")
    for version in output.versions:
        mails = "" if version.emails_scheduled is None else number(version.emails_scheduled)
        table.add_row(
            str(version.generation), moment(version.updated), size(version.size_bytes), mails, _what_it_is(version)
        )
    stdout().print(table)


def _what_it_is(version: VersionLine) -> str:
    if version.replaced_blindly:
        what = "put there by somebody outside, not made from the version before it"
    elif version.restored_from is not None:
        what = f"restore of {version.restored_from}{_from(version.carried_from)}"
    elif version.carried_from is not None:
        what = f"reconciliation{_from(version.carried_from)}"
    elif version.run_id is not None:
        what = f"run {version.run_id}"
    else:
        what = "upload from outside"
    return f"LIVE: {what}" if version.live else what


def _from(carried: tuple[int, ...] | None) -> str:
    return f", carried from {' '.join(map(str, carried))}" if carried else ", nothing carried"


def print_diff(output: DiffOutput) -> None:
    """Print what differs between two versions: by kind of change, type, status and reason; then the moves."""
    console = stdout()
    title = f"From generation {output.before} to {output.after} of {output.org_id}"
    table = Table("change", "type", "before", "after", title=title, title_justify="left")
    table.add_column("rows", justify="right")
    for change in output.changes:
        table.add_row(change.kind, change.email_type, _before(change), _after(change), number(change.rows))
    console.print(table)
    console.print(f"{number(output.unchanged)} rows are the same in both")
    if not output.moves:
        return
    moves = Table("type", "from", "to", title="Moved send dates, most rows first", title_justify="left")
    moves.add_column("rows", justify="right")
    for move in islice(output.moves, _MOVES_SHOWN):
        days = ("unreadable" if day is None else day.isoformat() for day in (move.from_day, move.to_day))
        moves.add_row(move.email_type, *days, number(move.rows))
    console.print(moves)
    more = len(output.moves) + output.moves_left_out - _MOVES_SHOWN
    if more > 0:
        console.print(f"... and {number(more)} more pairs of dates (--json lists them)")


def _before(change: RowChange) -> str:
    return ": ".join(text for text in (change.status_before, change.reason_before) if text)


def _after(change: RowChange) -> str:
    return ": ".join(text for text in (change.status_after, change.reason_after) if text)


def print_recovery(output: RecoveryOutput) -> None:
    """Print what a restore or a reconciliation did, what it could not do, and what to do next."""
    console = stdout()
    console.print(_headline(output), style="bold", markup=False, soft_wrap=True)
    if output.sources:
        table = Table("carried" if not output.dry_run else "would be carried", title_justify="left")
        table.add_column("count", justify="right")
        for name, count in _counts(output.carried):
            table.add_row(name, number(count))
        console.print(table)
    for remark in remarks(output):
        console.print(remark, markup=False, soft_wrap=True)


def _headline(output: RecoveryOutput) -> str:
    is_restore = output.base_generation != output.replaced_generation
    what = f"generation {output.base_generation} of {output.org_id}"
    if output.dry_run:
        verb = "would be restored" if is_restore else "would be reconciled"
        return f"{what} {verb}; nothing was written"
    if output.generation is None:
        return f"{what} has nothing to take along; nothing was written"
    verb = "restored as" if is_restore else "reconciled as"
    over = "no live object" if output.replaced_generation is None else f"generation {output.replaced_generation}"
    return f"{what} {verb} generation {output.generation}, over {over}"


def _counts(carried: CarriedCounts) -> Iterable[tuple[str, int]]:
    rows = [(f"mails with status {status}", rows) for status, rows in carried.locked_rows_by_status.items()]
    rows += [
        ("people who unsubscribed since", carried.unsubscribes),
        ("people who were deleted since", carried.deletions),
        ("their planned mails, taken back", carried.planned_rows_withdrawn),
        ("tombstones", carried.tombstones),
        ("ids of processed events", carried.processed_events),
        ("records of runs", carried.runs),
    ]
    return [(name, count) for name, count in rows if count] or [("nothing: it has all of it", 0)]


def remarks(output: RecoveryOutput) -> list[str]:
    """Return, a sentence each, what a person has to know beyond the counts."""
    found = []
    if output.exact:
        found.append(
            "--exact: nothing is carried. Mail that went out since can go out again, people who unsubscribed since are "
            "written to again, and events that were processed since are processed again if they come again."
        )
    for source in output.sources:
        codes = ", ".join(f"{bad.generation} ({bad.code})" for bad in source.unreadable)
        if not codes:
            continue
        lost = "nothing could be carried in its place"
        if source.used is not None:
            lost = f"generation {source.used} was carried from in its place"
        found.append(
            f"WARNING: unreadable: {codes}; {lost}. Mail sent, people unsubscribed and events processed after that are "
            "not known to the new version: look into the sender's own log before you release mail."
        )
    if "sources_left_out" in output.warnings:
        found.append("WARNING: more versions were replaced blindly than are looked at; name one: reconcile --from")
    if "unsubscribes_not_suppressed" in output.warnings:
        found.append(
            "WARNING: this version's configuration suppresses no status, so unsubscribed people are written to."
        )
    if output.carried.contacts_missing:
        found.append(f"Contacts that were added since, to be sent again: {number(output.carried.contacts_missing)}")
    if output.carried.contacts_back:
        found.append(
            f"Contacts that were gone without a tombstone, and are back: {number(output.carried.contacts_back)}"
        )
    if output.changed:
        found.append(f"Next: emailsched run {output.org_id}")
    return found


def moment(at: datetime) -> str:
    """Write a moment of UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


_STATE_STYLES: Final = {"ok": "green", "warning": "yellow", "error": "bold red", "skipped": "dim"}


def print_findings(output: DoctorOutput) -> None:
    """Print one line per check, and under it what to do where something is to be done."""
    console = stdout()
    table = Table("check", "", "found", box=None, pad_edge=False)
    for line in output.findings:
        found = line.detail if line.hint is None else f"{line.detail}\n  -> {line.hint}"
        table.add_row(line.check, Text(line.state, style=_STATE_STYLES[line.state]), Text(found))
    console.print(table)
    errors = sum(line.state == "error" for line in output.findings)
    warnings = sum(line.state == "warning" for line in output.findings)
    console.print(f"{errors} errors, {warnings} warnings", style="bold")
