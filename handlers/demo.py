"""``emailsched demo``: the whole way of a message, from the trigger to the completion event, on this machine alone.

It checks what it says: every sentence with a tick is a claim that held, and the first that does not hold ends the demo.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
from rich.console import Console

from core.runs.ports import Bucket, Message
from events.encode import encode, encode_push
from events.payloads import OrgId, RunCompleted, RunRequested
from events.pubsub_binding import PubSubMessage
from events.types import RUN_COMPLETED, Delivery, Outgoing
from handlers.bootstrap import local_bus_file, open_bucket
from handlers.cli_errors import CommandError, UsageError
from handlers.cli_output import DemoOrg, DemoOutput
from handlers.cli_runs import local_world
from handlers.cli_tables import number, size
from handlers.demo_server import DemoServer, demo_server
from handlers.report import render
from handlers.report_data import picture_of_org
from infra.fence import object_name
from infra.local_bus import read_messages
from infra.settings import Settings
from infra.synthetic import make_org
from infra.telemetry import LogJournal, configure_logging

SMALL, LARGE = OrgId("small-agency"), OrgId("large-agency")
MARKER: Final = ".emailsched-demo"
"""A folder with this file in it is ours to wipe."""

_COMPLETION_SECONDS_MAX: Final = 30.0
_POLL_SECONDS: Final = 0.05
_SUBSCRIPTION: Final = "projects/demo/subscriptions/email-scheduler-push"
_NO_CONTENT: Final = 204


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the demo is asked to do."""

    folder: Path
    contacts: tuple[int, int]
    seed: int
    narrate_on_stderr: bool
    """stdout is kept for the JSON document."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion event as a consumer sees it."""

    id: str
    completed: RunCompleted


@dataclass(slots=True)
class Narrator:
    """Tells a person what happens, and keeps the claims that held."""

    console: Console
    claims: list[str] = field(default_factory=list)

    def step(self, text: str) -> None:
        """Say what is done now."""
        self.console.print(text, markup=False)

    def claim(self, text: str, *, holds: bool) -> None:
        """Say what is true; raises CommandError if it is not."""
        if not holds:
            self.console.print("  ✗", text, style="red", markup=False)
            raise CommandError(
                "demo_failed", f"not as claimed: {text}", "this is a bug: report it with the demo's folder"
            )
        self.claims.append(text)
        self.console.print("  [green]✓[/green]", end=" ")
        self.console.print(text, markup=False)


