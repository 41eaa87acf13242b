"""The ``Tracer`` on OpenTelemetry: spans over HTTP to a collector, in batches, without holding anybody up.

A collector that does not answer costs spans, never a run: the queue is bounded, and what does not fit is dropped. Spans
hold org ids and error codes; log records inside a span name its trace in the form that Cloud Logging links.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core.runs.errors import OrgError
from events.types import OrgId
from infra.settings import Settings

QUEUE_SPANS_MAX: Final = 4096
BATCH_SPANS_MAX: Final = 512
EXPORT_TIMEOUT_SECONDS: Final = 10
BATCH_DELAY_SECONDS: Final = 2.0
CLOSE_SECONDS: Final = 3.0

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NANOSECONDS: Final = 1_000_000_000


class OtelTracer:
    """See the port; safe between threads. Nothing of it is global: other libraries' spans are not ours to send."""

    def __init__(self, provider: TracerProvider, exporter: OTLPSpanExporter, project: str | None) -> None:
        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer("emailsched")
        self._project = project

    @classmethod
    def connect(cls, settings: Settings) -> "OtelTracer":
        """Make the exporter that the settings ask for; nothing is sent yet."""
        endpoint = f"{(settings.otel_exporter_otlp_endpoint or '').rstrip('/')}/v1/traces"
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.trace_sample_ratio)),
            resource=Resource({SERVICE_NAME: "emailsched"}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_SECONDS)
        provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=QUEUE_SPANS_MAX,
                max_export_batch_size=BATCH_SPANS_MAX,
                schedule_delay_millis=BATCH_DELAY_SECONDS * 1000,
                export_timeout_millis=EXPORT_TIMEOUT_SECONDS * 1000,
            )
        )
        return cls(provider, exporter, settings.pubsub_project)

    @contextmanager
    def span(self, name: str, *, org_id: OrgId | None = None, parent: str | None = None) -> Iterator[None]:
        """Time a block; see the port."""
        context = None if parent is None else _PROPAGATOR.extract({"traceparent": parent})
        here = trace.get_current_span().get_span_context()
        started = self._tracer.start_as_current_span(
            name,
            context=context,
            links=[Link(here)] if parent is not None and here.is_valid else None,
            attributes={} if org_id is None else {"emailsched.org_id": org_id},
            record_exception=False,  # the text of an exception may hold data of a contact
            set_status_on_exception=False,
        )
        with started as span, structlog.contextvars.bound_contextvars(**self._for_the_log(span)):
            try:
                yield
            except OrgError as error:
                span.set_status(Status(StatusCode.ERROR, error.code.value))
                raise
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def past(self, name: str, seconds: float) -> None:
        """Add a span that has just ended; see the port."""
        ended = time.time_ns()
        span = self._tracer.start_span(name, start_time=ended - int(seconds * _NANOSECONDS))
        span.end(ended)

    def traceparent(self) -> str | None:
        """Return the current span's trace context; see the port."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent")

    def close(self) -> None:
        """Send what waits; after ``CLOSE_SECONDS`` what is left is given up. May be called again."""
        flushing = threading.Thread(target=self._provider.force_flush, name="traces", daemon=True)
        flushing.start()
        flushing.join(CLOSE_SECONDS)
        # Ends the wait between two tries; without it the provider sends batch after batch.
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it has no annotations
        self._provider.shutdown()

    def _for_the_log(self, span: Span) -> dict[str, str]:
        """Return the keys by which Cloud Logging shows a record under its trace."""
        context = span.get_span_context()
        trace_id = trace.format_trace_id(context.trace_id)
        return {
            "logging.googleapis.com/trace": f"projects/{self._project}/traces/{trace_id}"
            if self._project
            else trace_id,
            "logging.googleapis.com/spanId": trace.format_span_id(context.span_id),
        }
