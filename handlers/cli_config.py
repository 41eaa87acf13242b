"""The commands of ``emailsched config``: what is in force, what was, another, and back (R8, R13)."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final

import typer

from events.change_payloads import read_object
from events.strict_json import JsonValue
from events.types import CONFIG_CHANGED, ConfigChanged
from handlers.cli_change_output import ConfigHistoryOutput, ConfigShowOutput, ConfigVersion
from handlers.cli_changes import (
    AuthorOption,
    ChangedTargetArgument,
    JsonFileOption,
    author_or_user,
    change,
    json_or_text,
    judge,
    looked_at,
    pairs_of,
    read_json_file,
)
from handlers.cli_errors import UsageError
from handlers.cli_options import JsonOption, TargetArgument, load_settings, target_of
from handlers.cli_output import print_json

if TYPE_CHECKING:
    from core.runs.ports import ConfigRow

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

NoteOption = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why; kept with the new row.")]

_ROWS_SHOWN: Final = 30


def show(target: TargetArgument = None, json: JsonOption = False) -> None:
    """Show the configuration in force, and what it comes to with the defaults; nothing is written.

    Example: emailsched config show acme
    """
    settings = load_settings()
    found = target_of(target, settings)
    with looked_at(found, settings) as (db, generation):
        row = _in_force(list(db.config_rows()))
    effective, config_hash, problems = _effective(row)
    output = ConfigShowOutput(
        file=None if found.file is None else str(found.file),
        generation=generation,
        config_id=None if row is None else row.config_id,
        valid_from=None if row is None else row.valid_from,
        valid_to=None if row is None else row.valid_to,
        stored={} if row is None else read_object(row.config_data),
        effective=effective,
        config_hash=config_hash,
        problems=problems,
    )
    if json:
        print_json(output)
        return
    from handlers.cli_change_tables import print_config

    print_config(output, title=f"Configuration of {found.file or found.org_id}")


def set_config(
    target: ChangedTargetArgument,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="Keys to set over what is in force; a value is JSON, or text."),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="KEY", help="Give a key its default back; may be repeated.")
    ] = None,
    json_file: JsonFileOption = None,
    note: NoteOption = None,
    author: AuthorOption = None,
    json: JsonOption = False,
) -> None:
    """Put another configuration in force, and plan with it: both, or neither where a key is bad.

    Example: emailsched config set acme timezone=America/Denver min_daily_cap=20 --note "moved"
    """
    settings = load_settings()
    found = target_of(target, settings)
    if json_file is not None and (pairs or unset):
        raise UsageError("a whole configuration and single keys", "give --json-file, or keys to set and to unset")
    if json_file is None and not (pairs or unset):
        raise UsageError("nothing to set", "give KEY=VALUE, --unset KEY or --json-file FILE")
    data: dict[str, JsonValue] = {"note": note, "author": author_or_user(author)}
    if json_file is not None:
        data["config_data"] = read_json_file(json_file)
    else:
        data["set_keys"] = {key: json_or_text(value) for key, value in pairs_of(pairs or []).items()}
        data["unset_keys"] = list(unset or [])
    change(found, CONFIG_CHANGED, judge(ConfigChanged, data), settings, json=json, title="config set")


def history(target: TargetArgument = None, json: JsonOption = False) -> None:
    """List all configurations that were ever in force, the newest first; nothing is written.

    Example: emailsched config history acme
    """
    settings = load_settings()
    found = target_of(target, settings)
    with looked_at(found, settings) as (db, generation):
        rows = list(db.config_rows())
    row_in_force = _in_force(rows)
    versions = tuple(
        ConfigVersion(in_force=row is row_in_force, **row._asdict())
        for row in sorted(rows, key=lambda row: row.config_id, reverse=True)
    )
    if json:
        file = None if found.file is None else str(found.file)
        print_json(ConfigHistoryOutput(file=file, generation=generation, versions=versions))
        return
    from handlers.cli_change_tables import print_versions

    print_versions(
        versions[:_ROWS_SHOWN], left_out=len(versions[_ROWS_SHOWN:]), title=f"Versions of {found.file or found.org_id}"
    )


def rollback(
    target: ChangedTargetArgument,
    config_id: Annotated[int, typer.Argument(metavar="ID", help="Of an earlier row: config history lists them.")],
    note: NoteOption = None,
    author: AuthorOption = None,
    json: JsonOption = False,
) -> None:
    """Put the content of an earlier configuration in force again, as a new row, and plan with it.

    Example: emailsched config rollback acme 3
    """
    settings = load_settings()
    found = target_of(target, settings)
    data: dict[str, JsonValue] = {"rollback_to": config_id, "note": note, "author": author_or_user(author)}
    change(found, CONFIG_CHANGED, judge(ConfigChanged, data), settings, json=json, title="config rollback")


COMMANDS: Final[Mapping[str, Callable[..., None]]] = MappingProxyType(
    {"show": show, "set": set_config, "history": history, "rollback": rollback}
)
HELP: Final = "Show and change the configuration of an org."


def _in_force(rows: list["ConfigRow"]) -> "ConfigRow | None":
    from core.planning.config import row_in_force
    from core.runs.reconcile import TIMESTAMP_FORMAT

    return row_in_force(rows, datetime.now(UTC).strftime(TIMESTAMP_FORMAT))


def _effective(row: "ConfigRow | None") -> tuple[dict[str, JsonValue] | None, str | None, tuple[str, ...]]:
    """Return the effective configuration and its hash, or the problems with it."""
    from core.planning.config import ConfigError, parse_config
    from infra.clock import is_timezone

    try:
        config = parse_config(None if row is None else row.config_data, is_timezone)
    except ConfigError as error:
        return None, None, error.problems
    return read_object(config.canonical_json()), config.digest(), ()
