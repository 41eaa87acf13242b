"""The clock knows IANA names and touches no path for anything else."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from infra.clock import SystemClock
from tests.clocks import FixedClock

if TYPE_CHECKING:
    from core.runs.ports import Clock


def test_both_clocks_satisfy_the_port() -> None:
    clocks: list[Clock] = [SystemClock(), FixedClock()]
    assert all(clock.is_timezone("UTC") for clock in clocks)


@pytest.mark.parametrize("name", ["America/Chicago", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"])
def test_iana_names_are_known(name: str) -> None:
    assert SystemClock().is_timezone(name)


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Base", "America", "../../etc/passwd", "/etc/localtime", "America/../UTC", "localtime", "right/UTC",
     "America/Chicago\n", "america/chicago\0", "A" * 10_000, "Zone.tab", "America/Chicago/x/y"],
)  # fmt: skip
def test_anything_else_is_not(name: str) -> None:
    assert not SystemClock().is_timezone(name)


def test_local_time_is_naive_and_follows_daylight_saving() -> None:
    clock = FixedClock(datetime(2025, 7, 1, 3, 0, tzinfo=UTC))
    assert clock.local_now("America/Chicago") == datetime(2025, 6, 30, 22, 0)  # noqa: DTZ001
    winter = FixedClock(datetime(2025, 1, 1, 3, 0, tzinfo=UTC))
    assert winter.local_now("America/Chicago") == datetime(2024, 12, 31, 21, 0)  # noqa: DTZ001


def test_an_unknown_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="IANA"):
        SystemClock().local_now("Mars/Base")


def test_the_system_clock_is_utc_and_moves() -> None:
    clock = SystemClock()
    before, start = clock.now_utc(), clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - start >= 0.01
    assert clock.now_utc().utcoffset() == timedelta(0)
    assert clock.now_utc() > before


def test_the_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock()
    before, start = clock.now_utc(), clock.monotonic()
    clock.sleep(30)
    assert (clock.now_utc() - before, clock.monotonic() - start) == (timedelta(seconds=30), 30)
    assert clock.slept == [30]
