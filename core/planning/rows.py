"""From items and follow-ups to the rows of a plan (R75)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from core.planning.campaigns import Campaign
from core.planning.columns import NULL_ID, Int16, Int32, Int64, parts_of
from core.planning.contacts import Contacts
from core.planning.followups import FOLLOWUP_TYPES, Followups
from core.planning.items import Items, Source
from core.planning.ordering import dense_key
from core.planning.reasons import REASON_SPAN, reason_text
from core.planning.rules import CAMPAIGN, EMAIL_TYPES
from core.planning.snapshot import RowKind

_NAMES: Final = {spec.code: name for name, spec in EMAIL_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Links:
    """What rows are linked to: a campaign instance, or a parent and the instance inherited from it (R85)."""

    instance_id: Int64
    """NULL_ID where NULL."""
    parent_id: Int64
    """NULL_ID where NULL."""


@dataclass(frozen=True, slots=True)
class PlannedRows:
    """The rows that the rules ask for; every one is pre-scheduled or skipped. Days are always real dates.

    Three million contacts have ten million of them: ids are looked up when they are asked for, and a row has 18 bytes.
    """

    contact_ids: Int64
    """Of all contacts."""
    contact: Int32
    """Index into ``contact_ids``."""
    links: Links
    link: Int32
    """Index into ``links``."""
    event_day: Int32
    send_day: Int32
    kind: Int32 | Int16
    """Index into ``kinds``."""
    kinds: tuple[RowKind, ...]
    """Distinct."""

    def __len__(self) -> int:
        return len(self.contact)

    @property
    def contact_id(self) -> Int64:
        """The contact of each row."""
        ids: Int64 = self.contact_ids[self.contact]
        return ids

    @property
    def instance_id(self) -> Int64:
        """The campaign instance of each row, NULL_ID where NULL."""
        ids: Int64 = self.links.instance_id[self.link]
        return ids

    @property
    def parent_id(self) -> Int64:
        """The parent of each row, NULL_ID where NULL."""
        ids: Int64 = self.links.parent_id[self.link]
        return ids

    def take(self, rows: Int64) -> "PlannedRows":
        """Return some rows, in the order given."""
        contact, link, kind = self.contact[rows], self.link[rows], self.kind[rows]
        days = self.event_day[rows], self.send_day[rows]
        return PlannedRows(self.contact_ids, contact, self.links, link, *days, kind, self.kinds)


def planned_rows(
    contacts: Contacts, items: Items, followups: Followups, campaigns: Sequence[Campaign], send_time: str
) -> PlannedRows:
    """Write items and follow-ups as rows: pre-scheduled on their target, skipped on their ideal date (R75).

    ``items`` have room for the follow-ups at their end, and are used up: their columns become those of the rows.
    """
    count = len(items) - len(followups)
    planned, rest = slice(0, count), slice(count, len(items))
    # Two instances of one campaign type may look alike: a kind is listed once, so that equal content is an equal number.
    kinds: dict[RowKind, int] = {}
    kind_of_item = _item_kinds(items.take(planned), campaigns, send_time, kinds)
    kind_of_followup = _followup_kinds(followups, send_time, kinds)
    is_short = len(kinds) <= np.iinfo(np.int16).max
    kind = items.reason if is_short else np.empty(len(items), dtype=np.int32)
    link, event_day, send_day = np.empty(len(items), dtype=np.int32), items.ideal, items.target
    for part in parts_of(count):
        here = items.take(part)
        key, event = _kind_key(here), here.event
        link[part] = here.source
        np.copyto(here.target, here.ideal, where=here.reason != 0)
        here.ideal[:] = event
        kind[part] = kind_of_item.take(key)
    items.contact[rest] = followups.contact
    link[rest] = np.arange(len(followups)) + len(items.sources.entries)
    event_day[rest] = followups.event
    send_day[rest] = np.where(followups.reason == 0, followups.target, followups.undelayed)
    kind[rest] = kind_of_followup
    instance_id = np.where(items.sources.type_code == CAMPAIGN, items.sources.instance_id, NULL_ID)
    links = Links(
        instance_id=np.concatenate((instance_id, followups.instance_id)),
        parent_id=np.concatenate((np.full_like(instance_id, NULL_ID), followups.parent_row_id)),
    )
    return PlannedRows(contacts.contact_id, items.contact, links, link, event_day, send_day, kind, tuple(kinds))


def _kind_key(items: Items) -> Int32:
    return items.source.astype(np.int32) * np.int32(REASON_SPAN) + items.reason


def _item_kinds(items: Items, campaigns: Sequence[Campaign], send_time: str, kinds: dict[RowKind, int]) -> Int32:
    """Number what rows look like, in an order that depends on nothing but the rules; return the numbers by kind key."""
    present = np.zeros(len(items.sources.entries) * REASON_SPAN, dtype=np.bool_)
    for part in parts_of(len(items)):
        present[_kind_key(items.take(part))] = True
    number = np.zeros(len(present), dtype=np.int32)
    sources = items.sources.entries
    for place in sorted(range(len(sources)), key=lambda place: (sources[place].type_code, sources[place].instance)):
        reasons = slice(place * REASON_SPAN, (place + 1) * REASON_SPAN)
        email_type, *templates = _look(sources[place], campaigns)
        for reason in present[reasons].nonzero()[0].tolist():
            kind = _row_kind(email_type, reason, send_time, sources[place].priority, *templates)
            number[reasons.start + reason] = kinds.setdefault(kind, len(kinds))
    return number


def _look(source: Source, campaigns: Sequence[Campaign]) -> tuple[str, str | None, str | None]:
    """Return the type and the templates of mail of a source."""
    if source.type_code != CAMPAIGN:
        name = _NAMES[source.type_code]
        return name, f"{name}_template", None
    campaign = campaigns[source.instance]
    return campaign.email_type, campaign.email_template, campaign.sms_template


def _followup_kinds(followups: Followups, send_time: str, kinds: dict[RowKind, int]) -> Int32:
    """Number what follow-ups look like; return the number of each."""
    if not len(followups):
        return np.zeros(0, dtype=np.int32)
    key = dense_key((followups.kind, followups.priority, followups.reason))
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    numbers = []
    for row in first.tolist():
        name = FOLLOWUP_TYPES[int(followups.kind[row])]
        reason, priority = int(followups.reason[row]), int(followups.priority[row])
        kind = _row_kind(name, reason, send_time, priority, f"{name}_template", None)
        numbers.append(kinds.setdefault(kind, len(kinds)))
    return np.array(numbers, dtype=np.int32)[place]


@lru_cache(maxsize=4096)
def _row_kind(  # the columns of a row that a kind stands for
    email_type: str, reason: int, send_time: str, priority: int, email_template: str | None, sms_template: str | None
) -> RowKind:
    return RowKind(
        email_type=email_type,
        status="skipped" if reason else "pre-scheduled",
        skip_reason=reason_text(reason),
        scheduled_send_time=send_time,
        priority=priority,
        email_template=email_template,
        sms_template=sms_template,
    )
