"""Which mail the sender may take: the one predicate behind a claim and behind the list of due mail.

A claim is granted for a row that is still ours, pre-scheduled and as the sender read it, of an org that is not on hold.
"""

from typing import Final

from events.payloads import ClaimRefusal

CLAIM: Final = "scheduled"
"""The status by which a sender claims a mail, and which the row has from then on."""
CLAIMABLE: Final = "pre-scheduled"
"""The status of a row that may be claimed."""


def refusal_of(status: str | None, scheduled_send_date: str, *, local_date: str, on_hold: bool) -> ClaimRefusal | None:
    """Return why a stored row may not be claimed, None where it may; dates are ``YYYY-MM-DD`` in the org's time zone.

    A row of the past was checked for its day, not for this one: the next run moves it or takes it back (R63, R92). A row
    of the future may be claimed, to be sent on its day; due on a day is what may be claimed and has that date.
    """
    if on_hold:
        return "on_hold"
    if status == "skipped":
        return "skipped"
    if status != CLAIMABLE:
        return "not_ours"
    return "date_past" if scheduled_send_date < local_date else None
