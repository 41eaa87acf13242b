"""What ``certify`` prints for people."""

from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.runs.certificate import Certificate, StateLine
from handlers.cli_look_output import CertifyOutput
from handlers.cli_tables import number, stdout

_VIOLATIONS_SHOWN: Final = 20


def print_certificate(output: CertifyOutput) -> None:
    """Print the verdict, what it is about, the mail by state, the bypasses, and every row that breaks a rule."""
    console, made = stdout(), output.certificate
    console.print(_headline(made), style="bold", markup=False, soft_wrap=True)
    console.print(_facts(output))
    console.print(_states(made))
    _print_bypasses(console, made)
    _print_violations(console, made)
    if output.out is not None:
        console.print(f"page: {output.out}", markup=False, soft_wrap=True)


def _headline(made: Certificate) -> str:
    if made.verdict == "compliant":
        return f"{made.org_id} as of {made.as_of}: no stored mail lies on a forbidden day ({number(made.mails)} mails)"
    broken = len({violation.row_id for violation in made.violations}) + made.violations_left_out
    return f"{made.org_id} as of {made.as_of}: {number(broken)} stored mails MUST NOT GO OUT"


def _facts(output: CertifyOutput) -> Table:
    made, table = output.certificate, Table(show_header=False)
    table.add_column("what", style="bold")
    table.add_column("value", overflow="fold")
    database, rules, run = made.database, made.rules, made.last_run
    rows = {
        "database": f"sha256 {database.sha256 or 'none: a journal beside the file has part of it'}",
        "generation": "" if database.generation is None else str(database.generation),
        "mails": f"{number(made.mails_checked)} checked, {number(made.mails_bypassing)} do not respect windows",
        "days": "" if made.first_day is None else f"{made.first_day} to {made.last_day}",
        "rule table": f"sha256 {rules.rule_table_sha256}",
        "checker's table": f"sha256 {rules.checker_table_sha256}",
        "configuration": f"sha256 {rules.config_sha256}",
        "last run": "none" if run is None else f"{run.run_id}, as of {run.as_of}, {run.run_timestamp} UTC",
        "since then": "" if run is None else _since(run.schedule_is_as_left, config_same=run.config_is_in_force),
        "this statement": f"sha256 {output.sha256}",
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, escape(value))
    return table


def _since(as_left: bool | None, *, config_same: bool) -> str:
    schedule = {True: "schedule untouched", False: "schedule EDITED by something else", None: "schedule unknown"}[
        as_left
    ]
    return f"{schedule}, configuration {'the same' if config_same else 'changed'}"


def _states(made: Certificate) -> Table:
    table = Table("state", "rule", title="Mails to be sent, by state of the contact", title_justify="left")
    for name in ("checked", "bypassing", "violations"):
        table.add_column(name, justify="right")
    for line in made.states:
        table.add_row(line.state, rule_in_words(line), *map(number, (line.checked, line.bypassing, line.violations)))
    return table


def rule_in_words(line: StateLine) -> str:
    """Say when mail to a state is forbidden."""
    own = " (the org's own)" if line.own_rule else ""
    aged = "; nobody of 76 or more" if line.age_76_plus else ""
    if line.rule == "none":
        return f"no window{aged}{own}"
    if line.rule == "year_round":
        return f"no mail on any day{own}"
    anchor = "birthday" if line.rule == "birthday_window" else "effective date"
    anchor = f"first day of the month of the {anchor}" if line.from_month_start else anchor
    return f"not from {line.days_before} days before the {anchor} to {line.days_after} after{aged}{own}"


def _print_bypasses(console: Console, made: Certificate) -> None:
    if not made.bypasses:
        return
    table = Table(
        "instance", "type", "days", "states", title="Campaigns that do not respect windows", title_justify="left"
    )
    table.add_column("mails", justify="right")
    for bypass in made.bypasses:
        states = " ".join(f"{state} {mails}" for state, mails in bypass.mails_by_state.items())
        days = f"{bypass.first_day} to {bypass.last_day}"
        table.add_row(str(bypass.campaign_instance_id), escape(bypass.email_type), days, states, number(bypass.mails))
    console.print(table)


def _print_violations(console: Console, made: Certificate) -> None:
    if not made.violations:
        return
    table = Table(
        "row", "contact", "type", "send date", "rule", title="Mails that must not go out", title_justify="left"
    )
    for violation in made.violations[:_VIOLATIONS_SHOWN]:
        table.add_row(
            str(violation.row_id), str(violation.contact_id), escape(violation.email_type),
            violation.send_date or "unreadable", violation.rule,
        )  # fmt: skip
    console.print(table)
    more = len(made.violations) + made.violations_left_out - _VIOLATIONS_SHOWN
    if more > 0:
        console.print(f"... and {number(more)} more (--json lists them)")
    console.print("Hold the org, and run it: a run puts its own rows right. `emailsched explain` says why of each.")
