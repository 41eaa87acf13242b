"""The command explain: one document, no trace, no person."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from handlers.cli_look_output import ExplainOutput
from infra.settings import SETTINGS
from tests.command_line import AS_OF, execute, new_org, query, run, tree


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "data"
    assert not [name for name in os.listdir(tmp_path) if name.endswith((".tmp", "-wal", "-shm"))]  # noqa: PTH208


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return new_org(tmp_path / "acme.db")


def explained(*args: str | Path) -> ExplainOutput:
    ran = run("explain", *args, *AS_OF, "--json")
    assert ran.code == 0, ran.err
    return msgspec.json.decode(ran.out, type=ExplainOutput)


def test_explain_of_a_file_is_the_plan_of_one_contact_and_leaves_no_trace(file: Path) -> None:
    before = tree(file.parent)
    scheduled = {}
    for contact in (1, 2, 3, 4, 5):
        told = explained(file, str(contact)).explanation
        scheduled[contact] = sorted(
            (mail.email_type, str(mail.send_date), mail.reason) for mail in told.mails if mail.stored is not None
        )
    assert tree(file.parent) == before
    assert run("schedule", file, *AS_OF).code == 0
    for contact, mails in scheduled.items():
        rows = query(
            file,
            "SELECT email_type, scheduled_send_date, skip_reason FROM email_schedules WHERE status IN "
            f"('pre-scheduled', 'skipped') AND scheduled_send_date >= '2025-03-10' AND contact_id = {contact}",
        )
        assert sorted(mail for mail in mails if mail[1] >= "2025-03-10") == sorted(rows)
    settled = explained(file, "1").explanation
    assert {mail.stored.change for mail in settled.mails if mail.stored} <= {"unchanged", "held"}


def test_explain_of_an_org_reads_the_mirror_and_writes_nothing(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("run", "acme", "--create").code == 0
    before = tree(data_dir)

    def refuse(*_args: object, **_facts: object) -> None:
        raise AssertionError("a current mirror needs no download")

    monkeypatch.setattr("infra.local_bucket.LocalBucket.download", refuse)
    missing = run("explain", "acme", "1", "--json")
    assert (missing.code, missing.error["code"]) == (4, "contact_missing")
    assert tree(data_dir) == before


def test_explain_prints_steps_and_rules_and_no_person(file: Path) -> None:
    people = query(file, "SELECT email, last_name, birth_date FROM contacts WHERE id = 7")[0]
    shown = run("explain", file, "7", *AS_OF)
    assert shown.code == 0
    assert "Contact 7 of" in shown.out
    assert "state " in shown.out
    assert "Without a row" in shown.out
    assert "[R" in shown.out
    for personal in people:
        assert not personal or personal not in shown.out + shown.err


def test_a_what_if_configuration_changes_the_explanation_and_nothing_else(file: Path, tmp_path: Path) -> None:
    execute(
        file, "UPDATE contacts SET email = 'a@example.com', status = '', state = 'TX', zip_code = NULL WHERE id = 1"
    )
    execute(file, "UPDATE contacts SET birth_date = '1950-12-24' WHERE id = 1")
    config = tmp_path / "near.json"
    config.write_text('{"lookahead_days": 30}')
    plain, near = explained(file, "1"), explained(file, "1", "--config", config)
    assert (plain.what_if, near.what_if) == (False, True)
    assert plain.config_hash != near.config_hash
    reasons = [mail.reason for mail in near.explanation.mails if mail.email_type == "birthday"]
    assert reasons == ["beyond_lookahead"]
    config.write_text('{"lookahead_days": 0}')
    refused = run("explain", file, "1", "--config", config, "--json")
    assert (refused.code, refused.error["code"]) == (1, "config_invalid")
    assert "lookahead_days" in refused.error["detail"]


def test_a_contact_is_an_id(file: Path) -> None:
    assert run("explain", file, "ann@example.com").code == 2
    assert run("explain", file, "4711", "--json").error["code"] == "contact_missing"
