"""plan(): the pipeline of the rule book, top to bottom (docs/rules.md, section 0)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.balancing import DailyCap, balance, daily_cap
from core.planning.campaign_items import Enrolments, campaign_items, judge_enrolments
from core.planning.campaigns import CampaignBook
from core.planning.candidates import Excluded, Frame, candidates, meet_windows, occurrences, previous_excluded
from core.planning.columns import Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.contacts import Contacts
from core.planning.day_counts import DayCounts, count_days
from core.planning.exclusion import windows_of
from core.planning.followups import Followups, gather_behaviour, plan_followups
from core.planning.handled import first_event_asked_for, handled_events
from core.planning.items import Items, ItemStore
from core.planning.kinds import KindTable
from core.planning.ledger import Ledger
from core.planning.limits import apply_limits
from core.planning.places import ContactPlaces
from core.planning.post_window import post_window
from core.planning.reasons import CONTACT_ISSUES
from core.planning.recent import RecentMail
from core.planning.rows import PlannedRows, planned_rows
from core.planning.rules import EMAIL_TYPES
from core.planning.schedule import Schedule
from core.planning.smoothing import catch_up, sent_effective_dates, smooth
from core.planning.snapshot import AnswerChunk, ClickChunk, EnrolmentChunk
from core.planning.watch import Unwatched, Watch


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a plan depends on besides configuration and date: the org database, judged column by column."""

    contacts: Contacts
    schedule: Schedule
    book: CampaignBook
    enrolments: Sequence[EnrolmentChunk]
    clicks: Sequence[ClickChunk]
    answers: Sequence[AnswerChunk]


@dataclass(frozen=True, slots=True)
class Issues:
    """Issues found, as pairs (R24); contact_id 0 for those about a campaign."""

    contact_id: Int64
    issue: Int32
    """Index into ``issues``."""
    issues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The desired state of one org on one date."""

    rows: PlannedRows
    issues: Issues
    limits: DailyCap
    cap_exceeded_days: Int32
    contact_count: int
    """N: schedulable contacts (R24)."""
    considered: Mapping[str, int]
    """Candidates looked at, by source; each is a row or not due."""
    not_due: Mapping[str, int]
    """Candidates that are nobody's turn yet or any more, by cause."""
    asked_by_day: Mapping[int, int]
    """Mails to be sent, by the day the rules ask for: before smoothing, catch-up and the cap moved them (R75)."""


_NOBODY: Final = Unwatched()
_ROWS_PER_CONTACT: Final = 6
"""Room for candidates at the start; what is not used costs nothing."""


def plan(snapshot: Snapshot, config: Config, today: int, watch: Watch = _NOBODY) -> Plan:
    """Plan every mail that the rules ask for and forbid; pure. Raises ConservationError if candidates do not add up."""
    contacts, schedule = snapshot.contacts, snapshot.schedule
    frame = frame_of(contacts, schedule, config, today)
    contact_count = int(np.count_nonzero(contacts.schedulable))
    profile = config.profile(contact_count)
    limits = daily_cap(config, profile, contact_count)
    ledger = Ledger()
    store = ItemStore(
        expected=_ROWS_PER_CONTACT * len(contacts), sources_max=len(EMAIL_TYPES) + len(snapshot.book.active)
    )
    previous = _anniversaries(frame, snapshot.book, store, ledger)  # step 1
    enrolments = judge_enrolments(frame, snapshot.book, snapshot.enrolments)
    for part in campaign_items(frame, snapshot.book, enrolments, schedule, ledger):  # step 2
        store.add(part)
    items = store.items()
    meet_windows(frame, items)
    watch.items("candidates", items)
    items = smooth(frame, items, sent_effective_dates(schedule, frame.kinds, today), profile, limits.cap)  # step 3
    watch.items("smoothed", items)
    items = catch_up(frame, items)  # step 4
    watch.items("caught_up", items)
    store.add(post_window(frame, items, previous, ledger))  # step 5
    items = store.items()
    watch.items("owed", items)
    followups = _followups(frame, snapshot)  # step 6
    ledger.consider("followup", len(followups))
    fixed_days = _fixed_days(frame, followups)
    watch.fixed_days(fixed_days)
    balanced = balance(frame, items, fixed_days, limits)  # step 7
    watch.items("balanced", balanced.items)
    items = apply_limits(frame, balanced.items)  # step 8
    watch.items("limited", items)
    asked_by_day = _asked_by_day(items, followups)
    items = store.with_room(items, len(followups))
    rows = planned_rows(contacts, items, followups, snapshot.book.active, config.send_time)  # step 9
    ledger.balance(len(rows))
    return Plan(
        rows=rows,
        issues=_issues(contacts, snapshot.book, enrolments),
        limits=limits,
        cap_exceeded_days=balanced.cap_exceeded_days,
        contact_count=contact_count,
        considered=dict(sorted(ledger.considered.items())),
        not_due=dict(sorted(ledger.not_due.items())),
        asked_by_day=asked_by_day,
    )


