"""Google's Pub/Sub emulator, found and started for a test session; skipped where it is absent, unless it is required."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

READY_SECONDS_MAX = 20.0
_JARS = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
_SDK_ROOTS = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/google-cloud-sdk",
    "~/google-cloud-sdk",
)


def find_jar() -> Path | None:
    """PUBSUB_EMULATOR_JAR, else the newest one in the Google Cloud SDK that gcloud belongs to, or in a usual place."""
    named = os.environ.get("PUBSUB_EMULATOR_JAR", "").strip()
    if named:
        return Path(named) if Path(named).is_file() else None
    gcloud = shutil.which("gcloud")
    roots = [Path(gcloud).resolve().parent.parent] if gcloud else []
    for root in [*roots, *(Path(root).expanduser() for root in _SDK_ROOTS)]:
        if jars := sorted(root.glob(_JARS)):
            return jars[-1]
    return None


def absent(reason: str) -> NoReturn:
    """Skip, or fail where REQUIRE_EMULATOR=1 says that the emulator belongs to this machine."""
    if os.environ.get("REQUIRE_EMULATOR") == "1":
        pytest.fail(f"REQUIRE_EMULATOR=1, but {reason}")
    pytest.skip(reason)


@contextmanager
def pubsub_emulator() -> Iterator[str]:
    """Run an emulator on a free port of loopback and yield its host:port; it ends with the block."""
    jar, java = find_jar(), shutil.which("java")
    if jar is None:
        absent("there is no Pub/Sub emulator: set PUBSUB_EMULATOR_JAR or install google-cloud-cli-pubsub-emulator")
    if java is None:
        absent("there is no java to run the Pub/Sub emulator with")
    port = _free_port()
    process = subprocess.Popen(
        [java, "-Xmx256m", "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        if not _is_ready(process, port):
            absent(f"the emulator {jar.name} did not listen within {READY_SECONDS_MAX:g} s")
        yield f"127.0.0.1:{port}"
    finally:
        _stop(process)


def _is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
