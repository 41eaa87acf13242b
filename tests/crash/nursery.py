"""The tests' end of ``worker``: one warmed process per test process, one case at a time."""

import os
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from tests.crash.cases import Case, Ended
from tests.crash.worker import CASE_SECONDS_MAX

REPOSITORY: Final = Path(__file__).resolve().parents[2]


class Nursery:
    """Starts the warmed process; ``run`` has it fork a child for a case and waits for the end of the child."""

    def __init__(self, log_file: Path) -> None:
        self.log_file = log_file
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.worker"],
                cwd=REPOSITORY,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def run(self, case: Case) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(case) + b"\n")
        self._process.stdin.flush()
        readable, _, _ = select.select([self._process.stdout], [], [], CASE_SECONDS_MAX + 10)
        line = self._process.stdout.readline() if readable else b""
        assert line, f"the nursery is gone:\n{self.log()}"
        return msgspec.json.decode(line, type=Ended)

    def log(self) -> str:
        """The end of what the children wrote on stderr."""
        return self.log_file.read_text()[-4000:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait(10)
