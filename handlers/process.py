"""What one process serves with: built once, by whichever thread comes first, whatever server hosts it.

A module of its own, because the Functions Framework loads ``handlers/main.py`` under the name ``main``: state in that
file could exist twice.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core.runs.errors import OrgError
from handlers.bootstrap import App, build, settings_from_environment
from handlers.observe import Observer
from infra.auth import PushAuthenticator
from infra.settings import Settings, SettingsError
from infra.telemetry import LogJournal, configure_logging, report_uncaught

PAUSE_SECONDS: Final = 5.0
"""Between two attempts to build, whoever asks: messages must not queue up behind a bucket that does not answer."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The assembled service as the doors see it."""

    app: App
    authenticator: PushAuthenticator | None
    """None: no token is asked for."""
    observer: Observer

    @property
    def is_draining(self) -> bool:
        """Whether new messages are refused because this process is about to stop."""
        return self.app.service.mailbox.is_draining


def build_server(settings: Settings) -> App:
    """Assemble the service of a process that lives on."""
    return build(settings, serving=True)


class Process:
    """Holds the runtime of this process; safe to call from many threads."""

    def __init__(self, build_app: Callable[[Settings], App] = build_server) -> None:
        self._build_app = build_app
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._runtime: Runtime | None = None
        self._failure: OrgError | None = None
        self._failed_at = 0.0

    def use(self, settings: Settings) -> None:
        """Serve with these settings instead of the environment's; before the first ``runtime()``."""
        self._settings = settings

    def runtime(self) -> Runtime:
        """Return the runtime, built on first use; raises OrgError as ``bootstrap.build`` does, and logs why."""
        if self._runtime is not None:
            return self._runtime
        with self._lock:
            if self._runtime is None:
                self._require_pause()
                try:
                    self._runtime = self._built()
                except OrgError as error:
                    self._failure, self._failed_at = error, time.monotonic()
                    log_refusal(error, self._settings)
                    raise
            return self._runtime

    def peek(self) -> Runtime | None:
        """Return the runtime if there is one already; never waits."""
        return self._runtime

    def _require_pause(self) -> None:
        if self._failure is not None and time.monotonic() - self._failed_at < PAUSE_SECONDS:
            raise self._failure

    def _built(self) -> Runtime:
        if self._settings is None:
            configure_logging()  # a complaint about the settings has to look like every other record
            self._settings = settings_from_environment(serving=True)
        settings = self._settings
        configure_logging(settings.log_level)
        report_uncaught()
        authenticator = None
        if settings.oidc_audience is not None and settings.oidc_service_account_email is not None:
            authenticator = PushAuthenticator(
                audience=settings.oidc_audience, email=settings.oidc_service_account_email
            )
        return Runtime(self._build_app(settings), authenticator, Observer())


def log_refusal(error: OrgError, settings: Settings | None) -> None:
    """Say why this process cannot serve: one record for each thing to correct, with what it was trying to use."""
    journal = LogJournal()
    if settings is not None:
        journal = journal.bind(GCS_BUCKET_NAME=settings.gcs_bucket_name, DATA_DIR=str(settings.data_dir))
    problems = error.problems if isinstance(error, SettingsError) else (error.detail,)
    for problem in problems:
        journal.error("cannot_start", code=error.code.value, detail=problem, hint=error.hint)


PROCESS: Final = Process()
"""The one of this process."""
