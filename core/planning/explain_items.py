"""The mails of a contact that became items: from the event to the last step, each step with what it found."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from core.planning.campaigns import Campaign
from core.planning.explain_after_window import owed_for
from core.planning.explain_limits import limit_finding
from core.planning.explain_subject import TYPE_NAMES, Draft, RowKey, Subject, item_type
from core.planning.explain_trace import ItemKey, ItemState
from core.planning.explain_windows import span_over
from core.planning.explain_words import find, skip_code
from core.planning.explanation import Finding
from core.planning.reasons import Reason, reason_text
from core.planning.rules import CAMPAIGN, EFFECTIVE_DATE, POST_WINDOW
from core.planning.smoothing import cluster_limit, sent_effective_dates, sent_on, smoothing_offset

_CARRIED_DAYS_MAX: Final = 14
"""Days that are told one by one; a mail can be carried for months."""


def item_drafts(subject: Subject) -> Iterator[Draft]:
    """Yield every item of the contact with its history."""
    for key, state in subject.trace.after(subject.row, "limited").items():
        campaign = _campaign(subject, key)
        findings = (*_asked(subject, key, state, campaign), *_history(subject, key, state))
        yield Draft(
            RowKey(item_type(subject, key), key.instance_id, 0, key.event), state.ideal, state.deadline, findings
        )


def _campaign(subject: Subject, key: ItemKey) -> Campaign | None:
    if key.type_code != CAMPAIGN:
        return None
    return next(c for c in subject.snapshot.book.active if c.instance_id == key.instance_id)


def _asked(subject: Subject, key: ItemKey, state: ItemState, campaign: Campaign | None) -> Iterator[Finding]:
    days = key.event - state.ideal
    if campaign is None:
        name = f"asked_{TYPE_NAMES[key.type_code]}"
    elif campaign.spread is not None:
        name = "asked_spread_campaign"
    else:
        name = "asked_campaign" if days >= 0 else "asked_campaign_after"
    yield find(name, from_day=state.ideal, to_day=key.event, counts={"days": abs(days)})
    if not state.respects_windows:
        yield find("windows_bypassed")
    if key.type_code == POST_WINDOW:
        yield find("makes_up_for", mails=owed_for(subject).get(key.event, ()))


def _history(subject: Subject, key: ItemKey, last: ItemState) -> Iterator[Finding]:
    """Follow an item through the steps until one keeps it back, or none does."""
    first = subject.trace.after(subject.row, "candidates").get(key)
    if first is not None and first.reason:
        yield from _skipped(subject, first.reason, first, "excluded_at_ideal")
        return
    yield from _smoothed(subject, key)
    before = subject.trace.after(subject.row, "smoothed").get(key)
    day = last.ideal if before is None else before.target
    owed = subject.trace.after(subject.row, "owed")[key]
    if day < subject.frame.today:
        yield find("late", from_day=day, to_day=owed.target)
    if owed.reason:
        yield from _skipped(subject, owed.reason, owed, "excluded_when_late")
        return
    yield from _carried(subject, owed.target, last.target)
    if last.reason:
        yield limit_finding(subject, key, last)
    else:
        yield find("to_be_sent", to_day=last.target)


def _skipped(subject: Subject, reason: int, state: ItemState, looked_at: str) -> Iterator[Finding]:
    code = skip_code(reason_text(reason) or "")
    if code == Reason.AFTER_CAMPAIGN_END.name.lower():
        yield find(code, from_day=state.ideal, to_day=state.deadline)
        return
    if code.startswith("exclusion:"):
        yield find(looked_at, to_day=state.checked)
    yield exclusion(subject, code, state.checked)


def exclusion(subject: Subject, code: str, day: int) -> Finding:
    """Return why a day is excluded, with the window that covers it; other skip reasons have none."""
    span = span_over(subject.frame, day) if code.endswith("_window") else None
    return find(code, from_day=None if span is None else span.first, to_day=None if span is None else span.last)


def _smoothed(subject: Subject, key: ItemKey) -> Iterator[Finding]:
    """Tell of the cluster of an effective-date mail, if it is one that is spread (R61, R62)."""
    state = subject.trace.after(subject.row, "smoothed").get(key)
    if state is None or key.type_code != EFFECTIVE_DATE:
        return
    config = subject.frame.config
    sent_events = sent_effective_dates(subject.org_schedule, subject.frame.kinds, subject.frame.today)
    profile = config.profile(subject.plan.contact_count)
    limit = cluster_limit(profile, subject.plan.limits.cap)
    ideal = np.array([state.ideal], dtype=np.int32)
    size = subject.trace.cluster_size(state.ideal) + int(sent_on(sent_events, ideal, config)[0])
    if size <= limit:
        return
    event, contact = np.array([key.event], dtype=np.int32), np.array([subject.contact_id], dtype=np.int64)
    wanted = state.ideal + int(smoothing_offset(contact, event, profile.ed_smoothing_window_days)[0])
    counts = {"cluster": size, "limit": limit, "window_days": profile.ed_smoothing_window_days}
    code = "cluster_spread" if wanted == state.target else "cluster_kept"
    yield find(code, from_day=state.ideal, to_day=state.target, counts=counts)


def _carried(subject: Subject, start: int, end: int) -> Iterator[Finding]:
    """Tell of the days over the cap that passed the mail on (R66)."""
    for day in range(start, min(end, start + _CARRIED_DAYS_MAX)):
        load = subject.trace.load(day)
        counts = {"wanted": load.wanted, "stayed": load.stayed, "fixed": load.fixed, "cap": subject.plan.limits.cap}
        last_told = day == start + _CARRIED_DAYS_MAX - 1
        yield find("carried", from_day=day, to_day=end if last_told else day + 1, counts=counts)
