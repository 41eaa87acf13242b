"""What several commands share: options, the meaning of ``ORG|FILE``, settings and the log."""

import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from core.runs.errors import ErrorCode, OrgError
from events.types import OrgId, is_org_id
from handlers.cli_errors import UsageError

if TYPE_CHECKING:
    from infra.settings import Settings

# ruff: noqa: PLC0415 - settings and log are loaded by the commands that use them: `emailsched --help` is instant

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")

CONFIG_BYTES_MAX: Final = 100_000

LOCAL_ORG: Final = OrgId("local")
"""The org of a file whose name is no org id."""


def parse_day(text: str) -> date:
    """Read YYYY-MM-DD and nothing else that ``fromisoformat`` would take."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass  # a day such as 2025-02-30: the same complaint
    raise typer.BadParameter("a day is written YYYY-MM-DD")


def parse_run_id(text: str) -> str:
    """Judge a run id before it is recorded."""
    if _RUN_ID.fullmatch(text) is None:
        raise typer.BadParameter("1 to 64 characters of A-Z a-z 0-9 _ . : -, beginning with a letter or a digit")
    return text


JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; its shape is a contract.")]
AsOfOption = Annotated[
    date | None,
    typer.Option("--as-of", parser=parse_day, metavar="DATE", help="Plan as of this day instead of the org's own."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="What if: plan with this JSON configuration instead of the one in force."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Commit whatever --as-of says.")]
TargetArgument = Annotated[
    str | None,
    typer.Argument(metavar="ORG|FILE", help="An existing file, or an org of the bucket.  [default: ORG_ID]"),
]


def config_text(file: Path | None) -> str | None:
    """Read a configuration to plan with, None for the one in force; raises OrgError FILE_MISSING, UsageError."""
    if file is None:
        return None
    if not file.is_file():
        raise OrgError(ErrorCode.FILE_MISSING, detail=f"{str(file)!r} is no file")
    with file.open("rb") as opened:
        content = opened.read(CONFIG_BYTES_MAX + 1)
    if len(content) > CONFIG_BYTES_MAX:
        raise UsageError(f"{str(file)!r} is too large", f"a configuration has at most {CONFIG_BYTES_MAX} bytes")
    return content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Target:
    """What ``ORG|FILE`` meant; ``file`` None: the org's object in the bucket."""

    org_id: OrgId
    file: Path | None


def target_of(text: str | None, settings: "Settings") -> Target:
    """An existing file is a file, anything else an org; raises OrgError FILE_MISSING, UsageError."""
    if text is not None and Path(text).is_file():
        return Target(org_id_of_file(Path(text)), Path(text))
    if text is None or is_org_id(text):
        return Target(org_of(text, settings), None)
    raise OrgError(ErrorCode.FILE_MISSING, detail=f"{text!r} is neither an existing file nor an org id")


def org_of(text: str | None, settings: "Settings") -> OrgId:
    """Return the org named, else the default org; raises UsageError."""
    org_id = text if text is not None else settings.org_id
    if org_id is None:
        raise UsageError("no org was named", "name one, or set ORG_ID")
    if not is_org_id(org_id):
        hint = "an org id is 1 to 64 characters of A-Z a-z 0-9 _ -, beginning with a letter or a digit"
        raise UsageError(f"{org_id!r} is no org id", hint)
    return OrgId(org_id)


def org_id_of_file(file: Path) -> OrgId:
    """Return the org that a file is named after (``acme.db``: acme), else ``local``."""
    return OrgId(file.stem) if is_org_id(file.stem) else LOCAL_ORG


def load_settings(*, serving: bool = False) -> "Settings":
    """Read the settings and direct the log to stderr in their form; raises SettingsError with every problem."""
    from handlers.bootstrap import settings_from_environment
    from infra.telemetry import configure_logging

    settings = settings_from_environment(os.environ, serving=serving)
    configure_logging(settings.log_level)
    return settings
