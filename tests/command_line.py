"""The command line as an operator has it: in this process where that is enough, as a process of its own where it is not."""

import contextlib
import io
import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from jsonschema import Draft202012Validator

from handlers import cli
from handlers.cli_output import COMMAND_OUTPUTS
from handlers.cli_schemas import ERROR, file_name
from infra.settings import SETTINGS
from infra.synthetic import make_org

REPOSITORY: Final = Path(__file__).resolve().parents[1]
DAY: Final = date(2025, 3, 10)
AS_OF: Final = ("--as-of", DAY.isoformat())


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        (line,) = self.out.splitlines()
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    @property
    def error(self) -> dict[str, Any]:
        """The JSON document of a command that failed."""
        assert set(self.json) == {"error"}
        body: dict[str, Any] = self.json["error"]
        assert set(body) == {"code", "org_id", "detail", "hint", "retryable"}
        return body


def run(*args: str | Path, env: Mapping[str, str] | None = None) -> Ran:
    """Carry out a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with restored_logging(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run([str(arg) for arg in args], env or {})
    return _held_to_contract(args, Ran(code, out.getvalue(), err.getvalue()))


def spawn(*args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
    """Carry out a command line as a process of its own, with none of this machine's settings."""
    ours = {setting.name for setting in SETTINGS}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-m", "handlers.cli", *map(str, args)],
        env={**clean, "PYTHONPATH": str(REPOSITORY), **(env or {})},
        cwd=cwd or REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return _held_to_contract(args, Ran(done.returncode, done.stdout, done.stderr))


def _held_to_contract(args: Sequence[str | Path], ran: Ran) -> Ran:
    """Whatever a test is about: what ``--json`` wrote is what its schema says, with no field that it does not say."""
    words = [str(arg) for arg in args]
    if "--json" in words and ran.out.count("\n") == 1:
        is_error = ran.code != 0 and set(ran.json) == {"error"}
        command = ERROR if is_error else _document_of(words)
        problems = [f"{error.json_path}: {error.message}" for error in strict_validator(command).iter_errors(ran.json)]
        assert not problems, problems[:5]
    return ran


def _document_of(words: Sequence[str]) -> str:
    """The command, with an option that makes another document of it."""
    command = cli.command_of(words).removeprefix("emailsched ")
    with_all = f"{command} --all"
    return with_all if "--all" in words and with_all in COMMAND_OUTPUTS else command


@cache
def strict_validator(command: str) -> Draft202012Validator:
    """The checked-in schema of a command's document, closed against fields that it does not name."""
    text = (REPOSITORY / "docs" / "cli-json" / file_name(command)).read_text(encoding="utf-8")
    return Draft202012Validator(_closed(json.loads(text)))


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undo what a command does to the log of its process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()


def new_org(file: Path, *, contacts: int = 80, seed: int = 1) -> Path:
    """Write a synthetic org around DAY."""
    make_org(str(file), contacts=contacts, seed=seed, today=DAY)
    return file


def execute(file: Path, *statements: str) -> None:
    """Write to a database as somebody else."""
    with closing(sqlite3.connect(file)) as db, db:
        for statement in statements:
            db.execute(statement)


def query(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read a database."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: names, times of the last change, contents."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }
