"""SIGTERM: nothing new is taken, what runs ends or is not acknowledged, and the process leaves with 0."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path

from core.runs.ports import Transfer
from events.types import parse_org_id
from infra.clock import SystemClock
from infra.lease import BucketLease, LeaseTimes
from infra.telemetry import LogJournal
from tests.acceptance.server_process import Background, Server, assert_intact, running_server


def hold_lease(stack: ExitStack, server: Server, org: str) -> None:
    """Be another machine that works on an org: runs of the server wait."""
    clock = SystemClock()
    times = LeaseTimes(duration_seconds=60, renew_every_seconds=20)
    lease = BucketLease(server.bucket(), clock, LogJournal(), new_token=lambda: "another-machine", times=times)
    stack.enter_context(lease.hold(parse_org_id(org), until=clock.monotonic() + 5, transfer=Transfer()))


def test_a_run_in_flight_ends_while_new_messages_are_sent_elsewhere(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, ExitStack() as elsewhere:
        server.make_org("acme", contacts=2_000)
        hold_lease(elsewhere, server, "acme")
        running = Background(lambda: server.push("r-1", {"org_id": "acme"}))
        time.sleep(0.5)
        server.terminate()
        server.wait_until(lambda: bool(server.logged("draining")), 5)
        refused = server.push("r-2", {"org_id": "acme"})
        assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (503, "draining", "1")
        ready = server.request("GET", "/readyz")
        assert (ready.status, ready.json) == (503, {"status": "draining"})
        assert server.request("GET", "/healthz").status == 200
        elsewhere.close()
        answer = running.join()
        assert answer is not None
        assert answer.status == 204
        assert server.exit_code() == 0
        [(_, completed)] = server.events("run.completed")
        assert completed["changed"]
        assert_intact(server.org_file("acme", tmp_path / "acme.db"))


def test_what_cannot_end_is_not_acknowledged_and_comes_again(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, ExitStack() as elsewhere:
        server.make_org("acme", contacts=50)
        hold_lease(elsewhere, server, "acme")
        running = Background(lambda: server.push("r-1", {"org_id": "acme"}))
        time.sleep(0.5)
        server.terminate()
        server.wait_until(lambda: bool(server.logged("draining")), 5)
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)  # whoever cannot wait for the drain
        assert server.exit_code() == 0
        answer = running.join()
        assert answer is None or answer.status == 503
        elsewhere.close()
        server.port = 0
        server.start()
        assert server.push("r-1", {"org_id": "acme"}).status == 204
        assert len(server.bucket().versions("org-data/acme.db")) == 2


def test_an_idle_server_leaves_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.terminate()
        assert server.exit_code(within_seconds=8) == 0
