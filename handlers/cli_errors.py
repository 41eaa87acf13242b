"""How a command ends when it does not end well: one table of exit codes, one block on stderr, one JSON object.

Texts come from error codes and from what the operator typed. The text of a foreign exception is never shown, because
it may hold data of a contact; ``--debug`` shows the traceback to whoever asks for it.
"""

import sys
import traceback
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from core.runs.errors import Answer, OrgError
from handlers.cli_output import ErrorBody, ErrorOutput, print_json

# ruff: noqa: PLC0415 - rich is imported where something is printed


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    RETRY_LATER = 3
    REFUSED = 4
    INTERRUPTED = 130


EXIT_MEANINGS: Final[Mapping[Exit, str]] = MappingProxyType(
    {
        Exit.DONE: "done, also when there was nothing to do",
        Exit.FAILED: "failed: the org is at fault or something unexpected happened; nothing was written",
        Exit.WRONG_USAGE: "wrong usage",
        Exit.RETRY_LATER: "retry later: the same command may succeed without a change",
        Exit.REFUSED: "refused: the input is not acceptable as it is; nothing was written",
        Exit.INTERRUPTED: "interrupted (Ctrl-C); nothing half done is left behind",
    }
)

EXIT_OF_ANSWER: Final[Mapping[Answer, Exit]] = MappingProxyType(
    {"retry": Exit.RETRY_LATER, "reject": Exit.REFUSED, "fail": Exit.FAILED}
)
"""What an OrgError's answer to the sender of a message is for the operator at a terminal."""


class CommandError(Exception):
    """A command cannot go on for a reason that is its own and no OrgError."""

    def __init__(self, code: str, detail: str, hint: str, *, exit_code: Exit = Exit.FAILED) -> None:
        self.code = code
        self.detail = detail
        self.hint = hint
        self.exit_code = exit_code
        super().__init__(f"{code}: {detail}")


class UsageError(CommandError):
    """Arguments that are well formed but make no sense here."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__("wrong_usage", detail, hint, exit_code=Exit.WRONG_USAGE)


def describe(error: BaseException) -> tuple[ErrorBody, Exit]:
    """Return what is shown of an error, and the exit code that goes with it."""
    match error:
        case OrgError():
            body = ErrorBody(
                code=error.code.value,
                org_id=error.org_id,
                detail=error.detail,
                hint=error.hint,
                retryable=error.retryable,
            )
            return body, EXIT_OF_ANSWER[error.answer]
        case CommandError():
            body = ErrorBody(code=error.code, org_id=None, detail=error.detail, hint=error.hint, retryable=False)
            return body, error.exit_code
        case KeyboardInterrupt():
            body = ErrorBody(
                code="interrupted",
                org_id=None,
                detail="stopped by Ctrl-C",
                hint="what was not committed did not happen: give the command again",
                retryable=True,
            )
            return body, Exit.INTERRUPTED
        case _:
            body = ErrorBody(
                code="unexpected",
                org_id=None,
                detail=_place_of(error),
                hint="give the command again with EMAILSCHED_DEBUG=1 and report the traceback",
                retryable=False,
            )
            return body, Exit.FAILED


def report_error(error: BaseException, *, what: str, as_json: bool, debug: bool) -> Exit:
    """Show an error on stderr, and on stdout as JSON if asked; returns the exit code."""
    body, code = describe(error)
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    _print_block(body, what)
    if as_json:
        print_json(ErrorOutput(error=body))
    return code


def _print_block(body: ErrorBody, what: str) -> None:
    from rich.console import Console
    from rich.text import Text

    rows = [
        ("org", body.org_id or ""),
        ("why", body.detail or body.code.replace("_", " ")),
        ("do", body.hint),
        ("retry", "yes: the same command may succeed later" if body.retryable else "no: change something first"),
    ]
    block = Text.assemble((body.code, "bold red"), f": {what} did not succeed")
    for name, text in rows:
        if text:
            block.append(f"\n  {name:<6}", style="bold").append(text)
    # soft_wrap: a line of a log or a terminal may be long, but a path in it must stay in one piece
    Console(stderr=True, highlight=False, soft_wrap=True).print(block)


def _place_of(error: BaseException) -> str:
    """Name type and place of a foreign exception, never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
