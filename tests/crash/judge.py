"""What must hold of a world, right after a death and after the message was repeated; violations are sentences."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from core.runs.errors import OrgError
from core.runs.ports import ObjectInfo
from events.payloads import RunCompleted
from infra.checksum import crc32c_of_file
from infra.local_bucket import LocalBucket
from infra.local_bus import read_messages
from infra.org_folder import MirrorRecord
from tests.crash.worlds import OBJECT

_UNREADABLE: Final = "bucket or bus cannot be read"
_RUN_ID: Final = "run-id"


class Published(NamedTuple):
    """One line of the bus."""

    id: str
    completed: RunCompleted


class State(NamedTuple):
    """What an effect is, by content: of an undisturbed run, or of the one to judge."""

    rows: str
    """Of every table; sqlite_schema included."""
    form: tuple[int, str]
    """Page size and journal mode."""
    completion_ids: frozenset[str]
    versions: int


def state_of(root: Path) -> State:
    bucket = LocalBucket(str(root / "bucket"))
    live = bucket.stat(OBJECT)
    assert live is not None
    rows, form, _ = _content(str(_data_file(root, live)), live.crc32c)
    return State(rows, form, frozenset(line.id for line in published(root)), len(bucket.versions(OBJECT)))


def published(root: Path) -> list[Published]:
    """Completions, in order; raises ValueError for a line that is none: no run of ours is refused or fails for good."""
    messages = read_messages(root / "bus" / "events.jsonl").messages
    if any(not m.attributes["ce-type"].endswith("run.completed.v1") for m in messages):
        raise ValueError([m.attributes["ce-type"] for m in messages])
    return [Published(m.attributes["ce-id"], msgspec.json.decode(m.data, type=RunCompleted)) for m in messages]


def after_death(root: Path, *, acknowledged: bool, undisturbed: State) -> Iterator[str]:
    """Nothing torn, nothing announced that is not so, nothing acknowledged that can be lost."""
    try:
        versions = LocalBucket(str(root / "bucket")).versions(OBJECT)
        lines = published(root)
    except (OrgError, ValueError) as error:
        yield f"{_UNREADABLE}: {error}"
        return
    yield from _unsound_versions(root, versions)
    committed = {info.metadata.get(_RUN_ID) for info in versions}
    for line in lines:
        if line.completed.changed and line.completed.run_id not in committed:
            yield f"run {line.completed.run_id} was announced, and no version is of it"
    if acknowledged:
        if {line.id for line in lines} != undisturbed.completion_ids:
            yield "acknowledged, and not announced"
        if state_of(root).rows != undisturbed.rows:
            yield "acknowledged, and not in the object"
    for machine in ("one", "two"):
        yield from _false_record(root / machine / "orgs" / "acme", versions)


def after_recovery(root: Path, machine: str, undisturbed: State) -> Iterator[str]:
    """One effect, as if nothing had happened, under one id; nothing left that could hurt a later run."""
    found = list(after_death(root, acknowledged=True, undisturbed=undisturbed))
    yield from found
    if any(_UNREADABLE in sentence for sentence in found):
        return
    try:
        state, lease = state_of(root), LocalBucket(str(root / "bucket")).stat("org-lease/acme")
    except OrgError as error:
        yield f"{_UNREADABLE}: {error}"
        return
    if state.form != undisturbed.form:
        yield f"the object was {undisturbed.form} and is {state.form}"
    if state.versions != undisturbed.versions:
        yield f"{state.versions} versions instead of {undisturbed.versions}"
    if lease is not None:
        yield "the lease was not given back"
    # A torn temporary in the bucket may stay: nobody reads it, and the next writer of the name removes it.
    names = {path.name for path in (root / "bucket").rglob("*")}
    yield from (f"in the bucket: {name}" for name in names if name.endswith(("-wal", "-shm", "-journal")))
    here = sorted(os.listdir(root / machine / "orgs" / "acme"))  # noqa: PTH208 - names are all that is looked at
    yield from (f"left over: {name}" for name in here if name not in {"mirror.db", "mirror.json", "working.db"})


def _unsound_versions(root: Path, versions: Any) -> Iterator[str]:
    """Every version of the history is whole: its bytes are those described, and a database."""
    for info in versions:
        file = _data_file(root, info)
        if not file.exists() or (file.stat().st_size, crc32c_of_file(str(file))) != (info.size_bytes, info.crc32c):
            yield f"version {info.generation} is torn"
            continue
        _, _, integrity = _content(str(file), info.crc32c)
        if integrity != "ok":
            yield f"version {info.generation}: {integrity}"


def _false_record(folder: Path, versions: Any) -> Iterator[str]:
    """mirror.json is true or absent (damaged counts as absent)."""
    try:
        record = msgspec.json.decode((folder / "mirror.json").read_bytes(), type=MirrorRecord)
    except (FileNotFoundError, msgspec.MsgspecError):
        return
    described = {info.generation: info.crc32c for info in versions}
    if described.get(record.generation) != record.crc32c:
        yield f"mirror.json of {folder.parts[-3]} names what never was"
    elif not (folder / "mirror.db").exists() or crc32c_of_file(str(folder / "mirror.db")) != record.crc32c:
        yield f"mirror.json of {folder.parts[-3]} is false"


def _data_file(root: Path, info: ObjectInfo) -> Path:
    return root / "bucket" / "org-data%2Facme.db" / f"{info.generation}.data"


_Content = tuple[str, tuple[int, str], str]
_contents: Final[dict[str, _Content]] = {}


def _content(file: str, crc32c: str) -> _Content:
    """Rows of all tables, form and integrity of a database file; the same bytes are read once."""
    if crc32c not in _contents:
        _contents[crc32c] = _read_content(file)
    return _contents[crc32c]


def _read_content(file: str) -> _Content:
    """Read a file as it is, by its bytes alone."""
    with closing(sqlite3.connect(f"file:{quote(file)}?mode=ro&immutable=1", uri=True)) as db:
        db.text_factory = bytes
        try:
            integrity = str(db.execute("PRAGMA integrity_check").fetchone()[0].decode())
            tables = [name.decode() for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            rows = {name: db.execute(f'SELECT * FROM "{name}"').fetchall() for name in sorted(tables)}
            schema = sorted(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall(), key=repr)
            page_size = int(db.execute("PRAGMA page_size").fetchone()[0])
        except sqlite3.DatabaseError as error:
            return "", (0, ""), str(error)
    return repr((schema, rows)), (page_size, "wal" if Path(file).read_bytes()[18] == 2 else "delete"), integrity
