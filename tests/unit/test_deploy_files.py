"""Dockerfile and fly.toml: what must be in them, and that they agree with the server and its settings."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from handlers.frame import HEALTH_THREADS
from handlers.gunicorn_host import GRACEFUL_TIMEOUT_SECONDS, places
from infra.settings import SETTINGS, Settings

REPOSITORY = Path(__file__).resolve().parents[2]
FLY: dict[str, Any] = tomllib.loads((REPOSITORY / "fly.toml").read_text())
DOCKERFILE = re.sub(r"\\\n\s*", "", (REPOSITORY / "Dockerfile").read_text())
INSTRUCTIONS = [
    (line.split(" ", 1)[0].upper(), line.split(" ", 1)[1].strip())
    for line in DOCKERFILE.splitlines()
    if line.strip() and not line.startswith("#")
]
FINAL = INSTRUCTIONS[max(i for i, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM") :]


def all_of(name: str) -> list[str]:
    return [argument for instruction, argument in INSTRUCTIONS if instruction == name]


def image_environment() -> dict[str, str]:
    pairs = [pair.split("=", 1) for name, argument in FINAL if name == "ENV" for pair in argument.split()]
    return {name: value for name, value in pairs}  # noqa: C416 - pairs are lists


# ------------------------------------------------------------------------------------------------ Dockerfile


def test_the_image_starts_the_server_in_exec_form() -> None:
    assert [json.loads(argument) for name, argument in FINAL if name == "CMD"] == [["emailsched", "serve"]]
    assert not all_of("ENTRYPOINT")


def test_the_image_runs_as_nobody_in_particular() -> None:
    users = [argument for name, argument in FINAL if name == "USER"]
    assert users[-1].split(":")[0].isdigit()
    assert int(users[-1].split(":")[0]) > 1000
    names = [name for name, _ in FINAL]
    assert names.index("USER") < names.index("CMD")


def test_the_base_image_is_named_by_a_documented_tag() -> None:
    defaults = dict(argument.split("=", 1) for argument in all_of("ARG"))
    assert defaults == {"PYTHON_TAG": "3.11-slim", "PYTHON_DIGEST": ""}
    bases = [argument.split()[0] for argument in all_of("FROM")]
    assert len(bases) == 2
    assert set(bases) == {"python:${PYTHON_TAG}${PYTHON_DIGEST}"}
    assert "latest" not in DOCKERFILE


def test_every_package_is_checked_by_its_hash_and_none_is_compiled() -> None:
    [locked] = [argument for argument in all_of("RUN") if "requirements.lock" in argument]
    assert {"--require-hashes", "--only-binary"} <= set(json.loads(locked))
    [own] = [argument for argument in all_of("RUN") if "--no-deps" in argument]
    assert json.loads(own)[-2:] == ["--no-deps", "."]
    assert not re.search(r"apt-get|gcc|build-essential", DOCKERFILE)


def test_the_build_runs_sqlite3_rsync_once() -> None:
    assert any("sqlite3_rsync" in argument and "--version" in argument for argument in all_of("RUN"))


def test_health_is_checked_without_a_tool_that_slim_lacks() -> None:
    [check] = [argument for name, argument in FINAL if name == "HEALTHCHECK"]
    program = json.loads(check[check.index("CMD") + 4 :])
    assert program[0] == "python"
    assert "/healthz" in program[2]
    compile(program[2], "HEALTHCHECK", "exec")


def test_the_image_has_all_that_the_server_must_be_told() -> None:
    environment = image_environment()
    assert environment["HOST"] == "0.0.0.0"  # noqa: S104 - in a container there is nothing else to bind
    assert environment["DATA_DIR"] == "/data"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert ("VOLUME", '["/data"]') in FINAL
    assert ("STOPSIGNAL", "SIGTERM") in FINAL
    unset = {name: value for name, value in environment.items() if name in {setting.name for setting in SETTINGS}}
    settings = Settings.from_env({**unset, "ALLOW_UNAUTHENTICATED": "1"})
    assert settings.data_dir == Path("/data")


@pytest.mark.parametrize("floor", ["events", "core", "infra", "handlers"])
def test_the_image_has_every_floor(floor: str) -> None:
    assert f"{floor}/ {floor}/" in all_of("COPY")
    assert f"!{floor}/" in (REPOSITORY / ".dockerignore").read_text().splitlines()


def test_nothing_else_gets_into_the_build() -> None:
    lines = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"


# ------------------------------------------------------------------------------------------------ fly.toml

KNOWN: dict[str, set[str]] = {
    "": {
        "app", "primary_region", "kill_signal", "kill_timeout", "build", "deploy", "env", "processes", "mounts",
        "http_service", "checks", "metrics", "vm",
    },
    "build": {"dockerfile"},
    "deploy": {"strategy"},
    "processes": {"web"},
    "mounts": {"source", "destination", "initial_size", "processes"},
    "http_service": {
        "internal_port", "force_https", "auto_stop_machines", "auto_start_machines", "min_machines_running",
        "processes", "concurrency", "http_options", "checks",
    },
    "metrics": {"port", "path", "processes"},
}  # fmt: skip
"""The keys of Fly's reference that we use: Fly ignores a misspelt one in silence."""


