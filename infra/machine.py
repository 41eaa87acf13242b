"""What this machine has: processors and memory, as far as this process may use them."""

import os
from pathlib import Path
from typing import Final

_CGROUP_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of version 2 and version 1; a container has one of them."""


def cpu_count() -> int:
    """Return the processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes(limit_files: tuple[Path, ...] = _CGROUP_LIMITS) -> int:
    """Return the memory of the machine, or of the container where that has less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [limit for file in limit_files if (limit := _limit_in(file)) is not None]
    return min([physical, *limits])


def _limit_in(file: Path) -> int | None:
    """Return the limit that a file of the kernel names; None for ``max``, no file, or no right to read it."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) > 0 else None
