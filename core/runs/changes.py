"""Room 6: what the events of a run change in the working copy before it is planned.

Nobody sees the working copy before it is uploaded: an error discards all of it, so events are applied one after the other.
"""

from collections.abc import Iterable

from core.runs.applied import Applied
from core.runs.campaign_changes import judge_campaigns_change
from core.runs.config_changes import judge_config_change
from core.runs.ports import Clock, OrgDatabase
from core.runs.reconcile import TIMESTAMP_FORMAT
from events.change_payloads import CampaignChanged, ConfigChanged
from events.types import Event, OrgId


def apply_events(db: OrgDatabase, events: Iterable[Event], clock: Clock, *, on_hold: bool) -> Applied:  # noqa: ARG001 - claims come with mail.reported
    """Write what the events change, in their order of arrival; says what was written and what they are told.

    ``on_hold``: the org is on hold. Data is recorded all the same, claims are refused.
    Raises OrgError: CONFIG_INVALID, CONFIG_MISSING, and what the database raises; the working copy is worthless then.
    """
    at = clock.now_utc().strftime(TIMESTAMP_FORMAT)
    written = False
    for event in events:
        match event.data:
            case CampaignChanged() as change:
                written |= _change_campaigns(db, change, at)
            case ConfigChanged() as change:
                written |= _change_config(db, change, at, clock, event.org_id)
            case _:  # the others change nothing: they only ask for the run
                continue
    return Applied(written=written)


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
