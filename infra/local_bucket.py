"""The embedded bucket: a directory with generations, versions, metadata and preconditions that hold between processes.

    <root>/<quoted object name>/
        lock                 flock of the writers of this name
        live.json            the live version's description, or a tombstone: THE commit point, replaced by rename
        <generation>.data    content of each version
        <generation>.json    its description

A version belongs to the object when its generation is not above the one in ``live.json``. A crash before the rename of
``live.json`` leaves files above it: readers, who take no lock, ignore them; the next writer of the name removes them.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import ObjectInfo, PreconditionFailedError
from infra.bucket_names import check_name, folder_of, may_be_under
from infra.checksum import CHUNK_BYTES, Crc32c, crc32c_of_bytes
from infra.files import disk_error, sync_folder, write_durably
from infra.locks import LockTimeoutError, locked

LOCK_WAIT_SECONDS: Final = 120.0
"""A writer copies inside its lock; others of the same name wait this long, which is room for tens of gigabytes."""

READ_ATTEMPTS: Final = 10
"""A version that is pruned between two looks of a reader is looked up again."""

_LIVE: Final = "live.json"
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class _Version(msgspec.Struct, frozen=True):
    """What the directory knows of one version."""

    name: str
    generation: int
    size_bytes: int
    crc32c: str
    updated: datetime
    metadata: dict[str, str]
    deleted: bool = False
    """Only in live.json: there is no live version, and this generation was the last one."""

    def info(self) -> ObjectInfo:
        return ObjectInfo(self.name, self.generation, self.size_bytes, self.crc32c, self.updated, dict(self.metadata))


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LocalBucket:
    """The Bucket port on a directory of one machine; safe between threads and processes, crash-safe at every moment.

    ``keep_versions``: how many versions of a name stay, the live one included; None keeps all.
    ``now`` is the server's clock of this bucket.
    """

    def __init__(self, root: str, *, keep_versions: int | None = None, now: Callable[[], datetime] = _utc_now) -> None:
        if keep_versions is not None and keep_versions < 1:
            raise ValueError("keep_versions counts the live version too: at least 1")
        self._root = Path(root).absolute()
        self._keep_versions = keep_versions
        self._now = now
        with _bucket_errors():
            self._root.mkdir(parents=True, exist_ok=True)

    def stat(self, name: str) -> ObjectInfo | None:
        """Describe the live version; one small file is read."""
        with _bucket_errors():
            live = _read_version(self._folder(name) / _LIVE)
        return None if live is None or live.deleted else live.info()

    def download(self, name: str, generation: int, file: str) -> None:
        """Copy a version to a new file; removes the file again on any failure."""
        target = Path(file)
        with _bucket_errors(), self._open_version(name, generation) as source, target.open("xb") as copy:
            try:
                while chunk := source.read(CHUNK_BYTES):
                    copy.write(chunk)
            except BaseException:
                target.unlink(missing_ok=True)
                raise

    def resume_download(self, name: str, generation: int, file: str, *, size_bytes: int) -> None:
        """Append what a file lacks of a version."""
        with _bucket_errors(), self._open_version(name, generation) as source, Path(file).open("ab") as copy:
            source.seek(copy.tell())
            while chunk := source.read(max(0, min(CHUNK_BYTES, size_bytes - source.tell()))):
                copy.write(chunk)

    def upload(self, name: str, file: str, *, if_generation_match: int, metadata: Mapping[str, str]) -> ObjectInfo:
        """Make a file's content the live version."""
        with _bucket_errors(), Path(file).open("rb") as source:
            return self._commit(name, source, if_generation_match, metadata)

    def read(self, name: str, *, max_bytes: int) -> tuple[bytes, ObjectInfo] | None:
        """Return a small live object; raises OrgError DOWNLOAD_CORRUPT where it is larger or its bytes do not match."""
        folder = self._folder(name)
        for _ in range(READ_ATTEMPTS):
            with _bucket_errors():
                live = _read_version(folder / _LIVE)
                if live is None or live.deleted:
                    return None
                try:
                    content = (folder / f"{live.generation}.data").read_bytes() if live.size_bytes <= max_bytes else b""
                except FileNotFoundError:  # replaced and pruned since live.json was read
                    continue
            if len(content) != live.size_bytes or crc32c_of_bytes(content) != live.crc32c:
                raise OrgError(ErrorCode.DOWNLOAD_CORRUPT, None, f"generation {live.generation}")
            return content, live.info()
        raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "the object is replaced all the time")

    def write(
        self, name: str, content: bytes, *, if_generation_match: int | None, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        """Write a small object."""
        with _bucket_errors():
            return self._commit(name, BytesIO(content), if_generation_match, metadata)

    def delete(self, name: str, *, if_generation_match: int) -> None:
        """Leave a tombstone; the version stays and the next one has a higher generation."""
        folder = self._folder(name)
        if not folder.is_dir():
            raise PreconditionFailedError(name)
        with _bucket_errors(), locked(folder / "lock", wait_seconds=LOCK_WAIT_SECONDS):
            live = _read_version(folder / _LIVE)
            if live is None or live.deleted or live.generation != if_generation_match:
                raise PreconditionFailedError(name)
            write_durably(folder / _LIVE, msgspec.json.encode(msgspec.structs.replace(live, deleted=True)))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the live objects under a prefix, by name."""
        with _bucket_errors():
            folders = [folder for folder in self._root.iterdir() if may_be_under(folder.name, prefix)]
            found = [
                live for folder in folders if (live := _read_version(folder / _LIVE)) is not None and not live.deleted
            ]
        yield from (live.info() for live in sorted(found, key=lambda live: live.name) if live.name.startswith(prefix))

    def versions(self, name: str) -> Sequence[ObjectInfo]:
        """Return all versions, oldest first."""
        folder = self._folder(name)
        with _bucket_errors():
            live = _read_version(folder / _LIVE)
            if live is None:
                return ()
            generations = [generation for generation in _generations(folder, ".json") if generation <= live.generation]
            found = [_read_version(folder / f"{generation}.json") for generation in sorted(generations)]
        return tuple(version.info() for version in found if version is not None)

    def versioning_enabled(self) -> bool:
        """Whether there is a version to go back to."""
        return self._keep_versions is None or self._keep_versions > 1

    def _folder(self, name: str) -> Path:
        return self._root / folder_of(name)

    def _open_version(self, name: str, generation: int) -> BinaryIO:
        """Open the content of a version that belongs to the object; raises OrgError OBJECT_MISSING."""
        folder = self._folder(name)
        live = _read_version(folder / _LIVE)
        if live is None or generation > live.generation or not (folder / f"{generation}.json").exists():
            raise OrgError(ErrorCode.OBJECT_MISSING, None, f"generation {generation}")
        try:
            return (folder / f"{generation}.data").open("rb")
        except FileNotFoundError:
            raise OrgError(ErrorCode.OBJECT_MISSING, None, f"generation {generation}") from None

    def _commit(
        self, name: str, source: BinaryIO, if_generation_match: int | None, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        check_name(name)
        folder = self._folder(name)
        folder.mkdir(exist_ok=True)
        with locked(folder / "lock", wait_seconds=LOCK_WAIT_SECONDS):
            live = _read_version(folder / _LIVE)
            current = 0 if live is None or live.deleted else live.generation
            if if_generation_match is not None and if_generation_match != current:
                raise PreconditionFailedError(name)
            last = 0 if live is None else live.generation
            self._remove_leftovers(folder, last)
            now = self._now()
            # Microseconds like Cloud Storage's, and above the last one whatever the clock does.
            generation = max(last + 1, int(now.timestamp() * 1_000_000))
            size_bytes, crc32c = _write_content(folder / f"{generation}.data", source)
            version = _Version(name, generation, size_bytes, crc32c, now, dict(metadata))
            encoded = msgspec.json.encode(version)
            write_durably(folder / f"{generation}.json", encoded)
            if last == 0:
                sync_folder(self._root)
            write_durably(folder / _LIVE, encoded)
            self._prune(folder)
            return version.info()

    def _remove_leftovers(self, folder: Path, last: int) -> None:
        """Remove what a crashed writer left: temporaries, versions above the live one, undescribed content."""
        described = _generations(folder, ".json")
        for generation in described | _generations(folder, ".data"):
            if generation > last or generation not in described:
                (folder / f"{generation}.json").unlink(missing_ok=True)
                (folder / f"{generation}.data").unlink(missing_ok=True)
        for temporary in folder.glob("*.tmp"):
            temporary.unlink(missing_ok=True)

    def _prune(self, folder: Path) -> None:
        if self._keep_versions is None:
            return
        for generation in sorted(_generations(folder, ".json"))[: -self._keep_versions]:
            (folder / f"{generation}.json").unlink(missing_ok=True)
            (folder / f"{generation}.data").unlink(missing_ok=True)


def _generations(folder: Path, suffix: str) -> set[int]:
    names = os.listdir(folder)  # noqa: PTH208 - one call for thousands of versions
    return {int(stem) for name in names if name.endswith(suffix) and (stem := name.removesuffix(suffix)).isdecimal()}


def _read_version(file: Path) -> _Version | None:
    """Return a description, None where there is no such file."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Version)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, f"{file.name} of the embedded bucket is damaged") from error


def _write_content(target: Path, source: BinaryIO) -> tuple[int, str]:
    """Copy to a name that no reader looks at yet, durably; returns size in bytes and crc32c of what was written."""
    checksum = Crc32c()
    size_bytes = 0
    with target.open("wb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            copy.write(chunk)
            checksum.update(chunk)
            size_bytes += len(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    return size_bytes, checksum.base64()


@contextmanager
def _bucket_errors() -> Iterator[None]:
    """Speak of the directory as callers speak of a bucket: unreachable, refused, full."""
    try:
        yield
    except LockTimeoutError as error:
        raise OrgError(ErrorCode.BUCKET_UNREACHABLE, None, "lock of the embedded bucket") from error
    except OSError as error:
        refused = error.errno in _REFUSED
        raise disk_error(error, None, ErrorCode.BUCKET_REFUSED if refused else ErrorCode.BUCKET_UNREACHABLE) from error
