"""Room 6: what the events of a run change in the working copy before it is planned.

Nobody sees the working copy before it is uploaded: an error discards all of it, so what is written here is written piece by
piece. Campaigns and configuration come first, then contacts, then mail reports.
"""

from collections.abc import Sequence

from core.runs.applied import Applied
from core.runs.campaign_changes import judge_campaigns_change
from core.runs.config_changes import judge_config_change
from core.runs.item_changes import ItemRun, ItemTerms
from core.runs.ports import Clock, OrgDatabase
from core.runs.reconcile import TIMESTAMP_FORMAT
from events.change_payloads import CampaignChanged, ConfigChanged
from events.payloads import ItemCounts
from events.types import Event, OrgId


def apply_events(db: OrgDatabase, events: Sequence[Event], clock: Clock, *, on_hold: bool) -> Applied:
    """Write what the events change, and say what was written and what they are told.

    ``on_hold``: the org is on hold. Data is recorded all the same, claims are refused.
    Without events only what is due by itself happens: parked items whose contact is there by now, imports past tombstones.
    Raises OrgError: CONFIG_INVALID, CONFIG_MISSING, and what the database raises; the working copy is worthless then.
    """
    now = clock.now_utc()
    at = now.strftime(TIMESTAMP_FORMAT)
    settings_changed = _change_settings(db, events, clock, at)
    org_id = events[0].org_id if events else None
    terms = ItemTerms(org_id=org_id, now=now, on_hold=on_hold, settings_changed=settings_changed)
    items = ItemRun(db, clock, terms)
    items.apply(events)
    has_data = settings_changed or items.wrote_data
    remembered = _remember(db, has_data=has_data, on_hold=on_hold, at=at)
    was_told = bool(items.claims or items.rejected)  # and must not be told otherwise when the event comes again
    return Applied(
        written=has_data or items.wrote_mails or remembered or was_told,
        counts=ItemCounts(**{name: count for name, count in items.counts.items() if count}),
        claims=items.claims,
        rejected=items.rejected,
        taken=items.taken,
        parked_before=items.parked_before,
        warnings=items.warnings,
    )


def _change_settings(db: OrgDatabase, events: Sequence[Event], clock: Clock, at: str) -> bool:
    """Change campaigns and configuration, in the order of arrival; says whether anything was written (R93)."""
    written = False
    for event in events:
        match event.data:
            case CampaignChanged() as change:
                written |= _change_campaigns(db, change, at)
            case ConfigChanged() as change:
                written |= _change_config(db, change, at, clock, event.org_id)
            case _:  # items are applied together; the others change nothing, they only ask for the run
                continue
    return written


def _remember(db: OrgDatabase, *, has_data: bool, on_hold: bool, at: str) -> bool:
    """Remember what no plan has looked at yet, until one does: claims wait for it. Says whether anything was written."""
    is_unplanned = db.is_unplanned()
    if on_hold and has_data and not is_unplanned:
        db.remember_unplanned(since=at)
        return True
    if is_unplanned and not on_hold:
        db.remember_unplanned(since=None)
        return True
    return False


def _change_campaigns(db: OrgDatabase, change: CampaignChanged, at: str) -> bool:
    names = {t.name for t in change.types} | {i.campaign_type for i in change.instances}
    writes = judge_campaigns_change(db.stored_campaigns(sorted(names)), change)
    if writes.is_empty:
        return False
    db.change_campaigns(writes, at=at, by=change.changed_by)
    return True


def _change_config(db: OrgDatabase, change: ConfigChanged, at: str, clock: Clock, org_id: OrgId) -> bool:
    opening = judge_config_change(db.config_rows(), change, at=at, is_timezone=clock.is_timezone, org_id=org_id)
    if opening is None:
        return False
    db.open_config(opening.config_data, closes=opening.closes, at=at, by=change.author, note=change.note)
    return True
