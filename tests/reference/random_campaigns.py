"""Random campaigns: all kinds of R52-R57, with good and bad dates, metadata and enrolments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.reference.random_source import BAD_DATES, Source

if TYPE_CHECKING:
    from datetime import date

TYPE_NAMES = ("newsletter", "rate_increase", "new_year_push", "blast", "quarterly_check_in")
METADATA = (
    None,
    None,
    None,
    "{}",
    '{"respect_exclusion_windows": false}',
    '{"respect_exclusion_windows": 0, "priority": 3}',
    '{"respect_exclusion_windows": true}',
    '{"respect_exclusion_windows": "no"}',
    '{"respect_exclusion_windows": null, "priority": 15}',
    '{"enable_followups": false}',
    '{"enable_followups": 1, "note": "unknown keys are ignored"}',
    '{"enable_followups": "yes"}',
    '{"skip_failed_underwriting": true, "days_before_event": 7}',
    '{"skip_failed_underwriting": 2}',
    '{"days_before_event": -5}',
    '{"days_before_event": 3651}',
    '{"days_before_event": 3.0, "priority": true}',
    '{"priority": "3"}',
    '{"priority": -1}',
    "[1, 2]",
    "not json",
    "null",
)
STATE_TARGETS = (None, None, None, "", " , ,", "ALL", "ca, NV,mo", "KS,All", "TX, FL,IL,LA,KS", "ZZ", "NY")
CARRIER_TARGETS = (None, None, None, None, "", "all", "aetna", " AETNA , Humana ", ",")


def add_campaigns(source: Source) -> None:
    """Types, their instances, and the enrolments of each."""
    names = list(source.rng.sample(TYPE_NAMES, source.rng.randint(1, 4)))
    if source.chance(0.25):
        names.append("aep")
    for name in names:
        _add_type(source, name)
    next_id = 1
    for name in [*names, "ghost"]:  # the type `ghost` does not exist
        for number in range(source.rng.randint(1, 3) if name != "ghost" else source.rng.randint(0, 1)):
            next_id += source.rng.randint(1, 5)
            _add_instance(source, next_id, name, f"{name} {number}")
            _add_enrolments(source, next_id)


def _add_type(source: Source, name: str) -> None:
    source.insert(
        "campaign_types",
        {
            "name": name,
            "respect_exclusion_windows": int(source.chance(0.7)),
            "enable_followups": int(source.chance(0.7)),
            "days_before_event": source.pick([0, 0, 7, 14, -10, 60]),
            "target_all_contacts": int(source.chance(0.4)),
            "priority": source.pick([1, 10, 20, 30, 30, 50]),
            "active": int(source.chance(0.85)),
            "spread_evenly": int(source.chance(0.4)),
            "skip_failed_underwriting": int(source.chance(0.3)),
        },
    )


def _add_instance(source: Source, instance_id: int, name: str, instance_name: str) -> None:
    spread_start = source.day(-20, 30)
    spread_end = source.day(-10, 60)  # now and then before the start
    created = source.pick([source.day(-60, 0).isoformat() + " 10:11:12", source.day(-9, 0).isoformat(), "?", None])
    source.insert(
        "campaign_instances",
        {
            "id": instance_id,
            "campaign_type": name,
            "instance_name": instance_name,
            "email_template": source.pick([None, "tpl_a", "tpl_b"]),
            "sms_template": source.pick([None, None, "sms_a"]),
            "active_start_date": _maybe_date(source, source.day(-60, 1), 0.35),
            "active_end_date": _maybe_date(source, source.day(-2, 60), 0.5),
            "spread_start_date": _maybe_date(source, spread_start, 0.3),
            "spread_end_date": _maybe_date(source, spread_end, 0.3),
            "target_states": source.pick(STATE_TARGETS),
            "target_carriers": source.pick(CARRIER_TARGETS),
            "metadata": source.pick(METADATA),
            "created_at": created,
        },
    )


def _maybe_date(source: Source, day: date, absent: float) -> str | None:
    if source.chance(absent):
        return source.pick([None, None, "", "  "])
    if source.chance(0.03):
        return source.pick(BAD_DATES)
    return source.date_text(day)


def _add_enrolments(source: Source, instance_id: int) -> None:
    """Duplicates by spelling (the unique key sees the text), unknown contacts, and bad trigger dates among them."""
    for _ in range(source.rng.randint(0, source.contacts // 2)):
        contact_id = source.contact_id()
        trigger = _maybe_date(source, source.day(-45, 75), 0.2)
        if source.chance(0.05):
            trigger = source.pick(BAD_DATES)
        _enrol(source, contact_id, instance_id, trigger)
        if trigger is not None and source.chance(0.15):
            _enrol(source, contact_id, instance_id, trigger + " ")
        if source.chance(0.1):
            _enrol(source, contact_id, instance_id, source.date_text(source.day(0, 40)))


def _enrol(source: Source, contact_id: int, instance_id: int, trigger: str | None) -> None:
    status = source.pick(["pending", "pending", "pending", "pending", "scheduled", "scheduled", "sent", "skipped"])
    source.insert(
        "contact_campaigns",
        {
            "id": source.rng.randint(1, 10**6),
            "contact_id": contact_id,
            "campaign_instance_id": instance_id,
            "trigger_date": trigger,
            "status": status,
        },
    )
