"""Synthetic orgs: the same again for the same seed, nobody real, and all that a real org has."""

import csv
from datetime import date
from importlib import resources
from pathlib import Path

import pytest

from infra.synthetic import CONTACTS_MAX, make_org
from infra.synthetic_people import POPULATION_THOUSANDS
from tests.unit.org_samples import open_org, query

TODAY = date(2025, 6, 1)


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("synthetic") / "org.db"
    make_org(str(file), contacts=20_000, seed=7, today=TODAY)
    return file


def one(file: Path, sql: str) -> float:
    return float(query(file, sql)[0][0])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_org(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.db", "b.db", "c.db")]
    for file, seed in zip(files, (3, 3, 4), strict=True):
        make_org(str(file), contacts=300, seed=seed, today=TODAY)
    a, b, c = (file.read_bytes() for file in files)
    assert a == b
    assert a != c


def test_nobody_is_real(org: Path) -> None:
    emails = [
        email.strip().lower() for (email,) in query(org, "SELECT email FROM contacts WHERE email LIKE '%example%'")
    ]
    assert {email[email.index("example") :] for email in emails} == {
        "example.com", "example.org", "example.net", "example",
    }  # fmt: skip
    assert one(org, "SELECT count(*) FROM contacts WHERE trim(email) <> '' AND email NOT LIKE '%example%'") == 0
    assert one(org, "SELECT count(*) FROM contacts WHERE phone_number NOT LIKE '+1-555-01__'") == 0


def test_people_live_where_people_live(org: Path) -> None:
    text = resources.files("core.planning").joinpath("data", "zip_state.csv").read_text(encoding="ascii")
    state_of = dict(csv.reader(text.split()))
    zips = [
        zip_code
        for (zip_code,) in query(org, "SELECT zip_code FROM contacts WHERE zip_code GLOB '[0-9][0-9][0-9][0-9][0-9]'")
    ]
    states = [state_of[zip_code] for zip_code in zips if zip_code != "00000"]
    assert set(states) == set(POPULATION_THOUSANDS)
    assert len(POPULATION_THOUSANDS) == 51
    california = states.count("CA") / len(states)
    assert abs(california - 39_538 / sum(POPULATION_THOUSANDS.values())) < 0.01


def test_fields_are_missing_and_broken_in_every_way(org: Path) -> None:
    total = one(org, "SELECT count(*) FROM contacts")
    assert total == 20_000
    for column, low, high in (
        ("trim(coalesce(email, '')) = ''", 0.005, 0.05),
        ("zip_code IS NULL", 0.005, 0.05),
        ("length(zip_code) = 4", 0.001, 0.05),
        ("zip_code LIKE '_____-____'", 0.005, 0.05),
        ("birth_date IS NULL", 0.005, 0.05),
        ("birth_date GLOB '*/*'", 0.001, 0.05),
        ("birth_date LIKE '%-02-29'", 0.001, 0.05),
        ("effective_date LIKE '%-02-30'", 0.001, 0.05),
        ("effective_date LIKE '%-01'", 0.5, 0.7),
        ("lower(trim(status)) IN ('unsubscribed', 'do_not_contact', 'deceased', 'deleted')", 0.02, 0.15),
        ("failed_underwriting <> 0", 0.02, 0.06),
        ("carrier IS NULL", 0.005, 0.05),
        ("state = ' ca '", 0.0001, 0.05),
    ):
        share = one(org, f"SELECT count(*) FROM contacts WHERE {column}") / total
        assert low < share < high, column


def test_the_past_has_every_status_and_no_row_twice(org: Path) -> None:
    statuses = {status for (status,) in query(org, "SELECT DISTINCT status FROM email_schedules")}
    assert statuses == {
        "pre-scheduled", "skipped", "scheduled", "processing", "accepted", "deferred", "sent", "delivered", "failed",
        "bounced", "dropped", "cancelled",
    }  # fmt: skip
    identity = "event_date, contact_id, email_type, coalesce(campaign_instance_id, 0), coalesce(parent_schedule_id, 0)"
    assert query(org, f"SELECT 1 FROM email_schedules GROUP BY {identity} HAVING count(*) > 1") == []
    parents = "email_schedules AS p ON p.id = c.parent_schedule_id AND p.contact_id = c.contact_id"
    followups = one(org, "SELECT count(*) FROM email_schedules WHERE email_type LIKE 'followup%'")
    assert followups > 100
    assert one(org, f"SELECT count(*) FROM email_schedules AS c JOIN {parents}") == followups
    for table in ("tracking_clicks", "contact_events", "contact_campaigns", "campaign_instances", "campaign_types"):
        assert one(org, f"SELECT count(*) FROM {table}") > 5


def test_the_store_reads_it_without_a_migration_but_for_the_indexes(org: Path) -> None:
    db = open_org(org, chunk_rows=7_000)
    assert db.migrate()
    assert sum(len(chunk.contact_id) for chunk in db.contact_chunks()) == 20_000
    assert sum(len(chunk.row_id) for chunk in db.schedule_chunks()) == one(org, "SELECT count(*) FROM email_schedules")
    db.close()
    assert len(db.config_rows()) == 1
    db.close()


def test_an_existing_file_is_left_alone_and_a_failure_leaves_none(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    file.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        make_org(str(file), contacts=1, seed=1, today=TODAY)
    assert file.read_bytes() == b"mine"
    with pytest.raises(ValueError, match="contacts"):
        make_org(str(tmp_path / "new.db"), contacts=CONTACTS_MAX + 1, seed=1, today=TODAY)
    assert [path.name for path in tmp_path.iterdir()] == ["org.db"]
    make_org(str(tmp_path / "none.db"), contacts=0, seed=1, today=TODAY)
    assert one(tmp_path / "none.db", "SELECT count(*) FROM contacts") == 0
