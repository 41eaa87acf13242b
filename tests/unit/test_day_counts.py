"""Mails per day, as the rules ask for them and as they are planned."""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pytest

from core.planning import columns
from core.planning.calendar import day_number
from core.planning.columns import Int32
from core.planning.day_counts import DayCounts, count_days
from tests.orgs import Org


def days(*numbers: int) -> Int32:
    return np.array(numbers, dtype=np.int32)


def counted(*some: Int32) -> Mapping[int, int]:
    """Count what is not a multiple of 100."""
    return count_days([counts_of(column) for column in some])


def counts_of(column: Int32) -> DayCounts:
    return DayCounts.of(column, lambda part: column[part] % 100 != 0)


def test_days_of_all_columns_are_counted_in_order() -> None:
    counts = counted(days(20_501, 20_498, 20_501, 20_600), days(), days(20_499, 20_498, 20_400))
    assert list(counts.items()) == [(20_498, 2), (20_499, 1), (20_501, 2)]


def test_parts_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    column = np.arange(3_000, dtype=np.int32) * 11 % 7 + np.int32(20_001)
    whole = counted(column)
    monkeypatch.setattr(columns, "_PART_ROWS", 13)
    assert counted(column) == whole
    over = {0, 4, 1, 5}  # 3 000 is 7 x 428 and four more: those of 0, 11, 22 and 33
    assert whole == {20_001 + day: 429 if day in over else 428 for day in range(7)}


def test_what_is_asked_for_is_what_is_planned_on_other_days() -> None:
    """R75: three birthdays of one day; a cap of 1 carries two of the mails on (R66), but all three were asked for."""
    org = Org(min_daily_cap=1, daily_send_percentage_cap=0.01, overage_threshold=1.0, aep_enabled=False)
    for _ in range(3):
        org.contact(birth_date="1960-03-20")
    planned = org.plan("2026-02-01")
    assert planned.asked_by_day == {day_number(date(2026, 3, 6)): 3}
    assert sorted(planned.rows.send_day.tolist()) == [day_number(date(2026, 3, day)) for day in (6, 7, 8)]
