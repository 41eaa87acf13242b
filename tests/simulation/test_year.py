"""A year of daily runs over an org on disk: no mail lost, none twice, none on a forbidden date, no row rewritten idly.

Each day somebody edits contacts, campaigns or the configuration (or nobody does), people click and answer, a run plans and
writes (SqliteOrgStore, reconcile, write), and a sender takes the mail that is due: most of it is delivered, some bounces
or fails, some waits in a queue, and on a few days the sender is down. YEAR_DAYS says how many days (default 45, a year is
365), YEAR_CONTACTS how many people (default 120). Everything is drawn from fixed seeds.

Why was a row rewritten? A plan is a function of data D, configuration C and date T. Let 0 be yesterday and 1 today, and let
F(D, C, T) be the *free* plan: the same planner with every daily cap and cluster limit lifted. In a free plan the mail of one
contact does not depend on anybody else's. Then for each row that a run updates, deletes or inserts again:

* F(D1, C1, T1) differs from F(D0, C0, T0) in this row: the cause is its own. One input at a time is held back: where
  F(D0, C1, T1) has another row than today's, the cause is ``data``; likewise ``config`` with C0 and ``date`` with T0. (If
  none is necessary because several would do, the one that brings about today's row alone is the cause.) A ``date`` must
  further be a roll-over that the rules know: the day passed unsent (R63, R83, R84, R92), the occurrence, campaign or
  lookback is over (R30, R51, R52, R55, R80), it has just begun (R36, R52), or a limit is judged afresh (R74).
* F is the same, but the row is not: the cause is ``load``, another mail moved or went out (R61, R66, R72). Then only the
  send date or a limit's verdict may differ, and the free plan must differ in somebody else's row.

Anything else is unattributed, and the test fails.
"""

import json
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from core.planning.calendar import day_number, to_date
from core.planning.columns import NULL_ID
from core.planning.config import Config, parse_config
from core.planning.plan import Plan, plan
from core.runs.reading import read_org
from core.runs.reconcile import Order, Reconciled, reconcile
from events.types import OrgId
from infra.org_db import SqliteOrgStore
from tests.clocks import FixedClock
from tests.journals import ListJournal
from tests.orgs import SCHEMA
from tests.plain_database import PlainDatabase
from tests.properties.test_planner_properties import forbidden
from tests.reference.config import read_config
from tests.reference.contacts import read_contacts
from tests.reference.dates import anniversary
from tests.reference.instances import read_campaigns

DAYS = int(os.environ.get("YEAR_DAYS", "45"))
CONTACTS = int(os.environ.get("YEAR_CONTACTS", "120"))
START = date(2027, 8, 20)  # AEP is four weeks away, and 29 February 2028 half a year
ORG = OrgId("simulated")
ONE_DAY = timedelta(days=1)
STATES = ["CA", "MO", "NV", "MD", "ID", "OR", "NY", "TX", "TX", "TX", "FL", "IL", "OH", "PA", None]
LIMITS = {"frequency_limit", "campaign_conflict"}

CONFIG: dict[str, object] = {
    "min_daily_cap": 1, "daily_send_percentage_cap": 0.025, "ed_daily_soft_limit": 1, "max_emails_per_period": 2,
    "frequency_period_days": 14, "ed_smoothing_window_days": 5,
}  # fmt: skip
CONFIG_CHANGES: dict[int, dict[str, object]] = {
    9: {"max_emails_per_period": 3},
    16: {"catch_up_spread_days": 5},
    23: {"pre_exclusion_buffer_days": 75},
    30: {"daily_send_percentage_cap": 0.03},
    37: {"send_time_minute": 45},
    41: {"state_buffers": {"CA": 90}},
    70: {"followup_delay_days": 3},
    110: {"frequency_period_days": 10},
    150: {"overage_threshold": 1.0},
    200: {"lookahead_days": 200},
    240: {"state_rules": {"IL": {"type": "birthday_window", "before": 0, "after": 45, "age_76_plus": True}}},
    290: {"lookahead_days": None},
}
FREE = {"min_daily_cap": 10**9, "ed_daily_soft_limit": 10**9}


