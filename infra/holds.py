"""The holds in the bucket: read by every run, changed by operators. What cannot be read holds everybody: it fails closed."""

from collections.abc import Callable
from typing import Final

import msgspec

from core.runs.errors import ErrorCode, OrgError
from core.runs.holds import HELD_ORGS_MAX, Hold, HoldList
from core.runs.ports import Bucket, ObjectInfo, PreconditionFailedError, Transfer
from events.types import OrgId
from infra.counted_bucket import CountedBucket

OBJECT_NAME: Final = "org-control/holds.json"
SIZE_BYTES_MAX: Final = 8_000_000
"""Of 5 000 holds with the longest texts."""
CHANGE_ATTEMPTS: Final = 5
"""Two operators at once are rare; more than five are a loop."""


class BucketHolds:
    """The ``Holds`` port, and what the commands ``hold`` and ``release`` need."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def is_held(self, org_id: OrgId, transfer: Transfer) -> bool:
        """Whether an org is on hold now; see the port."""
        holds, _ = _read(CountedBucket(self._bucket, transfer))
        return holds.of(org_id) is not None

    def read(self) -> HoldList:
        """Return all holds; raises OrgError HOLDS_UNREADABLE, BUCKET_*."""
        return _read(self._bucket)[0]

    def hold(self, org_id: OrgId | None, hold: Hold) -> tuple[HoldList, bool]:
        """Hold an org, or all of them (None); returns the holds there are now, and whether anything changed."""
        return self._change(lambda holds: holds.with_hold(org_id, hold))

    def release(self, org_id: OrgId | None) -> tuple[HoldList, bool]:
        """Lift the hold of an org, or that of all orgs (None: holds of single orgs stay); returns as ``hold``."""
        return self._change(lambda holds: holds.without_hold(org_id))

    def _change(self, change: Callable[[HoldList], HoldList]) -> tuple[HoldList, bool]:
        """Replace the list by a changed one, whoever else does so; raises OrgError as ``read``, and FENCE_LOST."""
        for _ in range(CHANGE_ATTEMPTS):
            before, info = _read(self._bucket)
            after = change(before)
            if after == before:
                return after, False
            if len(after.orgs) > HELD_ORGS_MAX:
                raise OrgError(ErrorCode.TOO_MANY_HOLDS, None, f"{HELD_ORGS_MAX} orgs are on hold")
            try:
                self._write(after, info)
            except PreconditionFailedError:
                continue
            return after, True
        raise OrgError(ErrorCode.FENCE_LOST, None, OBJECT_NAME)

    def _write(self, holds: HoldList, replaced: ObjectInfo | None) -> None:
        generation = 0 if replaced is None else replaced.generation
        if holds.is_empty:
            self._bucket.delete(OBJECT_NAME, if_generation_match=generation)
        else:
            content = msgspec.json.encode(holds)
            self._bucket.write(OBJECT_NAME, content, if_generation_match=generation, metadata={})


def _read(bucket: Bucket) -> tuple[HoldList, ObjectInfo | None]:
    try:
        found = bucket.read(OBJECT_NAME, max_bytes=SIZE_BYTES_MAX)
        if found is None:
            return HoldList(), None
        return msgspec.json.decode(found[0], type=HoldList), found[1]
    except msgspec.MsgspecError as error:
        raise OrgError(ErrorCode.HOLDS_UNREADABLE, None, "no list of holds") from error
