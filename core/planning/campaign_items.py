"""Campaign candidates (R54-R57): who is meant, when, and what keeps the mail from going out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.planning.campaigns import Campaign, CampaignBook, carrier_numbers
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, Bool, Int16, Int32, Int64, parts_of
from core.planning.items import Items, Source, make_items
from core.planning.ledger import Ledger
from core.planning.ordering import is_first, is_in, pair_key
from core.planning.reasons import Reason
from core.planning.rules import CAMPAIGN, STATE_CODES, UNKNOWN_STATE
from core.planning.schedule import Schedule
from core.planning.snapshot import EnrolmentChunk
from core.planning.text_dates import FIRST_DAY, LAST_DAY, parse_dates


@dataclass(frozen=True, slots=True)
class Enrolments:
    """Enrolments of active campaigns whose contact and trigger date can be used, by instance and enrolment id (R54)."""

    enrolment_id: Int64
    contact: Int32
    instance_id: Int64
    trigger_day: Int32
    """NO_DAY where the enrolment has no trigger date of its own."""
    issues: tuple[str, ...]
    """``bad_enrolment:<id>`` of the others."""

    def rows_of(self, instance_id: int) -> slice:
        """Return the enrolments of an instance, by enrolment id."""
        return _rows_of(self.instance_id, instance_id)


def judge_enrolments(frame: Frame, book: CampaignBook, chunks: Iterable[EnrolmentChunk]) -> Enrolments:
    """Sort enrolments into usable and bad ones; those of campaigns that do not count are not looked at."""
    enrolled = np.array(sorted(c.instance_id for c in book.active if not c.target_all_contacts), dtype=np.int64)
    parts: list[tuple[Int64, Int32, Int64, Int32]] = []
    bad_ids: list[Int64] = []
    for chunk in chunks:
        rows = is_in(chunk.campaign_instance_id, enrolled).nonzero()[0]
        contact = frame.places.of(chunk.contact_id.take(rows))
        trigger_day, unparsable = parse_dates(chunk.trigger_date.take(rows))
        bad = (contact < 0) | unparsable
        bad_ids.append(chunk.enrolment_id[rows[bad]])
        good = rows[~bad]
        parts.append((chunk.enrolment_id[good], contact[~bad], chunk.campaign_instance_id[good], trigger_day[~bad]))
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Enrolments(none, np.zeros(0, dtype=np.int32), none, np.zeros(0, dtype=np.int32), ())
    ids, contact, instance_id, trigger_day = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((ids, instance_id))
    issues = tuple(f"bad_enrolment:{i}" for i in np.sort(np.concatenate(bad_ids)).tolist())
    return Enrolments(ids[order], contact[order], instance_id[order], trigger_day[order].astype(np.int32), issues)


@dataclass(frozen=True, slots=True)
class LockedMail:
    """Campaign mail that the sender has, by instance: contact (-1: nobody) and event."""

    instance_id: Int64
    contact: Int32
    event: Int32

    def rows_of(self, instance_id: int) -> slice:
        """Return the mail of an instance."""
        return _rows_of(self.instance_id, instance_id)


def _rows_of(sorted_ids: Int64, instance_id: int) -> slice:
    return slice(int(sorted_ids.searchsorted(instance_id)), int(sorted_ids.searchsorted(instance_id, "right")))


@dataclass(frozen=True, slots=True)
class CampaignContext:
    """What campaigns need besides the frame."""

    enrolments: Enrolments
    locked: LockedMail
    carriers: Sequence[str]


def campaign_context(frame: Frame, book: CampaignBook, enrolments: Enrolments, schedule: Schedule) -> CampaignContext:
    """Gather it: of the locked rows those of campaigns that count, whatever else the sender ever sent."""
    locked, of_campaign = schedule.locked, frame.kinds.type_code == CAMPAIGN
    found = (of_campaign.take(locked.kinds_of(part)).nonzero()[0] + part.start for part in parts_of(len(locked)))
    rows = locked.take(np.concatenate([np.zeros(0, dtype=np.int64), *found]))
    active = np.array(sorted(c.instance_id for c in book.active), dtype=np.int64)
    mine = is_in(rows.instance_id, active).nonzero()[0]
    rows = rows.take(mine[rows.instance_id.take(mine).argsort(kind="stable")])
    mail = LockedMail(rows.instance_id, frame.places.of(rows.contact_id), rows.event_day)
    return CampaignContext(enrolments, mail, book.carriers)


def campaign_items(
    frame: Frame, book: CampaignBook, enrolments: Enrolments, schedule: Schedule, ledger: Ledger
) -> Iterator[Items]:
    """Yield the candidates of every active campaign, all but windows checked at the ideal date (R54-R57), in parts."""
    if not book.active:
        return
    context = campaign_context(frame, book, enrolments, schedule)
    for number, campaign in enumerate(book.active):
        yield from items_of_campaign(frame, number, campaign, context, ledger)


def items_of_campaign(
    frame: Frame, number: int, campaign: Campaign, context: CampaignContext, ledger: Ledger
) -> Iterator[Items]:
    """Yield the candidates of one campaign, the ``number``-th of the active ones."""
    source = campaign_source(frame, number, campaign)
    handled = _Handled.of(frame, campaign, context.locked)
    for contact, trigger, matches in audience(frame, campaign, context):
        yield _candidates(frame, campaign, source, handled, ledger, contact, trigger, matches)


def campaign_source(frame: Frame, number: int, campaign: Campaign) -> Source:
    """Return what the candidates of a campaign have in common (R55)."""
    spread, end = campaign.spread, campaign.active_end
    return Source(
        CAMPAIGN,
        campaign.settings.priority,
        days_before=0 if spread else campaign.settings.days_before_event,
        event=spread[0] if spread else None,
        deadline_days=frame.config.late_grace_days if end is None else None,
        deadline_floor=NO_DAY if end is None else end,
        respects_windows=campaign.settings.respect_exclusion_windows,
        instance=number,
        instance_id=campaign.instance_id,
    )


def _candidates(  # what is found about the audience, and where it is entered
    frame: Frame,
    campaign: Campaign,
    source: Source,
    handled: "_Handled",
    ledger: Ledger,
    contact: Int64 | Int32,
    trigger: Int32,
    matches: Bool,
) -> Items:
    ledger.consider("campaign", len(contact))
    if campaign.spread is None and not bool((dated := trigger != NO_DAY).all()):
        ledger.leave("no_trigger_date", ~dated)
        contact, trigger, matches = contact[dated], trigger[dated], matches[dated]
    items = make_items(contact, ideal_dates(frame, campaign, contact, trigger), source)
    deadline = items.deadline
    # A date that the calendar of the rules does not have (R21) could be written, and not be read again.
    expired = (deadline < frame.today) | (items.ideal < FIRST_DAY)
    beyond = items.ideal > (LAST_DAY if frame.last_ideal is None else min(frame.last_ideal, LAST_DAY))
    in_hand = handled.handles(contact, items)
    gone = expired | beyond | in_hand
    if bool(gone.any()):
        ledger.leave("campaign_over", expired)
        ledger.leave("beyond_lookahead", ~expired & beyond)
        ledger.leave("handled", ~expired & ~beyond & in_hand)
        due = (~gone).nonzero()[0]
        items, deadline, matches = items.take(due), deadline.take(due), matches.take(due)
    return items.with_reason(_reasons(frame, campaign, items, deadline, matches))


def audience(frame: Frame, campaign: Campaign, context: CampaignContext) -> Iterator[tuple[Int64 | Int32, Int32, Bool]]:
    """Yield (contact, trigger day, whether the targets match) of everyone the campaign is about (R54)."""
    if campaign.target_all_contacts:
        trigger = campaign.active_start if campaign.active_start is not None else campaign.created
        day = NO_DAY if trigger is None else trigger
        for part in parts_of(len(frame.contacts)):
            contact = frame.contacts.schedulable[part].nonzero()[0] + part.start
            if campaign.is_targeted:
                contact = contact[_matches(frame, campaign, contact, context.carriers)]
            yield contact, np.full(len(contact), day, dtype=np.int32), np.ones(len(contact), dtype=np.bool_)
        return
    enrolments, rows = context.enrolments, context.enrolments.rows_of(campaign.instance_id)
    if rows.start == rows.stop:
        return
    enrolled, trigger_day = enrolments.contact[rows], enrolments.trigger_day[rows]
    if campaign.active_start is not None:
        trigger_day = np.where(trigger_day == NO_DAY, campaign.active_start, trigger_day).astype(np.int32)
    event = np.full(len(enrolled), campaign.spread[0], dtype=np.int32) if campaign.spread else trigger_day
    # R55: the same (contact, event) twice in an instance counts once, the lowest enrolment id; rows are in id order.
    pair = pair_key(enrolled, event)
    order = pair.argsort(kind="stable")
    order = order[is_first(pair.take(order))]
    order = order[frame.contacts.schedulable.take(enrolled.take(order))]
    enrolled = enrolled.take(order)
    yield enrolled, trigger_day.take(order), _matches(frame, campaign, enrolled, context.carriers)


def _matches(frame: Frame, campaign: Campaign, contact: Int64 | Int32, carriers: Sequence[str]) -> Bool:
    matches = np.ones(len(contact), dtype=np.bool_)
    if campaign.states is not None:
        wanted = np.zeros(len(STATE_CODES) + 1, dtype=np.bool_)  # the last one is the unknown state
        wanted[list(campaign.states)] = True
        matches &= wanted.take(frame.contacts.state.take(contact))
    if campaign.carriers is not None:
        matches &= is_in(frame.contacts.carrier.take(contact), carrier_numbers(campaign, carriers))
    return matches


def ideal_dates(frame: Frame, campaign: Campaign, contact: Int64 | Int32, trigger: Int32) -> Int32:
    """Return the ideal dates of contacts with a trigger date, which a spread campaign does without (R55)."""
    if campaign.spread is None:
        return trigger - np.int32(campaign.settings.days_before_event)
    start, end = campaign.spread
    ideal: Int32 = (start + frame.contacts.contact_id.take(contact) % (end - start + 1)).astype(np.int32)
    return ideal


@dataclass(frozen=True, slots=True)
class _Handled:
    """R57: target-all and spread campaigns write once per contact and instance, enrolments once per event."""

    contacts: Bool | None
    """By contact."""
    pairs: Int64
    """Contact and event, ascending."""

    @classmethod
    def of(cls, frame: Frame, campaign: Campaign, locked: LockedMail) -> "_Handled":
        rows = locked.rows_of(campaign.instance_id)
        contact, event = locked.contact[rows], locked.event[rows]
        if campaign.target_all_contacts or campaign.spread is not None:
            written = np.zeros(len(frame.contacts), dtype=np.bool_)
            written[contact[contact >= 0]] = True
            return cls(written, np.zeros(0, dtype=np.int64))
        known = (contact >= 0) & (event != NO_DAY)
        return cls(None, np.sort(pair_key(contact[known], event[known])))

    def handles(self, contact: Int64 | Int32, items: Items) -> Bool:
        """Whether each item is written already."""
        if self.contacts is not None:
            return self.contacts.take(contact)
        if not len(self.pairs):
            return np.zeros(len(contact), dtype=np.bool_)
        return is_in(pair_key(contact, items.event), self.pairs)


def _reasons(frame: Frame, campaign: Campaign, items: Items, deadline: Int32, matches: Bool) -> Int16:
    """R56, the first that applies of what comes before windows; written from the last to the first."""
    settings, contact = campaign.settings, items.contact
    reason = np.zeros(len(items), dtype=np.int16)
    if settings.respect_exclusion_windows or not frame.config.send_without_zipcode_for_universal:
        reason[frame.contacts.state.take(contact) == UNKNOWN_STATE] = Reason.STATE_UNKNOWN
    reason[items.ideal > deadline] = Reason.AFTER_CAMPAIGN_END
    if settings.skip_failed_underwriting:
        reason[frame.contacts.failed_underwriting.take(contact)] = Reason.FAILED_UNDERWRITING__CAMPAIGN
    if frame.config.exclude_failed_underwriting_global and not campaign.is_aep:
        reason[frame.barred_globally(contact)] = Reason.FAILED_UNDERWRITING__GLOBAL
    reason[~matches] = Reason.TARGET_MISMATCH
    return reason
