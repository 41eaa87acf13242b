"""Exclusion windows (R40-R45) and the first free day (R50)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tests.reference.dates import anniversary

if TYPE_CHECKING:
    from tests.reference.config import Config
    from tests.reference.model import Contact

FIRST_FREE_DAYS_MAX = 800


@dataclass(frozen=True)
class StateRule:
    """One line of the table of R41."""

    type: str
    before: int = 0
    after: int = 0
    use_month_start: bool = False
    age_76_plus: bool = False


RULES = {
    "CA": StateRule("birthday_window", 30, 60),
    "ID": StateRule("birthday_window", 0, 63),
    "KY": StateRule("birthday_window", 0, 60),
    "MD": StateRule("birthday_window", 0, 30),
    "NV": StateRule("birthday_window", 0, 60, use_month_start=True),
    "OK": StateRule("birthday_window", 0, 60),
    "OR": StateRule("birthday_window", 0, 31),
    "VA": StateRule("birthday_window", 0, 30),
    "MO": StateRule("effective_date_window", 30, 33),
    "CT": StateRule("year_round"),
    "MA": StateRule("year_round"),
    "NY": StateRule("year_round"),
    "WA": StateRule("year_round"),
}


def rule_of(config: Config, state: str | None) -> StateRule | None:
    """R41: the state's line, replaced whole by the configuration's; None for no rule."""
    if state is None:
        return None
    if state in config.state_rules:
        rule = StateRule(**config.state_rules[state])
    elif state in RULES:
        rule = RULES[state]
    else:
        return None
    return None if rule.type == "none" else rule


def buffer_of(config: Config, state: str) -> int:
    """R42: days by which a window starts earlier."""
    if state in config.state_buffers:
        return config.state_buffers[state]
    return config.pre_exclusion_buffer_days


def age_on(birth_date: date, day: date) -> int:
    """R45."""
    age = day.year - birth_date.year
    if day < anniversary(birth_date, day.year):
        age -= 1
    return age


def window_of_year(rule: StateRule, buffer_days: int, anchor: date, year: int) -> tuple[date, date]:
    """R42: first and last excluded day around the anniversary of one year, both inclusive."""
    day = anniversary(anchor, year)
    if rule.use_month_start:
        day = day.replace(day=1)
    return day - timedelta(days=rule.before + buffer_days), day + timedelta(days=rule.after)


def in_a_window(rule: StateRule, buffer_days: int, anchor: date, day: date) -> bool:
    """R43: inside the window of any of the five years around the day."""
    for year in range(day.year - 2, day.year + 3):
        first, last = window_of_year(rule, buffer_days, anchor, year)
        if first <= day <= last:
            return True
    return False


def excluded(contact: Contact, config: Config, day: date) -> str | None:
    """R40: the reason why this contact may not be written to on that day, or None."""
    state = contact.state
    rule = rule_of(config, state)
    if state is None or rule is None:
        return None
    if rule.type == "year_round":
        return f"exclusion:year_round:{state}"
    if rule.age_76_plus and contact.birth_date is not None and age_on(contact.birth_date, day) >= 76:
        return f"exclusion:age_76_plus:{state}"
    anchor = contact.birth_date if rule.type == "birthday_window" else contact.effective_date
    if anchor is None:  # R44
        return f"exclusion:window_date_unknown:{state}" if config.missing_window_date_policy == "hold" else None
    if in_a_window(rule, buffer_of(config, state), anchor, day):
        return f"exclusion:{rule.type}:{state}"
    return None


def first_free(contact: Contact, config: Config, day: date) -> date | None:
    """R50: the earliest day after `day` that is not excluded, within 800 days.

    Year round, age and an unknown date exclude every later day as well, so the walk finds none for them.
    """
    for days in range(1, FIRST_FREE_DAYS_MAX + 1):
        candidate = day + timedelta(days=days)
        if excluded(contact, config, candidate) is None:
            return candidate
    return None
