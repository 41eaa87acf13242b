"""Random histories of an org: runs, mail, unsubscribes, deletions, restores, blind copies. The world is never rolled back.

A sender takes only what the live version offers, reports, and remembers. Whatever is restored in between:

* it is never offered a mail that it has sent, and the live version has the latest that it reported;
* nobody who unsubscribed or was deleted is offered anything, or comes back without a mark;
* no event that a run carried is carried by a second one;
* every version is sound, ids are unique, follow-ups follow a mail of their own person.

After a blind copy nobody sends before ``reconcile``: that is what the runbook says. RESTORE_HISTORIES says how many.
"""

import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from infra.memory_bucket import MemoryBucket
from infra.sqlite_file import quick_check
from tests.machines import NOW, OBJECT, Machine, put_org
from tests.recoveries import copy_blindly, edit, live, reconciled, restored

HISTORIES = int(os.environ.get("RESTORE_HISTORIES", "8"))
STEPS = 25

Identity = tuple[object, ...]
STAGES = {"scheduled": ("sent", "failed"), "sent": ("delivered", "bounced")}
"""What a report may follow what."""
OFFERED = "status = 'pre-scheduled'"
ROWS = """
SELECT row.id, row.contact_id, row.email_type, row.event_date, row.status,
  parent.event_date, parent.email_type, row.parent_schedule_id
FROM email_schedules AS row LEFT JOIN email_schedules AS parent ON parent.id = row.parent_schedule_id"""


