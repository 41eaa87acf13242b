"""What ``explain`` prints for people: the verdict, each mail with its steps, then what has no mail and why."""

from collections.abc import Iterable
from datetime import date
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from core.planning.explanation import Explanation, Finding, Leftover, Mail, MailRef, Outcome, Stored
from handlers.cli_look_output import ExplainOutput
from handlers.cli_tables import STANDS, number, stdout

_STYLES: Final[dict[Outcome, str]] = {"to_be_sent": "green", "skipped": "yellow", "held": "yellow", "no_row": "dim"}
_LEFTOVERS: Final = {"delete": "will be deleted", "missed": "will be marked as missed", "kept": "kept as history"}
_ROWS_SHOWN: Final = 40


def print_explanation(output: ExplainOutput) -> None:
    """Print one contact's explanation."""
    console, told = stdout(), output.explanation
    where = output.file or output.org_id
    console.print(f"Contact {told.contact_id} of {where} {told.verdict}", style="bold", markup=False, soft_wrap=True)
    console.print(_frame(output), markup=False)
    if output.on_hold:
        console.print("The org is on hold: nothing may be sent until `emailsched release`.", style="red", markup=False)
    _print_findings(console, told.findings)
    _print_windows(console, told)
    planned = [mail for mail in told.mails if mail.outcome != "no_row"]
    for mail in planned:
        _print_mail(console, mail)
    _print_absent(console, [mail for mail in told.mails if mail.outcome == "no_row"])
    _print_mails(console, "In the sender's hands (never changed here)", told.locked)
    _print_leftovers(console, told.leftovers)


def _frame(output: ExplainOutput) -> str:
    told = output.explanation
    what_if = ", with the configuration given" if output.what_if else ""
    generation = "" if output.generation is None else f", generation {output.generation}"
    return (
        f"state {told.state or 'unknown'}, as of {told.as_of}{generation}{what_if}; the org has "
        f"{number(told.contacts)} contacts to write to and a cap of {number(told.cap)} mails a day"
    )


def _print_findings(console: Console, findings: Iterable[Finding]) -> None:
    for finding in findings:
        text = Text(finding.text)
        text.append(f"  [{' '.join(finding.rules)}]", style="dim")
        console.print(_indented(text, 2))
        for ref in finding.mails:
            console.print(_indented(Text(f"- {_mail_in_words(ref)}"), 4))
        if finding.needs is not None:
            console.print(_indented(Text.assemble(("to change it: ", "bold"), finding.needs), 4))


def _indented(text: Text, columns: int) -> Padding:
    return Padding(text, (0, 0, 0, columns), expand=False)


def _mail_in_words(ref: MailRef) -> str:
    instance = "" if ref.campaign_instance_id is None else f" (instance {ref.campaign_instance_id})"
    row = "this plan" if ref.row_id is None else f"row {ref.row_id}"
    return f"{ref.email_type}{instance} about {_day(ref.event_date)}, {ref.status} {_day(ref.send_date)}, {row}"


def _day(day: date | None) -> str:
    return "an unreadable date" if day is None else day.isoformat()


def _print_windows(console: Console, told: Explanation) -> None:
    if not told.windows:
        return
    table = Table("from", "to", "why", title="Exclusion windows", title_justify="left")
    for window in told.windows:
        if window.from_day is None:
            table.add_row("always", "", window.reason)
        else:
            table.add_row(window.from_day.isoformat(), _day(window.to_day), window.reason)
    console.print(table)


def _print_mail(console: Console, mail: Mail) -> None:
    about = "" if mail.campaign_instance_id is None else f", instance {mail.campaign_instance_id}"
    heading = Text.assemble(
        "\n",
        (mail.email_type, "bold"),
        f"{about}, about {_day(mail.event_date)}: ",
        (_outcome(mail), _STYLES[mail.outcome]),
    )
    console.print(heading, soft_wrap=True)
    _print_findings(console, mail.findings)
    if mail.stored is not None:
        console.print(_indented(Text(_stored(mail.stored), style="dim"), 2))


def _outcome(mail: Mail) -> str:
    match mail.outcome:
        case "to_be_sent":
            return f"{STANDS} on {_day(mail.send_date)}"
        case "skipped":
            return f"skipped, {mail.reason}"
        case "held":
            return "not planned beside the sender's row"
        case "no_row":
            return f"no row, {mail.reason}"


def _stored(stored: Stored) -> str:
    match stored.change:
        case "insert":
            return "A run would insert its row."
        case "unchanged":
            return f"Row {stored.row_id} says so already."
        case "held":
            return f"Row {stored.row_id} has its place."
        case "update":
            changes = ", ".join(f"{field.column} {field.before} -> {field.after}" for field in stored.fields)
            return f"A run would update row {stored.row_id}: {changes}."


def _print_absent(console: Console, mails: list[Mail]) -> None:
    """Print what has no row, a line each; alike ones of several campaign instances are one line."""
    if not mails:
        return
    lines: dict[tuple[str, str, str], list[str]] = {}
    for mail in mails:
        (finding,) = mail.findings
        about = "" if mail.event_date is None else f" about {mail.event_date}"
        of = [] if mail.campaign_instance_id is None else [str(mail.campaign_instance_id)]
        lines.setdefault((f"{mail.email_type}{about}", _said(finding), finding.needs or ""), []).extend(of)
    table = Table("mail", "instances", "why there is none", "to change it", title="Without a row", title_justify="left")
    for (name, why, needs), instances in lines.items():
        table.add_row(name, " ".join(instances), why, needs)
    console.print(table)


def _said(finding: Finding) -> str:
    rows = ", ".join(_mail_in_words(ref) for ref in finding.mails)
    return f"{finding.text} [{' '.join(finding.rules)}]{f' ({rows})' if rows else ''}".replace("[", r"\[")


def _print_mails(console: Console, title: str, mails: tuple[MailRef, ...]) -> None:
    if not mails:
        return
    table = Table("row", "type", "instance", "about", "send date", "status", title=title, title_justify="left")
    for ref in mails[-_ROWS_SHOWN:]:
        table.add_row(*_cells(ref), ref.status)
    console.print(table)
    if len(mails) > _ROWS_SHOWN:
        console.print(f"... and {number(len(mails) - _ROWS_SHOWN)} older ones (--json lists them)")


def _print_leftovers(console: Console, leftovers: tuple[Leftover, ...]) -> None:
    if not leftovers:
        return
    title = "Rows that are not planned any more"
    table = Table("row", "type", "instance", "about", "send date", "was", "now", title=title, title_justify="left")
    for leftover in leftovers[-_ROWS_SHOWN:]:
        was = leftover.skip_reason or leftover.row.status
        table.add_row(*_cells(leftover.row), was, _LEFTOVERS[leftover.change])
    console.print(table)


def _cells(ref: MailRef) -> tuple[str, ...]:
    instance = "" if ref.campaign_instance_id is None else str(ref.campaign_instance_id)
    return str(ref.row_id or ""), ref.email_type, instance, _day(ref.event_date), _day(ref.send_date)
