"""What must hold: at every publication, every answer and every upload, on every disk at a crash, and at the end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw
import msgspec

from core.runs.errors import ErrorCode
from core.runs.ports import Message, ObjectInfo, Uploaded, WorkingCopy
from core.runs.service import Handled
from events.ids import completion_id
from events.payloads import EventRejected, RunCompleted, RunFailed, RunRequested
from events.types import EVENT_REJECTED as REJECTED
from events.types import RUN_COMPLETED as COMPLETED
from events.types import RUN_FAILED as FAILED
from events.types import Event, EventKey, OrgId
from infra.checksum import crc32c_of_bytes
from infra.fence import PARENT_GENERATION_KEY, RUN_ID_KEY, UPLOAD_TOKEN_KEY, object_name
from infra.memory_bus import MemoryBus
from infra.org_folder import OrgFolder
from tests.simulation.bucket import WatchedBucket
from tests.simulation.disk import digest_of
from tests.simulation.scheduler import Scheduler
from tests.simulation.tiny_store import BALLAST_ROWS, IDLE


class ViolationError(BaseException):
    """Something that must hold does not. Not an Exception, so that the shipped last boundary cannot take it for a fault."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"{what}: {detail}")
        self.what = what


@dataclass(frozen=True, slots=True)
class View:
    """What one version of an org's object holds."""

    verdict: str
    applied: tuple[tuple[EventKey, str], ...]
    """Events and the runs that carried them."""
    runs: Mapping[str, str]
    counter: int
    stamps: frozenset[str]
    migrated: bool

    @property
    def events(self) -> frozenset[EventKey]:
        """The events that were carried."""
        return frozenset(key for key, _ in self.applied)


def view_of(content: bytes) -> View:
    """Open a version as SQLite sees it, in memory."""
    plain = bytearray(content)
    plain[18:20] = b"\x01\x01"  # a database in memory has no WAL; the two bytes are all the difference
    db = apsw.Connection(":memory:")
    try:
        db.deserialize("main", bytes(plain))
        verdict = str(db.execute("PRAGMA quick_check").get)
        migrated = bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'applied'").get)
        if not migrated:
            return View(verdict, (), {}, 0, frozenset(), migrated=False)
        applied = tuple((EventKey(s, e), r) for s, e, r in db.execute("SELECT * FROM applied ORDER BY rowid"))
        runs = {str(run_id): str(text) for run_id, text in db.execute("SELECT run_id, completion_json FROM runs")}
        stamps = [str(stamp) for (stamp,) in db.execute("SELECT stamp FROM ballast")]
        counter = int(str(db.execute("SELECT n FROM counter").get))
        return View(
            verdict if len(stamps) == BALLAST_ROWS else "ballast lost",
            applied, runs, counter, frozenset(stamps), migrated=True,
        )  # fmt: skip
    except apsw.Error as error:
        return View(f"{type(error).__name__}: {error}", (), {}, 0, frozenset(), migrated=False)
    finally:
        db.close()


