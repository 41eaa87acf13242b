"""The log is one JSON object per line without personal data; the metrics have no labels without an end."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from infra.metrics import Metrics
from infra.secret import Secret
from infra.telemetry import LogJournal, configure_logging, redact, report_uncaught, run_context

Records = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    target = io.StringIO()
    configure_logging("INFO", stream=target)
    return target


def records(stream: io.StringIO) -> Records:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_line_with_severity_event_and_time(stream: io.StringIO) -> None:
    LogJournal(org_id="acme", run_id="r1").info("synced_down", bytes_down=5)
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    time = record.pop("time")
    assert record == {"severity": "INFO", "event": "synced_down", "org_id": "acme", "run_id": "r1", "bytes_down": 5}
    assert time.endswith("Z")
    assert time[10] == "T"


def test_severities_are_googles(stream: io.StringIO) -> None:
    journal = LogJournal()
    journal.debug("no")
    journal.info("a")
    journal.warning("b")
    journal.error("c")
    assert [record["severity"] for record in records(stream)] == ["INFO", "WARNING", "ERROR"]


def test_bind_adds_facts_and_leaves_the_original(stream: io.StringIO) -> None:
    journal = LogJournal(org_id="acme")
    journal.bind(run_id="r1").info("a")
    journal.info("b")
    assert [record.get("run_id") for record in records(stream)] == ["r1", None]


def test_ids_of_a_run_are_on_records_of_other_libraries_too(stream: io.StringIO) -> None:
    with run_context(org_id="acme", run_id="r1"):
        logging.getLogger("urllib3.connectionpool").warning("retrying %s", "x")
    logging.getLogger("urllib3.connectionpool").warning("later")
    first, second = records(stream)
    assert (first["org_id"], first["run_id"], first["event"]) == ("acme", "r1", "retrying x")
    assert first["logger"] == "urllib3.connectionpool"
    assert "org_id" not in second


def test_ids_do_not_leak_into_another_thread(stream: io.StringIO) -> None:
    with run_context(org_id="acme"):
        thread = threading.Thread(target=lambda: LogJournal().info("elsewhere"))
        thread.start()
        thread.join()
    assert "org_id" not in records(stream)[0]


@pytest.mark.parametrize(
    "name", ["google", "google.auth.transport", "gunicorn.error", "urllib3", "werkzeug", "anybody"]
)
def test_other_loggers_take_the_same_form(name: str, stream: io.StringIO) -> None:
    logging.getLogger(name).warning("hello", extra={"attempt": 2})
    (record,) = records(stream)
    assert (record["severity"], record["event"], record["logger"], record["attempt"]) == ("WARNING", "hello", name, 2)


def test_a_logger_with_handlers_of_its_own_is_claimed_back(stream: io.StringIO) -> None:
    logger = logging.getLogger("gunicorn.error")
    own = io.StringIO()
    logger.addHandler(logging.StreamHandler(own))
    logger.propagate = False
    configure_logging("INFO", stream=stream)
    logger.warning("boot")
    assert own.getvalue() == ""
    assert records(stream)[0]["event"] == "boot"


def test_chatter_of_libraries_is_left_out(stream: io.StringIO) -> None:
    configure_logging("DEBUG", stream=stream)
    logging.getLogger("urllib3.connectionpool").debug("PUT /upload?upload_id=1")
    logging.getLogger("google.auth").info("refreshing")
    assert records(stream) == []


def test_warnings_are_records(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    (record,) = records(stream)
    assert "old thing" in record["event"]


def test_a_traceback_stays_on_its_line(stream: io.StringIO) -> None:
    try:
        int("bad address ada@example.com")
    except ValueError:
        LogJournal().error("failed", exc_info=True)
    (record,) = records(stream)
    assert "bad address [redacted]" in record["exception"]


def test_uncaught_exceptions_of_threads_are_records(stream: io.StringIO) -> None:
    report_uncaught()
    thread = threading.Thread(target=lambda: 1 // 0, name="leader")
    thread.start()
    thread.join()
    try:
        _ = 1 // 0
    except ZeroDivisionError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    first, second = records(stream)
    assert (first["severity"], first["event"], first["thread"]) == ("CRITICAL", "uncaught_exception", "leader")
    assert "ZeroDivisionError" in second["exception"]


def redacted(**facts: object) -> dict[str, Any]:
    return dict(redact(None, "info", dict(facts)))


@pytest.mark.parametrize("key", ["email", "first_name", "Last_Name", "phone_number", "birth_date", "authorization"])
def test_personal_keys_are_redacted_whatever_their_value(key: str) -> None:
    assert redacted(**{key: "x"}) == {key: "[redacted]"}
    assert redacted(**{key: 5551234}) == {key: "[redacted]"}
    assert redacted(deep=[{key: ["x"]}]) == {"deep": [{key: "[redacted]"}]}


def test_contents_are_redacted_and_counts_pass() -> None:
    assert redacted(body="dear", contacts=[{"id": 1}]) == {"body": "[redacted]", "contacts": "[redacted]"}
    assert redacted(contacts=12, changes=0) == {"contacts": 12, "changes": 0}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to ada@example.com now", "to [redacted] now"),
        ("to <jürgen@müller.example>", "to <[redacted]>"),
        ("a@b.co,svc@p.iam.gserviceaccount.com", "[redacted],svc@p.iam.gserviceaccount.com"),
        ("PUT /o?upload_id=ABc-9&x=1", "PUT /o?upload_id=[secret]&x=1"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer [secret]"),
        ("no address: a@b", "no address: a@b"),
    ],
)
def test_texts_are_scrubbed(text: str, shown: str) -> None:
    assert redacted(note=text) == {"note": shown}


def test_other_values_are_shown_without_their_content() -> None:
    shown = redacted(raw=b"abc", key=Secret("hush"), error=ValueError("for ada@example.com"), none=None, flag=True)
    assert shown == {"raw": "[3 bytes]", "key": "[secret]", "error": "for [redacted]", "none": None, "flag": True}


def test_a_long_text_keeps_its_end() -> None:
    note = redacted(note="a" * 100_000 + "the reason")["note"]
    assert len(note) < 17_000
    assert note.endswith("the reason")
    assert "characters left out" in note


def test_a_deep_structure_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert "[too deep]" in json.dumps(redacted(loop=value))


def test_people_get_a_form_of_their_own() -> None:
    stream = io.StringIO()
    configure_logging("INFO", stream=stream, human=True)
    LogJournal(org_id="acme").info("synced_down", email="ada@example.com")
    text = stream.getvalue()
    assert "synced_down" in text
    assert "acme" in text
    assert "ada@" not in text
    assert not text.startswith("{")


def test_metrics_start_at_zero_and_count() -> None:
    metrics = Metrics(
        skip_kinds=("exclusion_window",),
        error_codes=("disk_full",),
        warning_codes=("as_of_forced",),
        issue_codes=("bad",),
    )
    before = metrics.exposition().decode()
    assert 'emailsched_runs_total{outcome="failed"} 0.0' in before
    assert "emailsched_oldest_completed_run_age_seconds NaN" in before
    metrics.run_finished("failed")
    metrics.rows_changed("inserted", 7)
    metrics.bytes_moved("up", 100)
    metrics.requests_made("a", 2)
    metrics.conflicts(1)
    metrics.conflicts(1)
    metrics.skipped("exclusion_window", 3)
    metrics.step_took("plan", 0.2)
    metrics.failed("disk_full")
    metrics.warned("as_of_forced")
    metrics.issues_found("bad", 5)
    metrics.cap_exceeded(2)
    metrics.orgs_seen(orgs=9, failed=1, silent=2, oldest_age_seconds=60.5, at_timestamp_seconds=1e9)
    metrics.waiting(4)
    metrics.running(1)
    after = metrics.exposition().decode()
    for line in (
        'emailsched_runs_total{outcome="failed"} 1.0',
        'emailsched_rows_total{change="inserted"} 7.0',
        'emailsched_bucket_bytes_total{direction="up"} 100.0',
        'emailsched_bucket_requests_total{class="a"} 2.0',
        "emailsched_conflicts_total 1.0",
        'emailsched_skips_total{kind="exclusion_window"} 3.0',
        'emailsched_step_seconds_bucket{le="0.3",step="plan"} 1.0',
        'emailsched_errors_total{code="disk_full"} 1.0',
        'emailsched_warnings_total{code="as_of_forced"} 1.0',
        'emailsched_issues_total{code="bad"} 5.0',
        "emailsched_cap_exceeded_days_total 2.0",
        "emailsched_orgs 9.0",
        "emailsched_orgs_failed 1.0",
        "emailsched_orgs_silent 2.0",
        "emailsched_oldest_completed_run_age_seconds 60.5",
        "emailsched_orgs_looked_at_timestamp_seconds 1e+09",
        "process_resident_memory_bytes ",
        "process_start_time_seconds ",
        "emailsched_waiters 4.0",
        "emailsched_running 1.0",
    ):
        assert line in after


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind"):
        Metrics(skip_kinds=("window",)).skipped("acme", 1)
