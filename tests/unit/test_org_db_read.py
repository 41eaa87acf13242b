"""Reading an org database: what each method yields, in chunks, and by which query plan."""

from pathlib import Path

import apsw
import pytest

from core.planning.columns import NULL_ID
from core.planning.snapshot import CampaignInstance, CampaignType, RowKind
from infra import org_tables
from infra.packed_read import PackedTable, bound_sql, packed_sql, read_chunks, rows_sql
from tests.unit.org_samples import new_org, open_org, query, run_sql, texts

TABLES = {
    "contacts": org_tables.contacts("carrier"),
    "schedules": org_tables.SCHEDULES,
    "issues": org_tables.ISSUES,
    "enrolments": org_tables.ENROLMENTS,
    "clicks": org_tables.CLICKS,
    "answers": org_tables.ANSWERS,
}


@pytest.mark.parametrize("name", TABLES)
def test_every_big_read_walks_the_tables_own_tree(tmp_path: Path, name: str) -> None:
    file, db = new_org(tmp_path)
    db.close()
    run_sql(
        file,
        "CREATE INDEX a ON email_schedules (status, scheduled_send_date)",
        "CREATE INDEX b ON contact_campaigns (status, contact_id)",
        "CREATE INDEX c ON tracking_clicks (clicked_at, contact_id)",
        "CREATE INDEX d ON contact_events (event_type, created_at, contact_id)",
        "CREATE INDEX e ON contacts (status)",
    )
    table: PackedTable = TABLES[name]
    connection = apsw.Connection(str(file))
    parameters = (0, 1000, "2025-01-01")
    for sql in (packed_sql(table), rows_sql(table), bound_sql(table)):
        needed = parameters[: 3 if "?3" in sql else 2]
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, needed)]
        tree = "USING PRIMARY KEY" if name == "issues" else "USING INTEGER PRIMARY KEY"
        assert len(plan) == 1
        assert tree in plan[0]
        assert ">?" in plan[0]


def test_contacts_come_raw_and_in_chunks(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    db.close()
    run_sql(
        file,
        "INSERT INTO contacts (id, email, zip_code, failed_underwriting) VALUES (-3, 'a@example.com', 2134, 'yes')",
        "INSERT INTO contacts (id, status, birth_date, carrier) VALUES (7, ' Deleted', '', 'Aetna'), (9, '', NULL, NULL)",
        "INSERT INTO contacts (id, state, effective_date, failed_underwriting) VALUES (10, 'ca', x'3230', 0)",
    )
    chunks = list(db.contact_chunks())
    assert [chunk.contact_id.tolist() for chunk in chunks] == [[-3, 7, 9], [10]]
    assert texts(chunk.email for chunk in chunks) == ["a@example.com", None, None, None]
    assert texts(chunk.zip_code for chunk in chunks) == ["2134", None, None, None]
    assert texts(chunk.status for chunk in chunks) == ["", " Deleted", "", ""]
    assert texts(chunk.birth_date for chunk in chunks) == [None, "", None, None]
    assert texts(chunk.carrier for chunk in chunks) == [None, "Aetna", None, None]
    assert texts(chunk.state for chunk in chunks) == [None, None, None, "ca"]
    assert texts(chunk.effective_date for chunk in chunks) == [None, None, None, "20"]
    assert [flag for chunk in chunks for flag in chunk.failed_underwriting.tolist()] == [True, False, False, False]


def test_the_carrier_may_be_called_current_carrier(tmp_path: Path) -> None:  # R9
    file = tmp_path / "org.db"
    run_sql(
        file,
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, Current_Carrier TEXT)",
        "INSERT INTO contacts VALUES (1, 'Humana')",
    )
    db = open_org(file)
    db.migrate()
    assert texts(chunk.carrier for chunk in db.contact_chunks()) == ["Humana"]
    assert "carrier" not in [row[1] for row in query(file, "PRAGMA table_info(contacts)")]


