"""The lease: an object that says which machine works on an org. It saves wasted runs; safety is the upload's fence.

All time is the server's. A lease counts from the ``updated`` of its object, and a renewal rewrites the object, so that
a takeover is fenced by the generation it saw. What time it is at the server is known from the last object that this
machine wrote, carried on by the monotonic clock: never ahead of the truth, as the answer came later than the stamp.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Final

import msgspec

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Bucket, Clock, Journal, ObjectInfo, PreconditionFailedError, Transfer
from events.types import OrgId, parse_org_id
from infra.counted_bucket import CountedBucket

HOLDER_KEY: Final = "lease-holder"
SECONDS_KEY: Final = "lease-seconds"

DURATION_SECONDS_MAX: Final = 3600
"""More than this in an object's metadata is not believed."""

SERVER_TIME_SECONDS_MAX: Final = 600.0
"""How long a moment of the server is carried on by the local clock: a clock that is wrong by 1 in 1000 drifts 0.6 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """All in seconds."""

    duration_seconds: int = 60
    """A machine that died blocks its org for this long at most."""
    renew_every_seconds: float = 20.0
    """Two renewals may fail before the lease is lost."""
    poll_seconds: float = 1.0
    """Between two looks at somebody else's lease."""
    join_seconds: float = 30.0
    """How long the end of a block waits for a renewal that is under way."""


class BucketLease:
    """The Lease port on a bucket.

    ``new_token`` returns a text that no other holder ever had. ``renews`` False leaves the renewal thread out: for
    simulations with a clock of their own.
    """

    def __init__(
        self,
        bucket: Bucket,
        clock: Clock,
        journal: Journal,
        *,
        new_token: Callable[[], str],
        times: LeaseTimes | None = None,
        renews: bool = True,
    ) -> None:
        self._bucket = bucket
        self._clock = clock
        self._journal = journal
        self._new_token = new_token
        self._times = times or LeaseTimes()
        self._renews = renews
        self._server_moment: tuple[datetime, float] | None = None

    @contextmanager
    def hold(self, org_id: OrgId, *, until: float, transfer: Transfer) -> Iterator[None]:
        """Wait for the lease, keep it renewed inside the block, give it back; see the port."""
        held = _HeldLease(f"org-lease/{parse_org_id(org_id)}", org_id, self._new_token(), self._times, self._journal)
        bucket = CountedBucket(self._bucket, transfer)
        held.generation = self._acquire(bucket, held, until)
        # The thread has an account of its own: two threads would lose counts in a shared one.
        renewals = Transfer()
        stop = threading.Event()
        thread = threading.Thread(
            target=held.keep_renewed,
            args=(CountedBucket(self._bucket, renewals), stop),
            name=f"lease-{org_id}",
            daemon=True,
        )
        if self._renews:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            if self._renews:
                thread.join(self._times.join_seconds)
                if thread.is_alive():
                    self._journal.warning("lease_renewal_hangs", org_id=org_id)
            held.give_back(bucket)
            transfer.requests_class_a += renewals.requests_class_a
            transfer.requests_class_b += renewals.requests_class_b
            transfer.bytes_up += renewals.bytes_up

    def _acquire(self, bucket: Bucket, held: "_HeldLease", until: float) -> int:
        """Return the generation of our lease; the first try takes one request, each further look one more."""
        live: ObjectInfo | None = None
        for look in count():
            if live is None or self._has_expired(live, bucket):
                ours = held.write(bucket, 0 if live is None else live.generation)
                if ours is not None:
                    self._server_moment = ours.updated, self._clock.monotonic()
                    if live is not None:
                        self._journal.info("lease_taken_over", org_id=held.org_id, generation=live.generation)
                    return ours.generation
            elif look:
                self._clock.sleep(min(self._times.poll_seconds, max(0.0, until - self._clock.monotonic())))
            if look and self._clock.monotonic() >= until:
                break
            live = bucket.stat(held.name)
            if live is not None and held.owns(live):
                return live.generation  # the answer to our own write was lost
        raise OrgError(ErrorCode.LEASE_BUSY, held.org_id)

    def _has_expired(self, live: ObjectInfo, bucket: Bucket) -> bool:
        return self._server_now(bucket, live.name) >= live.updated + timedelta(seconds=self._duration_of(live))

    def _duration_of(self, live: ObjectInfo) -> int:
        text = live.metadata.get(SECONDS_KEY, "")
        seconds = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(DURATION_SECONDS_MAX)) else 0
        return seconds if 0 < seconds <= DURATION_SECONDS_MAX else self._times.duration_seconds

    def _server_now(self, bucket: Bucket, lease_name: str) -> datetime:
        """Return the server's time, or a little less. Asked by a write, because only a write is stamped."""
        now = self._clock.monotonic()
        moment = self._server_moment
        if moment is None or now - moment[1] > SERVER_TIME_SECONDS_MAX:
            stamped = bucket.write(
                lease_name.replace("org-lease/", "org-lease-clock/", 1), b"{}", if_generation_match=None, metadata={}
            )
            now = self._clock.monotonic()
            moment = stamped.updated, now
            self._server_moment = moment
        return moment[0] + timedelta(seconds=now - moment[1])


