"""All orgs at a glance: who failed, who has been silent, and since when, without a series per org."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from core.runs.org_status import OrgStatus
from core.runs.ports import Transfer
from infra.fleet import Fleet, look_at_fleet
from infra.memory_bucket import MemoryBucket
from infra.status_board import BucketStatusBoard
from tests.machines import Machine, put_org

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def database(bucket: MemoryBucket, org: str) -> None:
    bucket.write(f"org-data/{org}.db", b"x", if_generation_match=0, metadata={})


def status(bucket: MemoryBucket, org: str, *, hours_ago: float | None, outcome: str = "completed") -> None:
    nothing = dict.fromkeys(OrgStatus.__struct_fields__)
    completed = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    known = {"org_id": org, "at": NOW, "outcome": outcome, "warnings": (), "last_completed_at": completed}
    BucketStatusBoard(bucket).post(msgspec.convert({**nothing, **known}, OrgStatus), Transfer())


def test_an_empty_bucket_has_no_orgs() -> None:
    assert look_at_fleet(MemoryBucket(), NOW) == Fleet(0, 0, 0, None)


def test_failed_and_silent_orgs_are_counted_and_the_oldest_age_is_told() -> None:
    bucket = MemoryBucket()
    for org in ("fresh", "late", "failed", "never", "unread"):
        database(bucket, org)
    status(bucket, "fresh", hours_ago=2)
    status(bucket, "late", hours_ago=30)
    status(bucket, "failed", hours_ago=3, outcome="failed")
    status(bucket, "never", hours_ago=None, outcome="rejected")
    status(bucket, "gone", hours_ago=900)  # no database any more: nobody waits for it
    assert look_at_fleet(bucket, NOW) == Fleet(orgs=5, failed=2, silent=3, oldest_age_seconds=30 * 3600.0)
    assert bucket.requests["list"] == 2
    assert bucket.requests["read"] == 0


def test_what_another_release_wrote_is_no_error() -> None:
    bucket = MemoryBucket()
    database(bucket, "acme")
    bucket.write("org-status/acme.json", b"{}", if_generation_match=0, metadata={"lastcompletedat": "yesterday"})
    bucket.write("org-status/not an org.json", b"{}", if_generation_match=0, metadata={})
    assert look_at_fleet(bucket, NOW) == Fleet(orgs=1, failed=0, silent=1, oldest_age_seconds=None)


def test_a_run_leaves_what_the_glance_needs(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    put_org(bucket, tmp_path)
    machine = Machine(tmp_path, bucket)
    assert machine.run("one").outcome == "done"
    fleet = look_at_fleet(bucket, machine.clock.now_utc() + timedelta(hours=1))
    assert fleet == Fleet(orgs=1, failed=0, silent=0, oldest_age_seconds=3600.0)
