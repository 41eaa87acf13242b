"""What ``due`` prints for people."""

from collections.abc import Mapping
from typing import Final

from rich.table import Table

from handlers.cli_look_output import DueNote, DueOutput
from handlers.cli_tables import number, stdout

_NOTES: Final[Mapping[DueNote, str]] = {
    "on_hold": "The org is on hold: nothing may be claimed until `emailsched release`.",
    "date_past": "The day is past: what was not claimed on it waits for the next run, which moves it or takes it back.",
    "replan_first": "Something was recorded that no run has planned with: run the org first.",
    "contact_suppressed": "Mail to people who unsubscribed or went since the last run is withheld: run the org.",
}
_MAILS_SHOWN: Final = 40


def print_due(output: DueOutput) -> None:
    """Print what may be claimed for a day: counts by type, and the first mails."""
    console = stdout()
    total = sum(output.mails_by_type.values())
    where = output.file or output.org_id
    console.print(
        f"{number(total)} mails of {where} may be claimed for {output.day} ({output.timezone}; today is "
        f"{output.local_date}, last planned for {output.planned_as_of or 'no day'})",
        style="bold",
        markup=False,
        soft_wrap=True,
    )
    for note in output.notes:
        console.print(_NOTES[note], markup=False)
    if not total:
        planned = output.planned_as_of
        if not output.notes and planned is not None and planned > output.day.isoformat():
            console.print(
                f"The last run planned from {planned} on: --date {planned} lists what comes next.", markup=False
            )
        return
    counts = Table("type")
    counts.add_column("mails", justify="right")
    for name, mails in output.mails_by_type.items():
        counts.add_row(name, number(mails))
    console.print(counts)
    table = Table("time", "id", "contact", "type", "instance", "about", "template")
    for mail in output.mails[:_MAILS_SHOWN]:
        instance = "" if mail.campaign_instance_id is None else str(mail.campaign_instance_id)
        template = mail.email_template or mail.sms_template or ""
        table.add_row(
            mail.scheduled_send_time, str(mail.id), str(mail.contact_id), mail.email_type, instance, mail.event_date,
            template,
        )  # fmt: skip
    console.print(table)
    if total > _MAILS_SHOWN:
        console.print(f"... and {number(total - _MAILS_SHOWN)} more (--json lists them)")
