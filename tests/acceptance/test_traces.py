"""The traces of the real server: a span for every room, in the sender's own trace."""

from pathlib import Path

from tests.acceptance.server_process import run_requested, running_server
from tests.collector import collector

OUTSIDE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_every_room_has_a_span_and_the_completion_goes_on_with_the_trace(tmp_path: Path) -> None:
    with (
        collector() as seen,
        running_server(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=seen.url, PUBSUB_PROJECT="") as server,
    ):
        server.make_org("acme", contacts=50)
        event = {**run_requested("one", "acme"), "traceparent": OUTSIDE}
        assert server.event(event).status == 204
        spans = seen.wait_for("door")
        names = {span.name for span in spans}
        rooms = {
            "door",
            "wire",
            "mailbox",
            "run",
            "lease",
            "sync_down",
            "plan",
            "commit",
            "sync_up",
            "status",
            "publish",
        }
        assert rooms <= names
        trace_id = OUTSIDE.split("-")[1]
        ours = {span.name for span in spans if span.trace_id == trace_id}
        assert rooms - {"door", "wire"} <= ours
        run = next(span for span in spans if span.name == "run")
        assert {span.name for span in spans if span.parent_id == run.span_id} >= {
            "lease",
            "sync_down",
            "plan",
            "sync_up",
        }
        assert run.attributes == {"emailsched.org_id": "acme"}
        [(attributes, _)] = server.events("run.completed")
        assert attributes["ce-traceparent"].split("-")[1] == trace_id
        planned = server.logged("completed")[-1]
        assert planned["logging.googleapis.com/trace"] == trace_id
