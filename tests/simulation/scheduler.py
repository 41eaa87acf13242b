"""One thread at a time, in an order drawn from a seed: how blocking code is interleaved and replayed exactly.

Every task is a real thread, but only the one that holds the baton runs. It gives the baton back at each *step*: around
every request to the bucket and every publication, at each journal record, at each touch of the database, of the copy
program and of the disk's sync calls, and wherever it would wait. The scheduler then draws who is next. Time is virtual: it
moves when nobody can run, and now and then although somebody could (that one is slow). Nothing else decides an order, so a
seed is a run: same steps, same faults, same bytes.

Who crashes stops in the middle of a step: its disk is copied as it is at that moment (``machines``), and the thread is
unwound by ``CrashError``, which may touch neither bucket nor bus nor the copied disk any more.
"""

import heapq
import threading
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from random import Random
from typing import Final

STEPS_MAX: Final = 30_000
"""A world that takes more is stuck: the largest of thousands of seeds took a third."""

LAST_STEPS_KEPT: Final = 400


class CrashError(BaseException):
    """The process is gone. No ``except Exception`` of the shipped code can stop it."""


class StuckError(AssertionError):
    """Somebody waits for what nobody will do, or the world never comes to rest."""


class Task:
    """A thread that runs when it is told to."""

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
        self.go = threading.Lock()
        self.go.acquire()
        self.facts: dict[str, int] = {}
        """What the observers count for this task."""
        self.tokens: list[str] = []
        """The upload tokens that were made for it."""


class Scheduler:
    """Draws who is next. Only the thread that calls ``run`` and the tasks it resumes may touch it."""

    def __init__(self, chance: Random, *, stay: float = 0.5, slow: float = 0.01) -> None:
        self.now = 0.0
        """Virtual seconds."""
        self.current: Task | None = None
        self.steps = 0
        self.tasks: list[Task] = []
        self.last_steps: deque[str] = deque(maxlen=LAST_STEPS_KEPT)
        self._chance = chance
        self._stay, self._slow = stay, slow
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, Callable[[], None], Task | None, int]] = []
        self._numbers = count()
        self._back = threading.Lock()
        self._back.acquire()
        self._digest = blake2b(digest_size=16)
        self.before_step: Callable[[Task, str], None] = lambda task, label: None

    # ---------------------------------------------------------------------------------------- for everybody

    def spawn(self, name: str, owner: object, target: Callable[[], None]) -> Task:
        """Make a task; it runs when its turn comes."""
        task = Task(name, owner, target)
        self.tasks.append(task)
        self._ready.append(task)
        threading.Thread(target=self._thread, args=(task,), name=name, daemon=True).start()
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
        self.last_steps.append(f"{self.now:10.3f} {self.current.name if self.current else '-':24} {text}")

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
            self._hand_back(task)
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
        self._hand_back(task)
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
        """Unwind whatever still waits, so that no thread outlives its world."""
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
        task.go.release()
        self._back.acquire()
        self.current = None

    def _hand_back(self, task: Task) -> None:
        self._back.release()
        task.go.acquire()

    def _require_alive(self, task: Task) -> None:
        if task.dead:
            raise CrashError

    def _thread(self, task: Task) -> None:
        task.go.acquire()
        try:
            task.target()  # also of a dead one: its first step ends it, and its finally blocks are run
        except CrashError:
            self.note("gone")
        except BaseException as error:  # noqa: BLE001 - carried to the thread that runs the simulation, and raised there
            task.error = error
        finally:
            task.done = True
            self._back.release()
