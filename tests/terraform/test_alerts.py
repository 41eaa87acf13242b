"""Alerts and the dashboard speak of metrics, labels and log codes that the program has."""

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from core.runs.errors import ErrorCode
from handlers.observe import SKIP_KINDS
from infra.metrics import Metrics, Outcome
from tests.terraform.tree import TERRAFORM, evaluated

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load((TERRAFORM / "alerts.yaml").read_text())["groups"][0]["rules"]
LOG_RULES: list[dict[str, Any]] = yaml.safe_load((TERRAFORM / "log_alerts.yaml").read_text())
PANELS: list[dict[str, Any]] = yaml.safe_load((TERRAFORM / "panels.yaml").read_text())
QUERIES = [rule["expr"] for rule in RULES] + [query for panel in PANELS for query in panel["queries"]]

OTHERS = {
    "fly_instance_memory_mem_available", "fly_instance_memory_mem_total", "fly_volume_used_pct",
    "pubsub_googleapis_com:subscription_oldest_unacked_message_age",
    "pubsub_googleapis_com:subscription_num_undelivered_messages",
}  # fmt: skip
"""Metrics that Fly and Google keep."""


def series() -> dict[str, dict[str, set[str]]]:
    """Return the program's series by name, with the values of each label."""
    found: dict[str, dict[str, set[str]]] = {}
    for line in Metrics(SKIP_KINDS).exposition().decode().splitlines():
        if not line.startswith("#"):
            name = re.split(r"[{ ]", line, maxsplit=1)[0]
            labels = found.setdefault(name, {})
            for label, value in re.findall(r'(\w+)="([^"]*)"', line):
                labels.setdefault(label, set()).add(value)
    return found


SERIES = series()


@pytest.mark.parametrize("query", QUERIES)
def test_every_metric_of_a_query_exists(query: str) -> None:
    names = set(re.findall(r"\b((?:emailsched|fly|pubsub_googleapis_com:)\w*)\b(?!=)", query))
    assert names
    assert names - set(SERIES) - OTHERS == set()


@pytest.mark.parametrize("query", [query for query in QUERIES if "emailsched" in query])
def test_every_label_of_a_query_exists_with_its_values(query: str) -> None:
    for name, selectors in re.findall(r"(emailsched_\w+)\{([^}]*)\}", query):
        for label, values in re.findall(r'(\w+)(?:=~|!=|=)"([^"]*)"', selectors):
            assert set(values.split("|")) <= SERIES[name][label], query
    used = {label for name in re.findall(r"emailsched_\w+", query) for label in SERIES[name]}
    for labels in re.findall(r"by \(([^)]*)\)", query):
        assert set(labels.replace(" ", "").split(",")) <= used


def test_outcomes_that_matter_are_watched() -> None:
    watched = " ".join(rule["expr"] for rule in RULES)
    assert [outcome for outcome in get_args(Outcome) if outcome not in watched] == []


def test_a_full_machine_is_three_quarters_of_its_places() -> None:
    places = int(re.search(r'MAX_WAITERS = "(\d+)"', (ROOT / "fly.toml").read_text())[1])  # type: ignore[index]
    (rule,) = (rule for rule in RULES if rule["alert"] == "MachineIsFull")
    assert rule["expr"] == f"max(emailsched_waiters) > {places * 3 // 4}"


def logged_events() -> set[str]:
    """Return every event name that the program gives its log: the first argument of info, warning, error, critical."""
    found: set[str] = set()
    for floor in ("core", "infra", "handlers"):
        for file in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    first = node.args[0]
                    is_log = node.func.attr in {"info", "warning", "error", "critical"}
                    if is_log and isinstance(first, ast.Constant) and isinstance(first.value, str):
                        found.add(first.value)
    return found


def test_every_event_of_a_log_alert_is_logged() -> None:
    known = logged_events() | {code.value for code in ErrorCode}
    assert {event for rule in LOG_RULES for event in rule["events"]} - known == set()


def test_every_org_fault_is_an_alert() -> None:
    """What fails until somebody mends it must reach somebody."""
    from core.runs.errors import ERRORS

    alerted = {event for rule in LOG_RULES for event in rule["events"]}
    faults = {code.value for code, spec in ERRORS.items() if spec.answer == "fail"}
    assert faults - alerted == set(), "say in infra/terraform/log_alerts.yaml whom it alerts"


def test_alerts_have_a_severity_that_google_knows_and_say_what_to_do() -> None:
    severities = [rule["labels"]["severity"].upper() for rule in RULES] + [rule["severity"] for rule in LOG_RULES]
    assert set(severities) <= {"CRITICAL", "ERROR", "WARNING"}
    assert all(rule["annotations"]["summary"] and rule["annotations"]["description"] for rule in RULES)
    assert all(rule["description"] and rule["window_seconds"] >= 60 for rule in LOG_RULES)


def test_times_of_rules_are_written_as_both_prometheus_and_google_read_them() -> None:
    """Google wants seconds; Prometheus takes them, too."""
    assert all(re.fullmatch(r"\d+s", rule["for"]) for rule in RULES)


def test_names_of_alerts_are_unique() -> None:
    names = [rule["alert"] for rule in RULES] + [rule["alert"] for rule in LOG_RULES]
    assert len(names) == len(set(names))


def test_terraform_makes_every_alert_and_every_panel(tmp_path: Path) -> None:
    made = evaluated(
        tmp_path,
        "{ metrics = keys(local.metric_alerts), logs = keys(local.log_alerts), dashboard = local.dashboard }",
        alerts_from_metrics=True,
        alerts_from_logs=True,
        name_prefix="mail-staging",
    )
    assert made["metrics"] == sorted(rule["alert"] for rule in RULES)
    assert made["logs"] == sorted(rule["alert"] for rule in LOG_RULES)
    tiles = made["dashboard"]["mosaicLayout"]["tiles"]
    assert [tile["widget"]["title"] for tile in tiles] == [panel["title"] for panel in PANELS]
    places = {(tile["xPos"], tile["yPos"]) for tile in tiles}
    assert len(places) == len(tiles)
    assert all(tile["xPos"] + tile["width"] <= made["dashboard"]["mosaicLayout"]["columns"] for tile in tiles)
    assert "PREFIX" not in str(tiles)
    assert "mail-staging-dead-letters" in str(tiles)
