"""The Cloud Storage client and its bounds: credentials, connections, and streams that end in time."""

import http.client
import math
import os
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import requests
import requests.adapters
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client

from infra.credentials import STORAGE_SCOPES, google_credentials
from infra.gcs_errors import TooManyBytesError, TransferDeadlineError
from infra.settings import Settings

_NO_BACKGROUND_REQUESTS: Final = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""Since 3.11 the client asks for the bucket's metadata in a thread of its own, for traces that we do not take: a
request that nobody counts, on a connection of ours, which an object-only role is refused
(googleapis/google-cloud-python issues 17650 and 18116). This variable is its only switch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsLimits:
    """Bounds on time, memory and connections."""

    timeout_seconds: float = 60.0
    deadline_seconds: float = 120.0
    transfer_deadline_seconds: float = 540.0
    retry_first_seconds: float = 1.0
    retry_longest_seconds: float = 16.0
    upload_chunk_bytes: int = 16 * 1024 * 1024
    """Memory of one upload; a multiple of 256 KiB. Files up to 8 MiB go in one request whatever this is."""
    connections: int = 32


def gcs_client(settings: Settings, limits: GcsLimits) -> Client:
    """Make the client; ``project=None`` keeps it from asking the metadata server for a project that nobody needs."""
    os.environ.setdefault(_NO_BACKGROUND_REQUESTS, "1")
    endpoint = settings.storage_emulator_host
    if endpoint is not None:
        endpoint = endpoint.rstrip("/")  # the client puts its own one after it
        credentials: Any = AnonymousCredentials()  # type: ignore[no-untyped-call]
    else:
        credentials = google_credentials(settings.gcs_keyfile_json, STORAGE_SCOPES)
    session = AuthorizedSession(credentials, refresh_timeout=limits.timeout_seconds)  # type: ignore[no-untyped-call]
    adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=limits.connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.hooks["response"].append(_read_refusal)
    options = {"api_endpoint": endpoint} if endpoint is not None else None
    return Client(project=None, credentials=credentials, _http=session, client_options=options)


def _read_refusal(response: requests.Response, *_: object, **__: object) -> None:
    """Read what a refused request answers: the client leaves it unread on downloads, and its connection open."""
    if response.status_code >= http.client.BAD_REQUEST:
        response.content  # noqa: B018 - a property that reads


class BoundedStream:
    """A stream that ends a transfer when its time is up: the client looks at the clock only between retries.

    ``bytes_max``: how much may be written to it; raises TooManyBytesError before a byte too much is.
    """

    def __init__(self, stream: BinaryIO, deadline_seconds: float, bytes_max: float = math.inf) -> None:
        self._stream = stream
        self._until = time.monotonic() + deadline_seconds
        self._bytes_left = bytes_max

    def read(self, size: int = -1) -> bytes:
        """Read, if there is time left."""
        self._check()
        return self._stream.read(size)

    def write(self, content: bytes) -> int:
        """Write, if there is time and room left."""
        self._check()
        self._bytes_left -= len(content)
        if self._bytes_left < 0:
            raise TooManyBytesError
        return self._stream.write(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Say where it stands."""
        return self._stream.tell()

    def _check(self) -> None:
        if time.monotonic() > self._until:
            raise TransferDeadlineError
