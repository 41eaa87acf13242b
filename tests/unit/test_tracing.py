"""Spans: nested as the rooms are, without personal data, and never in the way."""

import time
from collections.abc import Iterator

import pytest
import structlog

from core.runs.errors import ErrorCode, OrgError
from core.runs.tracer import NoTracer, Tracer
from events.types import OrgId
from infra.settings import Settings, SettingsError
from infra.tracing import OtelTracer
from tests.collector import Collector, collector

ACME = OrgId("acme")
OUTSIDE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def seen() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture
def tracer(seen: Collector) -> Iterator[OtelTracer]:
    tracer = OtelTracer.connect(Settings(otel_exporter_otlp_endpoint=seen.url, pubsub_project="my-project"))
    yield tracer
    tracer.close()


def test_spans_are_nested_and_say_whose_they_are(tracer: OtelTracer, seen: Collector) -> None:
    port: Tracer = tracer
    with port.span("run", org_id=ACME), port.span("sync_down"):
        port.past("plan", 0.25)
    tracer.close()
    spans = {span.name: span for span in seen.wait_for("run")}
    assert spans["sync_down"].parent_id == spans["run"].span_id
    assert spans["plan"].parent_id == spans["sync_down"].span_id
    assert spans["plan"].seconds == pytest.approx(0.25, abs=0.001)
    assert spans["run"].attributes == {"emailsched.org_id": "acme"}
    assert len({span.trace_id for span in spans.values()}) == 1


def test_a_senders_trace_goes_on_in_ours(tracer: OtelTracer, seen: Collector) -> None:
    with tracer.span("door"), tracer.span("mailbox", parent=OUTSIDE):
        told = tracer.traceparent()
    assert told is not None
    assert told.split("-")[1] == OUTSIDE.split("-")[1]
    tracer.close()
    spans = {span.name: span for span in seen.wait_for("door")}
    assert spans["mailbox"].parent_id == OUTSIDE.split("-")[2]
    assert tracer.traceparent() is None


def test_an_error_is_its_code_and_its_text_stays_here(tracer: OtelTracer, seen: Collector) -> None:
    with pytest.raises(OrgError), tracer.span("run"):
        raise OrgError(ErrorCode.DISK_FULL, ACME, "detail")
    with pytest.raises(LookupError), tracer.span("other"):
        raise LookupError("ann@example.com")
    tracer.close()
    spans = {span.name: span for span in seen.wait_for("other")}
    assert spans["run"].status == "disk_full"
    assert spans["other"].status == "LookupError"


def test_records_inside_a_span_name_its_trace_as_cloud_logging_wants(tracer: OtelTracer) -> None:
    with tracer.span("run"):
        facts = structlog.contextvars.get_contextvars()
        told = tracer.traceparent()
    assert told is not None
    _, trace_id, span_id, _ = told.split("-")
    assert facts["logging.googleapis.com/trace"] == f"projects/my-project/traces/{trace_id}"
    assert facts["logging.googleapis.com/spanId"] == span_id
    assert "logging.googleapis.com/trace" not in structlog.contextvars.get_contextvars()


def test_a_collector_that_is_not_there_holds_nobody_up() -> None:
    tracer = OtelTracer.connect(Settings(otel_exporter_otlp_endpoint="http://127.0.0.1:9"))
    started = time.monotonic()
    for _ in range(3_000):
        with tracer.span("run"):
            pass
    tracer.close()
    assert time.monotonic() - started < 15, "a span costs microseconds, and closing is bounded"


def test_a_share_of_nothing_sends_nothing_but_what_a_sender_sampled(seen: Collector) -> None:
    settings = Settings(otel_exporter_otlp_endpoint=seen.url, trace_sample_ratio=0.0)
    tracer = OtelTracer.connect(settings)
    with tracer.span("ours"):
        pass
    with tracer.span("theirs", parent=OUTSIDE):
        pass
    tracer.close()
    assert [span.name for span in seen.wait_for("theirs")] == ["theirs"]


@pytest.mark.parametrize("url", ["collector:4318", "http://user:secret@host", "http://host/v1?token=x", "ftp://host"])
def test_only_a_plain_url_is_taken(url: str) -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        Settings.from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": url})


def test_nobody_has_to_look() -> None:
    nobody = NoTracer()
    with nobody.span("run", org_id=ACME, parent=OUTSIDE):
        nobody.past("plan", 1.0)
        assert nobody.traceparent() is None
