"""From items and follow-ups to the rows of a plan (R75)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.planning.campaigns import Campaign
from core.planning.columns import NULL_ID, Int32, Int64
from core.planning.contacts import Contacts
from core.planning.followups import FOLLOWUP_TYPES, Followups
from core.planning.items import Items
from core.planning.ordering import dense_key
from core.planning.reasons import REASON_SPAN, reason_text
from core.planning.rules import CAMPAIGN, EMAIL_TYPES
from core.planning.snapshot import RowKind


@dataclass(frozen=True, slots=True)
class PlannedRows:
    """The rows that the rules ask for; every one is pre-scheduled or skipped. Days are always real dates."""

    contact_id: Int64
    instance_id: Int64
    """NULL_ID where NULL."""
    parent_id: Int64
    """NULL_ID where NULL."""
    event_day: Int32
    send_day: Int32
    kind: Int32
    """Index into ``kinds``."""
    kinds: tuple[RowKind, ...]
    """Distinct."""

    def __len__(self) -> int:
        return len(self.contact_id)

    def take(self, rows: Int64) -> "PlannedRows":
        """Return some rows, in the order given."""
        ids = [getattr(self, name)[rows] for name in ("contact_id", "instance_id", "parent_id")]
        days = [getattr(self, name)[rows] for name in ("event_day", "send_day", "kind")]
        return PlannedRows(ids[0], ids[1], ids[2], days[0], days[1], days[2], self.kinds)


def planned_rows(
    contacts: Contacts, items: Items, followups: Followups, campaigns: Sequence[Campaign], send_time: str
) -> PlannedRows:
    """Write items and follow-ups as rows: pre-scheduled on their target, skipped on their ideal date (R75)."""
    item_kind, item_kinds = _item_kinds(items, campaigns, send_time)
    followup_kind, followup_kinds = _followup_kinds(followups, send_time)
    # Two instances of one campaign type may look alike: a kind is listed once, so that equal content is an equal number.
    number: dict[RowKind, int] = {}
    renumber = np.array([number.setdefault(k, len(number)) for k in (*item_kinds, *followup_kinds)], dtype=np.int32)
    from_campaign = items.type_code == CAMPAIGN
    return PlannedRows(
        contact_id=contacts.contact_id[np.concatenate((items.contact, followups.contact))],
        instance_id=np.concatenate((np.where(from_campaign, items.instance_id, NULL_ID), followups.instance_id)),
        parent_id=np.concatenate((np.full(len(items), NULL_ID, dtype=np.int64), followups.parent_row_id)),
        event_day=np.concatenate((items.event, followups.event)),
        send_day=np.concatenate(
            (
                np.where(items.standing, items.target, items.ideal),
                np.where(followups.reason == 0, followups.target, followups.undelayed),
            )
        ),
        kind=renumber[np.concatenate((item_kind, followup_kind + np.int32(len(item_kinds))))],
        kinds=tuple(number),
    )


def _numbered(key: Int64, describe: Callable[[int], RowKind]) -> tuple[Int32, list[RowKind]]:
    """Number the distinct keys of small non-negative range and describe each once."""
    present = np.flatnonzero(np.bincount(key)) if len(key) else np.zeros(0, dtype=np.int64)
    number = np.zeros(int(present[-1]) + 1 if len(present) else 1, dtype=np.int32)
    number[present] = np.arange(len(present), dtype=np.int32)
    return number[key], [describe(k) for k in present.tolist()]


def _item_kinds(items: Items, campaigns: Sequence[Campaign], send_time: str) -> tuple[Int32, list[RowKind]]:
    names = list(EMAIL_TYPES)
    by_code = np.where(items.type_code == CAMPAIGN, len(names) + items.instance, items.type_code - 1)

    def describe(key: int) -> RowKind:
        number, reason = divmod(key, REASON_SPAN)
        if number < len(names):
            name = names[number]
            return _row_kind(name, reason, send_time, EMAIL_TYPES[name].priority, f"{name}_template", None)
        campaign = campaigns[number - len(names)]
        return _row_kind(
            campaign.email_type, reason, send_time, campaign.settings.priority,
            campaign.email_template, campaign.sms_template,
        )  # fmt: skip

    return _numbered(by_code.astype(np.int64) * REASON_SPAN + items.reason, describe)


def _followup_kinds(followups: Followups, send_time: str) -> tuple[Int32, list[RowKind]]:
    key = dense_key((followups.kind, followups.priority, followups.reason))
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    kinds = []
    for row in first.tolist():
        name = FOLLOWUP_TYPES[int(followups.kind[row])]
        reason, priority = int(followups.reason[row]), int(followups.priority[row])
        kinds.append(_row_kind(name, reason, send_time, priority, f"{name}_template", None))
    return number.astype(np.int32), kinds


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
