"""Answers and numbers of the door that no server needs to be started for."""

from dataclasses import replace
from datetime import date
from typing import cast

import flask
import pytest
from msgspec.structs import replace as struct_replace

from core.runs.errors import ERRORS, ErrorCode, OrgError, unforeseen
from core.runs.service import Handled
from events.payloads import RequestCounts, RunChecksums, RunCompleted, RunCounts
from events.types import parse_org_id
from handlers import answers, main
from handlers.bootstrap import App, build
from handlers.observe import SKIP_KINDS, Observer, skip_kind
from handlers.process import Process, Runtime
from infra.auth import CertificatesUnavailableError, PushAuthenticator, TokenRefusedError
from infra.settings import Settings, SettingsError

COMPLETED = RunCompleted(
    org_id=parse_org_id("acme"), run_id="0" * 32, changed=True, replayed=False, as_of=date(2026, 1, 1), event_ids=(),
    counts=RunCounts(
        contacts=5, contacts_invalid=0, emails_scheduled=3, emails_skipped=2, rows_inserted=5, rows_updated=1,
        rows_deleted=0, rows_missed=0, rows_unchanged=7, dropped_locked=0,
    ),
    scheduled_by_type={}, skipped_by_reason={"exclusion:birthday_window:CA": 1, "from_the_future": 1},
    issues_by_code={}, volume_by_day={}, cap=None, cap_exceeded_days=(), config_hash="", generation=2,
    parent_generation=1, bytes_down=10, bytes_up=20, requests=RequestCounts(a=1, b=2), pages_changed=3,
    durations_seconds={"plan": 0.5, "unknown_step": 1.0},
    checksums=RunChecksums(contacts="", schedules_before="", schedules_after=""), warnings=(),
)  # fmt: skip


class Judge:
    """An authenticator that has made up its mind."""

    def __init__(self, verdict: Exception) -> None:
        self._verdict = verdict

    def check(self, authorization: str | None) -> None:
        raise self._verdict


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    return build(Settings(data_dir=tmp_path_factory.mktemp("door")))


