"""The command plan: days that add up, a what-if, and all orgs of the bucket."""

import json
from pathlib import Path

import msgspec
import pytest

from handlers.cli_output import PlanAllOutput, PlanOutput
from infra.local_bucket import LocalBucket
from infra.settings import SETTINGS
from tests.command_line import AS_OF, execute, new_org, query, run, tree


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(*args: str | Path) -> PlanOutput:
    ran = run("plan", *args, "--json")
    assert ran.code == 0, ran.err
    return msgspec.json.decode(ran.out, type=PlanOutput)


def per_day(file: Path) -> dict[str, int]:
    sql = "SELECT scheduled_send_date, count(*) FROM email_schedules WHERE status = 'pre-scheduled' GROUP BY 1"
    return dict(query(file, sql))


def test_the_days_of_a_plan_lead_from_what_is_stored_to_what_a_run_stores(folder: Path) -> None:
    file = new_org(folder / "acme.db")
    assert run("schedule", file, *AS_OF).code == 0
    execute(file, "DELETE FROM email_schedules WHERE id % 7 = 0 AND status = 'pre-scheduled'")
    execute(file, "UPDATE email_schedules SET priority = 77 WHERE id % 5 = 0 AND status = 'pre-scheduled'")
    execute(
        file,
        "INSERT INTO email_schedules (contact_id, email_type, event_date, scheduled_send_date, status) "
        "VALUES (1, 'birthday', '2031-01-01', '2025-05-05', 'pre-scheduled')",
    )
    before = per_day(file)
    output = planned(file, "--as-of", "2025-03-14")
    assert run("schedule", file, "--as-of", "2025-03-14").code == 0
    after = per_day(file)
    told = {str(day.day): day for day in output.days}
    for day in sorted({*before, *after}):
        if day in told:
            assert (told[day].before, told[day].after) == (before.get(day, 0), after.get(day, 0)), day
        else:
            assert before.get(day, 0) == after.get(day, 0), day
    assert sum(day.moved_in for day in output.days) == sum(day.moved_out for day in output.days) > 0
    assert sum(day.changed for day in output.days) > 0
    assert sum(day.dropped for day in output.days) > 0


def test_a_plan_prints_what_comes_and_goes_per_day(folder: Path) -> None:
    shown = run("plan", new_org(folder / "acme.db"), *AS_OF)
    assert shown.code == 0
    for word in ("What would change, per day", "moved in", "later days"):
        assert word in shown.out


def test_a_what_if_configuration_is_planned_with_and_not_stored(folder: Path) -> None:
    file = new_org(folder / "acme.db")
    before = tree(folder)
    config = folder / "what-if.json"
    config.write_text(json.dumps({"aep_enabled": False, "min_daily_cap": 5}))
    plain, other = planned(file, *AS_OF), planned(file, *AS_OF, "--config", config)
    config.unlink()
    assert tree(folder) == before
    assert (plain.what_if, other.what_if) == (False, True)
    assert "aep" in plain.completed.scheduled_by_type
    assert "aep" not in other.completed.scheduled_by_type
    assert plain.completed.config_hash != other.completed.config_hash


@pytest.mark.parametrize(("text", "told"), [('{"nonsense": 1}', "nonsense"), ("[]", "JSON object"), ("{", "JSON")])
def test_a_bad_what_if_configuration_names_what_is_wrong(folder: Path, text: str, told: str) -> None:
    file, config = new_org(folder / "acme.db"), folder / "bad.json"
    config.write_text(text)
    refused = run("plan", file, "--config", config, "--json")
    assert (refused.code, refused.error["code"]) == (1, "config_invalid")
    assert told in refused.error["detail"]
    assert run("plan", file, "--config", folder / "no.json", "--json").error["code"] == "file_missing"


def upload(folder: Path, org: str, file: Path) -> None:
    bucket = LocalBucket(str(folder / "data" / "bucket"))
    bucket.upload(f"org-data/{org}.db", str(file), if_generation_match=0, metadata={})


def test_all_orgs_are_planned_and_one_that_fails_stops_no_other(folder: Path) -> None:
    upload(folder, "acme", new_org(folder / "a.db", contacts=30))
    upload(folder, "zeta", new_org(folder / "z.db", contacts=20, seed=2))
    (folder / "bad.db").write_bytes(b"no database" * 100)
    upload(folder, "broken", folder / "bad.db")
    before = tree(folder / "data")
    ran = run("plan", "--all", *AS_OF, "--json")
    assert ran.code == 1
    output = msgspec.json.decode(ran.out, type=PlanAllOutput)
    assert tree(folder / "data") == before
    assert [line.org_id for line in output.orgs] == ["acme", "broken", "zeta"]
    acme, broken, zeta = output.orgs
    assert broken.error is not None
    assert (broken.error.code, broken.counts) == ("not_sqlite", None)
    assert acme.counts is not None
    assert zeta.counts is not None
    assert output.totals.contacts == 50
    assert output.totals.rows_inserted == acme.counts.rows_inserted + zeta.counts.rows_inserted
    assert (output.orgs_failed, output.orgs_changed) == (1, 2)
    shown = run("plan", "--all", *AS_OF)
    assert shown.code == 1
    for word in ("acme", "zeta", "not_sqlite", "3 orgs", "1 failed"):
        assert word in shown.out


def test_all_orgs_of_no_bucket_are_none() -> None:
    ran = run("plan", "--all", "--json")
    assert (ran.code, ran.json["orgs"], ran.json["totals"]["contacts"]) == (0, [], 0)
    assert run("plan", "acme", "--all").code == 2
