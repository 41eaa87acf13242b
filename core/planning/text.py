"""Judging text in columns: e-mail addresses (R20), ZIP codes and states (R22, R23). Dates are in ``text_dates``.

Every function takes a TextColumn and gives one entry per row. Nothing loops over ordinary rows: values that are written
as they should be are judged eight or more bytes at a time, and the others byte by byte.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

import numpy as np

from core.planning.columns import Bool, Int8, Int32, Int64, TextColumn, UInt8, UInt64, windows

_WHITE: Final = np.isin(np.arange(256), [9, 10, 11, 12, 13, 32])
"""R20: ASCII white space."""


def _table(characters: str) -> Bool:
    return np.isin(np.arange(256), [ord(c) for c in characters])


_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = "0123456789"
_IS_DIGIT: Final = _table(_DIGITS)
_LOCAL, _DOMAIN, _LETTER = np.uint8(1), np.uint8(2), np.uint8(4)
_CLASSES: Final = (
    _table(_LETTERS + _DIGITS + "._%+-") * _LOCAL
    | _table(_LETTERS + _DIGITS + ".-") * _DOMAIN
    | _table(_LETTERS) * _LETTER
)
"""What each byte may be in an e-mail address (R20)."""
_EMAIL: Final = re.compile(rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_EMAIL_WINDOW: Final = 64
_EMAIL_ROWS: Final = 8192

_LOWER: Final = np.where((np.arange(256) >= 65) & (np.arange(256) <= 90), np.arange(256) + 32, np.arange(256)).astype(
    np.uint8
)


_UPPER: Final = np.where((np.arange(256) >= 97) & (np.arange(256) <= 122), np.arange(256) - 32, np.arange(256))
_HIGH_BITS: Final = np.uint64(0x8080808080808080)


def heads(column: TextColumn, size_bytes: int) -> UInt8:
    """Return the first bytes of each value, a row each, and what follows where a value is shorter: look at lengths."""
    data = column.data
    needed = int(column.start.max(initial=0)) + size_bytes
    if needed > len(data):
        data = np.concatenate((data, np.zeros(needed - len(data), dtype=np.uint8)))
    return windows(data, column.start, size_bytes)


def word_at(head: UInt8, place: int) -> UInt64:
    """Return the little-endian word that begins at a place of each row of ``heads``."""
    if not len(head):
        return np.zeros(0, dtype=np.uint64)
    word: UInt64 = np.ndarray((len(head),), dtype="<u8", buffer=head.data, offset=place, strides=(head.shape[1],))
    return word


def words_like(word: UInt64, form: str) -> tuple[UInt64, UInt64]:
    """Compare words with eight characters, of which 0 stands for any digit.

    Returns the values of the digits, a byte each (0 for other characters), and not 0 where a word is not of that form.
    """
    plain, above = _form(form)
    value = word ^ plain
    # Adding lifts a byte to its high bit where it is above 9, or above 0; a byte that overflows has its own high bit.
    return value, (value + above | value) & _HIGH_BITS


@cache
def _form(form: str) -> tuple[np.uint64, np.uint64]:
    """Return a form as a word, and what lifts the bytes that are too large; there are three forms."""
    above = bytes(0x76 if c == "0" else 0x7F for c in form)
    return np.uint64(int.from_bytes(form.encode(), "little")), np.uint64(int.from_bytes(above, "little"))


def eight_digits(digits: UInt64) -> UInt64:
    """Return the value of eight decimal digits per word, the first digit in the lowest byte: pairs, fours, eight."""
    pairs = digits * np.uint64(10) + (digits >> np.uint64(8))
    mask = np.uint64(0x000000FF000000FF)
    even = (pairs & mask) * np.uint64(0x000F424000000064)
    odd = ((pairs >> np.uint64(16)) & mask) * np.uint64(0x0000271000000001)
    value: UInt64 = (even + odd) >> np.uint64(32)
    return value


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
    if not len(column.data):
        return column
    first, last = column.data.take(column.start, mode="clip"), column.data.take(column.end - 1, mode="clip")
    odd = np.flatnonzero((np.minimum(first, last) <= ord(" ")) & (column.start < column.end))
    if not len(odd):
        return column
    start, end = column.start.copy(), column.end.copy()
    rows = odd
    while len(rows):
        rows = rows[_WHITE[column.data[start[rows]]]]
        start[rows] += 1
        rows = rows[start[rows] < end[rows]]
    rows = odd[start[odd] < end[odd]]
    while len(rows):
        rows = rows[_WHITE[column.data[end[rows] - 1]]]
        end[rows] -= 1
        rows = rows[start[rows] < end[rows]]
    return TextColumn(column.data, start, end, column.null)


def is_blank(stripped: TextColumn) -> Bool:
    """Whether each (stripped) value is NULL or empty."""
    blank: Bool = stripped.null | (stripped.start >= stripped.end)
    return blank


def is_email(stripped: TextColumn) -> Bool:
    r"""Whether each value is ``[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}`` (R20)."""
    valid = np.zeros(len(stripped), dtype=np.bool_)
    size = lengths(stripped)
    for first in range(0, len(stripped), _EMAIL_ROWS):
        rows = slice(first, first + _EMAIL_ROWS)
        width = 32 if int(size[rows].max()) <= 32 else _EMAIL_WINDOW
        head = heads(TextColumn(stripped.data, stripped.start[rows], stripped.end[rows], stripped.null[rows]), width)
        valid[rows] = _is_short_email(head, np.minimum(size[rows], width))
    for row in np.flatnonzero(size > _EMAIL_WINDOW).tolist():  # nobody's address, or one in many thousands
        valid[row] = _EMAIL.fullmatch(bytes(stripped.data[stripped.start[row] : stripped.end[row]])) is not None
    return valid & ~stripped.null


def _is_short_email(head: UInt8, size: Int64) -> Bool:
    """Judge values of up to 64 bytes: each is five words of bits, one bit a byte, and the pattern is arithmetic."""
    one = np.uint64(1)
    inside = np.where(size == _EMAIL_WINDOW, ~np.uint64(0), (one << size.astype(np.uint64)) - one)
    classes = _CLASSES.take(head)
    at = _bits(head == ord("@")) & inside
    before_at = at - one  # of a single bit: all below it
    after_at = inside & ~(at | before_at)
    below = _fill_down(after_at & ~_bits(classes & _LETTER))
    dot = below ^ (below >> one)  # the last byte that is no letter
    domain = after_at & (below >> one)
    valid: Bool = (
        (np.bitwise_count(at) == 1)
        & (before_at != 0)
        & (before_at & ~_bits(classes & _LOCAL) == 0)
        & (dot & _bits(head == ord(".")) != 0)
        & (domain != 0)
        & (domain & ~_bits(classes & _DOMAIN) == 0)
        & (np.bitwise_count(after_at & ~below) >= 2)
    )
    return valid


def _bits(flags: UInt8 | Bool) -> UInt64:
    """Return one word per row, bit i for column i."""
    packed = np.packbits(flags, axis=1, bitorder="little")
    return packed.view(f"<u{packed.shape[1]}")[:, 0].astype(np.uint64)


def _fill_down(bits: UInt64) -> UInt64:
    """Set every bit below the highest one."""
    for distance in (1, 2, 4, 8, 16, 32):
        bits = bits | bits >> np.uint64(distance)
    return bits


def digits(column: TextColumn, first: int, count: int) -> tuple[Int32, Bool]:
    """Return the number in ``count`` digits from a position, and whether all of them are digits."""
    value = np.zeros(len(column), dtype=np.int32)
    valid = np.ones(len(column), dtype=np.bool_)
    for position in range(first, first + count):
        byte = byte_at(column, position)
        valid &= _IS_DIGIT[byte]
        value = value * 10 + (byte.astype(np.int32) - 48)
    return value, valid


def parse_zip(column: TextColumn) -> Int32:
    """Return the five-digit ZIP as a number, -1 where unusable (R23)."""
    size = lengths(column)
    five = word_at(heads(column, 8), 0) << np.uint64(24) | np.uint64(0x303030)  # the same as eight digits
    value, odd = words_like(five, "00000000")
    usual = (odd == 0) & (size == 5) & ~column.null
    zip_code = np.where(usual, eight_digits(value).view(np.int64), -1).astype(np.int32)
    rest = np.flatnonzero(~usual & ~column.null & (size > 0))
    if len(rest):
        zip_code[rest] = _odd_zip(column.take(rest))
    return zip_code


def _odd_zip(column: TextColumn) -> Int32:
    stripped = strip(column)
    size = lengths(stripped)
    head = heads(stripped, 10)
    digit = head - np.uint8(ord("0"))
    leading = np.minimum(np.logical_and.accumulate(digit < 10, axis=1).sum(axis=1), size)  # digits at its beginning
    dashed = (head[:, 5] == ord("-")) & (digit[:, 6:] < 10).all(axis=1)
    full = (leading >= 5) & ((size == 5) | ((size == 9) & (leading == 9)) | ((size == 10) & (leading == 5) & dashed))
    zip_code = np.full(len(column), -1, dtype=np.int32)
    value = np.zeros(len(column), dtype=np.int32)
    for place, fits in enumerate((None, None, (size == 3) & (leading == 3), (size == 4) & (leading == 4), full)):
        value = value * 10 + digit[:, place]
        if fits is not None:
            zip_code[fits] = value[fits]
    return zip_code


def parse_state(column: TextColumn, state_of_pair: Int8) -> Int8:
    """Return state numbers of two-letter codes in any case (R22); ``state_of_pair`` maps 256 * first + second byte."""
    size = lengths(column)
    states = np.where((size == 2) & ~column.null, _pair_states(column, state_of_pair), np.int8(-1))
    rest = np.flatnonzero((size > 2) & ~column.null)
    if len(rest):
        stripped = strip(column.take(rest))
        states[rest] = np.where(lengths(stripped) == 2, _pair_states(stripped, state_of_pair), np.int8(-1))
    return states


def _pair_states(column: TextColumn, state_of_pair: Int8) -> Int8:
    head = heads(column, 2)
    states: Int8 = state_of_pair[_UPPER[head[:, 0]] * 256 + _UPPER[head[:, 1]]]
    return states


def equals_any(column: TextColumn, words: Sequence[str]) -> Bool:
    """Whether each value, stripped and lower-cased (ASCII), is one of ``words`` (lower-cased likewise)."""
    return match(strip(column), words) >= 0


def match(stripped: TextColumn, words: Sequence[str]) -> Int32:
    """Return the position in ``words`` of each (stripped) value, lower-cased (ASCII), -1 where it is none of them."""
    size = lengths(stripped)
    present = ~stripped.null
    found = np.full(len(stripped), -1, dtype=np.int32)
    for number, word in enumerate(words):
        wanted = _wanted(word)
        rows = ((size == len(wanted)) & present).nonzero()[0]
        if len(rows) and len(wanted):
            rows = rows[_LOWER[stripped.data[stripped.start[rows]]] == wanted[0]]  # nearly always enough
            rows = rows[(_LOWER[heads(stripped.take(rows), len(wanted))] == wanted).all(axis=1)]
        if len(rows):
            found[rows[found[rows] < 0]] = number
    return found


@lru_cache(maxsize=1024)
def _wanted(word: str) -> UInt8:
    """Return the bytes of a word, stripped and lower-cased."""
    return _LOWER[np.frombuffer(word.strip(" \t\n\v\f\r").encode("utf-8", "surrogatepass"), dtype=np.uint8)]
