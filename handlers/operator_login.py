"""The login of the pages for people: HTTP Basic with one password, because people carry no token of Pub/Sub's.

The password has at least 16 characters, so guessing is bounded by its length and by how often a wrong one is judged.
"""

import base64
import binascii
import hmac
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from infra.secret import Secret

USER: Final = "operator"
"""The one name; a login per person belongs to a proxy in front."""
FAILURES_MAX: Final = 20
FAILURE_WINDOW_SECONDS: Final = 60.0
"""After so many wrong passwords within so long, nobody's password is judged until the first of them is that old."""
_HEADER_CHARACTERS_MAX: Final = 1024

Verdict = Literal["welcome", "no_login", "wrong_login", "too_many_failures"]


class OperatorLogin:
    """Judges Authorization headers; safe to call from many threads."""

    def __init__(self, password: Secret, monotonic: Callable[[], float]) -> None:
        self._expected = f"{USER}:{password.reveal()}".encode()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures: deque[float] = deque(maxlen=FAILURES_MAX)

    def judge(self, header: str | None) -> Verdict:
        """Say whether the header is the operator's; compares in constant time."""
        if not header:
            return "no_login"
        with self._lock:
            now = self._monotonic()
            full = len(self._failures) == FAILURES_MAX
            if full and now - self._failures[0] < FAILURE_WINDOW_SECONDS:
                return "too_many_failures"
            if hmac.compare_digest(_given(header), self._expected):
                return "welcome"
            self._failures.append(now)
            return "wrong_login"


def _given(header: str) -> bytes:
    """Return ``user:password`` of a Basic header, nothing for any other header."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > _HEADER_CHARACTERS_MAX:
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