class _HeldLease:
    """One holding of one lease: who, where, and at which generation."""

    def __init__(self, name: str, org_id: OrgId, token: str, times: LeaseTimes, journal: Journal) -> None:
        self.name = name
        self.org_id = org_id
        self.token = token
        self.generation = 0
        self._times = times
        self._journal = journal

    def write(self, bucket: Bucket, if_generation_match: int) -> ObjectInfo | None:
        """Create, take over or renew; None where somebody else was first."""
        content = {"holder": self.token, "seconds": self._times.duration_seconds}
        metadata = {HOLDER_KEY: self.token, SECONDS_KEY: str(self._times.duration_seconds)}
        try:
            return bucket.write(
                self.name, msgspec.json.encode(content), if_generation_match=if_generation_match, metadata=metadata
            )
        except PreconditionFailedError:
            return None
        except OrgError as error:
            if error.code is not ErrorCode.BUCKET_UNREACHABLE:
                raise
            live = bucket.stat(self.name)
            if live is None or not self.owns(live) or live.generation == if_generation_match:
                raise
            return live  # it was written; only the answer was lost

    def owns(self, live: ObjectInfo) -> bool:
        """Whether a lease object is of this holding."""
        return live.metadata.get(HOLDER_KEY) == self.token

    def keep_renewed(self, bucket: Bucket, stop: threading.Event) -> None:
        """Rewrite the object until told to stop; a failure is logged and tried again at the next beat."""
        while not stop.wait(self._times.renew_every_seconds):
            try:
                if not self.renew(bucket):
                    self._journal.warning("lease_lost", org_id=self.org_id, generation=self.generation)
                    return
            except OrgError as error:
                self._journal.warning("lease_renewal_failed", org_id=self.org_id, code=error.code.value)

    def renew(self, bucket: Bucket) -> bool:
        """Count from now again; False where the lease is somebody else's. A renewal whose answer was lost is found."""
        renewed = self.write(bucket, self.generation)
        if renewed is None:
            live = bucket.stat(self.name)
            renewed = live if live is not None and self.owns(live) else None
        if renewed is None:
            return False
        self.generation = renewed.generation
        return True

    def give_back(self, bucket: Bucket) -> None:
        """Delete our own generation. A failure blocks the org until the lease expires, and nothing worse."""
        try:
            bucket.delete(self.name, if_generation_match=self.generation)
        except PreconditionFailedError:
            self._journal.warning("lease_was_lost", org_id=self.org_id, generation=self.generation)
        except OrgError as error:
            self._journal.warning("lease_not_given_back", org_id=self.org_id, code=error.code.value)
