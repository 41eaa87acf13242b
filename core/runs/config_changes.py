"""What a change of configuration means for the rows of ``config_versions``: a pure judgement (R8, R12, R13)."""

from collections.abc import Sequence
from typing import NamedTuple

from core.planning.config import ConfigError, IsTimezone, parse_config, row_in_force
from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import ConfigRow
from events.change_payloads import ConfigChanged, JsonObject, is_same_object, object_text, read_object


class Opening(NamedTuple):
    """The row to open, and the id of the row that ends with it (None: none was in force)."""

    config_data: str
    closes: int | None


def judge_config_change(
    rows: Sequence[ConfigRow], change: ConfigChanged, *, at: str, is_timezone: IsTimezone, org_id: str
) -> Opening | None:
    """Return what to write, None where the row in force says the same already; no row says what ``{}`` says.

    ``at`` is the moment of the change (UTC, ``YYYY-MM-DD HH:MM:SS``). Raises OrgError: CONFIG_INVALID naming each bad key,
    CONFIG_MISSING where the row to roll back to does not exist.
    """
    in_force = row_in_force(rows, at)
    try:
        where, config_data = _wanted(rows, in_force, change, org_id)
    except ConfigError as error:
        raise OrgError(ErrorCode.CONFIG_INVALID, org_id, str(error)) from error
    try:
        parse_config(config_data, is_timezone)
    except ConfigError as error:
        raise OrgError(ErrorCode.CONFIG_INVALID, org_id, f"{where}: {error}") from error
    stored = "{}" if in_force is None else in_force.config_data
    if is_same_object(stored, config_data):
        return None
    return Opening(config_data, None if in_force is None else in_force.config_id)


def _wanted(
    rows: Sequence[ConfigRow], in_force: ConfigRow | None, change: ConfigChanged, org_id: str
) -> tuple[str, str]:
    """Return what the wanted content is called in an error, and its text."""
    if change.rollback_to is not None:
        earlier = next((row for row in rows if row.config_id == change.rollback_to), None)
        if earlier is None:
            raise OrgError(ErrorCode.CONFIG_MISSING, org_id, f"config_versions has no id {change.rollback_to}")
        return f"config_versions id {earlier.config_id}", earlier.config_data
    if change.config_data is not None:
        return "the new configuration", object_text(change.config_data)
    merged = {} if in_force is None else _content(in_force)
    for key in change.unset_keys:
        merged.pop(key, None)
    return "the new configuration", object_text({**merged, **change.set_keys})


def _content(row: ConfigRow) -> JsonObject:
    """Return a row's content; raises ConfigError where nothing can be merged into it."""
    value = read_object(row.config_data)
    if value is None:
        raise ConfigError(
            [f"config_versions id {row.config_id} cannot be read as a JSON object: replace it as a whole"]
        )
    return value
