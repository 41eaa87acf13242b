"""Page deltas over the real Cloud Storage client: the requests that really go out, and how long a commit waits for them."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.runs.holds import Hold
from core.runs.org_status import OrgStatus
from core.runs.ports import Transfer
from events.types import OrgId
from handlers.bootstrap import _page_deltas
from infra import gcs as gcs_module
from infra.delta_chain import DeltaLimits, PageDeltas
from infra.gcs import GcsBucket
from infra.gcs_client import GcsLimits
from infra.holds import BucketHolds
from infra.lease import BucketLease
from infra.local_bucket import LocalBucket
from infra.settings import Settings
from infra.status_board import BucketStatusBoard
from tests.fake_gcs import FakeGcs
from tests.journals import ListJournal
from tests.machines import NOW
from tests.unit.sync_fakes import ACME, NAME, Machine, deleting, make_database, tokens

STATUS = OrgStatus(
    org_id=ACME, at=NOW, outcome="completed", error_code=None, last_completed_at=NOW, run_id="r1", changed=True,
    as_of="2026-03-02", generation=1, counts=None, bytes_down=0, bytes_up=0, requests=None, warnings=(),
)  # fmt: skip
LIMITS = DeltaLimits(object_bytes_min=0)
PATIENT = GcsLimits(timeout_seconds=20, deadline_seconds=20, retry_first_seconds=0.01, retry_longest_seconds=0.05)


@pytest.fixture
def gcs() -> Iterator[FakeGcs]:
    with FakeGcs("bucket") as server:
        yield server


@pytest.fixture
def bucket(gcs: FakeGcs, tmp_path: Path) -> Iterator[GcsBucket]:
    settings = Settings(gcs_bucket_name="bucket", storage_emulator_host=gcs.url)
    with closing(GcsBucket.connect(settings, PATIENT)) as bucket:
        bucket.upload(NAME, str(make_database(tmp_path / "seed", rows=3000)), if_generation_match=0, metadata={})
        yield bucket


WARM = {"insert": 4, "stat": 2, "delete": 1}
"""Lease, object, delta and status; a look at the object and one at the holds; the lease given back."""


@pytest.mark.parametrize("somebody_is_held", [False, True])
@pytest.mark.parametrize(
    ("runs_behind", "more", "requests"), [(0, {}, 7), (1, {"list": 1, "media": 1}, 9), (3, {"list": 1, "media": 3}, 11)]
)
def test_the_requests_of_a_run(
    runs_behind: int,
    more: dict[str, int],
    requests: int,
    bucket: GcsBucket,
    gcs: FakeGcs,
    tmp_path: Path,
    *,
    somebody_is_held: bool,
) -> None:
    """A warm run makes 7, and 8 while some org is on hold; who is behind makes a list and a get for each run it missed."""
    ahead, behind = (Machine(bucket, tmp_path / name, deltas=LIMITS) for name in ("ahead", "behind"))
    behind.look()
    ahead.run(deleting(1))
    behind.look()
    for row in range(2, 2 + runs_behind):
        ahead.run(deleting(row))
    if somebody_is_held:
        BucketHolds(bucket).hold(OrgId("other"), Hold(reason="a look", by="ada", since=NOW))
        requests, more = requests + 1, {**more, "media": more.get("media", 0) + 1}
    lease = BucketLease(bucket, behind.clock, behind.journal, new_token=tokens(), renews=False)
    seen = len(gcs.requests())
    account = Transfer()
    with lease.hold(ACME, until=0, transfer=account):
        assert not BucketHolds(bucket).is_held(ACME, account)
        _, moved = behind.run(deleting(9))
        BucketStatusBoard(bucket).post(STATUS, account)
    made = Counter(gcs.requests()[seen:])
    assert made == Counter(WARM) + Counter(more)
    assert made.total() == requests
    counted = [getattr(t, f"requests_{price}") for t in (account, moved) for price in ("class_a", "class_b", "free")]
    assert sum(counted) == requests  # what the run says of itself
    assert moved.bytes_down < 1000 * runs_behind + 1


def test_a_run_that_changes_nothing_asks_little(bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path) -> None:
    machine = Machine(bucket, tmp_path / "one", deltas=LIMITS)
    machine.look()
    seen = len(gcs.requests())
    _, moved = machine.run(lambda copy: None)
    assert gcs.requests()[seen:] == ["stat"]
    assert (moved.bytes_down, moved.bytes_up) == (0, 0)


def test_a_commit_does_not_wait_long_for_its_delta(
    bucket: GcsBucket, gcs: FakeGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_module, "HURRIED_SECONDS", 0.3)
    monkeypatch.setattr(gcs_module, "HURRIED_TRANSFER_SECONDS", 0.3)
    machine = Machine(bucket, tmp_path / "one")
    machine.sync._deltas = PageDeltas(bucket.hurried(), machine.journal, LIMITS)
    gcs.fail("insert", "stall", times=1000, skip=1)  # the object itself arrives
    started = time.monotonic()
    machine.run(deleting(1))
    assert time.monotonic() - started < 5
    assert len(bucket.versions(NAME)) == 2
    assert "page_delta_not_left" in machine.journal.events()


def test_the_hurried_bucket_is_never_more_patient(bucket: GcsBucket) -> None:
    hurried = bucket.hurried()._limits
    assert (hurried.timeout_seconds, hurried.deadline_seconds, hurried.transfer_deadline_seconds) == (10, 10, 30)
    again = GcsBucket(bucket._client, "bucket", GcsLimits(timeout_seconds=1, deadline_seconds=2)).hurried()._limits
    assert (again.timeout_seconds, again.deadline_seconds) == (1, 2)


def test_who_leaves_deltas(bucket: GcsBucket, tmp_path: Path) -> None:
    journal = ListJournal()
    assert _page_deltas(LocalBucket(str(tmp_path / "bucket")), journal) is None
    wired = _page_deltas(bucket, journal)
    assert wired is not None
    assert isinstance(wired.bucket, GcsBucket)
    assert wired.bucket._limits.deadline_seconds == 10
