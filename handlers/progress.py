"""What a person at a terminal sees while a command works: a spinner with the step that the log just reported.

Progress is made of the log's own records, so there is no second account of what happens. Where stderr is no terminal
the log alone is written, one JSON object per line, and nothing moves.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from rich.console import Console
from rich.status import Status

from infra.telemetry import configure_logging

STEPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "starting": "starting",
        "authenticated": "looking at the bucket",
        "lease_waiting": "waiting for another machine to finish",
        "sync_down": "fetching the database",
        "downloading": "fetching the database",
        "copying": "copying the file",
        "planning": "planning",
        "planned": "writing the difference",
        "sync_up": "sending the database",
        "replacing": "replacing the file",
        "published": "published",
    }
)
"""Records of the log that are steps, as a person reads them."""


class _Follow(logging.Handler):
    """Turns records of the journal into the text beside the spinner; other records are none of its business."""

    def __init__(self, status: Status, title: str) -> None:
        super().__init__(logging.INFO)
        self._status = status
        self._title = title

    def emit(self, record: logging.LogRecord) -> None:
        """Show the step, if the record is one."""
        event = record.msg.get("event") if isinstance(record.msg, dict) else None
        step = STEPS.get(event) if isinstance(event, str) else None
        if step is not None:
            self._status.update(f"{self._title}: {step}")


@contextmanager
def progress(title: str, log_level: str) -> Iterator[None]:
    """Show a spinner on stderr inside the block if stderr is a terminal; then only warnings are logged as lines."""
    console = Console(stderr=True)
    if not console.is_terminal or log_level == "DEBUG":
        yield
        return
    with Status(title, console=console) as status:
        root = logging.getLogger()
        # Lines go through the spinner's console (it has taken sys.stderr over), so that they do not tear it.
        configure_logging("INFO", stream=sys.stderr, human=True)
        root.handlers[0].setLevel(logging.WARNING)
        follow = _Follow(status, title)
        root.addHandler(follow)
        try:
            yield
        finally:
            root.removeHandler(follow)
    configure_logging(log_level)
