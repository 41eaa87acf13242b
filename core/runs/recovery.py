"""What a restored version must take along from the versions that it replaces: pure judgements.

A restore rolls back the plan and the data, not the world: mail that went out since, and people who unsubscribed since,
must not come back. ``lost_versions`` says which versions to look at, ``judge_rows`` what becomes of their locked rows,
``suppressed_texts`` and ``status_to_carry`` who must not be written to any more.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from core.planning.columns import NO_DAY, TextColumn
from core.planning.config import Config, ConfigError, IsTimezone, parse_config, row_in_force
from core.planning.rules import FOLLOWUP_PREFIX, OWNED_STATUSES
from core.planning.text import equals_any
from core.planning.text_dates import parse_dates
from core.runs.ports import ConfigRow

UNSUBSCRIBED: Final = "unsubscribed"
DELETED: Final = "deleted"
"""Reasons of a tombstone: the person wants no mail; the person's data is to stay away."""

_ON_THE_WAY: Final = ("scheduled", "processing", "accepted", "deferred", "sent")
"""Statuses of the sender that another one may follow, in their order; any other word is an outcome."""

# ------------------------------------------------------------------------------------------------ which versions


class VersionMark(NamedTuple):
    """What the history says of one version of an org's object."""

    generation: int
    parent: int | None
    """The generation that it says it was made from, None where its metadata is not ours."""
    is_settled: bool
    """It has taken along what the versions before it had: a restore, a reconciliation."""


def lost_versions(history: Sequence[VersionMark]) -> tuple[int, ...]:
    """Return the versions that were replaced by one that was not made from them, newest first.

    ``history`` is oldest first. What lies before the last settled version was taken care of when that was made.
    """
    found: list[int] = []
    for before, version in reversed(list(pairwise(history))):
        if version.parent != before.generation:
            found.append(before.generation)
        elif version.is_settled:
            break
    return tuple(found)


# ------------------------------------------------------------------------------------------------ locked rows


class StoredRow(NamedTuple):
    """A row of email_schedules, as far as it has to be recognised."""

    row_id: int
    contact_id: int
    """0 for NULL, like the instance."""
    email_type: str
    instance_id: int
    parent_id: int | None
    event_date: str
    status: str
    is_settled: bool = False
    """The other version has the same row, column by column: nothing needs to be done about it."""

    @property
    def is_owned(self) -> bool:
        """Whether the row is the scheduler's own (R3)."""
        return self.status in OWNED_STATUSES

    @property
    def is_followup(self) -> bool:
        """Whether the row follows another one (R80)."""
        return self.email_type.startswith(FOLLOWUP_PREFIX)


class CarriedRow(NamedTuple):
    """A locked row of the lost version that goes into the kept one."""

    lost_row_id: int
    row_id: int
    """Its id from now on."""
    parent_id: int | None


@dataclass(frozen=True, slots=True)
class RowJudgement:
    """What to do with the rows of some contacts; deletes come first."""

    delete_row_ids: tuple[int, ...]
    carry: tuple[CarriedRow, ...]
    has_twins: bool
    """Two locked rows of one identity will stand beside each other: the index over it cannot be unique."""
    next_id: int
    """The first id that is still free."""


_Identity = tuple[int, int | str, str, int]


def judge_rows(
    lost: Iterable[StoredRow],
    held: Iterable[StoredRow],
    taken_ids: Collection[int],
    *,
    next_id: int,
    lost_is_newer: bool,
) -> RowJudgement:
    """Match the locked rows that the lost version has and the kept one lacks, by identity (R7); all rows of a contact.

    An owned row of the same identity gives way. Of two locked ones the later stage of sending wins, and of equal stages
    the newer version. A row keeps its id unless that is another row's: then it gets one from ``next_id`` on, which neither
    version has; a follow-up follows its parent there. ``taken_ids``: those ids of lost rows that the kept version has too.
    """
    rows = sorted(lost, key=lambda row: (row.is_followup, row.row_id))
    candidates = _by_identity(held)
    events = _event_days([row.event_date for row in rows])
    delete: list[int] = []
    carry: list[CarriedRow] = []
    ids: dict[int, int] = {}
    has_twins = False
    for row, event in zip(rows, events, strict=True):
        parent = None if row.parent_id is None else ids.get(row.parent_id, row.parent_id)
        same = candidates.get(_identity(row, parent, event), [])
        locked = _locked_twin(same, row.row_id)
        if locked is not None:
            ids[row.row_id] = locked.row_id
            same.remove(locked)
            if _replaces(row, locked, lost_is_newer=lost_is_newer):
                delete.append(locked.row_id)
                carry.append(CarriedRow(row.row_id, locked.row_id, parent))
            continue
        owned = [other.row_id for other in same if other.is_owned]
        has_twins |= len(owned) < len(same)
        same[:] = [other for other in same if not other.is_owned]
        delete += owned
        if row.row_id in taken_ids and row.row_id not in owned:
            ids[row.row_id], next_id = next_id, next_id + 1
        else:
            ids[row.row_id] = row.row_id
        carry.append(CarriedRow(row.row_id, ids[row.row_id], parent))
        twin = row._replace(parent_id=parent, is_settled=True)
        candidates.setdefault(_identity(row, parent, event), []).append(twin)
    return RowJudgement(tuple(delete), tuple(carry), has_twins, next_id)