def frame_of(contacts: Contacts, schedule: Schedule, config: Config, today: int) -> Frame:
    """Return what every step needs of contacts, stored rows, configuration and date."""
    places, kinds = ContactPlaces(contacts.contact_id), KindTable.of(schedule.kinds)
    first_event = first_event_asked_for(today, config.late_grace_days)
    handled = handled_events(schedule.locked, kinds, places, len(contacts), first_event)
    first_day = today - max(config.followup_lookback_days, config.frequency_period_days)
    recent = RecentMail.of(schedule.locked, places, first_day)
    return Frame(contacts, places, kinds, windows_of(contacts, config), config, today, handled, recent)


def _anniversaries(frame: Frame, book: CampaignBook, store: ItemStore, ledger: Ledger) -> list[Excluded]:
    """Store the candidates of the built-in types; return the previous occurrences that are to be made up for."""
    previous: list[Excluded] = []
    for part in parts_of(len(frame.contacts)):
        for found in occurrences(frame, aep_superseded=book.aep_superseded, part=part):
            store.add(candidates(frame, found, ledger))
            if frame.config.enable_post_window_emails:
                previous.append(previous_excluded(frame, found))
    return previous


def _followups(frame: Frame, snapshot: Snapshot) -> Followups:
    behaviour = gather_behaviour(frame, snapshot.clicks, snapshot.answers)
    return plan_followups(frame, snapshot.book, behaviour)


def _fixed_days(frame: Frame, followups: Followups) -> Int32:
    """Return one day per mail from today on that counts towards the cap and is not moved (R65)."""
    rows = frame.recent.rows
    locked = rows.send_day[(rows.send_day >= frame.today) & frame.kinds.counting.take(rows.kind)]
    return np.concatenate((locked, followups.target[followups.reason == 0]))


def _asked_by_day(items: Items, followups: Followups) -> Mapping[int, int]:
    return count_days(
        (
            DayCounts.of(items.ideal, lambda part: items.reason[part] == 0),
            DayCounts.of(followups.undelayed, lambda part: followups.reason[part] == 0),
        )
    )


def _issues(contacts: Contacts, book: CampaignBook, enrolments: Enrolments) -> Issues:
    campaign_issues = (*book.issues, *enrolments.issues)
    # Hardly a contact has any, so that their bits are spread out only for those that do.
    rows = contacts.issues.nonzero()[0]
    bits = np.unpackbits(contacts.issues.take(rows), bitorder="little").reshape(-1, 8)[:, : len(CONTACT_ISSUES)]
    numbers, places = bits.T.nonzero()
    of_campaigns = np.arange(len(CONTACT_ISSUES), len(CONTACT_ISSUES) + len(campaign_issues), dtype=np.int32)
    return Issues(
        np.concatenate((contacts.contact_id.take(rows.take(places)), np.zeros(len(campaign_issues), dtype=np.int64))),
        np.concatenate((numbers.astype(np.int32), of_campaigns)),
        (*CONTACT_ISSUES, *campaign_issues),
    )
