"""Post-window catch-up (R51)."""

from __future__ import annotations

from datetime import date, timedelta

from tests.reference.candidates import (
    ANNIVERSARY_TYPES,
    PRIORITIES,
    Setting,
    barred_by_underwriting,
    beyond_lookahead,
    eligible,
    handled,
    ideal_date,
    previous_event,
)
from tests.reference.model import Contact, Item
from tests.reference.windows import excluded, first_free


def post_window_items(setting: Setting, contact: Contact, items: list[Item]) -> list[Item]:
    """Step 5 for one contact; `items` are its anniversary and campaign candidates after step 4."""
    if not setting.config.enable_post_window_emails or contact.state is None:  # R25
        return []
    if barred_by_underwriting(contact, setting.config, "post_window"):
        return []
    free_days = suppressed_now(setting, contact, items) | suppressed_last_time(setting, contact)
    owed = [post_window_item(setting, contact, day) for day in sorted(free_days)]
    return [item for item in owed if item is not None]


def suppressed_now(setting: Setting, contact: Contact, items: list[Item]) -> set[date]:
    """R51 (a): the first free days after the checks that excluded a candidate of this run."""
    days: set[date] = set()
    for item in items:
        if item.skip_reason is not None and item.skip_reason.startswith("exclusion:"):
            if item.checked_on is None:
                raise AssertionError("an exclusion without the day it was found on")
            free = first_free(contact, setting.config, item.checked_on)
            if free is not None:
                days.add(free)
    return days


def suppressed_last_time(setting: Setting, contact: Contact) -> set[date]:
    """R51 (b): the first free days of the previous occurrences that were excluded at their ideal dates."""
    days: set[date] = set()
    for email_type in ANNIVERSARY_TYPES:
        event = previous_event(setting, contact, email_type)
        if event is None or not eligible(setting, contact, email_type, event):
            continue
        if handled(setting, contact, email_type, event):
            continue
        if barred_by_underwriting(contact, setting.config, email_type):
            continue
        ideal = ideal_date(setting.config, email_type, event)
        if excluded(contact, setting.config, ideal) is None:
            continue
        free = first_free(contact, setting.config, ideal)
        if free is not None:
            days.add(free)
    return days


def post_window_item(setting: Setting, contact: Contact, free: date) -> Item | None:
    """The mail for one first free day; None where R51 drops it."""
    config = setting.config
    deadline = free + timedelta(days=config.late_grace_days)
    if deadline < setting.today or beyond_lookahead(config, setting.today, free):
        return None
    if handled(setting, contact, "post_window", free):
        return None
    item = Item(
        contact=contact,
        email_type="post_window",
        event_date=free,
        ideal=free,
        deadline=deadline,
        priority=PRIORITIES["post_window"],
        target=max(free, setting.today),
        email_template="post_window_template",
    )
    if free < setting.today:
        item.skip_reason = excluded(contact, config, setting.today)
        item.checked_on = setting.today
    return item
