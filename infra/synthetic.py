"""Synthetic orgs worth testing on: ``make_org`` writes a database that has, in small, whatever real ones have (R9).

The same contacts, seed and day give the same file, byte for byte. A million contacts take about half a minute and 300
MB: people are made and stored in blocks, each from a random stream of its own.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import apsw
import numpy as np
from numpy.random import Generator

from infra import migrations
from infra.sqlite_errors import org_errors
from infra.synthetic_history import Rows, make_history
from infra.synthetic_people import CARRIERS, People, chance, make_people

CONTACTS_MAX: Final = 10_000_000

_BLOCK_CONTACTS: Final = 50_000
_STAMP: Final = "2024-01-01 00:00:00"
"""Of every created_at and updated_at: the clock must not make two equal orgs differ."""

_INSERT_CONTACT: Final = """
INSERT INTO contacts (id, email, first_name, last_name, phone_number, zip_code, state, birth_date, effective_date,
  carrier, failed_underwriting, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_SCHEDULE: Final = f"""
INSERT INTO email_schedules (id, contact_id, email_type, campaign_instance_id, parent_schedule_id, event_date,
  scheduled_send_date, status, skip_reason, priority, email_template, actual_send_datetime,
  scheduler_run_id, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'synthetic', '{_STAMP}', '{_STAMP}')"""  # noqa: S608
_INSERT_CLICK: Final = "INSERT INTO tracking_clicks (contact_id, tracking_id, clicked_at, url) VALUES (?, ?, ?, ?)"
_INSERT_ANSWER: Final = "INSERT INTO contact_events (contact_id, event_type, metadata, created_at) VALUES (?, ?, ?, ?)"
_INSERT_ENROLMENT: Final = f"""
INSERT OR IGNORE INTO contact_campaigns (contact_id, campaign_instance_id, trigger_date, status, created_at, updated_at)
VALUES (?, ?, ?, ?, '{_STAMP}', '{_STAMP}')"""  # noqa: S608
_INSERT_TYPE: Final = f"""
INSERT INTO campaign_types (name, respect_exclusion_windows, enable_followups, days_before_event, target_all_contacts,
  priority, active, spread_evenly, skip_failed_underwriting, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '{_STAMP}', '{_STAMP}')"""  # noqa: S608
_INSERT_INSTANCE: Final = f"""
INSERT INTO campaign_instances (id, campaign_type, instance_name, email_template, sms_template, active_start_date,
  active_end_date, spread_start_date, spread_end_date, target_states, target_carriers, metadata, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{_STAMP}', '{_STAMP}')"""  # noqa: S608

# name, respects windows, follow-ups, days before, target all, priority, active, spread, skips failed underwriting
_TYPES: Final = (
    ("rate_increase", 1, 1, 14, 0, 5, 1, 0, 1),
    ("seasonal_promo", 1, 1, 7, 0, 25, 1, 0, 0),
    ("initial_blast", 0, 0, 0, 1, 15, 1, 0, 0),
    ("newsletter", 1, 0, 0, 1, 40, 1, 1, 0),
    ("regulatory_notice", 0, 0, 3, 0, 1, 1, 0, 0),
    ("retired", 1, 1, 0, 1, 30, 0, 0, 0),
)
# campaign_instance_id: share of contacts enrolled. 9 has no instance: an enrolment may name nothing.
_ENROLLED_SHARES: Final = {1: 0.08, 2: 0.02, 3: 0.04, 6: 0.01, 9: 0.0005}
_BAD_TRIGGERS: Final[dict[int, str | None]] = {0: None, 1: "soon", 2: "2024-02-30"}
_STRANGER: Final = 10**9
"""Added to an id to name a contact who does not exist."""
_ENROLMENT_STATUSES: Final = ("pending", "pending", "pending", "pending", "scheduled", "sent", "skipped")


def make_org(file: str, *, contacts: int, seed: int, today: date) -> None:
    """Write a new database of so many contacts whose past and plans surround ``today``; raises OrgError, ValueError.

    The file must not exist: FileExistsError. It has every table and no index of email_schedules yet, like an org
    before its first run; on any failure it is removed.
    """
    if not 0 <= contacts <= CONTACTS_MAX:
        raise ValueError(f"contacts: 0 to {CONTACTS_MAX}")
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        with org_errors("make-org", None), closing(apsw.Connection(file)) as db:
            db.execute("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY").fetchall()
            db.execute("BEGIN")
            for table in migrations.contract():
                db.execute(table.create_sql)
            _store_campaigns(db, today)
            for block in range(0, contacts, _BLOCK_CONTACTS):
                count = min(_BLOCK_CONTACTS, contacts - block)
                _store_block(db, np.random.default_rng([seed, block]), block, count, today)
            db.execute("COMMIT")
    except BaseException:
        Path(file).unlink(missing_ok=True)
        raise


def _store_block(db: apsw.Connection, rng: Generator, first: int, count: int, today: date) -> None:
    """Make and store some contacts with all that hangs on them. Ids have gaps, and room for gaps between blocks."""
    today_day = np.datetime64(today, "D")
    contact_id = first * 2 + np.cumsum(1 + chance(rng, count, 0.03))
    people = make_people(rng, contact_id, today_day)
    db.executemany(_INSERT_CONTACT, zip(*people.columns, strict=True))
    first_row_id = int(db.execute("SELECT COALESCE(max(id), 0) + 1 FROM email_schedules").get)
    history = make_history(rng, people, first_row_id, today_day)
    db.executemany(_INSERT_SCHEDULE, history.schedules)
    db.executemany(_INSERT_CLICK, history.clicks)
    db.executemany(_INSERT_ANSWER, history.answers)
    for instance_id, share in _ENROLLED_SHARES.items():
        db.executemany(_INSERT_ENROLMENT, _enrolments(rng, people, instance_id, share, today))


def _enrolments(
    rng: Generator, people: People, instance_id: int, share: float, today: date
) -> Iterator[tuple[int | str | None, ...]]:
    """Enrol a share of the contacts; a few trigger dates are missing or no dates, a few contacts do not exist."""
    chosen = people.contact_id[chance(rng, len(people.contact_id), share)]
    days = rng.integers(-60, 150, len(chosen)).tolist()
    kinds = rng.integers(0, 200, len(chosen)).tolist()
    for contact, day, kind in zip(chosen.tolist(), days, kinds, strict=True):
        trigger: str | None = (today + timedelta(days=day)).isoformat()
        if kind in _BAD_TRIGGERS:
            trigger = _BAD_TRIGGERS[kind]
        contact_id = contact + _STRANGER if kind == len(_BAD_TRIGGERS) else contact
        yield contact_id, instance_id, trigger, _ENROLMENT_STATUSES[kind % len(_ENROLMENT_STATUSES)]


def _store_campaigns(db: apsw.Connection, today: date) -> None:
    """Store campaigns of every sort: enrolled, for all, spread, bypassing windows, targeted, ended, badly written."""

    def day(offset: int) -> str:
        return (today + timedelta(days=offset)).isoformat()

    carriers = f"{CARRIERS[0]}, {CARRIERS[1].lower()}"
    instances: Rows = [
        (1, "rate_increase", "this year", "rate", "rate_sms", day(-90), day(120), None, None, None, None, None),
        (2, "rate_increase", "two carriers", "rate2", None, None, None, None, None, "ALL", carriers, '{"priority": 4}'),
        (3, "seasonal_promo", "south", "promo", None, day(-30), day(60), None, None, "FL, ga ,TX", None, "{}"),
        (4, "initial_blast", "welcome", "blast", None, day(5), day(40), None, None, "IL,OH,PA", "", None),
        (5, "newsletter", "spread", "news", None, None, None, day(10), day(100), None, None, None),
        (6, "regulatory_notice", "notice", None, None, None, None, None, None, None, None, '{"days_before_event": 10}'),
        (7, "initial_blast", "bad dates", "x", None, "2024-13-01", None, None, None, None, None, None),
        (8, "retired", "over", "x", None, None, None, None, None, None, None, "{not json"),
        (10, "seasonal_promo", "ended", "x", None, day(-400), day(-300), None, None, None, None, None),
    ]  # fmt: skip
    db.executemany(_INSERT_TYPE, _TYPES)
    db.executemany(_INSERT_INSTANCE, instances)
    db.execute(
        "INSERT INTO config_versions (config_data, valid_from, created_at, created_by, note) VALUES (?, ?, ?, ?, ?)",
        ('{"birthday_days_before": 14, "timezone": "America/Chicago"}', _STAMP, _STAMP, "make-org", "synthetic"),
    )