class Content(NamedTuple):
    """What a row says (R90), and whose it is."""

    contact_id: int
    email_type: str
    instance_id: int | None
    parent_id: int | None
    event: str
    send: str
    send_time: str
    status: str
    reason: str | None
    priority: int
    email_template: str | None
    sms_template: str | None

    @property
    def identity(self) -> tuple[object, ...]:
        """R7."""
        if self.email_type.startswith("followup_"):
            return (self.contact_id, "followup", self.parent_id)
        return (self.contact_id, self.email_type, self.instance_id or 0, self.event)

    @property
    def stands(self) -> bool:
        return self.status == "pre-scheduled"


COLUMNS = (
    "contact_id, email_type, campaign_instance_id, parent_schedule_id, event_date, scheduled_send_date, "
    "scheduled_send_time, status, skip_reason, priority, email_template, sms_template"
)
OWNED = "status IN ('pre-scheduled', 'skipped')"
Rows = dict[tuple[object, ...], Content]


def contents(planned: Plan) -> Rows:
    """The rows of a plan by identity."""
    rows = planned.rows
    found: Rows = {}
    columns = (rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.send_day, rows.kind)
    for contact, instance, parent, event, send, number in zip(*(c.tolist() for c in columns), strict=True):
        kind = rows.kinds[number]
        content = Content(
            contact, kind.email_type, None if instance == NULL_ID else instance, None if parent == NULL_ID else parent,
            str(to_date(event)), str(to_date(send)), str(kind.scheduled_send_time), kind.status, kind.skip_reason,
            kind.priority, kind.email_template, kind.sms_template,
        )  # fmt: skip
        found[content.identity] = content
    return found


def chance(*what: object) -> float:
    """A number in [0, 1) that belongs to ``what``."""
    return zlib.crc32(repr(what).encode()) / 2**32


@dataclass(frozen=True)
class Inputs:
    """All that a plan depends on: the database as one run read it, the configuration and the date."""

    data: sqlite3.Connection
    overrides: dict[str, object]
    today: date

    def free_plan(self) -> Rows:
        """F: the plan without caps and cluster limits."""
        config = configuration({**self.overrides, **FREE})
        reading = read_org(PlainDatabase(self.data), config, day_number(self.today))  # type: ignore[arg-type]
        return contents(plan(reading.snapshot, config, day_number(self.today)))


def configuration(overrides: dict[str, object]) -> Config:
    return parse_config(json.dumps(overrides), lambda name: True)


@dataclass
class Tally:
    """What happened in a year."""

    causes: Counter[str] = field(default_factory=Counter)
    unattributed: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    forbidden: list[str] = field(default_factory=list)
    rewritten: int = 0


