"""The log: one JSON object per line on stderr with Google's severities, or a form for people on a terminal.

Personal data has no place in it: known keys and everything that looks like an e-mail address are replaced. Records of
other libraries go through the same form.
"""

import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Final, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from infra.secret import SHOWN as SECRET_SHOWN

REDACTED: Final = "[redacted]"

PERSONAL_KEYS: Final = frozenset(
    {
        "email", "email_address", "recipient", "first_name", "last_name", "full_name", "phone", "phone_number",
        "birth_date", "effective_date", "zip_code",
        "authorization", "token", "id_token", "access_token", "password", "private_key", "gcs_keyfile_json",
    }
)  # fmt: skip
"""Keys whose values never reach the log: people and credentials."""

CONTENT_KEYS: Final = frozenset(
    {"contact", "contacts", "changes", "answers", "body", "message_body", "data", "payload", "content", "row", "rows"}
)
"""Keys that may hold what somebody wrote; only a number passes, because it is a count."""

_EMAIL: Final = re.compile(
    r"[^\s@\"'<>(),;:=\[\]{}]{1,64}@(?![a-z0-9.-]{0,200}gserviceaccount\.com)[\w-]{1,63}(\.[\w-]{1,63})+"
)
"""Service accounts look like addresses but are no people, and an operator needs to see which one was refused."""
_CAPABILITY: Final = re.compile(r"(upload_id=|Bearer\s+|access_token=)[^\s&\"'\\]+")
"""What a URL or header in somebody's error message may let its reader do."""

_TEXT_CHARACTERS_MAX: Final = 16_000
_DEPTH_MAX: Final = 6
_ITEMS_MAX: Final = 1_000

_SEVERITIES: Final[Mapping[str, str]] = {
    "warn": "WARNING",
    "exception": "ERROR",
    "fatal": "CRITICAL",
    "notset": "DEFAULT",
}

_CHATTY_LOGGERS: Final = ("google", "google.auth", "google.cloud", "urllib3", "grpc", "werkzeug")
"""Only their warnings are of interest. ``google`` drops everything unless a level was set on it before first use."""
_CLAIMED_LOGGERS: Final = ("gunicorn.error", "gunicorn.access", "flask.app", *_CHATTY_LOGGERS)
"""They bring handlers of their own, which would write lines of another form."""


def configure_logging(level: str = "INFO", *, stream: TextIO | None = None, human: bool | None = None) -> None:
    """Send every record of this process to ``stream`` (stderr) in one form; may be called again.

    ``human`` None: the form for people where the stream is a terminal. Call it again after gunicorn has set up its own.
    """
    target = sys.stderr if stream is None else stream
    for_people = target.isatty() if human is None else human
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *_common()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(for_people=for_people)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CLAIMED_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_common(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # so that a second call takes effect everywhere
    )


def report_uncaught() -> None:
    """Write exceptions that nobody caught, in any thread, as records too instead of as bare tracebacks."""

    def in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        structlog.stdlib.get_logger("emailsched").critical("uncaught_exception", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else ""
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        structlog.stdlib.get_logger("emailsched").critical("uncaught_exception", thread=name, exc_info=info)

    sys.excepthook = in_main
    threading.excepthook = in_thread


class LogJournal:
    """The ``Journal`` that writes to the log; ``bind`` returns one that adds facts to each of its records."""

    def __init__(self, **facts: object) -> None:
        self._facts = facts
        self._log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("emailsched").bind(**facts)

    def bind(self, **facts: object) -> "LogJournal":
        """Return a journal with further facts, such as org_id and run_id."""
        return LogJournal(**{**self._facts, **facts})

    def debug(self, event: str, **facts: object) -> None:
        """Record a detail."""
        self._log.debug(event, **facts)

    def info(self, event: str, **facts: object) -> None:
        """Record a step of the normal sequence."""
        self._log.info(event, **facts)

    def warning(self, event: str, **facts: object) -> None:
        """Record something an operator should look at; the run goes on."""
        self._log.warning(event, **facts)

    def error(self, event: str, **facts: object) -> None:
        """Record a failure; ``exc_info=True`` inside an except block adds the traceback."""
        self._log.error(event, **facts)


@contextmanager
def run_context(*, org_id: str, run_id: str | None = None) -> Iterator[None]:
    """Add org_id and run_id to every record of this thread, other libraries' included, inside the block."""
    ids = {"org_id": org_id} if run_id is None else {"org_id": org_id, "run_id": run_id}
    with structlog.contextvars.bound_contextvars(**ids):
        yield


def redact(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Replace personal data, secrets and capabilities, at any depth; structlog processor."""
    return {key: _safe(key, value, _DEPTH_MAX) for key, value in event_dict.items()}


def _safe(key: str, value: object, depth: int) -> object:
    """Return a value that may be shown: numbers as they are, texts scrubbed, containers item by item, no bytes."""
    name = key.lower()
    is_number = value is None or isinstance(value, bool | int | float)
    if name in PERSONAL_KEYS or (name in CONTENT_KEYS and not is_number):
        return REDACTED
    if is_number:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _safe_items(value, depth - 1) if depth else "[too deep]"
    return _safe_text(str(value))


def _safe_items(items: Mapping[object, object] | Iterable[object], depth: int) -> object:
    if isinstance(items, Mapping):
        return {str(key): _safe(str(key), value, depth) for key, value in islice(items.items(), _ITEMS_MAX)}
    return [_safe("", item, depth) for item in islice(items, _ITEMS_MAX)]


def _safe_text(text: str) -> str:
    """Scrub a text, and keep the end of one that is too long: that is where a traceback says what happened."""
    scrubbed = _CAPABILITY.sub(rf"\1{SECRET_SHOWN}", _EMAIL.sub(REDACTED, text))
    if len(scrubbed) <= _TEXT_CHARACTERS_MAX:
        return scrubbed
    half = _TEXT_CHARACTERS_MAX // 2
    return f"{scrubbed[:half]}\n[{len(scrubbed) - 2 * half} characters left out]\n{scrubbed[-half:]}"


def _common() -> list[Processor]:
    """What happens to a record wherever it comes from. The exception becomes text before the redaction reads it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redact_but_meta,
    ]


def _redact_but_meta(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    """Leave structlog's own bookkeeping (keys with an underscore) as it is: it does not reach the output."""
    bookkeeping = {key: event_dict.pop(key) for key in ("_record", "_from_structlog") if key in event_dict}
    return {**redact(logger, method, event_dict), **bookkeeping}


def _rendering(*, for_people: bool) -> list[Processor]:
    if for_people:
        return [structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), structlog.dev.ConsoleRenderer()]
    return [
        _severity,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _order,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def _severity(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Name the level as Cloud Logging does."""
    level = str(event_dict.pop("level", "info"))
    event_dict["severity"] = _SEVERITIES.get(level, level.upper())
    return event_dict


def _order(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Put what every record has first: lines are read by people too."""
    first = {key: event_dict.pop(key) for key in ("time", "severity", "event", "org_id", "run_id") if key in event_dict}
    return {**first, **event_dict}
