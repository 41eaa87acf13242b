"""What ``--json`` writes for commands that look at an org: part of the written contract of `handlers.cli_output`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, Struct

from core.planning.explanation import Explanation
from handlers.cli_change_output import GenerationRead


class ExplainOutput(Struct, frozen=True, kw_only=True):
    """``explain ORG|FILE CONTACT``."""

    org_id: str
    file: Annotated[str | None, Meta(description="Null: an org of the bucket.")]
    generation: GenerationRead
    config_hash: Annotated[str, Meta(description="Of the configuration that the explanation was made with.")]
    what_if: Annotated[bool, Meta(description="True: --config was given, the configuration in force is another.")]
    explanation: Annotated[Explanation, Meta(description="The structs of core.planning.explanation.")]


LookDocument = ExplainOutput

LOOK_OUTPUTS: Final[Mapping[str, type[Struct]]] = MappingProxyType({"explain": ExplainOutput})
"""Which document each command writes when it exits 0."""