class World:
    """An org, and everybody who has to do with it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = Random(seed)
        self.folder = folder
        self.bucket = MemoryBucket()
        put_org(self.bucket, folder, contacts=6)
        self.machine = Machine(folder, self.bucket)
        self.reports: dict[Identity, str] = {}
        self.stopped: set[int] = set()
        self.deleted: set[int] = set()
        self.carried: dict[int, str] = {}
        self.good = [live(self.bucket).generation]
        self.events = 0
        self.next_contact = 100
        self.run()

    def query(self, sql: str) -> list[tuple[object, ...]]:
        file = self.folder / "looked-at.db"
        file.unlink(missing_ok=True)
        self.bucket.download(OBJECT, live(self.bucket).generation, str(file))
        assert quick_check(str(file)) == "ok"
        with closing(sqlite3.connect(file)) as db:
            return db.execute(sql).fetchall()

    def edit(self, *statements: str) -> None:
        edit(self.bucket, self.folder, *statements)

    # -------------------------------------------------------------------------------------------- what happens

    def run(self) -> None:
        self.events += 1
        done = self.machine.run(self.events, as_of=(NOW + timedelta(days=self.events)).date(), force=True)
        assert done.completed is not None, done.error
        if done.completed.changed:
            self.carried[self.events] = done.completed.run_id

    def redeliver(self) -> None:
        if not self.carried:
            return
        number = self.random.choice(sorted(self.carried))
        generation = live(self.bucket).generation
        done = self.machine.run(number, as_of=(NOW + timedelta(days=number)).date(), force=True)
        assert done.completed is not None
        assert (done.completed.replayed, done.completed.run_id) == (True, self.carried[number])
        assert live(self.bucket).generation == generation

    def send(self) -> None:
        offered = self.query(f"{ROWS} WHERE row.{OFFERED}")
        for row in self.random.sample(offered, min(len(offered), 2)):
            assert identity(row) not in self.reports, f"a second mail: {identity(row)}"
            assert row[1] not in self.stopped | self.deleted
            self.report(row, self.random.choice(("scheduled", "sent")))

    def report_on(self) -> None:
        taken = self.query(f"{ROWS} WHERE row.status IN ('scheduled', 'sent')")
        if taken:
            row = self.random.choice(taken)
            self.report(row, self.random.choice(STAGES[str(row[4])]))

    def report(self, row: tuple[object, ...], status: str) -> None:
        self.edit(
            f"UPDATE email_schedules SET status = '{status}', actual_send_datetime = scheduled_send_date || ' 08:30:00' "
            f"WHERE id = {row[0]}"
        )
        self.reports[identity(row)] = status

    def click(self) -> None:
        self.edit("INSERT INTO tracking_clicks (contact_id, clicked_at) VALUES (1, '2026-03-10 10:00:00')")

    def unsubscribe(self) -> None:
        found = [row[0] for row in self.query("SELECT id FROM contacts")]
        if len(found) > 3:
            contact = int(str(self.random.choice(found)))
            self.edit(f"UPDATE contacts SET status = 'unsubscribed' WHERE id = {contact}")
            self.stopped.add(contact)
            self.run()

    def delete(self) -> None:
        found = [row[0] for row in self.query("SELECT id FROM contacts")]
        if len(found) > 3:
            contact = int(str(self.random.choice(found)))
            self.edit(
                f"DELETE FROM contacts WHERE id = {contact}",
                f"INSERT OR IGNORE INTO scheduler_tombstones VALUES ({contact}, 'deleted', '2026-03-02 12:00:00')",
            )
            self.deleted.add(contact)
            self.stopped.discard(contact)
            self.run()

    def add(self) -> None:
        self.next_contact += 1
        self.edit(
            f"INSERT INTO contacts (id, email, state, birth_date) VALUES ({self.next_contact}, "
            f"'person{self.next_contact}@example.com', 'TX', '1960-0{self.random.randint(4, 9)}-15')"
        )

    def restore(self) -> None:
        generation = self.random.choice(self.good)
        if generation != live(self.bucket).generation:
            dry = restored(self.machine, generation, dry_run=True)
            done = restored(self.machine, generation)
            assert dry.carried == done.carried

    def restore_deleted(self) -> None:
        self.bucket.delete(OBJECT, if_generation_match=live(self.bucket).generation)
        restored(self.machine, self.random.choice(self.good))

    def copy(self) -> None:
        for _ in range(self.random.randint(1, 2)):
            copy_blindly(self.bucket, self.folder, self.random.choice(self.good))
            for _ in range(self.random.randint(0, 2)):
                self.run()
        reconciled(self.machine)
        assert reconciled(self.machine).generation is None

    # -------------------------------------------------------------------------------------------- what holds

    def check(self) -> None:
        rows = self.query(ROWS)
        offered = {identity(row) for row in rows if row[4] == "pre-scheduled"}
        assert not offered & set(self.reports)
        locked = {identity(row): row[4] for row in rows if row[4] not in {"pre-scheduled", "skipped"}}
        assert locked == self.reports
        assert len(rows) == len({row[0] for row in rows})
        for row in rows:
            if row[7] is not None and row[4] not in {"pre-scheduled", "skipped"}:
                assert row[6] is not None, "a follow-up of nothing"
        assert not {row[1] for row in rows if row[4] == "pre-scheduled"} & (self.stopped | self.deleted)
        contacts = {row[0]: row[1] for row in self.query("SELECT id, status FROM contacts")}
        stones = {row[0] for row in self.query("SELECT contact_id FROM scheduler_tombstones")}
        assert not self.deleted & set(contacts)
        assert self.deleted <= stones
        for contact in self.stopped:
            assert contacts.get(contact, "unsubscribed") == "unsubscribed"
            assert contact in contacts or contact in stones
        known = {row[0] for row in self.query("SELECT event_id FROM scheduler_processed_events")}
        assert {f"event-{number}" for number in self.carried} <= known


def identity(row: tuple[object, ...]) -> Identity:
    """R7; a follow-up by what its parent was about, because ids may change."""
    if str(row[2]).startswith("followup_"):
        return row[1], "followup", row[5], row[6]
    return row[1], row[2], row[3]


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_whatever_is_restored_the_world_is_not_rolled_back(seed: int, tmp_path: Path) -> None:
    world = World(tmp_path, seed)
    steps = (
        world.run, world.run, world.send, world.send, world.report_on, world.report_on, world.click, world.unsubscribe,
        world.delete, world.add, world.redeliver, world.restore, world.restore, world.restore_deleted, world.copy,
    )  # fmt: skip
    for _ in range(STEPS):
        world.random.choice(steps)()
        world.check()
        world.good.append(live(world.bucket).generation)
    restores = [name for name in world.machine.journal.events() if name == "carrying"]
    assert restores, "a history without a restore proves nothing"
