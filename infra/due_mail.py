"""The mail of one day as the sender reads it; what of it may be claimed is `core.runs.claims`' to say."""

from contextlib import closing
from typing import Final, NamedTuple

from core.runs.claims import CLAIMABLE
from infra.org_handles import open_records
from infra.sqlite_errors import org_errors

_OF_DAY: Final = """
SELECT id, contact_id, CAST(email_type AS TEXT), campaign_instance_id, parent_schedule_id, CAST(event_date AS TEXT),
       CAST(scheduled_send_date AS TEXT), CAST(COALESCE(scheduled_send_time, '') AS TEXT), COALESCE(priority, 0),
       CAST(email_template AS TEXT), CAST(sms_template AS TEXT)
FROM email_schedules WHERE status = ? AND scheduled_send_date = ?
ORDER BY scheduled_send_time, priority, id LIMIT ?"""
_COUNTS: Final = """
SELECT CAST(email_type AS TEXT), count(*) FROM email_schedules
WHERE status = ? AND scheduled_send_date = ? GROUP BY 1 ORDER BY 1"""


class DayMail(NamedTuple):
    """One row, under the names of its columns."""

    id: int
    contact_id: int
    email_type: str
    campaign_instance_id: int | None
    parent_schedule_id: int | None
    event_date: str
    scheduled_send_date: str
    scheduled_send_time: str
    priority: int
    email_template: str | None
    sms_template: str | None


def mail_of_day(file: str, org_id: str | None, day: str, mails_max: int) -> tuple[tuple[DayMail, ...], dict[str, int]]:
    """Return the unclaimed mail of a day (``YYYY-MM-DD``) in the order of sending, and counts of all of it by type.

    The database is migrated, and nobody has it open; raises OrgError DATABASE_*.
    """
    with org_errors("due_mail", org_id), closing(open_records(file)) as db:
        counts = dict(db.execute(_COUNTS, [CLAIMABLE, day]))
        return tuple(DayMail(*row) for row in db.execute(_OF_DAY, [CLAIMABLE, day, mails_max])), counts
