"""Who knocks: the OIDC token that Pub/Sub puts on a push, judged against the settings.

Google's own helpers fetch certificates on every call, and the general one does not look at the issuer; so the signature
is checked with google-auth and kept certificates, and the claims here.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import google.auth.jwt
import msgspec
import requests
from google.auth.exceptions import GoogleAuthError

CERTIFICATES_URL: Final = "https://www.googleapis.com/oauth2/v1/certs"
ISSUERS: Final = ("accounts.google.com", "https://accounts.google.com")
TOKEN_CHARACTERS_MAX: Final = 8192
CLOCK_SKEW_SECONDS: Final = 30
_FETCH_TIMEOUT_SECONDS: Final = 10.0

Certificates = Mapping[str, str]
"""PEM certificates by key id."""

Refusal = Literal[
    "no_token",
    "malformed",
    "bad_signature_or_expired",
    "wrong_issuer",
    "wrong_audience",
    "wrong_email",
    "unverified_email",
]


class TokenRefusedError(Exception):
    """A request without a valid token. 401: nobody Google knows. 403: Google knows the sender, but it is not ours."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.status: Literal[401, 403] = 403 if refusal in _KNOWN_BUT_NOT_OURS else 401
        super().__init__(refusal)


_KNOWN_BUT_NOT_OURS: Final[frozenset[Refusal]] = frozenset({"wrong_audience", "wrong_email", "unverified_email"})


class CertificatesUnavailableError(Exception):
    """Google's certificates could not be fetched and the kept ones are too old: nothing can be judged; answer 503."""


class CertificateCache:
    """Keeps certificates: refreshed hourly, or for an unknown key id, or not at all while Google is unreachable.

    A failed refresh is tried again after a minute; the kept certificates serve up to a day. Thread-safe.
    """

    FRESH_SECONDS: Final = 3600.0
    USABLE_SECONDS: Final = 86_400.0
    PAUSE_SECONDS: Final = 60.0
    """Between two fetches, whoever asks: a stream of forged tokens must not become a stream of requests to Google."""

    def __init__(self, fetch: Callable[[], Certificates], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._certificates: Certificates = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def get(self, key_id: str | None) -> Certificates:
        """Return certificates, those of a key id included if Google has it; raises CertificatesUnavailableError."""
        with self._lock:
            now = self._monotonic()
            is_fresh = self._fetched_at is not None and now - self._fetched_at < self.FRESH_SECONDS
            may_try = self._tried_at is None or now - self._tried_at >= self.PAUSE_SECONDS
            if may_try and not (is_fresh and (key_id is None or key_id in self._certificates)):
                self._refresh(now)
            if self._fetched_at is None or now - self._fetched_at >= self.USABLE_SECONDS:
                raise CertificatesUnavailableError
            return self._certificates

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            self._certificates = self._fetch()
        except (requests.RequestException, msgspec.MsgspecError) as error:
            if self._fetched_at is None or now - self._fetched_at >= self.USABLE_SECONDS:
                raise CertificatesUnavailableError from error
        else:
            self._fetched_at = now


def fetch_google_certificates() -> Certificates:
    """Ask Google for its current certificates; raises requests.RequestException or msgspec.MsgspecError."""
    response = requests.get(CERTIFICATES_URL, timeout=_FETCH_TIMEOUT_SECONDS)
    response.raise_for_status()
    return msgspec.json.decode(response.content, type=dict[str, str])


class PushAuthenticator:
    """Judges the Authorization header of a push."""

    def __init__(self, *, audience: str, email: str, certificates: CertificateCache | None = None) -> None:
        self._audience = audience
        self._email = email
        self._certificates = certificates or CertificateCache(fetch_google_certificates)

    def check(self, authorization: str | None) -> None:
        """Return if the token is valid and ours; raises TokenRefusedError or CertificatesUnavailableError."""
        claims = self._verified(_bearer_token(authorization))
        if claims.get("iss") not in ISSUERS:
            raise TokenRefusedError("wrong_issuer")
        if claims.get("aud") != self._audience:
            raise TokenRefusedError("wrong_audience")
        if claims.get("email") != self._email:
            raise TokenRefusedError("wrong_email")
        if claims.get("email_verified") is not True:
            raise TokenRefusedError("unverified_email")

    def _verified(self, token: str) -> Mapping[str, Any]:
        """Check form, signature and time."""
        try:
            key_id = google.auth.jwt.decode_header(token).get("kid")  # type: ignore[no-untyped-call]
        except (GoogleAuthError, ValueError, TypeError, AttributeError) as error:
            raise TokenRefusedError("malformed") from error
        certificates = self._certificates.get(key_id if isinstance(key_id, str) else None)
        try:
            claims = google.auth.jwt.decode(  # type: ignore[no-untyped-call]
                token, certs=dict(certificates), clock_skew_in_seconds=CLOCK_SKEW_SECONDS
            )
        except (GoogleAuthError, ValueError, TypeError) as error:
            raise TokenRefusedError("bad_signature_or_expired") from error
        if not isinstance(claims, Mapping):
            raise TokenRefusedError("malformed")
        return claims


def _bearer_token(authorization: str | None) -> str:
    """Take the token out of the header."""
    if not authorization:
        raise TokenRefusedError("no_token")
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise TokenRefusedError("no_token")
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise TokenRefusedError("malformed")
    return token
