"""``emailsched config`` and ``campaign``: changes through the service or a private copy, looks that write nothing."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from handlers.bootstrap import local_bus_file
from handlers.cli_change_output import CampaignListOutput, ChangeOutput, ConfigHistoryOutput, ConfigShowOutput
from infra.local_bus import read_messages
from infra.settings import SETTINGS, Settings
from tests.command_line import Ran, execute, new_org, query, run, tree


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    folder = tmp_path / "data"
    monkeypatch.setenv("DATA_DIR", str(folder))
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.chdir(tmp_path)
    yield folder
    left = [path.name for path in tmp_path.iterdir()]
    assert not [name for name in left if name.endswith((".emailsched", ".tmp", "-wal", "-shm", "-journal"))]


@pytest.fixture
def acme() -> None:
    assert run("run", "acme", "--create").code == 0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return new_org(tmp_path / "local.db")


def changed(ran: Ran) -> ChangeOutput:
    assert ran.code == 0, ran.err
    assert set(ran.json) == set(ChangeOutput.__struct_fields__)
    return msgspec.json.decode(ran.out, type=ChangeOutput)


def shown(target: str | Path) -> ConfigShowOutput:
    ran = run("config", "show", target, "--json")
    assert ran.code == 0, ran.err
    return msgspec.json.decode(ran.out, type=ConfigShowOutput)


def listed(target: str | Path) -> CampaignListOutput:
    ran = run("campaign", "list", target, "--json")
    assert ran.code == 0, ran.err
    return msgspec.json.decode(ran.out, type=CampaignListOutput)


@pytest.mark.usefixtures("acme")
def test_config_set_goes_through_the_service(data_dir: Path) -> None:
    set_ = ("config", "set", "acme", "min_daily_cap=20", "timezone=America/Denver", "aep_years=[2026]", "--note", "why")
    output = changed(run(*set_, "--json"))
    assert (output.file, output.file_replaced) == (None, None)
    assert (output.event.source, output.completed.changed) == ("//emailsched/cli", True)
    assert output.completed.event_ids == (output.event,)
    messages = read_messages(local_bus_file(Settings(data_dir=data_dir))).messages
    assert messages[-1].attributes["ce-type"] == "com.emailscheduler.run.completed.v1"
    state = shown("acme")
    assert state.stored == {"aep_years": [2026], "min_daily_cap": 20, "timezone": "America/Denver"}
    assert state.effective is not None
    assert (state.effective["min_daily_cap"], state.effective["send_time_hour"]) == (20, 8)
    assert (state.config_id, state.config_hash) == (1, output.completed.config_hash)
    assert state.generation == output.completed.generation
    again = changed(run(*set_, "--json"))
    assert (again.completed.changed, again.completed.generation) == (False, output.completed.generation)


@pytest.mark.usefixtures("acme")
def test_config_history_and_rollback() -> None:
    changed(run("config", "set", "acme", "min_daily_cap=20", "--author", "bob", "--json"))
    changed(run("config", "set", "acme", "aep_enabled=false", "--unset", "min_daily_cap", "--json"))
    changed(run("config", "rollback", "acme", "1", "--note", "back", "--json"))
    ran = run("config", "history", "acme", "--json")
    versions = msgspec.json.decode(ran.out, type=ConfigHistoryOutput).versions
    assert [(v.config_id, v.in_force, v.created_by, v.note, v.config_data) for v in versions] == [
        (3, True, "ann", "back", '{"min_daily_cap":20}'),
        (2, False, "ann", None, '{"aep_enabled":false}'),
        (1, False, "bob", None, '{"min_daily_cap":20}'),
    ]
    unknown = run("config", "rollback", "acme", "9", "--json")
    assert (unknown.code, unknown.error["code"]) == (4, "config_missing")


@pytest.mark.usefixtures("acme")
def test_a_bad_key_exits_1_names_it_and_changes_nothing(data_dir: Path) -> None:
    before = shown("acme").generation
    refused = run("config", "set", "acme", "min_dayly_cap=20", "--json")
    assert (refused.code, refused.error["code"]) == (1, "config_invalid")
    assert refused.error["detail"] == "the new configuration: min_dayly_cap: unknown key"
    assert "config_invalid: emailsched config set did not succeed" in refused.err
    assert shown("acme").generation == before


@pytest.mark.usefixtures("acme")
def test_looks_leave_no_trace(data_dir: Path) -> None:
    before = tree(data_dir)
    for command in (("config", "show"), ("config", "history"), ("campaign", "list")):
        assert run(*command, "acme").code == 0
        assert run(*command, "acme", "--json").code == 0
    assert tree(data_dir) == before


def test_looks_at_an_org_without_an_object_make_no_folder(data_dir: Path) -> None:
    for command in (("config", "show"), ("config", "history"), ("campaign", "list")):
        refused = run(*command, "acme", "--json")
        assert (refused.code, refused.error["code"]) == (4, "object_missing")
    assert not data_dir.exists()


def test_config_of_a_file(file: Path, data_dir: Path) -> None:
    before = file.read_bytes()
    assert shown(file).config_id == query(file, "SELECT max(id) FROM config_versions")[0][0]
    assert file.read_bytes() == before
    output = changed(run("config", "set", file, "min_daily_cap=77", "--json"))
    assert (output.file, output.file_replaced, output.completed.generation) == (str(file), True, None)
    state = shown(file)
    assert state.stored is not None
    assert state.stored["min_daily_cap"] == 77
    carried = query(file, "SELECT event_id, run_id FROM scheduler_processed_events WHERE source = '//emailsched/cli'")
    assert carried == [(output.event.id, output.completed.run_id)]
    assert not data_dir.exists()
    content = file.read_bytes()
    again = changed(run("config", "set", file, "min_daily_cap=77", "--json"))
    assert (again.file_replaced, again.completed.changed) == (False, False)
    assert run("config", "set", file, "min_daily_cap=0").code == 1
    assert file.read_bytes() == content


def test_a_whole_configuration_from_a_file_or_stdin(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"min_daily_cap": 5}', encoding="utf-8")
    changed(run("config", "set", file, "--json-file", tmp_path / "config.json", "--json"))
    assert shown(file).stored == {"min_daily_cap": 5}
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b'{"min_daily_cap": 6}')))
    changed(run("config", "set", file, "--json-file", "-", "--json"))
    assert shown(file).stored == {"min_daily_cap": 6}


def test_a_configuration_that_cannot_be_used_is_shown_with_its_problems_and_repaired(file: Path) -> None:
    execute(file, "DELETE FROM config_versions")
    execute(
        file,
        "INSERT INTO config_versions (id, config_data, valid_from) "
        'VALUES (5, \'{"colour": "red", "min_daily_cap": 5}\', \'2020-01-01 00:00:00\')',
    )
    state = shown(file)
    assert (state.config_id, state.effective, state.config_hash) == (5, None, None)
    assert state.problems == ("colour: unknown key",)
    assert "cannot be used: colour: unknown key" in run("config", "show", file).out
    changed(run("config", "set", file, "--unset", "colour", "--json"))
    assert shown(file).problems == ()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("config", "set", "acme"), "nothing to set"),
        (("config", "set", "acme", "min_daily_cap"), "is no KEY=VALUE"),
        (("config", "set", "acme", "a=1", "a=2"), "given twice"),
        (("config", "set", "acme", "a=1", "--unset", "a"), "both set and unset"),
        (("config", "set", "acme", "a=1", "--json-file", "x.json"), "a whole configuration and single keys"),
        (("config", "rollback", "acme", "first"), "Invalid value for 'ID'"),
        (("config", "frobnicate"), "No such command"),
        (("campaign", "set", "acme"), "one campaign, or a file"),
        (("campaign", "set", "acme", "--type", "a", "--json-file", "x.json"), "one campaign, or a file"),
        (("campaign", "set", "acme", "--type", "a", "colour=red"), "no such field: colour"),
        (("campaign", "set", "acme", "--type", "a", "active=1"), "/data/types/0/active has the wrong JSON type"),
        (("campaign", "set", "acme", "--type", "a", "active=null"), "/data/types/0/active has the wrong JSON type"),
        (("campaign", "set", "acme", "--type", " a"), "/data/types/0/name"),
        (("campaign", "set", "acme", "--type", "a", "--instance", "b", "metadata=[1]"), "/data/instances/0/metadata"),
        (("campaign", "set", "acme", "--type", "a", "--instance", "b", 'metadata={"a":1,"a":2}'), "the same key twice"),
        (("campaign", "set", "acme", "--type", "a", f"priority={2**63}"), "does not fit 64 bits"),
    ],
)
def test_wrong_usage_exits_2_and_says_why(args: tuple[str, ...], told: str, data_dir: Path) -> None:
    refused = run(*args, "--json")
    assert refused.code == 2
    assert refused.error["code"] == "wrong_usage"
    assert told in refused.error["detail"]
    assert not data_dir.exists()


def test_a_group_without_a_command_is_wrong_usage() -> None:
    for group in ("config", "campaign"):
        refused = run(group)
        assert (refused.code, refused.out) == (2, "")
        assert "Missing command" in refused.err
        assert f"emailsched {group} --help" in refused.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[]", "no JSON object"),
        (b"{", "not well-formed JSON"),
        (b" " * 1_000_001, "too large"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_json_file_that_is_no_change_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    for command in (("config", "set", "acme"), ("campaign", "set", "acme")):
        refused = run(*command, "--json-file", tmp_path / "x.json", "--json")
        assert (refused.code, told in refused.error["detail"]) == (2, True)
    assert run("config", "set", "acme", "--json-file", tmp_path / "y.json").code == 4


@pytest.mark.usefixtures("acme")
def test_campaign_set_makes_and_changes_types_and_instances() -> None:
    to_type = ("campaign", "set", "acme", "--type", "newsletter")
    changed(run(*to_type, "target_all_contacts=true", "days_before_event=-3", "--json"))
    to_spring = (*to_type, "--instance", "Spring 26")
    dates = ("active_start_date=2026-03-01", "active_end_date=2026-02-30")
    output = changed(run(*to_spring, *dates, "email_template=123", 'metadata={"priority":"high"}', "--json"))
    assert output.completed.issues_by_code == {"bad_campaign_dates": 1, "bad_campaign_metadata": 1}
    campaigns = listed("acme")
    (kind,), (instance,) = campaigns.types, campaigns.instances
    assert (kind.name, kind.target_all_contacts, kind.days_before_event, kind.priority) == ("newsletter", True, -3, 30)
    assert (instance.instance_name, instance.email_template, instance.sms_template) == ("Spring 26", "123", None)
    assert (instance.metadata, instance.type_exists) == ('{"priority":"high"}', True)
    assert instance.issues == ("bad_campaign_dates", "bad_campaign_metadata")
    changed(run(*to_spring, "active_end_date=null", "metadata=null", "--json"))
    assert listed("acme").instances[0].issues == ()
    assert changed(run(*to_spring, "metadata=null", "--json")).completed.changed is False
    assert "newsletter" in run("campaign", "list", "acme").out


def test_campaigns_of_a_file_from_a_json_file(file: Path, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        "types": [{"name": "cross-sell", "active": False}],
        "instances": [{"campaign_type": "cross-sell", "instance_name": "one", "target_states": "CA"}],
    }
    (tmp_path / "campaigns.json").write_text(json.dumps(wanted), encoding="utf-8")
    output = changed(run("campaign", "set", file, "--json-file", tmp_path / "campaigns.json", "--json"))
    assert output.file_replaced is True
    assert "cross-sell" in {kind.name for kind in listed(file).types}
    sql = "SELECT field_changed, changed_by, processed_run_id FROM campaign_change_log ORDER BY id DESC LIMIT 1"
    assert query(file, sql) == [("created", "ann", output.completed.run_id)]


def test_markup_in_stored_texts_is_shown_as_it_is(file: Path) -> None:
    changed(run("config", "set", file, "min_daily_cap=9", "--note", "[red]urgent[/red]", "--json"))
    assert "[red]urgent[/red]" in run("config", "history", file).out
