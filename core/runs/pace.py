"""When the next run of an org should begin, and when its upload may: every upload is a version of the whole object.

Uploads of one object start at least a second apart, because a bucket takes no more. So a burst of data waits that second
and goes up together; and where the object is large it waits longer, in proportion to what a version costs.
"""

import threading
from collections.abc import Callable
from typing import Final

from core.runs.ports import Clock
from events.types import OrgId

LINGER_BYTES_PER_SECOND: Final = 10_000_000
"""A second of waiting for each second that the upload takes at 80 Mbit/s: 1.2 GB are worth two minutes."""


def no_size(_org_id: OrgId) -> int:
    """Know no object's size."""
    return 0


class Pace:
    """Safe between threads. The defaults hold nobody up: for one run in a process of its own.

    ``size_of`` says about how many bytes an org's object has, 0 where that is not known, and asks nobody for it.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        upload_gap_seconds: float = 0.0,
        linger_from_bytes: int = 0,
        linger_seconds_max: float = 0.0,
        size_of: Callable[[OrgId], int] = no_size,
    ) -> None:
        self._clock = clock
        self._upload_gap_seconds = upload_gap_seconds
        self._linger_from_bytes = linger_from_bytes
        self._linger_seconds_max = linger_seconds_max
        self._size_of = size_of
        self._lock = threading.Lock()
        self._next_upload: dict[OrgId, float] = {}

    def linger_seconds(self, org_id: OrgId) -> float:
        """Return how long the first event of a burst waits for others."""
        if not self._linger_seconds_max:
            return 0.0
        size_bytes = self._size_of(org_id)
        if size_bytes < self._linger_from_bytes:
            return 0.0
        return min(self._linger_seconds_max, size_bytes / LINGER_BYTES_PER_SECOND)

    def next_upload_at(self, org_id: OrgId) -> float:
        """Return the monotonic moment from which the org's object may be uploaded again."""
        with self._lock:
            return self._next_upload.get(org_id, 0.0)

    def before_upload(self, org_id: OrgId) -> None:
        """Wait for the org's turn and take it; the org has one run at a time, so nobody else takes it meanwhile."""
        now = self._clock.monotonic()
        wait = self.next_upload_at(org_id) - now
        if wait > 0:
            self._clock.sleep(wait)
        with self._lock:
            now = self._clock.monotonic()
            self._next_upload = {org: at for org, at in self._next_upload.items() if at > now}
            if self._upload_gap_seconds:
                self._next_upload[org_id] = now + self._upload_gap_seconds
