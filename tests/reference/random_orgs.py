"""Random organisations: small, nasty, meaningful, and the same for the same seed."""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.reference.config import read_config
from tests.reference.planner import reference_plan
from tests.reference.random_campaigns import add_campaigns
from tests.reference.random_config import random_overrides, random_today
from tests.reference.random_contacts import ZIP_STATES, add_contacts
from tests.reference.random_history import add_history, add_owned
from tests.reference.random_source import Source

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True)
class RandomOrg:
    """A filled in-memory database and what to plan it with.

    overrides: valid keys of R10; also in force in the database's config_versions. zip_states: an excerpt of the bundled
    table that holds every ZIP of the contacts that the bundled table knows.
    """

    seed: int
    db: sqlite3.Connection
    overrides: dict[str, object]
    today: date
    zip_states: dict[str, str]


def random_org(seed: int, *, contacts: int = 40, schema_sql: str) -> RandomOrg:
    """Build the organisation of that seed in a database made by `schema_sql`. At most 3 000 contacts."""
    rng = random.Random(seed)
    today = random_today(rng)
    overrides = random_overrides(rng, today)
    db = sqlite3.connect(":memory:")
    db.executescript(schema_sql)
    source = Source(rng, db, today, read_config(overrides), contacts)
    source.insert("config_versions", {"config_data": json.dumps(overrides), "valid_from": "2000-01-01 00:00:00"})
    add_contacts(source)
    add_campaigns(source)
    add_history(source)
    # Owned rows do not influence the plan, so the plan can tell which owned rows would be right.
    add_owned(source, reference_plan(db, overrides, today, ZIP_STATES))
    db.commit()
    return RandomOrg(seed, db, overrides, today, dict(ZIP_STATES))
