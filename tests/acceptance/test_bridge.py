"""Fan-out of a hundred orgs over real Pub/Sub: a bridge pulls from the emulator and pushes to the real server like Google.

The emulator sends no tokens and pushes at most two messages at once; the bridge signs with a key of our own, and the server
checks against its certificate.
"""

import base64
import http.client
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import pytest

from events.encode import encode_push
from events.types import OUTGOING, Event, RunCompleted
from events.wire import PubSubMessage, decode_message
from infra.pubsub_pull import PubsubPull
from infra.settings import Settings
from tests.acceptance.server_process import Server
from tests.emulator import pubsub_emulator
from tests.pubsub_world import PROJECT, PubsubWorld, pubsub_world
from tests.tokens import AUDIENCE, EMAIL, Signer

ORGS = 100
FANOUT = "com.emailscheduler.fanout.requested.v1"
SERVE_WITH_CERTIFICATES = """
import json, sys
import infra.auth
certificates = json.loads(sys.argv[1])
infra.auth.fetch_google_certificates = lambda: certificates
from handlers.cli import run
sys.exit(run(["serve"]))
"""
"""The real server, but for where Google's certificates come from."""


class Bridge:
    """Posts what it pulls, as Pub/Sub pushes it, and remembers the answers."""

    def __init__(self, server: Server, signer: Signer) -> None:
        self._server = server
        self._signer = signer
        self._lock = Lock()
        self.statuses: list[int] = []

    def carry(self, message: PubSubMessage) -> float | None:
        headers, body = encode_push(message)
        token = {"Authorization": f"Bearer {self._signer.token()}"}
        try:
            status = self._server.request("POST", body=body, headers={**headers, **token}).status
        except (OSError, http.client.HTTPException):
            status = 503  # the server is gone: comes again
        with self._lock:
            self.statuses.append(status)
        return None if status == 204 else 1.0


@pytest.fixture(scope="module")
def world() -> Iterator[PubsubWorld]:
    with pubsub_emulator() as host, pubsub_world(host) as connected:
        for name in ("requests", "completions"):
            connected.topic(name)
            connected.subscription(name, name, ack_deadline_seconds=60)
        yield connected


@contextmanager
def bridged(world: PubsubWorld, bridge: Bridge) -> Iterator[None]:
    settings = Settings(pubsub_project=PROJECT, pubsub_emulator_host=world.host)
    pull = PubsubPull.connect(settings, ["requests"], places=16)
    pull.start(bridge.carry, lambda error: pytest.fail(error.detail))
    try:
        yield
    finally:
        pull.stop()
        pull.join(time.monotonic() + 20)


def serving(world: PubsubWorld, data_dir: Path, signer: Signer) -> Server:
    env = {
        **world.settings,
        "COMPLETION_TOPIC": "completions",
        "REQUEST_TOPIC": "requests",
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_SERVICE_ACCOUNT_EMAIL": EMAIL,
    }
    certificates = json.dumps({signer.key_id: signer.certificate})
    return Server(data_dir, env, (sys.executable, "-c", SERVE_WITH_CERTIFICATES, certificates))


def completions(world: PubsubWorld) -> dict[str, RunCompleted]:
    """Return the completion of every org; all that come within bounds."""
    found: dict[str, RunCompleted] = {}
    until = time.monotonic() + 180
    while len(found) < ORGS and time.monotonic() < until:
        for message in world.pull("completions", 1, within_seconds=5):
            (event,) = decode_message(message, types=OUTGOING)
            assert isinstance(event, Event)
            assert isinstance(event.data, RunCompleted), event.data
            found[event.org_id] = event.data
    return found


def test_a_fan_out_reaches_a_hundred_orgs_through_signed_pushes(world: PubsubWorld, tmp_path: Path) -> None:
    signer = Signer("k1")
    server = serving(world, tmp_path / "data", signer)
    server.make_org("org-0", contacts=3)
    file = server.org_file("org-0", tmp_path / "org.db")
    for n in range(1, ORGS):
        server.bucket().upload(f"org-data/org-{n}.db", str(file), if_generation_match=0, metadata={})
    server.start()
    bridge = Bridge(server, signer)
    try:
        with bridged(world, bridge):
            fan_out = world.publish("requests", {"type": FANOUT}, b"{}")
            found = completions(world)
        assert set(found) == {f"org-{n}" for n in range(ORGS)}
        for org, completed in found.items():
            assert [ref.id for ref in completed.event_ids] == [f"{fan_out}/{org}"]
            assert len(server.bucket().versions(f"org-data/{org}.db")) == 2
        assert set(bridge.statuses) <= {204, 503}
        assert bridge.statuses.count(204) >= ORGS
        body = json.dumps({"message": {"messageId": "1", "data": base64.b64encode(b"{}").decode()}}).encode()
        assert server.request("POST", body=body).status == 401
    finally:
        server.kill()
