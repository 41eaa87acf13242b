"""What has to hold in the cloud, read off the Terraform files: versions, retention, dead letters, rights, names."""

import ast
import json
import re
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from events.types import FANOUT_REQUESTED, RUN_REQUESTED, Event, FleetEvent, parse_org_id
from events.wire import decode
from handlers.carry import REJECTED_PREFIX
from infra.fence import object_name
from infra.org_records import EVENTS_KEPT_DAYS
from infra.settings import SETTINGS, Settings
from infra.status_board import PREFIX as STATUS_PREFIX
from tests.terraform.tree import TERRAFORM, all_of, blocks, evaluated, local_values, of_kind, parsed, variables

ROOT = Path(__file__).parents[2]
LOCALS = local_values()
SUBSCRIPTIONS = of_kind("google_pubsub_subscription")
SUBSCRIPTION = pytest.mark.parametrize("name", SUBSCRIPTIONS)
TOPICS = of_kind("google_pubsub_topic")
BUCKETS = of_kind("google_storage_bucket")
ORGS = BUCKETS["orgs"]

# ------------------------------------------------------------------------------------------------ the bucket


def test_the_bucket_keeps_versions_and_cannot_be_destroyed_by_terraform() -> None:
    assert ORGS["versioning"] == [{"enabled": True}]
    assert ORGS["lifecycle"] == [{"prevent_destroy": True}]
    assert ORGS["force_destroy"] is False
    assert ORGS["soft_delete_policy"] == [{"retention_duration_seconds": "${var.soft_delete_days * local.day_seconds}"}]


@pytest.mark.parametrize("name", BUCKETS)
def test_no_object_has_rights_of_its_own_or_is_public(name: str) -> None:
    assert BUCKETS[name]["uniform_bucket_level_access"] is True
    assert BUCKETS[name]["public_access_prevention"] == "enforced"


def test_reads_and_writes_are_logged_where_the_program_has_no_right() -> None:
    [logging] = ORGS["logging"]
    assert logging["log_bucket"] == "${google_storage_bucket.access_logs.name}"
    rights = [body for body in of_kind("google_storage_bucket_iam_member").values() if "access_logs" in body["bucket"]]
    assert [right["member"] for right in rights] == ["group:cloud-storage-analytics@google.com"]
    assert [right["role"] for right in rights] == ["roles/storage.objectCreator"]


def test_encryption_is_decided_for_bucket_and_topics() -> None:
    [dynamic] = [d["encryption"] for d in ORGS["dynamic"] if "encryption" in d]
    assert dynamic["content"] == [{"default_kms_key_name": "${encryption.value}"}]
    assert {topic["kms_key_name"] for topic in TOPICS.values()} == {"${var.kms_key_name}"}


