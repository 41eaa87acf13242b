"""The bucket in memory, with what only an all-knowing observer may ask: contents of any version, bytes per task."""

from collections.abc import Mapping
from pathlib import Path

from core.runs.ports import ObjectInfo
from infra.memory_bucket import MemoryBucket
from tests.simulation.scheduler import Scheduler


class WatchedBucket(MemoryBucket):
    """Counts media bytes for the task that moves them; everything else is the shipped twin."""

    def __init__(self, scheduler: Scheduler, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # as its parent
        self._scheduler = scheduler

    def download(self, name: str, generation: int, file: str) -> None:
        """Count what arrived."""
        super().download(name, generation, file)
        self._count("down", _size_of(file))

    def resume_download(self, name: str, generation: int, file: str, *, size_bytes: int) -> None:
        """Count what arrived, also where it broke off."""
        before = _size_of(file)
        try:
            super().resume_download(name, generation, file, size_bytes=size_bytes)
        finally:
            self._count("down", _size_of(file) - before)

    def upload(self, name: str, file: str, *, if_generation_match: int, metadata: Mapping[str, str]) -> ObjectInfo:
        """Count what is sent, whatever comes of it."""
        self._count("up", _size_of(file))
        return super().upload(name, file, if_generation_match=if_generation_match, metadata=metadata)

    def history(self, name: str) -> tuple[tuple[ObjectInfo, bytes], ...]:
        """All versions with their contents, oldest first; no request."""
        return tuple((version.info, version.content) for version in self._history.get(name, ()))

    def live(self, name: str) -> tuple[ObjectInfo, bytes] | None:
        """The live version; no request."""
        version = self._live.get(name)
        return (version.info, version.content) if version else None

    def _count(self, what: str, size_bytes: int) -> None:
        task = self._scheduler.current
        if task is not None:
            task.facts[what] = task.facts.get(what, 0) + size_bytes


def _size_of(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except FileNotFoundError:
        return 0