class Org:
    """The org on disk and the world around it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.overrides = dict(CONFIG)
        self.today = START
        self.touched: set[int] = set()
        """Contacts whose data was edited: what they were to get cannot be told from their data any more."""
        self.ever: set[tuple[object, ...]] = set()
        self.tally = Tally()
        self.yesterday: Inputs | None = None
        self.free: Rows = {}
        with self.connect() as db:
            db.executescript(SCHEMA)
            self.store_config(db, START - timedelta(days=10))
            for number in range(1, CONTACTS + 1):
                self.add_contact(db, number)
            self.add_campaigns(db)

    def connect(self) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(self.file, isolation_level=None))

    # -------------------------------------------------------------------------------------------- the org

    def store_config(self, db: sqlite3.Connection, day: date) -> None:
        """R13: close the old row and open a new one."""
        db.execute("UPDATE config_versions SET valid_to = ? WHERE valid_to IS NULL", (f"{day} 00:00:00",))
        db.execute(
            "INSERT INTO config_versions (config_data, valid_from) VALUES (?, ?)",
            (json.dumps(self.overrides), f"{day} 00:00:00"),
        )

    def add_contact(self, db: sqlite3.Connection, number: int) -> None:
        rng = Random(number)
        birth = date(rng.randint(1945, 1965), 1, 1) + timedelta(days=rng.randint(0, 364))
        unlucky = number % 12 == 7  # the sender is down on the eve of the birthday and on the day itself
        # Policies like to begin on the first of a month.
        effective = date(rng.randint(2015, 2027), rng.randint(1, 12), rng.choice([1, 1, 1, 15]))
        db.execute(
            "INSERT INTO contacts (id, email, state, birth_date, effective_date, failed_underwriting, status) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                None if rng.random() < 0.02 else f"person{number}@example.com",
                "TX" if unlucky else rng.choice(STATES),
                "1958-08-28"
                if unlucky
                else "1952-02-29"
                if number % 29 == 0
                else None
                if rng.random() < 0.05
                else str(birth),
                None if rng.random() < 0.2 else str(effective),
                int(rng.random() < 0.05),
                "",
            ),
        )

    def add_campaigns(self, db: sqlite3.Connection) -> None:
        """Enrolments over the whole year, a notice that bypasses windows, a spread newsletter, a promotion that opens."""
        types = [
            ("rate", 1, 0, 0, 15, 14),
            ("notice", 0, 0, 0, 5, 0),
            ("letter", 1, 1, 1, 40, 0),
            ("promo", 1, 1, 0, 35, 0),
        ]
        db.executemany(
            "INSERT INTO campaign_types (name, respect_exclusion_windows, target_all_contacts, spread_evenly, priority, "
            "days_before_event) VALUES (?, ?, ?, ?, ?, ?)",
            types,
        )
        instances: list[tuple[object, ...]] = [
            (1, "rate", "always", "rate", None, None, None, None),
            (2, "notice", "always", "notice", None, None, None, None),
            (
                3,
                "letter",
                "autumn",
                "letter",
                None,
                None,
                str(START + timedelta(days=5)),
                str(START + timedelta(days=45)),
            ),
            (
                4,
                "promo",
                "opens",
                "promo",
                str(START + timedelta(days=20)),
                str(START + timedelta(days=50)),
                None,
                None,
            ),
        ]
        db.executemany(
            "INSERT INTO campaign_instances (id, campaign_type, instance_name, email_template, active_start_date, "
            "active_end_date, spread_start_date, spread_end_date) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            instances,
        )
        for number in range(1, CONTACTS + 1):
            rng = Random(-number)
            if rng.random() < 0.5:
                trigger = START + timedelta(days=rng.randint(5, 360))
                enrolment = (number, rng.choice([1, 1, 2]), str(trigger))
                db.execute(
                    "INSERT INTO contact_campaigns (contact_id, campaign_instance_id, trigger_date) VALUES (?, ?, ?)",
                    enrolment,
                )

    # -------------------------------------------------------------------------------------------- what people do

    def edit(self, day: int) -> None:
        """The edits of a night."""
        rng = Random(1000 + day)
        with self.connect() as db:
            if day in CONFIG_CHANGES:
                self.overrides |= CONFIG_CHANGES[day]
                self.store_config(db, self.today)
            if day % 6 == 2:
                self.edit_contact(db, rng)
            if day % 11 == 5:
                number = int(db.execute("SELECT max(id) FROM contacts").fetchone()[0]) + 1
                self.touched.add(number)  # came in the middle of the year
                self.add_contact(db, number)
            if day % 25 == 13:
                self.edit_campaign(db, f"rate {day}")
            for _ in range(3):
                self.act(db, rng)

    def edit_contact(self, db: sqlite3.Connection, rng: Random) -> None:
        number = rng.randint(1, CONTACTS)
        self.touched.add(number)
        changes = [
            ("status", "unsubscribed"),
            ("state", "TX"),
            ("state", "NV"),
            ("birth_date", f"1955-{rng.randint(1, 12):02d}-10"),
            ("effective_date", f"2020-{rng.randint(1, 12):02d}-01"),
            ("email", "moved@example.com"),
            ("failed_underwriting", "1"),
        ]
        change, value = rng.choice(changes)
        db.execute(f"UPDATE contacts SET {change} = ? WHERE id = ?", (value, number))

    def edit_campaign(self, db: sqlite3.Connection, template: str) -> None:
        """R58."""
        db.execute("UPDATE campaign_instances SET email_template = ? WHERE id = 1", (template,))
        db.execute(
            "INSERT INTO campaign_change_log (campaign_instance_id, field_changed, new_value, changed_at) "
            "VALUES (1, 'email_template', ?, ?)",
            (template, f"{self.today} 01:00:00"),
        )

    def act(self, db: sqlite3.Connection, rng: Random) -> None:
        """Somebody who got a mail clicks or answers."""
        since = str(self.today - timedelta(days=5))
        sent = db.execute(
            "SELECT contact_id FROM email_schedules WHERE status = 'delivered' AND scheduled_send_date >= ? ORDER BY id",
            (since,),
        ).fetchall()
        if not sent:
            return
        contact = rng.choice(sent)[0]
        moment = f"{self.today - ONE_DAY} {rng.randint(9, 23):02d}:30:00"
        if rng.random() < 0.6:
            db.execute(
                "INSERT INTO tracking_clicks (contact_id, tracking_id, clicked_at) VALUES (?, 't', ?)",
                (contact, moment),
            )
        else:
            answer = json.dumps({"has_medical_conditions": rng.random() < 0.5})
            db.execute(
                "INSERT INTO contact_events (contact_id, event_type, metadata, created_at) "
                "VALUES (?, 'eligibility_answered', ?, ?)",
                (contact, answer, moment),
            )

    # -------------------------------------------------------------------------------------------- the sender

    def send(self, day: int) -> None:
        """Take the mail that is due today; judge it by the independent oracle as it leaves."""
        with self.connect() as db:
            db.execute(
                "UPDATE email_schedules SET status = 'delivered', actual_send_datetime = ? "
                "WHERE status = 'scheduled' AND scheduled_send_date < ?",
                (f"{self.today} 09:00:00", str(self.today - ONE_DAY)),
            )
            if day % 19 in {7, 8}:  # the sender is down
                return
            config = read_config(self.overrides)
            people, _ = read_contacts(db, config, self.today, {})
            instances = read_campaigns(db).instances
            due = db.execute(
                "SELECT id, contact_id, email_type, campaign_instance_id FROM email_schedules "
                "WHERE status = 'pre-scheduled' AND scheduled_send_date = ? ORDER BY id",
                (str(self.today),),
            ).fetchall()
            for row_id, contact_id, email_type, instance_id in due:
                bypass = email_type.startswith("campaign_") and not instances[instance_id].respects_windows
                person = people[contact_id]
                if not bypass and (person.state is None or forbidden(person, config, self.today)):
                    self.tally.forbidden.append(f"{self.today}: contact {contact_id}, {email_type}")
                self.tally.sent[email_type] += 1
                luck = chance("send", row_id)
                status = next(s for s, p in OUTCOMES if luck < p)
                moment = None if status == "scheduled" else f"{self.today} 08:30:0{row_id % 10}"
                db.execute(
                    "UPDATE email_schedules SET status = ?, actual_send_datetime = ? WHERE id = ?",
                    (status, moment, row_id),
                )

    # -------------------------------------------------------------------------------------------- the run

    def run(self) -> None:
        """One daily run, and why it rewrote what it rewrote."""
        data = sqlite3.connect(":memory:")
        with self.connect() as db:
            db.backup(data)
        inputs = Inputs(data, dict(self.overrides), self.today)
        before = self.owned()
        database = SqliteOrgStore(chunk_rows=50).open(str(self.file), ORG)
        result = self.reconcile(database, f"run-{self.today}")
        if result.changed:
            database.write(result.commit)
        database.close()
        after = self.owned()
        self.expect_the_plan(result, after)
        free = inputs.free_plan()
        self.attribute(before, after, inputs, free)
        self.ever |= {content.identity for content in after.values()}
        if self.yesterday is not None:
            self.yesterday.data.close()
        self.yesterday, self.free = inputs, free

    def reconcile(self, database: Any, run_id: str) -> Reconciled:
        # Noon UTC is early morning in Chicago: today's mail can still go out (R1).
        clock = FixedClock(datetime.combine(self.today, time(12), tzinfo=UTC))
        result = reconcile(database, Order(ORG, run_id), clock, ListJournal(), written=database.migrate())
        assert result.completed.as_of == self.today
        return result

    def owned(self) -> dict[int, Content]:
        with self.connect() as db:
            rows = db.execute(f"SELECT id, {COLUMNS} FROM email_schedules WHERE {OWNED}").fetchall()
        return {row[0]: Content(*row[1:]) for row in rows}

    def expect_the_plan(self, result: Reconciled, after: dict[int, Content]) -> None:
        """What is stored is what is planned, what a locked row holds aside, and history (R91, R92)."""
        planned = contents(result.plan)
        stored = {content.identity: content for content in after.values()}
        assert len(stored) == len(after)
        extra = [content for identity, content in stored.items() if identity not in planned]
        assert all(c.status == "skipped" and c.send < str(self.today) for c in extra)
        lacking = [identity for identity in planned if identity not in stored]
        assert len(lacking) == result.difference.changes.dropped_locked_count
        assert all(stored[identity] == content for identity, content in planned.items() if identity in stored)

    # -------------------------------------------------------------------------------------------- attribution

    def attribute(self, before: dict[int, Content], after: dict[int, Content], inputs: Inputs, free: Rows) -> None:
        if self.yesterday is None:
            return
        old = {content.identity: content for content in before.values()}
        new = {content.identity: content for content in after.values()}
        kept = {content.identity for row_id, content in before.items() if row_id in after}
        rewritten = [i for i in old if new.get(i) != old[i] or i not in kept]
        rewritten += [i for i in new if i not in old and i in self.ever]
        self.tally.rewritten += len(rewritten)
        if not rewritten:
            return
        held_back = HeldBack(self.yesterday, inputs, self.free, free)
        for identity in rewritten:
            cause = self.cause(identity, old.get(identity), new.get(identity), held_back)
            self.tally.causes[cause] += 1
            if cause.startswith("unattributed"):
                self.tally.unattributed.append(
                    f"{self.today} {cause}: {old.get(identity)} -> {new.get(identity)}; "
                    f"free: {self.free.get(identity)} -> {free.get(identity)}"
                )

    def cause(self, identity: tuple[object, ...], old: Content | None, new: Content | None, held: "HeldBack") -> str:
        was, now = held.free0.get(identity), held.free1.get(identity)
        if was == now:
            return self.load_cause(old, new, held)
        necessary = held.necessary(identity)
        if "data" in necessary or "config" in necessary:
            return "+".join(sorted(necessary))
        if necessary == {"date"}:
            return roll_over(old, new, was, now, self.today)
        return "unattributed: no single input"

    def load_cause(self, old: Content | None, new: Content | None, held: "HeldBack") -> str:
        """R61, R66, R72: another mail moved, so this one's day or its limit's verdict did."""
        if held.free0 == held.free1:
            return "unattributed: nothing moved"
        if old is None or new is None:
            return "unattributed: load cannot make or unmake a row"
        same = new._replace(send=old.send, status=old.status, reason=old.reason) == old
        verdict = {old.reason, new.reason} - {None} <= LIMITS
        return "load" if same and verdict else "unattributed: more than load can do"


class HeldBack:
    """Free plans with one input held back, or one alone let in; each is made when it is first asked for."""

    def __init__(self, yesterday: Inputs, today: Inputs, free0: Rows, free1: Rows) -> None:
        self.free0, self.free1 = free0, free1
        self._without = {
            "data": replace(today, data=yesterday.data),
            "config": replace(today, overrides=yesterday.overrides),
            "date": replace(today, today=yesterday.today),
        }
        self._alone = {
            "data": replace(yesterday, data=today.data),
            "config": replace(yesterday, overrides=today.overrides),
            "date": replace(yesterday, today=today.today),
        }
        self._plans: dict[tuple[str, str], Rows] = {}

    def necessary(self, identity: tuple[object, ...]) -> set[str]:
        """The inputs without whose change today's row would be another; else those that bring it about alone."""
        now = self.free1.get(identity)
        found = {name for name in self._without if self._plan("without", name).get(identity) != now}
        return found or {name for name in self._alone if self._plan("alone", name).get(identity) == now}

    def _plan(self, how: str, name: str) -> Rows:
        if (how, name) not in self._plans:
            inputs = (self._without if how == "without" else self._alone)[name]
            self._plans[how, name] = inputs.free_plan()
        return self._plans[how, name]


