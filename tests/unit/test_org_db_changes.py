"""Campaigns and configuration written into an org database: one transaction each, log rows with ids, times and names."""

from pathlib import Path

import pytest

from core.runs.change_ports import CampaignWrites, InstanceKey, LoggedChange
from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import ConfigRow
from infra.org_db import SqliteOrgDatabase
from tests.unit.org_samples import new_org, open_org, query, run_sql

AT = "2026-03-02 12:00:00"
SPRING = InstanceKey("newsletter", "spring")


def writes(**parts: object) -> CampaignWrites:
    nothing: dict[str, object] = {"new_types": {}, "types": {}, "new_instances": {}, "instances": {}, "log": ()}
    return CampaignWrites(**{**nothing, **parts})  # type: ignore[arg-type]


@pytest.fixture
def org(tmp_path: Path) -> tuple[Path, SqliteOrgDatabase]:
    return new_org(tmp_path)


def test_a_new_type_gets_the_defaults_of_the_schema(org: tuple[Path, SqliteOrgDatabase]) -> None:
    file, db = org
    db.change_campaigns(writes(new_types={"newsletter": {"priority": "5"}}), at=AT, by=None)
    assert query(file, "SELECT * FROM campaign_types") == [("newsletter", 1, 1, 0, 0, 5, 1, 0, 0, AT, AT)]
    stored = db.stored_campaigns(["newsletter"]).types["newsletter"]
    assert (stored["priority"], stored["active"], stored["spread_evenly"]) == ("5", "1", "0")


def test_a_changed_type_keeps_its_other_columns(org: tuple[Path, SqliteOrgDatabase]) -> None:
    file, db = org
    run_sql(file, "INSERT INTO campaign_types (name, priority, created_at, updated_at) VALUES ('a', 7, 'c', 'u')")
    db.change_campaigns(writes(types={"a": {"active": "0"}}), at=AT, by=None)
    assert query(file, "SELECT name, priority, active, typeof(active), created_at, updated_at FROM campaign_types") == [
        ("a", 7, 0, "integer", "c", AT)
    ]


def test_instances_and_their_log(org: tuple[Path, SqliteOrgDatabase]) -> None:
    file, db = org
    run_sql(
        file, "INSERT INTO campaign_instances (id, campaign_type, instance_name) VALUES (40, 'newsletter', 'autumn')"
    )
    autumn = InstanceKey("newsletter", "autumn")
    db.change_campaigns(
        writes(
            new_instances={SPRING: {"email_template": "e", "metadata": "{}"}},
            instances={autumn: {"sms_template": "s", "target_states": None}},
            log=(
                LoggedChange(SPRING, "created", None, "spring", requires_rescheduling=True),
                LoggedChange(autumn, "sms_template", None, "s", requires_rescheduling=False),
            ),
        ),
        at=AT,
        by="ann",
    )
    columns = "id, instance_name, email_template, sms_template, target_states, metadata, updated_at"
    assert query(file, f"SELECT {columns} FROM campaign_instances ORDER BY id") == [
        (40, "autumn", None, "s", None, None, AT),
        (41, "spring", "e", None, None, "{}", AT),
    ]
    assert query(file, "SELECT * FROM campaign_change_log") == [
        (1, 41, "created", None, "spring", AT, "ann", 1, None),
        (2, 40, "sms_template", None, "s", AT, "ann", 0, None),
    ]


def test_all_or_nothing(org: tuple[Path, SqliteOrgDatabase]) -> None:
    file, db = org
    run_sql(file, "CREATE TRIGGER t BEFORE INSERT ON campaign_instances BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(OrgError):
        db.change_campaigns(writes(new_types={"newsletter": {}}, new_instances={SPRING: {}}), at=AT, by=None)
    assert query(file, "SELECT count(*) FROM campaign_types") == [(0,)]


def test_a_column_that_others_added_and_require_is_named(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    run_sql(
        file,
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY)",
        "CREATE TABLE campaign_types (name TEXT PRIMARY KEY, colour TEXT NOT NULL)",
    )
    db = open_org(file)
    db.migrate()
    with pytest.raises(OrgError) as refused:
        db.change_campaigns(writes(new_types={"newsletter": {}}), at=AT, by=None)
    assert refused.value.code is ErrorCode.SCHEMA_NOT_UNDERSTOOD
    assert "campaign_types.colour" in refused.value.detail


def test_only_the_types_that_are_asked_for_are_read(org: tuple[Path, SqliteOrgDatabase]) -> None:
    file, db = org
    run_sql(
        file,
        "INSERT INTO campaign_types (name) VALUES ('a'), ('b'), (NULL)",
        "INSERT INTO campaign_instances (id, campaign_type, instance_name) "
        "VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', 'z')",
    )
    stored = db.stored_campaigns(["a", "c"])
    assert (set(stored.types), set(stored.instances)) == ({"a"}, {("a", "x"), ("c", "z")})
    assert stored.instances[InstanceKey("c", "z")]["id"] == "3"
    everything = db.stored_campaigns(None)
    assert (set(everything.types), len(everything.instances)) == ({"a", "b"}, 3)


def test_a_text_longer_than_any_event_carries_is_cut(org: tuple[Path, SqliteOrgDatabase]) -> None:
    file, db = org
    run_sql(
        file,
        "INSERT INTO campaign_instances (campaign_type, instance_name, target_carriers) "
        "VALUES ('a', 'x', printf('%.*c', 20000, 'c'))",
    )
    assert len(db.stored_campaigns(["a"]).instances[InstanceKey("a", "x")]["target_carriers"] or "") == 10_001


def test_r13_one_row_ends_as_the_next_begins(org: tuple[Path, SqliteOrgDatabase]) -> None:
    file, db = org
    run_sql(file, "INSERT INTO config_versions VALUES (7, '{}', '2020-01-01 00:00:00', NULL, 'c', 'b', 'n')")
    db.open_config('{"min_daily_cap":5}', closes=7, at=AT, by="ann", note="why")
    assert db.config_rows() == [
        ConfigRow(7, "{}", "2020-01-01 00:00:00", AT, "c", "b", "n"),
        ConfigRow(8, '{"min_daily_cap":5}', AT, None, AT, "ann", "why"),
    ]


def test_r13_the_first_row_ends_none(org: tuple[Path, SqliteOrgDatabase]) -> None:
    _, db = org
    db.open_config("{}", closes=None, at=AT, by=None, note=None)
    assert db.config_rows() == [ConfigRow(1, "{}", AT, None, AT, None, None)]


def test_r13_the_old_row_stays_open_if_the_new_one_cannot_be_written(org: tuple[Path, SqliteOrgDatabase]) -> None:
    file, db = org
    run_sql(
        file,
        "INSERT INTO config_versions (id, config_data, valid_from) VALUES (7, '{}', '2020-01-01 00:00:00')",
        "CREATE TRIGGER t BEFORE INSERT ON config_versions BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    with pytest.raises(OrgError):
        db.open_config("{}", closes=7, at=AT, by=None, note=None)
    assert query(file, "SELECT valid_to FROM config_versions") == [(None,)]
