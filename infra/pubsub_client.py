"""How clients of Pub/Sub are made: where to, as whom, and how their errors are named."""

from datetime import UTC, datetime
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
from google.api_core import exceptions as api
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from core.runs.errors import ErrorCode, OrgError
from infra.credentials import PUBSUB_SCOPES, google_credentials
from infra.settings import Settings

_ANY_SIZE: Final = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
"""As Google's own clients have it: a message may be larger than the 4 MB that gRPC takes by default."""


def require_project(settings: Settings, otherwise: str = "") -> str:
    """Return the project of topics and subscriptions; raises OrgError SETTINGS_INVALID where there is none."""
    if settings.pubsub_project is None:
        detail = "PUBSUB_PROJECT is not set" + (f": {otherwise}" if otherwise else "")
        raise OrgError(ErrorCode.SETTINGS_INVALID, detail=detail)
    return settings.pubsub_project


def connection(
    settings: Settings, transport: type[PublisherGrpcTransport] | type[SubscriberGrpcTransport]
) -> dict[str, Any]:
    """Say where to and as whom. An emulator gets a connection without credentials, whatever the environment says."""
    if settings.pubsub_emulator_host is not None:
        channel = grpc.insecure_channel(settings.pubsub_emulator_host, options=_ANY_SIZE)
        return {"transport": transport(channel=channel)}
    return {"credentials": google_credentials(settings.gcs_keyfile_json, PUBSUB_SCOPES)}


def reason_of(error: BaseException) -> str:
    """Name an error by its gRPC status, without its message."""
    if isinstance(error, api.RetryError) and error.cause is not None:
        return reason_of(error.cause)
    if isinstance(error, api.GoogleAPICallError) and error.grpc_status_code is not None:
        return str(error.grpc_status_code.name)
    return type(error).__name__


def plain_time(stamp: datetime | None) -> datetime | None:
    """Return a time of a message, UTC, without the nanoseconds that Google's own class adds to ``datetime``."""
    return None if stamp is None else datetime.fromtimestamp(stamp.timestamp(), UTC)


def unreachable(what: str, reason: str) -> OrgError:
    """Say what was tried (publish to, pull from) and why it did not succeed."""
    return OrgError(ErrorCode.BUS_UNREACHABLE, detail=f"{what}: {reason}")
