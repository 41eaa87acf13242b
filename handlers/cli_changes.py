"""What ``config`` and ``campaign`` share: a change goes through the service like every event, a look writes nothing."""

import getpass
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar
from uuid import uuid4

import typer

from core.runs.errors import ErrorCode, OrgError
from events.limits import DEFAULT_LIMITS
from events.payload_reader import read_payload
from events.payloads import EventRef, Payload
from events.rejection import Reason
from events.strict_json import JsonValue, faults, parse
from events.types import CampaignChanged, ConfigChanged, Event
from handlers.cli_change_output import ChangeOutput
from handlers.cli_errors import UsageError
from handlers.cli_options import Target
from handlers.cli_output import print_json
from handlers.cli_runs import CLI_SOURCE, bucket_to_look_at, local_world

if TYPE_CHECKING:
    from core.runs.ports import OrgDatabase
    from infra.settings import Settings

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

JSON_BYTES_MAX: Final = 1_000_000
"""Of a JSON file that is read here."""

Change = TypeVar("Change", CampaignChanged, ConfigChanged)

ChangedTargetArgument = Annotated[
    str, typer.Argument(metavar="ORG|FILE", help="An existing file, or an org of the bucket.")
]
AuthorOption = Annotated[
    str | None, typer.Option("--author", metavar="NAME", help="Who makes the change.  [default: the user's name]")
]
JsonFileOption = Annotated[
    str | None, typer.Option("--json-file", metavar="FILE|-", help="Read all of it from a JSON file; -: from stdin.")
]


def author_or_user(author: str | None) -> str | None:
    """Return the author named, else the name of the operating system's user; None where it has none."""
    if author is not None:
        return author
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry, as in many containers
        return None


def split_pair(pair: str) -> tuple[str, str]:
    """Take ``KEY=VALUE`` apart; raises UsageError."""
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise UsageError(f"{pair!r} is no KEY=VALUE", "write the key, =, and the value; null is a value")
    return key, value


def json_or_text(text: str) -> JsonValue:
    """Read a value as JSON where it is JSON, else as the text that it is (so that names need no quotes)."""
    value = parse(text.encode("utf-8", "surrogateescape"), "")
    return text if isinstance(value, Reason) else value


def read_json_file(name: str) -> dict[str, JsonValue]:
    """Read one JSON object from a file, or from stdin for ``-``; raises OrgError FILE_MISSING, UsageError."""
    if name == "-":
        content = sys.stdin.buffer.read(JSON_BYTES_MAX + 1)
    elif Path(name).is_file():
        with Path(name).open("rb") as file:
            content = file.read(JSON_BYTES_MAX + 1)
    else:
        raise OrgError(ErrorCode.FILE_MISSING, detail=f"{name!r} is no file")
    if len(content) > JSON_BYTES_MAX:
        raise UsageError(f"{name!r} is too large", f"a change has at most {JSON_BYTES_MAX} bytes")
    value = parse(content, "")
    if isinstance(value, Reason):
        raise UsageError(f"{name!r}: {value.message}", "write one JSON object")
    if not isinstance(value, dict):
        raise UsageError(f"{name!r} holds no JSON object", "write one JSON object")
    return value


def judge(payload: type[Change], data: dict[str, JsonValue]) -> Change:
    """Judge a change as the wire judges one; raises UsageError with every reason."""
    found = faults(data, ("data",), DEFAULT_LIMITS)
    read = found or read_payload(payload, data)
    if isinstance(read, payload):
        return read
    reasons = read if isinstance(read, list) else []
    raise UsageError("; ".join(reason.message for reason in reasons), "correct what is named; nothing was changed")


def change(target: Target, event_type: str, data: Payload, settings: "Settings", *, json: bool, title: str) -> None:
    """Have a change made and planned, and show the run; raises OrgError. Of an org: through the service."""
    from handlers.progress import progress

    event = Event(id=str(uuid4()), source=CLI_SOURCE, type=event_type, org_id=target.org_id, data=data)
    with progress(f"{title} {target.org_id}", settings.log_level):
        output = _in_bucket(event, settings) if target.file is None else _in_file(target.file, event)
    if json:
        print_json(output)
        return
    from handlers.cli_tables import print_completed

    print_completed(output.completed, title=f"{title} {target.file or target.org_id}: the run that carried it")


@contextmanager
def lent_copy(target: Target, settings: "Settings") -> Iterator[tuple[str, int | None]]:
    """Lend a private copy of a file, or of an org's live object with its generation; nothing is written anywhere else.

    Raises OrgError.
    """
    from handlers.local_run import file_copy, object_copy
    from handlers.progress import progress

    world = local_world(settings)
    with progress(f"look at {target.org_id}", settings.log_level), ExitStack() as lent:
        if target.file is not None:
            yield lent.enter_context(file_copy(target.file, target.org_id, world)), None
        else:
            bucket = bucket_to_look_at(target.org_id, settings)
            yield lent.enter_context(object_copy(bucket, target.org_id, world))


@contextmanager
def looked_at(target: Target, settings: "Settings") -> Iterator[tuple["OrgDatabase", int | None]]:
    """Lend an org database to look at, and the object's generation (None: a file); nothing is written anywhere.

    Raises OrgError. It is a private copy, brought up to the schema of this program and thrown away.
    """
    world = local_world(settings)
    with lent_copy(target, settings) as (copy, generation), closing(world.store.open(copy, target.org_id)) as db:
        db.migrate()
        yield db, generation


def is_on_hold(target: Target, settings: "Settings") -> bool:
    """Whether an org is on hold; a file never is. Raises OrgError HOLDS_UNREADABLE, BUCKET_*."""
    from infra.holds import BucketHolds

    if target.file is not None:
        return False
    return BucketHolds(bucket_to_look_at(target.org_id, settings)).read().of(target.org_id) is not None


def pairs_of(values: Sequence[str]) -> dict[str, str]:
    """Take ``KEY=VALUE`` arguments apart; raises UsageError, also for a key that is given twice."""
    pairs = [split_pair(value) for value in values]
    if len(dict(pairs)) != len(pairs):
        raise UsageError("a key is given twice", "give each key once")
    return dict(pairs)


def _in_bucket(event: Event, settings: "Settings") -> ChangeOutput:
    from handlers.bootstrap import build

    app = build(settings)
    try:
        handled = app.service.handle(event, until=app.clock.monotonic() + settings.run_deadline_seconds)
    finally:
        app.close()
    if handled.error is not None:
        raise handled.error
    if handled.completed is None:
        raise RuntimeError("an event without an error has a completion")
    return ChangeOutput(file=None, file_replaced=None, event=_ref(event), completed=handled.completed)


def _in_file(file: Path, event: Event) -> ChangeOutput:
    from core.runs.reconcile import Order
    from handlers.local_run import new_run_id, schedule_file

    order = Order(event.org_id, new_run_id(), event_keys=(event.key,))
    completed = schedule_file(file, order, local_world(), (event,))
    return ChangeOutput(file=str(file), file_replaced=completed.changed, event=_ref(event), completed=completed)


def _ref(event: Event) -> EventRef:
    return EventRef(source=event.source, id=event.id)
