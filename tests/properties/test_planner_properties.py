"""What holds of every plan, whatever the org: windows, the ledger, caps, limits, deadlines, stability, order of rows.

Nothing here asks the planner whether the planner is right: contacts and campaigns are read by tests.reference, windows are
judged day by day below. PROPERTY_EXAMPLES says how many orgs each property looks at (default 20); runs are reproducible.
"""

import json
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.planning.calendar import day_number, to_date
from core.planning.columns import NULL_ID
from core.planning.config import Config, parse_config
from core.planning.diff import diff_schedule
from core.planning.plan import Plan, plan
from core.runs.ports import OrgDatabase
from core.runs.reading import Reading, read_org
from core.runs.reconcile import Order, Reconciled, reconcile
from events.types import OrgId
from infra.org_db import SqliteOrgStore
from tests.clocks import FixedClock
from tests.journals import ListJournal
from tests.orgs import SCHEMA
from tests.plain_database import PlainDatabase
from tests.reference.config import Config as PlainConfig
from tests.reference.config import read_config
from tests.reference.contacts import read_contacts
from tests.reference.instances import Campaigns, read_campaigns
from tests.reference.model import Contact, StoredRow
from tests.reference.random_orgs import random_org
from tests.reference.stored import stored_rows

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "20"))
ORG = OrgId("properties")
ONE_DAY = timedelta(days=1)
COUNTING = {"scheduled", "processing", "accepted", "deferred", "sent", "delivered"}


# ------------------------------------------------------------------------------------------------ orgs


@dataclass(frozen=True)
class World:
    """An org and what to plan it with."""

    label: str
    db: sqlite3.Connection
    overrides: dict[str, object]
    today: date
    zip_states: dict[str, str]

    def __repr__(self) -> str:
        return f"World({self.label}, {self.overrides}, {self.today})"

    @property
    def config(self) -> Config:
        return parse_config(json.dumps(self.overrides), lambda name: True)

    def read(self, *, chunk_rows: int = 1000, seed: int | None = None) -> Reading:
        db = PlainDatabase(self.db, chunk_rows=chunk_rows, shuffle_seed=seed)
        return read_org(db, self.config, day_number(self.today))  # type: ignore[arg-type]

    def plan(self, **how: int) -> Plan:
        return plan(self.read(**how).snapshot, self.config, day_number(self.today))


