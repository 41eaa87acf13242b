"""The hash that spreads mail over days (R60): integers only, the same everywhere."""

from typing import Final

import numpy as np

from core.planning.columns import Int32, Int64, UInt64
from core.planning.text import mix64

SMOOTHING: Final = 1
CATCH_UP: Final = 2

_CONTACT_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_KEY_STEP: Final = np.uint64(0xD1B54A32D192ED03)
_YEAR_MASK: Final = (1 << 48) - 1


def spread_hash(contact_id: Int64, purpose: int, type_code: int, year: Int32) -> UInt64:
    """Return H(contact, purpose, type, k) of R60 with k = year of the event; all arithmetic modulo 2^64."""
    prefix = np.uint64((purpose << 56) | (type_code << 48))
    key = prefix | (year.astype(np.int64) & _YEAR_MASK).astype(np.uint64)
    return mix64(contact_id.view(np.uint64) * _CONTACT_STEP + key * _KEY_STEP)
