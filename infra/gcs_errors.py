"""What the Cloud Storage client may raise, as the ``Bucket`` port's errors.

Details name operation, object and status only. The client's own messages hold URLs with upload ids (whoever has one can
write) and whole response bodies; they stay in the exception chain, where the log scrubs them.
"""

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import requests
import urllib3.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import PreconditionFailedError

_CODES: Final[Mapping[int | None, ErrorCode]] = {
    401: ErrorCode.BUCKET_REFUSED,
    403: ErrorCode.BUCKET_REFUSED,
    416: ErrorCode.DOWNLOAD_CORRUPT,  # the version ends before the range that was asked for begins
}
"""Statuses that say more than that the bucket was not reached."""

_BUCKET_MISSING: Final = re.compile(r"(?:specified |: )bucket(?: [^\s/]+)? does not exist", re.IGNORECASE)
_DISK_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_TRANSPORT_ERRORS: Final = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


class TransferDeadlineError(Exception):
    """A transfer did not end in the time that it was given."""


class TooManyBytesError(Exception):
    """More bytes came than were asked for: the server did not heed a range."""


@contextmanager
def port_errors(operation: str, name: str) -> Iterator[None]:
    """Translate whatever the client raises inside the block. 404 passes: only the caller knows what is missing."""
    what = f"{operation} {name}".rstrip()
    try:
        yield
    except (OrgError, PreconditionFailedError, api.NotFound):
        raise
    except api.PreconditionFailed as error:
        raise PreconditionFailedError(what) from error
    except TooManyBytesError as error:
        raise OrgError(ErrorCode.DOWNLOAD_CORRUPT, detail=f"{what}: more bytes than were asked for") from error
    except (DataCorruption, TransferDeadlineError, api.GoogleAPIError, InvalidResponse, auth.GoogleAuthError) as error:
        raise _translated(what, error) from error
    except _TRANSPORT_ERRORS as error:  # before OSError: a requests error is one
        raise _unreachable(what, type(error).__name__) from error
    except OSError as error:
        full = error.errno in _DISK_FULL_ERRNOS
        code = ErrorCode.DISK_FULL if full else ErrorCode.BUCKET_UNREACHABLE
        raise OrgError(code, detail=f"{what}: {errno.errorcode.get(error.errno or 0, 'OSError')}") from error


def is_bucket_missing(error: api.NotFound) -> bool:
    """Whether a 404 speaks of the bucket instead of the object; only its message tells."""
    return _BUCKET_MISSING.search(str(error)) is not None


def bucket_missing(bucket_name: str) -> OrgError:
    """The whole bucket is not there: a wrong name, most likely."""
    return _unreachable(f"bucket {bucket_name}", "it does not exist")


def _translated(what: str, error: Exception) -> Exception:
    """Find the reason behind wrappers: a retry that gave up, a token that could not be fetched."""
    if isinstance(error, api.RetryError) and error.cause is not None:
        return _translated(what, error.cause)
    if isinstance(error, DataCorruption):
        return OrgError(ErrorCode.DOWNLOAD_CORRUPT, detail=what)
    if isinstance(error, auth.TransportError) or (isinstance(error, auth.GoogleAuthError) and error.retryable):
        return _unreachable(what, "no access token: Google's token server was not reached")
    if isinstance(error, auth.GoogleAuthError):
        return OrgError(ErrorCode.BUCKET_REFUSED, detail=f"{what}: no access token ({type(error).__name__})")
    status = _status_of(error)
    code = _CODES.get(status, ErrorCode.BUCKET_UNREACHABLE)
    return OrgError(code, detail=f"{what}: {f'HTTP {status}' if status else type(error).__name__}")


def _status_of(error: Exception) -> int | None:
    code: object = error.code if isinstance(error, api.GoogleAPICallError) else None
    if isinstance(error, InvalidResponse):
        code = getattr(error.response, "status_code", None)
    return int(code) if isinstance(code, int) else None


def _unreachable(what: str, reason: str) -> OrgError:
    return OrgError(ErrorCode.BUCKET_UNREACHABLE, detail=f"{what}: {reason}")
