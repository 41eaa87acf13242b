"""Synthetic past of an org: mail of the last two years in every status of the sender, clicks, answers, and stale plans."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from core.planning.columns import Bool, Int64
from infra.synthetic_people import People, chance, dates

SENDER_STATUSES: Final = ("delivered", "sent", "bounced", "failed", "dropped", "cancelled")
UNDERWAY_STATUSES: Final = ("scheduled", "processing", "accepted", "deferred", "sent")
_STATUS_SHARES: Final = (0.55, 0.3, 0.05, 0.04, 0.03, 0.03)
_UNDERWAY_DAYS: Final = 2
_RECENT_DAYS: Final = 60
_FOLLOWED_AFTER_DAYS: Final = 4

_ANSWERS: Final = (
    '{"has_medical_conditions": true, "main_questions_yes_count": 2}',
    '{"has_medical_conditions": false, "main_questions_yes_count": 0}',
    '{"has_medical_conditions": " Yes "}',
    '{"main_questions_yes_count": 1}',
    '{"main_questions_yes_count": "1"}',
    "null",
    "{not json",
)
_CAMPAIGN_MAIL: Final = (
    (1, "campaign_rate_increase", 20, 5),
    (4, "campaign_initial_blast", 9, 15),
    (3, "campaign_seasonal_promo", 1, 25),
)
"""Instance, type, days ago, priority of campaign mail that some contacts have had."""

Rows = list[tuple[str | int | None, ...]]


@dataclass(frozen=True, slots=True)
class History:
    """Rows to store, each a tuple in the order of the table's columns (see ``synthetic``)."""

    schedules: Rows
    clicks: Rows
    answers: Rows


@dataclass(frozen=True, slots=True)
class _Mail:
    """Mail of one type: parallel columns."""

    contact_id: Int64
    event_day: Int64
    send_day: Int64
    email_type: str
    priority: int
    instance_id: int | None = None


def make_history(rng: Generator, people: People, first_row_id: int, today: np.datetime64) -> History:
    """Make the past of some contacts; schedule rows are numbered from ``first_row_id``."""
    day = int(today.astype(np.int64))
    year = int(today.astype("datetime64[Y]").astype(np.int64)) + 1970
    history = History([], [], [])
    for past in (2, 1, 0):
        for email_type, origin, days_before, priority in (
            ("birthday", people.birth_day, 14, 10),
            ("effective_date", people.effective_day, 30, 20),
        ):
            event_day = _anniversary(origin, year - past)
            send_day = event_day - days_before
            chosen = chance(rng, len(event_day), 0.3) & (event_day > origin) & (send_day < day)
            mail = _Mail(people.contact_id[chosen], event_day[chosen], send_day[chosen], email_type, priority)
            _add_mail(rng, history, mail, first_row_id, day)
    aep_day = int(np.datetime64(f"{year - 1}-09-15").astype(np.int64))
    chosen = chance(rng, len(people.contact_id), 0.2)
    september = np.full(int(chosen.sum()), aep_day)
    _add_mail(rng, history, _Mail(people.contact_id[chosen], september, september, "aep", 30), first_row_id, day)
    for instance_id, email_type, days_ago, priority in _CAMPAIGN_MAIL:
        chosen = chance(rng, len(people.contact_id), 0.02)
        event_day = np.full(int(chosen.sum()), day - days_ago)
        contact_id = people.contact_id[chosen]
        _add_mail(
            rng, history, _Mail(contact_id, event_day, event_day, email_type, priority, instance_id), first_row_id, day
        )
    _add_stale_plan(rng, history, people, first_row_id, day)
    return history


