"""org-status/<org>.json after every run: what, when, which generation; and never the reason that a run fails."""

import re
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from core.runs.errors import ErrorCode, OrgError
from core.runs.org_status import OrgStatus
from infra.memory_bucket import MemoryBucket, NoFaults, Request
from infra.status_board import BucketStatusBoard, list_statuses, read_status
from tests.command_line import REPOSITORY
from tests.machines import ACME, NOW, OBJECT, Machine, metadata_of, put_org, requested

NAME = "org-status/acme.json"


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def machine(tmp_path: Path, bucket: MemoryBucket) -> Machine:
    put_org(bucket, tmp_path)
    return Machine(tmp_path, bucket)


def status(bucket: MemoryBucket) -> OrgStatus:
    found = bucket.read(NAME, max_bytes=10_000)
    assert found is not None
    return msgspec.json.decode(found[0], type=OrgStatus)


def test_a_run_says_what_it_did(machine: Machine, bucket: MemoryBucket) -> None:
    completed = machine.run(1).completed
    assert completed is not None
    said = status(bucket)
    assert (said.org_id, said.at, said.outcome, said.error_code) == ("acme", NOW, "completed", None)
    assert (said.run_id, said.changed, said.as_of) == (completed.run_id, True, "2026-03-02")
    assert (said.generation, said.counts) == (completed.generation, completed.counts)
    assert (said.bytes_up, said.requests) == (completed.bytes_up, completed.requests)
    assert said.last_completed_at == NOW


def test_a_run_that_changed_nothing_says_so(machine: Machine, bucket: MemoryBucket) -> None:
    machine.run(1)
    machine.clock.advance(3600)
    machine.run(2)
    said = status(bucket)
    assert (said.changed, said.at, said.last_completed_at) == (
        False,
        NOW + timedelta(hours=1),
        NOW + timedelta(hours=1),
    )


def test_a_repeated_event_is_no_run(machine: Machine, bucket: MemoryBucket) -> None:
    machine.run(1)
    before = bucket.stat(NAME)
    machine.run(1)
    assert bucket.stat(NAME) == before


def test_a_run_that_failed_for_good_says_why_and_when_one_last_did_not(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    machine.run(1)
    machine.clock.advance(3600)
    put_org(bucket, tmp_path, config='{"no_such_key": 1}')
    machine.run(2)
    said = status(bucket)
    assert (said.outcome, said.error_code, said.at) == ("failed", "config_invalid", NOW + timedelta(hours=1))
    assert (said.run_id, said.changed, said.generation, said.counts) == (None, None, None, None)
    assert said.last_completed_at == NOW


def test_a_rejected_run_says_so(machine: Machine, bucket: MemoryBucket) -> None:
    machine.run(1, as_of=date(2027, 1, 1))
    assert (status(bucket).outcome, status(bucket).error_code) == ("rejected", "as_of_refused")
    assert status(bucket).last_completed_at is None


def test_an_org_without_an_object_leaves_no_status(tmp_path: Path, bucket: MemoryBucket) -> None:
    Machine(tmp_path, bucket).run(1)
    assert bucket.stat(NAME) is None


class Refused(NoFaults):
    """The bucket takes no status."""

    def __init__(self, error: ErrorCode) -> None:
        self._error = error

    def before(self, request: Request) -> None:
        if request.name == NAME:
            raise OrgError(self._error, None, "status")


@pytest.mark.parametrize("error", [ErrorCode.BUCKET_UNREACHABLE, ErrorCode.BUCKET_REFUSED])
def test_a_status_that_cannot_be_written_is_a_warning(machine: Machine, bucket: MemoryBucket, error: ErrorCode) -> None:
    bucket.faults = Refused(error)
    assert machine.run(1).outcome == "done"
    assert "status_not_written" in machine.journal.events()
    assert len(machine.completed()) == 1
    assert machine.run(2, as_of=date(2027, 1, 1)).outcome == "rejected"
    assert machine.journal.events().count("status_not_written") == 2


def test_a_transient_failure_is_not_the_orgs_status(machine: Machine, bucket: MemoryBucket) -> None:
    class Gone(NoFaults):
        def before(self, request: Request) -> None:
            if request.name == OBJECT:
                raise OrgError(ErrorCode.BUCKET_UNREACHABLE)

    bucket.faults = Gone()
    assert machine.run(1).outcome == "retry"
    bucket.faults = NoFaults()
    assert bucket.stat(NAME) is None


def test_a_warm_run_makes_at_most_8_requests_and_reports_them(machine: Machine, bucket: MemoryBucket) -> None:
    machine.run(1)
    before = bucket.requests.total()
    completed = machine.run(2, as_of=date(2026, 4, 10), force=True).completed
    assert completed is not None
    assert completed.changed
    assert completed.requests is not None
    made = bucket.requests.total() - before
    assert made <= 8
    assert completed.requests.a + completed.requests.b == made - 1  # the lease is given back afterwards, free of charge


def test_versions_carry_the_counts_of_their_plan(machine: Machine, bucket: MemoryBucket) -> None:
    completed = machine.run(1).completed
    assert completed is not None
    metadata = metadata_of(bucket)
    assert metadata["contacts"] == "3"
    assert metadata["emails-scheduled"] == str(completed.counts.emails_scheduled)
    assert metadata["emails-skipped"] == str(completed.counts.emails_skipped)


def test_the_list_has_every_org_with_a_database_or_a_status(
    machine: Machine, bucket: MemoryBucket, tmp_path: Path
) -> None:
    machine.run(1)
    put_org(bucket, tmp_path, name="org-data/new.db")
    bucket.write("org-data/notes.txt", b"x", if_generation_match=0, metadata={})
    bucket.write("org-status/odd.json", b"no status", if_generation_match=0, metadata={})
    lines, left_out = list_statuses(bucket)
    assert [(line.org_id, line.has_database, line.status is None) for line in lines] == [
        ("acme", True, False), ("new", True, True), ("odd", False, True),
    ]  # fmt: skip
    assert left_out == 0
    assert read_status(bucket, ACME) == lines[0]


def test_a_failed_status_never_hides_the_error(machine: Machine, bucket: MemoryBucket) -> None:
    bucket.write(NAME, b"\x00 no json", if_generation_match=0, metadata={})
    assert BucketStatusBoard(bucket).read(ACME) is None
    handled = machine.handle(requested(1, as_of=date(1850, 1, 1)))
    assert handled.error is not None
    assert handled.error.code is ErrorCode.AS_OF_REFUSED
    assert status(bucket).error_code == "as_of_refused"


def test_the_document_shows_a_status_with_every_field() -> None:
    text = (REPOSITORY / "docs" / "recovery.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.+)\n```", text)
    assert set(msgspec.json.decode(example)) == {field.encode_name for field in msgspec.structs.fields(OrgStatus)}
    assert msgspec.json.encode(msgspec.json.decode(example, type=OrgStatus)).decode() == example
