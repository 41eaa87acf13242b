"""The pipeline of section 0, top to bottom."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.reference.balancing import Limits, apply_cap, catch_up, smooth
from tests.reference.behaviour import Behaviour
from tests.reference.campaigns import campaign_items
from tests.reference.candidates import Setting, anniversary_items
from tests.reference.config import Config, daily_cap, daily_threshold, profile_of, read_config
from tests.reference.contacts import read_contacts
from tests.reference.followups import followup_row
from tests.reference.instances import Campaigns, read_campaigns
from tests.reference.limits import limit_contact
from tests.reference.model import Contact, Item, Locked, PlannedRow, ReferencePlan
from tests.reference.post_window import post_window_items
from tests.reference.stored import locked_rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from datetime import date

__all__ = ["PlannedRow", "ReferencePlan", "reference_plan"]


def reference_plan(
    db: sqlite3.Connection, overrides: Mapping[str, object], today: date, zip_states: Mapping[str, str]
) -> ReferencePlan:
    """What RULES.md wants for this database, this configuration and this day.

    `overrides`: validated keys of R10, the rest are defaults. `zip_states`: five digits to state code (R23).
    Reads the input tables and email_schedules, writes nothing.
    """
    config = read_config(overrides)
    contacts, issues = read_contacts(db, config, today, zip_states)
    campaigns = read_campaigns(db)
    issues |= campaigns.issues
    aep_on = config.aep_enabled and not campaigns.aep_superseded
    setting = Setting(config, today, locked_rows(db), aep_on)
    schedulable = [contact for contact in contacts.values() if contact.schedulable]
    profile = profile_of(config, len(schedulable))
    cap = daily_cap(config, profile, len(schedulable))
    threshold = daily_threshold(config, cap)

    items = [item for contact in schedulable for item in anniversary_items(setting, contact)]  # step 1
    from_campaigns, enrolment_issues = all_campaign_items(db, setting, contacts, campaigns)  # step 2
    items += from_campaigns
    smooth(items, setting.locked, config, profile, cap)  # step 3
    catch_up(items, config, today)  # step 4
    items += all_post_window_items(setting, schedulable, items)  # step 5
    behaviour = Behaviour(db)
    followups = [
        row
        for contact in schedulable
        if (row := followup_row(setting, contact, campaigns.instances, behaviour)) is not None
    ]  # step 6
    fixed = fixed_load(setting.locked, followups)
    exceeded = apply_cap(items, fixed, config, today, Limits(cap, threshold))  # step 7
    by_contact = items_by_contact(items)
    for contact in schedulable:  # step 8
        limit_contact(by_contact.get(contact.id, []), setting.locked.of(contact), config)
    rows = [output_row(item, config) for item in items] + followups  # step 9
    return ReferencePlan(rows, issues | enrolment_issues, exceeded, cap, threshold)


def all_campaign_items(
    db: sqlite3.Connection, setting: Setting, contacts: dict[int, Contact], campaigns: Campaigns
) -> tuple[list[Item], set[tuple[int, str]]]:
    """Step 2: the candidates and enrolment issues of every instance that counts (R52)."""
    items: list[Item] = []
    issues: set[tuple[int, str]] = set()
    for instance in campaigns.instances.values():
        if instance.counts(setting.today):
            more_items, more_issues = campaign_items(db, setting, contacts, instance)
            items += more_items
            issues |= more_issues
    return items, issues


def all_post_window_items(setting: Setting, schedulable: list[Contact], items: list[Item]) -> list[Item]:
    """Step 5, from everything that steps 1, 2 and 4 suppressed."""
    by_contact = items_by_contact(items)
    return [
        owed for contact in schedulable for owed in post_window_items(setting, contact, by_contact.get(contact.id, []))
    ]


def items_by_contact(items: list[Item]) -> dict[int, list[Item]]:
    """The items of each contact that has any."""
    grouped: dict[int, list[Item]] = {}
    for item in items:
        grouped.setdefault(item.contact.id, []).append(item)
    return grouped


def fixed_load(locked: Locked, followups: list[PlannedRow]) -> Counter[date]:
    """R65: what goes out on each day whatever the cap says."""
    load: Counter[date] = Counter()
    for row in locked.rows:
        if row.counting and row.send_day is not None:
            load[row.send_day] += 1
    for followup in followups:
        if followup.status == "pre-scheduled":
            load[followup.scheduled_send_date] += 1
    return load


def output_row(item: Item, config: Config) -> PlannedRow:
    """R75."""
    return PlannedRow(
        contact_id=item.contact.id,
        email_type=item.email_type,
        campaign_instance_id=item.campaign_instance_id,
        parent_schedule_id=None,
        event_date=item.event_date,
        scheduled_send_date=item.target if item.alive else item.ideal,
        scheduled_send_time=config.send_time,
        status="pre-scheduled" if item.alive else "skipped",
        skip_reason=item.skip_reason,
        priority=item.priority,
        email_template=item.email_template,
        sms_template=item.sms_template,
    )
