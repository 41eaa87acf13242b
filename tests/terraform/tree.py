"""infra/terraform as data: parsed by python-hcl2, with quotes and marks of the parser taken off."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import hcl2
import pytest

TERRAFORM = Path(__file__).parents[2] / "infra" / "terraform"
FILES = sorted(TERRAFORM.glob("*.tf"))


class Block(NamedTuple):
    """One resource or data source."""

    kind: str
    name: str
    body: dict[str, Any]


def plain(value: Any) -> Any:
    """Take quotes off texts and names: an expression is what begins with ``${``."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"')
    return value


@cache
def parsed(file: Path) -> dict[str, Any]:
    tree: dict[str, Any] = plain(hcl2.loads(file.read_text(encoding="utf-8")))
    return tree


def all_of(section: str) -> Iterator[Any]:
    """Yield what all files have under a section: ``variable``, ``locals``, ``output`` ..."""
    for file in FILES:
        yield from parsed(file).get(section, [])


def blocks(section: str = "resource") -> list[Block]:
    return [
        Block(kind, name, body)
        for item in all_of(section)
        for kind, named in item.items()
        for name, body in named.items()
    ]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {block.name: block.body for block in blocks() if block.kind == kind}


def local_values() -> dict[str, Any]:
    return {name: value for item in all_of("locals") for name, value in item.items()}


def variables() -> dict[str, dict[str, Any]]:
    return {name: body for item in all_of("variable") for name, body in item.items()}


# ------------------------------------------------------------------------------------------------ Terraform itself


def terraform(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run terraform, offline and without anybody's configuration; skipped where there is none."""
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("there is no terraform")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TF_CLI_CONFIG_FILE": os.devnull,
        "CHECKPOINT_DISABLE": "1",
    }
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip


def copy_without_provider(folder: Path, expression: str) -> None:
    """Put variables and locals into a folder, and an output ``it`` of an expression: all that needs no provider."""
    for name in ("variables.tf", "locals.tf", "example.tfvars", "alerts.yaml", "log_alerts.yaml", "panels.yaml"):
        shutil.copy(TERRAFORM / name, folder / name)
    (folder / "it.tf").write_text(f'output "it" {{\n  value = {expression}\n}}\n')


def evaluated(folder: Path, expression: str, **values: object) -> Any:
    """Return what Terraform makes of an expression with the example's values, and these."""
    copy_without_provider(folder, expression)
    (folder / "values.tfvars.json").write_text(json.dumps(values))
    files = ("-var-file=example.tfvars", "-var-file=values.tfvars.json")
    applied = terraform("apply", "-auto-approve", "-no-color", *files, folder=folder)
    assert applied.returncode == 0, applied.stderr
    return json.loads(terraform("output", "-json", "it", folder=folder).stdout)
