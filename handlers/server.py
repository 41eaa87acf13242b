"""The server of the image: the framework's app on gunicorn, with health, bounds, metrics and a drain of our own.

``serve`` is what ``emailsched serve`` runs. ``handlers.server:app`` is the WSGI application for any other server; it is
built when the name is looked up, and ends the process where it cannot be built.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import functions_framework

from core.runs.errors import OrgError
from handlers import exposition
from handlers.frame import Frame
from handlers.gunicorn_host import Host, exit_code_of, places, refuse_to_boot
from handlers.process import PROCESS, log_refusal
from infra.settings import Settings
from infra.telemetry import configure_logging

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    app: WSGIApplication

TARGET = "handle"
SOURCE = Path(__file__).with_name("main.py")


def application() -> "WSGIApplication":
    """Build the WSGI application; where it cannot work, one log record for each reason and SystemExit."""
    try:
        runtime = PROCESS.runtime()
    except OrgError:  # logged where it was raised
        raise refuse_to_boot() from None
    framework_app = functions_framework.create_app(  # type: ignore[no-untyped-call]
        target=TARGET, source=str(SOURCE), signature_type="http"
    )
    return Frame(framework_app, PROCESS, places=places(runtime.app.settings))


def serve(settings: Settings) -> NoReturn:
    """Serve until SIGTERM, then drain; ends the process: SystemExit 0 after a drain, 1 where it cannot serve."""
    configure_logging(settings.log_level)
    PROCESS.use(settings)
    try:
        metrics_listener = exposition.bind(settings)
    except OrgError as error:
        log_refusal(error, settings)
        raise SystemExit(1) from None
    parent = os.getpid()
    try:
        Host(settings, application, metrics_listener).run()
    except SystemExit as ended:
        if os.getpid() != parent:  # the worker leaves through here too, with a code for its parent
            raise
        raise SystemExit(exit_code_of(ended)) from None
    raise SystemExit(1)  # gunicorn's run() does not return


def __getattr__(name: str) -> "WSGIApplication":
    """Build ``app`` when a WSGI server asks for it, and not for those who import ``serve``."""
    if name != "app":
        raise AttributeError(name)
    return application()
