"""The StatusBoard on a bucket: one small object per org."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import msgspec

from core.runs.errors import ErrorCode, OrgError
from core.runs.org_status import OrgStatus
from core.runs.ports import Bucket, ObjectInfo, Transfer
from events.payloads import RequestCounts
from events.types import OrgId, is_org_id, parse_org_id
from infra.counted_bucket import CountedBucket
from infra.fence import object_name, orgs_with_database

PREFIX: Final = "org-status/"
SIZE_BYTES_MAX: Final = 64 * 1024
"""A status has about 1 KB."""
ORGS_MAX: Final = 10_000
"""Statuses that are read for a list."""

OUTCOME_KEY: Final = "outcome"
COMPLETED_KEY: Final = "lastcompletedat"
"""Metadata of a status object: RFC 3339, absent where it is not known that a run ever completed."""

_SUFFIX: Final = ".json"
_READERS: Final = 8


class BucketStatusBoard:
    """See the port."""

    cost: Final = RequestCounts(a=1, b=0)

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, org_id: OrgId) -> OrgStatus | None:
        """One or two requests; an object that is no status counts as none."""
        try:
            found = self._bucket.read(_name(org_id), max_bytes=SIZE_BYTES_MAX)
            return None if found is None else msgspec.json.decode(found[0], type=OrgStatus)
        except msgspec.MsgspecError:
            return None  # of another release, or nobody's: the next run writes a good one
        except OrgError as error:
            if error.code is not ErrorCode.DOWNLOAD_CORRUPT:
                raise
            return None

    def post(self, status: OrgStatus, transfer: Transfer) -> None:
        """Write whatever is there now: the last one wins."""
        CountedBucket(self._bucket, transfer).write(
            _name(parse_org_id(status.org_id)),
            msgspec.json.encode(status),
            if_generation_match=None,
            metadata=_in_short(status),
        )


def _in_short(status: OrgStatus) -> dict[str, str]:
    """What a listing of all statuses tells, so that nobody has to read each of them."""
    completed_at = status.last_completed_at
    return {OUTCOME_KEY: status.outcome, **({} if completed_at is None else {COMPLETED_KEY: completed_at.isoformat()})}


class StatusLine(NamedTuple):
    """An org, and how it is."""

    org_id: OrgId
    has_database: bool
    status: OrgStatus | None
    """None: no run has written one."""


def read_status(bucket: Bucket, org_id: OrgId) -> StatusLine:
    """Return one org's line; raises OrgError BUCKET_*."""
    has_database = bucket.stat(object_name(org_id)) is not None
    return StatusLine(org_id, has_database, BucketStatusBoard(bucket).read(org_id))


def list_statuses(bucket: Bucket) -> tuple[tuple[StatusLine, ...], int]:
    """Return every org that has a database or a status, by id, and how many were left out; raises OrgError BUCKET_*."""
    databases = orgs_with_database(bucket)
    orgs = sorted(databases.union(org_id for org_id, _ in listed_statuses(bucket)))
    board = BucketStatusBoard(bucket)
    with ThreadPoolExecutor(_READERS) as readers:
        statuses = list(readers.map(board.read, orgs[:ORGS_MAX]))
    lines = (StatusLine(org, org in databases, status) for org, status in zip(orgs[:ORGS_MAX], statuses, strict=True))
    return tuple(lines), len(orgs[ORGS_MAX:])


def list_orgs(bucket: Bucket) -> tuple[tuple[OrgId, ...], int]:
    """Return the orgs that have a database, by id, and how many were left out; raises OrgError BUCKET_*."""
    orgs = sorted(orgs_with_database(bucket))
    return tuple(orgs[:ORGS_MAX]), len(orgs[ORGS_MAX:])


def listed_statuses(bucket: Bucket) -> Iterator[tuple[OrgId, ObjectInfo]]:
    """Yield each org that has a status with the object's description, unread; raises OrgError BUCKET_*."""
    for info in bucket.list(PREFIX):
        text = info.name.removeprefix(PREFIX).removesuffix(_SUFFIX)
        if info.name.endswith(_SUFFIX) and is_org_id(text):
            yield OrgId(text), info


def _name(org_id: OrgId) -> str:
    return f"{PREFIX}{parse_org_id(org_id)}{_SUFFIX}"
