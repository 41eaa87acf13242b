"""Limits per contact on final dates (R70-R74): the same-day campaign conflict, then the two-sided frequency limit.

Nearly all contacts have fewer mails than any limit could touch; those are recognised with a few vector operations. The
rest are judged in rounds: round r looks at the r-th mail of every such contact at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.candidates import Frame
from core.planning.columns import Bool, Int16, Int32, Int64, UInt8, parts_of
from core.planning.config import Config
from core.planning.items import Items
from core.planning.ordering import contact_of, dense_key, pair_key
from core.planning.reasons import Reason
from core.planning.rules import CAMPAIGN

_NEVER: Final = 2**30
"""A day beyond every window: fills the unused places of a table of days."""
_TABLE_DAYS_MAX: Final = 2**22
_FEW_ITEMS: Final = 2**13
_BLOCK_BITS: Final = 18
"""Contacts are looked at in blocks of 2**18, so that not all their mails are sorted at once."""


@dataclass(frozen=True, slots=True)
class _Mails:
    """Mails of contacts: those that went out or will, and those of this plan."""

    contact: Int32
    day: Int32
    is_campaign: Bool


def apply_limits(frame: Frame, items: Items) -> Items:
    """Skip what a contact must not get beside its other mail, in the order of R70."""
    sent = _sent(frame)
    rows = _of_crowded(frame, items, sent)
    if not len(rows):
        return items
    rows = rows[np.argsort(_order(items, rows), kind="stable")]
    for group in _groups(items.contact[rows], sent):
        items.reason[rows[group]] = _judge(frame, items.take(rows[group]), sent)
    return items


def _sent(frame: Frame) -> _Mails:
    """Return locked counting rows, follow-ups aside (R72, R73), of known contacts."""
    rows, contact, kinds = frame.recent.rows, frame.recent.contact, frame.kinds
    counts = kinds.counting & ~kinds.followup
    # A mail sent a whole period ago shares no period with one that goes out today or later.
    recent = rows.send_day > frame.today - frame.config.frequency_period_days
    found = (recent & (contact >= 0) & counts.take(rows.kind)).nonzero()[0]
    is_campaign = kinds.type_code.take(rows.kind.take(found)) == CAMPAIGN
    return _Mails(contact.take(found), rows.send_day.take(found), is_campaign)


def _of_crowded(frame: Frame, items: Items, sent: _Mails) -> Int64:
    """Return the standing items of contacts that any limit could touch, few of all."""
    # Not so many are sorted in less time than it takes to count them.
    many = (
        np.ones(len(frame.contacts), dtype=np.bool_) if len(items) < _FEW_ITEMS else _may_be_crowded(frame, items, sent)
    )
    if not len(items) or not many.any():
        return np.zeros(0, dtype=np.int64)
    rows = np.concatenate(
        [
            ((items.reason[part] == 0) & many.take(items.contact[part])).nonzero()[0].astype(np.int32) + part.start
            for part in parts_of(len(items))
        ]
    )
    is_campaign = items.sources.type_code == CAMPAIGN
    block, block_of_sent = items.contact[rows] >> _BLOCK_BITS, sent.contact >> _BLOCK_BITS
    found = []
    for number in range((len(many) >> _BLOCK_BITS) + 1):
        here = rows[block == number]
        few, before = items.take(here), (block_of_sent == number).nonzero()[0]
        planned = _Mails(few.contact, few.target, is_campaign[few.source])
        sent_here = _Mails(sent.contact[before], sent.day[before], sent.is_campaign[before])
        found.append(here[_crowded(planned, sent_here, frame)[few.contact]])
    return np.concatenate(found).astype(np.int64)


def _may_be_crowded(frame: Frame, items: Items, sent: _Mails) -> Bool:
    """Return, per contact, whether any limit could touch it as far as counting its mails can tell."""
    most, count = frame.config.max_emails_per_period, len(frame.contacts)
    mails, campaigns = _Tally(count, frame.config.frequency_period_days), _Tally(count, 1)
    mails.add(sent.contact, sent.day)
    campaigns.add(sent.contact[sent.is_campaign], sent.day[sent.is_campaign])
    is_campaign = items.sources.type_code == CAMPAIGN
    first_campaign = int(is_campaign.argmax()) if is_campaign.any() else len(is_campaign)
    for part in parts_of(len(items)):
        stands = (items.reason[part] == 0).nonzero()[0]
        contact, day = items.contact[part].take(stands), items.target[part].take(stands)
        mails.add(contact, day)
        source = items.source[part]
        if int(source.max()) >= first_campaign:
            here = is_campaign.take(source.take(stands)).nonzero()[0]
            campaigns.add(contact.take(here), day.take(here))
    # A period has days of two stretches of its length at most, and each mail beyond those that are too many in it brings
    # one more at most. Two mails on one day leave a day less than there are mails.
    many = (mails.counts > most) & (mails.stretches() <= mails.counts - (most - 1))
    many |= (campaigns.counts > 1) & (campaigns.stretches() < campaigns.counts)
    return many


class _Tally:
    """Counts mails by contact, and in how many stretches of ``length`` days they lie."""

    def __init__(self, contacts: int, length: int) -> None:
        self.counts = np.zeros(contacts, dtype=np.int32)
        self._length = np.int32(length)
        self._met = np.zeros(contacts, dtype=np.uint16)

    def add(self, contact: Int32, day: Int32) -> None:
        """Count mails of contacts whose row numbers are near each other."""
        if len(contact):
            first = contact.min()
            found = np.bincount(contact - first)
            self.counts[first : first + len(found)] += found.astype(np.int32)
            bit = (day // self._length & np.int32(15)).astype(np.uint16)
            # Of a contact that comes twice one may be lost: then it seems to be more crowded than it is.
            self._met[contact] |= np.left_shift(np.uint16(1), bit)

    def stretches(self) -> UInt8:
        """Return in how many stretches each contact has mails, or fewer: those far apart count as one."""
        return np.bitwise_count(self._met)


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


def _groups(contact: Int32, sent: _Mails) -> Iterator[Int64]:
    """Divide items, sorted by contact, into groups of whole contacts with about as many mails each.

    A table of days is as wide as the busiest contact needs: one with hundreds of campaigns must not make it so for all.
    """
    first = np.flatnonzero(np.concatenate(([True], contact[1:] != contact[:-1])))
    planned = np.diff(first, append=len(contact))
    place, found = _places(contact[first], sent.contact)
    width = np.ceil(np.log2(planned + np.bincount(place[found], minlength=len(first)))).astype(np.int64)
    for exponent in np.unique(width).tolist():
        alike = np.flatnonzero(width == exponent)
        step = max(1, _TABLE_DAYS_MAX >> exponent)
        for start in range(0, len(alike), step):
            some = alike[start : start + step]
            before = np.cumsum(planned[some]) - planned[some]
            yield np.repeat(first[some] - before, planned[some]) + np.arange(int(planned[some].sum()))


def _places(contacts: Int32, wanted: Int32) -> tuple[Int64, Bool]:
    """Return where each contact is among some sorted ones, and whether it is."""
    place = np.minimum(np.searchsorted(contacts, wanted), len(contacts) - 1)
    return place, np.asarray(contacts[place] == wanted, dtype=np.bool_)


def _judge(frame: Frame, items: Items, sent: _Mails) -> Int16:
    """Judge items, sorted by contact and order of R70, in rounds."""
    reason = np.zeros(len(items), dtype=np.int16)
    first = np.flatnonzero(np.concatenate(([True], items.contact[1:] != items.contact[:-1])))
    contacts = items.contact[first]
    line = np.repeat(np.arange(len(first)), np.diff(first, append=len(items)))
    turn = np.arange(len(items)) - first[line]
    is_campaign = items.type_code == CAMPAIGN
    mails = _Table.of(contacts, sent, line, only_campaigns=False)
    campaigns = _Table.of(contacts, sent, line, only_campaigns=True)
    by_turn = np.argsort(turn, kind="stable")
    for here in np.split(by_turn, np.cumsum(np.bincount(turn))[:-1]):
        place, day, campaign = line[here], items.target[here], is_campaign[here]
        conflict = campaign & campaigns.has(place, day)
        too_many = ~conflict & mails.would_exceed(place, day, frame.config)
        reason[here[conflict]] = Reason.CAMPAIGN_CONFLICT
        reason[here[too_many]] = Reason.FREQUENCY_LIMIT
        accepted = ~conflict & ~too_many
        mails.add(place[accepted], day[accepted])
        campaigns.add(place[accepted & campaign], day[accepted & campaign])
    return reason


class _Table:
    """Days of mail per contact: one line each, padded with _NEVER, as wide as the busiest contact needs."""

    def __init__(self, days: Int32, used: Int64) -> None:
        self._days = days
        self._used = used

    @classmethod
    def of(cls, contacts: Int32, sent: _Mails, line: Int64, *, only_campaigns: bool) -> "_Table":
        """Start with what was sent to these contacts, with room for all that is planned for them."""
        place, wanted = _places(contacts, sent.contact)
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
