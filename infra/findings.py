"""What `doctor` finds: one line per check, and what to do about it."""

from typing import Literal, NamedTuple

from core.runs.errors import OrgError

State = Literal["ok", "warning", "error", "skipped"]
"""``warning``: works, but an operator should look. ``skipped``: could not be judged, and why is in the detail."""


class Finding(NamedTuple):
    """The answer of one check; ids, names and numbers only."""

    check: str
    state: State
    detail: str
    hint: str = ""
    """What to do next; empty where there is nothing to do."""


def failed(check: str, error: OrgError) -> Finding:
    """Turn an error into a finding: its code, its detail and its hint."""
    return Finding(check, "error", str(error), error.hint)
