"""Bulk data events on one org: runs of 100 000 mail reports, and what 5 000 items cost beside the plan.

    python benchmarks/bench_data_events.py [CONTACTS]

Reports come as 20 events of 5 000 at once, through the shipped service over the embedded bucket. The other lines apply one
event of 5 000 items of a kind to a copy of the org's file: CPU seconds, and pages of the file that it changed.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from core.runs.admission import Capacity
from core.runs.changes import apply_events
from core.runs.mailbox import MailboxLimits
from core.runs.org_run import Ports
from core.runs.planning_job import InProcessPlanner
from core.runs.service import Service
from events.contact_payloads import ContactChanged, ContactClick, ContactItem, ContactUnsubscribe, ContactUpsert
from events.mail_payloads import MailReport, MailReported
from events.types import CONTACT_CHANGED, MAIL_REPORTED, RUN_REQUESTED, Event, OrgId, RunRequested
from infra.clock import SystemClock
from infra.lease import BucketLease
from infra.local_bucket import LocalBucket
from infra.memory_bus import MemoryBus
from infra.mirror import MirrorSync
from infra.org_db import SqliteOrgStore
from infra.org_handles import open_records
from infra.pages import compare_pages
from infra.rsync import find_rsync
from infra.synthetic import make_org
from infra.telemetry import LogJournal, configure_logging

ORG = OrgId("bench")
OBJECT = "org-data/bench.db"
ITEMS = 5_000
EVENTS = 20
_ROWS = """SELECT contact_id, email_type, event_date, scheduled_send_date FROM email_schedules
           WHERE status = 'pre-scheduled' AND campaign_instance_id IS NULL AND parent_schedule_id IS NULL
           ORDER BY scheduled_send_date, id LIMIT ?"""


def service_of(folder: Path, bucket: LocalBucket) -> Service:
    """The shipped service on one machine."""
    clock, journal, bus, store = SystemClock(), LogJournal(), MemoryBus(), SqliteOrgStore()
    tokens = iter(range(10**9))

    def new_token() -> str:
        return f"token-{next(tokens)}"

    rsync = find_rsync(timeout_seconds=600)
    ports = Ports(
        sync=MirrorSync(bucket, rsync, clock, journal, data_dir=str(folder / "machine"), new_token=new_token),
        lease=BucketLease(bucket, clock, journal, new_token=new_token),
        planner=InProcessPlanner(store, clock, journal),
        bus=bus,
        clock=clock,
        journal=journal,
        completion_topic="completions",
    )
    return Service(ports, limits=MailboxLimits(waiters_max=100), capacity=Capacity(1, 10**12, 10**12))


def reports_of(rows: Sequence[tuple[int, str, str, str]], status: str) -> list[MailReport]:
    """Reports about rows, as a sender makes them: by identity."""
    return [
        MailReport(
            contact_id=contact,
            email_type=email_type,
            event_date=date.fromisoformat(event),
            status="scheduled" if status == "scheduled" else "sent",
            scheduled_send_date=date.fromisoformat(send) if status == "scheduled" else None,
        )
        for contact, email_type, event, send in rows
    ]


def mail_event(number: int, items: Sequence[MailReport]) -> Event:
    """One mail.reported."""
    data = MailReported(items=tuple(items))
    return Event(id=f"mail-{number}", source="//bench", type=MAIL_REPORTED, org_id=ORG, data=data)


def contact_event(name: str, items: Sequence[ContactItem]) -> Event:
    """One contact.changed."""
    data = ContactChanged(items=tuple(items))
    return Event(id=name, source="//bench", type=CONTACT_CHANGED, org_id=ORG, data=data)


def measure_applied(file: Path, name: str, event: Event) -> None:
    """Apply one event to a copy and say what it cost."""
    copy = file.with_name("copy.db")
    shutil.copyfile(file, copy)
    db = SqliteOrgStore().open(str(copy), ORG)
    started = time.process_time()
    applied = apply_events(db, (event,), SystemClock(), on_hold=False)
    seconds = time.process_time() - started
    db.close()
    counts = {key: getattr(applied.counts, key) for key in applied.counts.__struct_fields__}
    pages = compare_pages(str(file), str(copy)).changed.size
    told = ", ".join(f"{key} {value}" for key, value in counts.items() if value)
    print(f"{name:<24}{seconds:>8.3f} s CPU {pages:>8} pages   {told}")


def main(arguments: list[str]) -> None:
    """Run the benchmark and print its lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contacts", nargs="?", type=int, default=100_000)
    contacts = parser.parse_args(arguments).contacts
    configure_logging("WARNING")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "org.db"
        make_org(str(file), contacts=contacts, seed=1, today=SystemClock().now_utc().date())
        bucket = LocalBucket(str(folder / "bucket"))
        bucket.upload(OBJECT, str(file), if_generation_match=0, metadata={})
        service = service_of(folder, bucket)
        first = Event(id="first", source="//bench", type=RUN_REQUESTED, org_id=ORG, data=RunRequested())
        service.handle(first, until=time.monotonic() + 3600)
        planned = folder / "planned.db"
        live = bucket.stat(OBJECT)
        if live is None:
            raise RuntimeError("the first run left no object")
        bucket.download(OBJECT, live.generation, str(planned))
        with open_records(str(planned)) as db:
            rows = [(int(c), str(t), str(e), str(s)) for c, t, e, s in db.execute(_ROWS, [ITEMS * EVENTS])]
        print(f"{contacts} contacts, {len(rows)} mails to report")
        measure_applied(planned, "5 000 facts", mail_event(0, reports_of(rows[:ITEMS], "sent")))
        measure_applied(planned, "5 000 claims", mail_event(0, reports_of(rows[:ITEMS], "scheduled")))
        people = range(1, contacts, max(1, contacts // ITEMS))[:ITEMS]
        changes: dict[str, list[ContactItem]] = {
            "5 000 upserts": [ContactUpsert(contact_id=i, email=f"new{i}@example.com", status="") for i in people],
            "5 000 unsubscribes": [ContactUnsubscribe(contact_id=i) for i in people],
            "5 000 clicks": [ContactClick(contact_id=i, clicked_at=SystemClock().now_utc()) for i in people],
        }
        for kind, items in changes.items():
            measure_applied(planned, kind, contact_event(kind, items))
        events = [
            mail_event(n, reports_of(rows[n * ITEMS : (n + 1) * ITEMS], "sent"))
            for n in range(EVENTS)
            if rows[n * ITEMS : (n + 1) * ITEMS]
        ]
        started = time.monotonic()
        with ThreadPoolExecutor(len(events)) as pool:
            until = started + 3600
            handled = list(pool.map(lambda event: service.handle(event, until=until), events))
        runs = {one.completed.run_id: one.completed.items.facts_recorded for one in handled if one.completed}
        seconds = time.monotonic() - started
        print(f"{sum(runs.values())} reports in {len(runs)} runs, {seconds:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