def answer_with(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> flask.Response:
    process = Process()
    monkeypatch.setattr(process, "_runtime", runtime)
    monkeypatch.setattr(main, "PROCESS", process)
    with flask.Flask(__name__).test_request_context("/", method="POST", data=b"{}"):
        return cast(flask.Response, main.handle(flask.request))


@pytest.mark.parametrize(
    ("verdict", "status", "code"),
    [
        (TokenRefusedError("bad_signature_or_expired"), 401, "bad_signature_or_expired"),
        (TokenRefusedError("wrong_audience"), 403, "wrong_audience"),
        (TokenRefusedError("wrong_email"), 403, "wrong_email"),
        (CertificatesUnavailableError(), 503, "certificates_unavailable"),
    ],
)
def test_the_token_decides_before_anything_is_read(
    app: App, monkeypatch: pytest.MonkeyPatch, verdict: Exception, status: int, code: str
) -> None:
    judge = cast(PushAuthenticator, Judge(verdict))
    response = answer_with(Runtime(app, judge, Observer()), monkeypatch)
    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    assert ("Retry-After" in response.headers) == (status == 503)


def test_an_exception_that_nobody_foresaw_tells_its_place_and_not_its_text(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = cast(PushAuthenticator, Judge(RuntimeError("ada@example.com")))
    response = answer_with(Runtime(app, judge, Observer()), monkeypatch)
    assert (response.status_code, response.get_json()["code"]) == (503, "scheduler_failed")
    assert b"ada@example.com" not in response.get_data()
    assert "RuntimeError in check" in response.get_json()["message"]


@pytest.mark.parametrize("code", [code for code in ErrorCode if ERRORS[code].answer == "retry"])
def test_every_retryable_error_says_when_to_come_again(code: ErrorCode) -> None:
    refusal = answers.refusal_of([Handled("done"), Handled("retry", error=OrgError(code, "acme"))])
    assert refusal is not None
    assert (refusal.status.value, refusal.code) == (503, code.value)
    assert int(refusal.headers["Retry-After"]) > 0
    assert refusal.hint


@pytest.mark.parametrize("outcome", ["done", "rejected", "failed"])
def test_what_is_settled_is_acknowledged(outcome: str) -> None:
    assert answers.refusal_of([Handled(outcome)]) is None  # type: ignore[arg-type]
    assert answers.refusal_of([]) is None


def test_a_refusal_is_streamed_so_that_the_framework_reads_no_further() -> None:
    assert answers.refused(answers.METHOD).is_streamed


# ------------------------------------------------------------------------------------------------ the process


def test_a_failed_build_is_not_repeated_at_once() -> None:
    calls: list[int] = []

    def build_nothing(_settings: Settings) -> App:
        calls.append(1)
        raise OrgError(ErrorCode.BUCKET_UNREACHABLE)

    process = Process(build_nothing)
    process.use(Settings())
    for _ in range(3):
        with pytest.raises(OrgError):
            process.runtime()
    assert calls == [1]
    assert process.peek() is None


def test_the_runtime_is_built_once(app: App) -> None:
    calls: list[int] = []

    def build_app(_settings: Settings) -> App:
        calls.append(1)
        return app

    process = Process(build_app)
    process.use(Settings())
    assert process.runtime() is process.runtime()
    assert calls == [1]


def test_every_wrong_setting_is_a_record_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("RUN_SLOTS", "0")
    with pytest.raises(SettingsError):
        Process().runtime()
    lines = [line for line in capsys.readouterr().err.splitlines() if "cannot_start" in line]
    assert ["PORT is" in line for line in lines].count(True) == 1
    assert ["RUN_SLOTS is" in line for line in lines].count(True) == 1


def test_the_place_of_an_unexpected_error_is_where_it_was_raised() -> None:
    try:
        int("ada@example.com")
    except ValueError as error:
        found = unforeseen(error)
    assert found.detail.startswith("ValueError in test_the_place_of_an_unexpected_error")
    assert "ada" not in found.detail


# ------------------------------------------------------------------------------------------------ numbers


def test_events_that_share_a_run_count_it_once() -> None:
    observer = Observer()
    for _ in range(3):
        observer.handled(Handled("done", COMPLETED))
    observer.handled(Handled("done", struct_replace(COMPLETED, replayed=True)))
    observer.handled(Handled("done", struct_replace(COMPLETED, changed=False)))
    observer.handled(Handled("retry", error=OrgError(ErrorCode.LEASE_BUSY)))
    text = observer.exposition(None).decode()
    for outcome in ("committed", "duplicate", "unchanged", "retry"):
        assert f'emailsched_runs_total{{outcome="{outcome}"}} 1.0' in text
    assert 'emailsched_rows_total{change="inserted"} 10.0' in text
    assert 'emailsched_bucket_bytes_total{direction="up"} 40.0' in text
    assert 'emailsched_bucket_requests_total{class="b"} 4.0' in text
    assert 'emailsched_step_seconds_count{step="plan"} 2.0' in text
    assert 'emailsched_skips_total{kind="exclusion:birthday_window"} 2.0' in text
    assert 'emailsched_skips_total{kind="other"} 2.0' in text


@pytest.mark.parametrize("code", ["on_hold", "unsubscribes_not_suppressed", "schedule_edited"])
def test_a_warning_is_counted_under_its_own_code(code: str) -> None:
    observer = Observer()
    observer.handled(Handled("done", struct_replace(COMPLETED, warnings=(code,))))
    assert f'emailsched_warnings_total{{code="{code}"}} 1.0' in observer.exposition(None).decode()


def test_the_kinds_of_skips_are_few() -> None:
    assert skip_kind("exclusion:year_round:CT") == "exclusion:year_round"
    assert skip_kind("failed_underwriting:global") == "failed_underwriting:global"
    assert len(SKIP_KINDS) < 20


def test_waiters_and_runs_are_shown_as_they_stand(app: App) -> None:
    text = Observer().exposition(replace(app).service).decode()
    assert "emailsched_waiters 0.0" in text
    assert "emailsched_running 0.0" in text