def roll_over(old: Content | None, new: Content | None, was: Content | None, now: Content | None, today: date) -> str:
    """Name the rule by which a day that passes changes a row."""
    day = str(today)
    if new is not None and new.reason == "missed_send_date":
        return "date: missed" if old is not None and old.send < day else "unattributed: missed too early"
    if was is None:
        return "date: begins"
    if now is None:
        return "date: over" if was.send < day or was.event < day or not was.stands else "unattributed: over too early"
    if {was.reason, now.reason} & LIMITS:
        return "date: limit judged afresh"
    if was.send < day:
        # Late: a mail gets a new slot (R63), and one that met a window is judged on a later day each day (R63, R84).
        return "date: its day passed" if was.stands else "date: judged on a later day"
    return "unattributed: not a roll-over"


OUTCOMES = [("delivered", 0.80), ("sent", 0.90), ("scheduled", 0.94), ("bounced", 0.98), ("failed", 1.0)]


# ------------------------------------------------------------------------------------------------ the year


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Org]:
    org = Org(tmp_path_factory.mktemp("year") / "org.db")
    for day in range(DAYS):
        org.today = START + timedelta(days=day)
        org.edit(day)
        org.run()
        org.send(day)
    yield org
    if org.yesterday is not None:
        org.yesterday.data.close()


