"""Two more pictures of the same days: a calendar coloured by how full each day is, and asked for against planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from handlers.report_chart import HEIGHT, WIDTH, Day, Tick, axis_top

LEVELS: Final = (0.05, 0.15, 0.35, 0.65, 1.0)
"""Shares of the cap up to which a colour goes; most days are far below it, so the steps widen."""
OVER: Final = len(LEVELS) + 1
"""The level of a day above the cap; 0 is a day without mail."""

CELL: Final = 20
"""Units from one cell to the next."""
_GAP: Final = 3
_LEFT, _TOP = 46, 22
_WEEKDAYS: Final = ("Mon", "Wed", "Fri")
_PLOT_LEFT, _PLOT_RIGHT, _PLOT_TOP, _PLOT_BOTTOM = 56, 10, 16, 30


@dataclass(frozen=True, slots=True)
class Cell:
    """One day of the calendar."""

    x: float
    y: float
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Weeks from left to right, Mondays on top."""

    cells: tuple[Cell, ...]
    months: tuple[Tick, ...]
    weekdays: tuple[Tick, ...]
    width: int
    height: int
    side: int = CELL - _GAP


def heat_map(days: Sequence[Day], cap: int | None, asked: Mapping[date, int]) -> HeatMap:
    """Lay the days out as a calendar; without a cap the fullest day is the measure."""
    full = cap or max((day.total for day in days), default=0) or 1
    first_column = days[0].day - timedelta(days=days[0].day.weekday())
    cells: list[Cell] = []
    months: list[Tick] = []
    for day in days:
        column = (day.day - first_column).days // 7
        x, y = _LEFT + column * CELL, _TOP + day.day.weekday() * CELL
        level = OVER if day.is_over_cap else level_of(day.total, full)
        cells.append(Cell(x, y, level, f"{day.text}; the rules ask for {asked.get(day.day, 0)}"))
        if day.day.day == 1:
            months.append(Tick(x, f"{day.day:%b}"))
    weeks = (days[-1].day - first_column).days // 7 + 1
    labels = tuple(Tick(_TOP + 2 * place * CELL + CELL - 2 * _GAP, name) for place, name in enumerate(_WEEKDAYS))
    return HeatMap(tuple(cells), tuple(months), labels, _LEFT + weeks * CELL, _TOP + 7 * CELL)


def level_of(total: int, full: int) -> int:
    """Return the colour of a day: 0 without mail, then by share of the cap; a little above it is still the last one."""
    if not total:
        return 0
    share = total / full
    return next((level for level, limit in enumerate(LEVELS, start=1) if share <= limit), len(LEVELS))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Mails per day as planned (an area) and as the rules ask for them (a line), on one scale."""

    planned: str
    asked: str
    ticks: tuple[Tick, ...]
    fullest_asked: int
    fullest_planned: int
    earlier: int
    """Mails that were asked for before the first day: late by now, so planned on later days."""
    moved: int
    """Mails that are planned on another day than they were asked for, at least: days are compared, not mails."""
    left: int = _PLOT_LEFT
    right: int = WIDTH - _PLOT_RIGHT
    bottom: int = HEIGHT - _PLOT_BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def compare(days: Sequence[Day], asked: Mapping[date, int]) -> Comparison:
    """Draw both volumes of the days; what is asked for beyond them is not in the picture."""
    wanted = [asked.get(day.day, 0) for day in days]
    totals = [day.total for day in days]
    top = axis_top(max((*wanted, *totals), default=0), None)
    per_mail = (HEIGHT - _PLOT_TOP - _PLOT_BOTTOM) / top
    return Comparison(
        planned=_steps(totals, per_mail) + "Z",
        asked=_steps(wanted, per_mail),
        ticks=tuple(
            Tick(round(HEIGHT - _PLOT_BOTTOM - top * per_mail * part / 4, 2), f"{top * part // 4}") for part in range(5)
        ),
        fullest_asked=max(wanted, default=0),
        fullest_planned=max(totals, default=0),
        earlier=sum(mails for day, mails in asked.items() if day < days[0].day),
        moved=sum(max(0, total - want) for total, want in zip(totals, wanted, strict=True)),
    )


def _steps(values: Sequence[int], per_mail: float) -> str:
    """Return a stairway with one step per day; equal neighbours are one step."""
    step = (WIDTH - _PLOT_LEFT - _PLOT_RIGHT) / len(values)
    bottom = HEIGHT - _PLOT_BOTTOM
    path = [f"M{_PLOT_LEFT} {bottom}"]
    before = 0
    for place, value in enumerate(values):
        if value != before:
            path.append(f"H{_PLOT_LEFT + place * step:.1f}V{bottom - value * per_mail:.1f}")
            before = value
    path.append(f"H{WIDTH - _PLOT_RIGHT}V{bottom}")
    return "".join(path)
