"""Headless Chromium (Debian's package ``chromium``), for tests of what a person sees."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
"""No name resolves: a page that needs the network shows it."""
_TIMEOUT_SECONDS = 60


def chromium() -> str:
    """Return the browser's path; without one the test is skipped, or fails where REQUIRE_BROWSER=1."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "no Chromium on PATH: apt-get install chromium"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def run_chromium(folder: Path, page: Path, *flags: str) -> str:
    """Open a page with a fresh profile in ``folder``; returns what the browser prints."""
    command = [chromium(), *_QUIET, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
