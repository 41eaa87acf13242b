"""Object names are untrusted text: what a directory may be called for them, and what a name may be at all."""

import hashlib
from typing import Final
from urllib.parse import quote, unquote

from core.runs.errors import ErrorCode, OrgError

NAME_BYTES_MAX: Final = 1024
"""Cloud Storage's limit, in UTF-8."""

_PLAIN_CHARACTERS_MAX: Final = 200
"""Most file systems end at 255; room is left for suffixes."""

_DIGEST_MARK: Final = "%~"
"""Never made by quoting, so that a shortened name cannot be that of another object."""


def check_name(name: str) -> None:
    """Refuse what Cloud Storage refuses: empty, over 1024 bytes, line breaks, dots only; OrgError BUCKET_REFUSED."""
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        size_bytes = 0
    if not 0 < size_bytes <= NAME_BYTES_MAX or name in {".", ".."} or "\r" in name or "\n" in name:
        raise OrgError(ErrorCode.BUCKET_REFUSED, None, "object name")


def folder_of(name: str) -> str:
    """Return one path component for an object name: no separator, and never ``.`` or ``..`` (refused as names)."""
    check_name(name)
    quoted = quote(name, safe="")
    if len(quoted) <= _PLAIN_CHARACTERS_MAX:
        return quoted
    return _DIGEST_MARK + hashlib.sha256(name.encode()).hexdigest()


def may_be_under(folder: str, prefix: str) -> bool:
    """Whether the object in a folder can have a name with the prefix; saves reading most of the others."""
    return folder.startswith(_DIGEST_MARK) or unquote(folder).startswith(prefix)
