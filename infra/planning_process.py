"""The life of a planning process: it carries out one job after the other until its parent closes the socket or is gone.

It has no keys, no network and nothing that must be tidied up: its parent may kill it at any moment, and so may the kernel.
"""

import gc
import os
import queue
import signal
import socket
import threading
from pathlib import Path
from typing import Final

from core.runs.errors import OrgError, unforeseen
from core.runs.planning_job import PlanningJob, carry_out
from core.runs.ports import Clock, OrgStore
from infra.planning_wire import (
    Done,
    Frame,
    OutOfMemory,
    PeerGoneError,
    Ready,
    Refused,
    Report,
    decode_job,
    encode_report,
    log_record,
    receive_frame,
    send_frame,
)

_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_OOM_SCORE_ADJUSTMENT: Final = "800"
"""Where memory runs out, the kernel takes a run and not the server (of -1000..1000)."""


class SocketJournal:
    """The ``Journal`` whose records are written by the parent."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent

    def info(self, event: str, **facts: object) -> None:
        """Record a step of the normal sequence."""
        send_frame(self._parent, encode_report(log_record("info", event, facts)))

    def warning(self, event: str, **facts: object) -> None:
        """Record something an operator should look at; the run goes on."""
        send_frame(self._parent, encode_report(log_record("warning", event, facts)))

    def error(self, event: str, **facts: object) -> None:
        """Record a failure."""
        send_frame(self._parent, encode_report(log_record("error", event, facts)))


def serve_jobs(parent: socket.socket, store: OrgStore, clock: Clock) -> None:
    """Carry out jobs until the parent is gone; then the process ends, in the middle of a job if need be."""
    _prepare()
    jobs: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(parent, jobs), name="parent", daemon=True).start()
    journal = SocketJournal(parent)
    _tell(parent, Ready())
    while True:
        frame = jobs.get()
        report = _report_of(decode_job(frame.content), store, clock, journal)
        if frame.descriptor is not None:
            os.close(frame.descriptor)
        _tell(parent, report)
        if isinstance(report, OutOfMemory):
            return


def _prepare() -> None:
    """Let the parent decide when to stop, and the kernel whom to take first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _OOM_SCORE.exists():
        _OOM_SCORE.write_text(_OOM_SCORE_ADJUSTMENT)
    gc.freeze()


def _listen(parent: socket.socket, jobs: "queue.SimpleQueue[Frame]") -> None:
    """Pass on jobs. The end of the socket ends the process at once: a run whose parent is gone must not go on writing."""
    try:
        while True:
            jobs.put(receive_frame(parent))
    except (PeerGoneError, OSError):
        os._exit(0)


def _report_of(job: PlanningJob, store: OrgStore, clock: Clock, journal: SocketJournal) -> Report:
    try:
        done = carry_out(job, store, clock, journal)
    except OrgError as error:
        return Refused(error.code, error.org_id, error.detail)
    except MemoryError:
        return OutOfMemory()
    except PeerGoneError:
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - the last boundary of this process: where it happened, never the text
        failure = unforeseen(error, job.org_id)
        return Refused(failure.code, failure.org_id, failure.detail)
    return Done.of(done, resident_bytes())


def _tell(parent: socket.socket, report: Report) -> None:
    try:
        send_frame(parent, encode_report(report))
    except PeerGoneError:
        os._exit(0)


def resident_bytes() -> int:
    """Return the memory that this process has now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
