"""Random history: locked rows, sent mail with behaviour, and owned rows of earlier runs (R3-R5, R33, R80-R92)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from tests.reference.random_source import CONTACT_IDS, Source

if TYPE_CHECKING:
    from tests.reference.model import ReferencePlan

LOCKED_STATUSES = (
    "scheduled", "processing", "accepted", "deferred", "sent", "sent", "sent", "delivered", "delivered",
    "failed", "bounced", "dropped", "cancelled", "mystery",
)  # fmt: skip
ANSWERS = (
    '{"has_medical_conditions": true}',
    '{"has_medical_conditions": false, "main_questions_yes_count": 3}',
    '{"has_medical_conditions": null, "main_questions_yes_count": 3}',
    '{"has_medical_conditions": " YES "}',
    '{"has_medical_conditions": "1"}',
    '{"has_medical_conditions": "True"}',
    '{"has_medical_conditions": "no"}',
    '{"has_medical_conditions": 2}',
    '{"has_medical_conditions": 0}',
    '{"has_medical_conditions": 0.5}',
    '{"has_medical_conditions": []}',
    '{"main_questions_yes_count": 1}',
    '{"main_questions_yes_count": 0}',
    '{"main_questions_yes_count": 0.5}',
    '{"main_questions_yes_count": "2"}',
    '{"main_questions_yes_count": true}',
    '{"main_questions_yes_count": null}',
    "{}",
    "[true]",
    "broken {",
    None,
)
FOLLOWUP_TYPES = (
    "followup_1_cold", "followup_2_clicked_no_hq", "followup_3_hq_no_yes", "followup_4_hq_with_yes",
)  # fmt: skip
ANNIVERSARIES = ("birthday", "effective_date", "aep", "post_window")


def add_history(source: Source) -> None:
    """Locked rows of all kinds, then what people did about the mail that went out."""
    for contact_id in CONTACT_IDS[: source.contacts]:
        if source.chance(0.35):
            _add_sent_mail(source, contact_id)
        for _ in range(source.pick([0, 0, 0, 1, 1, 2])):
            _add_locked(source, contact_id)
    for _ in range(source.rng.randint(0, source.contacts // 3)):  # a crowd already gone out (R61, R65)
        day = source.today + timedelta(days=source.rng.choice([0, 1, 2, 2, 2, 3]))
        event = day + timedelta(days=source.config.effective_date_days_before)
        _insert(source, source.contact_id(), "effective_date", event, day, status="scheduled")


def _insert(
    source: Source,
    contact_id: int,
    email_type: str,
    event: date | str,
    send: date | str,
    *,
    status: str,
    instance: int | None = None,
    parent: int | None = None,
    sent_at: str | None = None,
    skip_reason: str | None = None,
) -> int | None:
    return source.insert(
        "email_schedules",
        {
            "contact_id": contact_id,
            "email_type": email_type,
            "campaign_instance_id": instance,
            "parent_schedule_id": parent,
            "event_date": str(event),
            "scheduled_send_date": str(send),
            "scheduled_send_time": source.config.send_time,
            "status": status,
            "skip_reason": skip_reason,
            "priority": source.pick([10, 10, 20, 30, 40]),
            "email_template": f"{email_type}_template",
            "scheduler_run_id": "earlier",
            "actual_send_datetime": sent_at,
        },
    )


def _campaign(source: Source) -> tuple[str, int] | None:
    """An existing instance and the email type of its campaign."""
    rows = source.db.execute("SELECT campaign_type, id FROM campaign_instances ORDER BY id").fetchall()
    if not rows:
        return None
    name, instance_id = source.pick(rows)
    return f"campaign_{name}", instance_id


def _what(source: Source) -> tuple[str, int | None]:
    """An email type with its instance; now and then an instance that is gone."""
    campaign = _campaign(source)
    if campaign is None or source.chance(0.6):
        return source.pick(ANNIVERSARIES), None
    if source.chance(0.05):
        return "campaign_gone", 7_777
    return campaign


def _event(source: Source, contact_id: int, email_type: str, near: date) -> date:
    """An event date: that of the contact's own anniversary, give or take the 180 days of R33, or any near day."""
    column = {"birthday": "birth_date", "effective_date": "effective_date"}.get(email_type)
    if column is not None:
        sql = f"SELECT {column} FROM contacts WHERE id = ?"
        row = source.db.execute(sql, (contact_id,)).fetchone()
        own = _own_anniversary(source, None if row is None else row[0])
        if own is not None:
            return own + timedelta(days=source.pick([0, 0, 0, 5, -365, -366, 179, 180, 181, -179, -180, -181]))
    if email_type == "aep":
        own = date(source.today.year, source.config.aep_month, source.config.aep_day)
        return own + timedelta(days=source.pick([0, 0, 365, -365, 179, -180]))
    return near + timedelta(days=source.rng.randint(-5, 40))


def _own_anniversary(source: Source, text: str | None) -> date | None:
    try:
        original = date.fromisoformat((text or "").strip()[:10])
        return original.replace(year=source.today.year)
    except ValueError:
        return None


def _sent_text(source: Source, day: date) -> str | None:
    """The sender's stamp for that day, in the spellings of R82, or something that cannot be read."""
    moment = datetime.combine(day, time(source.rng.randint(0, 23), source.rng.randint(0, 59), 7))
    return source.pick(
        [
            moment.strftime("%Y-%m-%d %H:%M:%S"),
            moment.strftime("%Y-%m-%dT%H:%M:%S"),
            moment.strftime("%Y-%m-%d %H:%M"),
            moment.strftime("%Y-%m-%dT%H:%M:%S.250-06:00"),
            moment.strftime(" %Y-%m-%d %H:%M\t"),
            day.isoformat(),
            None,
            "",
            "yesterday",
        ]
    )


