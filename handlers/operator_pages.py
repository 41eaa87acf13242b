"""Pages for people, behind a login of their own: ``/orgs`` and ``/orgs/<org>/report``.

A report is made by ``emailsched report`` in a process of its own: planning a large org takes memory and the interpreter's
lock, and neither may be taken from the runs and the health checks of this one. One report is made at a time; a page is
kept while its org's object has the generation that it was made of.
"""

import os
import re
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from core.runs.errors import ErrorCode, OrgError, unforeseen
from events.types import OrgId, is_org_id
from handlers import answers
from handlers.operator_index import render_index
from handlers.operator_login import USER, OperatorLogin
from handlers.process import Process, Runtime
from infra.fence import object_name
from infra.status_board import list_statuses

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PREFIX: Final = "/orgs"
PAGES_KEPT: Final = 16
PAGE_SECONDS_MAX: Final = 300.0
"""A report that is not made by then is given up, and its process killed."""
KEPT_SECONDS: Final = 600.0
"""The org's own date moves while its object does not."""

_REPORT_PATH: Final = re.compile(r"/orgs/([^/]+)/report")
_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)

PAGES_OFF: Final = answers.Refusal(
    HTTPStatus.NOT_FOUND,
    "pages_off",
    "this server shows no pages to people",
    "set OPERATOR_PASSWORD, or run `emailsched report ORG`",
)
LOGIN: Final = answers.Refusal(
    HTTPStatus.UNAUTHORIZED,
    "no_login",
    "a page for operators",
    f"log in as {USER} with the password of OPERATOR_PASSWORD",
    MappingProxyType({"WWW-Authenticate": 'Basic realm="emailsched", charset="UTF-8"'}),
)
TOO_MANY_FAILURES: Final = answers.Refusal(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_failures",
    "too many wrong passwords within a minute",
    "wait a minute",
    MappingProxyType({"Retry-After": "60"}),
)
BUSY: Final = answers.Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "report_busy",
    "another report is being made",
    "try again in a moment",
    MappingProxyType({"Retry-After": "10"}),
)
METHOD: Final = answers.Refusal(
    HTTPStatus.METHOD_NOT_ALLOWED,
    "method_not_allowed",
    "pages are read by GET only",
    "use GET",
    MappingProxyType({"Allow": "GET"}),
)

Page = bytes
MakePage = Callable[[OrgId, str], Page]
"""Makes the report of an org, with a folder for temporary files; raises OrgError."""


class _Kept(NamedTuple):
    page: Page
    generation: int
    made_at: float


