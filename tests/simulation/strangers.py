"""Those outside who write an org's object: upstream systems, copies onto itself, vandals whose damage is mended later."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import apsw

from events.types import OrgId
from infra.fence import object_name
from tests.simulation.bucket import WatchedBucket
from tests.simulation.disk import break_pages
from tests.simulation.invariants import Observer
from tests.simulation.scene import Scene
from tests.simulation.scheduler import Scheduler
from tests.simulation.tiny_store import make_org_file


class Strangers:
    """Write with a generation precondition, as everybody must who is not a run; between two steps of everybody else."""

    def __init__(
        self,
        scheduler: Scheduler,
        bucket: WatchedBucket,
        observer: Observer,
        chance: Random,
        folder: Path,
        orgs: Sequence[OrgId],
        hit: Counter[str],
    ) -> None:
        self._scheduler, self._bucket, self._observer, self._chance = scheduler, bucket, observer, chance
        self._folder, self._orgs, self._hit = folder, orgs, hit

    def put_first(self, org: OrgId, scene: Scene) -> None:
        """Put what an upstream system would begin with."""
        file = self._folder / "stranger.db"
        make_org_file(
            str(file),
            page_size_bytes=scene.page_size_bytes,
            wal=scene.wal,
            migrated=scene.begins == "migrated",
        )
        self._put(object_name(org), file, 0, {})

    def write(self) -> None:
        """Write the object of some org."""
        self.write_object(object_name(self._chance.choice(self._orgs)))

    def write_object(self, name: str) -> None:
        """Write with a precondition: a change of their own, or the live object copied onto itself."""
        live = self._bucket.live(name)
        if live is None or live[0].generation in self._observer.broken:
            return
        info, content = live
        file = self._folder / "stranger.db"
        file.write_bytes(content)
        metadata: dict[str, str] = {}
        if self._chance.random() < 0.3:
            metadata = dict(info.metadata)
        else:
            db = apsw.Connection(str(file))
            db.execute("INSERT INTO upstream VALUES ('more')") if self._has_upstream(db) else None
            db.close()
        self._hit["stranger"] += 1
        self._put(name, file, info.generation, metadata)

    def ruin(self) -> None:
        """Somebody puts what is no sound database in the place of the object, and mends it later."""
        name = object_name(self._chance.choice(self._orgs))
        live = self._bucket.live(name)
        if live is None or live[0].generation in self._observer.broken:
            return
        info, good = live
        file = self._folder / "stranger.db"
        file.write_bytes(good)
        kind = self._chance.choice(("page", "text", "short"))
        if kind == "page" and not break_pages(file):
            kind = "text"
        if kind != "page":
            file.write_bytes(b"no database" * 100 if kind == "text" else good[:300])
        self._hit["ruin"] += 1
        broken = self._put(name, file, info.generation, {})
        self._observer.broken.add(broken)

        def mend() -> None:
            file.write_bytes(good)
            self._put(name, file, broken, {})

        self._scheduler.at(self._chance.uniform(1.0, 200.0), mend)

    def _has_upstream(self, db: apsw.Connection) -> bool:
        return bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'upstream'").get)

    def _put(self, name: str, file: Path, generation: int, metadata: dict[str, str]) -> int:
        self._observer.produced(file.read_bytes())
        info = self._bucket.upload(
            name, str(file), if_generation_match=generation, metadata=metadata
        )  # fmt: skip
        self._observer.foreign.add(info.generation)
        self._scheduler.note(f"STRANGER generation {info.generation}")
        file.unlink()
        return info.generation
