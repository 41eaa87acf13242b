"""The figures that are checked in: their ratios are what they are called, and the program's verdict on them."""

from dataclasses import dataclass, field

import pytest

from benchmarks.bench_plan import judged
from handlers import docs_performance
from handlers.docs_performance import Figures, Run, Size, bars, checked_in, performance, ratios


@dataclass
class Org:
    contacts: int
    seconds: dict[str, float] = field(default_factory=dict)
    pages_changed: int = 20
    peak_mb: float = 100.0

    def size(self) -> Size:
        seconds = {"first": 9.0, "same day": 3.0, "next day": 4.5, **self.seconds}
        changed = {"first": 1_000, "same day": 0}
        runs = {
            name: Run(cpu, self.peak_mb, 1, changed.get(name, self.pages_changed), 1_000, 4_096 * self.pages_changed)
            for name, cpu in seconds.items()
        }
        return Size(self.contacts, 4 * self.contacts, 8.0 if self.contacts < 1_000 else 0.0, runs)


def figures(*orgs: Org) -> Figures:
    return Figures("2 cores", tuple(org.size() for org in orgs))


def values(found: Figures) -> dict[str, float]:
    return {ratio.name: ratio.value for ratio in ratios(found)}


def test_the_ratios_of_a_size() -> None:
    found = values(figures(Org(1_000_000, peak_mb=500.0)))
    assert found["1000000: CPU of same day / first"] == pytest.approx(1 / 3)
    assert found["1000000: CPU of next day / first"] == pytest.approx(0.5)
    assert found["1000000: pages changed, next day, %"] == pytest.approx(2.0)
    assert found["1000000: peak bytes a contact, first"] == pytest.approx(500 * 2**20 / 1_000_000)


def test_growth_is_told_for_three_times_as_many_contacts() -> None:
    found = values(figures(Org(100_000, {"first": 1.0}), Org(900_000, {"first": 9.0})))
    assert found["100000 to 900000: CPU of first for three times as many"] == pytest.approx(3.0)


def test_what_equals_the_figures_checked_in_passes(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(Org(25_000, {"first": 0.5}), Org(100_000, {"first": 1.5, "next day": 1.0}))
    assert judged(found, found)
    assert "WORSE" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("worse", "verdict"),
    [
        (Org(300_000, {"next day": 7.0}), "WORSE"),
        (Org(300_000, peak_mb=120.0), "WORSE"),
        (Org(300_000, pages_changed=24), "WORSE"),
        (Org(1_000_000, pages_changed=24), "OVER THE BAR"),
        (Org(3_000_000, {"first": 61.0}), "OVER THE BAR"),
        (Org(3_000_000, peak_mb=1_030.0), "OVER THE BAR"),
    ],
)
def test_what_is_worse_than_it_may_be_is_named(worse: Org, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = figures(Org(worse.contacts, pages_changed=min(20, worse.pages_changed)))
    assert not judged(figures(worse), known)
    assert verdict in capsys.readouterr().out


def test_a_warm_run_and_the_peers_have_bars() -> None:
    found = {ratio.name: ratio.bar for ratio in bars(figures(Org(663), Org(25_000), Org(100_000)))}
    assert found["663: CPU ms of a warm run"] == 10.0
    assert found["25000: CPU s of first, 15 times faster than 12.8"] == pytest.approx(12.8 / 15)
    assert found["100000: CPU s of next day, 15 times faster than 17.3"] == pytest.approx(17.3 / 15)


def test_the_readme_has_a_line_per_size_checked_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs_performance, "checked_in", lambda: figures(Org(663), Org(1_000_000)))
    table = performance()
    assert "| 1,000,000 | 4,000,000 | 9.00 s | 3.00 s | 4.50 s | - | 100 MB | 0, 2.0 % (0.1 MB) |" in table
    assert "8 ms of CPU for 663" in table


def test_the_figures_of_the_repository_can_be_read() -> None:
    assert checked_in().sizes