def rows_of(org: Org, where: str = "1") -> list[Content]:
    with org.connect() as db:
        return [Content(*row) for row in db.execute(f"SELECT {COLUMNS} FROM email_schedules WHERE {where}")]


def test_the_year_has_everything_in_it(year: Org) -> None:
    assert {"birthday", "effective_date", "aep", "campaign_rate", "campaign_letter"} <= set(year.tally.sent)
    assert any(kind.startswith("followup_") for kind in year.tally.sent)
    assert {"data", "config", "load", "date: its day passed", "date: missed"} <= set(year.tally.causes)


def test_no_mail_is_sent_on_a_forbidden_date(year: Org) -> None:
    assert year.tally.forbidden == []


def test_no_mail_is_sent_twice_for_one_event(year: Org) -> None:
    counts = Counter(row.identity for row in rows_of(year, f"NOT {OWNED}"))
    assert [identity for identity, count in counts.items() if count > 1] == []


def test_r33_no_two_mails_of_a_type_are_sent_in_one_cycle(year: Org) -> None:
    events: dict[tuple[int, str], list[date]] = {}
    for row in rows_of(year, f"NOT {OWNED}"):
        if row.email_type in {"birthday", "effective_date", "aep", "post_window"}:
            events.setdefault((row.contact_id, row.email_type), []).append(date.fromisoformat(row.event))
    close = [key for key, days in events.items() if any((b - a).days < 180 for a, b in pairs(days))]
    assert close == []


