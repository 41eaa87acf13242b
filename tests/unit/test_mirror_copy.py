"""A look at an org copies this machine's mirror only where it is the live object, byte for byte."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.runs.ports import ObjectInfo
from events.types import OrgId
from infra.checksum import crc32c_of_bytes
from infra.mirror_copy import copy_current_mirror
from infra.org_folder import MirrorRecord, OrgFolder

ORG = OrgId("acme")
CONTENT = b"SQLite format 3\0 and the rest"


def live(generation: int = 7, content: bytes = CONTENT) -> ObjectInfo:
    return ObjectInfo(
        name="org-data/acme.db",
        generation=generation,
        size_bytes=len(content),
        crc32c=crc32c_of_bytes(content),
        updated=datetime(2025, 3, 10, tzinfo=UTC),
        metadata={},
    )


@pytest.fixture
def folder(tmp_path: Path) -> OrgFolder:
    made = OrgFolder(tmp_path / "orgs" / "acme")
    made.path.mkdir(parents=True)
    made.mirror.write_bytes(CONTENT)
    made.write_record(MirrorRecord(generation=7, crc32c=crc32c_of_bytes(CONTENT), size_bytes=len(CONTENT)))
    return made


def copied(folder: OrgFolder, wanted: ObjectInfo) -> bytes | None:
    target = folder.path.parents[1] / "copy.db"
    made = copy_current_mirror(str(folder.path.parent), ORG, wanted, str(target))
    assert made == target.exists()
    return target.read_bytes() if made else None


def test_a_current_mirror_is_copied_and_left_as_it_is(folder: OrgFolder) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in folder.path.iterdir())
    assert copied(folder, live()) == CONTENT
    assert sorted((path.name, path.stat().st_mtime_ns) for path in folder.path.iterdir()) == before


def test_a_mirror_of_another_generation_is_no_use(folder: OrgFolder) -> None:
    assert copied(folder, live(generation=8)) is None


def test_a_mirror_that_is_not_what_its_record_says_is_no_use(folder: OrgFolder) -> None:
    folder.mirror.write_bytes(CONTENT[:-1] + b"!")
    assert copied(folder, live()) is None


def test_a_mirror_that_was_removed_to_make_room_is_no_use(folder: OrgFolder) -> None:
    folder.mirror.unlink()
    assert copied(folder, live()) is None


def test_an_org_that_was_never_here_has_no_mirror(tmp_path: Path) -> None:
    assert not copy_current_mirror(str(tmp_path), ORG, live(), str(tmp_path / "copy.db"))
    assert list(tmp_path.iterdir()) == []
