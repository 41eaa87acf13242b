"""What a campaign.changed event means for what is stored: a pure judgement, field by field (R58)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from core.runs.change_ports import CampaignWrites, InstanceKey, LoggedChange, StoredCampaigns
from events.change_payloads import (
    CampaignChanged,
    CampaignInstanceChange,
    CampaignTypeChange,
    is_same_object,
    object_text,
)

CREATED: Final = "created"
"""The field of the one log row that a new type or instance gets."""
TYPE_PREFIX: Final = "campaign_type."
"""Before the field of a change of the type's, in the log of its instances."""
TEMPLATES: Final = frozenset({"email_template", "sms_template"})
"""They reach planned rows through the difference (R91): no date depends on them."""

_IDENTITY: Final = frozenset({"name", "campaign_type", "instance_name"})

Columns = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that an event changes, as the log tells it."""

    field: str
    old: str | None
    new: str | None

    @property
    def requires_rescheduling(self) -> bool:
        """R58: everything but templates."""
        return self.field not in TEMPLATES


def judge_fields(stored: Columns, wanted: Columns) -> list[FieldChange]:
    """Compare the wanted fields with what is stored, in the order of the schema; an equal value is no change (R93)."""
    return [
        FieldChange(field, stored.get(field), new)
        for field, new in wanted.items()
        if not _is_same(field, stored.get(field), new)
    ]


def judge_campaigns_change(stored: StoredCampaigns, change: CampaignChanged) -> CampaignWrites:
    """Compare a change with what is stored of the types that it names; nothing to do: the result is empty.

    A change of a type is logged for each instance that it has before the event; a type without instances has no log.
    """
    new_types: dict[str, Columns] = {}
    types: dict[str, Columns] = {}
    new_instances: dict[InstanceKey, Columns] = {}
    instances: dict[InstanceKey, Columns] = {}
    log: list[LoggedChange] = []
    for wanted_type in change.types:
        name, columns = wanted_type.name, columns_of(wanted_type)
        if name in stored.types:
            changes = judge_fields(stored.types[name], columns)
            types |= {name: {c.field: c.new for c in changes}} if changes else {}
        else:
            changes = [FieldChange(CREATED, None, name)]
            new_types[name] = columns
        members = [key for key in stored.instances if key.campaign_type == name]
        log += [_logged(key, c, prefix=TYPE_PREFIX) for key in members for c in changes]
    for wanted in change.instances:
        key, columns = InstanceKey(wanted.campaign_type, wanted.instance_name), columns_of(wanted)
        if key in stored.instances:
            changes = judge_fields(stored.instances[key], columns)
            instances |= {key: {c.field: c.new for c in changes}} if changes else {}
        else:
            changes = [FieldChange(CREATED, None, wanted.instance_name)]
            new_instances[key] = columns
        log += [_logged(key, c) for c in changes]
    return CampaignWrites(new_types, types, new_instances, instances, tuple(log))


def columns_of(change: CampaignTypeChange | CampaignInstanceChange) -> dict[str, str | None]:
    """Return the given fields as texts of their columns, without those that say which row is meant."""
    given = {field: getattr(change, field) for field in change.__struct_fields__ if field not in _IDENTITY}
    return {field: _text(value) for field, value in given.items() if value is not UNSET}


def _logged(key: InstanceKey, change: FieldChange, *, prefix: str = "") -> LoggedChange:
    return LoggedChange(key, prefix + change.field, change.old, change.new, change.requires_rescheduling)


def _is_same(field: str, stored: str | None, new: str | None) -> bool:
    """Whether both say the same; metadata is compared as JSON, since others write it with other spaces."""
    if stored == new:
        return True
    return field == "metadata" and stored is not None and new is not None and is_same_object(stored, new)


def _text(value: bool | int | str | dict[str, object] | None) -> str | None:
    match value:
        case None | str():
            return value
        case bool():
            return str(int(value))
        case int():
            return str(value)
        case dict():
            return object_text(value)
