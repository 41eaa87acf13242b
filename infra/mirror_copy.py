"""A look at an org without a run: this machine's mirror, where it is the live object already."""

import shutil
from pathlib import Path

from core.runs.ports import ObjectInfo
from events.types import OrgId, parse_org_id
from infra.org_folder import OrgFolder, has_content


def copy_current_mirror(data_dir: str, org_id: OrgId, live: ObjectInfo, file: str) -> bool:
    """Copy the mirror to ``file`` if it is the live object, byte for byte; else say no and leave no file.

    No lock is taken and nothing is written in the org's folder: a mirror is only ever replaced whole, by a rename, and
    what was copied is held to the live object's checksum. A run may replace it meanwhile; then a download is cheaper than
    a second try. Errors are OSError.
    """
    folder = OrgFolder(Path(data_dir) / parse_org_id(org_id))
    record = folder.read_record()
    if record is None or (record.generation, record.crc32c) != (live.generation, live.crc32c):
        return False
    try:
        shutil.copyfile(folder.mirror, file)
    except FileNotFoundError:
        return False  # removed meanwhile to make room
    if has_content(Path(file), live.size_bytes, live.crc32c):
        return True
    Path(file).unlink()
    return False