def pairs(days: list[date]) -> list[tuple[date, date]]:
    return list(pairwise(sorted(days)))


def test_r81_follow_ups_of_a_contact_keep_their_distance(year: Org) -> None:
    with year.connect() as db:
        sent = db.execute(
            f"SELECT contact_id, scheduled_send_date FROM email_schedules WHERE email_type LIKE 'followup%' AND NOT {OWNED}"
        ).fetchall()
    days: dict[int, list[date]] = {}
    for contact, send in sent:
        days.setdefault(contact, []).append(date.fromisoformat(send))
    assert all((b - a).days > 35 for found in days.values() for a, b in pairs(found))


def test_no_occurrence_is_lost(year: Org) -> None:
    """Every birthday, policy anniversary, AEP and trigger of the year is sent, skipped with a reason, or still planned."""
    rows = {row.identity: row for row in rows_of(year)}
    missing = [due for due in due_occurrences(year) if due not in rows]
    assert missing == []
    idle = [row for row in rows.values() if row.stands and row.send < str(year.today)]
    assert idle == []  # a mail that is planned is planned for a day to come
    assert all(row.reason for row in rows.values() if row.status == "skipped")


def due_occurrences(year: Org) -> Iterator[tuple[object, ...]]:
    """What the rules owe to contacts whose data nobody touched, in plain dates."""
    last = year.today
    with year.connect() as db:
        people, _ = read_contacts(db, read_config(year.overrides), last, {})
        enrolments = db.execute(
            "SELECT contact_id, campaign_instance_id, trigger_date, email_template, campaign_type FROM contact_campaigns "
            "JOIN campaign_instances ON campaign_instances.id = campaign_instance_id"
        ).fetchall()
    for person in people.values():
        if person.id in year.touched or not person.schedulable or person.state is None:
            continue
        for kind, original in (("birthday", person.birth_date), ("effective_date", person.effective_date)):
            for event in () if original is None else (anniversary(original, START.year + n) for n in range(2)):
                old_enough = kind == "birthday" or (original is not None and event.year > original.year)
                if START <= event <= last and old_enough:
                    yield (person.id, kind, 0, str(event))
        for aep in (date(START.year + n, 9, 15) for n in range(2)):
            if START <= aep <= last:
                yield (person.id, "aep", 0, str(aep))
    for contact, instance, trigger, _, name in enrolments:
        if contact not in year.touched and people[contact].schedulable and str(START) <= trigger <= str(last):
            yield (contact, f"campaign_{name}", instance, trigger)


