"""What applying changes needs of the org database: campaigns and configuration, as records and as a Protocol.

Every value of a column is its text (booleans ``0`` and ``1``), None is NULL: so values are compared, and so the log of
changes holds them (R58).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class InstanceKey(NamedTuple):
    """What an instance is known by (UNIQUE in the database)."""

    campaign_type: str
    instance_name: str


@dataclass(frozen=True, slots=True)
class StoredCampaigns:
    """Campaign types by name, and instances by key; each a mapping of columns to their texts."""

    types: Mapping[str, Mapping[str, str | None]]
    instances: Mapping[InstanceKey, Mapping[str, str | None]]
    """With the column ``id``. A text longer than 10 000 characters is cut: no event carries so long a one."""


class LoggedChange(NamedTuple):
    """One row of ``campaign_change_log`` to be (R58)."""

    instance: InstanceKey
    field_changed: str
    old_value: str | None
    new_value: str | None
    requires_rescheduling: bool


@dataclass(frozen=True, slots=True)
class CampaignWrites:
    """Rows to make or to change, only the columns that change, and what the log says of it."""

    new_types: Mapping[str, Mapping[str, str | None]]
    """By name; a column that is not named gets the default of the schema."""
    types: Mapping[str, Mapping[str, str | None]]
    new_instances: Mapping[InstanceKey, Mapping[str, str | None]]
    instances: Mapping[InstanceKey, Mapping[str, str | None]]
    log: tuple[LoggedChange, ...]
    """Also of instances that are new here."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be written (R93)."""
        return not (self.new_types or self.types or self.new_instances or self.instances)


class ChangeStore(Protocol):
    """The part of an org database that changes are applied to; each method is one transaction."""

    def stored_campaigns(self, type_names: Sequence[str] | None) -> StoredCampaigns:
        """The types of these names and all instances of types of these names; None: all there are."""
        ...

    def change_campaigns(self, writes: CampaignWrites, *, at: str, by: str | None) -> None:
        """Write rows and log. ``at`` (UTC, ``YYYY-MM-DD HH:MM:SS``): created_at, updated_at, changed_at."""
        ...

    def open_config(self, config_data: str, *, closes: int | None, at: str, by: str | None, note: str | None) -> None:
        """Open a row of ``config_versions`` from ``at`` on; the row with the id ``closes`` ends there (R13)."""
        ...
