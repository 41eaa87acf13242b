"""Writing a run's changes: rows in place, issues, records, pruning, indexes; and what happens to a file that resists."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.planning.changes import RowBatch, ScheduleChanges
from core.planning.columns import NULL_ID
from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import StoredRun
from core.runs.warnings import IDENTITY_NOT_UNIQUE
from events.types import EventKey
from tests.unit.org_samples import (
    BIRTHDAY,
    BLAST,
    FOLLOWUP,
    NO_ROWS,
    SKIPPED,
    changes,
    commit,
    issue_changes,
    locked_by_another_process,
    new_org,
    open_org,
    query,
    run_sql,
)

CONTENT = (
    "contact_id, email_type, campaign_instance_id, parent_schedule_id, event_date, scheduled_send_date, "
    "scheduled_send_time, status, skip_reason, priority, email_template, sms_template"
)


def test_inserted_rows_have_every_column(tmp_path: Path) -> None:  # R90, R91
    file, db = new_org(tmp_path)
    rows = [
        (7, None, None, "2025-07-01", "2025-06-17", BIRTHDAY),
        (8, None, None, "2028-02-29", "2028-02-15", SKIPPED),
        (9, 3, None, "2025-08-01", "2025-07-18", BLAST),
        (7, None, 1, "2025-07-01", "2025-06-03", FOLLOWUP),
    ]
    assert db.write(commit("run1", changes(inserts=rows))) == ()
    db.close()
    ours, skip, time = "pre-scheduled", "exclusion_window:CA", "08:30:00"
    template, cold = "birthday_template", "followup_1_cold_template"
    assert query(file, f"SELECT {CONTENT} FROM email_schedules ORDER BY id") == [
        (7, "birthday", None, None, "2025-07-01", "2025-06-17", time, ours, None, 10, template, None),
        (8, "birthday", None, None, "2028-02-29", "2028-02-15", time, "skipped", skip, 10, template, None),
        (9, "campaign_blast", 3, None, "2025-08-01", "2025-07-18", "09:00:00", ours, None, 5, None, "blast_sms"),
        (7, "followup_1_cold", None, 1, "2025-07-01", "2025-06-03", time, ours, None, 10, cold, None),
    ]
    stamps = query(file, "SELECT DISTINCT scheduler_run_id, created_at, updated_at FROM email_schedules")
    assert stamps == [("run1", "2025-06-01 12:00:00", "2025-06-01 12:00:00")]


def test_updates_keep_id_and_creation(tmp_path: Path) -> None:  # R91, R86
    file, db = new_org(tmp_path)
    first = [(7, None, None, "2025-07-01", "2025-06-17", BIRTHDAY), (7, None, 1, "2025-07-01", "2025-06-03", FOLLOWUP)]
    db.write(commit("run1", changes(inserts=first), timestamp="2025-06-01 12:00:00"))
    clicked = FOLLOWUP._replace(email_type="followup_2_clicked_no_hq", email_template=None)
    moved = [
        (2, (7, None, 1, "2025-07-02", "2025-06-04", clicked)),
        (1, (7, None, None, "2025-07-01", "2025-06-17", SKIPPED)),
    ]
    db.write(commit("run2", changes(updates=moved), timestamp="2025-06-02 12:00:00"))
    db.close()
    columns = "id, email_type, event_date, scheduled_send_date, status, skip_reason, email_template"
    assert query(file, f"SELECT {columns} FROM email_schedules ORDER BY id") == [
        (1, "birthday", "2025-07-01", "2025-06-17", "skipped", "exclusion_window:CA", "birthday_template"),
        (2, "followup_2_clicked_no_hq", "2025-07-02", "2025-06-04", "pre-scheduled", None, None),
    ]
    stamps = query(file, "SELECT DISTINCT scheduler_run_id, created_at, updated_at FROM email_schedules")
    assert stamps == [("run2", "2025-06-01 12:00:00", "2025-06-02 12:00:00")]


@pytest.mark.parametrize(("stored", "planned"), [(0, None), (None, 0)])
def test_an_instance_that_is_null_or_0_is_written_as_planned(
    tmp_path: Path, stored: int | None, planned: int | None
) -> None:  # R7, R90
    file, db = new_org(tmp_path)
    db.write(commit("run1", changes(inserts=[(7, stored, None, "2025-07-01", "2025-06-17", BIRTHDAY)])))
    moved = [(1, (7, planned, None, "2025-07-01", "2025-06-18", BIRTHDAY))]
    db.write(commit("run2", changes(updates=moved)))
    db.close()
    columns = "campaign_instance_id, scheduled_send_date, scheduler_run_id"
    assert query(file, f"SELECT {columns} FROM email_schedules") == [(planned, "2025-06-18", "run2")]


def test_missed_rows_are_marked_and_deleted_rows_gone_for_good(tmp_path: Path) -> None:  # R92
    file, db = new_org(tmp_path)
    rows = [(contact, None, None, "2025-07-01", "2025-06-17", BIRTHDAY) for contact in (1, 2, 3)]
    db.write(commit("run1", changes(inserts=rows)))
    db.write(commit("run2", changes(deletes=[3], missed=[1])))
    db.write(commit("run3", changes(inserts=[(3, None, None, "2025-07-01", "2025-06-17", BIRTHDAY)])))
    db.close()
    assert query(file, "SELECT id, status, skip_reason, scheduler_run_id FROM email_schedules ORDER BY id") == [
        (1, "skipped", "missed_send_date", "run2"),
        (2, "pre-scheduled", None, "run1"),
        (4, "pre-scheduled", None, "run3"),
    ]


@pytest.mark.parametrize("change", ["delete", "miss", "update", "update gone"])
def test_a_row_that_is_not_ours_stops_the_run_and_changes_nothing(tmp_path: Path, change: str) -> None:  # R3, R94
    file, db = new_org(tmp_path)
    row = (1, None, None, "2025-07-01", "2025-06-17", BIRTHDAY)
    db.write(commit("run1", changes(inserts=[row])))
    db.close()
    run_sql(file, "UPDATE email_schedules SET status = 'sent'")
    schedule = {
        "delete": changes(deletes=[1]),
        "miss": changes(missed=[1]),
        "update": changes(updates=[(1, row)]),
        "update gone": changes(updates=[(99, row)]),
    }[change]
    with pytest.raises(OrgError) as failure:
        db.write(commit("run2", schedule, issues=issue_changes([(1, "x")])))
    assert failure.value.code is ErrorCode.CONSERVATION_FAILED
    db.close()
    assert query(file, "SELECT count(*) FROM scheduler_issues") == [(0,)]
    assert query(file, "SELECT count(*) FROM scheduler_checkpoints") == [(1,)]


def test_many_rows_over_several_batches_arrive_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.bulk_write._BATCH_ROWS", 1_000)
    file, db = new_org(tmp_path, chunk_rows=700)
    rng = np.random.default_rng(5)
    count = 4_500
    kinds = (BIRTHDAY, SKIPPED, BLAST, FOLLOWUP)
    kind = np.sort(rng.integers(0, 4, count)).astype(np.int32)
    rows = RowBatch(
        NO_ROWS,
        np.where(rng.random(count) < 0.001, 2**50, 0) + np.arange(count),
        np.where(kind == 2, rng.integers(1, 4, count), NULL_ID),
        np.where(kind == 3, np.arange(count), NULL_ID),
        rng.integers(-25_000, 47_000, count).astype(np.int32),
        rng.integers(20_000, 20_300, count).astype(np.int32),
        kind,
        kinds,
    )
    none = rows_of_none()
    db.write(commit("run1", ScheduleChanges(rows, none, NO_ROWS, NO_ROWS, 0, 0)))
    found = {}
    for chunk in db.schedule_chunks():
        for i in range(len(chunk.contact_id)):
            row_kind, instance_id = chunk.kinds[chunk.kind[i]]
            found[int(chunk.contact_id[i])] = (
                instance_id,
                int(chunk.parent_schedule_id[i]),
                int(chunk.event_date.days[i]),
                int(chunk.scheduled_send_date.days[i]),
                row_kind,
            )
    assert found == {
        int(rows.contact_id[i]): (
            int(rows.campaign_instance_id[i]),
            int(rows.parent_schedule_id[i]),
            int(rows.event_day[i]),
            int(rows.send_day[i]),
            kinds[kind[i]],
        )
        for i in range(count)
    }
    db.close()
    assert query(file, "PRAGMA integrity_check") == [("ok",)]


def rows_of_none() -> RowBatch:
    return changes().updates


def test_issues_are_diffed(tmp_path: Path) -> None:  # R24
    file, db = new_org(tmp_path)
    db.write(commit("run1", issues=issue_changes([(2, "invalid_email"), (1, "missing_email"), (2, "bad_birth_date")])))
    db.write(commit("run2", issues=issue_changes([(3, "state_unknown")], [(2, "invalid_email")])))
    chunks = list(db.issue_chunks())
    found = {
        (int(contact), chunk.issues[code])
        for chunk in chunks
        for contact, code in zip(chunk.contact_id, chunk.issue, strict=True)
    }
    assert found == {(1, "missing_email"), (2, "bad_birth_date"), (3, "state_unknown")}
    db.close()
    assert query(file, "SELECT DISTINCT scheduler_run_id FROM scheduler_issues ORDER BY 1") == [("run1",), ("run2",)]


def test_a_run_is_remembered_with_its_events(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    run_sql(
        file,
        "INSERT INTO campaign_change_log (id, campaign_instance_id, field_changed, changed_at) VALUES (5, 1, 'f', 't')",
    )
    keys = (EventKey("//s", "1"), EventKey("//s", "\N{SNOWMAN}'\""))
    assert db.last_checkpoint() is None
    db.write(commit("run1", event_keys=keys, change_log_ids=(5,)))
    stored = StoredRun("run1", b'{"changed":true}')
    assert db.runs_of_events([*keys, EventKey("//s", "2")]) == {keys[0]: stored, keys[1]: stored}
    assert db.runs_of_events([]) == {}
    mark = db.last_checkpoint()
    assert mark is not None
    assert mark[:3] == ("run1", "2025-06-01", "after")
    assert db.open_change_log_ids() == []
    db.close()
    assert query(file, "SELECT processed_run_id FROM campaign_change_log") == [("run1",)]
    checkpoint = query(
        file, "SELECT contacts_processed, rows_unchanged, status, completed_at FROM scheduler_checkpoints"
    )
    assert checkpoint == [(1, 9, "completed", "2025-06-01 12:00:00")]


def test_events_are_forgotten_after_75_days_and_runs_with_them(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    db.write(commit("old", event_keys=(EventKey("s", "1"),), timestamp="2025-03-17 11:59:59"))
    db.write(commit("kept", event_keys=(EventKey("s", "2"),), timestamp="2025-03-18 12:00:00"))
    db.write(commit("new", event_keys=(EventKey("s", "3"),), timestamp="2025-06-01 12:00:00"))
    db.close()
    assert query(file, "SELECT event_id FROM scheduler_processed_events ORDER BY 1") == [("2",), ("3",)]
    assert query(file, "SELECT run_id FROM scheduler_runs ORDER BY 1") == [("kept",), ("new",)]
    assert query(file, "SELECT count(*) FROM scheduler_checkpoints") == [(3,)]


def test_indexes_come_with_the_first_write(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    assert db.migrate()  # nothing left to migrate, but an index that the next write adds
    db.write(commit("run1", changes(inserts=[(1, None, None, "2025-07-01", "2025-06-17", BIRTHDAY)])))
    assert not db.migrate()
    db.close()
    due = "status = 'pre-scheduled' AND scheduled_send_date = '2025-06-17'"
    plan = query(file, f"EXPLAIN QUERY PLAN SELECT * FROM email_schedules WHERE {due}")
    assert "ix_schedules_due" in plan[0][3]
    with pytest.raises(sqlite3.IntegrityError):
        run_sql(file, same_row("sent"))


def test_the_senders_index_serves_bound_parameters_too(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    db.write(commit())
    db.close()
    raw = sqlite3.connect(file)
    plan = raw.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM email_schedules WHERE status = ? AND scheduled_send_date = ?",
        ("pre-scheduled", "2025-06-17"),
    ).fetchall()
    raw.close()
    assert "ix_schedules_due" in plan[0][3]


def test_owned_duplicates_are_deleted_before_the_unique_index_is_made(tmp_path: Path) -> None:  # R91
    file, db = new_org(tmp_path)
    db.close()
    run_sql(file, *[same_row("pre-scheduled")] * 2)
    assert db.write(commit("run1", changes(deletes=[2]))) == ()
    db.close()
    assert ("ux_schedules_identity",) in query(file, "SELECT name FROM sqlite_master WHERE type = 'index'")


def test_locked_duplicates_leave_an_index_that_is_not_unique_and_a_warning(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    db.close()
    run_sql(file, *[same_row("sent")] * 2)
    assert db.write(commit("run1", changes(inserts=[(1, None, None, "2026-07-01", "2026-06-17", BIRTHDAY)]))) == (
        IDENTITY_NOT_UNIQUE,
    )
    assert not db.migrate()
    assert db.write(commit("run2")) == ()
    db.close()
    assert ("ix_schedules_identity",) in query(file, "SELECT name FROM sqlite_master WHERE type = 'index'")
    assert query(file, "SELECT count(*) FROM email_schedules") == [(3,)]


def same_row(status: str) -> str:
    return (
        "INSERT INTO email_schedules (contact_id, email_type, event_date, scheduled_send_date, status) "
        f"VALUES (1, 'birthday', '2025-07-01', '2025-06-17', '{status}')"
    )


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_the_file_keeps_its_properties_and_no_sidecar(tmp_path: Path, journal_mode: str) -> None:
    file = tmp_path / "org.db"
    raw = sqlite3.connect(file)
    raw.executescript(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE contacts (id INTEGER PRIMARY KEY);"
        f"PRAGMA journal_mode = {journal_mode}; PRAGMA application_id = 77; PRAGMA user_version = 9;"
    )
    raw.close()
    db = open_org(file)
    db.migrate()
    db.write(commit("run1", changes(inserts=[(1, None, None, "2025-07-01", "2025-06-17", BIRTHDAY)])))
    list(db.schedule_chunks())
    db.close()
    assert [path.name for path in tmp_path.iterdir()] == ["org.db"]
    for pragma, expected in (
        ("page_size", 8192), ("auto_vacuum", 2), ("application_id", 77), ("user_version", 9), ("journal_mode", journal_mode),
    ):  # fmt: skip
        assert query(file, f"PRAGMA {pragma}") == [(expected,)]
    assert query(file, "SELECT count(*) FROM email_schedules") == [(1,)]


def test_a_busy_file_is_tried_again_after_1_2_and_4_seconds(tmp_path: Path) -> None:  # R94
    file, db = new_org(tmp_path)
    db.close()
    naps: list[float] = []
    db = open_org(file, naps=naps)
    calls: tuple[Callable[[], object], ...] = (
        db.campaign_types,
        lambda: list(db.schedule_chunks()),
        lambda: db.write(commit()),
    )
    with locked_by_another_process(file, "BEGIN EXCLUSIVE"):
        for call in calls:
            naps.clear()
            with pytest.raises(OrgError) as failure:
                call()
            assert failure.value.code is ErrorCode.DATABASE_BUSY
            assert naps == [1.0, 2.0, 4.0]
    naps.clear()
    db.write(commit())
    assert naps == []


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    db.close()
    run_sql(file, *[f"INSERT INTO contacts (id, email) VALUES ({n}, '{'x' * 300}')" for n in range(200)])
    content = bytearray(file.read_bytes())
    content[4096 * 30 :] = b"\xff" * (len(content) - 4096 * 30)
    file.write_bytes(content)
    with pytest.raises(OrgError) as failure:
        list(open_org(file, chunk_rows=1000).contact_chunks())
    assert failure.value.code is ErrorCode.DATABASE_CORRUPT
    file.write_bytes(b"no database at all" * 100)
    for call in (open_org(file).migrate, lambda: list(open_org(file).schedule_chunks())):
        with pytest.raises(OrgError) as failure:
            call()
        assert failure.value.code is ErrorCode.NOT_SQLITE
    file.unlink()
    with pytest.raises(OrgError) as failure:
        open_org(file).migrate()
    assert failure.value.code is ErrorCode.FILE_MISSING
    assert not file.exists()


def test_a_foreign_constraint_is_named_without_contents(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    db.close()
    run_sql(file, "CREATE UNIQUE INDEX theirs ON email_schedules (contact_id, email_type, scheduled_send_date)")
    rows = [(1, None, None, event, "2025-06-17", BIRTHDAY) for event in ("2025-07-01", "2025-07-02")]
    with pytest.raises(OrgError) as failure:
        db.write(commit("run1", changes(inserts=rows)))
    assert failure.value.code is ErrorCode.SCHEMA_NOT_UNDERSTOOD
    assert "email_schedules.scheduled_send_date" in failure.value.detail
    assert "birthday" not in failure.value.detail
