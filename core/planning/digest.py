"""Digests of sets of rows (R96): sums modulo 2^64, so that the order of rows and chunks does not matter.

Each row is hashed to 64 bits, column by column, with the finalizer of R60; the digest of a set is the sum of the hashes
and the sum of a second mix of them, written as 32 hex digits. docs/digests.md has golden values.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.planning.columns import NULL_ID, Bool, Int16, Int32, Int64, UInt64
from core.planning.hashing import mix64
from core.planning.rules import FOLLOWUP_PREFIX
from core.planning.snapshot import RowKind

_SEED = np.uint64(0x5C4ED01E)


def zero() -> UInt64:
    """Return the digest of no rows: uint64[2]; digests of parts are added up."""
    return np.zeros(2, dtype=np.uint64)


def hex_digest(sums: UInt64) -> str:
    """Return a digest as 32 hex digits."""
    return f"{int(sums[0]):016x}{int(sums[1]):016x}"


def add_rows(hashes: UInt64) -> UInt64:
    """Return the digest of rows given their hashes."""
    second = mix64(hashes ^ np.uint64(1))
    return np.array([hashes.sum(dtype=np.uint64), second.sum(dtype=np.uint64)], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class KindDigests:
    """What kinds add to the digests of their rows, by their number."""

    follows: Bool
    """Whether a kind's rows are told apart by the row they follow (R7)."""
    hashes: UInt64


def kind_digests(kinds: Sequence[RowKind]) -> KindDigests:
    """Return what kinds add to digests."""
    follows = np.array([k.email_type.startswith(FOLLOWUP_PREFIX) for k in kinds], dtype=np.bool_)
    return KindDigests(follows, np.array([_kind_hash(k) for k in kinds], dtype=np.uint64))


def schedule_rows(  # the identity and content of a row, by column
    contact_id: Int64,
    instance_id: Int64,
    parent_id: Int64,
    event_day: Int32,
    send_day: Int32,
    kind: Int32 | Int16,
    kinds: Sequence[RowKind],
) -> UInt64:
    """Return the digest of schedule rows: identity (R7) and content (R90), not row ids, run ids or times."""
    kind, kinds = used_kinds(kind, kinds)
    return rows_of_kinds(contact_id, instance_id, parent_id, event_day, send_day, kind, kind_digests(kinds))


def rows_of_kinds(  # the same
    contact_id: Int64,
    instance_id: Int64,
    parent_id: Int64,
    event_day: Int32,
    send_day: Int32,
    kind: Int32 | Int16,
    kinds: KindDigests,
) -> UInt64:
    """Return the same with kinds that were looked at before."""
    if not len(contact_id):
        return zero()
    parent = np.where(kinds.follows[kind], parent_id, NULL_ID)
    row = mix64(contact_id.view(np.uint64) ^ _SEED)
    for column in (instance_id, parent, event_day.astype(np.int64), send_day.astype(np.int64)):
        row = mix64(row ^ column.view(np.uint64)) + _SEED
    return add_rows(mix64(row ^ kinds.hashes[kind]))


def used_kinds(kind: Int32 | Int16, kinds: Sequence[RowKind]) -> tuple[Int32, Sequence[RowKind]]:
    """Leave out kinds that none of a few rows has: an org has a hundred of them."""
    if len(kind) >= len(kinds):
        return kind.astype(np.int32, copy=False), kinds
    numbers = kind.tolist()
    used = sorted(set(numbers))
    place = {number: i for i, number in enumerate(used)}
    return np.array([place[number] for number in numbers], dtype=np.int32), [kinds[number] for number in used]


@lru_cache(maxsize=4096)
def _kind_hash(kind: RowKind) -> int:
    text = json.dumps(list(kind), separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