def test_schedule_rows_share_their_kinds(tmp_path: Path) -> None:
    file, db = new_org(tmp_path, chunk_rows=100)
    db.close()
    insert = "INSERT INTO email_schedules (contact_id, email_type, event_date, scheduled_send_date, status, skip_reason"
    run_sql(
        file,
        f"{insert}, priority) VALUES (1, 'birthday', '2025-01-01', '2024-12-18', 'sent', NULL, 10)",
        f"{insert}, priority) VALUES (2, 'birthday', '2025-01-02', '2024-12-19', 'sent', NULL, 10)",
        f"{insert}, parent_schedule_id, priority) VALUES (2, 'aep', '2025-01-02', '2024-12-19', 'skipped', '', 2, 30)",
        "UPDATE email_schedules SET actual_send_datetime = '2024-12-18 08:31:00', campaign_instance_id = 5 WHERE id = 1",
    )
    (chunk,) = db.schedule_chunks()
    assert chunk.row_id.tolist() == [1, 2, 3]
    assert chunk.contact_id.tolist() == [1, 2, 2]
    assert chunk.parent_schedule_id.tolist() == [NULL_ID, NULL_ID, 2]
    assert chunk.actual_send_datetime.rows.tolist() == [0]
    assert chunk.actual_send_datetime.texts.value(0) == "2024-12-18 08:31:00"
    sent = RowKind("birthday", "sent", None, "08:30:00", 10, None, None)
    skipped = RowKind("aep", "skipped", "", "08:30:00", 30, None, None)
    assert [chunk.kinds[code] for code in chunk.kind.tolist()] == [(sent, 5), (sent, NULL_ID), (skipped, NULL_ID)]
    assert len(chunk.kinds) == 3


def test_enrolments_clicks_and_answers_are_the_ones_that_count(tmp_path: Path) -> None:  # R54, R82
    file, db = new_org(tmp_path)
    db.close()
    enrol = "INSERT INTO contact_campaigns (id, contact_id, campaign_instance_id, trigger_date, status) VALUES"
    event = "INSERT INTO contact_events (id, contact_id, event_type, metadata, created_at) VALUES"
    run_sql(
        file,
        f"{enrol} (1, 10, 1, '2025-07-01', 'pending'), (2, 11, 1, NULL, 'scheduled'), (3, 12, 1, NULL, 'sent')",
        "INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES (1, '2025-05-01'), (2, '2025-04-30 23:59'), (3, NULL)",
        "INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES (4, '2025-06-01 10:00:00'), (NULL, '2025-06-01')",
        "INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES (7, ' 2025-05-01'), (8, char(9) || '2025-05-01')",
        f"{event} (1, 5, 'eligibility_answered', '{{}}', '2025-05-02'), (2, 5, 'opened', NULL, '2025-05-02')",
        f"{event} (3, 6, 'eligibility_answered', NULL, '2025-04-02')",
    )
    (enrolments,) = db.enrolment_chunks()
    assert enrolments.enrolment_id.tolist() == [1, 2]
    assert enrolments.contact_id.tolist() == [10, 11]
    assert texts([enrolments.trigger_date]) == ["2025-07-01", None]
    clicks = list(db.click_chunks("2025-05-01"))
    assert [contact for chunk in clicks for contact in chunk.contact_id.tolist()] == [1, 4, 7, 8]
    (answers,) = db.answer_chunks("2025-05-01")
    assert (answers.event_id.tolist(), answers.contact_id.tolist()) == ([1], [5])
    assert texts([answers.metadata, answers.created_at]) == ["{}", "2025-05-02"]


def test_campaign_rows_are_read_whatever_is_in_them(tmp_path: Path) -> None:  # R97
    file, db = new_org(tmp_path)
    db.close()
    run_sql(
        file,
        "INSERT INTO campaign_types (name) VALUES ('plain')",
        "INSERT INTO campaign_types (name, priority, days_before_event, active) VALUES ('odd', 'high', 'x', 2)",
        "INSERT INTO campaign_types (name) VALUES (NULL)",
        "INSERT INTO campaign_instances (id, campaign_type, instance_name, active_start_date, metadata, created_at) "
        "VALUES (4, 'plain', 'i', 20250101, '{\"priority\": 1}', '2025-01-01')",
    )
    assert db.campaign_types() == [
        CampaignType("odd", True, True, 0, False, 0, True, False, False),  # noqa: FBT003 - in the table's order
        CampaignType("plain", True, True, 0, False, 30, True, False, False),  # noqa: FBT003
    ]
    assert db.campaign_instances() == [
        CampaignInstance(
            4, "plain", None, None, "20250101", None, None, None, None, None, '{"priority": 1}', "2025-01-01"
        )
    ]


