"""Time from the operating system, time zones from the IANA database."""

import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_ZONE_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}")
"""Every IANA name begins with a capital; others (``posixrules``, ``right/UTC``, ``../etc``) never reach a path."""


class SystemClock:
    """The ``Clock`` of the real world."""

    def now_utc(self) -> datetime:
        """Return the current moment, aware, UTC."""
        return datetime.now(UTC)

    def local_now(self, timezone: str) -> datetime:
        """Return the current naive local time of an IANA time zone; raises ValueError for an unknown one."""
        return local_time(self.now_utc(), timezone)

    def local_time(self, moment: datetime, timezone: str) -> datetime:
        """Return an aware moment as the naive local time of an IANA time zone; raises ValueError for an unknown one."""
        return local_time(moment, timezone)

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def is_timezone(self, name: str) -> bool:
        """Whether an IANA time zone of that name is known."""
        return is_timezone(name)


def local_time(moment: datetime, timezone: str) -> datetime:
    """Return an aware moment as the naive wall clock of a time zone; raises ValueError for an unknown one."""
    if not is_timezone(timezone):
        raise ValueError("not an IANA time zone")
    return moment.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)


@lru_cache(maxsize=1024)
def is_timezone(name: str) -> bool:
    """Whether the system's or the packaged time zone database has that name."""
    if _ZONE_NAME.fullmatch(name) is None:
        return False
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; a file that is no zone; a directory such as "America"
        return False
    return True
