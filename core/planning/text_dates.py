"""Dates (R21) and timestamps (R82) in columns of text.

Nearly all of them are written alike, so a value is first held to the usual form, eight bytes at a time; the few that
are written otherwise are judged byte by byte.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final, Self

import numpy as np

from core.planning.calendar import day_number, day_numbers, is_leap
from core.planning.columns import NO_DAY, Bool, Int32, SomeTexts, TextColumn, UInt8, UInt64
from core.planning.text import byte_at, digits, heads, is_blank, lengths, strip, word_at, words_like

_FIRST_YEAR: Final = 1900
_YEARS: Final = 201
FIRST_DAY: Final = day_number(date(_FIRST_YEAR, 1, 1))
LAST_DAY: Final = day_number(date(_FIRST_YEAR + _YEARS - 1, 12, 31))
"""Dates are of these days and those between (R21)."""
_DATE_BYTES: Final = 10
_MOMENT_BYTES: Final = 19
_CENTURY_BITS: Final = 16
"""An index of a day has 7 bits of year, 4 of month and 5 of day, and above them the century."""
_NO_CENTURY: Final = 3
_TWENTY: Final = np.uint16(int.from_bytes(b"20", "little"))


@dataclass(frozen=True, slots=True)
class DateColumn:
    """A column of dates: most are exactly ``YYYY-MM-DD``, and the few that are not are kept as they are written."""

    days: Int32
    """Day numbers of real dates that are written so, else NO_DAY."""
    odd: SomeTexts
    """The others that are not NULL."""

    @classmethod
    def of(cls, column: TextColumn) -> Self:
        """Read the dates of a column of text."""
        days = parse_exact_dates(column)
        odd = np.flatnonzero((days == NO_DAY) & ~column.null)
        return cls(days, SomeTexts(odd, column.take(odd)))


_MONTH_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int32)


@cache
def _day_table() -> Int32:
    """Return the day number of every (year, month, day) in one index; 29 February of other years is 28 February (R21)."""
    year = np.arange(_FIRST_YEAR, _FIRST_YEAR + _YEARS, dtype=np.int32)[:, None, None]
    month = np.arange(1, 13, dtype=np.int32)[:, None]
    day = np.arange(1, 32, dtype=np.int32)
    leap_day = (month == 2) & (day == 29)
    real = (day <= _MONTH_DAYS[month]) | leap_day
    read = np.where(leap_day & ~is_leap(year), np.int32(28), day).astype(np.int32)
    table = np.full((_NO_CENTURY + 1, 128, 16, 32), NO_DAY, dtype=np.int32)
    century, of_century = np.divmod(np.arange(_YEARS), 100)
    table[century, of_century, 1:13, 1:] = np.where(real, day_numbers(year, month, read), NO_DAY)
    table.flags.writeable = False
    return table.reshape(-1)


@cache
def _real_day_table() -> Int32:
    """Return the same with real dates only."""
    table = _day_table().reshape(_NO_CENTURY + 1, 128, 16, 32).copy()
    century, of_century = np.divmod(np.arange(_YEARS), 100)
    common = ~is_leap(np.arange(_FIRST_YEAR, _FIRST_YEAR + _YEARS, dtype=np.int32))
    table[century[common], of_century[common], 2, 29] = NO_DAY
    table.flags.writeable = False
    return table.reshape(-1)


@cache
def _century_table() -> UInt64:
    """Return the part of the index that the first two digits say, by them as a little-endian number."""
    table = np.full(1 << 16, _NO_CENTURY << _CENTURY_BITS, dtype=np.uint64)
    for century, digits_of_it in enumerate((b"19", b"20", b"21")):
        table[int.from_bytes(digits_of_it, "little")] = century << _CENTURY_BITS
    table.flags.writeable = False
    return table


def _usual_dates(head: UInt8, table: Int32, place: int = 0) -> Int32:
    """Return the day numbers of windows that have ``YYYY-MM-DD`` at a place, NO_DAY for others."""
    if not len(head):
        return np.zeros(0, dtype=np.int32)
    century = np.ndarray((len(head),), dtype="<u2", buffer=head.data, offset=place, strides=(head.shape[1],))
    value, odd = words_like(word_at(head, place + 2), "00-00-00")
    value = value * np.uint64(10) + (value >> np.uint64(8))  # bytes 0, 3 and 6: year of the century, month, day
    odd |= value & np.uint64(0x00E00000F0000000)  # a month or a day with bits above those of the index
    index = (value & np.uint64(0x00FF0000FF0000FF)) * np.uint64(1 << 57 | 1 << 29 | 1) >> np.uint64(48)
    if bool((century == _TWENTY).all()):
        index += np.uint64(1 << _CENTURY_BITS)
    else:
        index += _century_table()[century]
    days = table[index.view(np.int64)]
    if bool(odd.any()):
        days[odd != 0] = NO_DAY
    return days


def exact_days(head: UInt8, place: int) -> Int32:
    """Return day numbers of windows that have a real date, written ``YYYY-MM-DD``, at a place, else NO_DAY."""
    return _usual_dates(head, _real_day_table(), place)


def _calendar_day(column: TextColumn) -> tuple[Int32, Bool]:
    """Return the day number of the first ten bytes and whether they are a date of R21 (29 February reads as 28)."""
    days = _usual_dates(heads(column, 16), _day_table())
    return days, (days != NO_DAY) & (lengths(column) >= _DATE_BYTES)


def parse_dates(column: TextColumn) -> tuple[Int32, Bool]:
    """Return day numbers (NO_DAY where absent) and which values are bad: neither blank nor a date (R21)."""
    usual = ~column.null & (lengths(column) == _DATE_BYTES)
    days = np.where(usual, _usual_dates(heads(column, 16), _day_table()), np.int32(NO_DAY))
    bad = np.zeros(len(column), dtype=np.bool_)
    rest = np.flatnonzero((days == NO_DAY) & (column.start < column.end) & ~column.null)
    if len(rest):
        days[rest], bad[rest] = _odd_dates(column.take(rest))
    return days, bad


def _odd_dates(column: TextColumn) -> tuple[Int32, Bool]:
    stripped = strip(column)
    present = ~is_blank(stripped)
    days, valid = _calendar_day(stripped)
    after = byte_at(stripped, 10)
    valid &= present & ((lengths(stripped) == 10) | (after == ord(" ")) | (after == ord("T")))
    return np.where(valid, days, NO_DAY).astype(np.int32), present & ~valid


def parse_exact_dates(column: TextColumn) -> Int32:
    """Return day numbers of values that are exactly ``YYYY-MM-DD`` and real dates, else NO_DAY."""
    exact = ~column.null & (lengths(column) == _DATE_BYTES)
    return np.where(exact, _usual_dates(heads(column, 16), _real_day_table()), np.int32(NO_DAY))


def parse_moments(column: TextColumn) -> tuple[Int32, Int32]:
    """Return (day number, second of the day) of ``YYYY-MM-DD[ T]HH:MM[:SS]...`` or a bare date, else NO_DAY (R82)."""
    head = heads(column, 24)
    days = _usual_dates(head, _day_table())
    clock, odd = words_like(word_at(head, 11), "00:00:00")
    clock = clock * np.uint64(10) + (clock >> np.uint64(8))
    hour, minute, second = ((clock >> np.uint64(place) & np.uint64(0xFF)).astype(np.int32) for place in (0, 24, 48))
    between = head[:, _DATE_BYTES]
    usual = (odd == 0) & (hour < 24) & (minute < 60) & (second < 60) & ((between == ord(" ")) | (between == ord("T")))
    usual &= ~column.null & (lengths(column) >= _MOMENT_BYTES) & (days != NO_DAY)
    days = np.where(usual, days, np.int32(NO_DAY))
    seconds = np.where(usual, hour * 3600 + minute * 60 + second, 0).astype(np.int32)
    rest = np.flatnonzero(~usual & ~column.null & (lengths(column) >= _DATE_BYTES))
    if len(rest):
        days[rest], seconds[rest] = _odd_moments(column.take(rest))
    return days, seconds


def _odd_moments(column: TextColumn) -> tuple[Int32, Int32]:
    column = strip(column)  # R20: as all text is
    days, valid = _calendar_day(column)
    size = lengths(column)
    between = byte_at(column, 10)
    hour, hour_ok = digits(column, 11, 2)
    minute, minute_ok = digits(column, 14, 2)
    second, second_ok = digits(column, 17, 2)
    timed = (
        ((between == ord(" ")) | (between == ord("T")))
        & hour_ok
        & minute_ok
        & (byte_at(column, 13) == ord(":"))
        & (hour < 24)
        & (minute < 60)
    )
    has_seconds = timed & (byte_at(column, 16) == ord(":")) & second_ok & (second < 60)
    valid &= ~column.null & ((size == 10) | timed)
    moment = np.where(timed, hour * 3600 + minute * 60 + np.where(has_seconds, second, 0), 0)
    return np.where(valid, days, NO_DAY).astype(np.int32), np.where(valid, moment, 0).astype(np.int32)
