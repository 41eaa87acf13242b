"""The ``Bucket`` on Google Cloud Storage, over the JSON API.

One client and one session serve all threads (Google documents its client as safe to share); the connection pool is as
large as the number of threads that may use it. Nothing here survives a fork: make the bucket after it.

Time: a request is silent for at most ``timeout_seconds``, a small operation is retried for ``deadline_seconds`` in all,
a transfer ends after ``transfer_deadline_seconds``; each may take one silent request longer.
"""

import io
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import ObjectInfo, PreconditionFailedError
from infra.bucket_names import check_name
from infra.checksum import crc32c_of_bytes, crc32c_of_file
from infra.gcs_client import BoundedStream, GcsLimits, gcs_client
from infra.gcs_errors import bucket_missing, is_bucket_missing, port_errors
from infra.gcs_lifecycle import LifecycleRule, lifecycle_rules
from infra.settings import Settings

_CONTENT_TYPE: Final = "application/octet-stream"
_LISTED_FIELDS: Final = "nextPageToken,items(name,generation,crc32c,size,updated,metadata)"
_READ_ATTEMPTS_MAX: Final = 3

HURRIED_SECONDS: Final = 10.0
"""Silence and retries of one request that is not worth waiting for."""
HURRIED_TRANSFER_SECONDS: Final = 30.0
"""And of what it moves: 30 MB at 1 MB/s."""

_ONE_REQUEST_BYTES_MAX: Final = 8 * 1024 * 1024
"""The client's own limit (``_MAX_MULTIPART_SIZE``); a larger file becomes a resumable session."""

_SESSIONS_MAX: Final = 3
"""A server may keep less of a chunk than it was sent. The client knows no way on; a new session is one."""

_T = TypeVar("_T")


