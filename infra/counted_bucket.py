"""A bucket that writes down what it is asked, by price class, into the account of a run."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from core.runs.ports import Bucket, ObjectInfo, Transfer


class CountedBucket:
    """The Bucket port around another one; failed requests count too.

    Class A: insert and list; class B: get; free: delete. Bytes are those of databases (upload, download); the few bytes
    of a lease or a status object are requests, not media.
    """

    def __init__(self, bucket: Bucket, transfer: Transfer) -> None:
        self._bucket = bucket
        self._transfer = transfer

    def stat(self, name: str) -> ObjectInfo | None:
        """One request of class B."""
        self._transfer.requests_class_b += 1
        return self._bucket.stat(name)

    def download(self, name: str, generation: int, file: str) -> None:
        """One request of class B, and the bytes that arrived."""
        self._transfer.requests_class_b += 1
        self._bucket.download(name, generation, file)
        self._transfer.bytes_down += Path(file).stat().st_size

    def resume_download(self, name: str, generation: int, file: str, *, size_bytes: int) -> None:
        """One request of class B, and the bytes that arrived, also where it broke off."""
        self._transfer.requests_class_b += 1
        before = _size_of(file)
        try:
            self._bucket.resume_download(name, generation, file, size_bytes=size_bytes)
        finally:
            self._transfer.bytes_down += _size_of(file) - before

    def upload(self, name: str, file: str, *, if_generation_match: int, metadata: Mapping[str, str]) -> ObjectInfo:
        """One request of class A (its chunks do not count), and the bytes that were sent, whatever came of it."""
        self._transfer.requests_class_a += 1
        self._transfer.bytes_up += Path(file).stat().st_size
        return self._bucket.upload(name, file, if_generation_match=if_generation_match, metadata=metadata)

    def read(self, name: str, *, max_bytes: int) -> tuple[bytes, ObjectInfo] | None:
        """One request of class B for the description, and one for the content where there is one."""
        self._transfer.requests_class_b += 1
        found = self._bucket.read(name, max_bytes=max_bytes)
        self._transfer.requests_class_b += found is not None
        return found

    def write(
        self, name: str, content: bytes, *, if_generation_match: int | None, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        """One request of class A."""
        self._transfer.requests_class_a += 1
        return self._bucket.write(name, content, if_generation_match=if_generation_match, metadata=metadata)

    def delete(self, name: str, *, if_generation_match: int) -> None:
        """One free request."""
        self._transfer.requests_free += 1
        self._bucket.delete(name, if_generation_match=if_generation_match)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """One request of class A (more pages than one are not seen from here)."""
        self._transfer.requests_class_a += 1
        return self._bucket.list(prefix)

    def versions(self, name: str) -> Sequence[ObjectInfo]:
        """One request of class A."""
        self._transfer.requests_class_a += 1
        return self._bucket.versions(name)

    def versioning_enabled(self) -> bool:
        """One request of class B."""
        self._transfer.requests_class_b += 1
        return self._bucket.versioning_enabled()


def _size_of(file: str) -> int:
    path = Path(file)
    return path.stat().st_size if path.exists() else 0
