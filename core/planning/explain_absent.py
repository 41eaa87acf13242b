"""What the rules looked at for a contact and left without a row: not due, in hand, not meant, switched off (R31-R57).

The planner's own functions judge the contact alone, one candidate at a time, with a ledger of its own: what the ledger
says left is what is told.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from core.planning.campaign_items import (
    CampaignContext,
    Enrolments,
    audience,
    campaign_context,
    campaign_source,
    ideal_dates,
    items_of_campaign,
    judge_enrolments,
)
from core.planning.campaigns import Campaign
from core.planning.candidates import Frame, Occurrences, candidates, occurrences
from core.planning.columns import NO_DAY
from core.planning.explain_subject import Draft, RowKey, Subject, stored_mails
from core.planning.explain_words import find
from core.planning.explanation import Finding, MailRef
from core.planning.items import make_items
from core.planning.ledger import Ledger
from core.planning.rules import CAMPAIGN_PREFIX, HANDLED_DISTANCE_DAYS, UNKNOWN_STATE

_ANNIVERSARIES: Final = ("birthday", "effective_date", "aep")


def absent_drafts(subject: Subject) -> Iterator[Draft]:
    """Yield what has no item, after-window mail aside; the contact is schedulable."""
    found = {o.email_type: o for o in occurrences(subject.frame, aep_superseded=subject.snapshot.book.aep_superseded)}
    for name in _ANNIVERSARIES:
        yield from _anniversary(subject, name, found)
    yield from _campaigns(subject)
    for idle in subject.snapshot.book.idle:
        yield Draft(RowKey(idle.email_type, idle.instance_id, 0, NO_DAY), None, None, (find(idle.cause),))


def _anniversary(subject: Subject, name: str, found: Mapping[str, Occurrences]) -> Iterator[Draft]:
    occurrence = found.get(name)
    if occurrence is None or not len(occurrence.contact):
        yield Draft(RowKey(name, 0, 0, NO_DAY), None, None, (find(_without_occurrence(subject, name)),))
        return
    ledger = Ledger()
    candidates(subject.frame, occurrence, ledger)
    event = int(occurrence.event[0])
    ideal = event - occurrence.source.days_before
    deadline = make_items(
        occurrence.contact, occurrence.event - occurrence.source.days_before, occurrence.source
    ).deadline
    for cause in ledger.not_due:
        finding = _not_due(subject, name, cause, event, ideal)
        yield Draft(RowKey(name, 0, 0, event), ideal, int(deadline[0]), (finding,))


def _without_occurrence(subject: Subject, name: str) -> str:
    if name == "aep" and subject.snapshot.book.aep_superseded:
        return "aep_superseded"
    if name == "aep" and not subject.frame.config.aep_enabled:
        return "aep_off"
    if int(subject.frame.contacts.state[0]) == UNKNOWN_STATE:
        return "state_unknown_for_type"
    return {"birthday": "no_birth_date", "effective_date": "no_effective_date"}[name]


def _not_due(subject: Subject, name: str, cause: str, event: int, ideal: int) -> Finding:
    match cause:
        case "handled":
            return find(cause, mails=handling(subject, name, event))
        case "beyond_lookahead":
            return beyond_lookahead(subject.frame, ideal)
        case _:
            months = subject.frame.config.effective_date_first_email_months
            return find(f"{name}_{cause}", to_day=event, counts={"months": months})


def handling(subject: Subject, name: str, event: int) -> tuple[MailRef, ...]:
    """Return the locked mails that stand for an occurrence (R33)."""
    schedule = subject.snapshot.schedule
    rows = schedule.locked_where(lambda k: k.email_type == name)
    near = (rows.event_day != NO_DAY) & (np.abs(rows.event_day.astype(np.int64) - event) < HANDLED_DISTANCE_DAYS)
    return stored_mails(rows.take(near), schedule)


def beyond_lookahead(frame: Frame, ideal: int) -> Finding:
    """Say from when on a mail of the far future is planned (R36, R51, R55)."""
    return find("beyond_lookahead", from_day=ideal - (frame.config.lookahead_days or 0), to_day=ideal)


def _campaigns(subject: Subject) -> Iterator[Draft]:
    book, frame = subject.snapshot.book, subject.frame
    enrolments = judge_enrolments(frame, book, subject.snapshot.enrolments)
    context = campaign_context(frame, book, enrolments, subject.snapshot.schedule)
    for number, campaign in enumerate(book.active):
        if campaign.target_all_contacts:
            found = [_candidate(subject, number, campaign, context)]
        else:
            found = [*_enrolled(subject, number, campaign, context), *_bad_enrolments(subject, campaign, enrolments)]
            found = found or [_without_date(campaign, find("not_enrolled"))]
        yield from (draft for draft in found if draft is not None)


def _enrolled(subject: Subject, number: int, campaign: Campaign, context: CampaignContext) -> Iterator[Draft | None]:
    """Judge the contact's enrolments in one campaign one by one; those about one event are one mail (R55)."""
    enrolments, seen = context.enrolments, set[int]()
    for place in np.flatnonzero(enrolments.instance_id == campaign.instance_id).tolist():
        one = Enrolments(
            enrolments.enrolment_id[[place]],
            enrolments.contact[[place]],
            enrolments.instance_id[[place]],
            enrolments.trigger_day[[place]],
            (),
        )
        alone = CampaignContext(one, context.locked, context.carriers)
        event = _dates(subject.frame, campaign, alone)[0]
        if event in seen:
            finding = find("enrolled_twice", counts={"enrolment": int(one.enrolment_id[0])})
            yield Draft(_key(campaign, event), None, None, (finding,))
            continue
        seen.add(event)
        yield _candidate(subject, number, campaign, alone)


