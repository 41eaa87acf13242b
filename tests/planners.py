"""A planning process with troubles of its own: ``python -m tests.planners DESCRIPTOR``. The org's name says which.

Everything but the store is the shipped process; a store that opens nothing keeps it from needing a database.
"""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from core.runs.ports import OrgDatabase
from events.types import OrgId
from handlers.bootstrap import open_store
from infra.clock import SystemClock
from infra.planning_process import serve_jobs

COMMAND: Final = (sys.executable, "-m", "tests.planners")
ENVIRONMENT: Final = {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "PATH": os.environ["PATH"]}

SLEEPY: Final = OrgId("sleepy")
GREEDY: Final = OrgId("greedy")
BUGGY: Final = OrgId("buggy")


class TroubleStore:
    """Opens databases as shipped, except for those orgs."""

    def __init__(self) -> None:
        self._store = open_store()

    def open(self, file: str, org_id: OrgId | None) -> OrgDatabase:
        if org_id == SLEEPY:
            Path(file).write_text("begun")
            time.sleep(60)
        if org_id == GREEDY:
            raise MemoryError
        if org_id == BUGGY:
            self._stumble()
        return self._store.open(file, org_id)

    def _stumble(self) -> NoReturn:
        raise ZeroDivisionError("ada@example.com")


if __name__ == "__main__":
    serve_jobs(socket.socket(fileno=int(sys.argv[1])), TroubleStore(), SystemClock())
