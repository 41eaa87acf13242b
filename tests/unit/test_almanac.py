"""The almanac against the standard library's calendar, day by day and year by year."""

from datetime import date, timedelta

import numpy as np

from core.planning.almanac import (
    MONTH,
    following_anniversary,
    in_year,
    latest_anniversary,
    month_day_of,
    next_anniversaries,
    year_of,
)
from core.planning.calendar import day_number, to_date
from core.planning.columns import NO_DAY

DAYS = np.arange(day_number(date(1890, 1, 1)), day_number(date(2115, 1, 1)), dtype=np.int32)
MONTH_DAYS = np.array(
    sorted({MONTH * d.month + d.day for d in (date(2000, 1, 1) + timedelta(days=n) for n in range(366))}),
    dtype=np.int16,
)


def by_hand(month_day: int, year: int) -> int:
    month, day = divmod(month_day, MONTH)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day_number(date(year, month, 28 if (month, day) == (2, 29) and not leap else day))


def test_year_month_and_day_of_every_day() -> None:
    dates = [to_date(d) for d in DAYS.tolist()]
    assert year_of(DAYS).tolist() == [d.year for d in dates]
    assert month_day_of(DAYS).tolist() == [MONTH * d.month + d.day for d in dates]


def test_no_date_has_no_month_and_day() -> None:
    assert month_day_of(np.array([NO_DAY, 0], dtype=np.int32)).tolist() == [0, MONTH + 1]


def test_r30_anniversaries_of_every_month_and_day() -> None:
    for year in (1899, 1900, 1996, 2000, 2023, 2024, 2100, 2104):
        years = np.full(len(MONTH_DAYS), year, dtype=np.int32)
        assert in_year(MONTH_DAYS, years).tolist() == [by_hand(code, year) for code in MONTH_DAYS.tolist()]


def test_r30_the_next_anniversary_and_the_one_before_it() -> None:
    for today in (date(2024, 2, 28), date(2024, 2, 29), date(2025, 3, 1), date(2025, 12, 31)):
        number = day_number(today)
        event, previous = next_anniversaries(MONTH_DAYS, number)
        for row, code in enumerate(MONTH_DAYS.tolist()):
            year = today.year if by_hand(code, today.year) >= number else today.year + 1
            assert (event[row], previous[row]) == (by_hand(code, year), by_hand(code, year - 1))


def test_the_latest_anniversary_is_the_last_that_is_not_after_the_day() -> None:
    days = np.arange(day_number(date(2023, 12, 1)), day_number(date(2025, 2, 1)), dtype=np.int32)
    for code in (MONTH + 1, 2 * MONTH + 28, 2 * MONTH + 29, 3 * MONTH + 1, 12 * MONTH + 31):
        found = latest_anniversary(np.full(len(days), code, dtype=np.int16), days)
        every = [by_hand(code, year) for year in range(2021, 2026)]
        assert found.tolist() == [max(a for a in every if a <= day) for day in days.tolist()]


def test_the_following_anniversary_is_the_first_after_the_day() -> None:
    days = np.arange(day_number(date(2023, 12, 1)), day_number(date(2025, 2, 1)), dtype=np.int32)
    for code in (MONTH + 1, 2 * MONTH + 28, 2 * MONTH + 29, 3 * MONTH + 1, 12 * MONTH + 31):
        found = following_anniversary(np.full(len(days), code, dtype=np.int16), days)
        every = [by_hand(code, year) for year in range(2022, 2027)]
        assert found.tolist() == [min(a for a in every if a > day) for day in days.tolist()]
