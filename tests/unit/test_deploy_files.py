"""Dockerfile and fly.toml: what must be in them, and that they agree with the server and its settings."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.cli import app
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
    assert all_of("ARG") == ["PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm"]
    assert [argument.split()[0] for argument in all_of("FROM")] == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
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


def test_nothing_that_installs_or_compiles_is_left_in_the_image() -> None:
    uninstalled = next(json.loads(argument) for argument in all_of("RUN") if "uninstall" in argument)
    assert {"pip", "setuptools"} <= set(uninstalled)
    assert [argument for name, argument in FINAL if name == "COPY"] == ["--from=build /venv /venv"]


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).parent / "hadolint"
    result = subprocess.run([program, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_script_that_builds_and_tries_the_image_is_a_program_and_stays_out_of_it() -> None:
    script = REPOSITORY / "infra" / "image" / "build_and_try.sh"
    assert script.stat().st_mode & 0o111
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", script], check=True)
    assert "infra/image/" in (REPOSITORY / ".dockerignore").read_text().splitlines()


# ------------------------------------------------------------------------------------------------ fly.toml

CHECK = {"type", "port", "method", "path", "grace_period", "interval", "timeout", "processes"}
KNOWN: dict[str, set[str]] = {
    "": {
        "app", "primary_region", "kill_signal", "kill_timeout", "build", "deploy", "env", "processes", "mounts",
        "http_service", "checks", "metrics", "vm", "restart",
    },
    "build": {"dockerfile"},
    "deploy": {"strategy", "wait_timeout"},
    "processes": {"web", "worker"},
    "mounts": {"source", "destination", "initial_size", "processes", "snapshot_retention"},
    "http_service": {
        "internal_port", "force_https", "auto_stop_machines", "auto_start_machines", "min_machines_running",
        "processes", "concurrency", "http_options", "checks",
    },
    "http_service.concurrency": {"type", "soft_limit", "hard_limit"},
    "http_service.http_options": {"idle_timeout"},
    "http_service.checks": CHECK - {"type", "port", "processes"},
    "checks.alive": CHECK,
    "metrics": {"port", "path", "processes"},
    "vm": {"size", "memory", "processes"},
    "restart": {"policy", "retries", "processes"},
}  # fmt: skip
"""The keys of Fly's reference that we use: Fly ignores a misspelt one in silence."""

PROCESSES: dict[str, str] = FLY["processes"]


def tables(path: str) -> list[dict[str, Any]]:
    """Return the tables at a dotted path: one, or those of an array."""
    found: Any = FLY
    for part in filter(None, path.split(".")):
        found = found[part]
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("path", KNOWN)
def test_fly_knows_every_key(path: str) -> None:
    for table in tables(path):
        assert set(table) <= KNOWN[path]


def test_every_table_is_looked_at() -> None:
    def nested(table: dict[str, Any], path: str) -> Iterator[str]:
        for key, value in table.items():
            inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
            if isinstance(inner, dict):
                below = f"{path}.{key}".lstrip(".")
                yield below
                yield from nested(inner, below)

    assert set(nested(FLY, "")) - {"env", "checks"} == set(KNOWN) - {""}


def test_every_process_is_a_command_with_a_machine_a_volume_and_numbers() -> None:
    commands = {command.name for command in app.registered_commands}
    assert {line.split()[0] for line in PROCESSES.values()} == {"emailsched"}
    assert {line.split()[1] for line in PROCESSES.values()} <= commands
    for table in ("vm", "mounts", "metrics", "restart"):
        served = [process for one in tables(table) for process in one["processes"]]
        assert sorted(served) == sorted(PROCESSES), table
    assert tables("checks.alive")[0]["processes"] == list(PROCESSES)


def test_fly_waits_for_the_drain() -> None:
    assert FLY["kill_signal"] == "SIGTERM"
    assert FLY["kill_timeout"] > GRACEFUL_TIMEOUT_SECONDS
    assert FLY["deploy"]["strategy"] == "rolling"
    assert int(FLY["deploy"]["wait_timeout"].removesuffix("m")) * 60 > FLY["kill_timeout"]


def test_fly_keeps_a_connection_for_as_long_as_a_run_may_take() -> None:
    assert FLY["http_service"]["http_options"]["idle_timeout"] >= Settings().run_deadline_seconds
    assert FLY["http_service"]["auto_stop_machines"] == "off"
    assert FLY["http_service"]["min_machines_running"] >= 1


def test_fly_sends_no_more_than_the_server_can_hold() -> None:
    settings = Settings.from_env({**FLY["env"], "ALLOW_UNAUTHENTICATED": "1"})
    concurrency = FLY["http_service"]["concurrency"]
    assert concurrency["type"] == "requests"
    assert concurrency["soft_limit"] < concurrency["hard_limit"] <= places(settings) + HEALTH_THREADS


def test_fly_and_the_program_speak_of_the_same_ports_and_paths() -> None:
    environment = FLY["env"]
    assert set(environment) <= {setting.name for setting in SETTINGS}
    assert not {setting.name for setting in SETTINGS if setting.secret} & set(environment)
    assert FLY["http_service"]["internal_port"] == int(environment["PORT"])
    assert [(one["port"], one["path"]) for one in FLY["metrics"]] == [(int(environment["METRICS_PORT"]), "/metrics")]
    assert {mount["destination"] for mount in FLY["mounts"]} == {environment["DATA_DIR"]}
    assert {(check["port"], check["path"]) for check in FLY["checks"].values()} == {
        (int(environment["PORT"]), "/healthz")
    }
    assert {check["path"] for check in FLY["http_service"]["checks"]} == {"/readyz"}
