"""Credentials live in memory, and no error, log or repr shows them; what Google's token server says is translated."""

import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google.auth
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.exceptions import DefaultCredentialsError

from core.runs.errors import ErrorCode, OrgError
from infra.credentials import STORAGE_SCOPES, google_credentials
from infra.gcs import GcsBucket
from infra.gcs_client import GcsLimits
from infra.secret import Secret
from infra.settings import Settings

FAST = GcsLimits(
    timeout_seconds=1, deadline_seconds=0.5, retry_first_seconds=0.01, retry_longest_seconds=0.05, connections=7
)


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


def keyfile(private_key: str, token_uri: str = "http://127.0.0.1:9/token") -> Secret:  # noqa: S107 - an address
    return Secret(
        json.dumps(
            {
                "type": "service_account",
                "client_email": "s@p.iam.gserviceaccount.com",
                "private_key": private_key,
                "token_uri": token_uri,
            }
        )
    )


class TokenServer(ThreadingHTTPServer):
    """Refuses every key, as Google does with a deleted one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RefuseToken)
        self.asked = 0


class RefuseToken(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        self.server.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    with TokenServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_key_in_memory_is_enough(private_key: str) -> None:
    credentials = google_credentials(keyfile(private_key), STORAGE_SCOPES)
    assert getattr(credentials, "service_account_email", None) == "s@p.iam.gserviceaccount.com"
    assert not credentials.valid


@pytest.mark.parametrize("text", ["not json", '{"client_email": 5}', '{"client_email": "a", "token_uri": "b"}'])
def test_a_key_that_is_none_is_named_and_not_shown(text: str) -> None:
    with pytest.raises(OrgError) as caught:
        google_credentials(Secret(text), STORAGE_SCOPES)
    assert caught.value.code is ErrorCode.KEYFILE_INVALID


def test_a_damaged_private_key_is_in_no_part_of_the_error(private_key: str) -> None:
    damaged = private_key.replace("\n", "\nHUSH", 3)
    with pytest.raises(OrgError) as caught:
        google_credentials(keyfile(damaged), STORAGE_SCOPES)
    assert caught.value.code is ErrorCode.KEYFILE_INVALID
    assert "HUSH" not in "".join(traceback.format_exception(caught.value))


def test_without_a_key_and_without_a_default_the_hint_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(**_: object) -> None:
        raise DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", nothing)
    with pytest.raises(OrgError) as caught:
        GcsBucket.connect(Settings(gcs_bucket_name="bucket"))
    assert caught.value.code is ErrorCode.KEYFILE_MISSING
    assert "GCS_KEYFILE_JSON" in caught.value.hint


def test_without_a_name_there_is_no_bucket() -> None:
    with pytest.raises(OrgError, match="GCS_BUCKET_NAME"):
        GcsBucket.connect(Settings())


def test_a_key_that_google_refuses_is_a_refusal(private_key: str, token_server: TokenServer) -> None:
    uri = f"http://127.0.0.1:{token_server.server_address[1]}/token"
    settings = Settings(gcs_bucket_name="bucket", gcs_keyfile_json=keyfile(private_key, uri))
    with closing(GcsBucket.connect(settings, FAST)) as bucket, pytest.raises(OrgError) as caught:
        bucket.stat("name")
    assert caught.value.code is ErrorCode.BUCKET_REFUSED
    assert "GCS_KEYFILE_JSON" in caught.value.hint
    assert token_server.asked == 1
    assert private_key[100:200] not in "".join(traceback.format_exception(caught.value))


def test_an_unreachable_token_server_is_an_outage(private_key: str) -> None:
    settings = Settings(gcs_bucket_name="bucket", gcs_keyfile_json=keyfile(private_key))
    with closing(GcsBucket.connect(settings, FAST)) as bucket, pytest.raises(OrgError) as caught:
        bucket.stat("name")
    assert caught.value.code is ErrorCode.BUCKET_UNREACHABLE


def test_the_pool_is_as_large_as_the_number_of_threads() -> None:
    settings = Settings(
        gcs_bucket_name="bucket", storage_emulator_host="http://127.0.0.1:9", max_waiters=30, run_slots=3
    )
    with closing(GcsBucket.connect(settings)) as bucket:
        adapter = bucket._client._http.get_adapter("https://storage.googleapis.com")
        assert adapter._pool_maxsize == 33
