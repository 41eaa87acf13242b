"""The in-memory twin of the bucket, with a hook around every request where tests put their faults."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Literal, NamedTuple, Protocol

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import ObjectInfo, PreconditionFailedError
from infra.bucket_names import check_name
from infra.checksum import crc32c_of_bytes
from infra.files import disk_errors

RequestKind = Literal["stat", "download", "upload", "read", "write", "delete", "list", "versions"]


class Request(NamedTuple):
    """What is asked of the bucket."""

    kind: RequestKind
    name: str
    """Of the object; the prefix for ``list``."""


class Faults(Protocol):
    """Called around every request; each may raise, sleep on a virtual clock, or write to the bucket as somebody else.

    reset before: raise in ``before``. Reset after commit (a lost answer): raise in ``after``. 412: raise
    PreconditionFailedError in ``before``. Stall: sleep. Corrupt or truncated bytes: return others from ``content``.
    """

    def before(self, request: Request) -> None:
        """Nothing has happened yet."""
        ...

    def after(self, request: Request) -> None:
        """The request took effect; its answer is on the way."""
        ...

    def content(self, request: Request, content: bytes) -> bytes:
        """Return the bytes that arrive: at the server for upload and write, at the caller for download and read."""
        ...


class NoFaults:
    """A bucket that works; the base of hooks that override one method."""

    def before(self, request: Request) -> None:
        """Let it happen."""

    def after(self, request: Request) -> None:
        """Let it be known."""

    def content(self, request: Request, content: bytes) -> bytes:
        """Deliver what was sent."""
        del request
        return content


@dataclass(frozen=True, slots=True)
class _Version:
    info: ObjectInfo
    content: bytes


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryBucket:
    """The Bucket port in one process; deterministic: generations count up over all names, time comes from ``now``.

    ``faults`` may be replaced at any moment. ``requests`` counts what was asked, failed requests included.
    """

    def __init__(
        self, *, now: Callable[[], datetime] = _utc_now, faults: Faults | None = None, versioning: bool = True
    ) -> None:
        self.faults: Faults = faults or NoFaults()
        self.requests: Counter[RequestKind] = Counter()
        self._now = now
        self._versioning = versioning
        self._lock = RLock()
        self._generation = 0
        self._history: dict[str, tuple[_Version, ...]] = {}
        self._live: dict[str, _Version] = {}

    def stat(self, name: str) -> ObjectInfo | None:
        """Describe the live version."""
        with self._request(Request("stat", name)):
            live = self._live.get(name)
        return live.info if live else None

    def download(self, name: str, generation: int, file: str) -> None:
        """Write a version to a new file."""
        request = Request("download", name)
        target = Path(file)
        with self._request(request), disk_errors(None, ErrorCode.BUCKET_UNREACHABLE), target.open("xb") as copy:
            try:
                copy.write(self.faults.content(request, self._version(name, generation).content))
            except BaseException:
                target.unlink(missing_ok=True)
                raise

    def resume_download(self, name: str, generation: int, file: str, *, size_bytes: int) -> None:
        """Append what a file lacks of a version."""
        request = Request("download", name)
        with self._request(request), disk_errors(None, ErrorCode.BUCKET_UNREACHABLE), Path(file).open("ab") as copy:
            rest = self._version(name, generation).content[copy.tell() : size_bytes]
            copy.write(self.faults.content(request, rest))

    def upload(self, name: str, file: str, *, if_generation_match: int, metadata: Mapping[str, str]) -> ObjectInfo:
        """Make a file's content the live version."""
        with disk_errors(None, ErrorCode.BUCKET_UNREACHABLE):
            content = Path(file).read_bytes()
        return self._commit(Request("upload", name), content, if_generation_match, metadata)

    def read(self, name: str, *, max_bytes: int) -> tuple[bytes, ObjectInfo] | None:
        """Return a small live object; raises OrgError DOWNLOAD_CORRUPT where it is larger or its bytes do not match."""
        request = Request("read", name)
        with self._request(request):
            live = self._live.get(name)
        if live is None:
            return None
        content = self.faults.content(request, live.content)
        if len(content) > max_bytes or crc32c_of_bytes(content) != live.info.crc32c:
            raise OrgError(ErrorCode.DOWNLOAD_CORRUPT, None, f"generation {live.info.generation}")
        return content, live.info

    def write(
        self, name: str, content: bytes, *, if_generation_match: int | None, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        """Write a small object."""
        return self._commit(Request("write", name), content, if_generation_match, metadata)

    def delete(self, name: str, *, if_generation_match: int) -> None:
        """Make the live version a noncurrent one."""
        with self._request(Request("delete", name)):
            live = self._live.get(name)
            if live is None or live.info.generation != if_generation_match:
                raise PreconditionFailedError(name)
            del self._live[name]
            if not self._versioning:
                del self._history[name]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the live objects under a prefix, by name."""
        with self._request(Request("list", prefix)):
            names = sorted(name for name in self._live if name.startswith(prefix))
            found = [self._live[name].info for name in names]
        yield from found

    def versions(self, name: str) -> Sequence[ObjectInfo]:
        """Return all versions, oldest first."""
        with self._request(Request("versions", name)):
            return tuple(version.info for version in self._history.get(name, ()))

    def versioning_enabled(self) -> bool:
        """Whether replaced and deleted versions are kept."""
        return self._versioning

    def _version(self, name: str, generation: int) -> _Version:
        for version in self._history.get(name, ()):
            if version.info.generation == generation:
                return version
        raise OrgError(ErrorCode.OBJECT_MISSING, None, f"generation {generation}")

    def _commit(
        self, request: Request, content: bytes, if_generation_match: int | None, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        with self._request(request):
            if crc32c_of_bytes(self.faults.content(request, content)) != crc32c_of_bytes(content):
                raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "the server refused the bytes: crc32c")
            name = request.name
            live = self._live.get(name)
            if if_generation_match is not None and if_generation_match != (live.info.generation if live else 0):
                raise PreconditionFailedError(name)
            self._generation += 1
            checksum = crc32c_of_bytes(content)
            info = ObjectInfo(name, self._generation, len(content), checksum, self._now(), dict(metadata))
            version = _Version(info, content)
            self._history[name] = (*(self._history.get(name, ()) if self._versioning else ()), version)
            self._live[name] = version
            return info

    @contextmanager
    def _request(self, request: Request) -> Iterator[None]:
        """Call the hooks around a request; the lock is held in between, so that requests are atomic."""
        if request.kind != "list":
            check_name(request.name)
        self.requests[request.kind] += 1
        self.faults.before(request)
        with self._lock:
            yield
        self.faults.after(request)
