"""Every way in which a run can fail: one table of codes, and one exception that carries the code and the facts."""

import traceback
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Answer = Literal["reject", "fail", "retry"]
"""``reject``: the message is bad for good. ``fail``: the org is at fault. ``retry``: come again, nothing is lost."""


class ErrorCode(StrEnum):
    """The closed list of error codes; logs, events and exit messages use these words."""

    OBJECT_MISSING = "object_missing"
    AS_OF_REFUSED = "as_of_refused"
    NOT_SQLITE = "not_sqlite"
    DATABASE_CORRUPT = "database_corrupt"
    SCHEMA_NOT_UNDERSTOOD = "schema_not_understood"
    CONFIG_INVALID = "config_invalid"
    CONFIG_MISSING = "config_missing"
    CONTACT_MISSING = "contact_missing"
    CHECK_FAILED = "check_failed"
    CONSERVATION_FAILED = "conservation_failed"
    SCHEDULER_FAILED = "scheduler_failed"
    BUCKET_UNREACHABLE = "bucket_unreachable"
    BUCKET_REFUSED = "bucket_refused"
    BUS_UNREACHABLE = "bus_unreachable"
    DOWNLOAD_CORRUPT = "download_corrupt"
    SYNC_FAILED = "sync_failed"
    DISK_FULL = "disk_full"
    DATABASE_BUSY = "database_busy"
    FENCE_LOST = "fence_lost"
    LEASE_BUSY = "lease_busy"
    WAITERS_FULL = "waiters_full"
    DRAINING = "draining"
    FILE_CHANGED = "file_changed"
    FILE_MISSING = "file_missing"
    SETTINGS_INVALID = "settings_invalid"
    KEYFILE_MISSING = "keyfile_missing"
    KEYFILE_INVALID = "keyfile_invalid"
    RSYNC_MISSING = "rsync_missing"
    VERSIONING_OFF = "versioning_off"
    GENERATION_MISSING = "generation_missing"
    BACKUP_EXISTS = "backup_exists"
    PLANNER_LOST = "planner_lost"
    ORG_TOO_LARGE = "org_too_large"
    HOLDS_UNREADABLE = "holds_unreadable"
    TOO_MANY_HOLDS = "too_many_holds"


class ErrorSpec(NamedTuple):
    """What follows from a code: the answer to the sender, and what an operator should do next."""

    answer: Answer
    hint: str


