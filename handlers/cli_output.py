"""What ``--json`` writes: the written contract of the command line's stdout, one struct per command.

Every command writes exactly one of these as one JSON document on one line; a command that fails writes `ErrorOutput`
instead. Absent information is ``null``, never a missing field. `RunCompleted` is the payload of the event of that name
(`events.payloads`), so that whoever reads completions from the bus reads the command line too.
"""

import sys
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from events.payloads import Count, EventRef, Generation, RunCompleted, RunCounts, Seconds
from handlers.cli_change_output import GROUP_OUTPUTS, GroupOutput
from handlers.cli_doors_output import DOORS_OUTPUTS, DoorsDocument
from handlers.cli_hold_output import HOLD_OUTPUTS, HoldOutput
from handlers.cli_look_output import LOOK_OUTPUTS, LookDocument
from handlers.cli_recovery_output import RECOVERY_OUTPUTS, RecoveryDocument


class ErrorBody(Struct, frozen=True, kw_only=True):
    """What went wrong, and what to do about it; no personal data."""

    code: Annotated[
        str, Meta(description="An ErrorCode of core.runs.errors, or wrong_usage, interrupted, demo_failed, unexpected.")
    ]
    org_id: str | None
    detail: str
    hint: str
    retryable: Annotated[bool, Meta(description="True: the same command may succeed later without a change.")]


class ErrorOutput(Struct, frozen=True, kw_only=True):
    """Any command that does not exit 0."""

    error: ErrorBody


class RunOutput(Struct, frozen=True, kw_only=True):
    """``run ORG``."""

    event: Annotated[EventRef, Meta(description="The request as events and logs name it.")]
    completed: RunCompleted


class ScheduleOutput(Struct, frozen=True, kw_only=True):
    """``schedule FILE``; generations, bytes and requests of ``completed`` are null: no bucket was involved."""

    file: str
    file_replaced: Annotated[bool, Meta(description="False: the file has its old bytes and times.")]
    completed: RunCompleted


ChangeKind = Literal["insert", "move", "update", "delete", "missed"]
"""``move``: another send date. ``update``: other content on the same date. ``delete``: no longer planned.
``missed``: its day passed unsent, it will be marked so."""


class Change(Struct, frozen=True, kw_only=True):
    """Rows that would change alike. A reason is the skip_reason; null: the mail stands, or there is no such row."""

    kind: ChangeKind
    email_type: str
    reason_before: str | None
    reason_after: str | None
    rows: Count


class Move(Struct, frozen=True, kw_only=True, rename={"from_day": "from", "to_day": "to"}):
    """Rows that would go from one send date to another."""

    email_type: str
    from_day: Annotated[date | None, Meta(description="Null: the stored date cannot be read.")]
    to_day: date
    rows: Count


class DayChange(Struct, frozen=True, kw_only=True):
    """How the mail to be sent on one day would change: after = before + added + moved_in - moved_out - dropped."""

    day: date
    before: Annotated[Count, Meta(description="Rows of the database that are to be sent on the day.")]
    added: Annotated[Count, Meta(description="New rows, and rows that were skipped so far.")]
    moved_in: Count
    moved_out: Count
    dropped: Annotated[Count, Meta(description="Deleted, missed, or skipped from now on.")]
    changed: Annotated[Count, Meta(description="On the same day, with other content.")]
    after: Count


class PlanOutput(Struct, frozen=True, kw_only=True):
    """``plan ORG|FILE``; ``completed`` is what a run would publish, and nothing was published."""

    file: str | None
    generation: Annotated[Generation | None, Meta(description="Of the object that was read; null for a file.")]
    what_if: Annotated[bool, Meta(description="True: --config was given, the configuration in force is another.")]
    schema_outdated: Annotated[bool, Meta(description="True: tables, columns or indexes would be added.")]
    changes: tuple[Change, ...]
    moves: Annotated[tuple[Move, ...], Meta(description="Most rows first.")]
    moves_left_out: Annotated[Count, Meta(description="Pairs of dates beyond the limit of the list.")]
    days: Annotated[tuple[DayChange, ...], Meta(description="Days on which anything would change, in their order.")]
    completed: RunCompleted