def _locked_twin(same: Sequence[StoredRow], row_id: int) -> StoredRow | None:
    """Return the locked row to compare with: the one of the same id, else the lowest id."""
    locked = [other for other in same if not other.is_owned and not other.is_settled]
    return min(locked, key=lambda other: (other.row_id != row_id, other.row_id), default=None)


def _replaces(row: StoredRow, locked: StoredRow, *, lost_is_newer: bool) -> bool:
    stage, other = _stage(row.status), _stage(locked.status)
    return stage > other or (stage == other and lost_is_newer)


def _stage(status: str) -> int:
    return _ON_THE_WAY.index(status) if status in _ON_THE_WAY else len(_ON_THE_WAY)


def _by_identity(rows: Iterable[StoredRow]) -> dict[_Identity, list[StoredRow]]:
    found: dict[_Identity, list[StoredRow]] = {}
    every = list(rows)
    for row, event in zip(every, _event_days([row.event_date for row in every]), strict=True):
        found.setdefault(_identity(row, row.parent_id, event), []).append(row)
    return found


def _identity(row: StoredRow, parent: int | None, event: int | str) -> _Identity:
    """R7: a follow-up is its contact and parent; everything else is contact, type, instance and event."""
    if row.is_followup:
        return row.contact_id, parent or 0, "", 0
    return row.contact_id, event, row.email_type, row.instance_id


def _event_days(texts: Sequence[str]) -> list[int | str]:
    """Return day numbers; a text that is no date stands for itself."""
    days, _ = parse_dates(TextColumn.of(texts))
    return [text if day == NO_DAY else day for day, text in zip(days.tolist(), texts, strict=True)]


# ------------------------------------------------------------------------------------------------ people


def suppressed_statuses(rows: Iterable[ConfigRow], at: str, is_timezone: IsTimezone) -> tuple[str, ...]:
    """Return the statuses of contacts that the configuration in force suppresses (R24); an invalid one: the defaults."""
    row = row_in_force(rows, at)
    try:
        return tuple(parse_config(None if row is None else row.config_data, is_timezone).suppressed_contact_statuses)
    except ConfigError:
        return tuple(Config().suppressed_contact_statuses)  # no run plans by an invalid one (R12)


def suppressed_texts(texts: Sequence[str], statuses: Sequence[str]) -> frozenset[str]:
    """Return those of the stored texts that are one of the statuses, as the planner compares them."""
    flags = equals_any(TextColumn.of(texts), statuses).tolist()
    return frozenset(text for text, flag in zip(texts, flags, strict=True) if flag)


def status_to_carry(text: str, statuses: Sequence[str]) -> str:
    """Return the status that a suppressed contact gets where ``statuses`` are suppressed: its own if that will do.

    The configuration goes back too: where it does not know the word, ``unsubscribed`` or its first word says the same.
    """
    if not statuses or suppressed_texts([text], statuses):
        return text
    return UNSUBSCRIBED if suppressed_texts([UNSUBSCRIBED], statuses) else statuses[0]


# ------------------------------------------------------------------------------------------------ the sum of it


@dataclass(frozen=True, slots=True)
class Carried:
    """What one or several lost versions gave to the kept one, in rows; ``plus`` adds up."""

    rows_by_status: Mapping[str, int]
    """Locked rows that came along, or brought an earlier stage up to date."""
    rows_withdrawn: int = 0
    """Rows of the scheduler's own that fell away with their people."""
    unsubscribes: int = 0
    """Contacts that are suppressed again."""
    deletions: int = 0
    """Contacts that were deleted since."""
    tombstones: int = 0
    """Also new ones, of suppressed contacts that the kept version does not know."""
    events: int = 0
    """Ids of processed events."""
    runs: int = 0
    """Records of runs."""
    contacts_missing: int = 0
    """Contacts that only the lost version has: they have to be sent again. Not carried."""
    contacts_back: int = 0
    """Contacts that are gone from a newer lost version, without a tombstone. Not carried."""
    unsuppressed: int = 0
    """Of ``unsubscribes``, those whose status the kept version's configuration does not suppress."""

    @property
    def rows_locked(self) -> int:
        """All locked rows that came along."""
        return sum(self.rows_by_status.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        written = (self.rows_locked, self.rows_withdrawn, self.unsubscribes, self.deletions, self.tombstones)
        return not (any(written) or self.events or self.runs)

    def plus(self, other: "Carried") -> "Carried":
        """Add the counts of another version; what is not carried is told of the first alone, which is the newest."""
        statuses = sorted({*self.rows_by_status, *other.rows_by_status})
        return Carried(
            {name: self.rows_by_status.get(name, 0) + other.rows_by_status.get(name, 0) for name in statuses},
            self.rows_withdrawn + other.rows_withdrawn,
            self.unsubscribes + other.unsubscribes,
            self.deletions + other.deletions,
            self.tombstones + other.tombstones,
            self.events + other.events,
            self.runs + other.runs,
            self.contacts_missing,
            self.contacts_back,
            self.unsuppressed + other.unsuppressed,
        )


NOTHING_CARRIED: Final = Carried({})
