"""Who runs which test where several workers share them: the tests of a file stay together, and long files come first."""

from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

ONE_BY_ONE: Final = (
    "tests/crash/",
    "tests/properties/",
    "tests/simulation/test_mutation",
    "tests/simulation/test_sync",
)
"""Where environment variables say how much is tried: any worker takes any test."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no annotations
    """Gives a worker a file at a time: what a module starts once (an emulator, a year) is not started by every worker.

    In the order of collection: acceptance, which waits most, is first, and the many small files of ``unit`` fill up the end.
    """

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(ONE_BY_ONE) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Take the place of the schedulers of ``--dist``."""
    return ByFile(config, log)
