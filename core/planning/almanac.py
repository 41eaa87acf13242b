"""The calendar of all years that occur, looked up instead of reckoned: a tenth of the time for millions of dates.

A month and a day travel as one small number, ``MONTH`` * month + day, 0 for no date. Its anniversaries are those of R30:
29 February is 28 February in other years.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

import numpy as np

from core.planning.calendar import civil, day_number, day_numbers, is_leap, to_date
from core.planning.columns import NO_DAY, Int16, Int32

MONTH: Final = 32
_YEARS: Final = range(1700, 2301)
"""Dates are of 1900 to 2100 (R21); what is reckoned from them - the 60 000 days at most that a campaign begins before or
after its event, the end of a window that begins two years after, 800 days of looking for a free one, the age of 76 - stays
inside."""
_FIRST_DAY: Final = np.int32(day_number(date(_YEARS.start, 1, 1)))
_YEAR: Final = 512
"""More than any month and day, and a power of two: a year's row in the table of anniversaries."""
_LEAP_DAY: Final = 2 * MONTH + 29


@dataclass(frozen=True, slots=True)
class _Almanac:
    year: Int16
    """By day number - _FIRST_DAY."""
    month_day: Int16
    """By day number - _FIRST_DAY."""
    anniversary: Int32
    """By (year - first year) * _YEAR + month and day; NO_DAY for what is no day of any year."""
    place: Int32
    """By day number - _FIRST_DAY: where its own month and day are in ``anniversary``; 28 February is where 29 February is
    in years that have none, so that whatever has its anniversary up to a day has no higher place in its year."""


def year_of(days: Int32) -> Int32:
    """Return the calendar year of each day number."""
    years: Int32 = _almanac().year.take(days - _FIRST_DAY).astype(np.int32)
    return years


def month_day_of(days: Int32) -> Int16:
    """Return month and day of each day number, 0 for NO_DAY."""
    dated = days != NO_DAY
    found: Int16 = _almanac().month_day.take((days - _FIRST_DAY) * dated) * dated
    return found


def in_year(month_day: Int16, year: Int32) -> Int32:
    """Return the anniversary of each month and day in each year."""
    days: Int32 = _almanac().anniversary.take((year - np.int32(_YEARS.start)) * np.int32(_YEAR) + month_day)
    return days


def latest_anniversary(month_day: Int16, days: Int32) -> Int32:
    """Return the last anniversary of each month and day that is not after each day."""
    return _anniversary(month_day, days, 0)


def following_anniversary(month_day: Int16, days: Int32) -> Int32:
    """Return the first anniversary of each month and day that is after each day."""
    return _anniversary(month_day, days, _YEAR)


def _anniversary(month_day: Int16, days: Int32, later: int) -> Int32:
    known = _almanac()
    place = known.place.take(days - _FIRST_DAY)
    place -= month_day
    place &= np.int32(-_YEAR)  # the row of the year that has the latest anniversary
    place += month_day
    place += np.int32(later)
    found: Int32 = known.anniversary.take(place)
    return found


def next_anniversaries(month_day: Int16, today: int) -> tuple[Int32, Int32]:
    """Return the first anniversary on or after ``today``, and the one a year before it (R30)."""
    every = np.arange(_YEAR, dtype=np.int16)
    this_year = np.full(_YEAR, to_date(today).year, dtype=np.int32)
    year = np.where(in_year(every, this_year) >= today, this_year, this_year + np.int32(1))
    return in_year(every, year)[month_day], in_year(every, year - np.int32(1))[month_day]


@lru_cache(maxsize=1)
def _almanac() -> _Almanac:
    """Return the tables, made at first use."""
    _, month, day = civil(np.arange(day_number(date(2000, 1, 1)), day_number(date(2001, 1, 1)), dtype=np.int32))
    of_leap = (month * MONTH + day).astype(np.int16)
    of_common = of_leap[of_leap != _LEAP_DAY]
    in_leap, in_common = (np.full(_YEAR, NO_DAY, dtype=np.int32) for _ in range(2))
    in_leap[of_leap] = np.arange(len(of_leap))
    in_common[of_common] = np.arange(len(of_common))
    in_common[_LEAP_DAY] = in_common[_LEAP_DAY - 1]
    years = np.array(_YEARS, dtype=np.int32)
    leap = is_leap(years)
    first = day_numbers(years, np.ones_like(years), np.ones_like(years))[:, None]
    offset = np.where(leap[:, None], in_leap, in_common)
    year = np.repeat(years, np.where(leap, len(of_leap), len(of_common)))
    reached_in_common = np.where(of_common == _LEAP_DAY - 1, _LEAP_DAY, of_common)
    reached = np.concatenate([of_leap if is_long else reached_in_common for is_long in leap.tolist()])
    return _Almanac(
        year=year.astype(np.int16),
        month_day=np.concatenate([of_leap if is_long else of_common for is_long in leap.tolist()]),
        anniversary=np.where(offset == NO_DAY, NO_DAY, first + offset).astype(np.int32).reshape(-1),
        place=(year - np.int32(_YEARS.start)) * np.int32(_YEAR) + reached.astype(np.int32),
    )
