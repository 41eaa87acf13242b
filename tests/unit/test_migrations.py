"""Migrations: any org database gets the contract's schema, and a second call changes no byte."""

import sqlite3
from pathlib import Path

import pytest

from core.runs.errors import ErrorCode, OrgError
from infra import migrations
from tests.unit.org_samples import BIRTHDAY, changes, commit, open_org, query, run_sql


def migrated(file: Path) -> bool:
    db = open_org(file)
    try:
        return db.migrate()
    finally:
        db.close()


def columns(file: Path, table: str) -> dict[str, tuple[str, int, str | None]]:
    return {row[1]: (row[2], row[3], row[4]) for row in query(file, f"PRAGMA table_info({table})")}


def test_an_empty_database_gets_every_table(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    file.touch()
    assert migrated(file)
    tables = {name for (name,) in query(file, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables - {"sqlite_sequence"} == {table.name for table in migrations.contract()}
    assert {"contacts", "email_schedules", "scheduler_runs", "scheduler_processed_events"} <= tables


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_second_call_changes_no_byte(tmp_path: Path, journal_mode: str) -> None:  # R93
    file = tmp_path / "org.db"
    run_sql(file, f"PRAGMA journal_mode = {journal_mode}", "CREATE TABLE contacts (id INTEGER PRIMARY KEY)")
    db = open_org(file)
    assert db.migrate()
    db.write(commit())
    db.close()
    content, times = file.read_bytes(), file.stat().st_mtime_ns
    assert not migrated(file)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (content, times)
    assert [path.name for path in tmp_path.iterdir()] == ["org.db"]


def test_what_is_more_is_kept(tmp_path: Path) -> None:  # R9
    file = tmp_path / "org.db"
    run_sql(
        file,
        "CREATE TABLE Contacts (ID INTEGER PRIMARY KEY, Email TEXT, shoe_size REAL)",
        "CREATE TABLE theirs (a)",
        "CREATE INDEX their_index ON contacts (shoe_size)",
        "CREATE TRIGGER their_trigger AFTER INSERT ON theirs BEGIN DELETE FROM theirs; END",
        "INSERT INTO contacts VALUES (1, 'a@example.com', 43.5)",
    )
    assert migrated(file)
    assert query(file, "SELECT id, email, shoe_size, status, failed_underwriting FROM contacts") == [
        (1, "a@example.com", 43.5, "", 0)
    ]
    names = {name for (name,) in query(file, "SELECT name FROM sqlite_master")}
    assert {"theirs", "their_index", "their_trigger"} <= names
    assert list(columns(file, "contacts"))[:3] == ["ID", "Email", "shoe_size"]


def test_added_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    file, fresh = tmp_path / "org.db", tmp_path / "fresh.db"
    run_sql(
        file, "CREATE TABLE contacts (id INTEGER PRIMARY KEY)", "CREATE TABLE campaign_types (name TEXT PRIMARY KEY)"
    )
    fresh.touch()
    migrated(file)
    migrated(fresh)
    assert columns(file, "contacts") == columns(fresh, "contacts")
    expected = columns(fresh, "campaign_types")
    expected |= dict.fromkeys(("created_at", "updated_at"), ("TEXT", 0, None))  # no clock in an added column
    assert columns(file, "campaign_types") == expected


OLD_SCHEDULES = (
    "CREATE TABLE email_schedules (id INTEGER PRIMARY KEY, contact_id INTEGER, email_type TEXT, scheduled_send_date TEXT, "
    "status TEXT{more})"
)


def test_old_rows_get_the_event_date_of_their_parts(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    run_sql(
        file,
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY)",
        OLD_SCHEDULES.format(more=", event_year INTEGER, event_month INTEGER, event_day INTEGER"),
        "INSERT INTO email_schedules VALUES (1, 1, 'birthday', '2025-01-05', 'sent', 2025, 1, 19)",
        "INSERT INTO email_schedules VALUES (2, 1, 'aep', '2025-09-15', 'sent', NULL, 9, 15)",
    )
    migrated(file)
    assert query(file, "SELECT id, event_date FROM email_schedules") == [(1, "2025-01-19"), (2, "2025-09-15")]


def test_old_rows_without_event_get_the_send_date_and_the_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    run_sql(
        file,
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY)",
        OLD_SCHEDULES.format(more=""),
        "INSERT INTO email_schedules VALUES (1, 1, 'birthday', '2025-01-05', 'sent'), (2, 1, 'birthday', NULL, 'sent')",
    )
    db = open_org(file)
    db.migrate()
    assert db.write(commit("run1", changes(inserts=[(1, None, None, "2026-01-19", "2026-01-05", BIRTHDAY)]))) == ()
    db.close()
    rows = query(file, "SELECT event_date, priority, scheduled_send_time FROM email_schedules ORDER BY id")
    assert rows == [("2025-01-05", 10, "08:30:00"), ("", 10, "08:30:00"), ("2026-01-19", 10, "08:30:00")]


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["CREATE TABLE people (id INTEGER PRIMARY KEY)"], "contacts: no such table"),
        (["CREATE VIEW contacts AS SELECT 1 AS id"], "contacts: a view, not a table"),
        (["CREATE TABLE contacts (id TEXT PRIMARY KEY)"], "contacts.id: has to be INTEGER PRIMARY KEY"),
        (["CREATE TABLE contacts (id INT PRIMARY KEY)"], "contacts.id: has to be INTEGER PRIMARY KEY"),
        (["CREATE TABLE contacts (id INTEGER, email TEXT)"], "contacts.id: the primary key has to be (id)"),
        (["CREATE TABLE contacts (id INTEGER PRIMARY KEY) WITHOUT ROWID"], "contacts: WITHOUT ROWID"),
        (
            ["CREATE TABLE contacts (id INTEGER PRIMARY KEY)", "CREATE TABLE email_schedules (id INTEGER, contact_id)"],
            "email_schedules.id: the primary key has to be (id)",
        ),
        (
            [
                "CREATE TABLE contacts (id INTEGER PRIMARY KEY)",
                "CREATE TABLE email_schedules (id INTEGER PRIMARY KEY, contact_id, email_type, scheduled_send_date)",
            ],
            "email_schedules.status: no such column",
        ),
        (
            ["CREATE TABLE contacts (id INTEGER PRIMARY KEY)", "CREATE TABLE campaign_types (priority INTEGER)"],
            "campaign_types.name: no such column",
        ),
        (
            [
                "CREATE TABLE contacts (id INTEGER PRIMARY KEY)",
                "CREATE TABLE campaign_instances (id INTEGER PRIMARY KEY)",
            ],
            "campaign_instances.campaign_type: no such column",
        ),
        (
            [
                "CREATE TABLE contacts (id INTEGER PRIMARY KEY)",
                "CREATE TABLE scheduler_issues (contact_id INTEGER, issue TEXT, scheduler_run_id TEXT)",
            ],
            "scheduler_issues.contact_id: the primary key has to be (contact_id, issue)",
        ),
    ],
)
def test_what_is_not_understood_is_named_and_nothing_changed(tmp_path: Path, statements: list[str], named: str) -> None:
    file = tmp_path / "org.db"
    run_sql(file, *statements)
    content = file.read_bytes()
    with pytest.raises(OrgError) as failure:
        migrated(file)
    assert failure.value.code is ErrorCode.SCHEMA_NOT_UNDERSTOOD
    assert failure.value.detail == named
    assert file.read_bytes() == content


def test_the_contract_is_one_script_that_can_run_twice(tmp_path: Path) -> None:
    raw = sqlite3.connect(":memory:")
    raw.executescript(migrations.schema_sql())
    raw.executescript(migrations.schema_sql())
    indexes = {
        name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    }
    raw.close()
    assert indexes == set(migrations.SCHEDULE_INDEXES)