def _add_locked(source: Source, contact_id: int) -> None:
    """A row of the sender's, near or far, with or without a send stamp."""
    email_type, instance = _what(source)
    send = source.day(-45, 30) if source.chance(0.8) else source.day(-400, 300)
    event = _event(source, contact_id, email_type, send)
    sent_at = _sent_text(source, send + timedelta(days=source.pick([0, 0, 1, -1])))
    status = source.pick(LOCKED_STATUSES)
    locked_id = _insert(source, contact_id, email_type, event, send, status=status, instance=instance, sent_at=sent_at)
    if locked_id is not None and source.chance(0.15):
        followup_day = send + timedelta(days=source.rng.randint(-50, 20))
        _insert(
            source,
            contact_id,
            source.pick(FOLLOWUP_TYPES),
            event,
            followup_day,
            status=source.pick(LOCKED_STATUSES),
            instance=instance,
            parent=locked_id,
        )


def _add_sent_mail(source: Source, contact_id: int) -> None:
    """A possible parent around the lookback (R80), what the contact did since (R82), and owned follow-ups (R91)."""
    lookback = source.config.followup_lookback_days
    days_ago = source.pick([0, 1, 2, 3, 5, lookback - 1, lookback, lookback + 1, -1, source.rng.randint(0, lookback)])
    sent_day = source.today - timedelta(days=days_ago)
    email_type, instance = _what(source)
    event = sent_day + timedelta(days=source.pick([0, 14, 30, 200, 250]))
    sent_at = _sent_text(source, sent_day)
    status = source.pick(["sent", "delivered"])
    parent = _insert(source, contact_id, email_type, event, sent_day, status=status, instance=instance, sent_at=sent_at)
    if parent is None:
        return
    _add_behaviour(source, contact_id, sent_at, sent_day)
    if source.chance(0.25):
        for followup_type in source.rng.sample(FOLLOWUP_TYPES, source.rng.randint(1, 3)):
            send = source.day(-4, 6)
            _insert(
                source, contact_id, followup_type, event, send, status="pre-scheduled", instance=instance, parent=parent
            )
    if source.chance(0.1):  # a follow-up locked before its parent was sent holds the identity, but not the lookback
        long_ago = source.today - timedelta(days=lookback + 30)
        _insert(source, contact_id, "followup_1_cold", event, long_ago, status="cancelled", parent=parent)


def _add_behaviour(source: Source, contact_id: int, sent_at: str | None, sent_day: date) -> None:
    for _ in range(source.pick([0, 0, 1, 2, 3])):
        source.insert(
            "contact_events",
            {
                "contact_id": contact_id,
                "event_type": source.pick(["eligibility_answered", "eligibility_answered", "page_viewed"]),
                "metadata": source.pick(ANSWERS),
                "created_at": _behaviour_time(source, sent_at, sent_day),
            },
        )
    for _ in range(source.pick([0, 1, 1])):
        clicked_at = _behaviour_time(source, sent_at, sent_day)
        source.insert("tracking_clicks", {"contact_id": contact_id, "tracking_id": "t", "clicked_at": clicked_at})


def _behaviour_time(source: Source, sent_at: str | None, sent_day: date) -> str | None:
    """The very moment of the mail, just before it, later, or nothing that can be read."""
    later = sent_day + timedelta(days=source.rng.randint(-2, 5))
    before = datetime.combine(sent_day, time()) - timedelta(seconds=1)
    return source.pick([sent_at, sent_day.isoformat(), before.isoformat(), _sent_text(source, later)])


def add_owned(source: Source, plan: ReferencePlan) -> None:
    """Rows of earlier runs: some as the plan wants them, some stale, and some that nobody wants any more."""
    columns = ("email_type", "campaign_instance_id", "parent_schedule_id", "scheduled_send_time", "status",
               "skip_reason", "priority", "email_template", "sms_template")  # fmt: skip
    for planned in plan.rows:
        if source.chance(0.4):
            continue
        row = {"contact_id": planned.contact_id, "scheduler_run_id": "earlier"}
        row |= {column: getattr(planned, column) for column in columns}
        row["event_date"] = planned.event_date.isoformat()
        row["scheduled_send_date"] = planned.scheduled_send_date.isoformat()
        if source.chance(0.4):
            row |= _staleness(source)
        source.insert("email_schedules", row)
    for _ in range(source.contacts // 3):
        _add_unwanted(source)


def _staleness(source: Source) -> dict[str, object]:
    choices: list[dict[str, object]] = [
        {"scheduled_send_date": source.day(-20, 20).isoformat()},
        {"status": "skipped", "skip_reason": "frequency_limit"},
        {"status": "pre-scheduled", "skip_reason": None},
        {"priority": 99},
        {"email_template": "old_template"},
        {"sms_template": "old_sms"},
        {"scheduled_send_time": "07:00:00"},
        {"skip_reason": "left over"},
    ]
    return source.pick(choices)


def _add_unwanted(source: Source) -> None:
    """Missed, obsolete, history, of contacts that are gone, and rows with dates that are none."""
    email_type, instance = _what(source)
    send: date | str = source.day(-30, 30) if source.chance(0.8) else source.pick([source.today, source.day(-1, -1)])
    event: date | str = source.day(-500, 500)
    if source.chance(0.05):
        event = source.pick(["", "garbage", "2025-02-30"])
    if source.chance(0.05):
        send = source.pick(["", "garbage"])
    skipped = source.chance(0.4)
    _insert(
        source,
        source.contact_id(),
        email_type,
        event,
        send,
        status="skipped" if skipped else "pre-scheduled",
        instance=instance,
        skip_reason="frequency_limit" if skipped else None,
    )
