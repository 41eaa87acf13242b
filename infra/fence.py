"""The fenced upload of an org's object: the commit point of a run, and how a lost answer to it is recognised."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bucket, ObjectInfo, PreconditionFailedError
from events.types import OrgId, is_org_id, parse_org_id
from infra.checksum import crc32c_of_file
from infra.files import disk_errors

DATABASES_PREFIX: Final = "org-data/"
"""Where the org databases are, and nothing else belongs."""

RUN_ID_KEY: Final = "run-id"
PARENT_GENERATION_KEY: Final = "parent-generation"
UPLOAD_TOKEN_KEY: Final = "upload-token"  # noqa: S105 - the name of a metadata key

_DATABASE_SUFFIX: Final = ".db"
_GENERATION_DIGITS_MAX: Final = 19
_NO_FACTS: Final[Mapping[str, str]] = MappingProxyType({})


class _Identity(NamedTuple):
    """What says that a version is the work of one certain upload."""

    token: str | None
    crc32c: str
    size_bytes: int


def object_name(org_id: OrgId) -> str:
    """Return the name of an org's database object; the id is judged again, because a name is made of it."""
    return f"{DATABASES_PREFIX}{parse_org_id(org_id)}{_DATABASE_SUFFIX}"


def org_of_object(name: str) -> OrgId | None:
    """Return the org whose database an object is; None for any other name."""
    text = name.removeprefix(DATABASES_PREFIX).removesuffix(_DATABASE_SUFFIX)
    return OrgId(text) if is_org_id(text) and name == object_name(OrgId(text)) else None


def database_orgs(bucket: Bucket) -> Iterator[OrgId | None]:
    """Yield the org of every object among the databases, None for one that is no org's; raises OrgError BUCKET_*."""
    for info in bucket.list(DATABASES_PREFIX):
        yield org_of_object(info.name)


def orgs_with_database(bucket: Bucket) -> frozenset[OrgId]:
    """Return every org that has a database; raises OrgError BUCKET_*."""
    return frozenset(org_id for org_id in database_orgs(bucket) if org_id is not None)


def parent_generation_of(info: ObjectInfo) -> int | None:
    """Return the generation that an object says it was made from; None where its metadata is not ours."""
    text = info.metadata.get(PARENT_GENERATION_KEY, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _GENERATION_DIGITS_MAX else None


def fenced_upload(
    bucket: Bucket,
    org_id: OrgId,
    file: str,
    *,
    parent_generation: int,
    run_id: str,
    token: str,
    facts: Mapping[str, str] = _NO_FACTS,
) -> ObjectInfo:
    """Make a file the org's live object if that is still at ``parent_generation`` (0: there is none).

    ``token`` is fresh for this attempt. It is what makes an upload recognisable after a lost answer: a run id alone
    proves nothing, because copies and restores keep metadata. ``facts`` are further metadata, for those who look at
    versions; a ``parent-generation`` among them is for an object that was deleted: the version that had been live.
    Raises PreconditionFailedError where another writer was first, else OrgError.
    """
    name = object_name(org_id)
    with disk_errors(org_id):
        ours = _Identity(token, crc32c_of_file(file), Path(file).stat().st_size)
    metadata = {
        PARENT_GENERATION_KEY: str(parent_generation),
        **facts,
        RUN_ID_KEY: run_id,
        UPLOAD_TOKEN_KEY: token,
    }
    try:
        info = bucket.upload(name, file, if_generation_match=parent_generation, metadata=metadata)
    except PreconditionFailedError:
        live = bucket.stat(name)
        if live is None or _identity(live) != ours:
            raise
        return live
    except OrgError as error:
        committed = _find_committed(bucket, name, ours) if error.code is ErrorCode.BUCKET_UNREACHABLE else None
        if committed is None:
            raise
        return committed
    if _identity(info) != ours:
        # The server checked the bytes against our checksum, so this cannot be; if it is, nobody may build on it.
        raise OrgError(ErrorCode.SYNC_FAILED, org_id, f"generation {info.generation} is not what was sent")
    return info


def _identity(info: ObjectInfo) -> _Identity:
    return _Identity(info.metadata.get(UPLOAD_TOKEN_KEY), info.crc32c, info.size_bytes)


def _find_committed(bucket: Bucket, name: str, ours: _Identity) -> ObjectInfo | None:
    """Look whether an upload without an answer took effect; None where it did not, or where nobody can tell."""
    try:
        live = bucket.stat(name)
    except OrgError:
        return None  # the caller raises the first error; the message comes again and finds out
    return live if live is not None and _identity(live) == ours else None