STATES = ["CA", "ID", "KY", "MD", "NV", "OK", "OR", "VA", "MO", "NY", "TX", "TX", "FL", "IL", None]
OWN_RULES: list[dict[str, object]] = [
    {},
    {},
    {"IL": {"type": "birthday_window", "before": 0, "after": 45, "age_76_plus": True}},
    {"TX": {"type": "effective_date_window", "before": 29, "after": 5}},  # opens on the day after the ideal date
    {"FL": {"type": "birthday_window", "before": 180, "after": 180}, "MD": {"type": "none"}},
    {"CA": {"type": "birthday_window", "before": 365, "after": 365}, "TX": {"type": "year_round"}},
    {"OK": {"type": "birthday_window", "before": 5, "after": 5, "use_month_start": True}},
]
CONFIGS = st.fixed_dictionaries(
    {
        "min_daily_cap": st.integers(1, 4),
        "daily_send_percentage_cap": st.sampled_from([0.000001, 0.1, 0.29]),
        "state_rules": st.sampled_from(OWN_RULES),
    },
    optional={
        "overage_threshold": st.sampled_from([1.0, 1.2, 1.5, 3.0]),
        "max_emails_per_period": st.integers(1, 3),
        "frequency_period_days": st.sampled_from([1, 2, 7, 30, 60]),
        "pre_exclusion_buffer_days": st.sampled_from([0, 1, 30, 90]),
        "state_buffers": st.sampled_from([{"CA": 0}, {"MO": 365}, {"NV": 90}]),
        "birthday_days_before": st.sampled_from([0, 1, 14, 60]),
        "effective_date_days_before": st.sampled_from([0, 1, 30, 45]),
        "effective_date_first_email_months": st.sampled_from([0, 11, 12, 24]),
        "ed_daily_soft_limit": st.integers(1, 3),
        "ed_smoothing_window_days": st.sampled_from([1, 2, 5, 10, 31]),
        "catch_up_spread_days": st.sampled_from([1, 3, 7, 30]),
        "late_grace_days": st.sampled_from([0, 3, 30, 180]),
        "lookahead_days": st.sampled_from([None, 7, 60, 400]),
        "missing_window_date_policy": st.sampled_from(["hold", "send"]),
        "exclude_failed_underwriting_global": st.booleans(),
        "enable_post_window_emails": st.booleans(),
        "send_without_zipcode_for_universal": st.booleans(),
        "followup_delay_days": st.sampled_from([0, 2, 40]),
        "followup_lookback_days": st.sampled_from([1, 7, 35]),
    },
)
TODAYS = st.one_of(
    st.dates(date(2023, 1, 1), date(2030, 12, 31)),
    st.sampled_from([date(2024, 2, 29), date(2025, 2, 28), date(2024, 12, 31), date(2025, 1, 1), date(2028, 3, 1)]),
)
NEAR = st.one_of(st.integers(-75, 120), st.sampled_from([0, 1, 14, 15, 30, 31, -1, 13, 29]))
CONTACTS = st.lists(
    st.tuples(
        st.sampled_from(STATES),
        st.one_of(st.none(), st.tuples(NEAR, st.integers(0, 100))),  # days from today, years ago
        st.one_of(st.none(), st.tuples(NEAR, st.integers(-1, 12))),
        st.integers(0, 9),  # 0: failed underwriting, 1: suppressed, 2: no address
    ),
    min_size=1,
    max_size=14,
)
CAMPAIGNS = st.lists(
    st.fixed_dictionaries(
        {
            "respects": st.booleans(),
            "everybody": st.booleans(),
            "spread": st.booleans(),
            "priority": st.sampled_from([1, 20, 30, 50]),
            "days_before": st.sampled_from([0, 3, -3]),
            "start": st.sampled_from([None, -10, 0, 5]),
            "end": st.sampled_from([None, 0, 3, 40]),
            "enrolled": st.lists(st.tuples(st.integers(1, 14), st.integers(-10, 30)), max_size=8),
        }
    ),
    max_size=3,
)
LOCKED = st.lists(
    st.tuples(
        st.integers(1, 15),
        st.sampled_from(
            ["birthday", "effective_date", "aep", "post_window", "campaign_c0", "campaign_c1", "followup_1_cold"]
        ),
        st.integers(-60, 40),  # sent so many days from today
        st.integers(-200, 200),  # about something so many days from then
        st.sampled_from(["sent", "delivered", "scheduled", "bounced", "cancelled", "pre-scheduled", "skipped"]),
    ),
    max_size=14,
)


def near(today: date, offset: int, years_ago: int) -> str:
    """The day of the year of a date near today, so many years ago."""
    day = today + timedelta(days=offset)
    if (day.month, day.day) == (2, 29):
        return f"{day.year - years_ago:04d}-02-29"  # R21 reads what is no date as the 28th
    return day.replace(year=day.year - years_ago).isoformat()


@st.composite
def own_orgs(draw: st.DrawFn) -> World:
    """Small orgs whose dates crowd around today, so that everything meets everything."""
    today = draw(TODAYS)
    overrides: dict[str, object] = dict(draw(CONFIGS))
    aep = today + timedelta(days=draw(st.integers(-40, 40)))
    if (aep.month, aep.day) != (2, 29):
        overrides |= {"aep_month": aep.month, "aep_day": aep.day}
    db = sqlite3.connect(":memory:")
    db.executescript(SCHEMA)
    db.execute("DROP INDEX ux_schedules_identity")
    db.execute(
        "INSERT INTO config_versions (config_data, valid_from) VALUES (?, '2000-01-01 00:00:00')",
        (json.dumps(overrides),),
    )
    for number, (state, birth, effective, flaw) in enumerate(draw(CONTACTS), 1):
        db.execute(
            "INSERT INTO contacts (id, email, state, birth_date, effective_date, failed_underwriting, status) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                number, None if flaw == 2 else f"c{number}@example.com", state,
                None if birth is None else near(today, *birth), None if effective is None else near(today, *effective),
                int(flaw == 0), "deceased" if flaw == 1 else "",
            ),
        )  # fmt: skip
    for number, campaign in enumerate(draw(CAMPAIGNS)):
        _add_campaign(db, today, number, campaign)
    for contact_id, email_type, sent, about, status in draw(LOCKED):
        send = today + timedelta(days=sent)
        instance = int(email_type[-1]) + 1 if email_type.startswith("campaign_") else None
        db.execute(
            "INSERT INTO email_schedules (contact_id, email_type, campaign_instance_id, event_date, scheduled_send_date, "
            "status) VALUES (?, ?, ?, ?, ?, ?)",
            (contact_id, email_type, instance, str(send + timedelta(days=about)), str(send), status),
        )
    db.commit()
    return World("own", db, overrides, today, {})


