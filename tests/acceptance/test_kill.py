"""kill -9 at every stage of a run, then the same message again: exactly one result, under one id."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.acceptance.server_process import Background, Server, assert_intact, rows_of

CONTACTS = 4_000
STAGES = ("sync_down", "synced", "planning", "planned", "sync_up", "completed")
"""Records of the run's log, in their order; the server is killed as soon as one is seen."""

PLAN = (
    "SELECT contact_id, email_type, campaign_instance_id, event_date, scheduled_send_date, status, skip_reason "
    "FROM email_schedules ORDER BY 1, 2, 3, 4, 5, 6, 7"
)


def kill_at(server: Server, stage: str) -> None:
    """Begin a run of the org that is named for the stage, and end the machine there."""
    server.port = 0
    server.start()
    running = Background(lambda: server.push(f"message-{stage}", {"org_id": stage}))
    deadline = time.monotonic() + 20
    while f'"event": "{stage}"' not in server.log_file.read_text():
        assert time.monotonic() < deadline, f"{stage} was never reached"
        time.sleep(0.001)
    server.kill()
    running.join()


def test_a_killed_run_and_its_repetition_are_one_run(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", {"RUN_SLOTS": "4"})
    for org in (*STAGES, "undisturbed"):
        server.make_org(org, contacts=CONTACTS)
    try:
        for stage in STAGES:
            kill_at(server, stage)
        server.port = 0
        server.start()
        orgs = (*STAGES, "undisturbed")
        with ThreadPoolExecutor(len(orgs)) as senders:  # a dead machine's leases run out at the same time
            answers = list(senders.map(lambda org: server.push(f"message-{org}", {"org_id": org}), orgs))
        assert [answer.status for answer in answers] == [204] * len(orgs)
        expected = rows_of(server.org_file("undisturbed", tmp_path / "undisturbed.db"), PLAN)
        assert len(expected) > CONTACTS
        for stage in STAGES:
            completions = server.events("run.completed", stage)
            assert len({attributes["ce-id"] for attributes, _ in completions}) == 1, stage
            assert len(server.bucket().versions(f"org-data/{stage}.db")) == 2, stage  # the test's upload, and one run
            file = server.org_file(stage, tmp_path / f"{stage}.db")
            assert_intact(file)
            assert rows_of(file, PLAN) == expected, stage
            assert rows_of(file, "SELECT count(*) FROM scheduler_checkpoints") == [(1,)], stage
    finally:
        server.kill()
