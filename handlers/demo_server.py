"""The demo's server: the real one, as a process of its own, in an environment that knows nothing of this machine's."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from handlers.cli_errors import CommandError
from infra.settings import SETTINGS

READY_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 30.0
ANSWER_SECONDS_MAX: Final = 120.0
_POLL_SECONDS: Final = 0.05
_LOG_LINES_SHOWN: Final = 15
_HOST: Final = "127.0.0.1"
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the environment must not see, or answer, what is meant for loopback."""


class DemoServer:
    """A running server; its log is in ``log_file``."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log_file: Path) -> None:
        self._process = process
        self.url = f"http://{_HOST}:{port}"
        self.log_file = log_file

    def wait_ready(self) -> float:
        """Wait until ``/readyz`` says so and return the seconds it took; raises CommandError."""
        started = time.monotonic()
        while time.monotonic() - started < READY_SECONDS_MAX:
            if self._process.poll() is not None:
                raise self._failed(f"the server ended with {self._process.returncode} before it was ready")
            try:
                if self._status(urllib.request.Request(f"{self.url}/readyz"), 2.0) == 200:  # noqa: S310, PLR2004
                    return time.monotonic() - started
            except OSError:
                pass  # nobody listens yet
            time.sleep(_POLL_SECONDS)
        raise self._failed(f"the server was not ready within {READY_SECONDS_MAX:g} s")

    def post(self, headers: Mapping[str, str], body: bytes) -> int:
        """Push one message and return the status; raises CommandError where nobody answers."""
        request = urllib.request.Request(self.url, data=body, headers=dict(headers), method="POST")  # noqa: S310
        try:
            return self._status(request, ANSWER_SECONDS_MAX)
        except OSError as error:
            raise self._failed(f"no answer to a message: {type(error).__name__}") from error

    def stop(self) -> int:
        """Ask the server to drain and end (SIGTERM) and return its exit code; raises CommandError."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise self._failed(f"the server did not end within {STOP_SECONDS_MAX:g} s of SIGTERM") from error

    def _status(self, request: urllib.request.Request, timeout_seconds: float) -> int:
        try:
            with _DIRECT.open(request, timeout=timeout_seconds) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def _failed(self, detail: str) -> CommandError:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        return CommandError("demo_failed", detail, "\n         ".join(["the log of the server ends with:", *lines]))


@contextmanager
def demo_server(data_dir: Path, log_file: Path) -> Iterator[DemoServer]:
    """Run ``emailsched serve`` on a free port inside the block; whatever happens, nothing is left running."""
    port = _free_port()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "handlers.cli", "serve"],
            env=_environment(data_dir, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C at the demo's terminal is the demo's: it stops the server in order
        )
        try:
            yield DemoServer(process, port, log_file)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _environment(data_dir: Path, port: int) -> dict[str, str]:
    """Leave out every setting of this machine: a demo never touches a real bucket."""
    ours = {setting.name for setting in SETTINGS}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    return {
        **inherited,
        "PYTHONPATH": path,
        "HOST": _HOST,
        "PORT": str(port),
        "METRICS_PORT": "0",
        "DATA_DIR": str(data_dir),
    }


def _free_port() -> int:
    """Return a port that was free a moment ago; the server says so if somebody was faster."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