class PlanLine(Struct, frozen=True, kw_only=True):
    """One org of ``plan --all``: either an error, or what a run would do."""

    org_id: str
    error: Annotated[ErrorBody | None, Meta(description="Null: the org was planned.")]
    generation: Generation | None
    as_of: date | None
    changed: Annotated[bool | None, Meta(description="False: the plan is in place.")]
    counts: RunCounts | None
    days_over_cap: Count | None
    config_hash: str | None


class PlanAllOutput(Struct, frozen=True, kw_only=True):
    """``plan --all``; it exits 1 if any org has an error, and every other org is planned all the same."""

    what_if: bool
    orgs: Annotated[tuple[PlanLine, ...], Meta(description="By id.")]
    orgs_left_out: Annotated[Count, Meta(description="Orgs beyond the limit of one command.")]
    orgs_failed: Count
    orgs_changed: Count
    totals: Annotated[RunCounts, Meta(description="Of the orgs without an error.")]


class ReportOutput(Struct, frozen=True, kw_only=True):
    """``report ORG|FILE``."""

    out: Annotated[str | None, Meta(description="Where the page was written; null: it is in html.")]
    html: str | None
    completed: RunCompleted


class MakeOrgOutput(Struct, frozen=True, kw_only=True):
    """``make-org FILE``."""

    file: str
    contacts: Count
    seed: int
    as_of: date
    size_bytes: Count


class ServeOutput(Struct, frozen=True, kw_only=True):
    """``serve``, written before the server starts."""

    host: str
    port: Annotated[int, Meta(description="0: any free one; the log says which.")]
    data_dir: str


class DemoOrg(Struct, frozen=True, kw_only=True):
    """One org of the demo."""

    org_id: str
    contacts: Count
    first: Annotated[RunCompleted, Meta(description="The run that wrote the plan.")]
    second: Annotated[RunCompleted, Meta(description="A later trigger: nothing to do.")]
    repeated: Annotated[RunCompleted, Meta(description="The first message delivered again.")]
    completion_id: Annotated[str, Meta(description="Event id of the first completion, and of the repeated one.")]
    report: str


class DemoOutput(Struct, frozen=True, kw_only=True):
    """``demo``: every claim held, or there is an error instead."""

    folder: str
    claims: tuple[str, ...]
    seconds: Seconds
    orgs: tuple[DemoOrg, ...]


Output = (
    ErrorOutput
    | RunOutput
    | ScheduleOutput
    | PlanOutput
    | PlanAllOutput
    | ReportOutput
    | MakeOrgOutput
    | ServeOutput
    | DemoOutput
    | DoorsDocument
    | RecoveryDocument
    | LookDocument
    | HoldOutput
    | GroupOutput
)

COMMAND_OUTPUTS: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "demo": DemoOutput,
        "serve": ServeOutput,
        "run": RunOutput,
        "schedule": ScheduleOutput,
        "plan": PlanOutput,
        "plan --all": PlanAllOutput,
        "report": ReportOutput,
        "make-org": MakeOrgOutput,
        **DOORS_OUTPUTS,
        **RECOVERY_OUTPUTS,
        **LOOK_OUTPUTS,
        **HOLD_OUTPUTS,
        **GROUP_OUTPUTS,
    }
)
"""Which document a command writes when it exits 0; documentation and tests are held to this table."""


def to_json(output: Output) -> str:
    """Return one line of JSON with keys in the order of the structs."""
    # Two steps, because volumes are keyed by dates and by themselves the encoder would not write those.
    return msgspec.json.encode(msgspec.to_builtins(output, str_keys=True)).decode("utf-8")


def print_json(output: Output) -> None:
    """Write the document to stdout."""
    sys.stdout.write(to_json(output) + "\n")
    sys.stdout.flush()
