"""Contacts, judged: who can be written to, in which state, with which dates, and what is wrong with them (R20-R24)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from core.planning.columns import NO_DAY, Bool, Int8, Int32, Int64, TextColumn, UInt8, UInt64
from core.planning.config import Config
from core.planning.geography import state_of_pair, states_of_zips
from core.planning.growing import Growing
from core.planning.hashing import mix64
from core.planning.reasons import CONTACT_ISSUES
from core.planning.rules import UNKNOWN_STATE
from core.planning.snapshot import ContactChunk
from core.planning.text import equals_any, is_blank, is_email, match, parse_state, parse_zip, strip
from core.planning.text_dates import parse_dates
from core.planning.text_hash import hash_columns

NO_CARRIER: Final = -2
"""Carrier number of a contact without one."""
OTHER_CARRIER: Final = -1
"""Carrier number of a contact whose carrier no campaign asks for."""


@dataclass(frozen=True, slots=True)
class Contacts:
    """All contacts of an org as columns, by ascending contact_id; a contact's row number is its index everywhere."""

    contact_id: Int64
    state: Int8
    """State number, UNKNOWN_STATE (-1) where unknown (R23)."""
    birth_day: Int32
    """Day number, NO_DAY where absent or bad (R21)."""
    effective_day: Int32
    schedulable: Bool
    """R24: only these get rows, and only these are counted in N."""
    failed_underwriting: Bool
    carrier: Int32
    """Position in the list of carriers that campaigns ask for, OTHER_CARRIER or NO_CARRIER."""
    issues: UInt8
    """Bit i set: issue i of CONTACT_ISSUES."""

    def __len__(self) -> int:
        return len(self.contact_id)

    def take(self, rows: Int64) -> "Contacts":
        """Return some contacts, in the order given."""
        return Contacts(*(getattr(self, f.name)[rows] for f in fields(self)))

    def index_of(self, contact_id: Int64) -> Int64:
        """Return the row numbers of contact ids, -1 for ids that are no contact."""
        if not len(self.contact_id):
            return np.full(len(contact_id), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.contact_id, contact_id), len(self.contact_id) - 1)
        return np.where(self.contact_id[place] == contact_id, place, -1)


def classify(chunk: ContactChunk, config: Config, today: int, carriers: Sequence[str]) -> Contacts:
    """Judge one chunk of raw contacts; ``carriers`` are the names (any case) that campaigns ask for."""
    email = strip(chunk.email)
    missing_email = is_blank(email)
    valid_email = is_email(email) & ~missing_email
    birth_day, bad_birth = parse_dates(chunk.birth_date)
    unborn = birth_day > today
    birth_day = np.where(unborn, NO_DAY, birth_day).astype(np.int32)
    effective_day, bad_effective = parse_dates(chunk.effective_date)
    zip_state = states_of_zips(parse_zip(chunk.zip_code))
    column_state = parse_state(chunk.state, state_of_pair())
    state = np.where(zip_state != UNKNOWN_STATE, zip_state, column_state).astype(np.int8)
    mismatch = (zip_state != UNKNOWN_STATE) & (column_state != UNKNOWN_STATE) & (zip_state != column_state)
    suppressed = equals_any(chunk.status, config.suppressed_contact_statuses)
    found = (
        missing_email,
        ~valid_email & ~missing_email,
        bad_birth | unborn,
        bad_effective,
        mismatch,
        suppressed,
        state == UNKNOWN_STATE,
    )
    return Contacts(
        contact_id=chunk.contact_id,
        state=state,
        birth_day=birth_day,
        effective_day=effective_day,
        schedulable=valid_email & ~suppressed,
        failed_underwriting=chunk.failed_underwriting,
        carrier=_carrier_numbers(chunk.carrier, carriers),
        issues=_mask(found),
    )


def _mask(found: Sequence[Bool]) -> UInt8:
    mask = np.zeros(len(found[0]), dtype=np.uint8)
    for bit, (_, flag) in enumerate(zip(CONTACT_ISSUES, found, strict=True)):
        mask |= flag.astype(np.uint8) << np.uint8(bit)
    return mask


def _carrier_numbers(carrier: TextColumn, carriers: Sequence[str]) -> Int32:
    stripped = strip(carrier)
    numbers = match(stripped, carriers)  # OTHER_CARRIER where it is none of them
    numbers[is_blank(stripped)] = NO_CARRIER
    return numbers


def gather(parts: Iterable[Contacts]) -> Contacts:
    """Join judged chunks into one table by ascending contact_id, whatever order they came in (R98)."""
    empty = _empty()
    columns = [Growing(getattr(empty, f.name)) for f in fields(Contacts)]
    for chunk in parts:
        for f, column in zip(fields(Contacts), columns, strict=True):
            column.add(getattr(chunk, f.name))
    joined = Contacts(*(column.column() for column in columns))
    if bool(np.all(joined.contact_id[1:] > joined.contact_id[:-1])):
        return joined
    return joined.take(np.argsort(joined.contact_id, kind="stable"))


def _empty() -> Contacts:
    no_days = np.zeros(0, dtype=np.int32)
    no_flags = np.zeros(0, dtype=np.bool_)
    return Contacts(
        np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int8), no_days, no_days, no_flags, no_flags, no_days,
        np.zeros(0, dtype=np.uint8),
    )  # fmt: skip


def contacts_digest(chunk: ContactChunk) -> UInt64:
    """Return two sums (uint64[2], modulo 2^64) over the planning columns; add them up over chunks (R96)."""
    row = mix64(chunk.contact_id.view(np.uint64) ^ np.uint64(0xC0117AC7))
    texts = (
        chunk.email, chunk.status, chunk.zip_code, chunk.state, chunk.birth_date, chunk.effective_date, chunk.carrier,
    )  # fmt: skip
    for hashes in hash_columns(texts):
        row = mix64(row ^ hashes)
    row = mix64(row ^ chunk.failed_underwriting.astype(np.uint64))
    return np.array([row.sum(dtype=np.uint64), mix64(row ^ np.uint64(1)).sum(dtype=np.uint64)], dtype=np.uint64)
