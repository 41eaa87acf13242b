"""The hash that spreads mail over days (R60): integers only, the same everywhere; and the mixer that digests use."""

from typing import Final

import numpy as np

from core.planning.columns import Int32, Int64, UInt64

SMOOTHING: Final = 1
CATCH_UP: Final = 2

_CONTACT_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_KEY_STEP: Final = np.uint64(0xD1B54A32D192ED03)
_YEAR_MASK: Final = (1 << 48) - 1
_FIRST_SHIFT, _SECOND_SHIFT, _LAST_SHIFT = np.uint64(30), np.uint64(27), np.uint64(31)
_FIRST_FACTOR, _SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def spread_hash(contact_id: Int64, purpose: int, type_code: int, year: Int32) -> UInt64:
    """Return H(contact, purpose, type, k) of R60 with k = year of the event; all arithmetic modulo 2^64."""
    prefix = np.uint64((purpose << 56) | (type_code << 48))
    key = prefix | (year.astype(np.int64) & _YEAR_MASK).astype(np.uint64)
    return mix64(contact_id.view(np.uint64) * _CONTACT_STEP + key * _KEY_STEP)


def mix64(z: UInt64) -> UInt64:
    """Return the finalizer of R60: a bijection of 64-bit integers that spreads every bit."""
    shifted = z >> _FIRST_SHIFT
    mixed = z ^ shifted
    mixed *= _FIRST_FACTOR
    np.right_shift(mixed, _SECOND_SHIFT, out=shifted)
    mixed ^= shifted
    mixed *= _SECOND_FACTOR
    np.right_shift(mixed, _LAST_SHIFT, out=shifted)
    mixed ^= shifted
    return mixed
