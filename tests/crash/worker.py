"""A warmed process that forks a child for every case: importing the service takes 0.5 s, forking it 5 ms.

``python -m tests.crash.worker`` reads a Case per line from stdin and answers with one line: how the child ended. It never
starts a thread and never opens a database, so that its children are like fresh processes. A child performs the shipped
code over the embedded bucket and the local bus, with edges everywhere (``hooks``), and dies at the chosen one.
"""

import gc
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from core.runs.service import Handled
from events.types import CONFIG_CHANGED, RUN_REQUESTED, ConfigChanged, Event, RunRequested, parse_org_id
from handlers.bootstrap import build, settings_from_environment
from infra.clock import SystemClock
from infra.disk_space import DiskSpace
from infra.local_bucket import LocalBucket
from infra.telemetry import configure_logging
from tests.crash import mutations
from tests.crash.cases import Answer, Case, Ended, Report, read_report
from tests.crash.durable import Durable
from tests.crash.edges import Edges, die
from tests.crash.file_hooks import EdgeVfs
from tests.crash.hooks import Hooks

NOW: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""Of every machine: what a run writes must not depend on when it was repeated."""
CASE_SECONDS_MAX: Final = 60
ORG: Final = parse_org_id("acme")


def main() -> None:
    _warm_up()
    for line in sys.stdin.buffer:
        case = msgspec.json.decode(line, type=Case)
        Path(case.report).unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            _be_child(case)
        if case.kill_after_seconds is not None:
            time.sleep(case.kill_after_seconds)
            os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        if case.kill_all:
            _kill_session(child)
        _, status = os.waitpid(child, 0)
        ended = Ended(
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
            report=read_report(case.report),
        )
        sys.stdout.buffer.write(msgspec.json.encode(ended) + b"\n")
        sys.stdout.buffer.flush()


def _kill_session(child: int) -> None:
    """End what a dead child started, again until nobody is left; it is not reaped yet, so its number is nobody else's."""
    while left := list(_session_of(child)):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _session_of(leader: int) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    yield int(folder.name)


def _warm_up() -> None:
    """Load what a run would load when it first needs it."""
    import numpy.ma  # noqa: F401

    import handlers.local_run  # noqa: F401
    import infra.lease
    import infra.local_bus
    import infra.mirror
    import infra.org_db
    import infra.rsync
    from core.planning.geography import zip_states

    zip_states()
    version = infra.rsync.find_rsync().version  # asked once; how it is found and refused has tests of its own
    infra.rsync._version = lambda program: version
    gc.freeze()  # a collection in a child would touch, and so copy, all of these pages


def _be_child(case: Case) -> None:
    """Do the job and leave without the parent's clean-up."""
    code = 1
    try:
        signal.alarm(CASE_SECONDS_MAX)
        os.setsid()
        os.dup2(2, 1)  # stdout is for the nursery's answers
        configure_logging("WARNING")
        _do(case)
        code = 0
    except BaseException:  # noqa: BLE001 - the exit code tells, stderr explains
        traceback.print_exc()
    finally:
        os._exit(code)


def _do(case: Case) -> None:
    root = Path(case.root)
    durable = Durable(root, None if case.shadow is None else Path(case.shadow))

    def end() -> None:
        durable.write_down()
        die()

    def make_trouble() -> None:
        mutations.TROUBLES[case.trouble or ""](case)

    edges = Edges(case.crash, make_trouble if case.trouble else end, durable.look if case.looks else None)
    _arrange(case)
    if case.mutation is not None:
        mutations.apply(case.mutation)
    Hooks(edges, root, durable).install()
    file_system = EdgeVfs(edges, durable, root / "home") if case.job == "schedule" else None
    if case.file_bytes_max is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (case.file_bytes_max, resource.RLIM_INFINITY))
    answers: list[Answer] = []

    def answer(given: Answer) -> None:
        answers.append(given)
        edges.reach("answer before")
        _write(case.report, Report(answers=answers))
        edges.reach("answer after")

    JOBS[case.job](case, answer)
    _lift_limit()
    _write(case.report, Report(answers=answers, edges=edges.seen))
    del file_system  # it is in use for as long as it is referred to


def _lift_limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _write(report: str, content: Report) -> None:
    Path(report).write_bytes(msgspec.json.encode(content))


def _arrange(case: Case) -> None:
    """Stop the machine's clock, set the bucket's, and have nobody look at the free space."""
    later = timedelta(hours=case.hours_later)
    defaults = {**(LocalBucket.__init__.__kwdefaults__ or {}), "now": lambda: datetime.now(UTC) + later}
    for owner, name, value in (
        (SystemClock, "now_utc", lambda _: NOW),
        (LocalBucket.__init__, "__kwdefaults__", defaults),
        (DiskSpace, "require", lambda *_: None),  # a disk fills up after somebody looked
    ):
        setattr(owner, name, value)


def _run(case: Case, answer: Callable[[Answer], None]) -> None:
    """Carry one message as the door does."""
    env = {"DATA_DIR": f"{case.root}/{case.machine}", "RUN_DEADLINE_SECONDS": "30", **case.env}
    settings = settings_from_environment(env, serving=False)
    app = build(settings)
    answer(_told(app.service.handle(_event(case), until=app.clock.monotonic() + settings.run_deadline_seconds)))
    if case.again:
        _lift_limit()
        if case.room is not None:
            Path(case.room).unlink(missing_ok=True)
        answer(_told(app.service.handle(_event(case), until=app.clock.monotonic() + settings.run_deadline_seconds)))
    app.close()


def _event(case: Case) -> Event:
    data = ConfigChanged(set_keys=case.config) if case.config else RunRequested(create=case.create)
    kind = CONFIG_CHANGED if case.config else RUN_REQUESTED
    return Event(id=case.message, source="//crash", type=kind, org_id=ORG, data=data)


def _told(handled: Handled) -> Answer:
    error = handled.error
    return Answer(
        outcome=handled.outcome,
        acknowledged=handled.acknowledged,
        code=None if error is None else error.code.value,
        detail=None if error is None else error.detail,
    )


def _schedule(case: Case, answer: Callable[[Answer], None]) -> None:
    """Carry out ``emailsched schedule home/file.db``."""
    from core.runs.reconcile import Order
    from handlers.bootstrap import open_store
    from handlers.local_run import World, schedule_file
    from infra.telemetry import LogJournal

    tempfile.tempdir = case.temporary or str(Path(case.root, "tmp"))
    world = World(open_store(), SystemClock(), LogJournal())
    completed = schedule_file(Path(case.root, "home", "file.db"), Order(ORG, "run-of-the-operator"), world)
    answer(Answer(outcome="changed" if completed.changed else "unchanged", acknowledged=True))


JOBS: Final = {"run": _run, "schedule": _schedule}

if __name__ == "__main__":
    main()
