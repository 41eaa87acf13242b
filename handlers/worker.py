"""The pull door: messages of streaming-pull subscriptions, with the same handler behind it as behind the push door.

For runs that outlast a push, for bulk, and for places that Pub/Sub cannot reach. ``/healthz``, ``/readyz`` and ``/metrics``
are where the server has them.
"""

import os
import signal
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from core.runs.errors import ErrorCode, OrgError, unforeseen
from events.wire import PubSubMessage, decode_message
from handlers import exposition, health
from handlers.answers import retry_after_seconds, unfinished_of
from handlers.bootstrap import open_pull
from handlers.carry import carry_all
from handlers.gunicorn_host import DRAIN_SECONDS_MAX, places
from handlers.process import PROCESS, Runtime, log_refusal
from infra.settings import Settings
from infra.telemetry import LogJournal, configure_logging

DRAINING_SECONDS: Final = 10.0
"""What a stopping worker gives back may be handed to it again while its stream is being closed; it comes a bit later."""

GIVE_BACK_SECONDS: Final = 2.0
"""For the client to say that messages go back; it collects such requests for a moment."""

if TYPE_CHECKING:
    from types import FrameType

    from infra.pubsub_pull import PubsubPull


def work(settings: Settings, subscriptions: Sequence[str]) -> int:
    """Carry messages until SIGTERM, then drain; returns 0 after a drain, 1 where it cannot work or could not drain."""
    configure_logging(settings.log_level)
    PROCESS.use(settings)
    try:
        metrics_listener = exposition.bind(settings)
        health_listener = health.bind(settings)
        pull = open_pull(settings, subscriptions, places=places(settings))
    except OrgError as error:
        log_refusal(error, settings)
        return 1
    if metrics_listener is not None:
        exposition.serve_metrics(metrics_listener, PROCESS)
    health.serve_health(health_listener, PROCESS)
    try:
        runtime = PROCESS.runtime()
    except OrgError:  # logged where it was raised
        return 1
    host, port = health_listener.getsockname()[:2]
    runtime.app.journal.info("listening", host=host, port=port)
    return _until_stopped(pull, runtime, subscriptions)


def _until_stopped(pull: "PubsubPull", runtime: Runtime, subscriptions: Sequence[str]) -> int:
    journal = runtime.app.journal
    ended = threading.Event()
    failures: list[OrgError] = []

    def broken(error: OrgError) -> None:
        journal.error(error.code.value, detail=error.detail, hint=error.hint, retryable=error.retryable)
        failures.append(error)
        ended.set()

    def on_signal(_signal: int, _frame: "FrameType | None") -> None:
        if ended.is_set():  # whoever asks twice cannot wait for the drain: nothing unfinished was acknowledged
            os._exit(1)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    pull.start(lambda message: carry_pulled(message, runtime), broken)
    journal.info("pulling", subscriptions=list(subscriptions))
    ended.wait()
    is_drained = _drain(pull, runtime)
    runtime.app.close()
    if not is_drained:
        # Threads that still run would keep the process, and its messages, from ever coming back.
        os._exit(1)
    return 1 if failures else 0


def _drain(pull: "PubsubPull", runtime: Runtime) -> bool:
    """Take nothing new, send back what waits, let what runs end; says whether all of it did."""
    app = runtime.app
    app.journal.info("draining", waiters=app.service.mailbox.waiters)
    until = app.clock.monotonic() + DRAIN_SECONDS_MAX
    # What waits goes back while the streams are still open: of a closed one it would be kept until its deadline.
    if not app.service.mailbox.drain(until=app.clock.monotonic()):
        app.clock.sleep(GIVE_BACK_SECONDS)
    pull.stop()
    have_ended = app.service.mailbox.drain(until=until)
    is_done = pull.join(until) and have_ended
    app.journal.info("drained", all_ended=is_done, waiters=app.service.mailbox.waiters)
    return is_done


def carry_pulled(message: PubSubMessage, runtime: Runtime) -> float | None:
    """Carry one message to its end; None: it may be forgotten, else in how many seconds it has to come again."""
    app = runtime.app
    arrived = app.clock.monotonic()
    error: OrgError | None
    try:
        decoded = decode_message(message, received_at=app.clock.now_utc())
        error = unfinished_of(carry_all(decoded, runtime, arrived))
    except Exception as raised:  # noqa: BLE001 - the last boundary: the client would log the text of the exception
        error = unforeseen(raised)
        LogJournal().error(error.code.value, detail=error.detail, hint=error.hint, retryable=True)
    app.journal.info(
        "answered",
        acknowledged=error is None,
        code=None if error is None else error.code.value,
        message_id=message.delivery.message_id,
        delivery_attempt=message.delivery.delivery_attempt,
        body_bytes=len(message.data),
        seconds=round(app.clock.monotonic() - arrived, 3),
    )
    if error is None:
        return None
    return DRAINING_SECONDS if error.code is ErrorCode.DRAINING else float(retry_after_seconds(error))


def subscriptions_of(settings: Settings, named: Sequence[str]) -> tuple[str, ...]:
    """Return those that were named, else those of the settings; raises OrgError SETTINGS_INVALID where there are none."""
    chosen = named or [name.strip() for name in (settings.pull_subscriptions or "").split(",") if name.strip()]
    if not chosen:
        detail = "PULL_SUBSCRIPTIONS is not set: set it to the subscriptions to pull from, or name them"
        raise OrgError(ErrorCode.SETTINGS_INVALID, detail=detail)
    return tuple(dict.fromkeys(chosen))
