"""A clock that only moves when a test moves it."""

from datetime import UTC, datetime, timedelta

from infra.clock import is_timezone, local_time


class FixedClock:
    """A ``Clock`` that stands still; ``sleep`` and ``advance`` move it."""

    def __init__(self, now: datetime = datetime(2025, 3, 10, 15, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0
        self.slept: list[float] = []

    def advance(self, seconds: float) -> None:
        """Move both the wall clock and the monotonic one."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def now_utc(self) -> datetime:
        return self._now

    def local_now(self, timezone: str) -> datetime:
        return local_time(self._now, timezone)

    def local_time(self, moment: datetime, timezone: str) -> datetime:
        return local_time(moment, timezone)

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def is_timezone(self, name: str) -> bool:
        return is_timezone(name)
