"""A trial of the real cloud: ``make smoke BUCKET=... PROJECT=...``.

    python -m handlers.smoke --bucket BUCKET --project PROJECT

The shipped parts run a synthetic org of a name of its own through the real bucket and the real Pub/Sub, and each line that
is printed is a claim that held: preconditions refuse, versions are kept, a message becomes a completion, a duplicate becomes
the same completion, a machine that is behind downloads less than the database. In the end all versions of its objects, its
topics and its subscriptions are deleted, also if a claim did not hold. Nothing of anybody else's is touched.

Credentials: GCS_KEYFILE_JSON, else application default credentials. They must be allowed to make topics and subscriptions
in the project, which the program itself is not: an operator runs this.
"""

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from core.runs.errors import OrgError
from core.runs.ports import PreconditionFailedError
from events.payloads import RunCompleted
from events.pubsub_binding import PubSubMessage
from events.types import RUN_COMPLETED, Event, OrgId, parse_org_id
from events.wire import decode_message
from handlers.bootstrap import App, build
from infra.fence import object_name
from infra.gcs_client import GcsLimits, gcs_client
from infra.scratch_cloud import PREFIXES, ScratchTopics, delete_every_version
from infra.settings import Settings
from infra.synthetic import make_org
from infra.telemetry import configure_logging

_MESSAGE_SECONDS_MAX: Final = 60.0
_VERSIONS_MIN: Final = 3
"""The upload, the first run, the run of the next day."""


class ClaimError(Exception):
    """Something that must hold in the cloud does not; the text says what."""


class Told(NamedTuple):
    """A completion as a consumer sees it."""

    event_id: str
    completed: RunCompleted


