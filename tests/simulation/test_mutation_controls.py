"""A simulation that is never red proves nothing: each guard is taken out of the shipped code, and a seed must notice."""

import sys
from collections import Counter

import pytest

from tests.simulation.controls import CONTROLS, HARMLESS, Control
from tests.simulation.mutation import applied
from tests.simulation.world import simulate

SEEDS_MAX = 120
"""Within so many worlds a missing guard must be noticed."""
SEEDS_OF_HARMLESS = 15


def first_violation(control: Control) -> str | None:
    with applied(*control.edits):
        for seed in range(SEEDS_MAX):
            report = simulate(seed, control.focus)
            if report.violation is not None:
                return f"seed {seed}: {report.violation}"
    return None


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.guard)
def test_without_a_guard_a_seed_is_red(control: Control) -> None:
    found = first_violation(control)
    sys.stdout.write(f"without '{control.guard}': {found}\n")
    assert found is not None
    assert "unexpected error: NameError" not in found  # the edit took the guard away, and did not break the code


@pytest.mark.parametrize("control", HARMLESS, ids=lambda control: control.guard)
def test_what_only_saves_work_may_be_missing(control: Control) -> None:
    with applied(*control.edits):
        reports = [simulate(seed, control.focus) for seed in range(SEEDS_OF_HARMLESS)]
    assert [(report.seed, report.violation) for report in reports if report.violation] == []


def test_the_lease_saves_conflicts() -> None:
    """With nothing going wrong, machines that wait for each other do not meet at the fence; others do."""
    calm = {
        "request": 0.0,
        "rival": 0.0,
        "copy": 0.0,
        "bus": 0.0,
        "crash": 0.0,
        "crashes": 0,
        "strangers": 0,
        "vandals": 0,
    }
    conflicts: Counter[bool] = Counter()
    for lease in (True, False):
        for seed in range(SEEDS_OF_HARMLESS):
            report = simulate(seed, {**calm, "lease": lease, "lease_seconds": 60, "spread_seconds": 0.0})
            assert report.violation is None
            conflicts[lease] += report.hit["journal fence_conflict"]
    assert conflicts[True] * 5 < conflicts[False]  # one that is slow loses its lease all the same
    assert conflicts[False] > 10
