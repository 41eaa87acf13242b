"""Contact changes and facts in any order, doubled, in any batches, with crashes before and after the commit, end the same.

What the specification lets depend on the order is not drawn: resubscribes, claims, and upserts that give only some fields.
DATA_EVENT_SEEDS says how many histories; a failure names its seed.
"""

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from core.runs.planning_job import PlanningJob, carry_out
from events.types import Event
from infra.memory_bucket import MemoryBucket
from infra.org_db import SqliteOrgStore
from tests.clocks import FixedClock
from tests.data_events import Item, answer, click, contact_changed, delete, mail_reported, report, unsubscribe, upsert
from tests.journals import ListJournal
from tests.machines import ACME, NOW, put_org

SEEDS = int(os.environ.get("DATA_EVENT_SEEDS", "12"))
CONTACTS = (1, 2, 3, 8, 9)
"""The first three are there from the beginning."""
LATE = ("processing", "accepted", "sent", "delivered", "bounced", "failed", "cancelled")

END = {
    "contacts": "SELECT * FROM contacts",
    "tombstones": "SELECT contact_id, reason, at FROM scheduler_tombstones",
    "order of upserts": "SELECT * FROM scheduler_upserts",
    "clicks": "SELECT contact_id, tracking_id, clicked_at FROM tracking_clicks",
    "answers": "SELECT contact_id, metadata, created_at FROM contact_events",
    "parked": "SELECT contact_id, kind, content, source, event_id, item_index FROM scheduler_parked_items",
    "planned": """SELECT contact_id, email_type, event_date, scheduled_send_date, priority FROM email_schedules
                  WHERE status = 'pre-scheduled'""",
    "reported": """SELECT contact_id, email_type, event_date, status, actual_send_datetime FROM email_schedules
                   WHERE status NOT IN ('pre-scheduled', 'skipped')""",
}


def drawn_item(random: Random, number: int) -> Item:
    """One change of one of a few contacts."""
    contact = random.choice(CONTACTS)
    kind = random.choice(("upsert", "upsert", "upsert", "click", "answer", "unsubscribe", "delete"))
    if kind == "upsert":
        return upsert(
            contact, email=random.choice(("a@example.com", "b@example.com", "bad")), first_name=f"name {number}",
            last_name=None, phone_number=None, zip_code=None, state=random.choice(("TX", "IL", "CA")),
            birth_date=f"19{random.randint(40, 70)}-0{random.randint(1, 9)}-15", effective_date=None, carrier=None,
            failed_underwriting=random.random() < 0.3, status=random.choice(("", "active", "deceased")),
        )  # fmt: skip
    if kind == "click":
        return click(contact, tracking_id=str(number))
    if kind == "answer":
        return answer(contact, main_questions_yes_count=number)
    return unsubscribe(contact) if kind == "unsubscribe" else delete(contact)


def drawn_fact(random: Random) -> Item:
    """What became of one of a few mails, some of which are planned."""
    contact = random.choice(CONTACTS)
    sent_at = (NOW - timedelta(days=random.randint(1, 20))).isoformat()
    return report(contact, random.choice(LATE), f"2026-04-{contact + 1:02d}", sent_at=sent_at)


def drawn_events(random: Random) -> list[Event]:
    events = []
    for number in range(random.randint(4, 12)):
        time = NOW - timedelta(seconds=random.choice((number, number, 3)))
        count = random.randint(1, 4)
        if random.random() < 0.3:
            events.append(mail_reported(f"r{number}", *(drawn_fact(random) for _ in range(count)), time=time))
        else:
            items = (drawn_item(random, 100 * number + i) for i in range(count))
            events.append(contact_changed(f"c{number}", *items, time=time, source=f"//source-{random.randint(1, 2)}"))
    return events


class World:
    """One org, whose live file is replaced as a whole by every run that commits."""

    def __init__(self, folder: Path, born: Path) -> None:
        folder.mkdir()
        self.live, self._copy = folder / "live.db", folder / "copy.db"
        shutil.copyfile(born, self.live)
        self.generation = 1

    def run(self, events: Sequence[Event], *, dies_before_commit: bool = False) -> None:
        """Carry events out on a private copy; whoever dies leaves no trace of it."""
        shutil.copyfile(self.live, self._copy)
        job = PlanningJob(org_id=ACME, file=str(self._copy), generation=self.generation, events=tuple(events))
        carry_out(job, SqliteOrgStore(), FixedClock(NOW), ListJournal())
        if not dies_before_commit:
            self._copy.replace(self.live)
            self.generation += 1

    def end(self) -> dict[str, Counter[tuple[Any, ...]]]:
        """Everything that the order must not matter to, as multisets."""
        with closing(sqlite3.connect(self.live)) as db:
            return {name: Counter(db.execute(sql).fetchall()) for name, sql in END.items()}


def deliver_wildly(world: World, events: Sequence[Event], random: Random) -> None:
    """Deliver everything at least once: shuffled, doubled, in batches, with runs that die and runs whose answer is lost."""
    waiting = [*events, *random.sample(events, k=len(events) // 2)]
    random.shuffle(waiting)
    while waiting:
        batch = [waiting.pop() for _ in range(min(len(waiting), random.randint(1, 4)))]
        fate = random.random()
        world.run(batch, dies_before_commit=fate < 0.25)
        if fate < 0.5:  # nobody acknowledged: they come again
            waiting[:0] = batch


@pytest.fixture(scope="module")
def born(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("born")
    bucket = MemoryBucket()
    generation = put_org(bucket, folder)
    bucket.download("org-data/acme.db", generation, str(folder / "born.db"))
    return folder / "born.db"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_delivery_of_the_same_events_ends_in_the_same_org(tmp_path: Path, born: Path, seed: int) -> None:
    random = Random(f"data events {seed}")
    events = drawn_events(random)
    straight = World(tmp_path / "straight", born)
    for event in events:
        straight.run([event])
    wild = World(tmp_path / "wild", born)
    deliver_wildly(wild, events, random)
    assert wild.end() == straight.end()
