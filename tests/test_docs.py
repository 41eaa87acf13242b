"""The documents are held to the code: tables, links, commands, rule numbers and SQL are what the program has."""

import re
import sqlite3
from pathlib import Path

import pytest

from handlers.cli import app
from handlers.docs_tables import BLOCKS, blocks_in, main, regenerated, slug

ROOT = Path(__file__).parents[1]
NOT_OURS = ("var", "build", "dist")
"""Folders of a checkout that are made by running things."""

COMMANDS_TO_COME: dict[str, str] = {}
"""Commands that documents may name before they exist, with the reason. Empty is best."""

RULES = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
MACHINE = re.compile(r"/home/|/root/|/Users/|sandbox:|" + re.escape(f"{ROOT}/"))
"""Paths of one machine; this one's are known by where the checkout lies."""


def documents() -> list[Path]:
    def ours(file: Path) -> bool:
        folders = file.relative_to(ROOT).parts[:-1]
        return not any(part.startswith(".") or part in NOT_OURS or part.endswith(".egg-info") for part in folders)

    return sorted(file for file in ROOT.rglob("*.md") if ours(file))


DOCUMENTS = pytest.mark.parametrize("file", documents(), ids=lambda f: str(f.relative_to(ROOT)))


def prose(text: str) -> str:
    """Return a document without its fenced code, whose brackets are not links."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(file: Path) -> set[str]:
    text = prose(file.read_text(encoding="utf-8"))
    headings = re.findall(r"^#{1,6} (.+)$", text, flags=re.MULTILINE)
    return {slug(heading) for heading in headings} | set(re.findall(r'<a id="([\w-]+)">', text))


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, flags=re.DOTALL | re.MULTILINE)


@DOCUMENTS
def test_generated_blocks_are_current(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text == regenerated(text), "run: python -m handlers.docs_tables --write"
    markers = re.findall(r"<!-- ([a-z-]+):(?:begin|end) -->", prose(re.sub(r"`[^`\n]*`", "", text)))
    assert sorted(markers) == sorted(2 * blocks_in(text)), "a marker without its partner"


def test_every_table_of_the_code_is_in_some_document() -> None:
    shown = [name for file in documents() for name in blocks_in(file.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(BLOCKS)


def test_the_generator_says_that_all_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == ""


@DOCUMENTS
def test_relative_links_and_anchors_resolve(file: Path) -> None:
    broken = []
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", prose(file.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (file.parent / path).resolve() if path else file
        if not linked.exists() or (anchor and linked.suffix == ".md" and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


@DOCUMENTS
def test_no_document_names_a_path_of_one_machine(file: Path) -> None:
    assert MACHINE.findall(file.read_text(encoding="utf-8")) == []


def test_a_decision_has_a_number_of_its_own_and_its_title_says_it() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [file.name[:4] for file in decisions]
    assert numbers == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    titles = [file.read_text(encoding="utf-8").partition(":")[0] for file in decisions]
    assert titles == [f"# {number}" for number in numbers]


def existing_commands() -> set[str]:
    names = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    return {name for name in names if name}


@DOCUMENTS
def test_commands_in_documents_exist(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    quoted = re.findall(r"`(?:[A-Z_]+=\S+ )*(?:\S*/)?emailsched ([a-z][a-z-]*)", text)
    blocks = "\n".join(re.findall(r"^ *```\w*\n(.*?)^ *```$", text, flags=re.DOTALL | re.MULTILINE))
    lines = re.findall(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?emailsched ([a-z][a-z-]*)", blocks, flags=re.MULTILINE)
    assert {*quoted, *lines} - existing_commands() - set(COMMANDS_TO_COME) == set()


def test_commands_to_come_are_struck_off_when_they_have_come() -> None:
    assert existing_commands() & set(COMMANDS_TO_COME) == set()


def test_every_rule_that_code_cites_is_in_the_rule_book() -> None:
    cited: dict[str, str] = {}
    for folder in ("events", "core", "infra", "handlers", "tests", "benchmarks"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".py", ".sql"}:
                for rule in re.findall(r"\bR\d{1,2}\b", file.read_text(encoding="utf-8")):
                    cited.setdefault(rule, file.name)
    defined = set(re.findall(r'<a id="r\d+"></a>\*\*(R\d+)\*\*', RULES))
    assert {rule: where for rule, where in cited.items() if rule not in defined} == {}


def test_anchors_of_rules_are_their_numbers_in_order() -> None:
    pairs = re.findall(r'<a id="(r\d+)"></a>\*\*(R\d+)\*\*', RULES)
    assert [anchor.upper() for anchor, _ in pairs] == [rule for _, rule in pairs]
    numbers = [int(rule[1:]) for _, rule in pairs]
    assert numbers == sorted(set(numbers))


@DOCUMENTS
def test_sql_in_documents_runs_on_the_schema(file: Path) -> None:
    db = sqlite3.connect(":memory:")
    db.executescript((ROOT / "infra" / "schema.sql").read_text(encoding="utf-8"))
    for statement in fenced(file.read_text(encoding="utf-8"), "sql"):
        db.execute(f"EXPLAIN {statement}", dict.fromkeys(re.findall(r":(\w+)", statement), 1))
    db.close()


def test_the_rule_book_says_that_the_table_of_states_is_to_be_confirmed() -> None:
    assert RULES.count("confirmed by the business before go-live") == 2