@pytest.fixture(scope="module")
def lifecycle_rules(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = evaluated(tmp_path_factory.mktemp("terraform"), "local.lifecycle_rules")
    return rules


def test_old_versions_of_databases_go_but_the_newest_stay(lifecycle_rules: list[dict[str, Any]]) -> None:
    [rule] = [rule for rule in lifecycle_rules if object_name_prefix() in rule["prefixes"]]
    assert rule["with_state"] == "ARCHIVED"
    assert (rule["days_since_noncurrent"], rule["newer_versions"]) == (30, 3)


def object_name_prefix() -> str:
    return object_name(parse_org_id("acme")).removesuffix("acme.db")


def test_everything_but_the_databases_ends_by_its_age(lifecycle_rules: list[dict[str, Any]]) -> None:
    ages = {prefix: rule["age"] for rule in lifecycle_rules for prefix in rule["prefixes"] if "age" in rule}
    assert ages == {
        "backups/": 400,
        "org-delta/": 35,
        REJECTED_PREFIX: 30,
        "org-lease/": 7,
        "org-lease-clock/": 7,
        "doctor/": 1,
    }


def test_a_live_database_is_never_deleted(lifecycle_rules: list[dict[str, Any]]) -> None:
    live = [rule for rule in lifecycle_rules if rule["with_state"] != "ARCHIVED"]
    assert all(rule["prefixes"] for rule in live)
    assert not [p for rule in live for p in rule["prefixes"] if object_name_prefix().startswith(p)]


def names_that_the_code_writes() -> set[str]:
    """Return the first part of every object name in the program: texts, and f-strings by what they begin with."""
    found = set()
    for floor in ("core", "infra", "handlers"):
        for file in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= set(re.findall(r"^((?:org-[a-z-]+|rejected|backups|doctor)/)(?:[^ ]*)$", node.value))
    return found


def test_terraform_and_the_program_speak_of_the_same_names() -> None:
    known = {LOCALS[name] for name in ("databases", "controls", "backups", "deltas", "rejected", "trials")}
    known |= {*LOCALS["leases"], *LOCALS["rewritten"]}
    written = names_that_the_code_writes()
    assert {object_name_prefix(), STATUS_PREFIX, REJECTED_PREFIX, "backups/", "org-delta/", "org-lease/"} <= written
    assert written - known == set(), "objects that no lifecycle rule has been thought of for"


# ------------------------------------------------------------------------------------------------ messages


@SUBSCRIPTION
def test_a_message_may_take_as_long_as_pubsub_allows(name: str) -> None:
    assert SUBSCRIPTIONS[name]["ack_deadline_seconds"] == "${local.ack_deadline_seconds}"
    assert LOCALS["ack_deadline_seconds"] == 600
    assert Settings().run_deadline_seconds < 600


@SUBSCRIPTION
def test_no_subscription_expires_or_orders(name: str) -> None:
    assert SUBSCRIPTIONS[name]["expiration_policy"] == [{"ttl": ""}]
    assert SUBSCRIPTIONS[name]["enable_message_ordering"] is False


@SUBSCRIPTION
def test_a_failed_delivery_comes_again_after_10_to_600_seconds(name: str) -> None:
    assert SUBSCRIPTIONS[name]["retry_policy"] == [
        {"minimum_backoff": "${local.backoff_seconds.first}s", "maximum_backoff": "${local.backoff_seconds.longest}s"}
    ]
    assert LOCALS["backoff_seconds"] == {"first": 10, "longest": 600}


@SUBSCRIPTION
def test_every_subscription_has_dead_letters_but_that_of_the_dead_letters(name: str) -> None:
    expected = None if name == "dead_letters" else [
        {
            "dead_letter_topic": "${google_pubsub_topic.dead_letters.id}",
            "max_delivery_attempts": "${local.delivery_attempts_max}",
        }
    ]  # fmt: skip
    assert SUBSCRIPTIONS[name].get("dead_letter_policy") == expected
    assert LOCALS["delivery_attempts_max"] == 100


def test_dead_letters_have_a_subscription_and_pubsub_may_move_them() -> None:
    assert SUBSCRIPTIONS["dead_letters"]["topic"] == "${google_pubsub_topic.dead_letters.id}"
    agent = "${local.pubsub_agent}"
    assert "@gcp-sa-pubsub.iam.gserviceaccount.com" in LOCALS["pubsub_agent"]
    writer = of_kind("google_pubsub_topic_iam_member")["dead_letter_writer"]
    assert (writer["topic"], writer["role"], writer["member"]) == (
        "${google_pubsub_topic.dead_letters.name}", "roles/pubsub.publisher", agent,
    )  # fmt: skip
    source = of_kind("google_pubsub_subscription_iam_member")["dead_letter_source"]
    assert (source["role"], source["member"]) == ("roles/pubsub.subscriber", agent)
    assert source["for_each"] == "${local.source_subscriptions}"
    sources = set(re.findall(r"google_pubsub_subscription\.(\w+)", LOCALS["source_subscriptions"]))
    assert sources == set(SUBSCRIPTIONS) - {"dead_letters"}


def test_pushes_carry_a_token_and_unwrapped_ones_their_metadata() -> None:
    [push] = SUBSCRIPTIONS["push"]["push_config"]
    assert push["oidc_token"] == [
        {"service_account_email": "${google_service_account.push.email}", "audience": "${local.push_audience}"}
    ]
    [dynamic] = push["dynamic"]
    assert dynamic["no_wrapper"]["content"] == [{"write_metadata": "${no_wrapper.value}"}]
    assert dynamic["no_wrapper"]["for_each"] == "${var.unwrapped_pushes ? [true] : []}"
    assert [name for name, body in SUBSCRIPTIONS.items() if "push_config" in body] == ["push"]


def test_each_topic_of_work_has_one_subscription(tmp_path: Path) -> None:
    both = evaluated(tmp_path, "[local.pushed, local.pulled]")
    assert both == [["changes", "requests"], ["bulk"]]


def test_without_an_endpoint_workers_pull_everything(tmp_path: Path) -> None:
    both = evaluated(tmp_path, "[local.pushed, local.pulled]", push_endpoint=None)
    assert both == [[], ["bulk", "changes", "requests"]]


def test_an_event_is_remembered_for_longer_than_its_message_can_come_back() -> None:
    """Also one that was replayed on the last day of its dead letter and then went the same way again."""
    retention = {name: SUBSCRIPTIONS[name]["message_retention_duration"] for name in SUBSCRIPTIONS}
    others = {duration for name, duration in retention.items() if name != "dead_letters"}
    assert others == {"${var.subscription_days * local.day_seconds}s"}
    assert retention["dead_letters"] == "${var.dead_letter_days * local.day_seconds}s"
    assert LOCALS["day_seconds"] == 86_400
    assert not [topic for topic in TOPICS.values() if "message_retention_duration" in topic]
    days = {name: variables()[name]["default"] for name in ("subscription_days", "dead_letter_days")}
    assert 2 * sum(days.values()) < EVENTS_KEPT_DAYS
    [condition] = [
        v["condition"] for v in variables()["dead_letter_days"]["validation"] if "subscription" in v["condition"]
    ]
    assert condition == f"${{2 * (var.subscription_days + var.dead_letter_days) < {EVENTS_KEPT_DAYS}}}"


def test_an_outage_of_half_a_day_costs_no_message() -> None:
    first, longest = LOCALS["backoff_seconds"]["first"], LOCALS["backoff_seconds"]["longest"]
    waits = [min(first * 2**attempt, longest) for attempt in range(LOCALS["delivery_attempts_max"] - 1)]
    assert 12 * 3600 < sum(waits) < variables()["subscription_days"]["default"] * LOCALS["day_seconds"]


# ------------------------------------------------------------------------------------------------ rights

RIGHTS = {
    "google_storage_bucket_iam_member.log_writer": "roles/storage.objectCreator",
    "google_storage_bucket_iam_member.objects": "roles/storage.objectAdmin",
    "google_storage_bucket_iam_member.bucket_reader": "roles/storage.legacyBucketReader",
    "google_pubsub_topic_iam_member.completions": "roles/pubsub.publisher",
    "google_pubsub_topic_iam_member.work": "roles/pubsub.publisher",
    "google_pubsub_topic_iam_member.dead_letter_writer": "roles/pubsub.publisher",
    "google_pubsub_topic_iam_member.event_publishers": "roles/pubsub.publisher",
    "google_pubsub_topic_iam_member.run_requesters": "roles/pubsub.publisher",
    "google_pubsub_subscription_iam_member.worker": "roles/pubsub.subscriber",
    "google_pubsub_subscription_iam_member.dead_letter_reader": "roles/pubsub.subscriber",
    "google_pubsub_subscription_iam_member.dead_letter_source": "roles/pubsub.subscriber",
    "google_pubsub_subscription_iam_member.consumers": "roles/pubsub.subscriber",
    "google_pubsub_topic_iam_member.look": "roles/pubsub.viewer",
    "google_pubsub_subscription_iam_member.look": "roles/pubsub.viewer",
    "google_service_account_iam_member.push_tokens": "roles/iam.serviceAccountTokenCreator",
    "google_kms_crypto_key_iam_member.services": "roles/cloudkms.cryptoKeyEncrypterDecrypter",
}
"""Every right that is given. Each is on one bucket, topic, subscription, account or key; none is on the project."""


def test_no_right_is_given_but_these() -> None:
    given = {f"{b.kind}.{b.name}": b.body["role"] for b in blocks() if "_iam_" in b.kind}
    assert given == RIGHTS


def test_whoever_pushes_can_do_nothing_else() -> None:
    members = [b.body["member"] for b in blocks() if "_iam_" in b.kind]
    assert not [member for member in members if "google_service_account.push" in member]
    assert not [member for member in members if "allUsers" in member or "allAuthenticatedUsers" in member]


def test_the_program_reaches_its_own_bucket_only() -> None:
    rights = of_kind("google_storage_bucket_iam_member").values()
    program = "${google_service_account.scheduler.member}"
    assert {r["bucket"] for r in rights if r["member"] == program} == {"${google_storage_bucket.orgs.name}"}


def test_no_key_of_an_account_gets_into_the_state() -> None:
    assert not [b for b in blocks() if b.kind == "google_service_account_key"]


# ------------------------------------------------------------------------------------------------ the clock


@pytest.mark.parametrize("unwrapped", [False, True])
def test_the_scheduled_message_of_an_org_is_a_run_request(unwrapped: bool) -> None:
    job = of_kind("google_cloud_scheduler_job")["org"]
    [target] = job["pubsub_target"]
    assert target["attributes"] == {"orgid": "${each.key}"}
    assert target["data"] == '${base64encode("{}")}'
    [event] = pushed({"orgid": "acme"}, unwrapped=unwrapped)
    assert isinstance(event, Event), event
    assert (event.type, event.org_id, event.id) == (RUN_REQUESTED, "acme", "17")


@pytest.mark.parametrize("unwrapped", [False, True])
def test_the_scheduled_message_of_all_orgs_is_a_fan_out(unwrapped: bool) -> None:
    [target] = of_kind("google_cloud_scheduler_job")["fan_out"]["pubsub_target"]
    assert target["data"] == '${base64encode("{}")}'
    [event] = pushed(target["attributes"], unwrapped=unwrapped)
    assert isinstance(event, FleetEvent), event
    assert (event.type, event.id) == (FANOUT_REQUESTED, "17")


def pushed(attributes: dict[str, str], *, unwrapped: bool) -> list[Any]:
    """Decode the message ``{}`` with these attributes as a push brings it."""
    if unwrapped:
        metadata = {"x-goog-pubsub-message-id": "17", "x-goog-pubsub-subscription-name": "s"}
        headers, body = {**attributes, **metadata}, b"{}"
    else:
        message = {"messageId": "17", "data": b64encode(b"{}").decode(), "attributes": attributes}
        headers, body = (
            {"content-type": "application/json"},
            json.dumps({"message": message, "subscription": "s"}).encode(),
        )
    return list(decode(headers, body, received_at=datetime(2026, 11, 25, tzinfo=UTC)))


def test_a_late_scheduler_tries_again() -> None:
    for job in of_kind("google_cloud_scheduler_job").values():
        assert job["retry_config"][0]["retry_count"] >= 3


# ------------------------------------------------------------------------------------------------ what the program is told


def test_the_outputs_are_settings_of_the_program() -> None:
    outputs = {name: body for item in all_of("output") for name, body in item.items()}
    names = set(re.findall(r"\b([A-Z][A-Z_]+) +=", outputs["settings"]["value"]))
    assert names == {
        "GCS_BUCKET_NAME", "PUBSUB_PROJECT", "COMPLETION_TOPIC", "REQUEST_TOPIC", "OIDC_AUDIENCE",
        "OIDC_SERVICE_ACCOUNT_EMAIL", "PULL_SUBSCRIPTIONS", "DEAD_LETTER_SUBSCRIPTION",
    }  # fmt: skip
    assert names <= {setting.name for setting in SETTINGS}


def test_topics_are_called_what_the_program_calls_them_by_default() -> None:
    prefix = variables()["name_prefix"]["default"]
    assert TOPICS["completions"]["name"].replace("${var.name_prefix}", prefix) == Settings().completion_topic
    requests = TOPICS["work"]["name"].replace("${var.name_prefix}", prefix).replace("${each.key}", "requests")
    assert requests == Settings().request_topic
    assert (
        SUBSCRIPTIONS["dead_letters"]["name"].replace("${var.name_prefix}", prefix)
        == Settings().dead_letter_subscription
    )


def test_the_state_is_kept_elsewhere() -> None:
    [block] = parsed(TERRAFORM / "versions.tf")["terraform"]
    assert block["backend"] == [{"gcs": {}}]
    assert "google_storage_bucket" not in (TERRAFORM / "versions.tf").read_text()
