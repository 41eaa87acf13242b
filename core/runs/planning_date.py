"""Which date a run plans for (R1), and which dates it refuses."""

from datetime import date, datetime, timedelta

from core.planning.config import Config
from core.runs.checkpoint import CheckpointMark
from core.runs.errors import ErrorCode, OrgError

_FIRST_YEAR, _LAST_YEAR = 1901, 2099
"""Dates of the rule book reach from 1900 to 2100 (R21); a plan needs a year on either side."""


def own_date(local_now: datetime, config: Config) -> date:
    """Return the first date on which mail can still go out: today until the send time has passed (R1)."""
    send_time = local_now.replace(hour=config.send_time_hour, minute=config.send_time_minute, second=0, microsecond=0)
    return local_now.date() if local_now <= send_time else local_now.date() + timedelta(days=1)


def require_plannable(as_of: date, org_id: str | None) -> date:
    """Return a date that the calendar of the rules covers; raises OrgError AS_OF_REFUSED."""
    if not _FIRST_YEAR <= as_of.year <= _LAST_YEAR:
        raise OrgError(ErrorCode.AS_OF_REFUSED, org_id, f"as_of must lie in {_FIRST_YEAR}..{_LAST_YEAR}")
    return as_of


def require_committable(as_of: date, own: date, last: CheckpointMark | None, org_id: str | None) -> None:
    """Refuse to commit a plan for a date in the past of the last run, or not about now; raises OrgError AS_OF_REFUSED."""
    if last is not None and as_of.isoformat() < last.as_of:
        raise OrgError(ErrorCode.AS_OF_REFUSED, org_id, f"as_of {as_of} lies before the last run's {last.as_of}")
    if abs((as_of - own).days) > 1:
        raise OrgError(ErrorCode.AS_OF_REFUSED, org_id, f"as_of {as_of} is more than a day away from {own}")
