"""The files of one org on this machine, and the order of their changes. All of it may be deleted while nobody runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from events.types import OrgId, parse_org_id
from infra.checksum import crc32c_of_file
from infra.files import remove_database, remove_sidecars, replace_durably, write_durably
from infra.sqlite_file import Verdict

LOCKS_FOLDER: Final = ".locks"
"""Not a valid org id. Locks live outside the org's folder, so that an operator may delete that at any time."""


class MirrorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What ``mirror.json`` says of ``mirror.db``. It is written last and removed first: present means true."""

    generation: int
    crc32c: str
    size_bytes: int
    verdict: Verdict | None = None
    """What quick_check found, once per generation: a bad object is not downloaded again to be refused again."""
    object_replaced: bool = False
    """Whether this generation was put there by somebody outside."""


@dataclass(frozen=True, slots=True)
class OrgFolder:
    """Names and moves; errors are OSError. Who calls holds the org's lock."""

    path: Path

    @property
    def mirror(self) -> Path:
        """The bucket object, byte for byte."""
        return self.path / "mirror.db"

    @property
    def record_file(self) -> Path:
        """The mirror's record."""
        return self.path / "mirror.json"

    @property
    def next_mirror(self) -> Path:
        """What is being uploaded."""
        return self.path / "mirror.next.db"

    def download(self, generation: int) -> Path:
        """What is being downloaded; the part that came before a failure is of use as long as that generation is live."""
        return self.path / f"download-{generation}.tmp"

    @property
    def delta(self) -> Path:
        """The page delta that is being made or fetched."""
        return self.path / "delta.tmp"

    @property
    def patched(self) -> Path:
        """The copy of the mirror that page deltas are applied to."""
        return self.path / "patched.tmp"

    @property
    def working(self) -> Path:
        """Where the run works."""
        return self.path / "working.db"

    def read_record(self) -> MirrorRecord | None:
        """Return the record, None where there is none or a damaged one: an unknown mirror costs a download."""
        try:
            return msgspec.json.decode(self.record_file.read_bytes(), type=MirrorRecord)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def write_record(self, record: MirrorRecord) -> None:
        """Write the record whole or not at all."""
        write_durably(self.record_file, msgspec.json.encode(record))

    def forget_mirror(self) -> None:
        """From now on the mirror's generation is unknown."""
        self.record_file.unlink(missing_ok=True)

    def mirror_is(self, record: MirrorRecord) -> bool:
        """Whether the mirror's bytes are those of the record; 0.2 s per 1.2 GB, less than the copy that follows."""
        return has_content(self.mirror, record.size_bytes, record.crc32c)

    def install(self, candidate: Path, record: MirrorRecord) -> None:
        """Make a proven file the mirror. A crash in between leaves no record, never a wrong one."""
        self.forget_mirror()
        remove_sidecars(candidate)
        remove_sidecars(self.mirror)
        replace_durably(candidate, self.mirror)
        self.write_record(record)

    def remove_temporaries(self) -> None:
        """Remove what a crash, or a failure that was survived, left of page deltas."""
        for temporary in (self.delta, self.patched):
            temporary.unlink(missing_ok=True)

    def remove_downloads(self, *, but_of: int | None) -> None:
        """Remove what came of any other generation than this one."""
        for file in self.path.glob("download*.tmp"):
            if but_of is None or file != self.download(but_of):
                file.unlink(missing_ok=True)

    def discard_working(self) -> None:
        """Remove the working copy with its sidecars."""
        remove_database(self.working)

    def discard_next(self) -> None:
        """Remove what was to be uploaded."""
        remove_database(self.next_mirror)


def open_folder(data_dir: str, org_id: OrgId) -> OrgFolder:
    """Return the org's folder, made if need be; the id is judged again: a path is made of it. Raises OSError."""
    folder = Path(data_dir) / parse_org_id(org_id)
    folder.mkdir(parents=True, exist_ok=True)
    return OrgFolder(folder)


def lock_file(data_dir: str, org_id: OrgId) -> Path:
    """Return the org's lock file, its folder made if need be; raises OSError."""
    folder = Path(data_dir) / LOCKS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder / parse_org_id(org_id)


def has_content(file: Path, size_bytes: int, crc32c: str) -> bool:
    """Whether a file exists with that size and checksum; the size is looked at first, it costs nothing."""
    try:
        return file.stat().st_size == size_bytes and crc32c_of_file(str(file)) == crc32c
    except FileNotFoundError:
        return False
