"""Contact changes and mail reports through the real server: HTTP in, files out, events told; and kill -9 among them."""

import json
import os
import random
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server_process import Background, Server, assert_intact, rows_of, running_server
from tests.data_events import Item, claim, click, report, unsubscribe, upsert

CONTACT = "com.emailscheduler.contact.changed.v1"
MAIL = "com.emailscheduler.mail.reported.v1"
KILLED = int(os.environ.get("DATA_EVENT_KILLS", "1"))
"""How many servers are killed, each at two random moments."""
NEW = {"email": "new@example.com", "state": "TX", "birth_date": "1958-07-19"}


def event(event_id: str, type_name: str, org: str, *items: Item) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "//tests",
        "type": type_name,
        "subject": f"org/{org}",
        "time": datetime.now(UTC).isoformat(),
        "data": {"items": items},
    }


def completion(server: Server, event_id: str) -> dict[str, Any]:
    """The first completion of an event."""
    return next(
        data
        for _, data in server.events("run.completed")
        if event_id in {reference["id"] for reference in data["event_ids"]}
    )


def test_from_a_new_contact_to_a_delivered_mail(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        server.make_org("acme", contacts=50)
        items = (upsert(9_001, **NEW), upsert(9_002, email=5), click(9_001, "2026-01-01T00:00:00Z"), unsubscribe(1))
        assert server.event(event("people", CONTACT, "acme", *items)).status == 204
        [(_, rejected)] = server.events("event.rejected")
        assert [(r["code"], r["pointer"]) for r in rejected["reasons"]] == [("wrong_type", "/data/items/1/email")]
        done = completion(server, "people")["items"]
        assert (done["upserts_applied"], done["clicks"], done["unsubscribes"]) == (1, 1, 1)

        planned = """SELECT event_date, scheduled_send_date FROM email_schedules
                     WHERE contact_id = 9001 AND email_type = 'birthday'"""
        [(event_date, send_date)] = rows_of(server.org_file("acme", tmp_path / "a.db"), planned)
        wishes = (claim(9_001, event_date, send_date), claim(9_001, event_date, "2030-01-01"))
        body = json.dumps(event("claims", MAIL, "acme", *wishes)).encode()
        pushed = {"content-type": "application/cloudevents+json"}
        assert server.push("m-1", pushed, body).status == 204
        assert server.push("m-1", pushed, body).status == 204  # redelivered
        [claims] = completion(server, "claims")["claims"]
        assert [granted["index"] for granted in claims["granted"]] == [0]
        assert [(refused["index"], refused["code"]) for refused in claims["refused"]] == [(1, "not_ours")]
        told = [data for _, data in server.events("run.completed") if data["claims"]]
        assert [data["replayed"] for data in told] == [False, True]

        sent_at = datetime.now(UTC).isoformat()
        facts = (
            report(9_001, "delivered", event_date, sent_at=sent_at),
            report(9_001, "sent", event_date, sent_at=sent_at),
        )
        assert server.event(event("facts", MAIL, "acme", *facts)).status == 204
        file = server.org_file("acme", tmp_path / "b.db")
        status = "SELECT status FROM email_schedules WHERE contact_id = 9001 AND email_type = 'birthday'"
        assert rows_of(file, status) == [("delivered",)]
        assert_intact(file)


def test_a_body_with_bad_items_over_a_megabyte_is_kept_in_the_bucket(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        server.make_org("acme", contacts=50)
        items = [upsert(number, **NEW, last_name="x" * 400) for number in range(9_001, 12_001)]
        items[7] = {"kind": "upsert"}
        assert server.event(event("large", CONTACT, "acme", *items)).status == 204
        [(_, rejected)] = server.events("event.rejected")
        assert [r["pointer"] for r in rejected["reasons"]] == ["/data/items/7/contact_id"]
        assert server.bucket().stat(rejected["body_reference"]) is not None
        assert completion(server, "large")["items"]["upserts_applied"] == 2_999


@pytest.mark.parametrize("seed", range(KILLED))
def test_killed_at_random_moments_no_event_is_lost_or_applied_twice(tmp_path: Path, seed: int) -> None:
    """Every click is a row of its own: what is lost is missing, and what is applied twice is there twice."""
    chance = random.Random(f"data events {seed}")
    server = Server(tmp_path / "data", {"RUN_SLOTS": "4"})
    server.make_org("acme", contacts=300)
    waiting = [
        event(f"e{n}", CONTACT, "acme", click(n + 11, tracking_id=f"kill-{n}"), click(7_000 + n)) for n in range(12)
    ]
    acknowledged: list[str] = []
    try:
        for _ in range(2):
            server.port = 0
            server.start()
            sending = {e["id"]: Background(lambda e=e: server.event(e)) for e in chance.sample(waiting, k=8)}  # type: ignore[misc]
            time.sleep(chance.random() * 0.8)
            server.kill()
            acknowledged += [n for n, sent in sending.items() if (answer := sent.join()) and answer.status == 204]
            for lease in (server.data_dir / "bucket").glob("org-lease*"):
                shutil.rmtree(lease)  # a dead machine's lease runs out; how long that takes is not what is tested
        server.port = 0
        server.start()
        if acknowledged:
            file = server.org_file("acme", tmp_path / "between.db")
            applied = {row[0] for row in rows_of(file, "SELECT tracking_id FROM tracking_clicks")}
            assert {f"kill-{name.removeprefix('e')}" for name in acknowledged} <= applied
        with ThreadPoolExecutor(12) as senders:
            answers = list(senders.map(server.event, waiting))
        assert {answer.status for answer in answers} == {204}
        file = server.org_file("acme", tmp_path / "end.db")
        clicks = Counter(
            row[0] for row in rows_of(file, "SELECT tracking_id FROM tracking_clicks WHERE tracking_id LIKE 'kill-%'")
        )
        assert clicks == Counter(f"kill-{n}" for n in range(12))
        assert rows_of(file, "SELECT count(*) FROM scheduler_parked_items") == [(12,)]
        assert rows_of(file, "SELECT count(*) FROM scheduler_processed_events WHERE event_id LIKE 'e%'") == [(12,)]
        ids: dict[str, set[str]] = {}
        for attributes, data in server.events("run.completed"):
            for reference in data["event_ids"]:
                ids.setdefault(reference["id"], set()).add(attributes["ce-id"])
        assert {len(found) for found in ids.values()} == {1}
        assert_intact(file)
    finally:
        server.kill()
