"""Dates as day numbers (R2), and anniversaries (R30), in columns.

A day number counts days since 1970-01-01 in the proleptic Gregorian calendar. The conversions are the well-known
era arithmetic (a year that starts in March puts the leap day at its end), valid for every year used here.
"""

from datetime import date
from typing import Final

import numpy as np

from core.planning.columns import Bool, Int32

EPOCH_ORDINAL: Final = 719_163
"""``date(1970, 1, 1).toordinal()``."""


def day_number(day: date) -> int:
    """Return the day number of a date (R2)."""
    return day.toordinal() - EPOCH_ORDINAL


def to_date(day: int) -> date:
    """Return the date of a day number."""
    return date.fromordinal(int(day) + EPOCH_ORDINAL)


def is_leap(year: Int32) -> Bool:
    """Whether each year is a leap year."""
    leap: Bool = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return leap


def day_numbers(year: Int32, month: Int32, day: Int32) -> Int32:
    """Return the day numbers of real dates given as int32 columns."""
    shifted = year - (month <= 2)
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    days: Int32 = (era * 146_097 + day_of_era - 719_468).astype(np.int32)
    return days


def civil(days: Int32) -> tuple[Int32, Int32, Int32]:
    """Return (year, month, day) columns of day numbers."""
    shifted = days.astype(np.int64) + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + np.where(month_from_march < 10, 3, -9)
    year = year_of_era + era * 400 + (month <= 2)
    return year.astype(np.int32), month.astype(np.int32), day.astype(np.int32)


def anniversary(month: Int32, day: Int32, year: Int32) -> Int32:
    """Return the anniversary of (month, day) in each year; 29 February is 28 February in other years (R30)."""
    leap_day = (month == 2) & (day == 29)
    return day_numbers(year, month, np.where(leap_day & ~is_leap(year), np.int32(28), day).astype(np.int32))
