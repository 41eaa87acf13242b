"""The main door: one Functions Framework HTTP target. It only parses; what a message means is the service's business.

    functions-framework --target handle --source handlers/main.py

runs it as it is; ``handlers.server`` adds what a machine of our own needs.
"""

from dataclasses import replace
from http import HTTPStatus
from typing import Final

import flask
import functions_framework

from core.runs.errors import ErrorCode, OrgError, unforeseen
from events.limits import DEFAULT_LIMITS
from events.wire import decode
from handlers import answers
from handlers.carry import carry_all
from handlers.process import PROCESS, Runtime
from infra.auth import CertificatesUnavailableError, TokenRefusedError
from infra.telemetry import LogJournal

_READ_BYTES: Final = 64 * 1024


@functions_framework.http
def handle(request: flask.Request) -> flask.Response:
    """Answer one HTTP request: 204 if every event in it may be forgotten, else why not; never raises."""
    try:
        refusal = _refusal_of(request)
    except OrgError as error:  # this process cannot serve yet; why is in the log
        refusal = answers.come_again(error)
    except Exception as error:  # noqa: BLE001 - as the comment says
        # The last boundary: the framework would answer with the text of the exception, which may hold anything.
        failure = unforeseen(error)
        LogJournal().error(failure.code.value, detail=failure.detail, hint=failure.hint, retryable=True)
        refusal = answers.come_again(failure)
    return answers.acknowledged() if refusal is None else answers.refused(refusal)


def _refusal_of(request: flask.Request) -> answers.Refusal | None:
    """Take the request through the door; None if all of it was carried to its end."""
    if request.method != "POST":
        return answers.METHOD
    runtime = PROCESS.runtime()
    app = runtime.app
    arrived = app.clock.monotonic()
    refusal = _stranger(request, runtime)
    if refusal is not None:
        app.journal.warning("request_refused", code=refusal.code, status=refusal.status.value)
        return refusal
    if runtime.is_draining:
        return answers.come_again(OrgError(ErrorCode.DRAINING))
    max_bytes = app.settings.max_body_bytes
    body = _body(request, max_bytes)
    if not isinstance(body, bytes):
        app.journal.warning("request_refused", code=body.code, status=body.status.value)
        return body
    with app.tracer.span("door"):
        with app.tracer.span("wire"):
            decoded = decode(
                dict(request.headers),
                body,
                limits=replace(DEFAULT_LIMITS, body_bytes_max=max_bytes),
                received_at=app.clock.now_utc(),
            )
        refusal = answers.refusal_of(carry_all(decoded, runtime, arrived))
    app.journal.info(
        "answered",
        status=(refusal.status if refusal else HTTPStatus.NO_CONTENT).value,
        code=refusal.code if refusal else None,
        events=len(decoded),
        body_bytes=len(body),
        seconds=round(app.clock.monotonic() - arrived, 3),
    )
    return refusal


def _stranger(request: flask.Request, runtime: Runtime) -> answers.Refusal | None:
    """Judge who sends, where that is asked for, before a byte of the body is read."""
    if runtime.authenticator is None:
        return None
    try:
        runtime.authenticator.check(request.headers.get("Authorization"))
    except TokenRefusedError as refused:
        return answers.token_refused(refused.status, refused.refusal)
    except CertificatesUnavailableError:
        return answers.CERTIFICATES
    return None


def _body(request: flask.Request, max_bytes: int) -> bytes | answers.Refusal:
    """Read the whole body, by its declared length and by what really comes; one that breaks off is no message.

    Not ``get_data`` with ``max_content_length``: that returns the first bytes of a chunked body that is too long, and of
    a body whose sender went away, as if they were all of it.
    """
    declared = request.content_length
    if declared is not None and declared > max_bytes:
        return answers.too_large(max_bytes)
    body = bytearray()
    try:
        while len(body) <= max_bytes and (part := request.stream.read(_READ_BYTES)):
            body += part
    except Exception as error:  # noqa: BLE001 - each server has errors of its own for a body that breaks off
        LogJournal().info("body_broke_off", kind=type(error).__name__, body_bytes=len(body))
        return answers.INCOMPLETE_BODY
    if len(body) > max_bytes:
        return answers.too_large(max_bytes)
    if declared is not None and len(body) < declared:
        return answers.INCOMPLETE_BODY
    return bytes(body)
