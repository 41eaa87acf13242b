"""The WSGI frame around the framework's app: health, and a bound on how many requests may be inside."""

import threading
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from werkzeug.wsgi import ClosingIterator

from core.runs.errors import ErrorCode, OrgError
from handlers import answers, operator_pages
from handlers.process import Process

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEALTH_THREADS: Final = 8
"""Threads of the pool that messages never occupy, so that a health check finds one whatever is going on."""

_FRAMEWORK_PATHS: Final = frozenset({"/robots.txt", "/favicon.ico"})
"""The framework answers them itself, after reading a body of any length."""


class Frame:
    """Answers ``/healthz`` and ``/readyz`` without waiting for anything; lets ``places`` other requests in at a time.

    ``/healthz``: the process answers. ``/readyz``: it takes messages, that is, it is built and not about to stop.
    """

    def __init__(self, app: "WSGIApplication", process: Process, *, places: int) -> None:
        self._app = app
        self._process = process
        self._places = threading.BoundedSemaphore(places)
        self._pages = operator_pages.OperatorPages(process)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        if path == "/healthz":
            return _state("alive", HTTPStatus.OK, start_response)
        if path == "/readyz":
            return self._readiness(start_response)
        if path in _FRAMEWORK_PATHS:
            return refuse(answers.NOTHING_HERE, start_response)
        if not self._places.acquire(blocking=False):
            full = OrgError(ErrorCode.WAITERS_FULL, detail="every place at the door is taken")
            return refuse(answers.come_again(full), start_response)
        try:
            is_page = path == operator_pages.PREFIX or path.startswith(f"{operator_pages.PREFIX}/")
            response = self._page(environ, start_response) if is_page else self._app(environ, start_response)
        except BaseException:
            self._places.release()
            raise
        return ClosingIterator(response, [self._places.release])

    def _page(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, headers, body = operator_pages.respond(self._pages.answer(environ))
        return _send(status, headers, body, start_response)

    def _readiness(self, start_response: "StartResponse") -> Iterable[bytes]:
        runtime = self._process.peek()
        if runtime is None:
            return _state("starting", HTTPStatus.SERVICE_UNAVAILABLE, start_response)
        if runtime.is_draining:
            return _state("draining", HTTPStatus.SERVICE_UNAVAILABLE, start_response)
        return _state("ready", HTTPStatus.OK, start_response)


def _state(state: str, status: HTTPStatus, start_response: "StartResponse") -> Iterable[bytes]:
    return _send(status, {"Cache-Control": "no-store"}, b'{"status":"%s"}' % state.encode("ascii"), start_response)


def refuse(refusal: answers.Refusal, start_response: "StartResponse") -> Iterable[bytes]:
    """Answer with a refusal and its JSON."""
    return _send(refusal.status, dict(refusal.headers), answers.body_of(refusal), start_response)


def _send(status: HTTPStatus, headers: dict[str, str], body: bytes, start_response: "StartResponse") -> Iterable[bytes]:
    all_headers = {"Content-Type": answers.JSON, "Content-Length": str(len(body)), **headers}
    start_response(f"{status.value} {status.phrase}", list(all_headers.items()))
    return [body]
