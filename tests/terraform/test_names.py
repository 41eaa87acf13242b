"""What Terraform would say itself, had it the provider: every name is known, every reference leads somewhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.read_provider import SCHEMA
from tests.terraform.tree import (
    FILES,
    TERRAFORM,
    Block,
    blocks,
    copy_without_provider,
    evaluated,
    local_values,
    parsed,
    terraform,
    variables,
)

PROVIDER: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
META = {"for_each", "count", "depends_on", "lifecycle", "provider"}
"""What every resource has, whatever the provider."""

ALL = [("resource", block) for block in blocks()] + [("data", block) for block in blocks("data")]
TEXT = "\n".join(file.read_text(encoding="utf-8") for file in FILES)
CODE = re.sub(r"^\s*#.*$", "", TEXT, flags=re.MULTILINE)


def named(case: tuple[str, Block]) -> str:
    return f"{case[1].kind}.{case[1].name}"


def unrolled(body: dict[str, Any]) -> dict[str, list[Any]]:
    """Return a block's arguments, each as a list of its values, with dynamic blocks in the place of what they make."""
    found: dict[str, list[Any]] = {}
    for name, value in body.items():
        if name == "dynamic":
            for dynamic in value:
                for made, definition in dynamic.items():
                    found.setdefault(made, []).extend(definition["content"])
        else:
            found.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return found


def faults(body: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    arguments = unrolled(body)
    for name, values in arguments.items():
        known = schema.get(name)
        if known is None or known == "computed":
            yield f"{where}.{name} is no argument"
        elif isinstance(known, dict):
            for value in values:
                yield from faults(value, known, f"{where}.{name}")
    for name, known in schema.items():
        if known == "required" and name not in arguments:
            yield f"{where}.{name} is missing"


@pytest.mark.parametrize("case", ALL, ids=named)
def test_the_provider_knows_every_argument_and_misses_none(case: tuple[str, Block]) -> None:
    section, block = case
    body = {name: value for name, value in block.body.items() if name not in META}
    assert list(faults(body, PROVIDER[section][block.kind], block.name)) == []


def test_the_schema_is_that_of_the_version_asked_for() -> None:
    [requirements] = parsed(TERRAFORM / "versions.tf")["terraform"]
    [providers] = requirements["required_providers"]
    version = re.fullmatch(r"~> (\d+\.\d+)", providers["google"]["version"])
    assert version is not None
    assert PROVIDER["provider"].startswith(f"{providers['google']['source']} {version[1]}.")


def test_every_reference_to_a_resource_leads_to_one_and_to_an_attribute_that_it_has() -> None:
    there = {("" if section == "resource" else "data.") + f"{b.kind}.{b.name}": (section, b.kind) for section, b in ALL}
    references = re.findall(r"(?<![\w.\"/])((?:data\.)?google_\w+\.\w+)(?:\[[^\]]+\])?(?:\.(\w+))?", CODE)
    assert len(references) > 40
    for target, attribute in references:
        assert target in there, target
        section, kind = there[target]
        known = set(PROVIDER[section][kind]) | {"id"}
        assert not attribute or attribute in known, f"{target}.{attribute}"


def test_every_variable_and_local_that_is_used_exists_and_the_other_way_round() -> None:
    assert set(re.findall(r"\bvar\.(\w+)", CODE)) == set(variables())
    assert set(re.findall(r"\blocal\.(\w+)", CODE)) == set(local_values())


def test_every_variable_says_what_it_is() -> None:
    assert [name for name, body in variables().items() if not body.get("description") or not body.get("type")] == []


def test_the_example_sets_variables_that_exist_and_all_that_have_no_default() -> None:
    example = parsed(TERRAFORM / "example.tfvars")
    assert set(example) <= set(variables())
    assert {name for name, body in variables().items() if "default" not in body} <= set(example)


def test_files_are_formatted() -> None:
    result = terraform("fmt", "-check", "-diff", "-no-color", str(TERRAFORM), folder=TERRAFORM)
    assert result.returncode == 0, result.stdout


def test_terraform_accepts_the_example(tmp_path: Path) -> None:
    assert evaluated(tmp_path, "var.bucket_name") == "acme-mail-orgs"


REFUSED = {
    "project_id": "Acme Mail",
    "name_prefix": "an-environment-with-a-long-name",
    "bucket_name": "Orgs",
    "noncurrent_days": "3",
    "noncurrent_versions_kept": "0",
    "soft_delete_days": "3",
    "access_log_days": "1",
    "kms_key_name": "my-key",
    "push_endpoint": "http://emailsched.fly.dev/",
    "subscription_days": "32",
    "event_publishers": '["allUsers"]',
    "run_requesters": '["allAuthenticatedUsers"]',
    "completion_consumers": '{ sender = "allUsers" }',
    "org_schedules": '{ "../acme" = { schedule = "0 2 * * *" } }',
    "log_resource_type": "anything",
}
"""A value of each variable with a condition that its condition refuses."""

REFUSED_BESIDE_OTHERS = {"backup_days": "29", "dead_letter_days": "31"}
"""The same for conditions that speak of other variables: Terraform judges them only where those are in order."""


def test_every_condition_has_a_case() -> None:
    assert {*REFUSED, *REFUSED_BESIDE_OTHERS} == {name for name, body in variables().items() if "validation" in body}


@pytest.mark.parametrize("values", [REFUSED, REFUSED_BESIDE_OTHERS], ids=["alone", "beside-others"])
def test_each_condition_refuses(values: dict[str, str], tmp_path: Path) -> None:
    copy_without_provider(tmp_path, "null")
    options = [f"-var={name}={value}" for name, value in values.items()]
    result = terraform("plan", "-no-color", "-var-file=example.tfvars", *options, folder=tmp_path)
    assert result.returncode == 1
    refused = set(re.findall(r"^\s*│?\s*\d+: variable \"(\w+)\"", result.stderr, flags=re.MULTILINE))
    assert refused == set(values), result.stderr
