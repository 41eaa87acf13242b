"""A whole machine in a test: the shipped service over bucket and bus in memory, real SQLite, the real sqlite3_rsync."""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from core.runs.admission import Capacity
from core.runs.mailbox import MailboxLimits
from core.runs.org_run import Ports
from core.runs.planning_job import InProcessPlanner
from core.runs.service import Handled, Service
from events.payloads import RunCompleted
from events.types import RUN_REQUESTED, Event, OrgId, RunRequested
from infra.holds import BucketHolds
from infra.lease import BucketLease
from infra.memory_bucket import MemoryBucket
from infra.memory_bus import MemoryBus
from infra.mirror import MirrorSync
from infra.org_db import SqliteOrgStore
from infra.rsync import find_rsync
from infra.status_board import BucketStatusBoard
from tests.clocks import FixedClock
from tests.journals import ListJournal

ACME = OrgId("acme")
OBJECT = "org-data/acme.db"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""06:00 in Chicago, before the send time: the org's own date is the same day."""
TODAY = date(2026, 3, 2)


class Machine:
    """One machine: its own disk, a shared bucket and bus."""

    _numbers = count()

    def __init__(self, folder: Path, bucket: MemoryBucket, bus: MemoryBus | None = None, **service: int) -> None:
        number = next(self._numbers)
        tokens = count()
        self.bucket = bucket
        self.bus = bus or MemoryBus()
        self.clock = FixedClock(NOW)
        self.journal = ListJournal()

        def new_token() -> str:
            return f"token-{number}-{next(tokens)}"

        self.ports = Ports(
            sync=MirrorSync(
                bucket,
                find_rsync(timeout_seconds=60),
                self.clock,
                self.journal,
                data_dir=str(folder / f"machine-{number}"),
                new_token=new_token,
            ),
            lease=BucketLease(bucket, self.clock, self.journal, new_token=new_token, renews=False),
            planner=InProcessPlanner(SqliteOrgStore(), self.clock, self.journal),
            bus=self.bus,
            clock=self.clock,
            journal=self.journal,
            completion_topic="completions",
            statuses=BucketStatusBoard(bucket),
            holds=BucketHolds(bucket),
        )
        self.service = Service(
            self.ports,
            limits=MailboxLimits(waiters_max=service.get("waiters_max", 16)),
            capacity=Capacity(service.get("run_slots", 2), 10**12, 10**12),
        )

    def handle(self, event: Event) -> Handled:
        return self.service.handle(event, until=self.clock.monotonic() + 60)

    def run(self, number: int | str = 1, **wishes: Any) -> Handled:
        return self.handle(requested(number, **wishes))

    def completed(self) -> list[tuple[str, RunCompleted]]:
        """Published completions with their event ids."""
        return [
            (message.attributes["ce-id"], msgspec.json.decode(message.data, type=RunCompleted))
            for message in self.bus.messages
            if message.attributes["ce-type"].endswith("run.completed.v1")
        ]

    def published_types(self) -> list[str]:
        return [message.attributes["ce-type"].split(".", 2)[2] for message in self.bus.messages]


def requested(number: int | str = 1, org_id: OrgId = ACME, **wishes: Any) -> Event:
    """Return a run request with an id of its own."""
    return Event(id=f"event-{number}", source="//test", type=RUN_REQUESTED, org_id=org_id, data=RunRequested(**wishes))


def put_org(
    bucket: MemoryBucket, folder: Path, contacts: int = 3, config: str | None = None, name: str = OBJECT
) -> int:
    """Put a small org database into the bucket as an upstream system would; returns its generation."""
    file = folder / f"upload-{name.replace('/', '-')}"
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as db:
        db.execute(
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, first_name TEXT, last_name TEXT, "
            "phone_number TEXT, zip_code TEXT, state TEXT, birth_date TEXT, effective_date TEXT, carrier TEXT, "
            "failed_underwriting INTEGER DEFAULT 0, status TEXT DEFAULT '')"
        )
        for i in range(1, contacts + 1):
            db.execute(
                "INSERT INTO contacts (id, email, state, birth_date, effective_date) VALUES (?, ?, 'TX', ?, ?)",
                (i, f"person{i}@example.com", f"1960-04-{i % 28 + 1:02d}", f"2015-06-{i % 28 + 1:02d}"),
            )
        if config is not None:
            db.execute("CREATE TABLE config_versions (id INTEGER PRIMARY KEY, config_data TEXT, valid_from TEXT, "
                       "valid_to TEXT, created_at TEXT, created_by TEXT, note TEXT)")  # fmt: skip
            db.execute("INSERT INTO config_versions VALUES (7, ?, '2020-01-01 00:00:00', NULL, '', '', '')", (config,))
    db.close()
    live = bucket.stat(name)
    info = bucket.upload(name, str(file), if_generation_match=live.generation if live else 0, metadata={})
    return info.generation


def rows_in(bucket: MemoryBucket, folder: Path, sql: str, name: str = OBJECT) -> list[tuple[Any, ...]]:
    """Read the live object with plain SQLite."""
    live = bucket.stat(name)
    assert live is not None
    file = folder / "live.db"
    file.unlink(missing_ok=True)
    bucket.download(name, live.generation, str(file))
    with sqlite3.connect(file) as db:
        rows = db.execute(sql).fetchall()
    db.close()
    return rows


def metadata_of(bucket: MemoryBucket, name: str = OBJECT) -> Mapping[str, str]:
    live = bucket.stat(name)
    assert live is not None
    return live.metadata
