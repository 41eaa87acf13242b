"""One task at a time, in an order drawn from a seed: how blocking code is interleaved and replayed exactly.

Every task is a greenlet: a stack of its own, as a thread has, that runs when it is switched to. (Threads cost a third more.)
It goes back to the loop at each *step*: around every request to the bucket and every publication, at each journal record,
at each touch of the database, of the copy program and of the disk's sync calls, and wherever it would wait. The scheduler
then draws who is next. Time is virtual: it moves when nobody can run, and now and then although somebody could (that one is
slow). Nothing else decides an order, so a seed is a run: same steps, same faults, same bytes.

Who crashes stops in the middle of a step: its disk is copied as it is at that moment (``machines``), and the task is
unwound by ``CrashError``, which may touch neither bucket nor bus nor the copied disk any more.
"""

import heapq
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from random import Random
from typing import Final

from greenlet import getcurrent, greenlet

STEPS_MAX: Final = 30_000
"""A world that takes more is stuck: the largest of thousands of seeds took a third."""

LAST_STEPS_KEPT: Final = 400


class CrashError(BaseException):
    """The process is gone. No ``except Exception`` of the shipped code can stop it."""


class StuckError(AssertionError):
    """Somebody waits for what nobody will do, or the world never comes to rest."""


class Task:
    """What runs when it is told to, on a stack of its own."""

    def __init__(self, name: str, owner: object, target: Callable[[], None]) -> None:
        self.name = name
        self.owner = owner
        """What takes the task along when it crashes."""
        self.target = target
        self.dead = False
        self.done = False
        self.woken = False
        self.waits = 0
        """How often the task waited: a timer of an earlier wait is no news."""
        self.error: BaseException | None = None
        self.facts: dict[str, int] = {}
        """What the observers count for this task."""
        self.tokens: list[str] = []
        """The upload tokens that were made for it."""


class Scheduler:
    """Draws who is next. The one who calls ``run`` and the tasks it resumes are all of one thread."""

    def __init__(self, chance: Random, *, stay: float = 0.5, slow: float = 0.01) -> None:
        self.now = 0.0
        """Virtual seconds."""
        self.current: Task | None = None
        self.steps = 0
        self.tasks: list[Task] = []
        self._trace: deque[tuple[float, Task | None, str]] = deque(maxlen=LAST_STEPS_KEPT)
        self._chance = chance
        self._stay, self._slow = stay, slow
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, Callable[[], None], Task | None, int]] = []
        self._numbers = count()
        self._loop = getcurrent()
        self._stacks: dict[Task, greenlet] = {}
        self._digest = blake2b(digest_size=16)
        self.before_step: Callable[[Task, str], None] = lambda task, label: None

    # ---------------------------------------------------------------------------------------- for everybody

    def spawn(self, name: str, owner: object, target: Callable[[], None]) -> Task:
        """Make a task; it runs when its turn comes."""
        task = Task(name, owner, target)
        self.tasks.append(task)
        self._ready.append(task)
        self._stacks[task] = greenlet(lambda: self._live(task), parent=self._loop)
        return task

    def at(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back after so many virtual seconds, between two steps."""
        heapq.heappush(self._timers, (self.now + seconds, next(self._numbers), callback, None, 0))

    def wake(self, task: Task) -> None:
        """End the wait of a task."""
        if not task.woken and not task.done:
            task.woken = True
            self._ready.append(task)

    def kill(self, owner: object) -> None:
        """Take all tasks of an owner along; each unwinds at its next turn."""
        for task in self.tasks:
            if task.owner is owner and not task.done:
                task.dead = True
                if task is not self.current and task not in self._ready:
                    self.wake(task)

    def aside(self, callback: Callable[[], None]) -> None:
        """Call somebody who is no task, in the middle of a step of one."""
        task, self.current = self.current, None
        try:
            callback()
        finally:
            self.current = task

    @property
    def digest(self) -> str:
        """What two runs of a seed must agree on."""
        return self._digest.hexdigest()

    def note(self, text: str) -> None:
        """Put something into the trace."""
        self._digest.update(text.encode())
        self._trace.append((self.now, self.current, text))

    @property
    def last_steps(self) -> tuple[str, ...]:
        """The end of the trace, for whoever reads it."""
        return tuple(f"{now:10.3f} {task.name if task else '-':24} {text}" for now, task, text in self._trace)

    # ---------------------------------------------------------------------------------------- for tasks

    def step(self, label: str) -> None:
        """Let others go first, perhaps; does nothing outside of tasks. Raises CrashError for a dead one."""
        task = self.current
        if task is None:
            return
        self._require_alive(task)
        self.steps += 1
        self.note(label)
        self.before_step(task, label)
        if self._chance.random() >= self._stay:
            self._ready.append(task)
            self._loop.switch()
        self._require_alive(task)

    def wait(self, seconds: float | None) -> bool:
        """Wait until somebody wakes this task, at most so long; says whether it was woken."""
        task = self.current
        if task is None:
            raise StuckError("only a task can wait")
        self._require_alive(task)
        task.woken = False
        task.waits += 1
        this_wait, timed_out = task.waits, False

        def time_is_up() -> None:
            nonlocal timed_out
            timed_out = True
            self.wake(task)

        if seconds is not None:
            until = self.now + max(0.0, seconds)
            heapq.heappush(self._timers, (until, next(self._numbers), time_is_up, task, this_wait))
        self._loop.switch()
        self._require_alive(task)
        return not timed_out

    def sleep(self, seconds: float) -> None:
        """Wait on the virtual clock; outside of tasks time does not pass."""
        if self.current is not None and seconds > 0:
            self.wait(seconds)
        else:
            self.step("sleep 0")

    # ---------------------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Run until nothing is left to do; raises what a task could not bear, and StuckError."""
        while True:
            self._drop_old_timers()
            if self._timers and (not self._ready or self._due() or self._chance.random() < self._slow):
                moment, _, callback, _, _ = heapq.heappop(self._timers)
                self.now = max(self.now, moment)
                callback()
            elif self._ready:
                self._resume(self._ready.pop(self._chance.randrange(len(self._ready))))
            else:
                break
            if self.steps > STEPS_MAX:
                raise StuckError(f"no rest after {STEPS_MAX} steps")
        waiting = [task.name for task in self.tasks if not task.done]
        if waiting:
            raise StuckError(f"wait forever: {', '.join(waiting)}")

    def end(self) -> None:
        """Unwind whatever still waits, so that nothing outlives its world."""
        for task in self.tasks:
            task.dead = True
        for task in self.tasks:
            while not task.done:
                self._switch_to(task)

    def _drop_old_timers(self) -> None:
        """Forget the ends of waits that ended otherwise: they must not move the time."""
        while self._timers:
            _, _, _, task, wait = self._timers[0]
            if task is None or (task.waits == wait and not task.woken and not task.done):
                return
            heapq.heappop(self._timers)

    def _due(self) -> bool:
        return self._timers[0][0] <= self.now

    def _resume(self, task: Task) -> None:
        if task.done:
            return
        self._switch_to(task)
        if task.error is not None:
            raise task.error

    def _switch_to(self, task: Task) -> None:
        self.current = task
        self._stacks[task].switch()
        self.current = None

    def _require_alive(self, task: Task) -> None:
        if task.dead:
            raise CrashError

    def _live(self, task: Task) -> None:
        try:
            task.target()  # also of a dead one: its first step ends it, and its finally blocks are run
        except CrashError:
            self.note("gone")
        except BaseException as error:  # noqa: BLE001 - carried to the loop, and raised there
            task.error = error
        finally:
            task.done = True
            del self._stacks[task]
