"""The command line's manners: exit codes, one JSON document, one block per error, help with an example."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.runs.errors import ERRORS, ErrorCode, OrgError
from handlers import cli_errors
from handlers.bootstrap import local_bus_file
from handlers.cli_errors import EXIT_MEANINGS, Exit, describe
from handlers.cli_options import LOCAL_ORG, org_id_of_file
from handlers.cli_output import COMMAND_OUTPUTS, ErrorOutput, MakeOrgOutput, PlanOutput, ReportOutput, RunOutput
from infra.local_bucket import LocalBucket
from infra.local_bus import read_messages
from infra.settings import SETTINGS, Settings
from tests.command_line import AS_OF, DAY, REPOSITORY, new_org, query, run, spawn, tree


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    folder = tmp_path / "data"
    monkeypatch.setenv("DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    yield folder
    for name in os.listdir(tmp_path):  # noqa: PTH208 - nothing of a command may be left beside its files
        assert not name.endswith((".emailsched", ".tmp", "-wal", "-shm", "-journal")), name


@pytest.mark.parametrize("command", COMMAND_OUTPUTS)
def test_help_of_each_command_shows_an_example_and_the_exit_codes(command: str) -> None:
    shown = run(*command.split(), "--help")
    assert shown.code == 0
    assert f"Example: {'PORT=8080 ' if command == 'serve' else ''}emailsched {command}" in shown.out
    assert "--json" in shown.out
    assert re.search(r"0\s+done.*3\s+retry\s+later.*4\s+refused", shown.out, re.DOTALL)


def test_help_documents_every_exit_code() -> None:
    shown = run("--help")
    words = " ".join(shown.out.split())
    assert shown.code == 0
    for code in EXIT_MEANINGS:
        assert f"{code.value}: " in words


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("frobnicate",), "No such command"),
        (("run", "acme", "--frobnicate"), "No such option"),
        (("schedule",), "Missing argument"),
        (("plan", "acme", "--as-of", "2025-02-30"), "YYYY-MM-DD"),
        (("plan", "acme", "--as-of", "20250301"), "YYYY-MM-DD"),
        (("schedule", "x.db", "--run-id", "a b"), "Invalid value for '--run-id'"),
        (("make-org", "x.db", "--contacts", "-1", "--seed", "1"), "Invalid value for '--contacts'"),
        (("make-org", "x.db", "--seed", "1"), "Missing option '--contacts'"),
        (("run", "../etc"), "is no org id"),
        (("run",), "no org was named"),
        (("plan",), "no org was named"),
    ],
)
def test_wrong_usage_exits_2_and_says_why(args: tuple[str, ...], told: str) -> None:
    plain = run(*args)
    assert (plain.code, plain.out) == (2, "")
    assert told in plain.err
    assert "Traceback" not in plain.err
    as_json = run(*args, "--json")
    assert as_json.code == 2
    assert as_json.error["code"] == "wrong_usage"
    assert told in as_json.error["detail"]


@pytest.mark.parametrize(
    ("words", "position", "expected"),
    [("emailsched rec", 1, {"reconcile"}), ("emailsched config ", 2, {"show", "set", "history", "rollback"})],
)
def test_a_shell_is_told_how_a_command_goes_on(words: str, position: int, expected: set[str]) -> None:
    shell = {"_EMAILSCHED_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(position)}
    assert set(spawn(env=shell).out.split()) == expected


def test_no_command_shows_help_and_exits_2() -> None:
    shown = run()
    assert shown.code == 2
    assert "Usage: emailsched" in shown.out


def test_every_error_code_has_an_exit_code_by_its_answer() -> None:
    for code in ErrorCode:
        body, exit_code = describe(OrgError(code, "acme", "detail"))
        assert exit_code == {"retry": 3, "reject": 4, "fail": 1}[ERRORS[code].answer]
        assert (body.code, body.org_id, body.retryable) == (code.value, "acme", exit_code is Exit.RETRY_LATER)


def test_an_error_is_one_block_with_code_org_why_and_what_to_do() -> None:
    refused = run("run", "acme")
    assert (refused.code, refused.out) == (4, "")
    block = refused.err[refused.err.index("object_missing: emailsched run did not succeed") :].splitlines()
    assert [line.split()[0] for line in block] == ["object_missing:", "org", "why", "do", "retry"]


def test_an_error_in_json_is_the_only_thing_on_stdout() -> None:
    refused = run("run", "acme", "--json")
    assert refused.code == 4
    assert refused.error["code"] == "object_missing"
    assert refused.error["org_id"] == "acme"
    assert refused.error["retryable"] is False


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_SLOTS", "many")
    refused = run("run", "acme", "--json")
    assert refused.code == 4
    assert refused.error["code"] == "settings_invalid"
    assert "RUN_SLOTS" in refused.error["detail"]


def test_an_unexpected_exception_shows_its_place_and_not_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_args: object, **_facts: object) -> None:
        raise LookupError("ann@example.com")

    monkeypatch.setattr("infra.synthetic.make_org", explode)
    args = ("make-org", "x.db", "--contacts", "1", "--seed", "1", "--json")
    failed = run(*args)
    assert failed.code == 1
    assert failed.error["detail"].startswith("LookupError in explode")
    assert "ann@example.com" not in failed.out + failed.err
    assert "Traceback" not in failed.err
    assert "Traceback" in run("--debug", *args).err
    assert "Traceback" in run(*args, env={"EMAILSCHED_DEBUG": "1"}).err


def test_ctrl_c_exits_130_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_args: object, **_facts: object) -> None:
        raise KeyboardInterrupt

    file = new_org(tmp_path / "acme.db")
    before = tree(tmp_path)
    monkeypatch.setattr("handlers.local_run.reconcile", interrupt)
    stopped = run("schedule", file, "--json")
    assert stopped.code == 130
    assert stopped.error["code"] == "interrupted"
    assert "Traceback" not in stopped.err
    assert tree(tmp_path) == before


def test_make_org_refuses_to_overwrite_unless_told(tmp_path: Path) -> None:
    args = ("make-org", tmp_path / "acme.db", "--contacts", "20", "--seed", "7", *AS_OF)
    made = run(*args, "--json")
    output = msgspec.json.decode(made.out, type=MakeOrgOutput)
    assert (made.code, output.contacts, output.seed, output.as_of) == (0, 20, 7, DAY)
    content = (tmp_path / "acme.db").read_bytes()
    assert len(content) == output.size_bytes
    assert run(*args).code == 2
    (tmp_path / "acme.db").write_bytes(b"something else")
    assert run(*args, "--overwrite").code == 0
    assert (tmp_path / "acme.db").read_bytes() == content
    assert query(tmp_path / "acme.db", "SELECT count(*) FROM contacts") == [(20,)]


def test_make_org_without_the_folder_is_refused(tmp_path: Path) -> None:
    refused = run("make-org", tmp_path / "no" / "x.db", "--contacts", "1", "--seed", "1", "--json")
    assert (refused.code, refused.error["code"]) == (4, "file_missing")


def test_run_goes_through_the_service_and_publishes(data_dir: Path) -> None:
    ran = run("run", "acme", "--create", "--json")
    assert ran.code == 0
    output = msgspec.json.decode(ran.out, type=RunOutput)
    assert set(ran.json) == {"event", "completed"}
    assert output.event.source == "//emailsched/cli"
    assert output.completed.event_ids == (output.event,)
    assert (output.completed.changed, output.completed.counts.contacts) == (True, 0)
    (message,) = read_messages(local_bus_file(Settings(data_dir=data_dir))).messages
    assert message.attributes["ce-orgid"] == "acme"
    again = msgspec.json.decode(run("run", "acme", "--json").out, type=RunOutput)
    assert (again.completed.changed, again.completed.generation) == (False, output.completed.generation)


def test_run_takes_the_default_org_and_prints_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORG_ID", "acme")
    ran = run("run", "--create")
    assert ran.code == 0
    for word in ("Run of acme", "changed", "generation", "durations", "moved", "0 -> "):
        assert word in ran.out


def test_run_refuses_an_as_of_far_away_unless_forced() -> None:
    refused = run("run", "acme", "--create", *AS_OF, "--json")
    assert (refused.code, refused.error["code"]) == (4, "as_of_refused")
    forced = run("run", "acme", "--create", *AS_OF, "--force", "--json")
    assert forced.code == 0
    assert forced.json["completed"]["as_of"] == DAY.isoformat()
    assert "as_of_forced" in forced.json["completed"]["warnings"]


def test_plan_of_an_org_leaves_no_trace_in_the_bucket(data_dir: Path) -> None:
    assert run("run", "acme", "--create").code == 0
    before = tree(data_dir)
    planned = run("plan", "acme", "--json", *AS_OF)
    output = msgspec.json.decode(planned.out, type=PlanOutput)
    assert planned.code == 0
    assert set(planned.json) == {f.encode_name for f in msgspec.structs.fields(PlanOutput)}
    assert output.file is None
    assert output.generation == output.completed.generation
    assert tree(data_dir) == before


def test_plan_of_an_org_without_an_object_makes_no_folder(data_dir: Path) -> None:
    refused = run("plan", "acme", "--json")
    assert (refused.code, refused.error["code"]) == (4, "object_missing")
    assert not data_dir.exists()


def test_report_writes_a_page_or_prints_it(tmp_path: Path) -> None:
    file = new_org(tmp_path / "acme.db")
    before = (file.stat().st_mtime_ns, file.read_bytes())
    printed = run("report", file, *AS_OF)
    assert printed.out.startswith("<!DOCTYPE html>")
    written = run("report", file, "--out", tmp_path / "acme.html", "--json", *AS_OF)
    output = msgspec.json.decode(written.out, type=ReportOutput)
    assert (output.out, output.html) == (str(tmp_path / "acme.html"), None)
    assert "acme: e-mail plan" in (tmp_path / "acme.html").read_text(encoding="utf-8")
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before
    assert run("report", file, "--out", tmp_path / "no" / "acme.html").code == 4


@pytest.mark.parametrize(("name", "org_id"), [("acme.db", "acme"), ("a b.db", LOCAL_ORG), (".db", LOCAL_ORG)])
def test_a_file_is_an_org_named_after_it(name: str, org_id: str) -> None:
    assert org_id_of_file(Path("/somewhere") / name) == org_id


def test_an_existing_path_is_a_file_even_if_it_looks_like_an_org(tmp_path: Path) -> None:
    new_org(tmp_path / "acme")
    planned = run("plan", "acme", "--json", *AS_OF)
    assert (planned.json["file"], planned.json["generation"]) == ("acme", None)


def test_as_a_process_stdout_is_data_and_stderr_is_log(tmp_path: Path) -> None:
    ran = spawn("run", "acme", "--create", "--json", env={"DATA_DIR": str(tmp_path / "data")})
    assert ran.code == 0
    assert ran.json["completed"]["changed"] is True
    assert all(msgspec.json.decode(line, type=dict[str, Any]) for line in ran.err.splitlines())
    assert spawn("run", "acme", "--nonsense").code == 2


def test_the_text_of_every_exit_code_is_in_one_table() -> None:
    assert set(EXIT_MEANINGS) == set(Exit)
    assert set(cli_errors.EXIT_OF_ANSWER.values()) < set(Exit)


def test_the_document_has_the_exit_codes_and_the_form_of_errors() -> None:
    text = (REPOSITORY / "docs" / "command-line.md").read_text(encoding="utf-8")
    table = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)}
    assert table == {code.value: meaning for code, meaning in EXIT_MEANINGS.items()}
    (example,) = re.findall(r"```json\n(.+)\n```", text)
    error = msgspec.json.decode(example, type=ErrorOutput).error
    assert describe(OrgError(ErrorCode(error.code), error.org_id, error.detail))[0] == error


def test_fan_out_without_a_bus_runs_the_orgs_and_says_which_did_not_end_well(data_dir: Path) -> None:
    bucket = LocalBucket(str(data_dir / "bucket"))
    file = new_org(data_dir.parent / "org.db")
    for org in ("good", "also-good", "left-out"):
        bucket.upload(f"org-data/{org}.db", str(file), if_generation_match=0, metadata={})
    garbage = data_dir.parent / "garbage.db"
    garbage.write_bytes(b"no database at all " * 500)
    bucket.upload("org-data/bad.db", str(garbage), if_generation_match=0, metadata={})
    bucket.write("org-data/notes.txt", b"x", if_generation_match=0, metadata={})

    ran = run("fan-out", "--exclude", "left-*", "--json")
    assert ran.code == 1
    assert {name: ran.json[name] for name in ("orgs_asked", "orgs_left_out", "names_skipped", "topic")} == {
        "orgs_asked": 3, "orgs_left_out": 1, "names_skipped": 1, "topic": None,
    }  # fmt: skip
    assert [(r["org_id"], r["outcome"], r["changed"], r["code"]) for r in ran.json["runs"]] == [
        ("also-good", "done", True, None),
        ("bad", "failed", None, "not_sqlite"),
        ("good", "done", True, None),
    ]
    again = run("fan-out", "--include", "*good")
    assert again.code == 0
    assert "2 were in place" in again.out


def test_fan_out_refuses_a_pattern_that_no_org_can_match(data_dir: Path) -> None:
    ran = run("fan-out", "--include", "a/b", "--json")
    assert (ran.code, ran.error["code"]) == (2, "wrong_usage")