def _add_mail(rng: Generator, history: History, mail: _Mail, first_row_id: int, day: int) -> None:
    """Add sent rows, and for the recent ones what the contacts did; every fiftieth has had a follow-up."""
    count = len(mail.contact_id)
    age_days = day - mail.send_day
    past = rng.choice(len(SENDER_STATUSES), size=count, p=_STATUS_SHARES)
    underway = rng.integers(0, len(UNDERWAY_STATUSES), count)
    status = [
        UNDERWAY_STATUSES[now] if age <= _UNDERWAY_DAYS else SENDER_STATUSES[then]
        for age, now, then in zip(age_days.tolist(), underway.tolist(), past.tolist(), strict=True)
    ]
    sent_at = _moments(rng, mail.send_day)
    first = first_row_id + len(history.schedules)
    template = f"{mail.email_type}_template"
    history.schedules.extend(
        (
            first + n,
            contact,
            mail.email_type,
            mail.instance_id,
            None,
            event,
            send,
            state,
            None,
            mail.priority,
            template,
            moment,
        )
        for n, (contact, event, send, state, moment) in enumerate(
            zip(mail.contact_id.tolist(), dates(mail.event_day), dates(mail.send_day), status, sent_at, strict=True)
        )
    )
    recent = age_days <= _RECENT_DAYS
    _add_behaviour(rng, history, mail, recent)
    followed = np.flatnonzero(chance(rng, count, 0.02) & (age_days > _FOLLOWED_AFTER_DAYS))
    follow_send = mail.send_day[followed] + 2
    start = first_row_id + len(history.schedules)
    history.schedules.extend(
        (start + n, contact, "followup_1_cold", mail.instance_id, first + row, event, send, "delivered", None, mail.priority,
         "followup_1_cold_template", f"{send} 08:31:00")
        for n, (row, contact, event, send) in enumerate(
            zip(followed.tolist(), mail.contact_id[followed].tolist(), dates(mail.event_day[followed]),
            dates(follow_send), strict=True)
        )
    )  # fmt: skip


def _add_behaviour(rng: Generator, history: History, mail: _Mail, recent: Bool) -> None:
    """Some recipients of recent mail click, some answer; a few of the answers cannot be read."""
    clicked = np.flatnonzero(recent & chance(rng, len(recent), 0.15))
    moments = _moments(rng, mail.send_day[clicked] + rng.integers(0, 3, len(clicked)))
    for contact, moment in zip(mail.contact_id[clicked].tolist(), moments, strict=True):
        history.clicks.append((contact, f"t{contact}", moment, "https://example.com/quote"))
    answered = np.flatnonzero(recent & chance(rng, len(recent), 0.08))
    moments = _moments(rng, mail.send_day[answered] + rng.integers(0, 3, len(answered)))
    kinds = rng.integers(0, len(_ANSWERS) + 1, len(answered)).tolist()
    for contact, moment, kind in zip(mail.contact_id[answered].tolist(), moments, kinds, strict=True):
        if kind == len(_ANSWERS):
            history.answers.append((contact, "page_viewed", None, moment))
        else:
            history.answers.append((contact, "eligibility_answered", _ANSWERS[kind], moment))


def _add_stale_plan(rng: Generator, history: History, people: People, first_row_id: int, day: int) -> None:
    """Add what an interrupted scheduler leaves: owned rows to move, to delete, to call missed, and to keep as history."""
    count = len(people.contact_id)
    chosen = np.flatnonzero(chance(rng, count, 0.02))
    event_day = day + rng.integers(30, 300, len(chosen))  # beyond every event that was mailed already: no row twice
    send_day = day + rng.integers(-20, 200, len(chosen))
    skipped = chance(rng, len(chosen), 0.3)
    start = first_row_id + len(history.schedules)
    history.schedules.extend(
        (start + n, contact, "birthday", None, None, event, send, "skipped" if skip else "pre-scheduled",
         "exclusion_window:year_round" if skip else None, 10, "birthday_template", None)
        for n, (contact, event, send, skip) in enumerate(
            zip(people.contact_id[chosen].tolist(), dates(event_day), dates(send_day), skipped.tolist(), strict=True)
        )
    )  # fmt: skip


def _anniversary(origin: Int64, year: int) -> Int64:
    """Same month and day in a year; 29 February becomes 28 in other years (R30)."""
    month = origin.astype("datetime64[D]").astype("datetime64[M]")
    day_of_month = origin - month.astype("datetime64[D]").astype(np.int64)
    start = month.astype(np.int64) % 12 + (year - 1970) * 12
    month_length = _month_start(start + 1) - _month_start(start)
    anniversary: Int64 = _month_start(start) + np.minimum(day_of_month, month_length - 1)
    return anniversary


def _month_start(months: Int64) -> Int64:
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _moments(rng: Generator, days: Int64) -> list[str]:
    """Return a moment of the morning of each day."""
    minutes = rng.integers(0, 60, len(days)).tolist()
    return [f"{date} 08:{minute:02}:00" for date, minute in zip(dates(days), minutes, strict=True)]
