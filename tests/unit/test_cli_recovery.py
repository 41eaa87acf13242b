"""status, versions, backup, pull, diff, restore and reconcile as an operator has them, on both kinds of bucket."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from core.runs.errors import ErrorCode
from core.runs.ports import Bucket, ObjectInfo
from handlers.bootstrap import local_bucket_folder
from handlers.cli_recovery_output import (
    BackupOutput,
    DiffOutput,
    PullOutput,
    RecoveryOutput,
    StatusOutput,
    VersionsOutput,
)
from infra.checksum import crc32c_of_file
from infra.fence import PARENT_GENERATION_KEY
from infra.gcs import GcsBucket
from infra.local_bucket import LocalBucket
from infra.settings import SETTINGS, Settings
from tests.command_line import new_org, query, run, tree
from tests.fake_gcs import FakeGcs

OBJECT = "org-data/acme.db"


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    folder = tmp_path / "data"
    monkeypatch.setenv("DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    yield folder
    for path in tmp_path.iterdir():
        assert not path.name.endswith((".emailsched", ".tmp", "-wal", "-shm", "-journal")), path.name


@pytest.fixture(params=["directory", "cloud"])
def bucket(request: pytest.FixtureRequest, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """The bucket that the commands see, by their settings alone: here they meet the real client, over HTTP."""
    if request.param == "directory":
        yield LocalBucket(str(local_bucket_folder(Settings(data_dir=data_dir))))
        return
    with FakeGcs("bucket") as gcs:
        monkeypatch.setenv("GCS_BUCKET_NAME", "bucket")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        with closing(GcsBucket.connect(Settings(gcs_bucket_name="bucket", storage_emulator_host=gcs.url))) as bucket:
            yield bucket


on_the_embedded_bucket = pytest.mark.parametrize("bucket", ["directory"], indirect=True)


@pytest.fixture
def planned(bucket: Bucket, tmp_path: Path) -> int:
    """An org with a plan; its generation."""
    upload(bucket, new_org(tmp_path / "upstream.db"))
    assert run("run", "acme").code == 0
    return generation(bucket)


def upload(bucket: Bucket, file: Path, *, blindly: bool = False) -> int:
    live = bucket.stat(OBJECT)
    before = live.generation if live else 0
    metadata = {} if blindly or not before else {PARENT_GENERATION_KEY: str(before)}
    return bucket.upload(OBJECT, str(file), if_generation_match=before, metadata=metadata).generation


def everything(bucket: Bucket) -> list[ObjectInfo]:
    return [version for live in bucket.list("") for version in bucket.versions(live.name)]


def generation(bucket: Bucket) -> int:
    live = bucket.stat(OBJECT)
    assert live is not None
    return live.generation


def edit(bucket: Bucket, folder: Path, *statements: str) -> int:
    file = folder / "edited.db"
    assert run("pull", "acme", file, "--overwrite").code == 0
    with closing(sqlite3.connect(file)) as db, db:
        for statement in statements:
            db.execute(statement)
    return upload(bucket, file)


SEND = """UPDATE email_schedules SET status = 'sent', actual_send_datetime = '2025-03-11 08:30:00' WHERE id IN (
          SELECT id FROM email_schedules WHERE status = 'pre-scheduled' ORDER BY id LIMIT 5)"""
UNSUBSCRIBE = """UPDATE contacts SET status = 'unsubscribed' WHERE id = (
                 SELECT contact_id FROM email_schedules WHERE status = 'pre-scheduled' ORDER BY id DESC LIMIT 1)"""


# ------------------------------------------------------------------------------------------------ looking


def test_status_of_all_orgs_puts_the_silent_one_first(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    assert run("run", "young", "--create").code == 0
    bucket.upload("org-data/silent.db", str(tmp_path / "upstream.db"), if_generation_match=0, metadata={})
    output = msgspec.json.decode(run("status", "--json").out, type=StatusOutput)
    assert [line.org_id for line in output.orgs] == ["silent", "acme", "young"]
    assert output.orgs[0].status is None
    acme = output.orgs[1].status
    assert acme is not None
    assert (acme.outcome, acme.generation, acme.changed) == ("completed", planned, True)
    shown = run("status").out
    assert [shown.index(name) for name in ("silent", "acme", "young")] == sorted(
        shown.index(name) for name in ("silent", "acme", "young")
    )


def test_status_of_one_org_tells_of_a_failure(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"no database at all" * 100)
    upload(bucket, tmp_path / "noise")
    assert run("run", "acme").code == 1
    (line,) = msgspec.json.decode(run("status", "acme", "--json").out, type=StatusOutput).orgs
    assert line.status is not None
    assert (line.status.outcome, line.status.error_code) == ("failed", "not_sqlite")
    assert line.status.last_completed_at is not None
    assert "failed: not_sqlite" in run("status", "acme").out


def test_looking_where_there_is_no_bucket_makes_none(data_dir: Path) -> None:
    assert run("status", "--json").json == {"orgs": [], "orgs_left_out": 0, "hold_of_all_orgs": None}
    for args in (
        ("status", "acme"), ("versions", "acme"), ("backup", "acme"), ("pull", "acme", "x.db"), ("diff", "acme", "1", "2"),
        ("restore", "acme", "1", "--yes"), ("reconcile", "acme"),
    ):  # fmt: skip
        refused = run(*args, "--json")
        assert (refused.code, refused.error["code"]) == (4, "object_missing"), args
    assert not data_dir.exists()


def test_versions_newest_first_with_what_each_is(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    sent = edit(bucket, tmp_path, SEND)
    replaced = upload(bucket, tmp_path / "upstream.db", blindly=True)
    output = msgspec.json.decode(run("versions", "acme", "--json").out, type=VersionsOutput)
    newest, by_sender, by_run, first = output.versions
    assert (newest.generation, newest.live, newest.replaced_blindly) == (replaced, True, True)
    assert (by_sender.generation, by_sender.parent_generation, by_sender.run_id) == (sent, planned, None)
    assert (by_run.generation, by_run.live, by_run.replaced_blindly) == (planned, False, False)
    assert (by_run.contacts, first.contacts) == (80, None)
    assert by_run.run_id is not None
    shown = run("versions", "acme").out
    for text in ("LIVE: put there by somebody outside", f"run {by_run.run_id}", str(sent)):
        assert text in shown


def test_looks_leave_the_bucket_as_it_is(bucket: Bucket, planned: int, data_dir: Path, tmp_path: Path) -> None:
    sent = edit(bucket, tmp_path, SEND)
    before, versions = tree(data_dir), everything(bucket)
    for args in (
        ("status",), ("versions", "acme"), ("diff", "acme", planned, sent), ("pull", "acme", "x.db"),
        ("restore", "acme", planned, "--dry-run"), ("reconcile", "acme", "--dry-run"),
    ):  # fmt: skip
        assert run(*(str(arg) for arg in args)).code == 0
    assert (tree(data_dir), everything(bucket)) == (before, versions)


def test_backup_is_a_copy_that_nothing_replaces(bucket: Bucket, planned: int) -> None:
    made = run("backup", "acme", "--json")
    output = msgspec.json.decode(made.out, type=BackupOutput)
    assert (made.code, output.of_generation, output.quick_check) == (0, planned, "ok")
    copy, live = bucket.stat(output.object_name), bucket.stat(OBJECT)
    assert copy is not None
    assert live is not None
    assert output.object_name.startswith("backups/acme/")
    assert (copy.crc32c, copy.metadata["backup-of-generation"]) == (live.crc32c, str(planned))
    second = run("backup", "acme")
    assert second.code in {0, 3}  # within the same second: the same version, or refused
    assert f"generation {planned}" in run("backup", "acme").out


def test_a_backup_of_a_damaged_database_says_so(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"no database at all" * 100)
    upload(bucket, tmp_path / "noise")
    assert run("backup", "acme", "--json").json["quick_check"] == "not_sqlite"


def test_a_backup_of_another_version_in_the_same_second_is_refused(
    bucket: Bucket, planned: int, tmp_path: Path
) -> None:
    from datetime import UTC, datetime

    from core.runs.errors import OrgError
    from events.types import OrgId
    from infra.recovery import back_up

    now = datetime(2026, 3, 2, tzinfo=UTC)
    first, org_id = bucket.stat(OBJECT), OrgId("acme")
    assert first is not None
    assert run("pull", "acme", "a.db").code == 0
    made = back_up(bucket, first, "a.db", org_id, now)
    assert back_up(bucket, first, "a.db", org_id, now) == made
    edit(bucket, tmp_path, SEND)
    second = bucket.stat(OBJECT)
    assert second is not None
    with pytest.raises(OrgError) as raised:
        back_up(bucket, second, "edited.db", org_id, now)
    assert raised.value.code is ErrorCode.BACKUP_EXISTS


def test_pull_is_verified_and_refuses_to_overwrite(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    target = tmp_path / "live.db"
    pulled = run("pull", "acme", target, "--json")
    output = msgspec.json.decode(pulled.out, type=PullOutput)
    assert (pulled.code, output.generation, output.live) == (0, planned, True)
    assert crc32c_of_file(str(target)) == output.crc32c
    target.write_bytes(b"mine")
    refused = run("pull", "acme", target, "--json")
    assert (refused.code, refused.error["code"]) == (2, "wrong_usage")
    assert target.read_bytes() == b"mine"
    sent = edit(bucket, tmp_path, SEND)
    (tmp_path / "live.db-wal").write_bytes(b"of the old file")
    older = run("pull", "acme", target, "--generation", str(planned), "--overwrite", "--json").json
    assert (older["generation"], older["live"]) == (planned, False)
    assert not (tmp_path / "live.db-wal").exists()
    assert query(target, "SELECT count(*) FROM email_schedules WHERE status = 'sent' AND actual_send_datetime LIKE "
                         "'2025-03-11%'") == [(0,)]  # fmt: skip
    assert run("pull", "acme", target, "--overwrite", "--json").json["generation"] == sent
    assert run("pull", "acme", tmp_path / "no" / "x.db").code == 4
    assert run("pull", "acme", tmp_path / "y.db", "--generation", "7").code == 4


@on_the_embedded_bucket
def test_a_pull_of_bytes_that_are_not_the_buckets_leaves_nothing(
    bucket: Bucket, planned: int, data_dir: Path, tmp_path: Path
) -> None:
    (data,) = (local_bucket_folder(Settings(data_dir=data_dir))).glob(f"*/{planned}.data")
    data.write_bytes(data.read_bytes()[:-1] + b"\0\0")
    refused = run("pull", "acme", tmp_path / "x.db", "--json")
    assert (refused.code, refused.error["code"]) == (3, "download_corrupt")
    assert not (tmp_path / "x.db").exists()


def test_diff_counts_what_changed_between_two_versions(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    sent = edit(bucket, tmp_path, SEND)
    output = msgspec.json.decode(run("diff", "acme", str(planned), str(sent), "--json").out, type=DiffOutput)
    assert (output.before, output.after) == (planned, sent)
    assert {(line.kind, line.status_before, line.status_after) for line in output.changes} == {
        ("changed", "pre-scheduled", "sent")
    }
    assert sum(line.rows for line in output.changes) == 5
    assert "changed" in run("diff", "acme", str(planned), str(sent)).out
    refused = run("diff", "acme", "7", str(sent), "--json")
    assert (refused.code, refused.error["code"]) == (4, "generation_missing")


# ------------------------------------------------------------------------------------------------ restoring


def test_the_night_from_look_to_run(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    edit(bucket, tmp_path, SEND, UNSUBSCRIBE)
    assert run("run", "acme").code == 0
    bad = generation(bucket)
    dry = msgspec.json.decode(run("restore", "acme", str(planned), "--dry-run", "--json").out, type=RecoveryOutput)
    assert (dry.dry_run, dry.changed, dry.generation) == (True, False, None)
    assert (dry.carried.locked_rows, dry.carried.unsubscribes) == (5, 1)
    assert generation(bucket) == bad
    done = run("restore", "acme", str(planned), "--yes", "--json")
    output = msgspec.json.decode(done.out, type=RecoveryOutput)
    assert (done.code, output.changed, output.generation) == (0, True, generation(bucket))
    assert output.carried == dry.carried
    assert (output.base_generation, output.replaced_generation) == (planned, bad)
    completed = run("run", "acme", "--json").json["completed"]
    assert "object_replaced" not in completed["warnings"]
    assert run("pull", "acme", "after.db").code == 0
    twice = """SELECT count(*) FROM email_schedules a JOIN email_schedules b USING (contact_id, email_type, event_date)
               WHERE a.status = 'pre-scheduled' AND b.status = 'sent'"""
    assert query(tmp_path / "after.db", twice) == [(0,)]
    assert query(tmp_path / "after.db", "SELECT count(*) FROM email_schedules WHERE status = 'sent' AND "
                 "actual_send_datetime = '2025-03-11 08:30:00'") == [(5,)]  # fmt: skip
    unsubscribed = "SELECT id FROM contacts WHERE status = 'unsubscribed' ORDER BY id"
    assert query(tmp_path / "after.db", unsubscribed) == query(tmp_path / "edited.db", unsubscribed)
    planned_for_them = f"""SELECT count(*) FROM email_schedules
                           WHERE status = 'pre-scheduled' AND contact_id IN ({unsubscribed})"""
    assert query(tmp_path / "edited.db", planned_for_them) != [(0,)]
    assert query(tmp_path / "after.db", planned_for_them) == [(0,)]
    assert "restore of" in run("versions", "acme").out


def test_an_exact_restore_is_the_old_version_byte_for_byte(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    edit(bucket, tmp_path, SEND, UNSUBSCRIBE)
    done = msgspec.json.decode(
        run("restore", "acme", str(planned), "--exact", "--yes", "--json").out, type=RecoveryOutput
    )
    assert (done.changed, done.exact, done.carried.locked_rows) == (True, True, 0)
    (old,) = [version for version in bucket.versions(OBJECT) if version.generation == planned]
    live = bucket.stat(OBJECT)
    assert live is not None
    assert (live.generation, live.crc32c) == (done.generation, old.crc32c)


def test_a_restore_is_told_to_people(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    edit(bucket, tmp_path, SEND, UNSUBSCRIBE, "DELETE FROM contacts WHERE id = 1",
         "INSERT INTO contacts (id) VALUES (5000)")  # fmt: skip
    shown = run("restore", "acme", str(planned), "--dry-run").out
    for text in (
        "would be restored; nothing was written", "mails with status sent", "people who unsubscribed since",
        "to be sent again: 1", "and are back: 1",
    ):  # fmt: skip
        assert text in shown
    done = run("restore", "acme", str(planned), "--yes").out
    assert "Next: emailsched run acme" in done
    exact = run("restore", "acme", str(planned), "--exact", "--dry-run").out
    assert "Mail that went out since can go out again" in exact


def test_an_unreadable_live_version_is_told_to_people(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"no database at all" * 100)
    bad = upload(bucket, tmp_path / "noise")
    done = run("restore", "acme", str(planned), "--yes")
    assert done.code == 0
    assert f"WARNING: unreadable: {bad} (not_sqlite)" in done.out
    output = run("restore", "acme", str(planned), "--dry-run", "--json").json
    assert output["warnings"] == []  # the restore took care of it


def test_a_restore_asks_first(bucket: Bucket, planned: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = edit(bucket, tmp_path, SEND)
    refused = run("restore", "acme", str(planned), "--json")
    assert (refused.code, refused.error["code"]) == (2, "wrong_usage")
    asked: list[str] = []

    def answer(question: str, *, err: bool) -> bool:
        asked.append(question)
        return len(asked) > 1

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", answer)
    declined = run("restore", "acme", str(planned), "--json")
    assert (declined.code, declined.error["code"]) == (4, "declined")
    assert generation(bucket) == sent
    assert run("restore", "acme", str(planned)).code == 0
    assert asked == [f"Replace the live database of acme by generation {planned}?"] * 2


@pytest.mark.parametrize(("which", "code"), [("7", "generation_missing"), ("live", "wrong_usage")])
def test_a_generation_that_cannot_be_restored_is_refused(bucket: Bucket, planned: int, which: str, code: str) -> None:
    named = str(planned) if which == "live" else which
    assert run("restore", "acme", named, "--yes", "--json").error["code"] == code
    assert generation(bucket) == planned


def test_a_copy_by_hand_is_reported_and_reconciled(bucket: Bucket, planned: int, tmp_path: Path) -> None:
    assert run("pull", "acme", "old.db").code == 0
    sent = edit(bucket, tmp_path, SEND)
    upload(bucket, tmp_path / "old.db", blindly=True)
    assert "object_replaced" in run("run", "acme", "--json").json["completed"]["warnings"]
    output = msgspec.json.decode(run("reconcile", "acme", "--json").out, type=RecoveryOutput)
    assert (output.changed, output.carried.locked_rows) == (True, 5)
    assert [source.used for source in output.sources] == [sent]
    assert "reconciliation, carried from" in run("versions", "acme").out
    again = run("reconcile", "acme")
    assert (again.code, "nothing to take along" in again.out) == (0, True)
    named = run("reconcile", "acme", "--from", str(sent), "--dry-run")
    assert (named.code, "would be reconciled" in named.out) == (0, True)
    assert run("reconcile", "acme", "--from", str(generation(bucket))).code == 2
