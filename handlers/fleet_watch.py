"""Keeps the metrics about all orgs current: while somebody scrapes, the bucket is asked every few minutes."""

import threading
from typing import Final

from core.runs.errors import OrgError
from handlers.process import Process, Runtime
from infra.fleet import look_at_fleet

LOOK_EVERY_SECONDS: Final = 300.0


class FleetWatch:
    """Asks in a thread of its own, one at a time, so that no scrape waits for the bucket."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._asking = threading.Lock()
        self._asked_at: float | None = None

    def scraped(self) -> None:
        """Ask the bucket again if the last answer is old; returns at once."""
        runtime = self._process.peek()
        if runtime is None or not self._asking.acquire(blocking=False):
            return
        now = runtime.app.clock.monotonic()
        if self._asked_at is not None and now - self._asked_at < LOOK_EVERY_SECONDS:
            self._asking.release()
            return
        self._asked_at = now
        threading.Thread(target=self._ask, args=(runtime,), name="fleet", daemon=True).start()

    def _ask(self, runtime: Runtime) -> None:
        app = runtime.app
        try:
            now = app.clock.now_utc()
            runtime.observer.fleet_seen(look_at_fleet(app.bucket, now), now)
        except OrgError as error:  # the gauges keep their last values, and their time says how old those are
            app.journal.warning("orgs_not_looked_at", code=error.code.value, detail=error.detail)
        finally:
            self._asking.release()