def _add_campaign(db: sqlite3.Connection, today: date, number: int, campaign: Mapping[str, object]) -> None:
    def day(key: str) -> str | None:
        offset = campaign[key]
        return None if offset is None else str(today + timedelta(days=int(str(offset))))

    db.execute(
        "INSERT INTO campaign_types (name, respect_exclusion_windows, target_all_contacts, spread_evenly, priority, "
        "days_before_event) VALUES (?, ?, ?, ?, ?, ?)",
        (f"c{number}", *(campaign[k] for k in ("respects", "everybody", "spread", "priority", "days_before"))),
    )
    spread = (str(today), str(today + timedelta(days=6))) if campaign["spread"] else (None, None)
    db.execute(
        "INSERT INTO campaign_instances (id, campaign_type, instance_name, active_start_date, active_end_date, "
        "spread_start_date, spread_end_date, created_at) VALUES (?, ?, 'i', ?, ?, ?, ?, ?)",
        (number + 1, f"c{number}", day("start"), day("end"), *spread, str(today)),
    )
    enrolled = campaign["enrolled"]
    assert isinstance(enrolled, list)
    for contact_id, trigger in enrolled:
        db.execute(
            "INSERT OR IGNORE INTO contact_campaigns (contact_id, campaign_instance_id, trigger_date) VALUES (?, ?, ?)",
            (contact_id, number + 1, str(today + timedelta(days=trigger))),
        )


def dirty_org(seed: int) -> World:
    org = random_org(seed, contacts=25, schema_sql=SCHEMA)
    return World(f"seed {seed}", org.db, org.overrides, org.today, org.zip_states)


WORLDS = st.one_of(own_orgs(), own_orgs(), st.integers(0, 10**6).map(dirty_org))

every_org = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# ------------------------------------------------------------------------------------------------ oracles


@dataclass(frozen=True)
class Line:
    """One row of a plan."""

    contact_id: int
    email_type: str
    instance_id: int | None
    parent_id: int | None
    event: date
    send: date
    status: str
    reason: str | None
    priority: int

    @property
    def stands(self) -> bool:
        return self.status == "pre-scheduled"

    @property
    def is_followup(self) -> bool:
        return self.email_type.startswith("followup_")

    @property
    def is_campaign(self) -> bool:
        return self.email_type.startswith("campaign_")


def lines(planned: Plan) -> list[Line]:
    rows = planned.rows
    columns = (rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.send_day, rows.kind)
    found = []
    for contact, instance, parent, event, send, kind in zip(*(c.tolist() for c in columns), strict=True):
        k = rows.kinds[kind]
        found.append(
            Line(
                contact,
                k.email_type,
                None if instance == NULL_ID else instance,
                None if parent == NULL_ID else parent,
                to_date(event),
                to_date(send),
                k.status,
                k.skip_reason,
                k.priority,
            )
        )
    return sorted(found, key=repr)


TABLE = {
    "CA": ("birth", 30, 60), "ID": ("birth", 0, 63), "KY": ("birth", 0, 60), "MD": ("birth", 0, 30), "NV": ("birth", 0, 60),
    "OK": ("birth", 0, 60), "OR": ("birth", 0, 31), "VA": ("birth", 0, 30), "MO": ("effective", 30, 33),
    "CT": ("always", 0, 0), "MA": ("always", 0, 0), "NY": ("always", 0, 0), "WA": ("always", 0, 0),
}  # fmt: skip
OWN_KINDS = {"birthday_window": "birth", "effective_date_window": "effective", "year_round": "always", "none": "never"}


def is_anniversary(anchor: date, day: date) -> bool:
    """Whether a day is an anniversary of another: 29 February falls on the 28th where there is none (R30)."""
    if (anchor.month, anchor.day) == (2, 29) and (day.month, day.day) == (2, 28):
        return (day + ONE_DAY).month == 3
    return (anchor.month, anchor.day) == (day.month, day.day)


