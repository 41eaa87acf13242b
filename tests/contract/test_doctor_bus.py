"""What the doctor says of topics and subscriptions, asked of Google's own emulator."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from infra import doctor_bus
from infra.doctor_bus import _connect, check_bus
from infra.settings import Settings
from tests.emulator import pubsub_emulator

PROJECT = "doctor-project"


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with pubsub_emulator() as host:
        yield Settings(pubsub_project=PROJECT, pubsub_emulator_host=host)


def test_what_is_missing_is_named_until_nothing_is(settings: Settings) -> None:
    with ExitStack() as stack:
        clients = _connect(settings, stack)

        def topic(name: str) -> str:
            full = f"projects/{PROJECT}/topics/{name}"
            clients.publisher.create_topic(request={"name": full})
            return full

        def subscribe(name: str, to: str, **more: Any) -> None:
            full = f"projects/{PROJECT}/subscriptions/{name}"
            clients.subscriber.create_subscription(request={"name": full, "topic": to, **more})

        def found() -> dict[str, tuple[str, str]]:
            return {finding.check: (finding.state, finding.detail) for finding in check_bus(settings)}

        assert found() == {
            "completion topic": ("error", "email-scheduler-completions does not exist"),
            "request topic": ("error", "email-scheduler-requests does not exist"),
        }
        topic("email-scheduler-completions")
        requests = topic("email-scheduler-requests")
        assert {state for state, _ in found().values()} == {"ok", "error"}
        assert found()["subscriptions"] == ("error", "nobody subscribes to email-scheduler-requests")
        subscribe("poor", requests, ack_deadline_seconds=10, enable_message_ordering=True)
        state, detail = found()["subscription poor"]
        assert state == "warning"
        assert "ack deadline 10 s instead of 600" in detail
        assert "no dead-letter topic" in detail
        assert "ordering key" in detail
        dead = topic("dead")
        policy = {"dead_letter_topic": dead, "max_delivery_attempts": 100}
        subscribe("good", requests, ack_deadline_seconds=600, dead_letter_policy=policy)
        assert found()["subscription good"] == ("warning", "nobody subscribes to its dead letters: they are lost")
        subscribe("dead-reader", dead)
        assert found()["subscription good"] == ("ok", "600 s, 100 attempts, dead letters are kept")
        subscribe(
            "hasty", requests, ack_deadline_seconds=600, dead_letter_policy={**policy, "max_delivery_attempts": 5}
        )
        assert found()["subscription hasty"] == ("warning", "5 delivery attempts instead of 100")


def test_a_bus_that_nobody_answers_for_is_an_error_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_bus, "_TIMEOUT_SECONDS", 0.5)
    closed = Settings(pubsub_project=PROJECT, pubsub_emulator_host="127.0.0.1:9")
    assert {finding.state for finding in check_bus(closed)} == {"error"}