def test_open_changes_of_campaigns(tmp_path: Path) -> None:  # R58
    file, db = new_org(tmp_path)
    db.close()
    columns = "(id, campaign_instance_id, field_changed, changed_at, requires_rescheduling, processed_run_id)"
    run_sql(
        file,
        f"INSERT INTO campaign_change_log {columns} VALUES (1, 1, 'f', 't', 1, NULL), (2, 1, 'f', 't', 0, NULL)",
        f"INSERT INTO campaign_change_log {columns} VALUES (3, 1, 'f', 't', 1, 'run0'), (4, 1, 'f', 't', 1, NULL)",
    )
    assert db.open_change_log_ids() == [1, 2, 4]  # a template's change too: a completed run stamps it


def test_chunks_of_two_tables_may_be_read_side_by_side_but_not_with_other_methods(tmp_path: Path) -> None:
    file, db = new_org(tmp_path, chunk_rows=1)
    db.close()
    run_sql(file, "INSERT INTO contacts (id) VALUES (1), (2)", "INSERT INTO scheduler_issues VALUES (1, 'a', 'r')")
    contacts, issues = db.contact_chunks(), db.issue_chunks()
    assert next(contacts).contact_id.tolist() == [1]
    assert next(issues).issues == ("a",)
    with pytest.raises(RuntimeError):
        db.campaign_types()
    assert next(contacts).contact_id.tolist() == [2]
    assert list(contacts) == []
    assert list(issues) == []
    assert db.campaign_types() == []


def test_tables_that_are_read_in_one_block_are_of_one_state(tmp_path: Path) -> None:
    file, db = new_org(tmp_path)
    db.close()
    writer, insert = apsw.Connection(str(file)), "INSERT INTO scheduler_issues VALUES (1, 'a', 'r')"
    with db.reading():
        assert list(db.contact_chunks()) == []
        with pytest.raises(apsw.BusyError):
            writer.execute(insert)
        with pytest.raises(RuntimeError):
            db.campaign_types()
        assert list(db.issue_chunks()) == []
    writer.execute(insert)
    writer.close()
    assert len(list(db.issue_chunks())) == 1


def test_a_reader_that_was_given_up_does_not_disturb_the_next(tmp_path: Path) -> None:
    file, db = new_org(tmp_path, chunk_rows=1)
    db.close()
    run_sql(file, "INSERT INTO contacts (id) VALUES (1), (2)")
    abandoned = db.contact_chunks()
    next(abandoned)
    db.close()
    following = db.contact_chunks()
    next(following)
    del abandoned
    with pytest.raises(RuntimeError):
        db.campaign_types()
    assert next(following).contact_id.tolist() == [2]
    del following
    assert db.campaign_types() == []
    db.close()
    assert [path.name for path in tmp_path.iterdir()] == ["org.db"]


@pytest.mark.parametrize("chunk_rows", [1, 2, 7])
def test_sparse_and_negative_keys_are_read_once_each(chunk_rows: int) -> None:
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    keys = [-(2**62), -1, 0, 1, 5, 2**40, 2**63 - 2, 2**63 - 1]
    db.executemany("INSERT INTO t VALUES (?)", [(key,) for key in keys])
    chunks = read_chunks(db, PackedTable(table="t", key="id", ints=("id",)), chunk_rows=chunk_rows)
    assert [key for chunk in chunks for key in chunk.ints[0].tolist()] == keys


def test_a_filtered_table_may_have_empty_ranges() -> None:
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    db.executemany("INSERT INTO t VALUES (?, ?)", [(key, "x" if key in {2, 19} else "y") for key in range(20)])
    table = PackedTable(table="t", key="id", ints=("id",), condition="+a = ?3")
    assert [c.ints[0].tolist() for c in read_chunks(db, table, ("x",), chunk_rows=4)] == [[2], [19]]


@pytest.mark.parametrize("stored", ["'high'", "'9223372036854775808'", "1e30", "x'ff'", "'-9223372036854775809'"])
def test_a_priority_that_is_no_64_bit_number_stops_no_run(tmp_path: Path, stored: str) -> None:  # R97
    file, db = new_org(tmp_path)
    db.close()
    run_sql(
        file,
        "ALTER TABLE email_schedules RENAME COLUMN priority TO old",
        "ALTER TABLE email_schedules ADD COLUMN priority TEXT",
        "INSERT INTO email_schedules (contact_id, email_type, event_date, scheduled_send_date, priority) "
        f"VALUES (1, 'birthday', '2025-04-01', '2025-03-18', {stored})",
    )
    (chunk,) = db.schedule_chunks()
    assert [kind.priority for kind, _ in chunk.kinds] == [NULL_ID]
