"""ZIP code to state (R23, section 13): a bundled table, every ZIP in exactly one state.

``data/zip_state.csv`` is derived from the package zipcodes 1.3.0 (MIT): 42 735 ZIPs of 62 state codes. It is data with a
version; a well-formed ZIP that it does not hold falls back to the state column.
"""

from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np

from core.planning.columns import Int8, Int32
from core.planning.rules import STATE_CODES, UNKNOWN_STATE

ZIP_TABLE_VERSION: Final = "zipcodes-1.3.0"


@cache
def zip_states() -> Int8:
    """Return the state number of every ZIP 0..99999, UNKNOWN_STATE where the table has none."""
    table = np.full(100_000, UNKNOWN_STATE, dtype=np.int8)
    number = {code: i for i, code in enumerate(STATE_CODES)}
    text = files(__package__).joinpath("data", "zip_state.csv").read_text(encoding="ascii")
    for line in text.split():
        zip_code, _, state = line.partition(",")
        table[int(zip_code)] = number[state]
    table.flags.writeable = False
    return table


@cache
def state_of_pair() -> Int8:
    """Return the state number of every pair of bytes (256 * first + second), UNKNOWN_STATE where it is no code (R22)."""
    table = np.full(65_536, UNKNOWN_STATE, dtype=np.int8)
    for number, code in enumerate(STATE_CODES):
        table[256 * ord(code[0]) + ord(code[1])] = number
    table.flags.writeable = False
    return table


def states_of_zips(zip_code: Int32) -> Int8:
    """Return the state number of each ZIP (-1: unusable)."""
    states: Int8 = zip_states()[np.maximum(zip_code, 0)]
    return np.where(zip_code >= 0, states, np.int8(UNKNOWN_STATE)).astype(np.int8)
