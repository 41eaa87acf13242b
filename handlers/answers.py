"""The HTTP answers: one table of what a sender is told, and the JSON of a refusal."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
from flask import Response

from core.runs.errors import ErrorCode, OrgError
from core.runs.fanout import unfinished
from core.runs.service import Handled

JSON: Final = "application/json"


class Refusal(NamedTuple):
    """One row: status, and for the sender a stable code, what happened, and what to do next."""

    status: HTTPStatus
    code: str
    message: str
    hint: str
    headers: Mapping[str, str] = MappingProxyType({})


RETRY_AFTER_SECONDS: Final = 30
"""Unless the code says otherwise."""

RETRY_AFTER_SECONDS_BY_CODE: Final[Mapping[ErrorCode, int]] = MappingProxyType(
    {
        ErrorCode.DRAINING: 1,  # another machine can take it at once
        ErrorCode.WAITERS_FULL: 10,
        ErrorCode.LEASE_BUSY: 10,
        ErrorCode.FENCE_LOST: 10,
    }
)

METHOD: Final = Refusal(
    HTTPStatus.METHOD_NOT_ALLOWED,
    "method_not_allowed",
    "messages are taken by POST only",
    "POST a Pub/Sub push or a CloudEvent; health is at /healthz and /readyz",
    MappingProxyType({"Allow": "POST"}),
)
NOTHING_HERE: Final = Refusal(HTTPStatus.NOT_FOUND, "not_found", "nothing is served here", "POST messages to /")
INCOMPLETE_BODY: Final = Refusal(
    HTTPStatus.BAD_REQUEST, "incomplete_body", "the body ended before it was complete", "send the message again"
)
CERTIFICATES: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "certificates_unavailable",
    "the token could not be judged: Google's certificates cannot be fetched",
    "the message comes again; check the network of this machine",
    MappingProxyType({"Retry-After": "60"}),
)


def too_large(max_bytes: int) -> Refusal:
    """The body is over the limit."""
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"the body is larger than {max_bytes} bytes",
        "send fewer items in one message, or raise MAX_BODY_BYTES",
    )


def token_refused(status: int, code: str) -> Refusal:
    """There is no token (401), or it is somebody else's (403)."""
    challenge = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    hint = "push with OIDC: the audience and the service account that OIDC_AUDIENCE and OIDC_SERVICE_ACCOUNT_EMAIL name"
    return Refusal(HTTPStatus(status), code, "the request carries no valid token of ours", hint, challenge)


def retry_after_seconds(error: OrgError) -> int:
    """How long a sender should wait before it sends again."""
    return RETRY_AFTER_SECONDS_BY_CODE.get(error.code, RETRY_AFTER_SECONDS)


def come_again(error: OrgError) -> Refusal:
    """Nothing is lost, but the sender has to send it again."""
    headers = {"Retry-After": str(retry_after_seconds(error))}
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.code.value, str(error), error.hint, headers)


def refusal_of(handled: Iterable[Handled]) -> Refusal | None:
    """None if the whole request may be forgotten, else why it has to come again: the first reason found."""
    error = unfinished_of(handled)
    return None if error is None else come_again(error)


def unfinished_of(handled: Iterable[Handled]) -> OrgError | None:
    """Return why a message has to come again, None if it may be forgotten."""
    return next((unfinished(one) for one in handled if not one.acknowledged), None)


def acknowledged() -> Response:
    """204 and nothing else: 202 would be sent again by the emulator."""
    response = Response(status=HTTPStatus.NO_CONTENT)
    del response.headers["Content-Type"]
    return response


def refused(refusal: Refusal) -> Response:
    """Build the response of a refusal.

    It is streamed, because after any other response the framework reads the rest of the request's body, however long
    that is; and it states its length, so that no client has to understand chunks.
    """
    body = body_of(refusal)
    response = Response((part for part in (body,)), status=refusal.status, content_type=JSON)
    response.headers.update(refusal.headers)
    response.headers["Content-Length"] = str(len(body))
    return response


def body_of(refusal: Refusal) -> bytes:
    """Write the JSON body of a refusal."""
    return msgspec.json.encode({"code": refusal.code, "message": refusal.message, "hint": refusal.hint})