def forbidden(contact: Contact, config: PlainConfig, day: date) -> bool:
    """R40-R45 by walking the days around ``day`` and looking for an anniversary among them."""
    if contact.state is None:
        return False
    month_start = contact.state == "NV"
    age_limit = False
    kind, before, after = TABLE.get(contact.state, ("never", 0, 0))
    if own := config.state_rules.get(contact.state):
        kind, before, after = OWN_KINDS[own["type"]], own.get("before", 0), own.get("after", 0)
        month_start, age_limit = own.get("use_month_start", False), own.get("age_76_plus", False)
    if kind in {"never", "always"}:
        return kind == "always"
    if age_limit and contact.birth_date and birthdays_until(contact.birth_date, day) >= 76:
        return True
    anchor = contact.birth_date if kind == "birth" else contact.effective_date
    if anchor is None:
        return config.missing_window_date_policy == "hold"
    if month_start:
        anchor = anchor.replace(day=1)
    before += config.state_buffers.get(contact.state, config.pre_exclusion_buffer_days)
    return any(is_anniversary(anchor, day + timedelta(days=n)) for n in range(-after, before + 1))


def birthdays_until(birth: date, day: date) -> int:
    """How often somebody had a birthday up to a day: the age (R45), counted."""
    years = 0
    while day >= one_day_of(birth, birth.year + years + 1):
        years += 1
    return years


def one_day_of(birth: date, year: int) -> date:
    return next(d for n in range(366) if is_anniversary(birth, d := date(year, 1, 1) + timedelta(days=n)))


