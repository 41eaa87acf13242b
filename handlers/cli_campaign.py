"""The commands of ``emailsched campaign``: what there is, and changes of it (R52, R58)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from events.strict_json import JsonValue
from events.types import CAMPAIGN_CHANGED, CampaignChanged, CampaignInstanceChange, CampaignTypeChange
from handlers.cli_change_output import CampaignInstanceItem, CampaignListOutput, CampaignTypeItem
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
    from core.runs.ports import OrgDatabase

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

_TYPE_IDENTITY: Final = ("name",)
_INSTANCE_IDENTITY: Final = ("campaign_type", "instance_name")
_METADATA: Final = "metadata"


def list_campaigns(target: TargetArgument = None, json: JsonOption = False) -> None:
    """List campaign types and instances, and what is wrong with them; nothing is written.

    Example: emailsched campaign list acme
    """
    settings = load_settings()
    found = target_of(target, settings)
    with looked_at(found, settings) as (db, generation):
        types, instances = _listed(db)
    output = CampaignListOutput(
        file=None if found.file is None else str(found.file), generation=generation, types=types, instances=instances
    )
    if json:
        print_json(output)
        return
    from handlers.cli_change_tables import print_campaigns

    print_campaigns(output, title=f"of {found.file or found.org_id}")


def set_campaign(
    target: ChangedTargetArgument,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="FIELD=VALUE...", help="Fields to change; null clears a field of an instance."),
    ] = None,
    campaign_type: Annotated[str | None, typer.Option("--type", metavar="NAME", help="The campaign type.")] = None,
    instance: Annotated[
        str | None, typer.Option("--instance", metavar="NAME", help="Its instance; without: the type itself.")
    ] = None,
    json_file: JsonFileOption = None,
    author: AuthorOption = None,
    json: JsonOption = False,
) -> None:
    """Make or change a campaign type or an instance, with a log of every field, and plan with it.

    With --json-file many at once: an object with the lists types and instances, as the campaign.changed event has them.

    Example: emailsched campaign set acme --type newsletter --instance Spring active_start_date=2026-03-01
    """
    settings = load_settings()
    found = target_of(target, settings)
    if (json_file is None) == (campaign_type is None):
        raise UsageError("one campaign, or a file of them", "give --type NAME or --json-file FILE")
    if json_file is not None:
        if pairs or instance is not None:
            raise UsageError("a file and single fields", "give --json-file, or --type with fields")
        data = read_json_file(json_file)
    elif instance is None:
        data = {"types": [{"name": campaign_type, **_type_fields(pairs_of(pairs or []))}]}
    else:
        fields = _instance_fields(pairs_of(pairs or []))
        data = {"instances": [{"campaign_type": campaign_type, "instance_name": instance, **fields}]}
    if author is not None or data.get("changed_by") is None:
        data["changed_by"] = author_or_user(author)
    change(found, CAMPAIGN_CHANGED, judge(CampaignChanged, data), settings, json=json, title="campaign set")


COMMANDS: Final[Mapping[str, Callable[..., None]]] = MappingProxyType({"list": list_campaigns, "set": set_campaign})
HELP: Final = "Show and change campaign types and instances of an org."


def _type_fields(pairs: dict[str, str]) -> dict[str, JsonValue]:
    _require_fields(pairs, CampaignTypeChange, _TYPE_IDENTITY)
    return {field: json_or_text(value) for field, value in pairs.items()}


def _instance_fields(pairs: dict[str, str]) -> dict[str, JsonValue]:
    """Read the fields of an instance: all but metadata are texts, whatever they look like."""
    _require_fields(pairs, CampaignInstanceChange, _INSTANCE_IDENTITY)
    fields: dict[str, JsonValue] = {}
    for field, value in pairs.items():
        text = None if value == "null" else value
        fields[field] = json_or_text(value) if field == _METADATA else text
    return fields


def _require_fields(
    pairs: dict[str, str], change_type: type[CampaignTypeChange | CampaignInstanceChange], identity: tuple[str, ...]
) -> None:
    allowed = [field for field in change_type.__struct_fields__ if field not in identity]
    if unknown := [field for field in pairs if field not in allowed]:
        raise UsageError(f"no such field: {', '.join(unknown)}", f"fields are {', '.join(allowed)}")


def _listed(db: "OrgDatabase") -> tuple[tuple[CampaignTypeItem, ...], tuple[CampaignInstanceItem, ...]]:
    """Return types as the planner reads them, and instances as they are stored, with what the planner says of them."""
    from core.planning.campaigns import judge_campaigns

    types, stored = db.campaign_types(), db.stored_campaigns(None)
    # What is wrong with an instance is wrong on every day, so that any day will do.
    issues = judge_campaigns(types, db.campaign_instances(), today=0).issues
    items = tuple(
        msgspec.convert(
            {
                **columns,
                "id": int(columns["id"] or 0),
                "campaign_type": key.campaign_type,
                "instance_name": key.instance_name,
                "type_exists": key.campaign_type in stored.types,
                "issues": [code for code, _, number in (i.rpartition(":") for i in issues) if number == columns["id"]],
            },
            type=CampaignInstanceItem,
        )
        for key, columns in stored.instances.items()
    )
    return tuple(msgspec.convert(t, type=CampaignTypeItem, from_attributes=True) for t in types), items
