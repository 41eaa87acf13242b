"""What ``--json`` writes for ``worker``, ``fan-out`` and ``dead-letters``: part of the contract of `handlers.cli_output`."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from events.payloads import Code, Count, EventRef


class WorkerOutput(Struct, frozen=True, kw_only=True):
    """``worker``, written before it starts to pull."""

    subscriptions: tuple[str, ...]
    host: str
    port: Annotated[int, Meta(description="Of /healthz and /readyz; 0: any free one, the log says which.")]
    data_dir: str


class FanOutRun(Struct, frozen=True, kw_only=True):
    """One org that was run here."""

    org_id: str
    outcome: Annotated[
        Literal["done", "rejected", "failed", "retry"],
        Meta(description="done; rejected, failed: by the code; retry: give the command again."),
    ]
    changed: Annotated[bool | None, Meta(description="Null: the run did not end well.")]
    code: Annotated[Code | None, Meta(description="Why it did not end well, an ErrorCode of core.runs.errors.")]


class FanOutOutput(Struct, frozen=True, kw_only=True):
    """``fan-out``; also written where runs did not end well, and then the exit code is 1 or 3."""

    event: Annotated[EventRef, Meta(description="The fan-out; the requests have the id <id>/<org>.")]
    orgs_asked: Count
    orgs_left_out: Annotated[Count, Meta(description="By --include and --exclude.")]
    names_skipped: Annotated[Count, Meta(description="Objects among the databases whose names are no org's.")]
    topic: Annotated[str | None, Meta(description="Where the requests were published; null: the orgs were run here.")]
    runs: Annotated[tuple[FanOutRun, ...] | None, Meta(description="By org. Null: requests were published.")]


class DeadLetterLine(Struct, frozen=True, kw_only=True):
    """One dead letter: ids and codes, never what is in it."""

    message_id: Annotated[str | None, Meta(description="Of the dead letter, not of the original.")]
    published_at: Annotated[str | None, Meta(description="When the original was published. Null: not known.")]
    dead_since: datetime | None
    subscription: Annotated[str | None, Meta(description="Whose reader did not acknowledge it.")]
    deliveries: Annotated[Count | None, Meta(description="How often it was tried.")]
    type: Annotated[str | None, Meta(description="Null: it cannot be read, see reasons.")]
    org_id: str | None
    event: EventRef | None
    size_bytes: Count
    reasons: Annotated[tuple[Code, ...], Meta(description="Why it cannot be read; empty: it can.")]
    replayed_to: Annotated[str | None, Meta(description="Topic that it was published to again.")]


class DeadLettersListOutput(Struct, frozen=True, kw_only=True):
    """``dead-letters list``."""

    subscription: str
    letters: Annotated[tuple[DeadLetterLine, ...], Meta(description="Oldest first.")]
    limit: Annotated[Count, Meta(description="As many letters as this: there may be more.")]


class DeadLettersReplayOutput(Struct, frozen=True, kw_only=True):
    """``dead-letters replay``."""

    subscription: str
    letters: Annotated[tuple[DeadLetterLine, ...], Meta(description="Those that were published again, oldest first.")]
    limit: Annotated[Count, Meta(description="As many letters as this: there may be more.")]


DoorsDocument = WorkerOutput | FanOutOutput | DeadLettersListOutput | DeadLettersReplayOutput

DOORS_OUTPUTS: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "worker": WorkerOutput,
        "fan-out": FanOutOutput,
        "dead-letters list": DeadLettersListOutput,
        "dead-letters replay": DeadLettersReplayOutput,
    }
)