class Facts:
    """What the rules need to know about an org, read without the planner."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.today = world.today
        self.config: PlainConfig = read_config(world.overrides)
        self.contacts, _ = read_contacts(world.db, self.config, world.today, world.zip_states)
        self.campaigns: Campaigns = read_campaigns(world.db)
        self.stored = stored_rows(world.db)

    @property
    def counting(self) -> list[StoredRow]:
        return [r for r in self.stored if r.status in COUNTING and r.send_day is not None]

    def respects_windows(self, line: Line) -> bool:
        if line.is_campaign:
            assert line.instance_id is not None
            return self.campaigns.instances[line.instance_id].respects_windows
        return True

    def deadline(self, line: Line) -> date:
        """R31, R32, R35, R51, R55."""
        grace = timedelta(days=self.config.late_grace_days)
        if line.email_type in {"birthday", "effective_date"}:
            return max(self.today, line.event - ONE_DAY)
        if not line.is_campaign:
            return line.event + grace
        assert line.instance_id is not None
        instance = self.campaigns.instances[line.instance_id]
        return instance.active_end or self.ideal(line) + grace

    def ideal(self, line: Line) -> date:
        days = {"birthday": self.config.birthday_days_before, "effective_date": self.config.effective_date_days_before}
        if not line.is_campaign:
            return line.event - timedelta(days=days.get(line.email_type, 0))
        assert line.instance_id is not None
        instance = self.campaigns.instances[line.instance_id]
        if instance.spread_days and instance.spread_start:
            return instance.spread_start + timedelta(days=line.contact_id % instance.spread_days)
        return line.event - timedelta(days=instance.days_before_event)


# ------------------------------------------------------------------------------------------------ properties


@every_org
@given(WORLDS)
def test_r46_no_mail_that_respects_windows_lies_on_a_forbidden_date(world: World) -> None:
    facts = Facts(world)
    for line in lines(world.plan()):
        if line.stands and facts.respects_windows(line):
            assert not forbidden(facts.contacts[line.contact_id], facts.config, line.send), line


@every_org
@given(WORLDS)
def test_r40_a_mail_is_skipped_for_a_window_only_where_there_is_one(world: World) -> None:
    """The other way round: the ideal date of an excluded row is forbidden, unless it was late and met the window then."""
    facts = Facts(world)
    for line in lines(world.plan()):
        if line.reason and line.reason.startswith("exclusion:") and line.send >= world.today and not line.is_followup:
            assert forbidden(facts.contacts[line.contact_id], facts.config, line.send), line


@every_org
@given(WORLDS)
def test_r24_r25_r54_mail_goes_to_contacts_who_may_have_it(world: World) -> None:
    facts = Facts(world)
    for line in lines(world.plan()):
        contact = facts.contacts[line.contact_id]
        assert contact.schedulable, line
        if contact.state is None and line.stands:
            assert line.is_campaign, line
            assert not facts.respects_windows(line), line
            assert facts.config.send_without_zipcode_for_universal, line


@every_org
@given(WORLDS)
def test_every_candidate_is_a_row_or_not_due(world: World) -> None:
    facts, planned = Facts(world), world.plan()
    assert sum(planned.considered.values()) == sum(planned.not_due.values()) + len(planned.rows)
    reachable = [c for c in facts.contacts.values() if c.schedulable and c.state is not None]
    aep_on = facts.config.aep_enabled and not facts.campaigns.aep_superseded
    assert planned.considered["birthday"] == sum(1 for c in reachable if c.birth_date)
    assert planned.considered["effective_date"] == sum(1 for c in reachable if c.effective_date)
    assert planned.considered.get("aep", 0) == (len(reachable) if aep_on else 0)
    assert planned.considered["followup"] == sum(1 for line in lines(planned) if line.is_followup)
    assert planned.contact_count == sum(1 for c in facts.contacts.values() if c.schedulable)


@every_org
@given(WORLDS)
def test_r7_no_identity_is_planned_twice(world: World) -> None:
    identities = Counter(
        (line.contact_id, "followup", line.parent_id) if line.is_followup
        else (line.contact_id, line.email_type, line.instance_id or 0, line.event)
        for line in lines(world.plan())
    )  # fmt: skip
    assert [identity for identity, count in identities.items() if count > 1] == []


@every_org
@given(WORLDS)
def test_r66_a_day_over_the_threshold_holds_only_what_cannot_move(world: World) -> None:
    facts, planned = Facts(world), world.plan()
    standing = [line for line in lines(planned) if line.stands]
    load = Counter(line.send for line in standing) + Counter(row.send_day for row in facts.counting)
    for line in standing:
        if line.is_followup or load[line.send] <= planned.limits.threshold:
            continue
        next_day = line.send + ONE_DAY
        in_window = facts.respects_windows(line) and forbidden(facts.contacts[line.contact_id], facts.config, next_day)
        assert next_day > facts.deadline(line) or in_window, line


@every_org
@given(WORLDS)
def test_r66_days_reported_as_over_the_cap_are_days_on_which_nothing_can_move(world: World) -> None:
    """A day over the threshold is reported, and a reported day is not before today."""
    planned = world.plan()
    facts = Facts(world)
    standing = [line for line in lines(planned) if line.stands]
    load = Counter(line.send for line in standing) + Counter(row.send_day for row in facts.counting)
    reported = {to_date(d) for d in planned.cap_exceeded_days.tolist()}
    over = {line.send for line in standing if not line.is_followup and load[line.send] > planned.limits.threshold}
    assert over <= reported
    assert all(day >= world.today for day in reported)


@every_org
@given(WORLDS)
def test_mail_goes_out_between_today_and_its_deadline(world: World) -> None:
    facts = Facts(world)
    for line in lines(world.plan()):
        if line.stands and not line.is_followup:
            # With 0 days before, the ideal date of an anniversary is the event itself, a day past its deadline.
            assert world.today <= line.send <= max(facts.deadline(line), facts.ideal(line)), line
        elif line.stands:
            assert line.send >= world.today, line
        elif not line.is_followup:
            assert line.send == facts.ideal(line), line  # R75


@every_org
@given(WORLDS)
def test_r71_no_contact_has_two_campaign_mails_on_a_day(world: World) -> None:
    facts = Facts(world)
    planned = Counter((line.contact_id, line.send) for line in lines(world.plan()) if line.stands and line.is_campaign)
    taken = {(row.contact_id, row.send_day) for row in facts.counting if row.is_campaign}
    assert all(count == 1 for count in planned.values())
    assert not set(planned) & taken


@every_org
@given(WORLDS)
def test_r72_no_period_around_a_planned_mail_holds_too_many(world: World) -> None:
    facts = Facts(world)
    period, most = facts.config.frequency_period_days, facts.config.max_emails_per_period
    planned = [line for line in lines(world.plan()) if line.stands and not line.is_followup]
    days: dict[int, list[date]] = {}
    for row in facts.counting:
        if not row.is_followup and row.send_day is not None:
            days.setdefault(row.contact_id, []).append(row.send_day)
    for line in planned:
        days.setdefault(line.contact_id, []).append(line.send)
    for line in planned:
        for back in range(period):
            first = line.send - timedelta(days=back)
            held = sum(1 for day in days[line.contact_id] if first <= day < first + timedelta(days=period))
            assert held <= most, (line, first)


@every_org
@given(WORLDS)
def test_r81_nobody_gets_two_follow_ups(world: World) -> None:
    counts = Counter(line.contact_id for line in lines(world.plan()) if line.is_followup)
    assert all(count == 1 for count in counts.values())


@every_org
@given(WORLDS, st.integers(0, 1000), st.sampled_from([1, 2, 3, 7]))
def test_r98_the_order_of_rows_and_the_size_of_chunks_change_nothing(world: World, seed: int, chunk_rows: int) -> None:
    straight, shuffled = world.read(), world.read(seed=seed, chunk_rows=chunk_rows)
    assert straight.contacts_checksum == shuffled.contacts_checksum
    day = day_number(world.today)
    plans = [plan(r.snapshot, world.config, day) for r in (straight, shuffled)]
    assert lines(plans[0]) == lines(plans[1])
    assert issues(plans[0]) == issues(plans[1])
    assert plans[0].cap_exceeded_days.tolist() == plans[1].cap_exceeded_days.tolist()
    both = [diff_schedule(p.rows, r.snapshot.schedule, day) for p, r in zip(plans, (straight, shuffled), strict=True)]
    assert both[0].before.tolist() == both[1].before.tolist()
    assert both[0].after.tolist() == both[1].after.tolist()
    assert sorted(both[0].changes.delete_row_ids.tolist()) == sorted(both[1].changes.delete_row_ids.tolist())
    assert sorted(both[0].changes.updates.row_id.tolist()) == sorted(both[1].changes.updates.row_id.tolist())


def issues(planned: Plan) -> set[tuple[int, str]]:
    pairs = zip(planned.issues.contact_id.tolist(), planned.issues.issue.tolist(), strict=True)
    return {(contact, planned.issues.issues[number]) for contact, number in pairs}


@every_org
@given(WORLDS)
def test_planning_is_pure_and_gives_the_same_twice(world: World) -> None:
    snapshot = world.read().snapshot
    for array in arrays(snapshot):
        array.flags.writeable = False
    day = day_number(world.today)
    first, second = plan(snapshot, world.config, day), plan(snapshot, world.config, day)
    assert [a.tolist() for a in arrays(first)] == [a.tolist() for a in arrays(second)]
    assert first.rows.kinds == second.rows.kinds


def arrays(value: object) -> Iterator[np.ndarray]:
    """Every column of a tree of dataclasses and tuples."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from arrays(getattr(value, field.name))


