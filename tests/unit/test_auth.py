"""Push tokens, made with a key of our own and judged offline."""

import time

import pytest
import requests

from infra.auth import CertificateCache, CertificatesUnavailableError, PushAuthenticator, TokenRefusedError
from tests.tokens import AUDIENCE, EMAIL, Signer


@pytest.fixture(scope="module")
def google_key() -> Signer:
    return Signer("k1")


@pytest.fixture(scope="module")
def other_key() -> Signer:
    return Signer("k1")


@pytest.fixture
def door(google_key: Signer) -> PushAuthenticator:
    cache = CertificateCache(lambda: {google_key.key_id: google_key.certificate})
    return PushAuthenticator(audience=AUDIENCE, email=EMAIL, certificates=cache)


def refused(door: PushAuthenticator, authorization: str | None) -> tuple[str, int]:
    with pytest.raises(TokenRefusedError) as caught:
        door.check(authorization)
    return caught.value.refusal, caught.value.status


@pytest.mark.parametrize("issuer", ["accounts.google.com", "https://accounts.google.com"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_good_token_passes(issuer: str, scheme: str, door: PushAuthenticator, google_key: Signer) -> None:
    door.check(f"{scheme} {google_key.token(iss=issuer)}")


NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "refusal", "status"),
    [
        ({"aud": "https://elsewhere.example.com"}, "wrong_audience", 403),
        ({"aud": [AUDIENCE, "https://elsewhere.example.com"]}, "wrong_audience", 403),
        ({"aud": None}, "wrong_audience", 403),
        ({"iss": "https://accounts.example.com"}, "wrong_issuer", 401),
        ({"iss": ["accounts.google.com"]}, "wrong_issuer", 401),
        ({"iss": None}, "wrong_issuer", 401),
        ({"email": "somebody@project.iam.gserviceaccount.com"}, "wrong_email", 403),
        ({"email": None}, "wrong_email", 403),
        ({"email_verified": False}, "unverified_email", 403),
        ({"email_verified": "true"}, "unverified_email", 403),
        ({"iat": NOW - 7200, "exp": NOW - 3600}, "bad_signature_or_expired", 401),
        ({"iat": NOW + 3600, "exp": NOW + 7200}, "bad_signature_or_expired", 401),
        ({"exp": "tomorrow"}, "bad_signature_or_expired", 401),
    ],
)
def test_a_wrong_claim_is_refused(
    claims: dict[str, object], refusal: str, status: int, door: PushAuthenticator, google_key: Signer
) -> None:
    assert refused(door, f"Bearer {google_key.token(**claims)}") == (refusal, status)


def test_another_key_is_refused(door: PushAuthenticator, other_key: Signer) -> None:
    assert refused(door, f"Bearer {other_key.token()}") == ("bad_signature_or_expired", 401)


def test_a_changed_token_is_refused(door: PushAuthenticator, google_key: Signer) -> None:
    head, _, signature = google_key.token(email="x").split(".")
    _, payload, _ = google_key.token().split(".")
    assert refused(door, f"Bearer {head}.{payload}.{signature}") == ("bad_signature_or_expired", 401)


def test_an_unsigned_token_is_refused(door: PushAuthenticator, google_key: Signer) -> None:
    _, payload, _ = google_key.token().split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"  # {"alg":"none","typ":"JWT"}
    assert refused(door, f"Bearer {none}.{payload}.")[1] == 401


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token"])
def test_no_token_is_refused(authorization: str | None, door: PushAuthenticator) -> None:
    assert refused(door, authorization) == ("no_token", 401)


@pytest.mark.parametrize("token", ["x", "a.b.c", "....", "W10.W10.W10", "MQ.MQ.MQ", "ü.ü.ü", "a" * 9000, "\0.\0.\0"])
def test_garbage_is_refused(token: str, door: PushAuthenticator) -> None:
    assert refused(door, f"Bearer {token}") == ("malformed", 401)


class Google:
    """Serves certificates, counts how often, and can be down."""

    def __init__(self) -> None:
        self.certificates = {"k1": "one"}
        self.fetches = 0
        self.is_down = False
        self.now = 1000.0

    def fetch(self) -> dict[str, str]:
        self.fetches += 1
        if self.is_down:
            raise requests.ConnectionError
        return dict(self.certificates)


def test_certificates_are_kept_for_an_hour() -> None:
    google = Google()
    cache = CertificateCache(google.fetch, lambda: google.now)
    for _ in range(100):
        assert cache.get("k1") == {"k1": "one"}
    google.now += 3599
    cache.get("k1")
    assert google.fetches == 1
    google.now += 1
    cache.get("k1")
    assert google.fetches == 2


def test_an_unknown_key_is_asked_for_but_not_for_each_forged_token() -> None:
    google = Google()
    cache = CertificateCache(google.fetch, lambda: google.now)
    cache.get("k1")
    google.certificates = {"k2": "two"}
    google.now += 61
    assert cache.get("k2") == {"k2": "two"}
    for n in range(100):
        cache.get(f"forged-{n}")
    assert google.fetches == 2


def test_kept_certificates_serve_through_an_outage_of_a_day_at_most() -> None:
    google = Google()
    cache = CertificateCache(google.fetch, lambda: google.now)
    cache.get("k1")
    google.is_down = True
    google.now += 86_399
    assert cache.get("k1") == {"k1": "one"}
    google.now += 1
    for _ in range(3):
        with pytest.raises(CertificatesUnavailableError):
            cache.get("k1")
    google.is_down = False
    google.now += 60
    assert cache.get("k1") == {"k1": "one"}


def test_without_certificates_nothing_is_judged(google_key: Signer) -> None:
    google = Google()
    google.is_down = True
    cache = CertificateCache(google.fetch, lambda: google.now)
    door = PushAuthenticator(audience=AUDIENCE, email=EMAIL, certificates=cache)
    for _ in range(3):
        with pytest.raises(CertificatesUnavailableError):
            door.check(f"Bearer {google_key.token()}")
    assert google.fetches == 1
