"""How all orgs of the bucket are, in two listings: for metrics, whose number of series must not grow with the orgs."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from core.runs.ports import Bucket
from infra.fence import orgs_with_database
from infra.status_board import COMPLETED_KEY, OUTCOME_KEY, listed_statuses

SILENT_HOURS_MAX: Final = 26
"""A daily run and two hours: longer, and somebody's mail of today was not planned."""


class Fleet(NamedTuple):
    """All orgs that have a database."""

    orgs: int
    failed: int
    """Whose last run failed or was refused."""
    silent: int
    """That have not completed a run for ``SILENT_HOURS_MAX``, or never."""
    oldest_age_seconds: float | None
    """Since the last completed run of the org that has been silent longest; None: none ever completed one."""


def look_at_fleet(bucket: Bucket, now: datetime) -> Fleet:
    """List databases and statuses: a request per thousand orgs each; raises OrgError BUCKET_*."""
    orgs = orgs_with_database(bucket)
    outcomes: dict[str, str] = {}
    completed: dict[str, datetime] = {}
    for org_id, info in listed_statuses(bucket):
        if org_id not in orgs:
            continue
        outcomes[org_id] = info.metadata.get(OUTCOME_KEY, "")
        moment = _moment(info.metadata.get(COMPLETED_KEY, ""))
        if moment is not None:
            completed[org_id] = moment
    ages = [now - moment for moment in completed.values()]
    recent = sum(age <= timedelta(hours=SILENT_HOURS_MAX) for age in ages)
    return Fleet(
        orgs=len(orgs),
        failed=sum(outcome in {"failed", "rejected"} for outcome in outcomes.values()),
        silent=len(orgs) - recent,
        oldest_age_seconds=max(age.total_seconds() for age in ages) if ages else None,
    )


def _moment(text: str) -> datetime | None:
    """Read a moment with an offset; None for anything else, which another release may have written."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.utcoffset() is None else moment