ERRORS: Final[Mapping[ErrorCode, ErrorSpec]] = MappingProxyType(
    {
        ErrorCode.OBJECT_MISSING: ErrorSpec(
            "reject", "upload org-data/<org>.db to the bucket, or send run.requested with create: true for a new org"
        ),
        ErrorCode.AS_OF_REFUSED: ErrorSpec(
            "reject", "send the run without as_of, with one within a day of the org's own date, or with force"
        ),
        ErrorCode.NOT_SQLITE: ErrorSpec(
            "fail", "restore an earlier version of org-data/<org>.db; this one is no SQLite file"
        ),
        ErrorCode.DATABASE_CORRUPT: ErrorSpec(
            "fail", "restore an earlier version of org-data/<org>.db; PRAGMA quick_check names the damage"
        ),
        ErrorCode.SCHEMA_NOT_UNDERSTOOD: ErrorSpec(
            "fail", "bring the named table to the documented schema; docs/schema.md has the contract"
        ),
        ErrorCode.CONFIG_INVALID: ErrorSpec("fail", "correct the named key; nothing was written"),
        ErrorCode.CONFIG_MISSING: ErrorSpec(
            "reject", "name the id of an earlier row; `emailsched config history <org>` lists them"
        ),
        ErrorCode.CONTACT_MISSING: ErrorSpec("reject", "name the id of a row of contacts in the org's database"),
        ErrorCode.CHECK_FAILED: ErrorSpec(
            "fail",
            "do not send; the planner and the independent checker disagree on the named row: report it with the run id",
        ),
        ErrorCode.CONSERVATION_FAILED: ErrorSpec(
            "fail", "do not send; the run's candidates do not add up: report it with the run id"
        ),
        ErrorCode.SCHEDULER_FAILED: ErrorSpec(
            "retry", "nothing was written and the message comes again; report the place named in detail"
        ),
        ErrorCode.BUCKET_UNREACHABLE: ErrorSpec(
            "retry", "check GCS_BUCKET_NAME, the network and the status of Cloud Storage"
        ),
        ErrorCode.BUCKET_REFUSED: ErrorSpec(
            "retry", "grant the service account roles/storage.objectAdmin on the bucket, and check GCS_KEYFILE_JSON"
        ),
        ErrorCode.BUS_UNREACHABLE: ErrorSpec("retry", "check PUBSUB_PROJECT, COMPLETION_TOPIC and the network"),
        ErrorCode.DOWNLOAD_CORRUPT: ErrorSpec("retry", "the bytes did not match their crc32c; they are fetched again"),
        ErrorCode.SYNC_FAILED: ErrorSpec(
            "retry", "sqlite3_rsync did not finish; if it repeats, delete the org's folder in DATA_DIR"
        ),
        ErrorCode.DISK_FULL: ErrorSpec(
            "retry", "free space in DATA_DIR or enlarge its volume; about four times the database is needed"
        ),
        ErrorCode.DATABASE_BUSY: ErrorSpec(
            "retry", "another process has the database locked; stop it or try again later"
        ),
        ErrorCode.FENCE_LOST: ErrorSpec(
            "retry", "another writer keeps replacing the object; find it in the bucket's access log"
        ),
        ErrorCode.LEASE_BUSY: ErrorSpec("retry", "another machine is running this org; wait for it"),
        ErrorCode.WAITERS_FULL: ErrorSpec("retry", "too many messages wait; add machines or raise MAX_WAITERS"),
        ErrorCode.DRAINING: ErrorSpec("retry", "this machine is stopping; the message goes to another"),
        ErrorCode.FILE_CHANGED: ErrorSpec(
            "retry", "somebody wrote to the file during the run; stop them and run again"
        ),
        ErrorCode.FILE_MISSING: ErrorSpec("reject", "check the path: an existing file or an org id is expected"),
        ErrorCode.SETTINGS_INVALID: ErrorSpec("reject", "correct the named environment variable and start again"),
        ErrorCode.KEYFILE_MISSING: ErrorSpec(
            "reject",
            "set GCS_KEYFILE_JSON to the text of the service account's key, or provide application default credentials",
        ),
        ErrorCode.KEYFILE_INVALID: ErrorSpec(
            "reject", "GCS_KEYFILE_JSON is no service account key; paste the key file's whole text"
        ),
        ErrorCode.RSYNC_MISSING: ErrorSpec(
            "reject", "install the apsw wheel with its sqlite3_rsync, or put sqlite3_rsync on PATH"
        ),
        ErrorCode.VERSIONING_OFF: ErrorSpec(
            "reject",
            "turn Object Versioning on for the bucket, or set ALLOW_UNVERSIONED_BUCKET=1 and accept no way back",
        ),
        ErrorCode.GENERATION_MISSING: ErrorSpec("reject", "name one that `emailsched versions <org>` lists"),
        ErrorCode.PLANNER_LOST: ErrorSpec(
            "retry",
            "the process that planned the org ended; signal 9 means that memory ran out: lower RUN_SLOTS or add some",
        ),
        ErrorCode.ORG_TOO_LARGE: ErrorSpec(
            "fail", "send this org's events to a larger machine, or raise the limit named if the machine bears it"
        ),
        ErrorCode.HOLDS_UNREADABLE: ErrorSpec(
            "retry", "delete org-control/holds.json or restore an earlier version; until then nothing is planned"
        ),
        ErrorCode.TOO_MANY_HOLDS: ErrorSpec("reject", "release some, or hold all orgs with `emailsched hold --all`"),
        ErrorCode.BACKUP_EXISTS: ErrorSpec("retry", "a backup of this second exists, and none is ever replaced"),
    }
)


class OrgError(Exception):
    """A run failed: what, for which org, why, and (by the code) what to do and whether to try again.

    ``detail`` holds ids, codes, column and key names only, never personal data: it goes into logs and events.
    """

    def __init__(self, code: ErrorCode, org_id: str | None = None, detail: str = "") -> None:
        self.code = code
        self.org_id = org_id
        self.detail = detail
        super().__init__(f"{code.value}: {detail}" if detail else code.value)

    @property
    def answer(self) -> Answer:
        """What the sender of the message is told."""
        return ERRORS[self.code].answer

    @property
    def retryable(self) -> bool:
        """Whether the same message may succeed later without anybody changing anything."""
        return self.answer == "retry"

    @property
    def hint(self) -> str:
        """What the operator should do next."""
        return ERRORS[self.code].hint.replace("<org>", self.org_id or "<org>")


def unforeseen(error: BaseException, org_id: str | None = None) -> OrgError:
    """Turn an exception that nobody foresaw into one that may be shown: its text may hold data of a contact.

    What is left is its type and its place.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return OrgError(ErrorCode.SCHEDULER_FAILED, org_id, f"{type(error).__name__}{place}")
