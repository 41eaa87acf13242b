"""The handbook is held to the code: commands with their options, make targets, alerts, log records, settings, variables."""

import re
import shlex
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from core.planning.checker import Violation
from core.planning.config import ConfigError, parse_config
from core.planning.ledger import ConservationError
from core.runs.checkpoint import CheckpointMark
from core.runs.errors import ERRORS, ErrorCode, OrgError
from core.runs.planning_date import require_committable
from handlers.cli import app
from handlers.docs_failures import FAILURES, failures
from handlers.docs_operations import MEASURED, PRICES, VERSIONS_KEPT
from infra.settings import SETTINGS, Settings
from tests.acceptance.server_process import running_server
from tests.terraform.test_alerts import LOG_RULES, RULES, logged_events
from tests.terraform.tree import TERRAFORM, of_kind, parsed, variables
from tests.test_docs import documents, fenced

ROOT = Path(__file__).parents[1]
HANDBOOK = [ROOT / name for name in ("docs/deployment.md", "docs/operations.md", "docs/events.md", "SECURITY.md")]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
BOOK = pytest.mark.parametrize("file", HANDBOOK, ids=lambda file: file.name)
SHELL = r"[|;&]+|\$\(|xargs(?: -\w+)*"


def section(text: str, heading: str) -> str:
    """Return what lies between a heading and the next of its level."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    assert found is not None, heading
    return found[1]


# ------------------------------------------------------------------------------------------------ commands


def shell_lines(text: str) -> Iterator[str]:
    for block in fenced(text, "sh"):
        yield from block.replace("\\\n", " ").splitlines()


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every `emailsched ...` in shell blocks and in backticks."""
    quoted = re.findall(r"`(emailsched [^`]+)`", text)
    for line in [*shell_lines(text), *quoted]:
        for part in re.split(SHELL, line):
            words = part.strip().split()
            if words[:1] == ["emailsched"] and len(words) > 1:
                yield words[1:]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and its own words."""
    found: Any = typer.main.get_command(app)
    rest = list(words)
    while rest and (below := getattr(found, "commands", None)) is not None:
        name = rest.pop(0)
        assert name in below, f"there is no emailsched {' '.join(words)}"
        found = below[name]
    return found, rest


@BOOK
def test_every_command_exists_with_its_options(file: Path) -> None:
    for words in commands(file.read_text(encoding="utf-8")):
        command, rest = command_of(words)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known, words


@BOOK
def test_shell_blocks_are_whole(file: Path) -> None:
    for line in shell_lines(file.read_text(encoding="utf-8")):
        shlex.split(line, comments=True)


def test_every_make_target_in_a_document_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for file in documents():
        text = file.read_text(encoding="utf-8")
        lines = "\n".join(fenced(text, "sh") + re.findall(r"^    (.*)$", text, flags=re.MULTILINE))
        named = re.findall(r"`make ([a-z][a-z-]*)", text) + re.findall(
            r"^\s*make ([a-z][a-z-]*)", lines, flags=re.MULTILINE
        )
        assert set(named) <= targets, file.name


# ------------------------------------------------------------------------------------------------ failures and alerts


def test_every_failure_has_a_word_and_none_has_two() -> None:
    assert set(FAILURES) == set(ERRORS), "say in handlers/docs_failures.py what causes it and what to do"


def test_every_failure_is_in_the_handbook_with_its_log_line_cause_and_cure() -> None:
    assert failures() in OPERATIONS
    for code in ERRORS:
        found = re.search(rf"^#### {code.value}\n(.*?)(?=^#|\Z)", OPERATIONS, flags=re.DOTALL | re.MULTILINE)
        assert found is not None
        assert "**Cause.**" in found[1]
        assert "**Do.**" in found[1]
        assert f'"{code.value}"' in found[1] or "with exit code" in found[1]


def test_log_lines_of_the_handbook_have_the_words_of_the_program() -> None:
    with pytest.raises(OrgError) as past:
        require_committable(date(2026, 11, 20), date(2026, 11, 24), CheckpointMark("r", "2026-11-24", None), "acme")
    with pytest.raises(ConfigError) as config:
        parse_config('{"max_emails_per_period": 0}', lambda _name: True)
    violation = Violation(17, "birthday", "2026-11-24", "R40 CA birth")
    said = {
        ErrorCode.AS_OF_REFUSED: past.value.detail,
        ErrorCode.CONFIG_INVALID: f"config_versions id 7: {config.value}",
        ErrorCode.CONSERVATION_FAILED: str(ConservationError(1200, 99, 1100)),
        ErrorCode.CHECK_FAILED: f"1 rows, the first: {violation}",
        ErrorCode.WAITERS_FULL: f"{Settings().max_waiters} messages wait",
    }
    assert {code: FAILURES[code].detail for code in said} == said


def alerts() -> set[str]:
    [messages] = [item["message_alerts"] for item in parsed(TERRAFORM / "locals.tf")["locals"]]
    names = {rule["alert"] for rule in (*RULES, *LOG_RULES)} | set(messages)
    [scheduler] = [
        body["display_name"] for name, body in of_kind("google_monitoring_alert_policy").items() if name == "scheduler"
    ]
    return names | {scheduler.rpartition(" ")[2]}


def test_every_alert_is_in_the_handbook_and_no_other() -> None:
    rows = re.findall(r"^\| ([A-Z][A-Za-z]+) \|", section(OPERATIONS, "Alerts"), flags=re.MULTILINE)
    assert sorted(rows) == sorted(alerts())


def test_every_alert_leads_to_a_page_that_is_there() -> None:
    texts = [rule["annotations"]["description"] for rule in RULES] + [rule["description"] for rule in LOG_RULES]
    for page in re.findall(r"docs/\w+\.md", " ".join(texts) + (TERRAFORM / "locals.tf").read_text(encoding="utf-8")):
        assert (ROOT / page).is_file(), page


def test_every_log_record_in_the_handbook_is_one() -> None:
    table = OPERATIONS[OPERATIONS.index("Records that are no failures") : OPERATIONS.index("## Messages wait")]
    named = set(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^\| (.*?) \|", table, flags=re.MULTILINE))))
    assert len(named) > 8
    assert named <= logged_events()


def documented(name: str) -> list[str]:
    found = re.search(rf"<!-- log:{name} -->\n```text\n(.*?)```", DEPLOYMENT, flags=re.DOTALL)
    assert found is not None
    return found[1].split()


def test_the_log_of_a_start_and_of_a_run_is_as_documented(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.make_org("acme", contacts=20)
        assert server.push("1", {"org_id": "acme"}).status == 204
        events = [record["event"] for record in server.log()]
    start, run = documented("start"), documented("run")
    assert [event for event in events if event in start] == start
    assert [event for event in events if event in run] == run


# ------------------------------------------------------------------------------------------------ names


@BOOK
def test_every_setting_that_is_named_exists(file: Path) -> None:
    """What is set in a shell block or named in backticks in capitals with an underscore is a setting of the program."""
    text = file.read_text(encoding="utf-8")
    named = set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)=", "\n".join(shell_lines(text))))
    named |= set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text))
    others = {"PYTHON_IMAGE", "CA_BUNDLE"}
    assert named - {setting.name for setting in SETTINGS} - others == set()


@BOOK
def test_every_terraform_variable_that_is_named_exists(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    named = set(re.findall(r"-var (\w+)=", text))
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?: = [^`]*)?`", text))
    known = set(variables())
    assert named <= known
    similar = {
        word
        for word in words
        if word.endswith(("_days", "_kept", "_endpoint", "_schedules", "_publishers", "_consumers"))
    }
    assert similar <= known


def test_topics_and_subscriptions_in_documents_are_those_of_terraform() -> None:
    known = {"email-scheduler", "email-scheduler-app", "email-scheduler-push"}
    known |= {f"email-scheduler-{name}" for name in ("requests", "changes", "bulk", "completions", "dead-letters")}
    known |= {"email-scheduler-requests-push", "email-scheduler-changes-push", "email-scheduler-bulk-pull"}
    for file in HANDBOOK:
        named = set(re.findall(r"\bemail-scheduler[a-z-]*", file.read_text(encoding="utf-8")))
        assert {name.rstrip("-") for name in named} <= known, file.name


# ------------------------------------------------------------------------------------------------ cost


def test_the_cost_of_a_million_contacts_by_hand() -> None:
    """1.18 GB, live and 37 old versions at $0.023: $1.03; a cold machine reads all of it at $0.12: $0.142."""
    assert pytest.approx((0.12, 0.005 / 1000, 0.0004 / 1000, 0.023)) == tuple(PRICES)
    assert variables()["noncurrent_days"]["default"] + variables()["soft_delete_days"]["default"] == VERSIONS_KEPT
    assert round(1_000_000 * MEASURED.database_bytes_per_contact / 1e9 * 38 * 0.023, 2) == 1.03
    row = next(line for line in DEPLOYMENT.splitlines() if line.startswith("| 1,000,000 |"))
    assert "| $0.142 | $1.03 |" in row


def test_the_prometheus_rules_are_a_rule_file() -> None:
    groups = yaml.safe_load((TERRAFORM / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    assert {"name", "interval", "rules"} == set(groups[0])
    assert {tuple(sorted(rule)) for rule in groups[0]["rules"]} == {("alert", "annotations", "expr", "for", "labels")}