def test_r51_what_a_window_kept_back_is_caught_up(year: Org) -> None:
    """The first free day after the ideal date, found by walking, has its mail: sent, planned, or skipped with a reason."""
    config = read_config(year.overrides)
    with year.connect() as db:
        people, _ = read_contacts(db, config, year.today, {})
    rows = rows_of(year)
    caught = {(row.contact_id, row.event) for row in rows if row.email_type == "post_window"}
    owed = 0
    for row in rows:
        kept_back = row.reason is not None and row.reason.startswith("exclusion:") and "_window:" in row.reason
        if not kept_back or row.contact_id in year.touched or row.email_type.startswith(("followup_", "post_window")):
            continue
        day = date.fromisoformat(row.send) + ONE_DAY
        while forbidden(people[row.contact_id], config, day):
            day += ONE_DAY
        if day < year.today:  # what is further ahead may be beyond the lookahead
            owed += 1
            assert (row.contact_id, str(day)) in caught or handled(row.contact_id, day, rows), row
    assert owed > 0


def handled(contact_id: int, day: date, rows: list[Content]) -> bool:
    """R33: a catch-up that is out stands for all of its cycle."""
    return any(
        row.contact_id == contact_id
        and row.email_type == "post_window"
        and row.status not in {"pre-scheduled", "skipped"}
        and abs((date.fromisoformat(row.event) - day).days) < 180
        for row in rows
    )


def test_every_rewritten_row_has_a_cause(year: Org) -> None:
    assert year.tally.unattributed == []
    assert sum(year.tally.causes.values()) == year.tally.rewritten


def test_r58_every_change_of_a_campaign_was_answered_by_a_run(year: Org) -> None:
    with year.connect() as db:
        assert db.execute("SELECT count(*) FROM campaign_change_log WHERE processed_run_id IS NULL").fetchone() == (0,)


def test_r93_a_second_run_of_the_last_day_changes_only_what_the_sender_did(year: Org, tmp_path: Path) -> None:
    """Run again after the sender: once to see its doing, once more to see nothing."""
    copy = tmp_path / "org.db"
    with year.connect() as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    for number, may_change in ((1, True), (2, False)):
        database = SqliteOrgStore(chunk_rows=1000).open(str(copy), ORG)
        result = year.reconcile(database, f"again-{number}")
        assert may_change or not result.changed
        if result.changed:
            database.write(result.commit)
        database.close()


def test_days_on_which_nothing_happens_rewrite_nothing(tmp_path: Path) -> None:
    """Everything is due in three months, crowded under a cap of one: day after day the plan is the same to the letter."""
    org = Org(tmp_path / "org.db")
    with org.connect() as db:
        db.execute("DELETE FROM contact_campaigns")
        db.execute("DELETE FROM campaign_instances")
        org.overrides |= {"aep_month": 12, "daily_send_percentage_cap": 0.000001, "lookahead_days": None}
        org.store_config(db, START)
        for number in range(1, CONTACTS + 1):
            due = START + timedelta(days=90 + number % 5)
            db.execute(
                "UPDATE contacts SET state = 'TX', birth_date = ?, effective_date = ? WHERE id = ?",
                (str(due.replace(year=1955)), str(due.replace(year=2020)) if number % 2 else None, number),
            )
    org.run()
    content = org.file.read_bytes()
    for day in range(1, 40):
        org.today = START + timedelta(days=day)
        org.run()
        assert org.file.read_bytes() == content, org.today
