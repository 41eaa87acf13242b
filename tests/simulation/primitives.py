"""The waiting primitives of ``threading`` on the scheduler, so that shipped code waits in virtual time.

Only what mailbox, admission, pace, service and lease use. ``simulated_threads`` puts them in the place of the ``threading``
module of exactly those modules; the code that waits stays the shipped one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from core.runs import admission, mailbox, pace, service
from infra import lease
from tests.simulation.scheduler import Scheduler, Task

MODULES: tuple[ModuleType, ...] = (admission, mailbox, pace, service, lease)


class SimLock:
    """A mutex; taking it is a step."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._holder: Task | None = None
        self._queue: list[Task] = []

    def __enter__(self) -> None:
        self._scheduler.step("lock")
        self.take()

    def __exit__(self, *_: object) -> None:
        self.give()

    def take(self) -> None:
        task = self._scheduler.current
        if task is None:
            return  # between two steps nobody else runs
        while self._holder is not None:
            self._queue.append(task)
            self._scheduler.wait(None)
        self._holder = task

    def give(self) -> None:
        if self._holder is self._scheduler.current:
            self._holder = None
            queue, self._queue = self._queue, []
            for task in queue:
                self._scheduler.wake(task)


class SimCondition(SimLock):
    """A condition variable with its own lock."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._waiting: list[Task] = []

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        scheduler = self._scheduler
        until = None if timeout is None else scheduler.now + timeout
        while not predicate():
            task = scheduler.current
            if task is None or (until is not None and scheduler.now >= until):
                return predicate()
            self._waiting.append(task)
            self.give()
            scheduler.wait(None if until is None else until - scheduler.now)
            self.take()
        return True

    def notify_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._scheduler.wake(task)


class SimSemaphore:
    """A bounded semaphore."""

    def __init__(self, scheduler: Scheduler, value: int) -> None:
        self._condition = SimCondition(scheduler)
        self._value = self._bound = value

    def acquire(self, *, timeout: float | None = None) -> bool:
        with self._condition:
            if self._condition.wait_for(lambda: self._value > 0, timeout):
                self._value -= 1
                return True
            return False

    def release(self) -> None:
        assert self._value < self._bound
        self._value += 1
        self._condition.notify_all()


class SimEvent:
    """A flag to wait for."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._condition = SimCondition(scheduler)
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        self._condition.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: self._is_set, timeout)


class SimThread:
    """A thread that is a task, and dies with the machine of the one who started it."""

    def __init__(self, scheduler: Scheduler, target: Callable[..., None], args: tuple[Any, ...], name: str) -> None:
        self._scheduler = scheduler
        self._target, self._args, self._name = target, args, name
        self._over = SimEvent(scheduler)
        self._task: Task | None = None

    def start(self) -> None:
        starter = self._scheduler.current
        assert starter is not None
        self._task = self._scheduler.spawn(f"{starter.name}/{self._name}", starter.owner, self._run)

    def join(self, timeout: float | None = None) -> None:
        self._over.wait(timeout)

    def is_alive(self) -> bool:
        return self._task is not None and not self._over._is_set

    def _run(self) -> None:
        self._target(*self._args)
        self._over.set()


class SimThreading:
    """Stands where a module says ``threading``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Condition(self) -> SimCondition:  # noqa: N802 - threading's names
        return SimCondition(self._scheduler)

    def Lock(self) -> SimLock:  # noqa: N802
        return SimLock(self._scheduler)

    def BoundedSemaphore(self, value: int) -> SimSemaphore:  # noqa: N802
        return SimSemaphore(self._scheduler, value)

    def Event(self) -> SimEvent:  # noqa: N802
        return SimEvent(self._scheduler)

    def Thread(  # noqa: N802
        self, *, target: Callable[..., None], args: tuple[Any, ...], name: str, daemon: bool
    ) -> SimThread:
        return SimThread(self._scheduler, target, args, name)


@contextmanager
def simulated_threads(scheduler: Scheduler) -> Iterator[None]:
    """Let the shipped modules that wait do so on the scheduler."""
    with pytest.MonkeyPatch.context() as patch:
        for module in MODULES:
            patch.setattr(module, "threading", SimThreading(scheduler))
        yield
