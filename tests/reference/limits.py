"""Limits per contact on final dates: same-day campaigns and frequency (R70-R74)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.reference.config import Config
    from tests.reference.model import Item, StoredRow


def limit_contact(items: list[Item], locked: list[StoredRow], config: Config) -> None:
    """Step 8 for one contact: judge its surviving items one after the other, first come first served (R70)."""
    mail_days = [row.send_day for row in locked if row.counting and not row.is_followup and row.send_day is not None]
    campaign_days = {row.send_day for row in locked if row.counting and row.is_campaign}
    for item in sorted((item for item in items if item.alive), key=limit_order):
        is_campaign = item.campaign_instance_id is not None
        if is_campaign and item.target in campaign_days:
            item.skip_reason = "campaign_conflict"  # R71
        elif too_frequent(item.target, mail_days, config):
            item.skip_reason = "frequency_limit"  # R72
        else:
            mail_days.append(item.target)
            if is_campaign:
                campaign_days.add(item.target)


def limit_order(item: Item) -> tuple[int, date, int, int, date]:
    """R70."""
    return item.priority, item.target, item.code, item.instance_or_zero, item.event_date


def too_frequent(target: date, mail_days: list[date], config: Config) -> bool:
    """R72: would any period of P consecutive days around the target hold more than M mails, this one included?"""
    for days_back in range(config.frequency_period_days):
        first = target - timedelta(days=days_back)
        last = first + timedelta(days=config.frequency_period_days - 1)
        others = sum(1 for day in mail_days if first <= day <= last)
        if others + 1 > config.max_emails_per_period:
            return True
    return False
