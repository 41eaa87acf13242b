"""What ``--json`` writes for ``config`` and ``campaign``: part of the written contract of `handlers.cli_output`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from events.payloads import EventRef, Generation, RunCompleted

GenerationRead = Annotated[Generation | None, Meta(description="Of the object that was read; null for a file.")]


class ChangeOutput(Struct, frozen=True, kw_only=True):
    """``config set``, ``config rollback``, ``campaign set``: the run that carried the change."""

    file: Annotated[str | None, Meta(description="Null: an org of the bucket.")]
    file_replaced: Annotated[
        bool | None, Meta(description="False: the file has its old bytes and times. Null: an org of the bucket.")
    ]
    event: EventRef
    completed: Annotated[RunCompleted, Meta(description="changed is false where all of it was so already.")]


class ConfigShowOutput(Struct, frozen=True, kw_only=True):
    """``config show ORG|FILE``: the row in force, and what it comes to."""

    file: str | None
    generation: GenerationRead
    config_id: Annotated[int | None, Meta(description="Null: no row is in force, all keys have their defaults.")]
    valid_from: str | None
    valid_to: str | None
    stored: Annotated[dict[str, Any] | None, Meta(description="Null: it cannot be read as a JSON object.")]
    effective: Annotated[dict[str, Any] | None, Meta(description="With the defaults; null: there are problems.")]
    config_hash: Annotated[str | None, Meta(description="SHA-256 of the effective configuration, as completions say.")]
    problems: Annotated[tuple[str, ...], Meta(description="Why no run can use it: the bad keys.")]


class ConfigVersion(Struct, frozen=True, kw_only=True):
    """One row of ``config_versions``; times are UTC."""

    config_id: int
    in_force: bool
    valid_from: str
    valid_to: str | None
    created_at: str | None
    created_by: str | None
    note: str | None
    config_data: Annotated[str, Meta(description="As it is stored, whatever it is.")]


class ConfigHistoryOutput(Struct, frozen=True, kw_only=True):
    """``config history ORG|FILE``."""

    file: str | None
    generation: GenerationRead
    versions: Annotated[tuple[ConfigVersion, ...], Meta(description="The highest id first.")]


class CampaignTypeItem(Struct, frozen=True, kw_only=True):
    """One campaign type, as the planner reads it."""

    name: str
    respect_exclusion_windows: bool
    enable_followups: bool
    days_before_event: int
    target_all_contacts: bool
    priority: int
    active: bool
    spread_evenly: bool
    skip_failed_underwriting: bool


class CampaignInstanceItem(Struct, frozen=True, kw_only=True):
    """One instance, as it is stored; texts are cut at 10 000 characters."""

    id: int
    campaign_type: str
    instance_name: str
    type_exists: Annotated[bool, Meta(description="False: the instance does not count.")]
    email_template: str | None
    sms_template: str | None
    active_start_date: str | None
    active_end_date: str | None
    spread_start_date: str | None
    spread_end_date: str | None
    target_states: str | None
    target_carriers: str | None
    metadata: str | None
    issues: Annotated[tuple[str, ...], Meta(description="bad_campaign_dates, bad_campaign_metadata.")]


class CampaignListOutput(Struct, frozen=True, kw_only=True):
    """``campaign list ORG|FILE``."""

    file: str | None
    generation: GenerationRead
    types: Annotated[tuple[CampaignTypeItem, ...], Meta(description="By name.")]
    instances: Annotated[tuple[CampaignInstanceItem, ...], Meta(description="By id.")]


GroupOutput = ChangeOutput | ConfigShowOutput | ConfigHistoryOutput | CampaignListOutput

GROUP_OUTPUTS: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "config show": ConfigShowOutput,
        "config set": ChangeOutput,
        "config history": ConfigHistoryOutput,
        "config rollback": ChangeOutput,
        "campaign list": CampaignListOutput,
        "campaign set": ChangeOutput,
    }
)
"""Which document a command of a group writes when it exits 0."""
