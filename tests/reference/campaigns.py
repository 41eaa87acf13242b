"""Campaign candidates (R54-R57): who, when, and the skip checks in their order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tests.reference.candidates import Setting, barred_by_underwriting, beyond_lookahead
from tests.reference.dates import lower, read_date, stripped
from tests.reference.model import Contact, Item, query
from tests.reference.windows import excluded

if TYPE_CHECKING:
    import sqlite3

    from tests.reference.instances import Instance

ENROLMENT_STATUSES = ("pending", "scheduled")


@dataclass(frozen=True)
class Enrolment:
    """One usable row of contact_campaigns."""

    id: int
    contact: Contact
    trigger: date | None


@dataclass(frozen=True)
class When:
    """Event and ideal date of a campaign mail (R55)."""

    event: date
    ideal: date


def campaign_items(
    db: sqlite3.Connection, setting: Setting, contacts: dict[int, Contact], instance: Instance
) -> tuple[list[Item], set[tuple[int, str]]]:
    """Step 2 of the pipeline for one instance that counts: its candidates and its enrolment issues."""
    if instance.target_all:
        items = [_target_all_item(setting, contact, instance) for contact in contacts.values() if contact.schedulable]
        return [item for item in items if item is not None], set()
    enrolments, issues = read_enrolments(db, contacts, instance)
    enrolled: list[Item] = []
    seen: set[tuple[int, date]] = set()
    for enrolment in enrolments:  # by id, so that the lowest id of one (contact, event) wins
        if not enrolment.contact.schedulable:
            continue
        when = when_enrolled(instance, enrolment)
        if when is None or (enrolment.contact.id, when.event) in seen:
            continue
        seen.add((enrolment.contact.id, when.event))
        item = campaign_item(setting, enrolment.contact, instance, when)
        if item is not None:
            enrolled.append(item)
    return enrolled, issues


def read_enrolments(
    db: sqlite3.Connection, contacts: dict[int, Contact], instance: Instance
) -> tuple[list[Enrolment], set[tuple[int, str]]]:
    """R54: the pending and scheduled enrolments by id; unknown contacts and bad trigger dates are issues."""
    enrolments: list[Enrolment] = []
    issues: set[tuple[int, str]] = set()
    for row in query(db, "SELECT * FROM contact_campaigns ORDER BY id"):
        if row["campaign_instance_id"] != instance.id or row["status"] not in ENROLMENT_STATUSES:
            continue
        trigger, trigger_bad = read_date(row["trigger_date"])
        if trigger_bad or row["contact_id"] not in contacts:
            issues.add((0, f"bad_enrolment:{row['id']}"))
        else:
            enrolments.append(Enrolment(row["id"], contacts[row["contact_id"]], trigger))
    return enrolments, issues


def _target_all_item(setting: Setting, contact: Contact, instance: Instance) -> Item | None:
    """R54: no row at all for a contact that does not match the targets."""
    when = when_target_all(instance, contact)
    if when is None or not matches_targets(contact, instance):
        return None
    return campaign_item(setting, contact, instance, when)


def when_spread(instance: Instance, contact: Contact) -> When | None:
    """R55: every contact has its own day of the spread; None if the instance does not spread."""
    if instance.spread_days is None or instance.spread_start is None:
        return None
    return When(instance.spread_start, instance.spread_start + timedelta(days=contact.id % instance.spread_days))


def when_enrolled(instance: Instance, enrolment: Enrolment) -> When | None:
    """R55: spread, else the enrolment's trigger date, else active_start_date."""
    spread = when_spread(instance, enrolment.contact)
    if spread is not None:
        return spread
    return _when_triggered(instance, enrolment.trigger or instance.active_start)


def when_target_all(instance: Instance, contact: Contact) -> When | None:
    """R55: spread, else active_start_date, else the date of created_at."""
    spread = when_spread(instance, contact)
    if spread is not None:
        return spread
    return _when_triggered(instance, instance.active_start or instance.created)


def _when_triggered(instance: Instance, trigger: date | None) -> When | None:
    if trigger is None:
        return None
    return When(trigger, trigger - timedelta(days=instance.days_before_event))


def campaign_item(setting: Setting, contact: Contact, instance: Instance, when: When) -> Item | None:
    """The candidate of one contact, skipped or not; None where no row is wanted (R55, R57)."""
    config = setting.config
    if handled_campaign(setting, contact, instance, when.event):
        return None
    deadline = instance.active_end or when.ideal + timedelta(days=config.late_grace_days)
    if deadline < setting.today or beyond_lookahead(config, setting.today, when.ideal):
        return None
    item = Item(
        contact=contact,
        email_type=instance.email_type,
        event_date=when.event,
        ideal=when.ideal,
        deadline=deadline,
        priority=instance.priority,
        target=when.ideal,
        respects_windows=instance.respects_windows,
        campaign_instance_id=instance.id,
        email_template=instance.email_template,
        sms_template=instance.sms_template,
        checked_on=when.ideal,
    )
    item.skip_reason = skip_reason(setting, instance, item)
    return item


def skip_reason(setting: Setting, instance: Instance, item: Item) -> str | None:
    """R56, in its order."""
    contact, config = item.contact, setting.config
    if not matches_targets(contact, instance):
        return "target_mismatch"
    if barred_by_underwriting(contact, config, item.email_type):
        return "failed_underwriting:global"
    if contact.failed_underwriting and instance.skip_failed_underwriting:
        return "failed_underwriting:campaign"
    if item.ideal > item.deadline:
        return "after_campaign_end"
    return place_reason(setting, instance, item)


def place_reason(setting: Setting, instance: Instance, item: Item) -> str | None:
    """The last two checks of R56: where the contact lives and what that state forbids."""
    contact, config = item.contact, setting.config
    if contact.state is None and (instance.respects_windows or not config.send_without_zipcode_for_universal):
        return "state_unknown"
    return excluded(contact, config, item.ideal) if instance.respects_windows else None


def handled_campaign(setting: Setting, contact: Contact, instance: Instance, event: date) -> bool:
    """R57."""
    once = instance.target_all or instance.spread_days is not None
    for row in setting.locked.of(contact):
        same_instance = row.is_campaign and row.campaign_instance_id == instance.id
        if same_instance and (once or row.event_date == event):
            return True
    return False


def matches_targets(contact: Contact, instance: Instance) -> bool:
    """R54: both lists must match."""
    return _on_list(contact.state or "", instance.target_states) and _on_list(contact.carrier, instance.target_carriers)


def _on_list(value: str, target_list: str) -> bool:
    elements = [lower(stripped(element)) for element in target_list.split(",") if stripped(element)]
    if not elements or "all" in elements:
        return True
    return value != "" and lower(value) in elements
