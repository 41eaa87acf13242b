"""What ``hold`` and ``release`` write with ``--json``: part of the contract of `handlers.cli_output`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, Struct

from core.runs.holds import HoldList


class HoldOutput(Struct, frozen=True, kw_only=True):
    """``hold ORG|--all`` and ``release ORG|--all``."""

    org_id: Annotated[str | None, Meta(description="Null: all orgs.")]
    changed: Annotated[bool, Meta(description="False: it was so already.")]
    on_hold: Annotated[bool, Meta(description="Whether the org, or any org, is on hold now, for whatever reason.")]
    has_database: Annotated[
        bool | None, Meta(description="False: no org-data/<org>.db; a slip of the pen? Null: all orgs.")
    ]
    holds: Annotated[HoldList, Meta(description="All holds there are now.")]


HOLD_OUTPUTS: Final[Mapping[str, type[Struct]]] = MappingProxyType({"hold": HoldOutput, "release": HoldOutput})
"""Which document each of the two commands writes."""
