"""The geometry of the report's picture: a stacked bar per day and type for a year, and the daily cap as a line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

DAYS: Final = 365
SERIES_MAX: Final = 8
"""Colours that can still be told apart; further types are one series, ``other types``."""
OTHER: Final = "other types"

WIDTH, HEIGHT = 1180, 340
"""Units of the picture's own; it is scaled to the page."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 16, 30
_BAR_SHARE: Final = 0.82
_TICKS: Final = 4
_CAP_SHOWN_UP_TO: Final = 2.0
"""A cap above this many times the fullest day would leave the bars flat: it is named instead of drawn."""

Volume = Mapping[date, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Series:
    """One type: its total, its colour's number, and all its bars as one path."""

    name: str
    rows: int
    colour: int
    path: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Day:
    """One day: where it is in the picture, and what is told of it."""

    x: float
    day: date
    total: int
    by_series: tuple[int, ...]
    is_over_cap: bool
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that the template draws."""

    series: tuple[Series, ...]
    days: tuple[Day, ...]
    ticks: tuple[Tick, ...]
    months: tuple[Tick, ...]
    cap_y: float | None
    """None: no cap, or one far above every day."""
    bar_width: float
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def draw(volume: Volume, first: date, cap: int | None, over_cap: Sequence[date]) -> Chart:
    """Lay out the days from ``first`` on; mails on other days are not in the picture."""
    days = [first + timedelta(days=offset) for offset in range(DAYS)]
    names, members = _series_names(volume, days)
    counts = [_count(volume.get(day, {}), members, len(names)) for day in days]
    totals = [sum(count) for count in counts]
    top = axis_top(max(totals, default=0), cap)
    step = (WIDTH - _LEFT - _RIGHT) / DAYS
    height = HEIGHT - _TOP - _BOTTOM
    marked = frozenset(over_cap)
    return Chart(
        series=tuple(
            Series(name, sum(count[number] for count in counts), number, _path(counts, number, step, height / top))
            for number, name in enumerate(names)
        ),
        days=tuple(
            Day(round(_LEFT + place * step, 2), day, total, count, day in marked, _sentence(day, names, count))
            for place, (day, count, total) in enumerate(zip(days, counts, totals, strict=True))
        ),
        ticks=tuple(
            Tick(round(HEIGHT - _BOTTOM - height * part / _TICKS, 2), f"{top * part // _TICKS}")
            for part in range(_TICKS + 1)
        ),
        months=tuple(
            Tick(round(_LEFT + place * step, 2), f"{day:%b %y}" if day.month == 1 or not place else f"{day:%b}")
            for place, day in enumerate(days)
            if day.day == 1
        ),
        cap_y=None if cap is None or cap > top else round(HEIGHT - _BOTTOM - height * cap / top, 2),
        bar_width=round(step, 3),
    )


def _series_names(volume: Volume, days: Sequence[date]) -> tuple[list[str], dict[str, int]]:
    """Return the series, most mails first, and the series of each type."""
    sums: dict[str, int] = {}
    for day in days:
        for name, rows in volume.get(day, {}).items():
            sums[name] = sums.get(name, 0) + rows
    ranked = sorted(sums, key=lambda name: (-sums[name], name))
    names = ranked if len(ranked) <= SERIES_MAX else [*ranked[: SERIES_MAX - 1], OTHER]
    return names, {name: min(place, len(names) - 1) for place, name in enumerate(ranked)}


def _count(types: Mapping[str, int], members: Mapping[str, int], series: int) -> tuple[int, ...]:
    out = [0] * series
    for name, rows in types.items():
        out[members[name]] += rows
    return tuple(out)


def axis_top(fullest: int, cap: int | None) -> int:
    """Return the end of the axis: a round number above the fullest day, and above the cap where that is near."""
    wanted = max(fullest, 1)
    if cap is not None and cap <= wanted * _CAP_SHOWN_UP_TO:
        wanted = max(wanted, cap)
    magnitude = 1
    while True:
        for factor in (4, 8, 12, 20, 32):
            if wanted * 1.02 <= factor * magnitude:
                return int(factor * magnitude)
        magnitude *= 10


def _path(counts: Sequence[tuple[int, ...]], number: int, step: float, height_per_mail: float) -> str:
    """Return the bars of one series, each on top of those before it; one path is a tenth of the bytes of rectangles."""
    bars: list[str] = []
    for place, count in enumerate(counts):
        if count[number]:
            x = _LEFT + (place + (1 - _BAR_SHARE) / 2) * step
            y = HEIGHT - _BOTTOM - sum(count[: number + 1]) * height_per_mail
            width, height = step * _BAR_SHARE, count[number] * height_per_mail
            bars.append(f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z")
    return "".join(bars)


def _sentence(day: date, names: Sequence[str], count: Sequence[int]) -> str:
    parts = [f"{name} {rows}" for name, rows in zip(names, count, strict=True) if rows]
    return f"{day:%a} {day}: {sum(count)}" + (f" ({', '.join(parts)})" if parts else "")
