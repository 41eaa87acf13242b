"""Small orgs for hand-computed cases: a database in memory, a plan of it, and its rows as plain tuples."""

import json
import sqlite3
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from core.planning.calendar import day_number, to_date
from core.planning.columns import NULL_ID
from core.planning.config import Config, parse_config
from core.planning.plan import Plan, plan
from core.runs.reading import Reading, read_org
from tests.plain_database import PlainDatabase

SCHEMA = (Path(__file__).parents[1] / "infra" / "schema.sql").read_text(encoding="utf-8")


class Mail(NamedTuple):
    """One row of a plan, for people."""

    contact_id: int
    email_type: str
    event: date
    send: date
    reason: str | None
    instance_id: int | None = None


class Org:
    """An org under construction: insert rows, then plan."""

    def __init__(self, **config: object) -> None:
        self.db = sqlite3.connect(":memory:")
        self.db.executescript(SCHEMA)
        self.config = parse_config(json.dumps(config), lambda name: True)

    def insert(self, table: str, **values: object) -> int:
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        cursor = self.db.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))
        return int(cursor.lastrowid or 0)

    def contact(self, **values: object) -> int:
        """Insert a contact that can be written to; ``id`` and fields as given."""
        number = self.db.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM contacts").fetchone()[0]
        defaults: Mapping[str, object] = {"id": number, "email": f"person{number}@example.com", "state": "TX"}
        return self.insert("contacts", **{**defaults, **values})

    def locked(self, contact_id: int, email_type: str, event: str, *, status: str = "sent", **values: object) -> int:
        """Insert a row that the sender has taken."""
        defaults: Mapping[str, object] = {
            "contact_id": contact_id,
            "email_type": email_type,
            "event_date": event,
            "scheduled_send_date": event,
            "status": status,
        }
        return self.insert("email_schedules", **{**defaults, **values})

    def campaign(self, name: str, **values: object) -> None:
        self.insert("campaign_types", name=name, **values)

    def instance(self, campaign_type: str, **values: object) -> int:
        number = self.db.execute("SELECT COUNT(*) FROM campaign_instances").fetchone()[0]
        defaults: Mapping[str, object] = {
            "campaign_type": campaign_type,
            "instance_name": f"instance {number}",
            "email_template": "template",
        }
        return self.insert("campaign_instances", **{**defaults, **values})

    def read(self, today: str) -> Reading:
        return read_org(PlainDatabase(self.db), self.config, day_number(date.fromisoformat(today)))  # type: ignore[arg-type]

    def plan(self, today: str) -> Plan:
        return plan(self.read(today).snapshot, self.config, day_number(date.fromisoformat(today)))

    def mails(self, today: str, **wanted: Any) -> list[Mail]:
        """Plan and return the rows, sorted; ``wanted`` filters by fields of Mail."""
        found = mails_of(self.plan(today))
        return [m for m in found if all(getattr(m, name) == value for name, value in wanted.items())]


def mails_of(planned: Plan) -> list[Mail]:
    rows = planned.rows
    out = []
    for i in range(len(rows)):
        kind = rows.kinds[rows.kind[i]]
        instance = int(rows.instance_id[i])
        out.append(
            Mail(
                contact_id=int(rows.contact_id[i]),
                email_type=kind.email_type,
                event=to_date(int(rows.event_day[i])),
                send=to_date(int(rows.send_day[i])),
                reason=kind.skip_reason,
                instance_id=None if instance == NULL_ID else instance,
            )
        )
    return sorted(out, key=repr)


def effective(**config: object) -> Config:
    return parse_config(json.dumps(config), lambda name: True)
