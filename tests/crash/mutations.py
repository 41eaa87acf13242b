"""Guards that can be taken away, and troubles that they guard against; applied in a child, before its edges are hung in.

``a+b`` takes away, or causes, both.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final

import infra.fence
import infra.files
import infra.local_bucket
import infra.local_bus
import infra.local_file
import infra.mirror
import infra.org_folder
import infra.rsync
from core.runs.ports import Commit, Uploaded, WorkingCopy
from infra.local_bucket import LocalBucket
from infra.mirror import MirrorSync
from infra.org_db import SqliteOrgDatabase
from infra.org_folder import MirrorRecord, OrgFolder
from tests.crash.cases import Case

STRANGER: Final = 999_999
"""Id of the contact that another system adds while a run is under way."""


def apply(names: str) -> None:
    for name in names.split("+"):
        MUTATIONS[name]()


def _patch(name: str, value: Any, *modules: Any) -> None:
    """Replace a function in its home and wherever it was imported to."""
    for module in modules:
        assert hasattr(module, name), (module, name)
        setattr(module, name, value)


def _no_sync_of_contents() -> None:
    _patch("sync_file", lambda file: None, infra.files, infra.local_file)


def _no_sync_of_names() -> None:
    _patch("sync_folder", lambda folder: None, infra.files, infra.local_bucket, infra.local_bus, infra.local_file)


def _written_in_place() -> None:
    def write(target: Path, content: bytes) -> None:
        target.write_bytes(content)

    _patch("write_durably", write, infra.files, infra.local_bucket, infra.org_folder)


def _record_first() -> None:
    def install(folder: OrgFolder, candidate: Path, record: MirrorRecord) -> None:
        folder.write_record(record)
        infra.files.replace_durably(candidate, folder.mirror)

    _patch("install", install, OrgFolder)


def _sidecars_stay() -> None:
    _patch("remove_sidecars", lambda database: None, infra.files, infra.mirror, infra.org_folder, infra.rsync)


def _trusting_rsync() -> None:
    _patch("_is_copy", lambda origin, replica: True, infra.mirror)


def _no_generation_match() -> None:
    def upload(bucket: LocalBucket, name: str, file: str, *, if_generation_match: int, metadata: Any) -> Any:
        with Path(file).open("rb") as source:
            return bucket._commit(name, source, None, metadata)

    _patch("upload", upload, LocalBucket)


def _any_upload_is_ours() -> None:
    class Ours:
        def __eq__(self, other: object) -> bool:
            return True

        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = None  # type: ignore[assignment]

    _patch("_identity", lambda info: Ours(), infra.fence)


def _events_not_in_the_commit() -> None:
    write = SqliteOrgDatabase.write

    def without_events(db: SqliteOrgDatabase, commit: Commit) -> tuple[str, ...]:
        fields = {name: getattr(commit, name) for name in Commit.__slots__}
        return write(db, Commit(**{**fields, "event_keys": ()}))

    _patch("write", without_events, SqliteOrgDatabase)


def _announced_before_the_upload() -> None:
    up, done = MirrorSync.up, MirrorSync.done
    waiting: list[Callable[[], object]] = []

    def later(sync: MirrorSync, copy: WorkingCopy, **more: Any) -> Uploaded:
        waiting.append(lambda: up(sync, copy, **more))
        return Uploaded(copy.generation + 1, 1)

    def at_last(sync: MirrorSync, copy: WorkingCopy) -> None:
        while waiting:
            waiting.pop()()
        done(sync, copy)

    _patch("up", later, MirrorSync)
    _patch("done", at_last, MirrorSync)


def _leftovers_stay() -> None:
    _patch("_remove_leftovers", lambda *_: None, LocalBucket)


def _torn_lines_stay() -> None:
    _patch("_without_torn_tail", lambda descriptor: os.fstat(descriptor).st_size, infra.local_bus)


def _no_checksum() -> None:
    _patch("has_content", lambda *_: True, infra.mirror)


def _swapped_without_a_look_at_the_wal() -> None:
    def swap(staged: Path, target: Path, fingerprint: object) -> None:
        staged.replace(target)

    _patch("_swap", swap, infra.local_file)


def _swapped_by_copying() -> None:
    def swap(staged: Path, target: Path, fingerprint: object) -> None:
        with target.open("wb") as stream:
            stream.write(staged.read_bytes())

    _patch("_swap", swap, infra.local_file)


def _lazy_rsync() -> None:
    """Trouble: sqlite3_rsync's child is killed, once; the exit code is 0 and the replica as it was."""
    run = infra.rsync.Rsync._run
    calls = count()

    def once(rsync: infra.rsync.Rsync, *args: Any) -> tuple[int, bytes]:
        return run(rsync, *args) if next(calls) else (0, b"")

    _patch("_run", once, infra.rsync.Rsync)


MUTATIONS: Final[dict[str, Callable[[], None]]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _no_sync_of_contents,
        _no_sync_of_names,
        _written_in_place,
        _record_first,
        _sidecars_stay,
        _trusting_rsync,
        _no_generation_match,
        _any_upload_is_ours,
        _events_not_in_the_commit,
        _announced_before_the_upload,
        _leftovers_stay,
        _torn_lines_stay,
        _no_checksum,
        _swapped_without_a_look_at_the_wal,
        _swapped_by_copying,
        _lazy_rsync,
    )
}


def _another_writer(case: Case) -> None:
    """Another system adds a contact to the live object, with a precondition as it should."""
    bucket = LocalBucket(f"{case.root}/bucket")
    live = bucket.stat("org-data/acme.db")
    assert live is not None
    file = Path(f"{case.report}.stranger")
    shutil.copyfile(Path(case.root, "bucket", "org-data%2Facme.db", f"{live.generation}.data"), file)
    with sqlite3.connect(file) as db:
        db.execute(f"INSERT INTO contacts (id, email, state) VALUES ({STRANGER}, 'stranger@example.com', 'TX')")
    db.close()
    with file.open("rb") as source:
        bucket._commit(live.name, source, live.generation, live.metadata)
    file.unlink()


def _half_a_download(case: Case) -> None:
    """The file has its length, but half of its bytes never arrived: what a length alone does not tell."""
    (file,) = Path(case.root, case.machine, "orgs", "acme").glob("download*")
    with file.open("r+b") as stream:
        size_bytes = file.stat().st_size
        stream.truncate(size_bytes // 2)
        stream.truncate(size_bytes)


TROUBLES: Final[dict[str, Callable[[Case], None]]] = {
    "another_writer": _another_writer,
    "half_a_download": _half_a_download,
}
