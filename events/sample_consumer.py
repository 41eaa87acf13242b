"""A consumer of completions, as small as a safe one can be. It needs no code of ours: the contract is JSON.

    python -m events.sample_consumer < $DATA_DIR/bus/events.jsonl

reads what a local bus has published; with Pub/Sub ``take`` is the callback of a subscription, and a message is
acknowledged when it has returned.

- Events come at least once. Two with the same source and id are the same event, whatever else differs: do its work once,
  and remember the id together with the work, in one transaction.
- ``replayed: true`` is no reason to skip an event: the first publication may never have reached you. What is known only
  after an upload (generation, bytes, durations) is null in it; claims and counts are not.
- Mail only what a completion grants. What you claimed and find in no list is claimed by nobody: ask again.
- Ignore types and fields that you do not know.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

COMPLETED: Final = "com.emailscheduler.run.completed.v1"

Claim = Mapping[str, Any]
"""One entry of ``granted``: ``index``, ``id`` and the ``row`` it stands for."""


class Consumer:
    """Does the work of each completion once. A real one keeps ``_done`` in its database, beside the work itself."""

    def __init__(self, send: Callable[[str, Claim], None]) -> None:
        self._send = send
        self._done: set[tuple[str, str]] = set()

    def take(self, attributes: Mapping[str, str], data: bytes) -> bool:
        """Carry one message to its end; False: there was nothing to do. What ``send`` raises keeps it unacknowledged."""
        if attributes.get("ce-type") != COMPLETED:
            return False
        identity = (attributes["ce-source"], attributes["ce-id"])
        if identity in self._done:
            return False
        completed = json.loads(data)
        for claims in completed.get("claims", ()):
            for claim in claims["granted"]:
                self._send(completed["org_id"], claim)
        self._done.add(identity)
        return True


def main(lines: Iterable[str]) -> None:
    """Read a local bus: one published message per line."""
    consumer = Consumer(lambda org_id, claim: print(f"{org_id}: may send {claim['id']}"))  # noqa: T201 - a program
    taken = [
        consumer.take(message["attributes"], message.get("data", "").encode()) for message in map(json.loads, lines)
    ]
    print(f"{sum(taken)} of {len(taken)} messages were new completions")  # noqa: T201


if __name__ == "__main__":
    main(sys.stdin)
