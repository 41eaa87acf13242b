"""Limits per contact on final dates (R70-R74): the same-day campaign conflict, then the two-sided frequency limit.

Nearly all contacts have fewer mails than any limit could touch; those are recognised with a few vector operations. The
rest are judged in rounds: round r looks at the r-th mail of every such contact at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.candidates import Frame
from core.planning.columns import Bool, Int16, Int32, Int64
from core.planning.config import Config
from core.planning.items import Items
from core.planning.ordering import contact_of, dense_key, pair_key
from core.planning.reasons import Reason
from core.planning.rules import CAMPAIGN, CAMPAIGN_PREFIX
from core.planning.schedule import Schedule, is_followup

_NEVER: Final = 2**30
"""A day beyond every window: fills the unused places of a table of days."""


@dataclass(frozen=True, slots=True)
class _Mails:
    """Mails of contacts: those that went out or will, and those of this plan."""

    contact: Int64
    day: Int32
    is_campaign: Bool


def apply_limits(frame: Frame, items: Items, schedule: Schedule) -> Items:
    """Skip what a contact must not get beside its other mail, in the order of R70."""
    standing = np.flatnonzero(items.standing)
    if not len(standing):
        return items
    sent = _sent(frame, schedule)
    planned = _Mails(items.contact[standing], items.target[standing], items.type_code[standing] == CAMPAIGN)
    crowded = _crowded(planned, sent, frame)
    rows = standing[crowded[planned.contact]]
    if not len(rows):
        return items
    rows = rows[np.argsort(_order(items, rows), kind="stable")]
    return items.with_reason(_judge(frame, items, rows, sent))


def _sent(frame: Frame, schedule: Schedule) -> _Mails:
    """Return locked counting rows, follow-ups aside (R72, R73), of known contacts."""
    rows = schedule.counting()
    rows = rows.take(~schedule.kinds_where(is_followup)[rows.kind])
    contact = frame.contacts.index_of(rows.contact_id)
    campaign = schedule.kinds_where(lambda k: k.email_type.startswith(CAMPAIGN_PREFIX))
    # A mail sent a whole period ago shares no period with one that goes out today or later.
    known = (contact >= 0) & (rows.send_day > frame.today - frame.config.frequency_period_days)
    return _Mails(contact[known], rows.send_day[known], campaign[rows.kind[known]])


def _crowded(planned: _Mails, sent: _Mails, frame: Frame) -> Bool:
    """Return, per contact, whether any limit could touch it: too many mails in a period, or two campaigns on a day."""
    pairs = np.concatenate((pair_key(planned.contact, planned.day), pair_key(sent.contact, sent.day)))
    campaign = np.concatenate((planned.is_campaign, sent.is_campaign))
    key = np.sort(pairs)
    apart = frame.config.max_emails_per_period
    crowded = np.zeros(len(frame.contacts), dtype=np.bool_)
    if apart < len(key):
        near = key[apart:] - key[:-apart] < frame.config.frequency_period_days
        crowded[contact_of(key[apart:][near])] = True
    campaigns = np.sort(pairs[campaign])
    crowded[contact_of(campaigns[1:][campaigns[1:] == campaigns[:-1]])] = True
    return crowded


def _order(items: Items, rows: Int64) -> Int64:
    """Keys that order by contact, then (priority, target, type code, instance id, event) (R70)."""
    part = items.take(rows)
    return dense_key((part.contact, part.priority, part.target, part.type_code, part.instance_id, part.event))


def _judge(frame: Frame, items: Items, rows: Int64, sent: _Mails) -> Int16:
    """Judge rows, sorted by contact and order of R70, in rounds."""
    reason = items.reason.copy()
    contacts, line = np.unique(items.contact[rows], return_inverse=True)
    first = np.searchsorted(items.contact[rows], contacts)
    turn = np.arange(len(rows)) - first[line]
    mails = _Table.of(contacts, sent, line, only_campaigns=False)
    campaigns = _Table.of(contacts, sent, line, only_campaigns=True)
    for current in range(int(turn.max()) + 1):
        here = np.flatnonzero(turn == current)
        item, place = rows[here], line[here]
        day, is_campaign = items.target[item], items.type_code[item] == CAMPAIGN
        conflict = is_campaign & campaigns.has(place, day)
        too_many = ~conflict & mails.would_exceed(place, day, frame.config)
        reason[item[conflict]] = Reason.CAMPAIGN_CONFLICT
        reason[item[too_many]] = Reason.FREQUENCY_LIMIT
        accepted = ~conflict & ~too_many
        mails.add(place[accepted], day[accepted])
        campaigns.add(place[accepted & is_campaign], day[accepted & is_campaign])
    return reason


class _Table:
    """Days of mail per contact: one line each, padded with _NEVER, as wide as the busiest contact needs."""

    def __init__(self, days: Int32, used: Int64) -> None:
        self._days = days
        self._used = used

    @classmethod
    def of(cls, contacts: Int64, sent: _Mails, line: Int64, *, only_campaigns: bool) -> "_Table":
        """Start with what was sent to these contacts, with room for all that is planned for them."""
        place = np.minimum(np.searchsorted(contacts, sent.contact), len(contacts) - 1)
        wanted = np.asarray(contacts[place] == sent.contact, dtype=np.bool_)
        if only_campaigns:
            wanted &= sent.is_campaign
        place, day = place[wanted], sent.day[wanted]
        used = np.bincount(place, minlength=len(contacts))
        room = int((used + np.bincount(line, minlength=len(contacts))).max())
        days = np.full((len(contacts), room), _NEVER, dtype=np.int32)
        order = np.argsort(place, kind="stable")
        column = np.arange(len(order)) - np.repeat(np.cumsum(used) - used, used)
        days[place[order], column] = day[order]
        return cls(days, used)

    def has(self, place: Int64, day: Int32) -> Bool:
        """Whether each line has a mail on a day (R71)."""
        found: Bool = (self._days[place] == day[:, None]).any(axis=1)
        return found

    def would_exceed(self, place: Int64, day: Int32, config: Config) -> Bool:
        """Whether some period around a day would hold more mails than allowed, this one included (R72)."""
        period, most = config.frequency_period_days, config.max_emails_per_period
        near = self._days[place] - day[:, None].astype(np.int64)
        near = np.sort(np.where(np.abs(near) < period, near, _NEVER), axis=1)
        if most > near.shape[1]:
            return np.zeros(len(place), dtype=np.bool_)
        # With this mail at 0, a period holds most + 1 mails exactly if some `most` of the others lie, together with 0,
        # within one period: neighbours in the sorted line, with 0 counted in.
        first, last = near[:, : near.shape[1] - most + 1], near[:, most - 1 :]
        span = np.maximum(last, 0) - np.minimum(first, 0)
        return np.asarray((span < period).any(axis=1), dtype=np.bool_)

    def add(self, place: Int64, day: Int32) -> None:
        """Note a mail on a day for each line; a line appears at most once per call."""
        self._days[place, self._used[place]] = day
        self._used[place] += 1