def _bad_enrolments(subject: Subject, campaign: Campaign, usable: Enrolments) -> Iterator[Draft]:
    for chunk in subject.snapshot.enrolments:
        here = chunk.campaign_instance_id == campaign.instance_id
        bad = np.setdiff1d(chunk.enrolment_id[here], usable.enrolment_id)
        for enrolment_id in bad.tolist():
            yield _without_date(campaign, find("bad_enrolment", counts={"enrolment": enrolment_id}))


def _candidate(subject: Subject, number: int, campaign: Campaign, context: CampaignContext) -> Draft | None:
    """Return why a campaign's candidate has no item; None where it has one."""
    ledger = Ledger()
    for _ in items_of_campaign(subject.frame, number, campaign, context, ledger):
        pass  # the ledger says what is of interest
    if not ledger.considered.total():
        return _without_date(campaign, find("not_targeted"))
    if not ledger.not_due:
        return None
    (cause,) = ledger.not_due
    event, ideal, deadline = _dates(subject.frame, campaign, context)
    match cause:
        case "no_trigger_date":
            return _without_date(campaign, find(cause))
        case "campaign_over":
            finding = find(cause, to_day=deadline)
        case "handled":
            finding = find("campaign_handled", mails=_campaign_mails(subject, campaign, event))
        case _:
            finding = beyond_lookahead(subject.frame, ideal)
    return Draft(_key(campaign, event), ideal, deadline, (finding,))


def _dates(frame: Frame, campaign: Campaign, context: CampaignContext) -> tuple[int, int, int]:
    """Return event, ideal date and deadline of the only candidate."""
    contact, trigger, _ = next(audience(frame, campaign, context))
    if campaign.spread is None and trigger[0] == NO_DAY:
        return NO_DAY, NO_DAY, NO_DAY
    item = make_items(contact, ideal_dates(frame, campaign, contact, trigger), campaign_source(frame, 0, campaign))
    return int(item.event[0]), int(item.ideal[0]), int(item.deadline[0])


def _campaign_mails(subject: Subject, campaign: Campaign, event: int) -> tuple[MailRef, ...]:
    """Return the locked mails that stand for a campaign's mail (R57)."""
    schedule = subject.snapshot.schedule
    rows = schedule.locked_where(lambda k: k.email_type.startswith(CAMPAIGN_PREFIX))
    mine = rows.instance_id == campaign.instance_id
    if not campaign.target_all_contacts and campaign.spread is None:
        mine &= rows.event_day == event
    return stored_mails(rows.take(mine), schedule)


def _key(campaign: Campaign, event: int) -> RowKey:
    return RowKey(campaign.email_type, campaign.instance_id, 0, event)


def _without_date(campaign: Campaign, finding: Finding) -> Draft:
    return Draft(_key(campaign, NO_DAY), None, None, (finding,))
