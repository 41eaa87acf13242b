"""Chance, bound to a seed and to the planning date: the source that the random organisations are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import random
    import sqlite3
    from collections.abc import Mapping, Sequence

    from tests.reference.config import Config

T = TypeVar("T")

_STAMP = "2023-01-01 00:00:00"
# The schema's defaults would read the clock, and an organisation would not be the same twice.
STAMPS: dict[str, dict[str, object]] = {
    "campaign_types": {"created_at": _STAMP, "updated_at": _STAMP},
    "campaign_instances": {"updated_at": _STAMP},
    "contact_campaigns": {"created_at": _STAMP, "updated_at": _STAMP},
    "config_versions": {"created_at": _STAMP},
    "email_schedules": {"created_at": _STAMP, "updated_at": _STAMP},
}

BAD_DATES = (
    "03/15/1960",
    "1960-13-01",
    "1960-02-30",
    "1899-12-31",
    "2101-01-01",
    "1960-3-5",
    "unknown",
    "0000-00-00",
    "1960-03-15x",
)


@dataclass
class Source:
    """A seeded generator, the database being filled, and the facts that dates cluster around."""

    rng: random.Random
    db: sqlite3.Connection
    today: date
    config: Config
    contacts: int

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.rng.random() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return self.rng.choice(choices)

    def day(self, days_min: int, days_max: int) -> date:
        """A date so many days from today."""
        return self.today + timedelta(days=self.rng.randint(days_min, days_max))

    def contact_id(self) -> int:
        """A contact, now and then one that does not exist."""
        return 900_000 + self.rng.randint(1, 3) if self.chance(0.03) else self.pick(CONTACT_IDS[: self.contacts])

    def date_text(self, day: date) -> str:
        """One of the spellings that R21 accepts for a date."""
        text = day.isoformat()
        spellings = (text, text, text, text, text + " 00:00:00", text + "T12:30:00Z", f"  {text}\t", text + " junk")
        return self.pick(spellings)

    def insert(self, table: str, row: Mapping[str, object]) -> int | None:
        """Insert a row unless a unique key forbids it; its id, or None."""
        row = STAMPS.get(table, {}) | dict(row)
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        sql = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"
        cursor = self.db.execute(sql, tuple(row.values()))
        return cursor.lastrowid if cursor.rowcount == 1 else None


def _spread_ids() -> tuple[int, ...]:
    """Ids with gaps and some large ones, so that nobody can take an id for an index."""
    return tuple(3 * number + number % 2 + (2_000_000 if number % 11 == 5 else 0) for number in range(1, 3_001))


CONTACT_IDS = _spread_ids()
