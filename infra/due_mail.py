"""The mail of one day as the sender reads it; what of it may be claimed is `core.runs.claims`' to say."""

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Final, NamedTuple

from core.runs.claims import CLAIMABLE
from core.runs.recovery import suppressed_texts
from infra.org_handles import open_records
from infra.sqlite_errors import org_errors

_OF_DAY: Final = """
SELECT id, contact_id, CAST(email_type AS TEXT), campaign_instance_id, parent_schedule_id, CAST(event_date AS TEXT),
       CAST(scheduled_send_date AS TEXT), CAST(COALESCE(scheduled_send_time, '') AS TEXT), COALESCE(priority, 0),
       CAST(email_template AS TEXT), CAST(sms_template AS TEXT)
FROM email_schedules AS mail WHERE mail.status = ? AND scheduled_send_date = ? AND {to_be_written_to}
ORDER BY scheduled_send_time, priority, id LIMIT ?"""
_COUNTS: Final = """
SELECT CAST(email_type AS TEXT), count(*), count(*) FILTER (WHERE {to_be_written_to}) FROM email_schedules AS mail
WHERE mail.status = ? AND scheduled_send_date = ? GROUP BY 1 ORDER BY 1"""
_STATUSES: Final = "SELECT DISTINCT COALESCE(CAST(status AS TEXT), '') FROM contacts"
_TO_BE_WRITTEN_TO: Final = """EXISTS (SELECT 1 FROM contacts AS people WHERE people.id = mail.contact_id
  AND COALESCE(CAST(people.status AS TEXT), '') NOT IN (SELECT value FROM json_each(?)))
  AND NOT EXISTS (SELECT 1 FROM scheduler_tombstones AS stone WHERE stone.contact_id = mail.contact_id)"""
"""What a claim asks about the contact, too: somebody may have unsubscribed since the last run."""


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


class Due(NamedTuple):
    """The mail of a day that may be claimed."""

    mails: tuple[DayMail, ...]
    """In the order of sending, as many as were asked for."""
    by_type: dict[str, int]
    """All of it."""
    withheld: int
    """Unclaimed mail of the day to people who must not be written to any more."""


def mail_of_day(file: str, org_id: str | None, day: str, mails_max: int, suppressed: Sequence[str]) -> Due:
    """Return the unclaimed mail of a day (``YYYY-MM-DD``); ``suppressed`` are the org's suppressed contact statuses.

    The database is migrated, and nobody has it open; raises OrgError DATABASE_*.
    """
    with org_errors("due_mail", org_id), closing(open_records(file)) as db:
        statuses = [status for (status,) in db.execute(_STATUSES)]
        barred = json.dumps(sorted(suppressed_texts(statuses, suppressed)))
        counts = db.execute(_COUNTS.format(to_be_written_to=_TO_BE_WRITTEN_TO), [barred, CLAIMABLE, day]).fetchall()
        mails = db.execute(_OF_DAY.format(to_be_written_to=_TO_BE_WRITTEN_TO), [CLAIMABLE, day, barred, mails_max])
        return Due(
            tuple(DayMail(*row) for row in mails),
            {name: due for name, _, due in counts if due},
            sum(stored - due for _, stored, due in counts),
        )
