"""Health while everything is busy: /healthz and /readyz answer at once, messages are told to come again."""

import time
from contextlib import ExitStack
from pathlib import Path

from core.runs.ports import Transfer
from events.types import parse_org_id
from infra.clock import SystemClock
from infra.lease import BucketLease, LeaseTimes
from infra.telemetry import LogJournal
from tests.acceptance.server_process import Background, Server, running_server

ANSWER_SECONDS_MAX = 1.0


def slowest_health(server: Server, *, seconds: float) -> float:
    """Ask both health paths for a while and return the slowest answer."""
    slowest, deadline = 0.0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        for path in ("/healthz", "/readyz"):
            started = time.monotonic()
            assert server.request("GET", path, timeout_seconds=10).status == 200
            slowest = max(slowest, time.monotonic() - started)
        time.sleep(0.05)
    return slowest


def test_health_answers_while_every_slot_and_every_place_to_wait_is_taken(tmp_path: Path) -> None:
    limits = {"RUN_SLOTS": "1", "MAX_WAITERS": "3", "RUN_DEADLINE_SECONDS": "10", "METRICS_PORT": "0"}
    with running_server(tmp_path, **limits) as server:
        for org in ("a", "b", "c"):
            server.make_org(org, contacts=10)
        clock = SystemClock()
        times = LeaseTimes(duration_seconds=60, renew_every_seconds=20)
        lease = BucketLease(server.bucket(), clock, LogJournal(), new_token=lambda: "another-machine", times=times)
        with ExitStack() as leases:
            for org in ("a", "b", "c"):  # another machine works on all three
                held = lease.hold(parse_org_id(org), until=clock.monotonic() + 5, transfer=Transfer())
                leases.enter_context(held)
            first = Background(lambda: server.push("a-1", {"org_id": "a"}))
            time.sleep(0.5)
            others = [Background(lambda org=org: server.push(f"{org}-1", {"org_id": org})) for org in ("b", "c")]  # type: ignore[misc]
            time.sleep(0.5)
            full = server.push("d-1", {"org_id": "b"})
            assert (full.status, full.json["code"]) == (503, "waiters_full")
            assert "Retry-After" in full.headers
            assert slowest_health(server, seconds=3) < ANSWER_SECONDS_MAX
            busy = first.join(20)
            assert busy is not None
            assert (busy.status, busy.json["code"]) == (503, "lease_busy")
            assert "Retry-After" in busy.headers
        for request in others:  # the leases came free at the end of their own time: either may have happened
            answer = request.join(20)
            assert answer is not None
            assert answer.status in {204, 503}
        assert server.push("a-1", {"org_id": "a"}).status == 204


def test_health_answers_while_real_runs_use_the_processor(tmp_path: Path) -> None:
    with running_server(tmp_path, RUN_SLOTS="3") as server:
        orgs = [f"large{number}" for number in range(3)]
        for org in orgs:
            server.make_org(org, contacts=15_000)
        requests = [Background(lambda org=org: server.push("r-1", {"org_id": org})) for org in orgs]  # type: ignore[misc]
        assert slowest_health(server, seconds=1.5) < ANSWER_SECONDS_MAX
        assert [answer.status for answer in (request.join() for request in requests) if answer] == [204] * 3


def test_numbers_are_on_a_port_of_their_own(tmp_path: Path) -> None:
    import http.client
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running_server(tmp_path, METRICS_PORT=str(port)) as server:
        server.make_org("acme", contacts=20)
        assert server.push("m-1", {"org_id": "acme"}).status == 204
        assert server.push("m-1", {"org_id": "acme"}).status == 204
        assert server.request("POST", body=b"{}").status == 204
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        for line in (
            'emailsched_runs_total{outcome="committed"} 1.0',
            'emailsched_runs_total{outcome="duplicate"} 1.0',
            'emailsched_runs_total{outcome="rejected"} 1.0',
            "emailsched_waiters 0.0",
            "emailsched_running 0.0",
        ):
            assert line in text
        assert 'emailsched_step_seconds_count{step="sync_up"} 1.0' in text
        second = Server(tmp_path / "second", {"METRICS_PORT": str(port)})
        second.start(until_ready=False)
        assert second.exit_code() == 1
        assert "METRICS_PORT" in second.log_file.read_text()
