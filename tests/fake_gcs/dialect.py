"""How servers of the JSON API differ without being wrong: what an adapter must not have learnt from one of them alone."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Final

_NUMBERS: Final = frozenset({"size", "generation", "metageneration"})
_TIMES: Final = frozenset({"timeCreated", "updated", "timeDeleted"})


@dataclass(frozen=True)
class Dialect:
    """One way to say it; the defaults are Google's."""

    numbers_are_numbers: bool = False
    """64-bit numbers bare instead of as text."""
    times_have_offsets: bool = False
    """``+00:00`` and nanoseconds instead of ``Z`` and milliseconds."""
    header_case: str = "as documented"
    """``lower`` or ``upper``: names of headers have no case."""
    hash_header: str = "crc32c,md5"
    """Or ``md5, crc32c``, or nothing: the header may be missing, and a proxy may join two with a blank."""
    plain_errors: bool = False
    """Errors are a word instead of a JSON document."""
    deletes_answer: bool = False
    """A delete answers 200 with ``null`` instead of 204."""
    versions_word: bool = False
    """``versions=true`` in exactly this spelling."""
    opaque_tokens: bool = False
    """Page tokens are what nobody can read."""
    says_more: bool = False
    """Fields that nobody asked for; ``fields=`` is not heeded by any of these servers."""
    keeps_connections: bool = True
    leaves_out: frozenset[str] = frozenset()
    """Fields that an object must have."""

    def resource(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Say an object, a bucket or a list of objects."""
        said = {key: self._value(key, value) for key, value in resource.items() if key not in self.leaves_out}
        if self.says_more:
            said |= {
                "selfLink": "http://elsewhere/o",
                "etag": "CAE=",
                "softDeleteTime": None,
                "retention": {"mode": "x"},
            }
        return said

    def header(self, name: str) -> str:
        """Spell the name of a header."""
        return {"lower": name.lower(), "upper": name.upper()}.get(self.header_case, name)

    def hashes(self, crc32c: str, md5: str) -> str | None:
        """Return the value of x-goog-hash."""
        if not self.hash_header:
            return None
        return self.hash_header.replace("crc32c", f"crc32c={crc32c}", 1).replace("md5", f"md5={md5}", 1)

    def error(self, status: int, body: dict[str, Any]) -> bytes:
        """Say an error."""
        if not self.plain_errors:
            return json.dumps(body).encode()
        word = {404: "Not Found", 412: "Precondition Failed"}.get(status, "Error")
        return json.dumps({"error": {"code": status, "message": word}}).encode() if status == 412 else word.encode()

    def token(self, start: int) -> str:
        """Make a page token."""
        return base64.urlsafe_b64encode(b"page %d" % start).decode() if self.opaque_tokens else str(start)

    def start(self, token: str) -> int:
        """Read a page token."""
        if not token:
            return 0
        return int(base64.urlsafe_b64decode(token).split()[1]) if self.opaque_tokens else int(token)

    def wants_versions(self, word: str) -> bool:
        """Read ``versions=``."""
        return word == "true" if self.versions_word else word.lower() == "true"

    def _value(self, key: str, value: Any) -> Any:
        if key == "items":
            return [self.resource(item) for item in value]
        if self.numbers_are_numbers and key in _NUMBERS:
            return int(value)
        if self.times_have_offsets and key in _TIMES:
            return re.sub(r"(\.\d+)?Z$", lambda found: f"{(found[1] or '.')[:4].ljust(10, '0')}+00:00", value)
        return value


GOOGLE: Final = Dialect()
PLAIN: Final = Dialect(
    numbers_are_numbers=True,
    times_have_offsets=True,
    header_case="lower",
    hash_header="",
    plain_errors=True,
    deletes_answer=True,
    versions_word=True,
    opaque_tokens=True,
    keeps_connections=False,
)
"""A small server that somebody wrote from the reference."""
CHATTY: Final = Dialect(header_case="upper", hash_header="md5, crc32c", says_more=True, versions_word=True)
"""A server behind a proxy that is ahead of this release."""
