"""A random configuration (R10) and a random planning date."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

STATE_RULES: tuple[dict[str, Any], ...] = (
    {"IL": {"type": "birthday_window", "before": 0, "after": 45, "age_76_plus": True}},
    {"LA": {"type": "birthday_window", "before": 30, "after": 63}, "MD": {"type": "none"}},
    {"CA": {"type": "birthday_window", "before": 30, "after": 30, "use_month_start": True}},
    {"KS": {"type": "year_round"}, "CT": {"type": "none"}},
    {"TX": {"type": "effective_date_window", "before": 10, "after": 20, "age_76_plus": True}, "MO": {"type": "none"}},
    {"FL": {"type": "birthday_window", "before": 200, "after": 170}},  # always closed with the default buffer
    {"KS": {"type": "birthday_window", "before": 365, "after": 365}, "NV": {"type": "birthday_window"}},
    {"MO": {"type": "effective_date_window", "before": 5, "after": 5, "use_month_start": True}},
)

STATE_BUFFERS: tuple[dict[str, int], ...] = (
    {"CA": 0},
    {"CA": 90, "MO": 0},
    {"NV": 90, "ID": 10},
    {"MO": 365},
    {"TX": 60},
)
OPEN_STATES = ("KS", "TX", "FL", "IL", "LA", "NJ", "DC", "PR", "AR", "WY")

Draw = Callable[[random.Random], object]

DRAWS: dict[str, tuple[float, Draw]] = {
    "enable_post_window_emails": (0.15, lambda r: r.random() < 0.3),
    "effective_date_first_email_months": (0.4, lambda r: r.choice([0, 1, 11, 12, 13, 24, 36])),
    "exclude_failed_underwriting_global": (0.4, lambda r: r.random() < 0.8),
    "send_without_zipcode_for_universal": (0.3, lambda r: r.random() < 0.3),
    "pre_exclusion_buffer_days": (0.4, lambda r: r.choice([0, 1, 10, 30, 90])),
    "birthday_days_before": (0.3, lambda r: r.choice([0, 1, 7, 30, 60])),
    "effective_date_days_before": (0.3, lambda r: r.choice([0, 1, 5, 45])),
    "send_time_hour": (0.2, lambda r: r.choice([0, 9, 23])),
    "send_time_minute": (0.2, lambda r: r.choice([0, 5, 59])),
    "max_emails_per_period": (0.7, lambda r: r.choice([1, 1, 2, 3])),
    "frequency_period_days": (0.6, lambda r: r.choice([1, 2, 7, 14, 90])),
    "size_profile": (0.3, lambda r: r.choice(["auto", "small", "medium", "large", "enterprise"])),
    "aep_enabled": (0.15, lambda r: r.random() < 0.4),
    "enable_followups": (0.1, lambda r: r.random() < 0.3),
    "followup_delay_days": (0.4, lambda r: r.choice([0, 1, 5, 40])),
    "followup_lookback_days": (0.4, lambda r: r.choice([1, 7, 60, 365])),
    "catch_up_spread_days": (0.4, lambda r: r.choice([1, 2, 5, 14, 60])),
    "late_grace_days": (0.4, lambda r: r.choice([0, 3, 60, 180])),
    "overage_threshold": (0.5, lambda r: r.choice([1.0, 1, 1.1, 1.5, 3])),
    "min_daily_cap": (0.8, lambda r: r.choice([1, 1, 2, 3, 5])),
    "lookahead_days": (0.4, lambda r: r.choice([None, 1, 14, 60, 200, 400])),
    "missing_window_date_policy": (0.5, lambda r: r.choice(["hold", "send"])),
    "suppressed_contact_statuses": (0.15, lambda r: r.choice([[], ["Deleted"], ["ACTIVE", "unsubscribed"]])),
    "state_rules": (0.5, lambda r: r.choice(STATE_RULES)),
    "state_buffers": (0.4, lambda r: r.choice(STATE_BUFFERS)),
    "daily_send_percentage_cap": (0.5, lambda r: r.choice([0.01, 0.05, 0.07, 0.29, 1, 1.0])),
    "ed_daily_soft_limit": (0.7, lambda r: r.choice([1, 1, 2, 3, 15])),
    "ed_smoothing_window_days": (0.5, lambda r: r.choice([1, 2, 5, 10, 31])),
}


def random_today(rng: random.Random) -> date:
    """Any day, with a bias to the days on which calendars go wrong."""
    year = rng.randint(2023, 2029)
    year_edges = [date(year, 12, 31), date(year, 1, 1)]
    leap_edges = [date(year, 2, 28), date(year, 3, 1), date(2024, 2, 29), date(2028, 2, 29)]
    if rng.random() < 0.3:
        return rng.choice(year_edges + leap_edges)
    return date(year, 1, 1) + timedelta(days=rng.randint(0, 364))


def random_overrides(rng: random.Random, today: date) -> dict[str, object]:
    """Some keys of R10 with valid values; AEP is often moved close to today."""
    overrides = {key: draw(rng) for key, (probability, draw) in DRAWS.items() if rng.random() < probability}
    if rng.random() < 0.6:
        near = today + timedelta(days=rng.randint(-40, 40))
        if (near.month, near.day) != (2, 29):
            overrides["aep_month"], overrides["aep_day"] = near.month, near.day
    if rng.random() < 0.2:
        overrides |= rng.choice([edge_of_ideal(overrides), narrow_gaps()])
    if rng.random() < 0.3:
        overrides["aep_years"] = rng.sample(range(today.year - 2, today.year + 3), rng.randint(0, 3))
    return overrides


def edge_of_ideal(overrides: dict[str, object]) -> dict[str, object]:
    """Windows that open on the day after the ideal date, so that smoothing and overflow run into them (R62, R66)."""
    days_before = overrides.get("effective_date_days_before", 30)
    before = days_before - 1 if isinstance(days_before, int) and days_before > 0 else 0
    rule = {"type": "effective_date_window", "before": before, "after": 5}
    return {"state_rules": dict.fromkeys(OPEN_STATES, rule), "pre_exclusion_buffer_days": 0}


def narrow_gaps() -> dict[str, object]:
    """Windows with four free days a year, so that a late catch-up finds the next window closed (R51)."""
    rule = {"type": "birthday_window", "before": 180, "after": 180}
    return {"state_rules": dict.fromkeys(OPEN_STATES, rule), "pre_exclusion_buffer_days": 0}
