"""What a run needs of the world, as Protocols with their contracts. Adapters satisfy them structurally.

Errors: an adapter raises ``OrgError`` with a code of ``core.runs.errors`` for everything an operator can act on, and the
small exceptions below where the caller has to decide. File names are absolute paths as ``str``: the core passes them on
and never looks inside.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from core.planning.changes import IssueChanges, ScheduleChanges
from core.planning.snapshot import (
    AnswerChunk,
    CampaignInstance,
    CampaignType,
    ClickChunk,
    ContactChunk,
    EnrolmentChunk,
    IssueChunk,
    ScheduleChunk,
)
from core.runs.change_ports import ChangeStore
from core.runs.checkpoint import Checkpoint, CheckpointMark
from core.runs.item_ports import ItemStore
from events.types import EventKey, OrgId

# ------------------------------------------------------------------------------------------------ bucket


class PreconditionFailedError(Exception):
    """The object is not at the generation that the caller named: somebody else wrote it, or an answer was lost."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of one object, as the bucket describes it."""

    name: str
    generation: int
    """Positive; grows with every write of the name, also after a delete."""
    size_bytes: int
    crc32c: str
    """base64 of the big-endian CRC32C of the content, as Cloud Storage writes it."""
    updated: datetime
    """Server time, aware, UTC."""
    metadata: Mapping[str, str]


