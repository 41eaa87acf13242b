"""Versions of an org in a test: what senders, upstream systems and operators do to them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from core.runs.ports import ObjectInfo
from handlers.recovery import Recovered, RecoveryPorts, reconcile, restore
from infra.fence import PARENT_GENERATION_KEY
from infra.memory_bucket import MemoryBucket
from tests.machines import ACME, OBJECT, Machine

_tokens = count()


def ports_of(machine: Machine) -> RecoveryPorts:
    """What an operator beside a machine has."""
    return RecoveryPorts(
        machine.bucket, machine.ports.lease, machine.clock, machine.journal, lambda: f"operator-{next(_tokens)}", 60.0
    )


def restored(machine: Machine, generation: int, *, exact: bool = False, dry_run: bool = False) -> Recovered:
    return restore(ACME, generation, ports_of(machine), exact=exact, dry_run=dry_run)


def reconciled(machine: Machine, *, source: int | None = None, dry_run: bool = False) -> Recovered:
    return reconcile(ACME, ports_of(machine), source=source, dry_run=dry_run)


def live(bucket: MemoryBucket) -> ObjectInfo:
    found = bucket.stat(OBJECT)
    assert found is not None
    return found


def edit(bucket: MemoryBucket, folder: Path, *statements: str, parameters: Sequence[Any] = ()) -> int:
    """Change the live object as docs/schema.md asks of everybody else: by its generation, and naming it."""
    before = live(bucket)
    file = folder / "edited.db"
    file.unlink(missing_ok=True)
    bucket.download(OBJECT, before.generation, str(file))
    with closing(sqlite3.connect(file)) as db, db:
        for statement in statements:
            db.execute(statement, parameters)
    metadata = {PARENT_GENERATION_KEY: str(before.generation)}
    return bucket.upload(OBJECT, str(file), if_generation_match=before.generation, metadata=metadata).generation


def copy_blindly(bucket: MemoryBucket, folder: Path, generation: int) -> int:
    """``gsutil cp`` of an old version onto the live one: content and metadata of its first life."""
    (version,) = [info for info in bucket.versions(OBJECT) if info.generation == generation]
    file = folder / "copied.db"
    file.unlink(missing_ok=True)
    bucket.download(OBJECT, generation, str(file))
    before = bucket.stat(OBJECT)
    return bucket.upload(
        OBJECT, str(file), if_generation_match=before.generation if before else 0, metadata=version.metadata
    ).generation


def put_bytes(bucket: MemoryBucket, folder: Path, content: bytes) -> int:
    """Make anything at all the live object."""
    file = folder / "bytes"
    file.write_bytes(content)
    metadata = {PARENT_GENERATION_KEY: str(live(bucket).generation)}
    return bucket.upload(OBJECT, str(file), if_generation_match=live(bucket).generation, metadata=metadata).generation


def content_of(bucket: MemoryBucket, folder: Path, generation: int) -> bytes:
    file = folder / "content"
    file.unlink(missing_ok=True)
    bucket.download(OBJECT, generation, str(file))
    return file.read_bytes()


def corrupted(content: bytes) -> bytes:
    """Ruin a database so that its header still looks like one."""
    return content[:4096] + b"\xa5" * (len(content) - 4096)
