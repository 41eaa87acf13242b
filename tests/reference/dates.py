"""Text and calendar primitives: strip, dates of R21, timestamps of R82, anniversaries of R30."""

from __future__ import annotations

import calendar
import re
from datetime import date, datetime, time

ASCII_SPACE = " \t\n\r\v\f"
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T].*)?", re.DOTALL)
_EXACT_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MOMENT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?.*)?", re.DOTALL)


def stripped(value: object) -> str:
    """The column as text without ASCII white space at both ends (R20); NULL is the empty text."""
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(ASCII_SPACE)


def lower(text: str) -> str:
    """ASCII lower case: letters beyond ASCII stay as they are."""
    return text.translate(_LOWER)


def upper(text: str) -> str:
    """ASCII upper case: letters beyond ASCII stay as they are."""
    return text.translate(_UPPER)


def real_date(year: int, month: int, day: int) -> date | None:
    """The date, or None where the calendar has no such day."""
    try:
        return date(year, month, day)
    except ValueError:
        return None


def read_date(value: object) -> tuple[date | None, bool]:
    """A date column as (date or None, is it bad) (R21). Absent is (None, False), anything unusable (None, True)."""
    text = stripped(value)
    if not text:
        return None, False
    match = _DATE.fullmatch(text)
    if match is None:
        return None, True
    year, month, day = (int(part) for part in match.groups())
    if not 1900 <= year <= 2100:
        return None, True
    if (month, day) == (2, 29) and not calendar.isleap(year):
        return date(year, 2, 28), False
    found = real_date(year, month, day)
    return found, found is None


def exact_date(value: object) -> date | None:
    """A date that the scheduler or the sender wrote itself: exactly `YYYY-MM-DD`, a real date, nothing around it."""
    if not isinstance(value, str):
        return None
    match = _EXACT_DATE.fullmatch(value)
    if match is None:
        return None
    return real_date(*(int(part) for part in match.groups()))


def read_moment(value: object) -> datetime | None:
    """A timestamp (R82): `YYYY-MM-DD[ T]HH:MM[:SS]`, rest ignored; a date alone is its midnight; else None."""
    match = _MOMENT.fullmatch(stripped(value))
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        return datetime.combine(date(year, month, day), time(hour, minute, second))
    except ValueError:
        return None


def anniversary(day: date, year: int) -> date:
    """Same month and day in that year; 29 February becomes 28 February where there is none (R30)."""
    if (day.month, day.day) == (2, 29) and not calendar.isleap(year):
        return date(year, 2, 28)
    return date(year, day.month, day.day)


def next_anniversary(day: date, today: date) -> date:
    """This year's anniversary if it is today or later, else next year's (R30)."""
    this_year = anniversary(day, today.year)
    if this_year >= today:
        return this_year
    return anniversary(day, today.year + 1)