class Trial:
    """One org through one bucket and one pair of topics, on two machines."""

    def __init__(self, settings: Settings, org_id: OrgId, folder: Path, topics: ScratchTopics) -> None:
        self._settings = settings
        self._org_id = org_id
        self._object = object_name(org_id)
        self._folder = folder
        self._topics = topics
        self._started = time.monotonic()

    def run(self, contacts: int) -> None:
        """Make every claim; raises ClaimError or OrgError at the first that does not hold."""
        file = self._folder / "org.db"
        make_org(str(file), contacts=contacts, seed=1, today=datetime.now(UTC).date())
        with closing(self._machine("one")) as one, closing(self._machine("two")) as two:
            self._say(f"bucket {self._settings.gcs_bucket_name} answers and keeps versions")
            self._preconditions(one, file)
            first = self._first_run(one, contacts)
            told = self._same_day(two, first)
            self._next_day(one, two, told)
            self._traces(one)

    def _machine(self, name: str) -> App:
        return build(msgspec.structs.replace(self._settings, data_dir=self._folder / name))

    def _preconditions(self, app: App, file: Path) -> None:
        info = app.bucket.upload(self._object, str(file), if_generation_match=0, metadata={})
        for stale in (0, info.generation - 1):
            try:
                app.bucket.upload(self._object, str(file), if_generation_match=stale, metadata={})
            except PreconditionFailedError:
                continue
            raise ClaimError(f"an upload over generation {info.generation} was taken although it named {stale}")
        self._say("an upload that names another generation than the live one is refused")

    def _first_run(self, app: App, contacts: int) -> RunCompleted:
        message = self._asked({})
        told = self._carried(app, message)
        self._claim(told.completed.changed, "the first run changed nothing")
        self._claim(told.completed.counts.contacts == contacts, "the run did not see every contact")
        self._say(f"a message became a run and a completion: {told.completed.counts.emails_scheduled} mails planned")
        again = self._carried(app, message)
        self._claim(again.event_id == told.event_id, "the completion of a duplicate has another id")
        self._claim(again.completed.replayed, "a duplicate was worked on again")
        self._say("the same message again became the same completion, and no work")
        return told.completed

    def _same_day(self, cold: App, first: RunCompleted) -> RunCompleted:
        told = self._carried(cold, self._asked({})).completed
        self._claim(not told.changed, "a second run on the same day changed something")
        self._claim(told.generation == first.generation, "a run that changed nothing made a version")
        self._claim(bool(told.bytes_down), "a machine without a mirror downloaded nothing")
        self._say(f"another machine downloaded {told.bytes_down} bytes, changed nothing and uploaded nothing")
        return told

    def _next_day(self, behind: App, other: App, today: RunCompleted) -> None:
        tomorrow = {"as_of": (date.fromisoformat(str(today.as_of)) + timedelta(days=1)).isoformat()}
        moved = self._carried(other, self._asked(tomorrow)).completed
        self._claim(moved.changed, "the next day changed nothing")
        caught_up = self._carried(behind, self._asked(tomorrow)).completed
        down, size = caught_up.bytes_down or 0, self._size(behind)
        self._claim(caught_up.generation == moved.generation, "the machine that was behind made a version")
        self._claim(0 < down < size, f"the machine that was behind downloaded {down} of {size} bytes")
        self._say(f"a machine that was behind by a run downloaded {down} of {size} bytes")

    def _traces(self, app: App) -> None:
        versions = app.bucket.versions(self._object)
        self._claim(len(versions) >= _VERSIONS_MIN, f"only {len(versions)} versions were kept")
        self._claim(app.bucket.stat(f"org-lease/{self._org_id}") is None, "the lease was not given back")
        self._claim(app.bucket.stat(f"org-status/{self._org_id}.json") is not None, "there is no status")
        self._say(f"{len(versions)} versions are kept, the status is there, the lease was given back")

    def _size(self, app: App) -> int:
        info = app.bucket.stat(self._object)
        return info.size_bytes if info else 0

    def _asked(self, data: Mapping[str, str]) -> PubSubMessage:
        """Send a run request as Cloud Scheduler would, and take it as a worker would."""
        self._topics.publish({"orgid": self._org_id}, msgspec.json.encode(data))
        message = self._topics.take(self._topics.requests, _MESSAGE_SECONDS_MAX)
        if message is None:
            raise ClaimError(f"no request came within {_MESSAGE_SECONDS_MAX:g} s of its publication")
        return message

    def _carried(self, app: App, message: PubSubMessage) -> Told:
        [event] = decode_message(message, received_at=app.clock.now_utc())
        if not isinstance(event, Event):
            raise ClaimError(f"a run request was read as {type(event).__name__}")
        handled = app.service.handle(event, until=app.clock.monotonic() + app.settings.run_deadline_seconds)
        if handled.error is not None:
            raise handled.error
        told = self._topics.take(self._topics.completions, _MESSAGE_SECONDS_MAX)
        if told is None or told.attributes.get("ce-type") != RUN_COMPLETED:
            raise ClaimError("no completion came")
        return Told(told.attributes["ce-id"], msgspec.json.decode(told.data, type=RunCompleted))

    def _claim(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise ClaimError(otherwise)

    def _say(self, claim: str) -> None:
        sys.stdout.write(f"ok  {time.monotonic() - self._started:6.1f} s  {claim}\n")
        sys.stdout.flush()


def trial(bucket: str, project: str, contacts: int, env: Mapping[str, str]) -> int:
    """Try, clean up, and return the exit code: 0 if every claim held and nothing is left."""
    name = f"smoke-{secrets.token_hex(6)}"
    ours = {
        "GCS_BUCKET_NAME": bucket,
        "PUBSUB_PROJECT": project,
        "REQUEST_TOPIC": f"{name}-requests",
        "COMPLETION_TOPIC": f"{name}-completions",
    }
    settings = Settings.from_env({**env, **ours}, serving=False)
    configure_logging("ERROR")
    client = gcs_client(settings, GcsLimits())
    failure: Exception | None = None
    with tempfile.TemporaryDirectory(prefix=name) as folder:
        try:
            with ScratchTopics(settings, name).made() as topics:
                Trial(settings, parse_org_id(name), Path(folder), topics).run(contacts)
        except (ClaimError, OrgError) as error:
            failure = error
        finally:
            deleted = delete_every_version(client, bucket, name)
    left = [prefix for prefix in PREFIXES if any(client.list_blobs(bucket, prefix=prefix.format(name), versions=True))]
    client.close()
    sys.stdout.write(f"{'ok' if not left else 'FAILED'}  cleaned up: {deleted} versions, topics, subscriptions\n")
    if failure is not None:
        hint = f"; {failure.hint}" if isinstance(failure, OrgError) else ""
        sys.stdout.write(f"FAILED  {failure}{hint}\n")
    return 1 if failure is not None or left else 0


def main(arguments: Sequence[str]) -> int:
    """Read the arguments; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m handlers.smoke", description="Try the real cloud with an org of its own, and clean up."
    )
    parser.add_argument("--bucket", required=True, help="an existing bucket with Object Versioning")
    parser.add_argument("--project", required=True, help="project in which topics may be made for the trial")
    parser.add_argument("--contacts", type=int, default=5_000, help="size of the org; default 5000")
    wishes = parser.parse_args(arguments)
    try:
        return trial(wishes.bucket, wishes.project, wishes.contacts, os.environ)
    except OrgError as error:
        sys.stdout.write(f"FAILED  {error}; {error.hint}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
