"""The ``Planner`` that plans in other processes: as many cores as there are processes, and a death takes one run only.

Processes are started as new programs, never forked: gRPC, threads and locks of the parent do not survive a fork. They live
as long as the pool, one job at a time each; the one that is lost or has grown large is replaced.
"""

import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from core.runs.errors import ErrorCode, OrgError
from core.runs.planning_job import JobDone, PlanningJob
from core.runs.ports import Journal
from events.types import OrgId
from infra.planning_wire import (
    Done,
    Logged,
    OutOfMemory,
    PeerGoneError,
    Ready,
    Refused,
    decode_report,
    encode_job,
    receive_frame,
    send_frame,
)

RESIDENT_BYTES_MAX: Final = 300_000_000
"""A process that keeps more after a job is replaced: memory that came back late would count against the next run."""

END_SECONDS_MAX: Final = 5.0
"""How long a process that was told to end may take before it is killed."""


class PlannerProcess:
    """One process, from its start to its end. For one thread at a time."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=dict(env),
                pass_fds=(theirs.fileno(),),
            )
        self.resident_bytes = 0

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def carry_out(self, job: PlanningJob, lock: int | None, journal: Journal, *, within_seconds: float) -> JobDone:
        """Have a job done; raises OrgError as the job did, else PeerGoneError or TimeoutError: end the process then."""
        until = time.monotonic() + within_seconds
        self._socket.settimeout(within_seconds)
        send_frame(self._socket, encode_job(job), lock)
        while True:
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            match decode_report(receive_frame(self._socket).content):
                case Logged(level=level, event=event, facts=facts):
                    record = {"info": journal.info, "warning": journal.warning, "error": journal.error}[level]
                    record(event, **facts)
                case Ready():
                    continue
                case Refused(code=code, org_id=org_id, detail=detail):
                    raise OrgError(code, org_id, detail)
                case OutOfMemory():
                    raise PeerGoneError("MemoryError")
                case Done() as done:
                    self.resident_bytes = done.resident_bytes
                    return done.unpacked()

    def kill(self) -> None:
        """End the process at once, from any thread."""
        self._process.kill()

    def end(self, *, kill: bool = False) -> str:
        """Close the socket, wait, kill who does not leave; returns how it ended."""
        if kill:
            self.kill()
        self._socket.close()
        try:
            code = self._process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # the kernel holds it: a dead disk
                self._process.wait(END_SECONDS_MAX)
            return "killed"
        return f"signal {-code}" if code < 0 else f"exit {code}"


class PlanningPool:
    """At most ``processes`` planners; safe between threads. Close it: its processes end with it, or with this process."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        journal: Journal,
        *,
        processes: int,
        job_seconds_max: float,
    ) -> None:
        self._command, self._env = command, env
        self._journal = journal
        self._processes = processes
        self._job_seconds_max = job_seconds_max
        self._changed = threading.Condition()
        self._busy: set[PlannerProcess] = set()
        self._closed = False
        self._idle = [self._start() for _ in range(processes)]  # now: they load while the server starts

    def carry_out(self, job: PlanningJob, lock: int | None) -> JobDone:
        """Have a job done by the next process that is free; see the port."""
        planner = self._take(job.org_id)
        try:
            done = planner.carry_out(job, lock, self._journal, within_seconds=self._job_seconds_max)
        except OrgError:
            self._give_back(planner)
            raise
        except (PeerGoneError, TimeoutError) as lost:
            is_late = isinstance(lost, TimeoutError)
            ended = self._discard(planner, kill=is_late)
            detail = f"not done after {self._job_seconds_max:g} s" if is_late else f"{lost}, {ended}"
            raise OrgError(ErrorCode.PLANNER_LOST, job.org_id, detail) from lost
        except BaseException:
            self._discard(planner, kill=True)
            raise
        if planner.resident_bytes > RESIDENT_BYTES_MAX:
            self._discard(planner)
        else:
            self._give_back(planner)
        return done

    def close(self) -> None:
        """End all processes; a job in progress ends with PLANNER_LOST."""
        with self._changed:
            self._closed = True
            idle, busy = self._idle, tuple(self._busy)
            self._idle = []
            self._changed.notify_all()
        for planner in busy:
            planner.kill()  # whoever waits for it sees to the rest
        for planner in idle:
            planner.end(kill=True)  # it has nothing to lose, and may still be loading

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes there are now, idle ones first."""
        with self._changed:
            return tuple(planner.pid for planner in (*self._idle, *self._busy))

    def _take(self, org_id: OrgId) -> PlannerProcess:
        with self._changed:
            is_free = self._changed.wait_for(
                lambda: self._closed or self._idle or len(self._busy) < self._processes, self._job_seconds_max
            )
            if self._closed or not is_free:
                raise OrgError(ErrorCode.PLANNER_LOST, org_id, "no planning process is free")
            try:
                planner = self._idle.pop() if self._idle else self._start()
            except OSError as error:
                raise OrgError(ErrorCode.PLANNER_LOST, org_id, "no planning process can be started") from error
            self._busy.add(planner)
            return planner

    def _give_back(self, planner: PlannerProcess) -> None:
        with self._changed:
            self._busy.remove(planner)
            is_wanted = not self._closed
            if is_wanted:
                self._idle.append(planner)
            self._changed.notify_all()
        if not is_wanted:
            planner.end(kill=True)

    def _discard(self, planner: PlannerProcess, *, kill: bool = False) -> str:
        """End a process and have another one load meanwhile; returns how it ended."""
        ended = planner.end(kill=kill)
        with self._changed:
            self._busy.remove(planner)
            if not self._closed:
                with suppress(OSError):  # the next job tries again, and says so
                    self._idle.append(self._start())
            self._changed.notify_all()
        return ended

    def _start(self) -> PlannerProcess:
        return PlannerProcess(self._command, self._env)
