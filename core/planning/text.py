"""Judging text in columns: e-mail addresses (R20), dates (R21), ZIP codes and states (R22, R23), timestamps (R82).

Every function takes a TextColumn and gives one entry per row. Nothing loops over rows: a loop, where there is one, runs
over the positions of a value.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from core.planning.calendar import day_numbers, is_leap
from core.planning.columns import NO_DAY, Bool, Int8, Int32, Int64, TextColumn, UInt8, UInt64

_WHITE: Final = np.isin(np.arange(256), [9, 10, 11, 12, 13, 32])
"""R20: ASCII white space."""


def _table(characters: str) -> Bool:
    return np.isin(np.arange(256), [ord(c) for c in characters])


_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = "0123456789"
_IS_LETTER: Final = _table(_LETTERS)
_IS_DIGIT: Final = _table(_DIGITS)
_IS_LOCAL: Final = _table(_LETTERS + _DIGITS + "._%+-")
_IS_DOMAIN: Final = _table(_LETTERS + _DIGITS + ".-")

_LOWER: Final = np.where((np.arange(256) >= 65) & (np.arange(256) <= 90), np.arange(256) + 32, np.arange(256)).astype(
    np.uint8
)


def byte_at(column: TextColumn, position: int) -> UInt8:
    """Return the byte at a position of each value, 0 past its end."""
    if not len(column.data):
        return np.zeros(len(column), dtype=np.uint8)
    index = column.start + position
    out = np.take(column.data, index, mode="clip")
    out *= index < column.end
    return out


def lengths(column: TextColumn) -> Int64:
    """Return the length of each value in bytes."""
    return column.end - column.start


def strip(column: TextColumn) -> TextColumn:
    """Remove ASCII white space at both ends (R20); moves offsets, copies no text."""
    start, end = column.start.copy(), column.end.copy()
    rows = np.flatnonzero(start < end)
    while len(rows):
        rows = rows[_WHITE[column.data[start[rows]]]]
        start[rows] += 1
        rows = rows[start[rows] < end[rows]]
    rows = np.flatnonzero(start < end)
    while len(rows):
        rows = rows[_WHITE[column.data[end[rows] - 1]]]
        end[rows] -= 1
        rows = rows[start[rows] < end[rows]]
    return TextColumn(column.data, start, end, column.null)


def is_blank(stripped: TextColumn) -> Bool:
    """Whether each (stripped) value is NULL or empty."""
    blank: Bool = stripped.null | (stripped.start >= stripped.end)
    return blank


def _all_in(column: TextColumn, table: Bool) -> Bool:
    """Whether every byte of each value is in a table; looks at the few bytes of the block that are not."""
    others = np.flatnonzero(~table[column.data])
    free: Bool = np.searchsorted(others, column.end) == np.searchsorted(others, column.start)
    return free


def _last_index(column: TextColumn, byte: int) -> Int64:
    """Return the offset in ``data`` of the last occurrence in each value, -1 where there is none."""
    places = np.flatnonzero(column.data == byte)
    if not len(places):
        return np.full(len(column), -1, dtype=np.int64)
    found = np.searchsorted(places, column.end) - 1
    last = places[np.maximum(found, 0)]
    return np.where((found >= 0) & (last >= column.start), last, -1)


def is_email(stripped: TextColumn) -> Bool:
    r"""Whether each value is ``[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}`` (R20)."""
    at = _last_index(stripped, ord("@"))
    dot = _last_index(stripped, ord("."))
    shape = (at > stripped.start) & (dot > at + 1) & (stripped.end - dot > 2)
    local = TextColumn(stripped.data, stripped.start, np.where(shape, at, stripped.start), stripped.null)
    domain = TextColumn(
        stripped.data, np.where(shape, at + 1, stripped.start), np.where(shape, dot, stripped.start), stripped.null
    )
    top = TextColumn(
        stripped.data,
        np.where(shape, dot + 1, stripped.start),
        np.where(shape, stripped.end, stripped.start),
        stripped.null,
    )
    valid: Bool = shape & _all_in(local, _IS_LOCAL) & _all_in(domain, _IS_DOMAIN) & _all_in(top, _IS_LETTER)
    return valid


def _digits(column: TextColumn, first: int, count: int) -> tuple[Int32, Bool]:
    """Return the number in ``count`` digits from a position, and whether all of them are digits."""
    value = np.zeros(len(column), dtype=np.int32)
    valid = np.ones(len(column), dtype=np.bool_)
    for position in range(first, first + count):
        byte = byte_at(column, position)
        valid &= _IS_DIGIT[byte]
        value = value * 10 + (byte.astype(np.int32) - 48)
    return value, valid


_MONTH_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int32)


def _calendar_day(column: TextColumn) -> tuple[Int32, Bool]:
    """Return the day number of the first ten bytes and whether they are a date of R21 (29 February reads as 28)."""
    year, year_ok = _digits(column, 0, 4)
    month, month_ok = _digits(column, 5, 2)
    day, day_ok = _digits(column, 8, 2)
    dashes = (byte_at(column, 4) == ord("-")) & (byte_at(column, 7) == ord("-"))
    valid = year_ok & month_ok & day_ok & dashes & (year >= 1900) & (year <= 2100) & (month >= 1) & (month <= 12)
    safe_month = np.where(valid, month, 1).astype(np.int32)
    leap_day = (safe_month == 2) & (day == 29)
    valid &= (day >= 1) & ((day <= _MONTH_DAYS[safe_month]) | leap_day)
    safe_year = np.where(valid, year, 1970).astype(np.int32)
    safe_day = np.where(valid, np.where(leap_day & ~is_leap(safe_year), 28, day), 1).astype(np.int32)
    return day_numbers(safe_year, safe_month, safe_day), valid


def parse_dates(column: TextColumn) -> tuple[Int32, Bool]:
    """Return day numbers (NO_DAY where absent) and which values are bad: neither blank nor a date (R21)."""
    stripped = strip(column)
    present = ~is_blank(stripped)
    days, valid = _calendar_day(stripped)
    after = byte_at(stripped, 10)
    valid &= present & ((lengths(stripped) == 10) | (after == ord(" ")) | (after == ord("T")))
    return np.where(valid, days, NO_DAY).astype(np.int32), present & ~valid


def parse_exact_dates(column: TextColumn) -> Int32:
    """Return day numbers of values that are exactly ``YYYY-MM-DD`` and real dates, else NO_DAY."""
    days, valid = _calendar_day(column)
    day_text, _ = _digits(column, 8, 2)
    exact = valid & (lengths(column) == 10) & ~column.null
    real = exact & (day_text == _day_of_month(days))
    return np.where(real, days, NO_DAY).astype(np.int32)


def _day_of_month(days: Int32) -> Int32:
    as_dates = days.astype("datetime64[D]")
    first_of_month = as_dates.astype("datetime64[M]").astype("datetime64[D]")
    after_first: Int32 = (as_dates - first_of_month).astype(np.int32)
    return after_first + np.int32(1)


def parse_moments(column: TextColumn) -> tuple[Int32, Int32]:
    """Return (day number, second of the day) of ``YYYY-MM-DD[ T]HH:MM[:SS]...`` or a bare date, else NO_DAY (R82)."""
    days, valid = _calendar_day(column)
    size = lengths(column)
    between = byte_at(column, 10)
    hour, hour_ok = _digits(column, 11, 2)
    minute, minute_ok = _digits(column, 14, 2)
    second, second_ok = _digits(column, 17, 2)
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


def parse_zip(column: TextColumn) -> Int32:
    """Return the five-digit ZIP as a number, -1 where unusable (R23)."""
    stripped = strip(column)
    size = lengths(stripped)
    head, head_ok = _digits(stripped, 0, 5)
    _, tail_ok = _digits(stripped, 5, 4)
    _, dashed_tail_ok = _digits(stripped, 6, 4)
    full = head_ok & (
        (size == 5) | ((size == 9) & tail_ok) | ((size == 10) & (byte_at(stripped, 5) == ord("-")) & dashed_tail_ok)
    )
    three, three_ok = _digits(stripped, 0, 3)
    four, four_ok = _digits(stripped, 0, 4)
    zip_code = np.full(len(column), -1, dtype=np.int32)
    for fits, value in ((full, head), ((size == 3) & three_ok, three), ((size == 4) & four_ok, four)):
        zip_code[fits] = value[fits]
    zip_code[column.null] = -1
    return zip_code


def parse_state(column: TextColumn, state_of_pair: Int8) -> Int8:
    """Return state numbers of two-letter codes in any case (R22); ``state_of_pair`` maps 256 * first + second byte."""
    stripped = strip(column)
    upper = [
        np.where((b >= 97) & (b <= 122), b - 32, b).astype(np.int64)
        for b in (byte_at(stripped, 0), byte_at(stripped, 1))
    ]
    states: Int8 = state_of_pair[upper[0] * 256 + upper[1]]
    return np.where((lengths(stripped) == 2) & ~column.null, states, np.int8(-1)).astype(np.int8)


def equals_any(column: TextColumn, words: Sequence[str]) -> Bool:
    """Whether each value, stripped and lower-cased (ASCII), is one of ``words`` (lower-cased likewise)."""
    return match(column, words) >= 0


def match(column: TextColumn, words: Sequence[str]) -> Int32:
    """Return the position in ``words`` of each value, stripped and lower-cased (ASCII), -1 where it is none of them."""
    stripped = strip(column)
    size = lengths(stripped)
    found = np.full(len(column), -1, dtype=np.int32)
    for number, word in enumerate(words):
        wanted = _LOWER[np.frombuffer(word.strip(" \t\n\v\f\r").encode("utf-8", "surrogatepass"), dtype=np.uint8)]
        rows = np.flatnonzero((size == len(wanted)) & (found < 0) & ~stripped.null)
        for position, byte in enumerate(wanted):
            rows = rows[_LOWER[stripped.data[stripped.start[rows] + position]] == byte]
        found[rows] = number
    return found


_HASH_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_HASH_CHUNK_ROWS: Final = 1 << 16


def hash_values(column: TextColumn) -> UInt64:
    """Return a 64-bit hash of each value's bytes; NULL differs from empty. Used by digests (R96), never for identity."""
    out = np.zeros(len(column), dtype=np.uint64)
    for first in range(0, len(column), _HASH_CHUNK_ROWS):
        part = slice(first, first + _HASH_CHUNK_ROWS)
        out[part] = _hash_chunk(column.data, column.start[part], column.end[part])
    out[column.null] = np.uint64(0x6E756C6C)
    return out


def _hash_chunk(data: UInt8, start: Int64, end: Int64) -> UInt64:
    size = end - start
    total = int(size.sum())
    first = np.cumsum(size) - size
    position = np.arange(total, dtype=np.int64) - np.repeat(first, size)
    weights = mix64((np.arange(int(size.max(initial=0)), dtype=np.uint64) + np.uint64(1)) * _HASH_STEP)
    terms = (data[np.repeat(start, size) + position].astype(np.uint64) + np.uint64(1)) * weights[position]
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)))
    return mix64(sums[first + size] - sums[first] + size.astype(np.uint64) * _HASH_STEP)


def mix64(z: UInt64) -> UInt64:
    """Return the finalizer of R60: a bijection of 64-bit integers that spreads every bit."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
