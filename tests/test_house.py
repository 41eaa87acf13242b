"""The house rules that a machine can check: import direction, purity of planning, size of functions and modules."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("events", "core", "infra", "handlers")
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 400

MODULES = sorted(p for floor in FLOORS for p in (ROOT / floor).rglob("*.py"))
PLANNING = sorted((ROOT / "core" / "planning").rglob("*.py"))
IMPURE_CALLS = frozenset(
    {"open", "print", "input", "exec", "eval", "now", "today", "utcnow", "urandom", "uuid4", "hash", "id"}
)
"""``hash`` and ``id`` differ from process to process; the others reach outside."""


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_imports_point_down() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("file", PLANNING, ids=relative)
def test_planning_calls_nothing_that_depends_on_more_than_its_arguments(file: Path) -> None:
    called = {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    }
    assert not called & IMPURE_CALLS


@pytest.mark.parametrize("file", [p for p in MODULES if "core" in p.parts], ids=relative)
def test_core_knows_no_any(file: Path) -> None:
    names = {node.id for node in ast.walk(tree_of(file)) if isinstance(node, ast.Name)}
    assert "Any" not in names


@pytest.mark.parametrize("file", MODULES, ids=relative)
def test_nothing_is_swallowed(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
            nothing = all(isinstance(part, ast.Pass) for part in node.body)
            reasoned = "#" in lines[node.body[0].lineno - 1]
            assert reasoned or not nothing, f"an error is swallowed without a reason in line {node.lineno}"


@pytest.mark.parametrize("file", MODULES, ids=relative)
def test_functions_fit_on_a_screen_and_modules_are_one_thing(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES_MAX
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno + 1 <= FUNCTION_LINES_MAX, node.name
