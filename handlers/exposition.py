"""The metrics' own port: one scrape at a time, so that whoever scrapes cannot take threads from the messages."""

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

from core.runs.errors import ErrorCode, OrgError
from handlers.fleet_watch import FleetWatch
from handlers.process import Process
from infra.metrics import CONTENT_TYPE
from infra.settings import Settings

_BACKLOG: Final = 16
_REQUEST_TIMEOUT_SECONDS: Final = 5.0


def bind(settings: Settings) -> socket.socket | None:
    """Take the port before any process is forked, so that one that is in use is an error at start; 0: None.

    Raises OrgError SETTINGS_INVALID.
    """
    if settings.metrics_port == 0:
        return None
    return listen(settings.host, settings.metrics_port, "METRICS_PORT", "0 for none")


def listen(host: str, port: int, setting: str, zero: str) -> socket.socket:
    """Take a port that a setting names; raises OrgError SETTINGS_INVALID where it is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        detail = f"{setting} {port} cannot be bound: {error.strerror}; set another one, or {zero}"
        raise OrgError(ErrorCode.SETTINGS_INVALID, detail=detail) from error


def serve_metrics(listener: socket.socket, process: Process) -> None:
    """Answer ``GET /metrics`` on a bound socket, in a thread that ends with the process."""
    watch = FleetWatch(process)

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT_SECONDS

        def do_GET(self) -> None:  # the name that http.server looks for
            runtime = process.peek()
            if runtime is None or self.path.partition("?")[0] != "/metrics":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            watch.scraped()
            body = runtime.observer.exposition(runtime.app.service)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the method we override
            """Say nothing: scrapes come every few seconds."""

    server = HTTPServer(listener.getsockname()[:2], Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
