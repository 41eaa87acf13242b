"""``schedule FILE`` writes whole or not at all, ``plan`` writes nothing; both on files as operators have them (R93, R94)."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.runs.reconcile import reconcile
from handlers.cli_output import PlanOutput, ScheduleOutput
from infra.settings import SETTINGS
from tests.command_line import AS_OF, DAY, execute, new_org, query, run, spawn, tree

RUN_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    private = tmp_path / "private-copies"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    yield
    assert not list(private.iterdir()), "a private copy was left behind"
    assert not (tmp_path / "data").exists(), "a command on a file needs no data directory"


@pytest.fixture
def org(tmp_path: Path) -> Path:
    (tmp_path / "orgs").mkdir()
    return new_org(tmp_path / "orgs" / "acme.db")


def test_the_first_run_writes_and_the_second_leaves_every_byte_and_the_times(org: Path) -> None:
    first = run("schedule", org, *AS_OF, "--json", "--run-id", RUN_ID)
    output = msgspec.json.decode(first.out, type=ScheduleOutput)
    assert first.code == 0
    assert set(first.json) == {"file", "file_replaced", "completed"}
    assert output.file_replaced
    counts = output.completed.counts
    assert counts.contacts == 80
    assert counts.rows_inserted > 0
    assert sum(output.completed.scheduled_by_type.values()) == counts.emails_scheduled
    os.utime(org, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    before = tree(org.parent)
    second = run("schedule", org, *AS_OF, "--json")
    again = msgspec.json.decode(second.out, type=ScheduleOutput)
    assert (second.code, again.file_replaced, again.completed.changed) == (0, False, False)
    assert again.completed.counts.rows_unchanged > 0
    assert tree(org.parent) == before


def test_what_is_counted_is_what_is_stored(org: Path) -> None:
    completed = run("schedule", org, *AS_OF, "--json").json["completed"]
    stored = query(
        org,
        "SELECT email_type, count(*) FROM email_schedules WHERE status = 'pre-scheduled' "
        f"AND scheduled_send_date >= '{DAY}' GROUP BY 1",
    )
    assert dict(stored) == completed["scheduled_by_type"]
    assert query(org, "SELECT as_of, emails_scheduled FROM scheduler_checkpoints") == [
        (DAY.isoformat(), completed["counts"]["emails_scheduled"])
    ]


@pytest.mark.parametrize("run_id", [RUN_ID, "nightly-2025-03-10"])
def test_the_run_id_is_recorded(org: Path, run_id: str) -> None:
    assert run("schedule", org, *AS_OF, "--run-id", run_id, "--json").json["completed"]["run_id"] == run_id
    assert query(org, "SELECT scheduler_run_id FROM scheduler_checkpoints") == [(run_id,)]
    assert query(org, f"SELECT count(*) > 0 FROM email_schedules WHERE scheduler_run_id = '{run_id}'") == [(1,)]


def test_a_run_id_is_used_once(org: Path) -> None:
    assert run("schedule", org, *AS_OF, "--run-id", "nightly").code == 0
    execute(org, "DELETE FROM contacts WHERE id > 40")
    before = tree(org.parent)
    refused = run("schedule", org, *AS_OF, "--run-id", "nightly", "--json")
    assert (refused.code, refused.error["code"]) == (2, "wrong_usage")
    assert "nightly" in refused.error["detail"]
    assert tree(org.parent) == before


def test_without_a_run_id_every_run_has_its_own(org: Path) -> None:
    ids = {run("schedule", org, *AS_OF, "--json").json["completed"]["run_id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(len(run_id) == 32 for run_id in ids)


def test_a_file_is_planned_for_any_day_and_a_strange_one_is_remarked_upon(org: Path) -> None:
    completed = run("schedule", org, *AS_OF, "--json").json["completed"]
    assert completed["as_of"] == DAY.isoformat()
    assert "as_of_forced" in completed["warnings"]


def test_a_file_in_wal_mode_stays_in_it(org: Path) -> None:
    execute(org, "PRAGMA journal_mode = WAL")
    assert run("schedule", org, *AS_OF).code == 0
    assert query(org, "PRAGMA journal_mode") == [("wal",)]
    assert query(org, "SELECT count(*) FROM scheduler_checkpoints") == [(1,)]
    for sidecar in ("-wal", "-shm"):
        org.with_name(org.name + sidecar).unlink(missing_ok=True)
    before = tree(org.parent)
    assert run("schedule", org, *AS_OF, "--json").json["file_replaced"] is False
    assert tree(org.parent) == before


def test_rows_that_are_only_in_the_wal_are_planned(org: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(org)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        with writer:
            writer.execute("DELETE FROM contacts WHERE id > (SELECT id FROM contacts ORDER BY id LIMIT 1 OFFSET 9)")
        crashed = tmp_path / "orgs" / "crashed.db"
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{org}{suffix}", f"{crashed}{suffix}")
    assert run("plan", crashed, *AS_OF, "--json").json["completed"]["counts"]["contacts"] == 10
    assert run("schedule", crashed, *AS_OF, "--json").json["completed"]["counts"]["contacts"] == 10
    assert query(crashed, "SELECT count(*) FROM contacts") == [(10,)]


@pytest.mark.parametrize("as_json", [False, True])
def test_another_writer_in_between_keeps_its_work(org: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    def interrupted(*args: Any, **facts: Any) -> Any:
        execute(org, "UPDATE contacts SET last_name = 'Changed' WHERE id = (SELECT min(id) FROM contacts)")
        return reconcile(*args, **facts)

    monkeypatch.setattr("handlers.local_run.reconcile", interrupted)
    ran = run("schedule", org, *AS_OF, *(["--json"] if as_json else []))
    assert ran.code == 3
    assert "file_changed" in (ran.error["code"] if as_json else ran.err)
    assert query(org, "SELECT count(*) FROM contacts WHERE last_name = 'Changed'") == [(1,)]
    assert query(org, "SELECT count(*) FROM scheduler_checkpoints") == [(0,)]


def _not_sqlite(file: Path) -> None:
    file.write_bytes(b"id,email\n1,ann@example.com\n" * 50)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _corrupt(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for page in range(4096 * 3, len(content), 4096 * 2):
        content[page : page + 200] = b"\xff" * 200
    file.write_bytes(content)


def _no_contacts(file: Path) -> None:
    execute(file, "ALTER TABLE contacts RENAME TO people")


def _bad_config(file: Path) -> None:
    execute(
        file,
        "INSERT INTO config_versions (config_data, valid_from, created_at) "
        "VALUES ('{\"max_mails\": 3}', '2024-06-01 00:00:00', '2024-06-01 00:00:00')",
    )


@pytest.mark.parametrize(
    ("spoil", "code", "exit_code", "named"),
    [
        (_not_sqlite, "not_sqlite", 1, ""),
        (_empty, "not_sqlite", 1, ""),
        (_corrupt, "database_corrupt", 1, ""),
        (_no_contacts, "schema_not_understood", 1, "contacts"),
        (_bad_config, "config_invalid", 1, "max_mails"),
    ],
)
def test_a_bad_file_is_refused_and_untouched(org: Path, spoil: Any, code: str, exit_code: int, named: str) -> None:
    spoil(org)
    before = tree(org.parent)
    for command in (("schedule", org, *AS_OF), ("plan", org, *AS_OF), ("report", org, *AS_OF)):
        ran = run(*command, "--json")
        assert (ran.code, ran.error["code"]) == (exit_code, code)
        assert named in ran.error["detail"]
        assert "ann@example.com" not in ran.out + ran.err
    assert tree(org.parent) == before


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for command in ("schedule", "plan", "report"):
        ran = run(command, tmp_path / "none.db", "--json")
        assert (ran.code, ran.error["code"]) == (4, "file_missing")


def test_plan_writes_nothing_and_says_what_schedule_then_does(org: Path) -> None:
    before = tree(org.parent)
    planned = run("plan", org, *AS_OF, "--json")
    output = msgspec.json.decode(planned.out, type=PlanOutput)
    assert planned.code == 0
    assert tree(org.parent) == before
    done = msgspec.json.decode(run("schedule", org, *AS_OF, "--json").out, type=ScheduleOutput)
    assert output.completed.counts == done.completed.counts
    assert output.completed.checksums == done.completed.checksums
    rows = {kind: sum(c.rows for c in output.changes if c.kind == kind) for kind in ("insert", "delete", "missed")}
    counts = done.completed.counts
    assert rows == {"insert": counts.rows_inserted, "delete": counts.rows_deleted, "missed": counts.rows_missed}
    assert output.schema_outdated


def test_plan_of_another_day_says_what_moves(org: Path) -> None:
    assert run("schedule", org, *AS_OF).code == 0
    where = "WHERE status = 'pre-scheduled' AND email_type = 'aep'"
    planned = dict(query(org, f"SELECT scheduled_send_date, count(*) FROM email_schedules {where} GROUP BY 1"))
    assert "2025-03-11" not in planned
    execute(org, f"UPDATE email_schedules SET scheduled_send_date = '2025-03-11' {where}")
    before = hashlib.sha256(org.read_bytes()).hexdigest()
    output = msgspec.json.decode(run("plan", org, *AS_OF, "--json").out, type=PlanOutput)
    assert {(m.email_type, str(m.from_day)) for m in output.moves} == {("aep", "2025-03-11")}
    assert {str(m.to_day): m.rows for m in output.moves} == planned
    assert [m.rows for m in output.moves] == sorted(planned.values(), reverse=True)
    (change,) = output.changes
    mails = output.completed.scheduled_by_type["aep"]
    assert (change.kind, change.reason_before, change.reason_after, change.rows) == ("move", None, None, mails)
    assert "schedule_edited" in output.completed.warnings
    assert hashlib.sha256(org.read_bytes()).hexdigest() == before


def test_plan_for_people_shows_changes_and_the_next_days(org: Path) -> None:
    shown = run("plan", org, *AS_OF).out
    for word in ("nothing was written", "What would change", "insert", "next 30 days", "Mon 2025-03-10", "cap"):
        assert word in shown
    assert "ann@" not in shown


def test_as_a_process(org: Path) -> None:
    env = {"DATA_DIR": str(org.parent.parent / "data"), "TMPDIR": str(org.parent.parent / "private-copies")}
    ran = spawn("schedule", org, *AS_OF, "--json", env=env)
    assert (ran.code, ran.json["file_replaced"]) == (0, True)
    assert spawn("schedule", org, *AS_OF, "--json", env=env).json["file_replaced"] is False
