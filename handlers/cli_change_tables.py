"""What ``config`` and ``campaign`` print for people."""

import json
from collections.abc import Sequence
from typing import Final

from rich.markup import escape
from rich.table import Table

from handlers.cli_change_output import CampaignListOutput, ConfigShowOutput, ConfigVersion
from handlers.cli_tables import number, stdout

_TEXT_SHOWN_CHARACTERS: Final = 60


def print_config(output: ConfigShowOutput, *, title: str) -> None:
    """Print every key with its value, and where it comes from; or the problems."""
    console = stdout()
    where = "no row: defaults" if output.config_id is None else f"row {output.config_id}, since {output.valid_from}"
    for problem in output.problems:
        console.print(f"cannot be used: {problem}", markup=False)
    stored = output.stored or {}
    values = stored if output.effective is None else output.effective
    table = Table("key", "value", "from", title=f"{title} ({where})", title_justify="left")
    for key, value in values.items():
        table.add_row(_plain(key), _plain(json.dumps(value)), "row" if key in stored else "default")
    console.print(table)


def print_versions(versions: Sequence[ConfigVersion], *, left_out: int, title: str) -> None:
    """Print the rows of config_versions; contents are cut (--json has them)."""
    console = stdout()
    table = Table("id", "from (UTC)", "to", "by", "note", "content", title=title, title_justify="left")
    for version in versions:
        table.add_row(
            f"{version.config_id}{' *' if version.in_force else ''}",
            _plain(version.valid_from),
            _plain(version.valid_to),
            _plain(version.created_by),
            _plain(version.note),
            _plain(version.config_data),
        )
    console.print(table)
    console.print("* in force" + (f"; {number(left_out)} older ones left out (--json lists them)" if left_out else ""))


def print_campaigns(output: CampaignListOutput, *, title: str) -> None:
    """Print types and instances."""
    console = stdout()
    types = Table("type", "active", "for", "windows", "days before", "priority", title=f"Campaign types {title}")
    for kind in output.types:
        types.add_row(
            _plain(kind.name),
            "yes" if kind.active else "no",
            ("all contacts" if kind.target_all_contacts else "enrolled") + (", spread" if kind.spread_evenly else ""),
            "respected" if kind.respect_exclusion_windows else "passed",
            str(kind.days_before_event),
            str(kind.priority),
        )
    console.print(types)
    instances = Table("id", "type", "name", "from", "to", "states", "template", "issues", title=f"Instances {title}")
    for item in output.instances:
        instances.add_row(
            str(item.id),
            _plain(item.campaign_type) + ("" if item.type_exists else " (no such type)"),
            _plain(item.instance_name),
            _plain(item.active_start_date),
            _plain(item.active_end_date),
            _plain(item.target_states),
            _plain(item.email_template),
            ", ".join(item.issues),
        )
    console.print(instances)


def _plain(text: str | None) -> str:
    """Return a stored text for a cell: without anything that the console would take for its own markup, and cut."""
    shown = text or ""
    if len(shown) > _TEXT_SHOWN_CHARACTERS:
        shown = shown[: _TEXT_SHOWN_CHARACTERS - 3] + "..."
    return escape("".join(c if c.isprintable() else "?" for c in shown))
