"""`make smoke` against Google's Pub/Sub emulator and our HTTP double of Cloud Storage: every claim, and nothing left."""

from collections.abc import Iterator, Mapping

import grpc  # type: ignore[import-untyped]
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from handlers.smoke import trial
from infra.scratch_cloud import checked
from tests.emulator import pubsub_emulator
from tests.fake_gcs.server import FakeGcs

PROJECT = "smoke-project"
CONTACTS = 3_000
SOMEBODY_ELSE = ("org-data/acme.db", "org-data/smoke.db", "org-status/acme.json", "backups/acme/20260101T000000Z.db")


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with pubsub_emulator() as host:
        yield host


@pytest.fixture
def gcs() -> Iterator[FakeGcs]:
    with FakeGcs("orgs") as server:
        for name in SOMEBODY_ELSE:
            server.store.insert(name, b"not ours", {}, {})
        yield server


def environment(emulator: str, gcs: FakeGcs) -> Mapping[str, str]:
    return {"PUBSUB_EMULATOR_HOST": emulator, "STORAGE_EMULATOR_HOST": gcs.url}


def left_in_pubsub(emulator: str) -> list[str]:
    channel = grpc.insecure_channel(emulator)
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    project = f"projects/{PROJECT}"
    names = [topic.name for topic in publisher.list_topics(request={"project": project})]
    names += [one.name for one in subscriber.list_subscriptions(request={"project": project})]
    channel.close()
    return names


def left_in_bucket(gcs: FakeGcs) -> list[str]:
    return [version.name for version in gcs.store.listing("", versions=True)]


def test_every_claim_holds_and_nothing_is_left(emulator: str, gcs: FakeGcs, capsys: pytest.CaptureFixture[str]) -> None:
    code = trial("orgs", PROJECT, CONTACTS, environment(emulator, gcs))
    said = capsys.readouterr().out
    assert code == 0, said
    assert said.count("ok ") == 8
    assert "FAILED" not in said
    assert left_in_bucket(gcs) == sorted(SOMEBODY_ELSE)
    assert left_in_pubsub(emulator) == []


def test_a_claim_that_does_not_hold_is_said_and_everything_is_cleaned_up(
    emulator: str, gcs: FakeGcs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket that takes every write, as one emulator does."""
    monkeypatch.setattr(gcs.store, "check", lambda name, conditions: None)
    assert trial("orgs", PROJECT, CONTACTS, environment(emulator, gcs)) == 1
    assert "was taken although it named 0" in capsys.readouterr().out
    assert left_in_bucket(gcs) == sorted(SOMEBODY_ELSE)
    assert left_in_pubsub(emulator) == []


def test_a_bucket_without_versions_ends_it_before_anything_is_written(
    emulator: str, gcs: FakeGcs, capsys: pytest.CaptureFixture[str]
) -> None:
    gcs.store.versioning = False
    assert trial("orgs", PROJECT, CONTACTS, environment(emulator, gcs)) == 1
    assert "versioning_off" in capsys.readouterr().out
    assert left_in_pubsub(emulator) == []


@pytest.mark.parametrize("name", ["acme", "smoke-1", "", "smoke-0123456789ab/../acme", "smoke-0123456789AB"])
def test_only_names_of_trials_can_be_deleted(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a trial"):
        checked(name)
