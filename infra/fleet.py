"""How all orgs of the bucket are, in two listings: for metrics, whose number of series must not grow with the orgs."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from core.runs.ports import Bucket
from events.types import is_org_id
from infra.status_board import COMPLETED_KEY, OUTCOME_KEY, PREFIX

SILENT_HOURS_MAX: Final = 26
"""A daily run and two hours: longer, and somebody's mail of today was not planned."""

_DATABASES: Final = "org-data/"


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
    orgs = {org_id for org_id, _ in _listed(bucket, _DATABASES, ".db")}
    outcomes: dict[str, str] = {}
    completed: dict[str, datetime] = {}
    for org_id, metadata in _listed(bucket, PREFIX, ".json"):
        if org_id not in orgs:
            continue
        outcomes[org_id] = metadata.get(OUTCOME_KEY, "")
        moment = _moment(metadata.get(COMPLETED_KEY, ""))
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


def _listed(bucket: Bucket, prefix: str, suffix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for info in bucket.list(prefix):
        text = info.name.removeprefix(prefix).removesuffix(suffix)
        if info.name.endswith(suffix) and is_org_id(text):
            yield text, dict(info.metadata)


def _moment(text: str) -> datetime | None:
    """Read a moment with an offset; None for anything else, which another release may have written."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.utcoffset() is None else moment
