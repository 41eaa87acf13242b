"""A bus in memory: what was published is a list, and a hook decides what fails. For tests and simulations."""

import threading
from collections.abc import Callable, Sequence
from typing import Literal

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Message

Fault = Literal["before", "after"]
"""``before``: nothing was published. ``after``: it was published, but the answer was lost."""


class MemoryBus:
    """The ``Bus`` twin. ``fault`` is asked before each publication; None lets it through."""

    def __init__(self, fault: Callable[[Message], Fault | None] = lambda _: None) -> None:
        self.fault = fault
        self.messages: list[Message] = []
        self._lock = threading.Lock()

    def publish(self, message: Message) -> None:
        """Keep the message; raises OrgError BUS_UNREACHABLE where the hook says so."""
        fault = self.fault(message)
        if fault != "before":
            with self._lock:
                self.messages.append(message)
        if fault is not None:
            raise OrgError(ErrorCode.BUS_UNREACHABLE, detail=f"injected fault ({fault})")

    def publish_many(self, messages: Sequence[Message]) -> None:
        """Publish one after the other, up to the first fault."""
        for message in messages:
            self.publish(message)

    def close(self) -> None:
        """Nothing is buffered."""
