"""What planning costs: the figures that ``make bench`` measured and checked in, their ratios, and the README's table.

Seconds depend on the machine and on what else it does. Ratios of what one machine measured at one time do not, nor do pages
and bytes: those are what a later measurement is compared with.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

FIGURES: Final = Path(__file__).parents[1] / "benchmarks" / "planning.json"

RUNS: Final = ("first", "same day", "next day", "sender", "AEP day")
"""``sender``: not a run, but what a sender changes who marks the mail of a day sent."""
PEERS: Final = ((25_000, "first", 12.8, 15.0), (100_000, "first", 3.2, 2.0), (100_000, "next day", 17.3, 15.0))
"""CPU seconds that planners this one stands beside took for so many contacts under simpler rules, and the least by which
it is to be faster: one written in Python, then one written in OCaml, whose second run is quadratic."""

_CPU, _PAGES, _MEMORY = 1.35, 1.15, 1.15
"""By how much a ratio may be worse than the one checked in."""
_GROWTH_FROM_CONTACTS: Final = 25_000
_BARS: Final[Mapping[str, float]] = {
    "pages changed, same day, %": 0.0,
    "pages changed, next day, %": 2.0,
    "pages changed, sender, %": 1.0,
}
_BARS_FROM_CONTACTS: Final = 1_000_000
"""Shares of pages are asked for where there are many: in a small file one page is much."""
_LARGEST: Final = 3_000_000
_LARGEST_SECONDS: Final[Mapping[str, float]] = {"first": 60.0, "same day": 15.0, "next day": 20.0, "AEP day": 60.0}
_LARGEST_PEAK_MB: Final = 1_024.0
_WARM_BAR_MS: Final = 10.0


class Run(msgspec.Struct, frozen=True):
    """One run of one size."""

    cpu_seconds: float
    peak_mb: float
    rows_changed: int
    pages_changed: int
    pages: int
    bytes_changed: int


class Size(msgspec.Struct, frozen=True):
    """All runs of one size."""

    contacts: int
    rows: int
    """Of email_schedules after the first run."""
    warm_ms: float
    """CPU of one next-day run in a living process, from snapshot to commit: the median of many. 0: not measured."""
    runs: dict[str, Run]


class Figures(msgspec.Struct, frozen=True):
    """What was measured, and on what."""

    machine: str
    sizes: tuple[Size, ...]


class Ratio(NamedTuple):
    """One number that another machine should find again."""

    name: str
    value: float
    allowance: float
    """By what factor it may be worse than the one checked in."""
    bar: float | None
    """What it must not exceed in any case."""


def checked_in() -> Figures:
    """Return the figures of the repository; no sizes where there are none yet."""
    if not FIGURES.exists():
        return Figures("", ())
    return msgspec.json.decode(FIGURES.read_bytes(), type=Figures)


def store(figures: Figures) -> None:
    """Write the figures of the repository."""
    FIGURES.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")


def ratios(figures: Figures) -> Iterator[Ratio]:
    """Yield the ratios of some figures; smaller is better."""
    for size in figures.sizes:
        yield from _of_size(size)
    for small, large in pairwise(s for s in figures.sizes if s.contacts >= _GROWTH_FROM_CONTACTS):
        exponent = math.log(3) / math.log(large.contacts / small.contacts)
        for name in small.runs.keys() & large.runs.keys() - {"sender"}:
            growth = (large.runs[name].cpu_seconds / small.runs[name].cpu_seconds) ** exponent
            yield Ratio(
                f"{small.contacts} to {large.contacts}: CPU of {name} for three times as many", growth, _CPU, 4.0
            )


def _of_size(size: Size) -> Iterator[Ratio]:
    first = size.runs["first"]
    large = size.contacts >= _BARS_FROM_CONTACTS
    for name, run in size.runs.items():
        if name in {"same day", "next day"}:
            yield Ratio(f"{size.contacts}: CPU of {name} / first", run.cpu_seconds / first.cpu_seconds, _CPU, None)
        if name in {"same day", "next day", "sender"}:
            share, label = 100 * run.pages_changed / run.pages, f"pages changed, {name}, %"
            bar = _BARS[label] if large or name == "same day" else None
            yield Ratio(f"{size.contacts}: {label}", share, _PAGES, bar)
        if name != "sender" and size.contacts >= _GROWTH_FROM_CONTACTS:
            bar = _LARGEST_PEAK_MB * 2**20 / _LARGEST if size.contacts == _LARGEST else None
            yield Ratio(
                f"{size.contacts}: peak bytes a contact, {name}", run.peak_mb * 2**20 / size.contacts, _MEMORY, bar
            )


def bars(figures: Figures) -> Iterator[Ratio]:
    """Yield the seconds and memory that are asked for in absolute terms; the machine matters."""
    for size in figures.sizes:
        if size.warm_ms:
            yield Ratio(f"{size.contacts}: CPU ms of a warm run", size.warm_ms, math.inf, _WARM_BAR_MS)
        for contacts, name, seconds, times in PEERS:
            if size.contacts == contacts and name in size.runs:
                label = f"{contacts}: CPU s of {name}, {times:g} times faster than {seconds:g}"
                yield Ratio(label, size.runs[name].cpu_seconds, math.inf, seconds / times)
        for name, seconds in _LARGEST_SECONDS.items():
            if size.contacts == _LARGEST and name in size.runs:
                yield Ratio(f"{size.contacts}: CPU s of {name}", size.runs[name].cpu_seconds, math.inf, seconds)


def performance() -> str:
    """Return the README's table."""
    figures = checked_in()
    lines = [
        f"CPU seconds of one run, {figures.machine}, all rules on; other work on the machine makes them more.",
        "",
        "| contacts | rows | first run | same day | next day | AEP day | peak | pages changed: same day, next day, sender |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(size) for size in figures.sizes]
    warm = [f"{size.warm_ms:.0f} ms of CPU for {size.contacts:,}" for size in figures.sizes if size.warm_ms]
    if warm:
        lines += ["", f"A warm run in a living process, from snapshot to commit: {', '.join(warm)} contacts."]
    return "\n".join(lines) + "\n"


def _line(size: Size) -> str:
    seconds = [f"{size.runs[n].cpu_seconds:.2f} s" if n in size.runs else "-" for n in RUNS if n != "sender"]
    peak = max(run.peak_mb for run in size.runs.values())
    pages = [_share(size.runs[n]) for n in ("same day", "next day", "sender") if n in size.runs]
    return f"| {size.contacts:,} | {size.rows:,} | {' | '.join(seconds)} | {peak:.0f} MB | {', '.join(pages)} |"


def _share(run: Run) -> str:
    if not run.pages_changed:
        return "0"
    return f"{100 * run.pages_changed / run.pages:.1f} % ({run.bytes_changed / 2**20:.1f} MB)"
