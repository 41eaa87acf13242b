"""The list of all orgs, the one that has been silent longest first, each with a link to its report."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from jinja2 import Environment

from handlers.pages import page_environment
from infra.status_board import StatusLine

SHOWN_MAX: Final = 2_000
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def render_index(lines: Sequence[StatusLine], left_out: int, *, now: datetime) -> bytes:
    """Return the page; ``left_out`` orgs are not in ``lines``."""
    ordered = sorted(lines, key=lambda line: (last_completed(line), line.org_id))
    page = (
        _environment()
        .get_template("orgs.html.j2")
        .render(
            lines=[(line, _age(line, now)) for line in ordered[:SHOWN_MAX]],
            left_out=left_out + max(0, len(ordered) - SHOWN_MAX),
            now=f"{now:%Y-%m-%d %H:%M} UTC",
        )
    )
    return page.encode("utf-8")


def last_completed(line: StatusLine) -> datetime:
    """Return when a run of the org last completed; the beginning of time if it is not known that one ever did."""
    status = line.status
    return (None if status is None else status.last_completed_at) or _NEVER


def _age(line: StatusLine, now: datetime) -> str:
    """Say how long ago a run last completed, in the unit that a person would use."""
    completed = last_completed(line)
    if completed == _NEVER:
        return "never"
    seconds = max(0, int((now - completed).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return "just now"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return page_environment()
