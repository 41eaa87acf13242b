"""A lock between processes (and threads) that the operating system gives back when its holder dies."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.003
"""flock has no timeout of its own, so it is asked for again and again."""


class LockTimeoutError(Exception):
    """Somebody else kept the lock for all of the wait."""


def acquire(
    file: Path,
    *,
    wait_seconds: float,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Lock a file exclusively and return its descriptor; ``os.close`` gives the lock back. The lock file itself stays.

    A child that inherits the descriptor keeps the lock until it ends: an orphan that still writes is not overtaken.
    Raises LockTimeoutError, and OSError where the file cannot be opened.
    """
    until = monotonic() + wait_seconds
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if monotonic() >= until:
                    raise LockTimeoutError(file.name) from None
                sleep(POLL_SECONDS)
            else:
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def locked(file: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold a file's lock for a block; errors as in ``acquire``."""
    descriptor = acquire(file, wait_seconds=wait_seconds)
    try:
        yield
    finally:
        os.close(descriptor)