class OperatorPages:
    """Answers what lies under ``/orgs``; safe to call from many threads."""

    def __init__(self, process: Process, make_page: MakePage | None = None) -> None:
        self._process = process
        self._make_page = make_page or make_report
        self._making = threading.Lock()
        self._kept: OrderedDict[OrgId, _Kept] = OrderedDict()
        self._login: OperatorLogin | None = None

    def answer(self, environ: "WSGIEnvironment") -> "Page | answers.Refusal":
        """Return the page asked for, or why there is none."""
        try:
            runtime = self._process.runtime()
        except OrgError as error:  # this process cannot serve yet; why is in the log
            return answers.come_again(error)
        refusal = self._stranger(environ, runtime)
        if refusal is not None:
            return refusal
        if environ.get("REQUEST_METHOD") != "GET":
            return METHOD
        path = str(environ.get("PATH_INFO", ""))
        try:
            if path.rstrip("/") == PREFIX:
                return render_index(*list_statuses(runtime.app.bucket), now=runtime.app.clock.now_utc())
            return self._report(path, runtime)
        except OrgError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - the last boundary: the server would answer with a bare 500
            failure = unforeseen(error)
        runtime.app.journal.error(failure.code.value, org_id=failure.org_id, detail=failure.detail, hint=failure.hint)
        return _refusal_of(failure)

    def _stranger(self, environ: "WSGIEnvironment", runtime: Runtime) -> answers.Refusal | None:
        """Judge who asks, before anything is looked at."""
        password = runtime.app.settings.operator_password
        if password is None:
            return PAGES_OFF
        if self._login is None:
            self._login = OperatorLogin(password, runtime.app.clock.monotonic)
        header = environ.get("HTTP_AUTHORIZATION")
        verdict = self._login.judge(header if isinstance(header, str) else None)
        if verdict == "welcome":
            return None
        if verdict != "no_login":
            runtime.app.journal.warning("login_refused", code=verdict)
        return TOO_MANY_FAILURES if verdict == "too_many_failures" else LOGIN

    def _report(self, path: str, runtime: Runtime) -> "Page | answers.Refusal":
        found = _REPORT_PATH.fullmatch(path)
        if found is None or not is_org_id(found[1]):
            return answers.NOTHING_HERE
        org_id, app = OrgId(found[1]), runtime.app
        live = app.bucket.stat(object_name(org_id))
        if live is None:
            raise OrgError(ErrorCode.OBJECT_MISSING, org_id, object_name(org_id))
        if not self._making.acquire(blocking=False):
            return BUSY
        try:
            kept = self._kept.get(org_id)
            now = app.clock.monotonic()
            if kept is None or kept.generation != live.generation or now - kept.made_at > KEPT_SECONDS:
                folder = app.settings.data_dir / "reports"
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                kept = _Kept(self._make_page(org_id, str(folder)), live.generation, now)
                app.journal.info("report_made", org_id=org_id, generation=live.generation, bytes=len(kept.page))
            self._kept[org_id] = kept
            self._kept.move_to_end(org_id)
            while len(self._kept) > PAGES_KEPT:
                self._kept.popitem(last=False)
            return kept.page
        finally:
            self._making.release()


def headers() -> dict[str, str]:
    """Return what every page says to the browser: keep nothing, load nothing, run nothing."""
    return dict(_HEADERS)


def make_report(org_id: OrgId, folder: str) -> Page:
    """Run ``emailsched report`` and return its page; raises OrgError as that command reports it."""
    command = [sys.executable, "-m", "handlers.cli", "report", org_id, "--json"]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=PAGE_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OrgError(ErrorCode.SCHEDULER_FAILED, org_id, f"no report within {PAGE_SECONDS_MAX:g} s") from None
    return page_of(done.stdout, org_id)


def page_of(output: bytes, org_id: OrgId) -> Page:
    """Read what ``emailsched report --json`` printed; raises OrgError."""
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except msgspec.MsgspecError:
        raise OrgError(ErrorCode.SCHEDULER_FAILED, org_id, "the report's process ended without an answer") from None
    if answer.html is not None:
        return answer.html.encode("utf-8")
    code, detail = (answer.error.code, answer.error.detail) if answer.error else ("", "no page")
    known = code if code in set(ErrorCode) else ErrorCode.SCHEDULER_FAILED
    raise OrgError(ErrorCode(known), org_id, detail)


class _Error(msgspec.Struct):
    code: str
    detail: str = ""


class _Answer(msgspec.Struct):
    html: str | None = None
    error: _Error | None = None


def _refusal_of(error: OrgError) -> answers.Refusal:
    """An org that is not there is not found; what is the org's fault stays so; everything else may be tried again."""
    if error.retryable:
        return answers.come_again(error)
    status = HTTPStatus.NOT_FOUND if error.code is ErrorCode.OBJECT_MISSING else HTTPStatus.UNPROCESSABLE_ENTITY
    return answers.Refusal(status, error.code.value, str(error), error.hint)


def respond(answer: "Page | answers.Refusal") -> tuple[HTTPStatus, dict[str, str], bytes]:
    """Turn a page or a refusal into status, headers and body."""
    if isinstance(answer, answers.Refusal):
        return answer.status, {**headers(), **answer.headers, "Content-Type": answers.JSON}, answers.body_of(answer)
    return HTTPStatus.OK, {**headers(), "Content-Type": "text/html; charset=utf-8"}, answer
