"""What `doctor` asks of Pub/Sub: whether topics are there and open to us, and nothing is lost on the way to us."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, NamedTuple

from google.api_core import exceptions as api
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient  # type: ignore[import-untyped]
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from core.runs.errors import OrgError
from infra.findings import Finding, failed
from infra.pubsub_client import connection, reason_of
from infra.settings import Settings

ACK_DEADLINE_SECONDS: Final = 600
DELIVERY_ATTEMPTS: Final = 100
"""A 503 is no poison: a busy org or an outage of hours must not end in the dead letters."""
SUBSCRIPTIONS_MAX: Final = 20
"""Of one topic, that are looked at."""
_TIMEOUT_SECONDS: Final = 20.0


class _Clients(NamedTuple):
    publisher: PublisherClient
    subscriber: SubscriberClient


def check_bus(settings: Settings) -> tuple[Finding, ...]:
    """Look at both topics and at every subscription that brings requests; never raises."""
    if settings.pubsub_project is None:
        return (Finding("bus", "skipped", "PUBSUB_PROJECT is not set: events go to a file in DATA_DIR"),)
    try:
        with ExitStack() as stack:
            clients = _connect(settings, stack)
            return tuple(_findings(settings, settings.pubsub_project, clients))
    except OrgError as error:
        return (failed("bus", error),)


def _findings(settings: Settings, project: str, clients: _Clients) -> Iterator[Finding]:
    topics = {"completion topic": settings.completion_topic, "request topic": settings.request_topic}
    for check, topic in topics.items():
        name = f"projects/{project}/topics/{topic}"
        found = _asked(check, topic, partial(clients.publisher.get_topic, topic=name, **_bounds()))
        if isinstance(found, Finding):
            yield found
            continue
        yield _may_publish(check, topic, name, clients)
        if check == "request topic":
            yield from _subscriptions(topic, name, clients)


def _may_publish(check: str, topic: str, name: str, clients: _Clients) -> Finding:
    """Ask Pub/Sub whether we may publish: a message to try would reach the consumers."""
    needed = "pubsub.topics.publish"
    request = {"resource": name, "permissions": [needed]}
    try:
        answer = clients.publisher.test_iam_permissions(request=request, **_bounds())
    except (api.MethodNotImplemented, api.Unknown):
        return Finding(check, "ok", f"{topic} exists; this is an emulator, which knows no permissions")
    except (api.GoogleAPIError, GoogleAuthError) as error:
        return Finding(check, "skipped", f"{topic} exists; permissions could not be asked for: {reason_of(error)}")
    if needed in answer.permissions:
        return Finding(check, "ok", f"{topic} exists and takes our messages")
    return Finding(check, "error", f"{needed} is refused on {topic}", "grant roles/pubsub.publisher on this topic")


def _subscriptions(topic: str, name: str, clients: _Clients) -> Iterator[Finding]:
    check = "subscriptions"
    names = _asked(check, topic, lambda: list(clients.publisher.list_topic_subscriptions(topic=name, **_bounds())))
    if isinstance(names, Finding):
        yield names
        return
    if not names:
        yield Finding(
            check, "error", f"nobody subscribes to {topic}", "apply infra/terraform, or create a subscription"
        )
    for subscription in names[:SUBSCRIPTIONS_MAX]:
        yield _subscription(subscription, clients)


def _subscription(name: str, clients: _Clients) -> Finding:
    """Judge one subscription: long enough to run, patient enough for an outage, and with a place for what fails."""
    short = name.rpartition("/")[2]
    check = f"subscription {short}"
    found = _asked(check, short, lambda: clients.subscriber.get_subscription(subscription=name, **_bounds()))
    if isinstance(found, Finding):
        return found
    complaints = [text for text, holds in _demands(found).items() if not holds]
    dead_letter_topic = found.dead_letter_policy.dead_letter_topic
    if dead_letter_topic and "lost" not in " ".join(complaints):
        readers = _asked(
            check,
            dead_letter_topic.rpartition("/")[2],
            lambda: list(clients.publisher.list_topic_subscriptions(topic=dead_letter_topic, **_bounds())),
        )
        if isinstance(readers, Finding):
            return readers
        if not readers:
            complaints.append("nobody subscribes to its dead letters: they are lost")
    if not complaints:
        return Finding(check, "ok", f"{ACK_DEADLINE_SECONDS} s, {DELIVERY_ATTEMPTS} attempts, dead letters are kept")
    return Finding(check, "warning", "; ".join(complaints), "apply infra/terraform, or correct the subscription")


def _demands(subscription: Any) -> Mapping[str, bool]:
    """Say what a subscription must have, and whether it has it."""
    policy = subscription.dead_letter_policy
    return {
        f"ack deadline {subscription.ack_deadline_seconds} s instead of {ACK_DEADLINE_SECONDS}": (
            subscription.ack_deadline_seconds >= ACK_DEADLINE_SECONDS
        ),
        "no dead-letter topic: after its retention a message is lost": bool(policy.dead_letter_topic),
        f"{policy.max_delivery_attempts} delivery attempts instead of {DELIVERY_ATTEMPTS}": (
            not policy.dead_letter_topic or policy.max_delivery_attempts >= DELIVERY_ATTEMPTS
        ),
        "an ordering key would hold every message until the one before is acknowledged": (
            not subscription.enable_message_ordering
        ),
    }


def _bounds() -> dict[str, Any]:
    """Bound one question: the client's own default for some of them is to try for ever."""
    passing = if_exception_type(api.ServiceUnavailable, api.DeadlineExceeded)
    return {"timeout": _TIMEOUT_SECONDS, "retry": Retry(predicate=passing, timeout=_TIMEOUT_SECONDS)}


def _asked(check: str, what: str, ask: Callable[[], Any]) -> Any:
    """Ask Pub/Sub something; a Finding instead of the answer where there is none."""
    try:
        return ask()
    except api.NotFound:
        return Finding(check, "error", f"{what} does not exist", "apply infra/terraform, or correct the setting")
    except api.PermissionDenied:
        return Finding(check, "skipped", f"{what} may not be looked at", "grant roles/pubsub.viewer to see more")
    except (api.GoogleAPIError, GoogleAuthError) as error:
        return Finding(
            check, "error", f"{what}: {reason_of(error)}", "check PUBSUB_PROJECT, credentials and the network"
        )


def _connect(settings: Settings, stack: ExitStack) -> _Clients:
    publisher = PublisherClient(**connection(settings, PublisherGrpcTransport))
    subscriber = SubscriberClient(**connection(settings, SubscriberGrpcTransport))
    stack.callback(publisher.transport.close)
    stack.callback(subscriber.close)
    return _Clients(publisher, subscriber)