class Subscriber:
    """Follows the local bus, as a consumer of completions would."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0
        self._waiting: list[Message] = []

    def next_completion(self) -> Completion:
        """Return the next event, in the order of publication; raises CommandError if none comes or it is no completion."""
        until = time.monotonic() + _COMPLETION_SECONDS_MAX
        while not self._waiting:
            read = read_messages(self._file, position=self._position)
            self._position = read.position
            self._waiting += read.messages
            if not self._waiting:
                if time.monotonic() > until:
                    detail = f"no event on the bus within {_COMPLETION_SECONDS_MAX:g} s"
                    raise CommandError("demo_failed", detail, "the log of the server says why: server.log")
                time.sleep(_POLL_SECONDS)
        message = self._waiting.pop(0)
        if message.attributes["ce-type"] != RUN_COMPLETED:
            raise CommandError("demo_failed", f"published {message.attributes['ce-type']}", "see bus/events.jsonl")
        return Completion(message.attributes["ce-id"], msgspec.json.decode(message.data, type=RunCompleted))


@dataclass(frozen=True, slots=True)
class _Stage:
    """What every scene needs."""

    server: DemoServer
    bucket: Bucket
    subscriber: Subscriber
    tell: Narrator
    folder: Path


def run_demo(wishes: Wishes) -> DemoOutput:
    """Play the demo; raises CommandError demo_failed for the first claim that does not hold."""
    started = time.monotonic()
    tell = Narrator(Console(stderr=wishes.narrate_on_stderr, highlight=False, soft_wrap=True))
    configure_logging("WARNING")
    folder = _fresh_folder(wishes.folder)
    settings = Settings(data_dir=folder / "data")
    bucket = open_bucket(settings, LogJournal())
    sizes = dict(zip((SMALL, LARGE), wishes.contacts, strict=True))
    tell.step(f"Two synthetic orgs go into an embedded bucket in {folder}")
    for org_id, contacts in sizes.items():
        _put_org(org_id, contacts, wishes.seed, folder, bucket, tell)
    with demo_server(settings.data_dir, folder / "server.log") as server:
        tell.step("\nThe server starts: emailsched serve")
        tell.step(f"  ready at {server.url} after {server.wait_ready():.1f} s")
        stage = _Stage(server, bucket, Subscriber(local_bus_file(settings)), tell, folder)
        orgs = tuple(_play(org_id, contacts, stage) for org_id, contacts in sizes.items())
        tell.step("\nThe server is asked to stop: SIGTERM")
        tell.claim("it drains and exits 0", holds=server.stop() == 0)
    seconds = round(time.monotonic() - started, 1)
    tell.step(f"\nDone in {seconds} s. Reports, to be opened in a browser:")
    for org in orgs:
        tell.step(f"  {org.report}")
    return DemoOutput(folder=str(folder), claims=tuple(tell.claims), seconds=seconds, orgs=orgs)


def _play(org_id: OrgId, contacts: int, stage: _Stage) -> DemoOrg:
    """Trigger one org, trigger it again, and deliver the first message twice."""
    tell = stage.tell
    how = "Cloud Scheduler's bare message" if org_id == SMALL else "a CloudEvent in a Pub/Sub message"
    tell.step(f"\n{org_id}: {how} is pushed over HTTP")
    message = _trigger(org_id)
    first = _deliver(message, stage)
    _show(first.completed, tell)
    planned = _generation(stage.bucket, org_id)
    tell.claim(
        f"the plan is in the bucket as generation {planned}, the one that the completion names",
        holds=first.completed.changed and planned == first.completed.generation,
    )
    total = sum(sum(types.values()) for types in first.completed.volume_by_day.values())
    tell.claim(
        f"the volumes of the completion add up to {number(total)} mails",
        holds=total == first.completed.counts.emails_scheduled == sum(first.completed.scheduled_by_type.values()),
    )
    tell.step("  another trigger, with a message id of its own")
    second = _second(first, stage)
    _claim_nothing_moved(second, planned, stage)
    tell.step("  the first message is delivered again, as Pub/Sub may do at any time")
    repeated = _deliver(message, stage)
    tell.claim(
        "it is recognised: the same completion id, replayed from the record, and no new generation",
        holds=repeated.id == first.id
        and repeated.completed.replayed
        and repeated.completed.run_id == first.completed.run_id
        and planned == _generation(stage.bucket, org_id),
    )
    report = stage.folder / f"report-{org_id}.html"
    picture = picture_of_org(stage.bucket, org_id, first.completed.as_of, local_world())
    report.write_text(render(picture), encoding="utf-8")
    return DemoOrg(
        org_id=org_id,
        contacts=contacts,
        first=first.completed,
        second=second.completed,
        repeated=repeated.completed,
        completion_id=first.id,
        report=str(report),
    )


def _second(first: Completion, stage: _Stage) -> Completion:
    """Trigger again on the same planning date; raises CommandError in the moment of the day when that date moves on."""
    second = _deliver(_trigger(first.completed.org_id), stage)
    if second.completed.as_of != first.completed.as_of:
        raise CommandError("demo_failed", "the org's planning date changed between two triggers", "run the demo again")
    return second


def _claim_nothing_moved(second: Completion, planned: int, stage: _Stage) -> None:
    completed = second.completed
    moved = (completed.bytes_down or 0) + (completed.bytes_up or 0)
    stage.tell.claim("it completes with changed: false, and no row differs", holds=not completed.changed)
    stage.tell.claim(
        f"no byte moved, no page changed, still generation {planned}",
        holds=moved == 0
        and completed.pages_changed == 0
        and completed.generation == planned == _generation(stage.bucket, completed.org_id),
    )


def _deliver(message: PubSubMessage, stage: _Stage) -> Completion:
    """Push a message as Pub/Sub does, and wait for what the world is told."""
    headers, body = encode_push(message)
    status = stage.server.post(headers, body)
    stage.tell.claim(f"answered {status}: Pub/Sub may forget the message", holds=status == _NO_CONTENT)
    return stage.subscriber.next_completion()


def _trigger(org_id: OrgId) -> PubSubMessage:
    """Return a run request: bare for the small org, a CloudEvent for the large one."""
    delivery = Delivery(
        message_id=str(uuid4().int % 10**17), subscription=_SUBSCRIPTION, publish_time=datetime.now(UTC)
    )
    if org_id == SMALL:
        return PubSubMessage(attributes={"org_id": org_id}, delivery=delivery)
    event = Outgoing(id=str(uuid4()), source="//emailsched/demo", data=RunRequested(), org_id=org_id)
    attributes, data = encode(event)
    return PubSubMessage(data=data, attributes=attributes, delivery=delivery)


def _show(completed: RunCompleted, tell: Narrator) -> None:
    counts = completed.counts
    tell.step(
        f"  run.completed: {number(counts.contacts)} contacts, {number(counts.emails_scheduled)} mails to be sent, "
        f"{number(counts.emails_skipped)} skipped, {number(counts.rows_inserted)} rows inserted, "
        f"as of {completed.as_of}, changed: {str(completed.changed).lower()}"
    )
    tell.step(
        f"    {size(completed.bytes_down)} down, {size(completed.bytes_up)} up; {_seconds(completed.durations_seconds)}"
    )


def _seconds(durations: Mapping[str, float] | None) -> str:
    return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in (durations or {}).items())


def _put_org(org_id: OrgId, contacts: int, seed: int, folder: Path, bucket: Bucket, tell: Narrator) -> None:
    file = folder / f"{org_id}.db"
    make_org(str(file), contacts=contacts, seed=seed, today=datetime.now(UTC).astimezone().date())
    info = bucket.upload(object_name(org_id), str(file), if_generation_match=0, metadata={})
    file.unlink()
    tell.step(
        f"  {object_name(org_id)}: {number(contacts)} contacts, {size(info.size_bytes)}, generation {info.generation}"
    )


def _generation(bucket: Bucket, org_id: OrgId) -> int:
    info = bucket.stat(object_name(org_id))
    return 0 if info is None else info.generation


def _fresh_folder(folder: Path) -> Path:
    """Make the folder empty if it is a demo's; raises UsageError rather than wipe anything else."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{str(folder)!r} is no folder", "name another --folder")
    marker = folder / MARKER
    if folder.exists() and any(folder.iterdir()) and not marker.is_file():
        raise UsageError(
            f"{str(folder)!r} is not empty and not a demo's", "name another --folder, or empty it yourself"
        )
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700)
    marker.touch()
    return folder.absolute()