class Observer:
    """Sees everything and is asked nothing by the shipped code."""

    def __init__(self, bucket: WatchedBucket, bus: MemoryBus, scheduler: Scheduler, hit: Counter[str]) -> None:
        self._bucket, self._bus, self._scheduler, self.hit = bucket, bus, scheduler, hit
        self._views: dict[int, View] = {}
        self._produced: set[str] = set()
        self.foreign: set[int] = set()
        """Generations that somebody outside wrote."""
        self.broken: set[int] = set()
        """Those of them that are no database, or a damaged one."""
        self.tampered: set[str] = set()
        """Checksums of mirrors that were damaged behind everybody's back."""

    # ---------------------------------------------------------------------------------------- while it runs

    def live_view(self, org_id: OrgId) -> View | None:
        """What the newest sound version holds: one that a stranger ruined hides nothing for good."""
        for info, content in reversed(self._bucket.history(object_name(org_id))):
            if info.generation not in self.broken:
                return self._view(info, content)
        return None

    def came_down(self, copy: WorkingCopy, generation_before: int) -> None:
        """A run begins on exactly the bytes of the generation that it names, and not on an old one."""
        if copy.generation < generation_before:
            raise ViolationError("stale start", f"generation {copy.generation} instead of {generation_before}")
        if copy.generation == 0:
            return
        content = {i.generation: c for i, c in self._bucket.history(object_name(copy.org_id))}[copy.generation]
        if digest_of(Path(copy.file).read_bytes()) != digest_of(content):
            raise ViolationError("wrong start", f"the working copy is not generation {copy.generation}")

    def produced(self, content: bytes) -> None:
        """Remember a whole file that somebody made."""
        self._produced.add(digest_of(content))

    def went_up(self, copy: WorkingCopy, uploaded: Uploaded, token: str | None) -> None:
        """Who believes to have written has written."""
        if uploaded.generation == copy.generation:
            raise ViolationError("nothing sent", f"a run that changed something stays at {copy.generation}")
        versions = {i.generation: i for i, _ in self._bucket.history(object_name(copy.org_id))}
        info = versions.get(uploaded.generation)
        if info is None or token is None or info.metadata.get(UPLOAD_TOKEN_KEY) != token:
            raise ViolationError("false commit", f"generation {uploaded.generation} is not of the run that claims it")

    def about_to_publish(self, message: Message) -> None:
        """Nothing is said that is not so; the account of a run is what was asked and moved."""
        if message.attributes["ce-type"] == COMPLETED:
            completed = msgspec.json.decode(message.data, type=RunCompleted)
            if message.attributes["ce-id"] != completion_id(completed.org_id, completed.run_id):
                raise ViolationError("wrong id", completed.run_id)
            if completed.changed:
                view = self.live_view(completed.org_id)
                if view is None or completed.run_id not in view.runs:
                    raise ViolationError("published before commit", completed.run_id)
            if not completed.replayed:
                self._account(completed)
        elif message.attributes["ce-type"] == REJECTED:
            rejected = msgspec.json.decode(message.data, type=EventRejected)
            assert rejected.event is not None
            assert rejected.org_id is not None
            view = self.live_view(rejected.org_id)
            done = view is not None and EventKey(rejected.event.source, rejected.event.id) in view.events
            if done and rejected.reasons[0].code != ErrorCode.OBJECT_MISSING:
                raise ViolationError("rejected after commit", f"{rejected.event.id} {rejected.reasons[0].code}")

    def _account(self, completed: RunCompleted) -> None:
        task = self._scheduler.current
        assert task is not None
        assert completed.requests is not None
        said = completed.requests.a, completed.requests.b, completed.bytes_down, completed.bytes_up
        seen = tuple(task.facts.get(name, 0) for name in ("a", "b", "down", "up"))
        if said != seen:
            raise ViolationError("wrong account", f"said {said}, seen {seen} (class A, class B, down, up)")

    def answered(self, event: Event, handled: Handled) -> None:
        """Nothing is acknowledged before it is committed and published."""
        self.hit[f"outcome {handled.outcome}"] += 1
        if handled.error is not None:
            self.hit[f"error {handled.error.code}"] += 1
            if handled.error.code is ErrorCode.SCHEDULER_FAILED:
                raise ViolationError("unexpected error", f"{handled.error.detail}: {handled.error.__cause__!r}")
        if handled.outcome == "done":
            self._answered_done(event, handled.completed)
        elif handled.acknowledged and event.key not in self._told(handled.outcome):
            raise ViolationError("acked unpublished", f"{handled.outcome}: {event.id}")

    def _answered_done(self, event: Event, completed: RunCompleted | None) -> None:
        if completed is None or event.key not in {EventKey(e.source, e.id) for e in completed.event_ids}:
            raise ViolationError("acked without a run", event.id)
        wanted = event.data.as_of if isinstance(event.data, RunRequested) else None
        if wanted is not None and completed.as_of != wanted:
            raise ViolationError("planned for another day", event.id)
        self.hit["replayed"] += completed.replayed
        self.hit["unchanged"] += not completed.changed
        self.hit["group commit"] += len(completed.event_ids) > 1
        self.hit["object replaced"] += "object_replaced" in completed.warnings
        view = self.live_view(event.org_id)
        if completed.changed and (view is None or event.key not in view.events):
            raise ViolationError("acked event lost", event.id)
        if completion_id(event.org_id, completed.run_id) not in {m.attributes["ce-id"] for m in self._bus.messages}:
            raise ViolationError("acked unpublished", f"completion of {event.id}")

    def _told(self, outcome: str) -> set[EventKey]:
        """Events of which the world was told that they were rejected, or that their run failed."""
        found: set[EventKey] = set()
        for message in self._bus.messages:
            if outcome == "rejected" and message.attributes["ce-type"] == REJECTED:
                rejected = msgspec.json.decode(message.data, type=EventRejected)
                found |= {EventKey(e.source, e.id) for e in (rejected.event,) if e is not None}
            elif outcome == "failed" and message.attributes["ce-type"] == FAILED:
                failed = msgspec.json.decode(message.data, type=RunFailed)
                found |= {EventKey(e.source, e.id) for e in failed.event_ids}
        return found

    def crashed(self, folder: Path) -> None:
        """A mirror's record, where it is present, is true: at any moment."""
        org_folder = OrgFolder(folder)
        record = org_folder.read_record()
        if record is None:
            return
        content = org_folder.mirror.read_bytes() if org_folder.mirror.exists() else b""
        if crc32c_of_bytes(content) not in {record.crc32c, *self.tampered}:
            raise ViolationError("false record", f"{folder.name}: mirror.json tells of another file")

    # ---------------------------------------------------------------------------------------- at the end

    def judge(self, org_id: OrgId, done: Mapping[EventKey, bool]) -> None:
        """Judge the history of an org's object, and that every event that was acknowledged as done is in it once."""
        before: tuple[ObjectInfo, View] | None = None
        last: ObjectInfo | None = None
        for info, content in self._bucket.history(object_name(org_id)):
            if info.generation not in self.broken:
                view = self._view(info, content)
                self._judge_version(info, content, view, before, last)
                before = info, view
            last = info
        final = before[1] if before else None
        applied = Counter(key for key, _ in final.applied) if final else Counter()
        for key, acknowledged in done.items():
            if applied[key] > 1:
                raise ViolationError("applied twice", key.id)
            if acknowledged and not key.id.startswith(IDLE) and applied[key] != 1:
                raise ViolationError("acked event lost", key.id)
        if final is not None and not set(applied) <= set(done):
            raise ViolationError("invented event", repr(set(applied) - set(done)))
        self._judge_publications(org_id, final)

    def _judge_version(
        self,
        info: ObjectInfo,
        content: bytes,
        view: View,
        before: tuple[ObjectInfo, View] | None,
        last: ObjectInfo | None,
    ) -> None:
        """Judge one version against the last sound one and the one just before, which is broken or the same."""
        generation = info.generation
        if view.verdict != "ok":
            raise ViolationError("damaged version", f"generation {generation}: {view.verdict}")
        if digest_of(content) not in self._produced:
            raise ViolationError("torn version", f"generation {generation} is no file that anybody made")
        if len(view.stamps) > 1 or view.counter != len(view.applied):
            raise ViolationError("mixed version", f"generation {generation}")
        old = before[1] if before else None
        if old is not None and view.applied[: len(old.applied)] != old.applied:
            raise ViolationError("lost update", f"generation {generation} lacks events of the one before")
        if generation in self.foreign:
            return
        if info.metadata.get(PARENT_GENERATION_KEY) != str(last.generation if last else 0):
            raise ViolationError("history not linear", f"generation {generation}")
        if last is not None and last.generation in self.broken:
            raise ViolationError("built on a ruin", f"generation {generation}")
        fresh = view.applied[len(old.applied) if old else 0 :]
        if {run for _, run in fresh} - {info.metadata[RUN_ID_KEY]} or info.metadata[RUN_ID_KEY] not in view.runs:
            raise ViolationError("mixed version", f"generation {generation} holds more than its run")

    def _judge_publications(self, org_id: OrgId, final: View | None) -> None:
        ids: dict[EventKey, set[str]] = {}
        for message in self._bus.messages:
            if message.attributes["ce-type"] == COMPLETED and message.attributes["ce-orgid"] == org_id:
                completed = msgspec.json.decode(message.data, type=RunCompleted)
                if completed.changed:
                    for reference in completed.event_ids:
                        ids.setdefault(EventKey(reference.source, reference.id), set()).add(message.attributes["ce-id"])
        for key, run_id in final.applied if final else ():
            if ids.get(key, set()) - {completion_id(org_id, run_id)}:
                raise ViolationError("two completions", key.id)

    def _view(self, info: ObjectInfo, content: bytes) -> View:
        if info.generation not in self._views:
            self._views[info.generation] = view_of(content)
        return self._views[info.generation]