def test_fly_knows_every_key() -> None:
    assert set(FLY) == KNOWN[""]
    for table in ("build", "deploy", "processes", "mounts", "http_service", "metrics"):
        assert set(FLY[table]) <= KNOWN[table], table
    assert set(FLY["http_service"]["concurrency"]) == {"type", "soft_limit", "hard_limit"}
    assert set(FLY["http_service"]["http_options"]) == {"idle_timeout"}
    assert set(FLY["vm"][0]) <= {"size", "memory", "cpus", "cpu_kind", "processes"}
    check_keys = {"type", "port", "method", "path", "grace_period", "interval", "timeout", "processes"}
    for check in (*FLY["checks"].values(), *FLY["http_service"]["checks"]):
        assert set(check) <= check_keys


def test_fly_waits_for_the_drain() -> None:
    assert FLY["kill_signal"] == "SIGTERM"
    assert FLY["kill_timeout"] > GRACEFUL_TIMEOUT_SECONDS
    assert FLY["deploy"]["strategy"] == "rolling"


def test_fly_keeps_a_connection_for_as_long_as_a_run_may_take() -> None:
    assert FLY["http_service"]["http_options"]["idle_timeout"] >= Settings().run_deadline_seconds
    assert FLY["http_service"]["auto_stop_machines"] == "off"
    assert FLY["http_service"]["min_machines_running"] >= 1


def test_fly_sends_no_more_than_the_server_can_hold() -> None:
    settings = Settings.from_env({**FLY["env"], "ALLOW_UNAUTHENTICATED": "1"})
    concurrency = FLY["http_service"]["concurrency"]
    assert concurrency["type"] == "requests"
    assert concurrency["soft_limit"] < concurrency["hard_limit"] <= places(settings) + HEALTH_THREADS


def test_fly_and_the_server_speak_of_the_same_ports_and_paths() -> None:
    environment = FLY["env"]
    assert set(environment) <= {setting.name for setting in SETTINGS}
    assert not {setting.name for setting in SETTINGS if setting.secret} & set(environment)
    assert FLY["http_service"]["internal_port"] == int(environment["PORT"])
    assert FLY["metrics"] == {"port": int(environment["METRICS_PORT"]), "path": "/metrics", "processes": ["web"]}
    assert FLY["mounts"]["destination"] == environment["DATA_DIR"]
    assert {check["path"] for check in FLY["checks"].values()} == {"/healthz"}
    assert {check["path"] for check in FLY["http_service"]["checks"]} == {"/readyz"}
    assert FLY["processes"] == {"web": "emailsched serve"}
