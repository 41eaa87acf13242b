"""Anniversary candidates: birthday, effective_date and the built-in AEP mail (R25, R30-R36)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tests.reference.dates import anniversary, next_anniversary
from tests.reference.model import Contact, Item, Locked
from tests.reference.windows import excluded

if TYPE_CHECKING:
    from tests.reference.config import Config

HANDLED_DAYS = 180  # R33
PRIORITIES = {"birthday": 10, "effective_date": 20, "aep": 30, "post_window": 40}
ANNIVERSARY_TYPES = ("birthday", "effective_date", "aep")
UNDERWRITING_EXEMPT = ("aep", "campaign_aep")  # R34


@dataclass(frozen=True)
class Setting:
    """What the anniversary rules look at besides the contact. `aep_on` is R35's 'off when', negated."""

    config: Config
    today: date
    locked: Locked
    aep_on: bool


def barred_by_underwriting(contact: Contact, config: Config, email_type: str) -> bool:
    """R34."""
    if email_type in UNDERWRITING_EXEMPT:
        return False
    return contact.failed_underwriting and config.exclude_failed_underwriting_global


def handled(setting: Setting, contact: Contact, email_type: str, event: date) -> bool:
    """R33: a locked row of the type whose event lies less than 180 days from this one."""
    for row in setting.locked.of(contact):
        if row.email_type != email_type or row.event_date is None:
            continue
        if abs((row.event_date - event).days) < HANDLED_DAYS:
            return True
    return False


def aep_event(config: Config, today: date) -> date:
    """R35: the earliest AEP date whose grace has not run out. The year list is looked at later."""
    year = today.year - 2
    while True:
        event = date(year, config.aep_month, config.aep_day)
        if event + timedelta(days=config.late_grace_days) >= today:
            return event
        year += 1


def current_event(setting: Setting, contact: Contact, email_type: str) -> date | None:
    """The occurrence that is at stake now, eligible or not; None without a date to compute it from."""
    if email_type == "birthday":
        return None if contact.birth_date is None else next_anniversary(contact.birth_date, setting.today)
    if email_type == "effective_date":
        return None if contact.effective_date is None else next_anniversary(contact.effective_date, setting.today)
    return aep_event(setting.config, setting.today)


def previous_event(setting: Setting, contact: Contact, email_type: str) -> date | None:
    """The occurrence one year before the current one, from the original date (R30, R51 b)."""
    current = current_event(setting, contact, email_type)
    if current is None:
        return None
    if email_type == "birthday" and contact.birth_date is not None:
        return anniversary(contact.birth_date, current.year - 1)
    if email_type == "effective_date" and contact.effective_date is not None:
        return anniversary(contact.effective_date, current.year - 1)
    return date(current.year - 1, setting.config.aep_month, setting.config.aep_day)


def eligible(setting: Setting, contact: Contact, email_type: str, event: date) -> bool:
    """Is there such a mail for this occurrence (R25, R31, R32, R35)?"""
    config = setting.config
    if contact.state is None:  # R25
        return False
    if email_type == "birthday":
        return contact.birth_date is not None and event > contact.birth_date
    if email_type == "effective_date":
        if contact.effective_date is None or event < contact.effective_date:
            return False
        return 12 * (event.year - contact.effective_date.year) >= config.effective_date_first_email_months
    return setting.aep_on and (config.aep_years is None or event.year in config.aep_years)


def ideal_date(config: Config, email_type: str, event: date) -> date:
    """R31, R32, R35."""
    if email_type == "birthday":
        return event - timedelta(days=config.birthday_days_before)
    if email_type == "effective_date":
        return event - timedelta(days=config.effective_date_days_before)
    return event


def deadline_date(setting: Setting, email_type: str, event: date) -> date:
    """R31, R32: the day before the event; R35: the end of the grace."""
    if email_type == "aep":
        return event + timedelta(days=setting.config.late_grace_days)
    return max(setting.today, event - timedelta(days=1))


def beyond_lookahead(config: Config, today: date, day: date) -> bool:
    """R10, R36: later than planning looks."""
    return config.lookahead_days is not None and day > today + timedelta(days=config.lookahead_days)


def anniversary_item(setting: Setting, contact: Contact, email_type: str) -> Item | None:
    """The candidate of one type for one contact, skipped or not; None where no row is wanted."""
    config = setting.config
    event = current_event(setting, contact, email_type)
    if event is None or not eligible(setting, contact, email_type, event):
        return None
    if handled(setting, contact, email_type, event):
        return None
    ideal = ideal_date(config, email_type, event)
    if beyond_lookahead(config, setting.today, ideal):
        return None
    item = Item(
        contact=contact,
        email_type=email_type,
        event_date=event,
        ideal=ideal,
        deadline=deadline_date(setting, email_type, event),
        priority=PRIORITIES[email_type],
        target=ideal,
        email_template=f"{email_type}_template",
    )
    if barred_by_underwriting(contact, config, email_type):
        item.skip_reason = "failed_underwriting:global"
    else:
        item.skip_reason = excluded(contact, config, ideal)
        item.checked_on = ideal
    return item


def anniversary_items(setting: Setting, contact: Contact) -> list[Item]:
    """Step 1 of the pipeline for one schedulable contact."""
    items = [anniversary_item(setting, contact, email_type) for email_type in ANNIVERSARY_TYPES]
    return [item for item in items if item is not None]
