"""What a change carries: campaigns (from the world or an operator) and configuration (from an operator only).

A field that is absent stays as it is (``UNSET``); null clears a column that may be NULL. Field names are the columns of the
org database, so that there is one vocabulary from the sender to the log of changes (R58).
"""

import json
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

CHANGES_MAX: Final = 500
"""Types and instances in one event, together."""
METADATA_CHARACTERS_MAX: Final = 10_000
"""Of an instance's metadata as JSON text."""
LISTED_CHARACTERS_MAX: Final = 10_000
"""Of a comma list of targets; no other text is longer."""

TYPE_NAME_PATTERN: Final = r"^[A-Za-z0-9]([A-Za-z0-9_ -]{0,62}[A-Za-z0-9])?$(?!\n)"
"""The name becomes part of an e-mail type, and so of events, metrics and reports: letters, digits, ``_``, ``-`` and
spaces inside. ``$(?!\\n)`` as for org ids."""
_INSTANCE_NAME_PATTERN: Final = r"^[^\u0000-\u0020\u007f]([^\u0000-\u001f\u007f]{0,198}[^\u0000-\u0020\u007f])?$(?!\n)"
NO_NUL: Final = r"^[^\u0000]*$"
"""SQLite's text functions stop at a NUL: such a text would never be read back as it was written."""

CampaignTypeName = Annotated[
    str, Meta(pattern=TYPE_NAME_PATTERN, description="1 to 64 of A-Z a-z 0-9 _ - and inner spaces; case matters.")
]
CampaignInstanceName = Annotated[
    str,
    Meta(pattern=_INSTANCE_NAME_PATTERN, description="1 to 200 characters, none a control character, no outer spaces."),
]
Template = Annotated[str, Meta(max_length=200, pattern=NO_NUL)]
DateText = Annotated[
    str,
    Meta(max_length=64, pattern=NO_NUL, description="YYYY-MM-DD; a bad date is stored and becomes an issue (R52)."),
]
Targets = Annotated[
    str, Meta(max_length=LISTED_CHARACTERS_MAX, pattern=NO_NUL, description="Comma list; ALL, blank, null: everyone.")
]
Author = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL, description="Who made the change.")]
JsonObject = dict[str, Any]
"""Judged by whoever uses it; the decoder has seen to depth, numbers and text."""


class CampaignTypeChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A campaign type by its name: made if there is none, else only the fields that are given change."""

    name: CampaignTypeName
    respect_exclusion_windows: bool | UnsetType = UNSET
    enable_followups: bool | UnsetType = UNSET
    days_before_event: Annotated[int, Meta(ge=-3650, le=3650)] | UnsetType = UNSET
    target_all_contacts: bool | UnsetType = UNSET
    priority: Annotated[int, Meta(description="64 bits; the lower number wins.")] | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    spread_evenly: bool | UnsetType = UNSET
    skip_failed_underwriting: bool | UnsetType = UNSET


class CampaignInstanceChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An instance by its type and name: made if there is none, else only the fields that are given change.

    Its type may come later: until then the instance does not count (R52).
    """

    campaign_type: CampaignTypeName
    instance_name: CampaignInstanceName
    email_template: Template | UnsetType | None = UNSET
    sms_template: Template | UnsetType | None = UNSET
    active_start_date: DateText | UnsetType | None = UNSET
    active_end_date: DateText | UnsetType | None = UNSET
    spread_start_date: DateText | UnsetType | None = UNSET
    spread_end_date: DateText | UnsetType | None = UNSET
    target_states: Targets | UnsetType | None = UNSET
    target_carriers: Targets | UnsetType | None = UNSET
    metadata: Annotated[
        JsonObject | UnsetType | None,
        Meta(description="Overrides of the type (R53), at most 10 000 characters; an unusable value becomes an issue."),
    ] = UNSET

    def __post_init__(self) -> None:
        """Refuse metadata that is too long; raises ValueError."""
        if isinstance(self.metadata, dict) and len(object_text(self.metadata)) > METADATA_CHARACTERS_MAX:
            raise ValueError(f"metadata has at most {METADATA_CHARACTERS_MAX} characters")


class CampaignChanged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Create or change campaign types and instances, then plan.

    1 to 500 changes in all, no type and no instance twice. Types are changed before instances.
    """

    types: Annotated[tuple[CampaignTypeChange, ...], Meta(max_length=CHANGES_MAX)] = ()
    instances: Annotated[tuple[CampaignInstanceChange, ...], Meta(max_length=CHANGES_MAX)] = ()
    changed_by: Annotated[Author | None, Meta(description="For the log of changes (R58).")] = None

    def __post_init__(self) -> None:
        """Judge the two lists together; raises ValueError in words of ours, without values."""
        changes = len(self.types) + len(self.instances)
        if not 1 <= changes <= CHANGES_MAX:
            raise ValueError(f"1 to {CHANGES_MAX} types and instances are expected")
        identities = {(t.name, None) for t in self.types} | {(i.campaign_type, i.instance_name) for i in self.instances}
        if len(identities) != changes:
            raise ValueError("a type or an instance is named twice")


class ConfigChanged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put another configuration in force, then plan (R13). Made by the operator's door only, never read from a wire.

    One of three ways: the whole new content, keys to set and to unset over what is in force when the run comes to it (two
    operators who set different keys do not undo each other), or the content of an earlier row.
    """

    config_data: JsonObject | None = None
    """The whole new content."""
    set_keys: JsonObject = {}
    unset_keys: tuple[str, ...] = ()
    rollback_to: int | None = None
    """Id of the row of config_versions whose content comes back."""
    note: Annotated[str, Meta(max_length=1_000, pattern=NO_NUL)] | None = None
    author: Author | None = None

    def __post_init__(self) -> None:
        """Refuse no way, two ways, and a key that is both set and unset; raises ValueError."""
        ways = (self.config_data is not None, bool(self.set_keys or self.unset_keys), self.rollback_to is not None)
        if sum(ways) != 1:
            raise ValueError("a whole configuration, keys to set or unset, or an id to roll back to: one of them")
        if set(self.set_keys) & set(self.unset_keys):
            raise ValueError("a key cannot be both set and unset")


def object_text(value: JsonObject) -> str:
    """Return the one text of a JSON object (sorted keys, no spaces): equal objects have equal texts, 1 is not true."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_object(text: str) -> JsonObject | None:
    """Return the JSON object that a stored text holds, None where it holds none, or one with a key twice."""
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_same_object(text: str, other: str) -> bool:
    """Whether two texts hold the same JSON object, however they write it."""
    one, two = read_object(text), read_object(other)
    return one is not None and two is not None and object_text(one) == object_text(two)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> JsonObject:
    """Refuse a key that is given twice: which of the two was meant cannot be told."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(name)