@every_org
@given(WORLDS)
def test_r3_what_is_ours_does_not_influence_the_plan(world: World) -> None:
    """The plan is a function of what is not ours: a second run sees the first one's rows and changes nothing."""
    before = lines(world.plan())
    world.db.execute("DELETE FROM email_schedules WHERE status IN ('pre-scheduled', 'skipped')")
    assert lines(world.plan()) == before


@every_org
@given(WORLDS)
def test_r3_only_rows_of_ours_are_changed(world: World) -> None:
    reading = world.read()
    day = day_number(world.today)
    changes = diff_schedule(plan(reading.snapshot, world.config, day).rows, reading.snapshot.schedule, day).changes
    touched = [*changes.delete_row_ids.tolist(), *changes.missed_row_ids.tolist(), *changes.updates.row_id.tolist()]
    ours = {row.id for row in stored_rows(world.db) if row.owned}
    assert set(touched) <= ours
    assert len(touched) == len(set(touched))


@every_org
@given(WORLDS, st.sampled_from([1, 2, 7, 1000]), st.sampled_from([1, 3, 1000]))
def test_r93_a_second_run_changes_nothing(world: World, chunk_rows: int, other_chunk_rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "org.db"
        with closing(sqlite3.connect(file)) as copy:
            world.db.backup(copy)
        db = SqliteOrgStore(chunk_rows=chunk_rows).open(str(file), ORG)
        first = run(db, world, "run-1")
        assert lines(first.plan) == lines(world.plan())  # and the packed reader reads what the plain one does
        db.write(first.commit)
        db.close()
        content = file.read_bytes()
        again = SqliteOrgStore(chunk_rows=other_chunk_rows).open(str(file), ORG)
        second = run(again, world, "run-2")
        again.close()
        assert not second.changed
        assert second.difference.changes.is_empty
        assert second.difference.before.tolist() == first.difference.after.tolist()
        assert file.read_bytes() == content


def run(db: OrgDatabase, world: World, run_id: str) -> Reconciled:
    order = Order(ORG, run_id, as_of=world.today, force=True)
    return reconcile(db, order, FixedClock(), ListJournal(), written=db.migrate())
