"""Campaign candidates (R54-R57): who is meant, when, and what keeps the mail from going out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from core.planning.campaigns import Campaign, CampaignBook, carrier_numbers
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, NULL_ID, Bool, Int16, Int32, Int64
from core.planning.items import Items, make_items
from core.planning.ledger import Ledger
from core.planning.ordering import pair_key
from core.planning.reasons import Reason
from core.planning.rules import CAMPAIGN, CAMPAIGN_PREFIX, UNKNOWN_STATE
from core.planning.schedule import Schedule, ScheduleRows
from core.planning.snapshot import EnrolmentChunk
from core.planning.text import parse_dates


@dataclass(frozen=True, slots=True)
class Enrolments:
    """Enrolments of active campaigns whose contact and trigger date can be used, by enrolment id (R54)."""

    enrolment_id: Int64
    contact: Int64
    instance_id: Int64
    trigger_day: Int32
    """NO_DAY where the enrolment has no trigger date of its own."""
    issues: tuple[str, ...]
    """``bad_enrolment:<id>`` of the others."""


def judge_enrolments(frame: Frame, book: CampaignBook, chunks: Iterable[EnrolmentChunk]) -> Enrolments:
    """Sort enrolments into usable and bad ones; those of campaigns that do not count are not looked at."""
    enrolled = np.array([c.instance_id for c in book.active if not c.target_all_contacts], dtype=np.int64)
    parts: list[tuple[Int64, Int64, Int64, Int32]] = []
    bad_ids: list[Int64] = []
    for chunk in chunks:
        rows = np.flatnonzero(np.isin(chunk.campaign_instance_id, enrolled))
        contact = frame.contacts.index_of(chunk.contact_id[rows])
        trigger_day, unparsable = parse_dates(chunk.trigger_date.take(rows))
        bad = (contact < 0) | unparsable
        bad_ids.append(chunk.enrolment_id[rows[bad]])
        good = rows[~bad]
        parts.append((chunk.enrolment_id[good], contact[~bad], chunk.campaign_instance_id[good], trigger_day[~bad]))
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Enrolments(none, none, none, np.zeros(0, dtype=np.int32), ())
    ids = np.concatenate([p[0] for p in parts])
    order = np.argsort(ids, kind="stable")
    issues = tuple(f"bad_enrolment:{i}" for i in np.sort(np.concatenate(bad_ids)).tolist())
    return Enrolments(
        ids[order],
        np.concatenate([p[1] for p in parts])[order],
        np.concatenate([p[2] for p in parts])[order],
        np.concatenate([p[3] for p in parts]).astype(np.int32)[order],
        issues,
    )


def campaign_items(
    frame: Frame, book: CampaignBook, enrolments: Enrolments, schedule: Schedule, ledger: Ledger
) -> list[Items]:
    """Return the candidates of every active campaign with their skip checks at the ideal date (R54-R57)."""
    context = campaign_context(book, enrolments, schedule)
    return [items_of_campaign(frame, number, campaign, context, ledger) for number, campaign in enumerate(book.active)]


@dataclass(frozen=True, slots=True)
class CampaignContext:
    """What campaigns need besides the frame."""

    enrolments: Enrolments
    locked: ScheduleRows
    """Campaign mail that the sender has."""
    carriers: Sequence[str]


def campaign_context(book: CampaignBook, enrolments: Enrolments, schedule: Schedule) -> CampaignContext:
    """Gather it."""
    locked = schedule.locked_where(lambda k: k.email_type.startswith(CAMPAIGN_PREFIX))
    return CampaignContext(enrolments, locked.take(locked.instance_id != NULL_ID), book.carriers)


def items_of_campaign(frame: Frame, number: int, campaign: Campaign, context: CampaignContext, ledger: Ledger) -> Items:
    """Return the candidates of one campaign, the ``number``-th of the active ones."""
    contact, trigger, matches = audience(frame, campaign, context)
    ledger.consider("campaign", len(contact))
    ideal, event = campaign_dates(frame, campaign, contact, trigger)
    dated = event != NO_DAY
    contact, ideal, event, matches = contact[dated], ideal[dated], event[dated], matches[dated]
    ledger.leave("no_trigger_date", ~dated)
    deadline = deadlines(frame, campaign, ideal)
    expired = deadline < frame.today
    beyond = frame.beyond_lookahead(ideal)
    handled = _handled(frame, campaign, context.locked, contact, event)
    ledger.leave("campaign_over", expired)
    ledger.leave("beyond_lookahead", ~expired & beyond)
    ledger.leave("handled", ~expired & ~beyond & handled)
    due = ~expired & ~beyond & ~handled
    items = make_items(
        contact=contact[due],
        type_code=CAMPAIGN,
        event=event[due],
        ideal=ideal[due],
        deadline=deadline[due],
        priority=campaign.settings.priority,
        respects_windows=campaign.settings.respect_exclusion_windows,
        instance=number,
        instance_id=campaign.instance_id,
    )
    return items.with_reason(_reasons(frame, campaign, items, matches[due]))


def audience(frame: Frame, campaign: Campaign, context: CampaignContext) -> tuple[Int64, Int32, Bool]:
    """Return (contact, trigger day, whether the targets match) of everyone the campaign is about (R54)."""
    if campaign.target_all_contacts:
        everyone = np.flatnonzero(frame.contacts.schedulable)
        contact = everyone[_matches(frame, campaign, everyone, context.carriers)]
        trigger = campaign.active_start if campaign.active_start is not None else campaign.created
        day = NO_DAY if trigger is None else trigger
        return contact, np.full(len(contact), day, dtype=np.int32), np.ones(len(contact), dtype=np.bool_)
    enrolments = context.enrolments
    rows = np.flatnonzero(enrolments.instance_id == campaign.instance_id)
    rows = rows[frame.contacts.schedulable[enrolments.contact[rows]]]
    trigger_day = enrolments.trigger_day[rows]
    if campaign.active_start is not None:
        trigger_day = np.where(trigger_day == NO_DAY, campaign.active_start, trigger_day).astype(np.int32)
    contact = enrolments.contact[rows]
    event = np.full(len(rows), campaign.spread[0], dtype=np.int32) if campaign.spread else trigger_day
    # R55: the same (contact, event) twice in an instance counts once, the lowest enrolment id; rows are in id order.
    _, first = np.unique(pair_key(contact, event), return_index=True)
    contact, trigger_day = contact[first], trigger_day[first]
    return contact, trigger_day, _matches(frame, campaign, contact, context.carriers)


def _matches(frame: Frame, campaign: Campaign, contact: Int64, carriers: Sequence[str]) -> Bool:
    matches = np.ones(len(contact), dtype=np.bool_)
    if campaign.states is not None:
        matches &= np.isin(frame.contacts.state[contact], sorted(campaign.states))
    if campaign.carriers is not None:
        matches &= np.isin(frame.contacts.carrier[contact], carrier_numbers(campaign, carriers))
    return matches


def campaign_dates(frame: Frame, campaign: Campaign, contact: Int64, trigger: Int32) -> tuple[Int32, Int32]:
    """Return (ideal, event) days; event is NO_DAY where the campaign has no date for the contact (R55)."""
    if campaign.spread is not None:
        start, end = campaign.spread
        offset = frame.contacts.contact_id[contact] % (end - start + 1)
        return (start + offset).astype(np.int32), np.full(len(contact), start, dtype=np.int32)
    ideal = np.where(trigger == NO_DAY, NO_DAY, trigger - np.int64(campaign.settings.days_before_event))
    return ideal.astype(np.int32), trigger


def deadlines(frame: Frame, campaign: Campaign, ideal: Int32) -> Int32:
    """Return the last day of each mail (R55)."""
    if campaign.active_end is not None:
        return np.full(len(ideal), campaign.active_end, dtype=np.int32)
    return ideal + np.int32(frame.config.late_grace_days)


def _handled(frame: Frame, campaign: Campaign, locked: ScheduleRows, contact: Int64, event: Int32) -> Bool:
    """R57: target-all and spread campaigns write once per contact and instance, enrolments once per event."""
    rows = locked.take(locked.instance_id == campaign.instance_id)
    place = frame.contacts.index_of(rows.contact_id)
    if campaign.target_all_contacts or campaign.spread is not None:
        return np.isin(contact, place[place >= 0])
    known = (place >= 0) & (rows.event_day != NO_DAY)
    pairs = pair_key(place[known], rows.event_day[known])
    return np.isin(pair_key(contact, event), pairs)


def _reasons(frame: Frame, campaign: Campaign, items: Items, matches: Bool) -> Int16:
    """R56, the first that applies; written from the last to the first."""
    settings, contact = campaign.settings, items.contact
    reason = np.zeros(len(items), dtype=np.int16)
    if settings.respect_exclusion_windows:
        reason = frame.windows.check(contact, items.ideal)
    if settings.respect_exclusion_windows or not frame.config.send_without_zipcode_for_universal:
        reason[frame.contacts.state[contact] == UNKNOWN_STATE] = Reason.STATE_UNKNOWN
    reason[items.ideal > items.deadline] = Reason.AFTER_CAMPAIGN_END
    if settings.skip_failed_underwriting:
        reason[frame.contacts.failed_underwriting[contact]] = Reason.FAILED_UNDERWRITING__CAMPAIGN
    if not campaign.is_aep:
        reason[frame.barred_globally(contact)] = Reason.FAILED_UNDERWRITING__GLOBAL
    reason[~matches] = Reason.TARGET_MISMATCH
    return reason
