"""The contract of ``--json``: checked-in schemas that are current, sound, and kept by what commands really write."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from handlers.cli_output import COMMAND_OUTPUTS
from handlers.cli_schemas import documents, file_name, main, schema_files
from infra.local_bucket import LocalBucket
from infra.settings import SETTINGS
from tests.command_line import REPOSITORY, Ran, new_org, run, strict_validator

FOLDER = REPOSITORY / "docs" / "cli-json"

TRIED_ELSEWHERE = {
    "demo": "tests/acceptance/test_demo.py",
    "serve": "tests/acceptance: it does not end by itself",
    "worker": "tests/acceptance/test_pubsub.py",
    "dead-letters list": "tests/acceptance/test_pubsub.py",
    "dead-letters replay": "tests/acceptance/test_pubsub.py",
}
"""Commands that this file does not run, with where they are run."""


def test_the_checked_in_schemas_are_current() -> None:
    checked_in = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    assert checked_in == dict(schema_files()), "run: python -m handlers.cli_schemas docs/cli-json"


def test_the_generator_writes_what_is_checked_in_and_removes_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone.json").write_text("{}")
    main([str(tmp_path)])
    assert {file.name for file in tmp_path.iterdir()} == {file_name(command) for command, _ in documents()}


@pytest.mark.parametrize("command", [command for command, _ in documents()])
def test_each_schema_is_sound_and_requires_every_field(command: str) -> None:
    schema = json.loads((FOLDER / file_name(command)).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert sorted(schema["required"]) == sorted(schema["properties"])


def test_a_document_with_another_shape_is_noticed() -> None:
    good = {"healthy": True, "findings": [{"check": "disk", "state": "ok", "detail": "", "hint": None}]}
    validator = strict_validator("doctor")
    assert not list(validator.iter_errors(good))
    assert list(validator.iter_errors({**good, "more": 1}))
    assert list(validator.iter_errors({"healthy": True}))
    assert list(
        validator.iter_errors({**good, "findings": [{"check": "disk", "state": "fine", "detail": "", "hint": ""}]})
    )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an embedded bucket that has one org, and two files."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    file = new_org(tmp_path / "file.db")
    bucket = LocalBucket(str(tmp_path / "data" / "bucket"))
    bucket.upload("org-data/acme.db", str(file), if_generation_match=0, metadata={})
    (tmp_path / "what-if.json").write_text('{"max_emails_per_period": 1}')
    return tmp_path


def _generations(world: Path) -> list[str]:
    return [str(info.generation) for info in LocalBucket(str(world / "data" / "bucket")).versions("org-data/acme.db")]


COMMAND_LINES: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "run": lambda _: ("run", "acme"),
    "fan-out": lambda _: ("fan-out", "--include", "ac*"),
    "hold": lambda _: ("hold", "acme"),
    "release": lambda _: ("release", "acme"),
    "schedule": lambda _: ("schedule", "file.db"),
    "plan": lambda _: ("plan", "acme"),
    "plan --all": lambda _: ("plan", "--all"),
    "due": lambda _: ("due", "acme"),
    "explain": lambda _: ("explain", "file.db", "1"),
    "certify": lambda _: ("certify", "acme"),
    "report": lambda _: ("report", "file.db"),
    "make-org": lambda _: ("make-org", "new.db", "--contacts", "5", "--seed", "1"),
    "doctor": lambda _: ("doctor", "acme"),
    "status": lambda _: ("status",),
    "versions": lambda _: ("versions", "acme"),
    "backup": lambda _: ("backup", "acme"),
    "pull": lambda _: ("pull", "acme", "pulled.db"),
    "diff": lambda world: ("diff", "acme", *_generations(world)[:2]),
    "restore": lambda world: ("restore", "acme", _generations(world)[0], "--yes"),
    "reconcile": lambda _: ("reconcile", "acme"),
    "config show": lambda _: ("config", "show", "acme"),
    "config set": lambda _: ("config", "set", "acme", "max_emails_per_period=2", "--note", "test"),
    "config history": lambda _: ("config", "history", "acme"),
    "config rollback": lambda world: ("config", "rollback", "acme", _config_id(world)),
    "campaign list": lambda _: ("campaign", "list", "acme"),
    "campaign set": lambda _: ("campaign", "set", "acme", "--type", "news", "priority=5"),
}


def _config_id(world: Path) -> str:
    return str(run("config", "history", "acme", "--json").json["versions"][0]["config_id"])


def test_every_command_has_an_example_here() -> None:
    assert set(COMMAND_LINES) | set(TRIED_ELSEWHERE) == set(COMMAND_OUTPUTS)


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_what_a_command_writes_is_what_its_schema_says(command: str, world: Path) -> None:
    if command in {"diff", "restore"}:
        assert run("run", "acme").code == 0  # a second version
    ran: Ran = run(*COMMAND_LINES[command](world), "--json")  # held to the schema by the helper
    assert ran.code == 0, ran.err[-2000:]
    document: dict[str, Any] = ran.json
    assert "error" not in document


def test_an_error_is_the_error_document(world: Path) -> None:
    ran = run("run", "nobody", "--json")
    assert ran.code == 4
    assert not list(strict_validator("error").iter_errors(ran.json))
