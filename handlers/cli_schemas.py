"""The JSON Schemas of what ``--json`` writes, generated from the output structs.

``python -m handlers.cli_schemas docs/cli-json`` writes one file per command there, and one for errors. They are checked in,
so that a script's author needs no Python; a test says when they are out of date, and every command that a test runs with
``--json`` is held to its schema.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from events.schema_files import document_schema
from handlers.cli_output import COMMAND_OUTPUTS, ErrorOutput

ERROR: Final = "error"
"""Name of the document that every command writes when it does not succeed."""


def documents() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Each command, ``error`` last, with the struct that it writes."""
    yield from COMMAND_OUTPUTS.items()
    yield ERROR, ErrorOutput


def file_name(command: str) -> str:
    """Return the schema's file for a command of one word or two, or with an option that changes what it writes."""
    return f"{_identifier(command)}.json"


def _identifier(command: str) -> str:
    return re.sub(r"[^a-z]+", "-", command)


def schema_files() -> Iterator[tuple[str, str]]:
    """File name and text of every schema."""
    for command, struct in documents():
        schema = document_schema(struct, f"emailsched.cli.{_identifier(command)}")
        yield file_name(command), json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Write the schemas into the directory named, and take away those of commands that are gone."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    wanted = dict(schema_files())
    for old in folder.glob("*.json"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
