"""Many messages at once on the real server: few runs, nothing lost, and a process that dies takes its own run only."""

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.acceptance.server_process import (
    Answer,
    Background,
    Server,
    assert_intact,
    rows_of,
    run_requested,
    running_server,
)
from tests.command_line import spawn

BURST = 200
RUNS_MAX = 5


def contact_changed(number: int, org: str = "acme") -> dict[str, Any]:
    """A change of one contact of its own; the number is in its ZIP code."""
    return {
        "specversion": "1.0",
        "id": f"change-{number}",
        "source": "//crm",
        "type": "com.emailscheduler.contact.changed.v1",
        "subject": f"org/{org}",
        "data": {"items": [{"kind": "upsert", "contact_id": number + 1, "zip_code": f"{10_000 + number}"}]},
    }


def send_all(server: Server, events: Sequence[dict[str, Any]]) -> list[Answer | None]:
    """Send events at the same time; None where the connection broke."""
    sent = [Background(lambda event=event: server.event(event)) for event in events]  # type: ignore[misc]
    return [request.join() for request in sent]


def runs_of(server: Server, org: str = "acme") -> int:
    """Runs that made a version, the test's own upload aside."""
    return len(server.bucket().versions(f"org-data/{org}.db")) - 1


def changed_contacts(file: Path) -> int:
    return int(
        rows_of(file, f"SELECT count(*) FROM contacts WHERE zip_code = CAST(9999 + id AS TEXT) AND id <= {BURST}")[0][0]
    )


def planning_processes(server: Server) -> list[int]:
    """Children of the server's worker that plan."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
                session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            except OSError:
                continue
            if b"handlers.planning_process" in command and server.process is not None and session == server.process.pid:
                found.append(int(folder.name))
    return found


def test_a_burst_on_one_org_takes_few_runs_and_loses_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        server.make_org("acme", contacts=BURST + 10)
        answers = send_all(server, [contact_changed(n) for n in range(BURST)])
        assert [answer.status for answer in answers if answer] == [204] * BURST
        assert runs_of(server) <= RUNS_MAX
        file = server.org_file("acme", tmp_path / "acme.db")
        assert changed_contacts(file) == BURST
        assert rows_of(file, "SELECT count(DISTINCT event_id) FROM scheduler_processed_events") == [(BURST,)]
        completions = server.events("run.completed", "acme")
        assert sum(len(completed["event_ids"]) for _, completed in completions) == BURST


def test_events_of_one_request_share_a_run(tmp_path: Path) -> None:
    import json

    with running_server(tmp_path / "data") as server:
        for org in ("acme", "beta"):
            server.make_org(org, contacts=30)
        batch = [contact_changed(n, org) for n in range(10) for org in ("acme", "beta")]
        body = json.dumps(batch).encode()
        answer = server.request("POST", body=body, headers={"Content-Type": "application/cloudevents-batch+json"})
        assert answer.status == 204
        assert (runs_of(server), runs_of(server, "beta")) == (1, 1)


def test_a_planning_process_that_is_killed_takes_its_run_and_nothing_else(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", PLANNING_PROCESSES="1", RUN_SLOTS="1") as server:
        server.make_org("large", contacts=10_000)
        server.make_org("small", contacts=20)
        (pid,) = planning_processes(server)
        lost = Background(lambda: server.event(run_requested("r-1", "large")))
        server.wait_until(lambda: bool(server.logged("planning")), 30)
        os.kill(pid, signal.SIGKILL)
        answer = lost.join()
        assert answer is not None
        assert (answer.status, answer.json["code"]) == (503, "planner_lost")
        assert server.event(run_requested("r-2", "small")).status == 204
        assert server.event(run_requested("r-1", "large")).status == 204
        (record,) = server.logged("planner_lost")
        assert "signal 9" in record["detail"]
        assert record["hint"]


def test_a_killed_server_with_many_waiters_applies_each_event_once(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.make_org("acme", contacts=BURST + 10)
    events = [contact_changed(n) for n in range(BURST)]
    try:
        server.start()
        with ThreadPoolExecutor(1) as sender:
            first = sender.submit(send_all, server, events)
            server.wait_until(lambda: bool(server.logged("planned")), 30)
            server.kill()
            answers = first.result()
        assert any(answer is None for answer in answers)
        server.port = 0
        server.start()
        again = [event for event, answer in zip(events, answers, strict=True) if answer is None or answer.status != 204]
        again += events[:20]  # and some of which the answer was lost
        assert {answer.status for answer in send_all(server, again) if answer} == {204}
        file = server.org_file("acme", tmp_path / "acme.db")
        assert_intact(file)
        assert changed_contacts(file) == BURST
        assert rows_of(file, "SELECT count(*), count(DISTINCT event_id) FROM scheduler_processed_events") == [
            (BURST, BURST)
        ]
    finally:
        server.kill()


def test_nothing_is_left_of_a_server_that_was_killed(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", {"PLANNING_PROCESSES": "2"})
    server.start()
    assert server.process is not None
    planners = planning_processes(server)
    assert len(planners) == 2
    workers = [
        int(pid) for pid in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    ]
    for pid in (server.process.pid, *workers):  # not the group: planners have to notice by themselves
        os.kill(pid, signal.SIGKILL)
    server.process.wait(10)
    deadline = time.monotonic() + 20
    while planning_processes(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_hold_takes_effect_with_the_next_message(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        server.make_org("acme", contacts=20)
        env = {"DATA_DIR": str(server.data_dir)}
        assert spawn("hold", "acme", "--json", env=env).json["on_hold"] is True
        assert server.event(contact_changed(1)).status == 204
        [(_, held)] = server.events("run.completed", "acme")
        assert (held["warnings"], held["changed"], held["items"]["upserts_applied"]) == (["on_hold"], True, 1)
        assert spawn("release", "acme", "--json", env=env).json["on_hold"] is False
        assert server.event(run_requested("r-1", "acme")).status == 204
        (_, planned) = server.events("run.completed", "acme")[-1]
        assert planned["warnings"] == []
        assert planned["counts"]["emails_scheduled"] > 0
