"""What the commands of recovery write with ``--json``: part of the contract of `handlers.cli_output`."""

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from core.runs.holds import Hold
from core.runs.org_status import OrgStatus
from events.payloads import Code, Count, Generation

Moment = Annotated[datetime, Meta(tz=True, description="Time of the bucket, UTC.")]


class OrgLine(Struct, frozen=True, kw_only=True):
    """One org."""

    org_id: str
    has_database: Annotated[bool, Meta(description="False: org-data/<org>.db was deleted.")]
    status: Annotated[OrgStatus | None, Meta(description="Null: no run has left one.")]
    hold: Annotated[
        Hold | None, Meta(description="What holds the org, be it the hold of all orgs; null: nothing does.")
    ]


class StatusOutput(Struct, frozen=True, kw_only=True):
    """``status [ORG]``."""

    orgs: Annotated[tuple[OrgLine, ...], Meta(description="The one whose last completed run is the oldest first.")]
    orgs_left_out: Count
    hold_of_all_orgs: Hold | None


class VersionLine(Struct, frozen=True, kw_only=True):
    """One version of an org's object."""

    generation: Generation
    live: bool
    updated: Moment
    size_bytes: Count
    run_id: Annotated[str | None, Meta(description="The run that made its content. Null: its metadata is not ours.")]
    parent_generation: Annotated[Generation | None, Meta(description="What it says it was made from.")]
    replaced_blindly: Annotated[
        bool,
        Meta(description="True: it was not made from the version before it; reconcile carries over what that had."),
    ]
    restored_from: Annotated[Generation | None, Meta(description="A restore: the version that it brought back.")]
    carried_from: Annotated[
        tuple[Generation, ...] | None, Meta(description="A restore or a reconcile: what it took along. Else null.")
    ]
    contacts: Count | None
    emails_scheduled: Count | None
    emails_skipped: Count | None


class VersionsOutput(Struct, frozen=True, kw_only=True):
    """``versions ORG``."""

    org_id: str
    object_name: str
    versions: Annotated[tuple[VersionLine, ...], Meta(description="Newest first.")]


class BackupOutput(Struct, frozen=True, kw_only=True):
    """``backup ORG``."""

    org_id: str
    object_name: str
    of_generation: Generation
    size_bytes: Count
    crc32c: str
    quick_check: Annotated[str, Meta(description="ok, or what is wrong with the version; it is kept all the same.")]


class PullOutput(Struct, frozen=True, kw_only=True):
    """``pull ORG FILE``."""

    org_id: str
    file: str
    generation: Generation
    live: bool
    size_bytes: Count
    crc32c: str


RowChangeKind = Literal["added", "moved", "changed", "dropped"]
"""``moved``: another send date, of rows that are the scheduler's in both. ``changed``: anything else."""


class RowChange(Struct, frozen=True, kw_only=True):
    """Rows that differ alike; null before: not there, null after: no longer there."""

    kind: RowChangeKind
    email_type: str
    status_before: str | None
    reason_before: str | None
    status_after: str | None
    reason_after: str | None
    rows: Count


class DateMove(Struct, frozen=True, kw_only=True, rename={"from_day": "from", "to_day": "to"}):
    """Rows that went from one send date to another."""

    email_type: str
    from_day: Annotated[date | None, Meta(description="Null: the stored date cannot be read.")]
    to_day: date | None
    rows: Count


class DiffOutput(Struct, frozen=True, kw_only=True):
    """``diff ORG GENERATION GENERATION``."""

    org_id: str
    before: Generation
    after: Generation
    changes: Annotated[tuple[RowChange, ...], Meta(description="Most rows first within each kind.")]
    moves: Annotated[tuple[DateMove, ...], Meta(description="Most rows first.")]
    moves_left_out: Annotated[Count, Meta(description="Pairs of dates beyond the limit of the list.")]
    unchanged: Count


class UnreadableVersion(Struct, frozen=True, kw_only=True):
    """A version that could not be carried from."""

    generation: Generation
    code: Code


class CarrySource(Struct, frozen=True, kw_only=True):
    """A version to carry from."""

    generation: Generation
    used: Annotated[
        Generation | None, Meta(description="The one carried from: itself, or the newest readable one before; or none.")
    ]
    unreadable: tuple[UnreadableVersion, ...]


class CarriedCounts(Struct, frozen=True, kw_only=True):
    """What was, or would be, carried over."""

    locked_rows: Count
    locked_rows_by_status: dict[str, Count]
    planned_rows_withdrawn: Annotated[Count, Meta(description="Of people who unsubscribed or were deleted.")]
    unsubscribes: Count
    deletions: Count
    tombstones: Count
    processed_events: Count
    runs: Count
    contacts_missing: Annotated[Count, Meta(description="Only the replaced version has them: have them sent again.")]
    contacts_back: Annotated[Count, Meta(description="Only the restored version has them, and nothing says why.")]


class RecoveryOutput(Struct, frozen=True, kw_only=True):
    """``restore ORG GENERATION`` and ``reconcile ORG``."""

    org_id: str
    dry_run: bool
    exact: bool
    changed: Annotated[bool, Meta(description="Whether a new version was uploaded.")]
    base_generation: Annotated[Generation, Meta(description="The version that was put in place, or is there.")]
    replaced_generation: Annotated[Generation | None, Meta(description="Live before; null: the object was deleted.")]
    generation: Annotated[Generation | None, Meta(description="Of the new object; null: nothing was uploaded.")]
    size_bytes: Count
    carried: CarriedCounts
    sources: Annotated[tuple[CarrySource, ...], Meta(description="Newest first.")]
    bytes_down: Count
    bytes_up: Count
    warnings: tuple[Code, ...]


class FindingLine(Struct, frozen=True, kw_only=True):
    """One check of ``doctor``."""

    check: str
    state: Annotated[
        Literal["ok", "warning", "error", "skipped"], Meta(description="skipped: could not be judged; detail says why.")
    ]
    detail: str
    hint: Annotated[str | None, Meta(description="What to do; null: nothing.")]


class DoctorOutput(Struct, frozen=True, kw_only=True):
    """``doctor [ORG]``; written whatever was found, also when the exit code is 1."""

    healthy: Annotated[bool, Meta(description="False: at least one finding is an error.")]
    findings: tuple[FindingLine, ...]


RecoveryDocument = (
    DoctorOutput | StatusOutput | VersionsOutput | BackupOutput | PullOutput | DiffOutput | RecoveryOutput
)

RECOVERY_OUTPUTS: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "doctor": DoctorOutput,
        "status": StatusOutput,
        "versions": VersionsOutput,
        "backup": BackupOutput,
        "pull": PullOutput,
        "diff": DiffOutput,
        "restore": RecoveryOutput,
        "reconcile": RecoveryOutput,
    }
)
"""Which document each command of recovery writes."""