class Bucket(Protocol):
    """Object storage with generations, versions and preconditions; safe to share between threads and processes.

    Every write carries ``if_generation_match``: 0 means "only if there is no live object". A write whose precondition
    does not hold raises PreconditionFailedError and changes nothing. A write either happens whole or not at all, but its
    answer may be lost: then the caller gets an error although the object changed. Other faults raise OrgError with
    BUCKET_UNREACHABLE (worth a retry), BUCKET_REFUSED (credentials, permissions) or DISK_FULL.
    """

    def stat(self, name: str) -> ObjectInfo | None:
        """Describe the live version, None where there is none."""
        ...

    def download(self, name: str, generation: int, file: str) -> None:
        """Write that version's content to ``file``, which must not exist yet; removes it again on any failure.

        The bytes are not trusted: the caller checks size and crc32c. OrgError OBJECT_MISSING where that version is gone.
        """
        ...

    def resume_download(self, name: str, generation: int, file: str, *, size_bytes: int) -> None:
        """Append to ``file`` what it lacks of that version's ``size_bytes``, in one ranged request; a missing file is made.

        What arrived stays there, also on a failure. Nobody checks a range: the caller checks size and crc32c of the
        whole. Raises as ``download``, and DOWNLOAD_CORRUPT where the file cannot be the beginning of that version.
        """
        ...

    def upload(self, name: str, file: str, *, if_generation_match: int, metadata: Mapping[str, str]) -> ObjectInfo:
        """Make a file's content the live version; crc32c is checked by the server."""
        ...

    def read(self, name: str, *, max_bytes: int) -> tuple[bytes, ObjectInfo] | None:
        """Return a small live object with its description, None where there is none.

        Raises OrgError DOWNLOAD_CORRUPT where it is larger than ``max_bytes`` or does not match its crc32c.
        """
        ...

    def write(
        self, name: str, content: bytes, *, if_generation_match: int | None, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        """Write a small object; None as precondition only for objects that have one writer or where the last one wins."""
        ...

    def delete(self, name: str, *, if_generation_match: int) -> None:
        """Delete the live version (it stays as a noncurrent version); a missing object raises PreconditionFailedError."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the live objects under a prefix, by name, page by page."""
        ...

    def versions(self, name: str) -> Sequence[ObjectInfo]:
        """Return all versions of a name, live and noncurrent, oldest first."""
        ...

    def versioning_enabled(self) -> bool:
        """Whether replaced and deleted versions are kept."""
        ...


# ------------------------------------------------------------------------------------------------ sync


@dataclass(slots=True)
class Transfer:
    """What one run moved and asked for; every part of a run adds to the same account."""

    bytes_down: int = 0
    bytes_up: int = 0
    requests_class_a: int = 0
    requests_class_b: int = 0
    requests_free: int = 0
    pages_changed: int = 0


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """One org's database on this machine, private to one run; ``generation`` is what it was made from (0: a new org)."""

    org_id: OrgId
    file: str
    generation: int
    object_replaced: bool
    """The object's metadata does not name the generation before it: somebody outside replaced it (restore, upload)."""
    lock: int | None = None
    """A descriptor that says the org's files are in use: another process that writes them keeps it open, too."""


Admit = Callable[[int], None]
"""Waits until a run of an object of so many bytes may begin; a second call does nothing. Raises OrgError."""


class Uploaded(NamedTuple):
    """The committed object."""

    generation: int
    size_bytes: int


# ------------------------------------------------------------------------------------------------ the org database


class ConfigRow(NamedTuple):
    """One row of ``config_versions`` (R8)."""

    config_id: int
    config_data: str
    valid_from: str
    valid_to: str | None
    created_at: str | None = None
    created_by: str | None = None
    note: str | None = None


class StoredRun(NamedTuple):
    """The record of a committed run: its id and the completion that it published, as JSON (repeated on redelivery)."""

    run_id: str
    completion_json: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """All that one run writes (room 8)."""

    schedule: ScheduleChanges
    issues: IssueChanges
    checkpoint: Checkpoint
    run: StoredRun
    event_keys: tuple[EventKey, ...]
    change_log_ids: tuple[int, ...] = field(default=())
    """Rows of campaign_change_log that this run answers (R58)."""
    parked_before: str | None = None
    """Parked items of before this moment (UTC) have waited in vain, and go."""


class OrgDatabase(ChangeStore, ItemStore, Protocol):
    """One org's database file, private to its user. Chunks are yielded in any order; each method opens and closes the file.

    Raises OrgError: DATABASE_BUSY (after retries of 1, 2, 4 s), DATABASE_CORRUPT, DISK_FULL, SCHEMA_NOT_UNDERSTOOD.
    """

    def migrate(self) -> bool:
        """Create missing tables, columns and indexes; says whether anything was changed. Extra ones are kept (R8, R9)."""
        ...

    def config_rows(self) -> Sequence[ConfigRow]:
        """All configuration versions."""
        ...

    def last_checkpoint(self) -> CheckpointMark | None:
        """The newest checkpoint, None before the first run."""
        ...

    def runs_of_events(self, keys: Sequence[EventKey]) -> Mapping[EventKey, StoredRun]:
        """Those of the events that committed runs have carried, with the run of each."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Make all chunks that are taken inside the block parts of one state; nothing else may be asked for there."""
        ...

    def contact_chunks(self) -> Iterator[ContactChunk]:
        """All rows of contacts."""
        ...

    def schedule_chunks(self) -> Iterator[ScheduleChunk]:
        """All rows of email_schedules, owned and locked."""
        ...

    def issue_chunks(self) -> Iterator[IssueChunk]:
        """All rows of scheduler_issues."""
        ...

    def campaign_types(self) -> Sequence[CampaignType]:
        """All rows of campaign_types."""
        ...

    def campaign_instances(self) -> Sequence[CampaignInstance]:
        """All rows of campaign_instances."""
        ...

    def enrolment_chunks(self) -> Iterator[EnrolmentChunk]:
        """Rows of contact_campaigns with status pending or scheduled."""
        ...

    def click_chunks(self, since: str) -> Iterator[ClickChunk]:
        """Rows of tracking_clicks with clicked_at >= since (text order, YYYY-MM-DD), or behind white space."""
        ...

    def answer_chunks(self, since: str) -> Iterator[AnswerChunk]:
        """Rows of contact_events with event_type eligibility_answered and created_at likewise."""
        ...

    def open_change_log_ids(self) -> Sequence[int]:
        """All rows of campaign_change_log that no run has answered yet (R58)."""
        ...

    def write(self, commit: Commit) -> tuple[str, ...]:
        """Write a run's changes: rows, issues, checkpoint, run record, event ids; prunes what is past its keep.

        Returns warnings, as codes: the run stands, but an operator should look.
        """
        ...

    def close(self) -> None:
        """Leave the file complete in itself: WAL checkpointed, no sidecar with content."""
        ...


class OrgStore(Protocol):
    """Opens org databases by file name."""

    def open(self, file: str, org_id: OrgId | None) -> OrgDatabase:
        """Return the database in ``file``; nothing is read yet."""
        ...


# ------------------------------------------------------------------------------------------------ bus, clock, log


class Message(NamedTuple):
    """An outgoing CloudEvent in the Pub/Sub binary binding."""

    topic: str
    attributes: Mapping[str, str]
    data: bytes


class Bus(Protocol):
    """Publishes; at least once."""

    def publish(self, message: Message) -> None:
        """Return only when the bus has the message for good; raises OrgError BUS_UNREACHABLE after bounded retries."""
        ...

    def publish_many(self, messages: Sequence[Message]) -> None:
        """Return only when the bus has all of them; raises as ``publish`` does, and then any part may have arrived."""
        ...


class Clock(Protocol):
    """The only source of time."""

    def now_utc(self) -> datetime:
        """The current moment, aware, UTC."""
        ...

    def local_now(self, timezone: str) -> datetime:
        """The current naive local time of an IANA time zone."""
        ...

    def local_time(self, moment: datetime, timezone: str) -> datetime:
        """An aware moment as the naive local time of an IANA time zone."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def is_timezone(self, name: str) -> bool:
        """Whether an IANA time zone of that name is known."""
        ...


class Journal(Protocol):
    """Where a run says what it is doing: one record per step, ids and codes only."""

    def info(self, event: str, **facts: object) -> None:
        """Record a step of the normal sequence."""
        ...

    def warning(self, event: str, **facts: object) -> None:
        """Record something an operator should look at; the run goes on."""
        ...

    def error(self, event: str, **facts: object) -> None:
        """Record a failure."""
        ...