class GcsBucket:
    """One bucket; the contract is that of ``core.runs.ports.Bucket``."""

    def __init__(self, client: Client, name: str, limits: GcsLimits | None = None) -> None:
        self._client = client
        self._bucket = client.bucket(name)
        self._limits = limits or GcsLimits()

    @classmethod
    def connect(cls, settings: Settings, limits: GcsLimits | None = None) -> "GcsBucket":
        """Make the client that the settings ask for; no request is sent yet.

        Raises OrgError SETTINGS_INVALID, KEYFILE_INVALID or KEYFILE_MISSING.
        """
        if settings.gcs_bucket_name is None:
            raise OrgError(ErrorCode.SETTINGS_INVALID, detail="GCS_BUCKET_NAME is not set")
        if limits is None:
            limits = GcsLimits(
                timeout_seconds=settings.bucket_timeout_seconds,
                deadline_seconds=settings.bucket_deadline_seconds,
                transfer_deadline_seconds=settings.run_deadline_seconds,
                connections=settings.max_waiters + settings.run_slots,
            )
        return cls(gcs_client(settings, limits), settings.gcs_bucket_name, limits)

    def hurried(self) -> "GcsBucket":
        """Return the same bucket, over the same connections, with little patience: for what is not worth waiting for."""
        limits = replace(
            self._limits,
            timeout_seconds=min(self._limits.timeout_seconds, HURRIED_SECONDS),
            deadline_seconds=min(self._limits.deadline_seconds, HURRIED_SECONDS),
            transfer_deadline_seconds=min(self._limits.transfer_deadline_seconds, HURRIED_TRANSFER_SECONDS),
        )
        return GcsBucket(self._client, self._bucket.name, limits)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # ------------------------------------------------------------------------------------------------ one object

    def stat(self, name: str) -> ObjectInfo | None:
        """Describe the live version, None where there is none."""
        check_name(name)
        with port_errors("stat", name):
            blob = self._or_none(lambda: self._reloaded(name))
            return None if blob is None else _info(blob)

    def download(self, name: str, generation: int, file: str) -> None:
        """Write one version's stored bytes to a new file; removes it again on any failure. The caller checks them."""
        check_name(name)
        with port_errors("download", name), _new_file(file) as stream:
            if self._or_none(lambda: self._fetch(name, generation, stream)) is None:
                raise _version_missing(name, generation)

    def resume_download(self, name: str, generation: int, file: str, *, size_bytes: int) -> None:
        """Append what a file lacks of one version's stored bytes; what arrived stays. The caller checks the whole."""
        check_name(name)
        with port_errors("download", name), Path(file).open("ab") as stream:
            first = stream.tell()
            if first >= size_bytes:
                return
            if self._or_none(lambda: self._fetch(name, generation, stream, first=first, end=size_bytes)) is None:
                raise _version_missing(name, generation)

    def upload(self, name: str, file: str, *, if_generation_match: int, metadata: Mapping[str, str]) -> ObjectInfo:
        """Make a file's content the live version, if the live generation is the one named.

        A lost answer shows as success where the server tells (an unfinished resumable upload), else as
        PreconditionFailedError: the client asks again, and meets its own object.
        """
        check_name(name)
        with port_errors("upload", name), Path(file).open("rb") as stream:
            size_bytes = os.fstat(stream.fileno()).st_size
            return self._send(
                name,
                stream,
                size_bytes=size_bytes,
                crc32c=crc32c_of_file(file),
                if_generation_match=if_generation_match,
                metadata=metadata,
            )

    def read(self, name: str, *, max_bytes: int) -> tuple[bytes, ObjectInfo] | None:
        """Return a small live object and its description, checked against its crc32c; None where there is none."""
        for _ in range(_READ_ATTEMPTS_MAX):
            info = self.stat(name)
            if info is None:
                return None
            if info.size_bytes > max_bytes:
                detail = f"read {name}: {info.size_bytes} bytes where at most {max_bytes} were expected"
                raise OrgError(ErrorCode.DOWNLOAD_CORRUPT, detail=detail)
            content = self._content(name, info.generation)
            if content is None:
                continue  # replaced between the two requests
            if crc32c_of_bytes(content) != info.crc32c:
                raise OrgError(ErrorCode.DOWNLOAD_CORRUPT, detail=f"read {name}")
            return content, info
        raise OrgError(ErrorCode.BUCKET_UNREACHABLE, detail=f"read {name}: replaced during each of the attempts")

    def write(
        self, name: str, content: bytes, *, if_generation_match: int | None, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        """Write a small object; without a precondition the last writer wins."""
        check_name(name)
        with port_errors("write", name):
            return self._send(
                name,
                io.BytesIO(content),
                size_bytes=len(content),
                crc32c=crc32c_of_bytes(content),
                if_generation_match=if_generation_match,
                metadata=metadata,
            )

    def delete(self, name: str, *, if_generation_match: int) -> None:
        """Delete the live version if it is the one named. A lost answer shows as PreconditionFailedError."""
        check_name(name)
        with port_errors("delete", name):

            def delete() -> bool:
                self._bucket.blob(name).delete(if_generation_match=if_generation_match, **self._call())
                return True

            if self._or_none(delete) is None:
                raise PreconditionFailedError(f"delete {name}: there is no live version")

    # ------------------------------------------------------------------------------------------------ many objects

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the live objects under a prefix, by name, page by page."""
        yield from self._listed("list", prefix, versions=False)

    def versions(self, name: str) -> Sequence[ObjectInfo]:
        """Return all versions of a name, live and noncurrent, oldest first."""
        check_name(name)
        found = (info for info in self._listed("versions", name, versions=True) if info.name == name)
        return sorted(found, key=lambda info: info.generation)

    def versioning_enabled(self) -> bool:
        """Whether replaced and deleted versions are kept."""
        return bool(self._resource().versioning_enabled)

    def lifecycle(self) -> tuple[LifecycleRule, ...]:
        """Return what removes objects by itself; for ``doctor``, so no part of the port."""
        return lifecycle_rules(self._resource().lifecycle_rules)

    # ------------------------------------------------------------------------------------------------ requests

    def _listed(self, operation: str, prefix: str, *, versions: bool) -> Iterator[ObjectInfo]:
        with port_errors(operation, prefix):
            try:
                listed = self._client.list_blobs(
                    self._bucket,
                    prefix=prefix,
                    versions="true" if versions else None,  # the API's spelling; the client would send Python's
                    fields=_LISTED_FIELDS,
                    **self._call(),
                )
                for blob in listed:
                    yield _info(blob)
            except api.NotFound as error:  # a prefix is never missing
                raise bucket_missing(self._bucket.name) from error

    def _resource(self) -> Any:
        """Fetch the bucket's own description."""
        with port_errors("storage.buckets.get (roles/storage.legacyBucketReader has it) on", self._bucket.name):
            bucket = self._or_none(lambda: self._client.get_bucket(self._bucket.name, **self._call()))
            if bucket is None:
                raise bucket_missing(self._bucket.name)
            return bucket

    def _reloaded(self, name: str) -> Any:
        blob = self._bucket.blob(name)
        blob.reload(**self._call())
        return blob

    def _content(self, name: str, generation: int) -> bytes | None:
        buffer = io.BytesIO()
        with port_errors("read", name):
            found = self._or_none(lambda: self._fetch(name, generation, buffer))
            return None if found is None else buffer.getvalue()

    def _fetch(self, name: str, generation: int, stream: BinaryIO, *, first: int = 0, end: int | None = None) -> Any:
        """Get the stored bytes from ``first`` up to ``end``, in one request that is resumed where it breaks.

        ``raw``: a content-encoding is not undone. A range is not checked: what the server names is the checksum of all.
        """
        blob = self._bucket.blob(name, generation=generation)
        bytes_max = math.inf if end is None else end - first
        blob.download_to_file(
            BoundedStream(stream, self._limits.transfer_deadline_seconds, bytes_max),
            start=first or None,
            end=end - 1 if first and end is not None else None,
            raw_download=True,
            checksum=None if first else "crc32c",
            timeout=self._limits.timeout_seconds,
            retry=self._retry(self._limits.transfer_deadline_seconds),
        )
        return blob

    def _send(
        self,
        name: str,
        stream: BinaryIO,
        *,
        size_bytes: int,
        crc32c: str,
        if_generation_match: int | None,
        metadata: Mapping[str, str],
    ) -> ObjectInfo:
        """Upload content and metadata in one request, or in one resumable session if it is large.

        The server checks the crc32c. In a session it is named at the start, and the client's own check is off: that one
        comes after the commit and deletes the live object, whoever wrote it, when it fails.
        """
        blob = self._bucket.blob(name, chunk_size=self._limits.upload_chunk_bytes)
        blob.metadata = dict(metadata)
        is_small = size_bytes <= _ONE_REQUEST_BYTES_MAX
        bounded = BoundedStream(stream, self._limits.transfer_deadline_seconds)

        def upload() -> Any:
            bounded.seek(0)
            blob.upload_from_file(
                bounded,
                size=size_bytes,
                content_type=_CONTENT_TYPE,
                if_generation_match=if_generation_match,
                checksum="crc32c" if is_small else None,
                crc32c_checksum_value=None if is_small else crc32c,
                **self._call(),
            )
            return blob

        for attempt in range(1, _SESSIONS_MAX + 1):
            try:
                if self._or_none(upload) is None:
                    raise PreconditionFailedError(f"upload {name}: its session is gone")
                break
            except GoogleAuthError:  # some are ValueErrors too
                raise
            except ValueError as error:  # the client cannot go on in a chunk of which the server kept only a part
                if attempt == _SESSIONS_MAX:
                    detail = f"upload {name}: {type(error).__name__}"
                    raise OrgError(ErrorCode.BUCKET_UNREACHABLE, detail=detail) from error
        info = _info(blob)
        if (info.size_bytes, info.crc32c) != (size_bytes, crc32c):
            detail = f"upload {name}: the server describes other bytes than were sent"
            raise OrgError(ErrorCode.BUCKET_UNREACHABLE, detail=detail)
        return info

    def _or_none(self, request: Callable[[], _T]) -> _T | None:
        """Run a request about an object: None where it is missing; a missing bucket is an error."""
        try:
            return request()
        except api.NotFound as error:
            if is_bucket_missing(error):
                raise bucket_missing(self._bucket.name) from error
            return None

    def _call(self) -> dict[str, Any]:
        """Arguments that every request has: a timeout, and retries with an end."""
        return {"timeout": self._limits.timeout_seconds, "retry": self._retry(self._limits.deadline_seconds)}

    def _retry(self, deadline_seconds: float) -> Retry:
        delays = {"initial": self._limits.retry_first_seconds, "maximum": self._limits.retry_longest_seconds}
        retry: Retry = DEFAULT_RETRY.with_timeout(deadline_seconds).with_delay(**delays)
        return retry


def _version_missing(name: str, generation: int) -> OrgError:
    missing = FileNotFoundError(f"{name} generation {generation}")
    error = OrgError(ErrorCode.OBJECT_MISSING, detail=str(missing))
    error.__cause__ = missing
    return error


@contextmanager
def _new_file(file: str) -> Iterator[BinaryIO]:
    """Open a file that does not exist yet, and leave none behind if the block fails; raises FileExistsError."""
    path = Path(file)
    with path.open("xb") as stream:
        try:
            yield stream
            stream.flush()  # here, where a full disk is still a failed download
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _info(blob: Any) -> ObjectInfo:
    """Read a description out of a response; raises OrgError where the server left something out.

    The client's own reading of times knows only one of the spellings that RFC 3339 allows, and fails on the others.
    """
    said: Mapping[str, Any] = blob._properties  # noqa: SLF001 - see above
    try:
        return ObjectInfo(
            name=blob.name,
            generation=int(said["generation"]),
            size_bytes=int(said["size"]),
            crc32c=said["crc32c"],
            updated=datetime.fromisoformat(said["updated"]).astimezone(UTC),
            metadata=dict(said.get("metadata") or {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        detail = f"the answer about {blob.name} is incomplete"
        raise OrgError(ErrorCode.BUCKET_UNREACHABLE, detail=detail) from error
