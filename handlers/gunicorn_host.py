"""gunicorn as we need it: one worker, many threads, our log, and a drain that goes on answering while runs end."""

import os
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from handlers.exposition import serve_metrics
from handlers.frame import HEALTH_THREADS
from handlers.process import PROCESS
from infra.settings import Settings
from infra.telemetry import LogJournal, configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIApplication

GRACEFUL_TIMEOUT_SECONDS: Final = 240
"""Below the 300 s after which Fly kills a machine."""
DRAIN_SECONDS_MAX: Final = 230.0
DRAIN_SECONDS_MIN: Final = 1.0
"""A stopping server refuses for at least so long, so that a proxy sees a 503 rather than a closed port."""
RECEIVE_TIMEOUT_SECONDS: Final = 20
"""Longest silence of a sender in the middle of headers or body; its thread is needed for others."""
KEEPALIVE_SECONDS: Final = 75
HEADERS_MAX: Final = 200
"""An unwrapped push has its message's attributes, up to 100, as headers."""
HANG_MARGIN_SECONDS: Final = 60
"""A worker whose loop stood still for longer than a message may take, and this, is replaced."""
_BOOT_FAILED: Final = 3  # gunicorn's code for "do not try again"
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory in memory, not a file name to be guessed


class DrainingWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, except for SIGTERM: it goes on accepting, and refusing, until no run is in flight.

    Its parent stops listening at once and would leave new connections waiting in the queue of a closed door.
    """

    _is_draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - gunicorn's signature
        """Begin to drain. In a signal handler no lock may be taken, so the loop does it."""
        if not self.booted:
            sys.exit(0)
        self.method_queue.defer(self._start_drain)

    def _start_drain(self) -> None:
        if not self._is_draining:
            self._is_draining = True
            threading.Thread(target=self._drain, name="drain", daemon=True).start()

    def _drain(self) -> None:
        journal = LogJournal()
        try:
            runtime = PROCESS.peek()
            if runtime is not None:
                clock, mailbox = runtime.app.clock, runtime.app.service.mailbox
                started = clock.monotonic()
                journal.info("draining", waiters=mailbox.waiters)
                is_done = mailbox.drain(until=started + DRAIN_SECONDS_MAX)
                clock.sleep(max(0.0, DRAIN_SECONDS_MIN - (clock.monotonic() - started)))
                journal.info("drained", all_ended=is_done, waiters=mailbox.waiters)
        finally:
            super().handle_exit(signal.SIGTERM, None)


class JsonLogger(Logger):  # type: ignore[misc]
    """gunicorn's records in the form of all others."""

    def setup(self, cfg: Any) -> None:
        """Let gunicorn set up its handlers, then take them away again."""
        super().setup(cfg)
        configure_logging(cfg.loglevel.upper())


class Host(BaseApplication):  # type: ignore[misc]
    """Runs an application until SIGTERM. Neither GUNICORN_CMD_ARGS nor a gunicorn.conf.py is read."""

    def __init__(
        self, settings: Settings, load: "Callable[[], WSGIApplication]", metrics_listener: socket.socket | None
    ) -> None:
        self._settings = settings
        self._load = load
        self._metrics_listener = metrics_listener
        super().__init__()

    def load_config(self) -> None:
        """Set every option that gunicorn would otherwise take from the environment, and those that we need."""
        for name, value in options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        """Build the application in the worker: gRPC does not survive a fork. Exits where it cannot be built."""
        application = self._load()
        if self._metrics_listener is not None:
            serve_metrics(self._metrics_listener, PROCESS)
        return application


def options(settings: Settings) -> dict[str, Any]:
    """Return gunicorn's options. Threads: everybody who may wait or run, and the health checks."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "workers": 1,  # runs of one org meet in one mailbox; more cores are used by more machines
        "worker_class": DrainingWorker,
        "threads": places(settings) + HEALTH_THREADS,
        "timeout": int(settings.run_deadline_seconds) + HANG_MARGIN_SECONDS,
        "graceful_timeout": GRACEFUL_TIMEOUT_SECONDS,
        "keepalive": KEEPALIVE_SECONDS,
        "limit_request_fields": HEADERS_MAX,
        "header_map": "drop",  # org_id and org-id as headers would be the same name; events.pubsub_binding knows
        "forwarded_allow_ips": "127.0.0.1,::1",
        "preload_app": False,
        "accesslog": None,  # the door logs each answer with what it was about
        "errorlog": "-",
        "loglevel": settings.log_level.lower(),
        "logger_class": JsonLogger,
        "control_socket_disable": True,  # it would be a file in HOME, which may be read-only
        "worker_tmp_dir": str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None,
        "proc_name": "emailsched",
        "when_ready": when_ready,
        "post_worker_init": bound_silence,
        "worker_exit": worker_exit,
    }


def places(settings: Settings) -> int:
    """How many requests with messages may be inside at once."""
    return settings.max_waiters + settings.run_slots


def when_ready(server: Any) -> None:
    """Say where we listen: with port 0 nobody knows yet."""
    address = server.LISTENERS[0].sock.getsockname()
    LogJournal().info("listening", host=address[0], port=address[1])


def bound_silence(worker: Any) -> None:
    """Give up on senders that fall silent. Accepted sockets inherit the option; gunicorn itself waits for ever."""
    patience = struct.pack("ll", RECEIVE_TIMEOUT_SECONDS, 0)
    for listener in worker.sockets:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Flush what the bus still holds."""
    runtime = PROCESS.peek()
    if runtime is not None:
        runtime.app.close()


def refuse_to_boot() -> SystemExit:
    """Return what ends a worker so that gunicorn does not start another one."""
    return SystemExit(_BOOT_FAILED)


def exit_code_of(ended: SystemExit) -> int:
    """Return our exit code for gunicorn's: 0 after a drain, 1 for everything else."""
    return 0 if ended.code in {0, None} else 1
