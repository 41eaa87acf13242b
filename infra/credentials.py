"""Who we are towards Google: a service account key kept in memory, or application default credentials."""

from collections.abc import Sequence
from typing import Final

import google.auth
import msgspec
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.oauth2 import service_account

from core.runs.errors import ErrorCode, OrgError
from infra.secret import Secret

STORAGE_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
PUBSUB_SCOPES: Final = ("https://www.googleapis.com/auth/pubsub",)


def google_credentials(keyfile_json: Secret | None, scopes: Sequence[str]) -> Credentials:
    """Return credentials for the scopes; the key never touches the disk and is in no error.

    Raises OrgError KEYFILE_INVALID (there is a key, but it is none) or KEYFILE_MISSING (no key and no default either).
    """
    if keyfile_json is not None:
        return _of_key(keyfile_json, scopes)
    try:
        credentials, _ = google.auth.default(scopes=list(scopes))
    except DefaultCredentialsError as error:
        raise OrgError(ErrorCode.KEYFILE_MISSING, detail="no application default credentials were found") from error
    return credentials


def _of_key(keyfile_json: Secret, scopes: Sequence[str]) -> Credentials:
    """``from None``: nobody promises that the causes of these errors do not quote the key."""
    try:
        info = msgspec.json.decode(keyfile_json.reveal(), type=dict[str, str])
    except msgspec.MsgspecError:
        raise OrgError(ErrorCode.KEYFILE_INVALID, detail="it is not a JSON object of texts") from None
    try:
        credentials: Credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=list(scopes)
        )
    except (GoogleAuthError, ValueError, TypeError):
        raise OrgError(ErrorCode.KEYFILE_INVALID, detail="a field is missing, or private_key is no RSA key") from None
    return credentials
