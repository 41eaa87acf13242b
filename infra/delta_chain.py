"""Page deltas in the bucket: left behind after a commit, found and applied by a machine whose mirror is behind.

``org-delta/<org>/<from generation>-<to generation>.pg``. The fence lets one upload only follow a generation, so there is
one chain from a mirror to the live object, or none. One list request finds all of it with its sizes, needs no old
version of the object to be kept, and a chain that reaches the live generation is also the proof that nobody replaced
the object on the way: only who committed a generation writes the delta that leads to it.

All of it is best effort: what goes wrong is logged and costs a whole download, never a run.
"""

import os.path
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from core.runs.errors import OrgError
from core.runs.ports import Bucket, Journal, ObjectInfo, PreconditionFailedError, Transfer
from events.types import OrgId, parse_org_id
from infra.counted_bucket import CountedBucket
from infra.files import disk_errors
from infra.org_folder import MirrorRecord, OrgFolder
from infra.page_delta import BadDeltaError, DeltaHeader, apply_delta, read_header, write_delta
from infra.pages import PageDifference

_NAME: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,19})\.pg", re.ASCII)
_GROWTH_MAX: Final = 2
"""A link in the middle may not make more of the file than so many times the live object: it is nobody's business yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaLimits:
    """When deltas pay, and how much they may take."""

    object_bytes_min: int = 1024 * 1024
    """Smaller objects have none. A delta is a write for every run ($0.000005 and some 50 ms); one whole download of this
    much costs 25 of them."""
    share_max: float = 0.5
    """Of the object: neither the pages of one delta nor the deltas of a chain may have more bytes than this part of it."""
    page_bytes_max: int = 256 * 1024 * 1024
    """Pages of one delta before compression: about 2 s of work and 10 to 30 MB to send."""
    links_max: int = 32
    """A month of daily runs."""
    listed_max: int = 10_000
    """Names that are looked at: ten requests."""


@dataclass(frozen=True, slots=True)
class PageDeltas:
    """Leaves and uses the page deltas of all orgs. Who calls holds the org's lock.

    The best ``bucket`` is one with little patience: a delta is sent between a commit and its acknowledgement, and is not
    worth waiting for.
    """

    bucket: Bucket
    journal: Journal
    limits: DeltaLimits = DeltaLimits()

    def leave(
        self,
        org_id: OrgId,
        folder: OrgFolder,
        difference: PageDifference,
        *,
        parent_generation: int,
        to: ObjectInfo,
        transfer: Transfer,
    ) -> None:
        """Send the way from the mirror to what was just uploaded from ``next_mirror``, if it pays.

        The run is committed: whatever fails here is logged and nothing else.
        """
        if not parent_generation or not _pays(difference, to.size_bytes, self.limits):
            return
        try:
            _write(folder, difference, parent_generation, to)
            name = f"{_prefix(org_id)}{parent_generation}-{to.generation}.pg"
            with suppress(PreconditionFailedError):  # it is there: no other upload has this name, an answer was lost
                CountedBucket(self.bucket, transfer).upload(name, str(folder.delta), if_generation_match=0, metadata={})
            size_bytes = folder.delta.stat().st_size
            folder.delta.unlink()
        except Exception as error:  # noqa: BLE001 - no fault of a delta, known or not, may fail a committed run
            self.journal.warning(
                "page_delta_not_left", org_id=org_id, generation=to.generation, reason=_reason_of(error)
            )
        else:
            self.journal.info("page_delta_left", org_id=org_id, generation=to.generation, bytes_up=size_bytes)

    def fetch(
        self, org_id: OrgId, folder: OrgFolder, known: MirrorRecord | None, live: ObjectInfo, transfer: Transfer
    ) -> Path | None:
        """Make a copy of the mirror and apply the chain to it; the result proves nothing yet. None where there is none."""
        if known is None or known.generation >= live.generation or live.size_bytes < self.limits.object_bytes_min:
            return None
        bucket = CountedBucket(self.bucket, transfer)
        try:
            with disk_errors(org_id):
                if not folder.mirror.exists():
                    return None
                chain = find_chain(bucket, org_id, live, known.generation, self.limits)
                if not chain:
                    return None
                patched = _apply(bucket, folder, known, live, chain)
        except (OrgError, BadDeltaError) as error:
            self.journal.warning(
                "page_deltas_not_used", org_id=org_id, generation=live.generation, reason=_reason_of(error)
            )
            folder.remove_temporaries()
            return None
        folder.delta.unlink()
        self.journal.info("page_deltas_applied", org_id=org_id, generation=live.generation, links=len(chain))
        return patched


def _prefix(org_id: OrgId) -> str:
    """Return what the names of an org's deltas begin with; the id is judged again, because a name is made of it."""
    return f"org-delta/{parse_org_id(org_id)}/"


