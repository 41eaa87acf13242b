"""Liveness and readiness for a process that serves no messages over HTTP: the frame of the server, with nothing in it."""

import socket
import threading
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from handlers import answers
from handlers.exposition import listen
from handlers.frame import Frame, refuse
from handlers.process import Process
from infra.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CONNECTIONS_MAX: Final = 32
_REQUEST_TIMEOUT_SECONDS: Final = 5.0


def bind(settings: Settings) -> socket.socket:
    """Take HOST and PORT; raises OrgError SETTINGS_INVALID where they are not to be had."""
    return listen(settings.host, settings.port, "PORT", "0 for any")


def serve_health(listener: socket.socket, process: Process) -> None:
    """Answer ``/healthz`` and ``/readyz`` on a bound socket, in threads that end with the process."""
    address, port = listener.getsockname()[:2]
    server = _Server((address, port), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = str(address), int(port)
    server.setup_environ()
    server.set_app(Frame(_nothing_here, process, places=CONNECTIONS_MAX))
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


def _nothing_here(_environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
    return refuse(answers.NOTHING_HERE, start_response)


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per connection, up to a bound: a client that says nothing does not keep the checks waiting."""

    daemon_threads = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_TIMEOUT_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the method we override
        """Say nothing: checks come every few seconds."""
