"""Campaign types and instances with their effective settings (R52, R53)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.reference.dates import read_date, stripped
from tests.reference.model import query

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from datetime import date

DATE_COLUMNS = ("active_start_date", "active_end_date", "spread_start_date", "spread_end_date")
FLAG_KEYS = ("respect_exclusion_windows", "enable_followups", "skip_failed_underwriting")
NUMBER_KEYS = ("days_before_event", "priority")
DAYS_BEFORE_EVENT_MAX = 3650


@dataclass(frozen=True)
class Instance:
    """One campaign instance whose type exists, settings of the type overridden by the instance's metadata."""

    id: int
    email_type: str
    type_active: bool
    dates_bad: bool
    active_start: date | None
    active_end: date | None
    spread_start: date | None
    spread_end: date | None
    created: date | None
    target_all: bool
    spread_evenly: bool
    respects_windows: bool
    enable_followups: bool
    skip_failed_underwriting: bool
    days_before_event: int
    priority: int
    target_states: str
    target_carriers: str
    email_template: str | None
    sms_template: str | None

    def counts(self, today: date) -> bool:
        """R52."""
        if not self.type_active or self.dates_bad:
            return False
        if self.active_start is not None and today < self.active_start:
            return False
        return self.active_end is None or today <= self.active_end

    @property
    def spread_days(self) -> int | None:
        """R55: the number of days of a spread campaign, None if this is not one."""
        if not self.spread_evenly or self.spread_start is None or self.spread_end is None:
            return None
        if self.spread_start > self.spread_end:
            return None
        return (self.spread_end - self.spread_start).days + 1


@dataclass(frozen=True)
class Campaigns:
    """All instances with an existing type, the campaign issues, and whether a campaign replaces the AEP mail (R35)."""

    instances: dict[int, Instance]
    issues: set[tuple[int, str]]
    aep_superseded: bool


def read_campaigns(db: sqlite3.Connection) -> Campaigns:
    """Every instance is judged, also those that do not count: follow-ups look at old ones too (R80)."""
    types = {row["name"]: row for row in query(db, "SELECT * FROM campaign_types")}
    instances: dict[int, Instance] = {}
    issues: set[tuple[int, str]] = set()
    for row in query(db, "SELECT * FROM campaign_instances ORDER BY id"):
        if any(read_date(row[column])[1] for column in DATE_COLUMNS):
            issues.add((0, f"bad_campaign_dates:{row['id']}"))
        overrides, metadata_bad = read_overrides(row["metadata"])
        if metadata_bad:
            issues.add((0, f"bad_campaign_metadata:{row['id']}"))
        if row["campaign_type"] in types:
            instances[row["id"]] = _instance(row, types[row["campaign_type"]], overrides)
    superseded = "aep" in types and bool(types["aep"]["active"])
    return Campaigns(instances, issues, superseded)


def read_overrides(metadata: object) -> tuple[dict[str, int], bool]:
    """The valid overrides of an instance, and whether anything in the metadata was invalid (R53)."""
    text = stripped(metadata)
    if not text:
        return {}, False
    try:
        content = json.loads(text, object_pairs_hook=once)
    except ValueError:
        return {}, True
    if not isinstance(content, dict):
        return {}, True
    overrides: dict[str, int] = {}
    bad = False
    for key in (*FLAG_KEYS, *NUMBER_KEYS):
        if key not in content:
            continue
        if _is_valid(key, content[key]):
            overrides[key] = int(content[key])
            continue
        bad = True
        if key == "respect_exclusion_windows":  # fails closed
            overrides[key] = 1
    return overrides, bad


def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A key that is given twice has no valid value."""
    names = [name for name, _ in pairs]
    return {name: value if names.count(name) == 1 else None for name, value in pairs}


def _is_valid(key: str, value: object) -> bool:
    if not isinstance(value, int):  # to Python, true and false are integers too, 3.0 is not
        return False
    if key in FLAG_KEYS:
        return value in (0, 1)
    return not isinstance(value, bool) and (key == "priority" or abs(value) <= DAYS_BEFORE_EVENT_MAX)


def _instance(row: Mapping[str, Any], kind: Mapping[str, Any], overrides: Mapping[str, int]) -> Instance:
    dates = {column: read_date(row[column]) for column in DATE_COLUMNS}
    settings = {key: overrides.get(key, kind[key]) for key in (*FLAG_KEYS, *NUMBER_KEYS)}
    return Instance(
        id=row["id"],
        email_type=f"campaign_{kind['name']}",
        type_active=bool(kind["active"]),
        dates_bad=any(bad for _, bad in dates.values()),
        active_start=dates["active_start_date"][0],
        active_end=dates["active_end_date"][0],
        spread_start=dates["spread_start_date"][0],
        spread_end=dates["spread_end_date"][0],
        created=read_date(row["created_at"])[0],
        target_all=bool(kind["target_all_contacts"]),
        spread_evenly=bool(kind["spread_evenly"]),
        respects_windows=bool(settings["respect_exclusion_windows"]),
        enable_followups=bool(settings["enable_followups"]),
        skip_failed_underwriting=bool(settings["skip_failed_underwriting"]),
        days_before_event=settings["days_before_event"],
        priority=settings["priority"],
        target_states=stripped(row["target_states"]),
        target_carriers=stripped(row["target_carriers"]),
        email_template=row["email_template"],
        sms_template=row["sms_template"],
    )
