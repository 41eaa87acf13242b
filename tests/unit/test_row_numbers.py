"""Distinct rows are numbered exactly, whatever their digests and buckets are."""

from random import Random

import numpy as np
import pytest

from infra import row_numbers
from infra.row_numbers import RowNumbers


@pytest.mark.parametrize("bucket_bits", [1, 3, 16])
@pytest.mark.parametrize("weight", [None, 0])
def test_equal_rows_have_one_number_for_good(
    monkeypatch: pytest.MonkeyPatch, bucket_bits: int, weight: int | None
) -> None:
    """Few buckets are shared by many rows, and with a weight of 0 all rows have one digest."""
    monkeypatch.setattr(row_numbers, "_FEW_BUCKETS_BITS", bucket_bits)
    monkeypatch.setattr(row_numbers, "_BUCKETS_BITS", bucket_bits)
    if weight is not None:
        monkeypatch.setattr(row_numbers, "_MULTIPLIERS", np.full(8, weight, dtype=np.uint64))
    random, numbers, seen = Random(1), RowNumbers(), dict[tuple[int, ...], int]()
    for width in (1, 1, 2, 3, 3, 1, 2, 3):
        rows = [tuple(random.choice([0, 1, 2**63]) for _ in range(width)) for _ in range(random.randrange(1, 40))]
        found, examples = numbers.number(np.array(rows, dtype=np.uint64))
        for example in examples:
            seen[(*rows[example], 0, 0)[:3]] = len(seen)
        assert [seen[(*row, 0, 0)[:3]] for row in rows] == found.tolist()
        assert len(seen) == numbers.count


def test_more_rows_than_there_is_room_for_at_first() -> None:
    numbers = RowNumbers()
    rows = np.arange(2000, dtype=np.uint64)[:, np.newaxis]
    found, examples = numbers.number(rows)
    assert sorted(found.tolist()) == sorted(examples) == list(range(2000))
    again, none = numbers.number(rows)
    assert again.tolist() == found.tolist()
    assert none == []
