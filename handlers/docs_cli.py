"""The tables of docs/cli-json.md: every document that ``--json`` writes, and the exit codes."""

import inspect

from handlers.cli_errors import EXIT_MEANINGS
from handlers.cli_schemas import ERROR, documents, file_name
from handlers.docs_markdown import table


def cli_documents() -> str:
    """Every command, what it writes, and where its schema is."""
    rows = []
    for command, struct in documents():
        name = "every command, unless it exits 0" if command == ERROR else f"`emailsched {command}`"
        first = inspect.cleandoc(struct.__doc__ or "").split("\n\n")[0]
        what = " ".join(first.replace("``", "`").split())
        rows.append([name, what, f"[{file_name(command)}](cli-json/{file_name(command)})"])
    return table(("command", "document", "schema"), rows)


def exit_codes() -> str:
    """Every exit code."""
    return table(("code", "meaning"), ([str(code.value), meaning] for code, meaning in EXIT_MEANINGS.items()))