def _reason_of(error: Exception) -> str:
    """Return a word for the log; the texts of strangers may quote paths."""
    return str(error) if isinstance(error, OrgError | BadDeltaError) else type(error).__name__


def _pays(difference: PageDifference, size_bytes: int, limits: DeltaLimits) -> bool:
    """Whether a delta of these pages is worth its request and its time."""
    page_bytes = difference.changed_bytewise.size * difference.page_size_bytes
    most = min(limits.share_max * size_bytes, limits.page_bytes_max)
    return size_bytes >= limits.object_bytes_min and page_bytes <= most


def _write(folder: OrgFolder, difference: PageDifference, parent_generation: int, to: ObjectInfo) -> None:
    numbers = difference.changed_bytewise
    header = DeltaHeader(
        page_size_bytes=difference.page_size_bytes,
        page_count=difference.page_count,
        changed_pages=numbers.size,
        crc32c=to.crc32c,
        from_generation=parent_generation,
        to_generation=to.generation,
    )
    write_delta(folder.delta, header, numbers, old=folder.mirror, new=folder.next_mirror)


def find_chain(
    bucket: Bucket, org_id: OrgId, live: ObjectInfo, from_generation: int, limits: DeltaLimits
) -> tuple[ObjectInfo, ...]:
    """Return the deltas that lead to the live object, in order; empty where there are none, or none that pay.

    One list request. Generations only go up along a chain, so that no set of names makes it run in a circle.
    """
    first, last = str(from_generation), str(live.generation)
    # All generations of the chain lie between these two: what both begin with, all begin with.
    shared = os.path.commonprefix([first, last]) if len(first) == len(last) else ""  # noqa: RUF071 - by character
    following: dict[int, tuple[int, ObjectInfo]] = {}
    prefix = _prefix(org_id)
    for info in islice(bucket.list(prefix + shared), limits.listed_max):
        match = _NAME.fullmatch(info.name.removeprefix(prefix))
        if match is not None and int(match[1]) < int(match[2]):
            following[int(match[1])] = int(match[2]), info
    chain: list[ObjectInfo] = []
    generation = from_generation
    while generation != live.generation and len(chain) < limits.links_max and generation in following:
        generation, info = following[generation]
        chain.append(info)
    cheap = sum(info.size_bytes for info in chain) <= limits.share_max * live.size_bytes
    return tuple(chain) if generation == live.generation and cheap else ()


def _apply(
    bucket: Bucket, folder: OrgFolder, known: MirrorRecord, live: ObjectInfo, chain: tuple[ObjectInfo, ...]
) -> Path:
    """Fetch the deltas one by one and apply them to a copy of the mirror; returns the copy, which proves nothing yet.

    Raises BadDeltaError, OrgError, OSError.
    """
    generation = known.generation
    for link in chain:
        folder.delta.unlink(missing_ok=True)
        bucket.download(link.name, link.generation, str(folder.delta))
        header = read_header(folder.delta)
        _require_fits(header, generation, live, is_last=link is chain[-1])
        if link is chain[0]:
            shutil.copyfile(folder.mirror, folder.patched)  # late: most deltas that do not fit are found out before
        apply_delta(folder.delta, folder.patched)
        generation = header.to_generation
    return folder.patched


def _require_fits(header: DeltaHeader, from_generation: int, live: ObjectInfo, *, is_last: bool) -> None:
    """Judge a delta before a byte of it is applied: its place in the chain, and what it would make of the file."""
    if header.from_generation != from_generation or not from_generation < header.to_generation <= live.generation:
        raise BadDeltaError("generation")
    if header.size_bytes > _GROWTH_MAX * live.size_bytes:
        raise BadDeltaError("size")
    if is_last and (header.to_generation, header.size_bytes, header.crc32c) != (
        live.generation,
        live.size_bytes,
        live.crc32c,
    ):
        raise BadDeltaError("it leads to something else than the live object")
