"""The doctor: each check names what is wrong and what to do, and leaves nothing behind."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.runs.org_status import OrgStatus
from core.runs.ports import ObjectInfo
from events.types import OrgId
from handlers.bootstrap import local_bucket_folder
from handlers.cli_recovery_output import DoctorOutput
from infra.doctor_bucket import check_lifecycle, check_permissions, check_versioning
from infra.doctor_bus import check_bus
from infra.doctor_machine import check_disk
from infra.doctor_org import check_status
from infra.findings import Finding
from infra.gcs import GcsBucket
from infra.local_bucket import LocalBucket
from infra.memory_bucket import MemoryBucket
from infra.settings import SETTINGS, Settings
from infra.status_board import StatusLine
from tests.clocks import FixedClock
from tests.command_line import execute, new_org, run
from tests.fake_gcs.server import FakeGcs

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACME = OrgId("acme")
NONCURRENT = {
    "action": {"type": "Delete"},
    "condition": {"daysSinceNoncurrentTime": 30, "matchesPrefix": ["org-data/"]},
}
DELTAS = {"action": {"type": "Delete"}, "condition": {"age": 14, "matchesPrefix": ["org-delta/", "rejected/"]}}


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    folder = tmp_path / "data"
    monkeypatch.setenv("DATA_DIR", str(folder))
    return folder


@pytest.fixture
def gcs() -> Iterator[FakeGcs]:
    with FakeGcs("bucket") as server:
        yield server


@pytest.fixture
def remote(gcs: FakeGcs) -> Iterator[GcsBucket]:
    settings = Settings(
        gcs_bucket_name="bucket", storage_emulator_host=gcs.url, bucket_timeout_seconds=5, bucket_deadline_seconds=5
    )
    with closing(GcsBucket.connect(settings)) as bucket:
        yield bucket


def states(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.check: finding.state for finding in findings}


# ------------------------------------------------------------------------------------------------ the bucket


def test_a_good_bucket_is_tried_and_left_as_it_was(remote: GcsBucket, gcs: FakeGcs) -> None:
    gcs.store.insert("org-data/acme.db", b"x" * 4096, {}, {})
    probe = check_permissions(remote, FixedClock(datetime.now(UTC)), "token")
    assert states(probe.findings) == {"clock": "ok", "preconditions": "ok", "permissions": "ok"}
    assert probe.largest_object_bytes == 4096
    assert [info.name for info in remote.list("")] == ["org-data/acme.db"]


@pytest.mark.parametrize(
    ("request_class", "check"), [("insert", "write"), ("media", "read"), ("list", "list"), ("delete", "delete")]
)
def test_what_is_refused_is_named_with_the_role(
    request_class: str, check: str, remote: GcsBucket, gcs: FakeGcs
) -> None:
    gcs.fail(request_class, "403", times=9)  # type: ignore[arg-type]  # one of its literals
    found = {f.check: f for f in check_permissions(remote, FixedClock(datetime.now(UTC)), "token").findings}
    assert found[check].state == "error"
    assert "bucket_refused" in found[check].detail
    assert "roles/storage.objectAdmin" in found[check].hint


class StaleWritesWelcome(MemoryBucket):
    """As an emulator that ignores preconditions."""

    def write(
        self, name: str, content: bytes, *, if_generation_match: int | None, metadata: Mapping[str, str]
    ) -> ObjectInfo:
        return super().write(name, content, if_generation_match=None, metadata=metadata)


def test_a_bucket_that_accepts_stale_writes_is_no_place_to_run() -> None:
    found = {f.check: f for f in check_permissions(StaleWritesWelcome(), FixedClock(datetime.now(UTC)), "t").findings}
    assert (found["preconditions"].state, found["preconditions"].detail) == ("error", "a stale write was accepted")


@pytest.mark.parametrize(
    ("ahead_seconds", "state"),
    [(0, "ok"), (-20, "ok"), (40, "warning"), (-40, "warning"), (400, "error"), (-400, "error")],
)
def test_a_wrong_clock_is_noticed(ahead_seconds: int, state: str) -> None:
    clock = FixedClock(datetime.now(UTC) + timedelta(seconds=ahead_seconds))
    found = {f.check: f for f in check_permissions(MemoryBucket(), clock, "token").findings}
    assert found["clock"].state == state
    if state != "ok":
        assert ("ahead of" in found["clock"].detail) == (ahead_seconds > 0)


@pytest.mark.parametrize(("allowed", "state"), [(False, "error"), (True, "warning")])
def test_a_bucket_without_versions_is_an_error_unless_accepted(
    allowed: bool, state: str, remote: GcsBucket, gcs: FakeGcs
) -> None:
    gcs.store.versioning = False
    found = {f.check: f for f in check_versioning(remote, allow_unversioned=allowed)}
    assert found["versioning"].state == state
    assert "--versioning" in found["versioning"].hint
    gcs.store.versioning = True
    assert states(check_versioning(remote, allow_unversioned=allowed)) == {"bucket": "ok", "versioning": "ok"}


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ([NONCURRENT, DELTAS], ""),
        ([DELTAS], "old versions of databases"),
        ([NONCURRENT], "page deltas, bodies of rejected messages"),
        ([{**NONCURRENT, "action": {"type": "SetStorageClass", "storageClass": "COLDLINE"}}, DELTAS], "old versions"),
        ([{"action": {"type": "Delete"}, "condition": {"numNewerVersions": 30}}, DELTAS], ""),
        ([{"action": {"type": "Delete"}, "condition": {"isLive": False, "age": 30}}, DELTAS], ""),
    ],
)
def test_what_is_kept_for_ever_is_named(
    rules: list[dict[str, object]], missing: str, remote: GcsBucket, gcs: FakeGcs
) -> None:
    gcs.lifecycle = rules
    found = check_lifecycle(remote)
    assert found.state == ("warning" if missing else "ok")
    assert missing in found.detail


def test_a_local_bucket_says_that_it_has_no_lifecycle(tmp_path: Path) -> None:
    assert check_lifecycle(LocalBucket(str(tmp_path / "bucket"))).state == "skipped"


# ------------------------------------------------------------------------------------------------ machine, bus, org


def test_a_disk_that_is_short_for_the_largest_org_is_a_warning(tmp_path: Path) -> None:
    assert check_disk(tmp_path, reserve_bytes=0, largest_object_bytes=1_000).state == "ok"
    short = check_disk(tmp_path, reserve_bytes=0, largest_object_bytes=10**15)
    assert (short.state, short.hint.startswith("enlarge the volume")) == ("warning", True)
    (tmp_path / "file").write_bytes(b"")
    assert check_disk(tmp_path / "file" / "dir", reserve_bytes=0, largest_object_bytes=0).state == "error"


def test_a_bus_that_does_not_answer_is_an_error() -> None:
    settings = Settings(pubsub_project="my-project")
    (found,) = check_bus(settings)
    assert (found.check, found.state) == ("bus", "error")
    assert check_bus(Settings())[0].state == "skipped"


def status_of(**facts: object) -> StatusLine:
    nothing = dict.fromkeys(OrgStatus.__struct_fields__)
    known: dict[str, object] = {"org_id": "acme", "at": NOW, "outcome": "completed", "warnings": ()}
    return StatusLine(ACME, has_database=True, status=OrgStatus(**{**nothing, **known, **facts}))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("line", "state", "told"),
    [
        (StatusLine(ACME, has_database=True, status=None), "warning", "no run"),
        (status_of(last_completed_at=NOW - timedelta(hours=25)), "ok", "25.0 h ago"),
        (status_of(last_completed_at=NOW - timedelta(hours=27)), "warning", "27.0 h ago"),
        (status_of(outcome="failed", error_code="config_invalid"), "error", "failed: config_invalid"),
        (status_of(last_completed_at=None), "warning", "not known"),
    ],
)
def test_a_silent_org_is_noticed(line: StatusLine, state: str, told: str) -> None:
    found = check_status(line, NOW)
    assert found.state == state
    assert told in found.detail


def bucket_of(data_dir: Path) -> LocalBucket:
    return LocalBucket(str(local_bucket_folder(Settings(data_dir=data_dir))))


def doctor(*args: str) -> tuple[int, dict[str, dict[str, object]]]:
    ran = run("doctor", *args, "--json")
    assert set(ran.json) == set(DoctorOutput.__struct_fields__)
    assert ran.json["healthy"] == (ran.code == 0)
    return ran.code, {line["check"]: line for line in ran.json["findings"]}


def test_a_healthy_org_and_its_machine(data_dir: Path, tmp_path: Path) -> None:
    bucket = bucket_of(data_dir)
    bucket.upload("org-data/acme.db", str(new_org(tmp_path / "a.db")), if_generation_match=0, metadata={})
    assert run("run", "acme").code == 0
    code, found = doctor("acme")
    assert code == 0
    assert {check: line["state"] for check, line in found.items() if line["state"] != "ok"} == {
        "lifecycle": "skipped",
        "bus": "skipped",
    }
    assert {"sqlite", "settings", "sqlite3_rsync", "credentials", "disk", "integrity", "schema", "config"} <= set(found)
    assert [info.name for info in bucket.list("doctor/")] == []


def test_damage_that_a_run_does_not_look_for_is_found(data_dir: Path, tmp_path: Path) -> None:
    file = new_org(tmp_path / "a.db")
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE INDEX theirs ON contacts (state)")
        db.execute("PRAGMA writable_schema = ON")
        # The index now says that it orders something else: sound pages, wrong answers. quick_check does not compare them.
        db.execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX theirs ON contacts (zip_code)' WHERE name = 'theirs'")
    bucket_of(data_dir).upload("org-data/acme.db", str(file), if_generation_match=0, metadata={})
    code, found = doctor("acme")
    assert code == 1
    assert found["integrity"]["state"] == "error"
    assert str(found["integrity"]["detail"]).startswith("database_corrupt: ")


def test_a_wrong_configuration_is_named(data_dir: Path, tmp_path: Path) -> None:
    file = new_org(tmp_path / "a.db")
    execute(
        file,
        "DELETE FROM config_versions",
        "INSERT INTO config_versions (config_data, valid_from) VALUES ('{\"max_emails\": 2}', '2020-01-01 00:00:00')",
    )
    bucket_of(data_dir).upload("org-data/acme.db", str(file), if_generation_match=0, metadata={})
    code, found = doctor("acme")
    assert (code, found["config"]["state"]) == (1, "error")
    assert "max_emails" in str(found["config"]["detail"])


def test_an_org_that_is_not_there(data_dir: Path) -> None:
    code, found = doctor("nobody")
    assert (code, found["object"]["state"]) == (1, "error")
    assert "org-data/nobody.db" in str(found["object"]["detail"])


def test_every_wrong_setting_is_a_finding_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    ran = run("doctor", "--json")
    lines = [line for line in json.loads(ran.out)["findings"] if line["check"] == "settings"]
    assert ran.code == 1
    assert [line["detail"].split(" ", 1)[0] for line in lines] == ["LOG_LEVEL", "PORT"]


def test_people_read_a_line_per_check_and_what_to_do(data_dir: Path) -> None:
    ran = run("doctor", "nobody")
    assert ran.code == 1
    assert "preconditions  ok" in ran.out
    assert "-> upload org-data/nobody.db" in ran.out
    assert "1 errors, 1 warnings" in ran.out
