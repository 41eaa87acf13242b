"""The real server and the real worker on Google's own Pub/Sub emulator: pushed, pulled, given up on, replayed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from events.types import OUTGOING, Event, RunCompleted
from events.wire import PubSubMessage, decode_message
from infra.bucket_names import folder_of
from tests.acceptance.server_process import Server
from tests.acceptance.test_drain import hold_lease
from tests.command_line import Ran, spawn
from tests.emulator import pubsub_emulator
from tests.pubsub_world import PubsubWorld, pubsub_world

FANOUT = "com.emailscheduler.fanout.requested.v1"
NUMBERS = count(1)


@pytest.fixture(scope="module")
def world() -> Iterator[PubsubWorld]:
    with pubsub_emulator() as host, pubsub_world(host) as connected:
        yield connected


class Place:
    """Topics and subscriptions of one test, one folder, and the processes in it."""

    def __init__(self, world: PubsubWorld, data_dir: Path) -> None:
        number = next(NUMBERS)
        self.world = world
        self.requests, self.completions, self.dead = (
            f"{name}-{number}" for name in ("requests", "completions", "dead")
        )
        for name in (self.requests, self.completions, self.dead):
            world.topic(name)
        for name in (self.completions, self.dead):
            world.subscription(name, name)
        self.env = {
            **world.settings,
            "COMPLETION_TOPIC": self.completions,
            "REQUEST_TOPIC": self.requests,
            "DEAD_LETTER_SUBSCRIPTION": self.dead,
        }
        self.server = Server(data_dir, self.env)

    @contextmanager
    def serving(self) -> Iterator[Server]:
        """Run the server, with a subscription that pushes to it and gives up after five attempts."""
        self.server.start()
        options = {**self.world.push_config(self.server.port), **self.world.dead_letter_policy(self.dead)}
        self.world.subscription(f"{self.requests}-push", self.requests, **options)
        try:
            yield self.server
        finally:
            self.server.kill()

    @contextmanager
    def working(self) -> Iterator[Server]:
        """Run the worker on a subscription of the requests."""
        self.world.subscription(f"{self.requests}-pull", self.requests, ack_deadline_seconds=10)
        self.server.command = (*self.server.command[:-1], "worker", f"{self.requests}-pull")
        self.server.start()
        self.server.wait_until(lambda: bool(self.server.logged("pulling")), 10)
        try:
            yield self.server
        finally:
            self.server.kill()

    def completed(self, runs: int, *, within_seconds: float = 30) -> list[RunCompleted]:
        """What is published of so many runs."""
        messages = self.world.pull(self.completions, runs, within_seconds=within_seconds)
        assert len(messages) == runs, f"{len(messages)} completions:\n{self.server.log_file.read_text()}"
        payloads = [_payload(message) for message in messages]
        return [payload for payload in payloads if isinstance(payload, RunCompleted)]

    def command(self, *args: str) -> Ran:
        return spawn(*args, env={**self.env, "DATA_DIR": str(self.server.data_dir)})

    def dead_letters(self, *args: str) -> Ran:
        """Ask for dead letters until there is one: what is being forwarded, or was just looked at, takes a moment."""
        until = time.monotonic() + 30
        while True:
            ran = self.command("dead-letters", *args)
            assert ran.code == 0, ran.err
            if "acme" in ran.out:
                return ran
            assert time.monotonic() < until, self.server.log_file.read_text()

    def make_stuck(self, org: str) -> Path:
        """Make the bucket unable to say what it has of an org; returns what is in the way."""
        live = self.server.data_dir / "bucket" / folder_of(f"org-data/{org}.db") / "live.json"
        live.rename(live.with_suffix(".aside"))
        live.mkdir()
        return live


def mend(in_the_way: Path) -> None:
    in_the_way.rmdir()
    in_the_way.with_suffix(".aside").rename(in_the_way)


def _payload(message: PubSubMessage) -> Any:
    (event,) = decode_message(message, types=OUTGOING)
    assert isinstance(event, Event)
    return event.data


@pytest.fixture
def place(world: PubsubWorld, tmp_path: Path) -> Place:
    return Place(world, tmp_path)


def test_a_message_of_attributes_only_is_pushed_and_its_completion_is_published(place: Place) -> None:
    place.server.make_org("acme", contacts=20)
    with place.serving():
        message_id = place.world.publish(place.requests, {"org_id": "acme"})
        (completed,) = place.completed(1)
    assert (completed.org_id, completed.changed, completed.replayed) == ("acme", True, False)
    assert [ref.id for ref in completed.event_ids] == [message_id]


def test_a_503_is_delivered_again_until_it_is_done(place: Place) -> None:
    place.server.make_org("acme", contacts=20)
    in_the_way = place.make_stuck("acme")
    with place.serving() as server:
        place.world.publish(place.requests, {"org_id": "acme"})
        server.wait_until(lambda: any(r["status"] == 503 for r in server.logged("answered")), 15)
        mend(in_the_way)
        (completed,) = place.completed(1)
        assert completed.changed
    assert len(place.server.bucket().versions("org-data/acme.db")) == 2


def test_what_is_given_up_on_is_listed_and_replayed_to_where_it_came_from(place: Place) -> None:
    place.server.make_org("acme", contacts=20)
    in_the_way = place.make_stuck("acme")
    with place.serving() as server:
        place.world.publish(place.requests, {"org_id": "acme"}, b'{"force": false}')
        server.wait_until(lambda: len(server.logged("answered")) >= 5, 30)
        (letter,) = place.dead_letters("list", "--json").json["letters"]
        assert (letter["org_id"], letter["type"], letter["deliveries"]) == (
            "acme", "com.emailscheduler.run.requested.v1", 5,
        )  # fmt: skip
        assert letter["subscription"] == f"{place.requests}-push"
        place.dead_letters("list")  # looking at it has not taken it
        mend(in_the_way)
        replayed = place.dead_letters("replay", "--json")
        assert [line["replayed_to"] for line in replayed.json["letters"]] == [place.requests]
        (completed,) = place.completed(1)
        assert [ref.id for ref in completed.event_ids] == [letter["event"]["id"]]
        assert place.command("dead-letters", "list", "--json").json["letters"] == []


def test_a_worker_carries_what_it_pulls_and_answers_health_checks(place: Place) -> None:
    place.server.make_org("acme", contacts=20)
    place.server.env = {**place.server.env, "METRICS_PORT": "0"}
    with place.working() as worker:
        message_id = place.world.publish(place.requests, {"org_id": "acme"})
        (completed,) = place.completed(1)
        assert [ref.id for ref in completed.event_ids] == [message_id]
        place.world.publish(place.requests, {"org_id": "../x"})  # bad for good: told of, and acknowledged
        worker.wait_until(lambda: len(worker.logged("answered")) == 2, 15)
        assert [record["acknowledged"] for record in worker.logged("answered")] == [True, True]
        assert worker.request("GET", "/healthz").status == 200
        assert worker.request("GET", "/readyz").json == {"status": "ready"}
        assert worker.request("POST", body=b"{}").status == 404
        worker.terminate()
        assert worker.exit_code() == 0
        assert worker.logged("drained")[-1]["all_ended"] is True
    assert place.world.is_empty(f"{place.requests}-pull", for_seconds=1)


def test_a_worker_that_is_stopped_ends_what_runs_and_acknowledges_nothing_else(place: Place) -> None:
    place.server.make_org("acme", contacts=20)
    with place.working() as worker, ExitStack() as elsewhere:
        hold_lease(elsewhere, worker, "acme")
        running = place.world.publish(place.requests, {"org_id": "acme"})
        time.sleep(1.5)
        waiting = place.world.publish(place.requests, {"org_id": "acme"})
        time.sleep(1.5)
        worker.terminate()
        worker.wait_until(lambda: bool(worker.logged("answered")), 10)
        assert worker.request("GET", "/readyz").json == {"status": "draining"}
        elsewhere.close()
        assert worker.exit_code() == 0
        told = {record["message_id"]: (record["acknowledged"], record["code"]) for record in worker.logged("answered")}
        assert told == {running: (True, None), waiting: (False, "draining")}
    # That what was not acknowledged comes again is shown below, by a kill: of a stream that is closed while its messages are
    # given back the emulator keeps them for minutes.
    assert [[ref.id for ref in completed.event_ids] for completed in place.completed(1)] == [[running]]


def test_a_killed_worker_and_the_next_one_are_one_run(place: Place) -> None:
    place.server.make_org("acme", contacts=2_000)
    with place.working() as worker:
        message_id = place.world.publish(place.requests, {"org_id": "acme"})
        worker.wait_until(lambda: bool(worker.logged("planning")), 15)
        worker.kill()
        worker.port = 0
        worker.start()
        messages: list[PubSubMessage] = []
        until = time.monotonic() + 100
        while not messages and time.monotonic() < until:
            place.world.bring_again(f"{place.requests}-pull")
            messages = place.world.pull(place.completions, 1, within_seconds=5)
        runs = {(p.run_id, *(ref.id for ref in p.event_ids)) for p in map(_payload, messages)}
        assert [ids for _, *ids in runs] == [[message_id]], worker.log_file.read_text()
    assert len(place.server.bucket().versions("org-data/acme.db")) == 2


def test_a_worker_without_a_subscription_says_what_to_set(place: Place) -> None:
    place.server.data_dir.mkdir(exist_ok=True)
    missing = place.command("worker", "--json")
    assert (missing.code, missing.error["code"]) == (4, "settings_invalid")
    assert "PULL_SUBSCRIPTIONS" in missing.error["detail"]
    place.env["METRICS_PORT"] = place.env["PORT"] = "0"
    nowhere = place.command("worker", "nowhere")
    assert nowhere.code == 1
    assert "pull from nowhere: NOT_FOUND" in nowhere.err


def test_dead_letters_without_pubsub_say_what_to_set(place: Place) -> None:
    del place.env["PUBSUB_PROJECT"]
    ran = place.command("dead-letters", "list", "--json")
    assert (ran.code, ran.error["code"]) == (4, "settings_invalid")
    assert "PUBSUB_PROJECT" in ran.error["detail"]
    place.env["PUBSUB_PROJECT"] = "test-project"
    place.env["DEAD_LETTER_SUBSCRIPTION"] = "nowhere"
    ran = place.command("dead-letters", "list", "--json")
    assert (ran.code, ran.error["code"], ran.error["detail"]) == (3, "bus_unreachable", "pull of nowhere: NOT_FOUND")


def test_the_command_publishes_a_request_for_every_org(place: Place) -> None:
    for org in ("a", "b", "c-test"):
        place.server.make_org(org, contacts=0)
    place.world.subscription(place.requests, place.requests)
    ran = place.command("fan-out", "--exclude", "*-test", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["orgs_asked"], ran.json["orgs_left_out"], ran.json["topic"]) == (2, 1, place.requests)
    ids = {message.attributes["ce-id"] for message in place.world.pull(place.requests, 2)}
    assert ids == {f"{ran.json['event']['id']}/{org}" for org in ("a", "b")}
