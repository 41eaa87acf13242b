"""Why does this person get what they get, and why not the rest? The plan of the whole org, told of one contact.

Cap and smoothing depend on everybody, so the org is planned as a run plans it, with a watcher that keeps the contact's
items after every step. What has no item is put to the planner's own functions once more, about this contact alone.
"""

from typing import Final

import numpy as np

from core.planning.calendar import to_date
from core.planning.columns import NO_DAY
from core.planning.config import Config
from core.planning.explain_absent import absent_drafts
from core.planning.explain_after_window import after_window_drafts
from core.planning.explain_contact import contact_findings, issues_of
from core.planning.explain_followups import followup_draft
from core.planning.explain_items import item_drafts
from core.planning.explain_stored import PlannedRow, leftovers_of, planned_rows_of
from core.planning.explain_subject import Draft, Subject, stored_mails, subject_of
from core.planning.explain_trace import Trace
from core.planning.explain_windows import windows_around
from core.planning.explain_words import find
from core.planning.explanation import Explanation, Mail
from core.planning.plan import Snapshot, plan
from core.planning.rules import STATE_CODES, UNKNOWN_STATE

_BARRING: Final = frozenset({"missing_email", "invalid_email", "suppressed_status"})
"""Issues with which nobody is written to (R24)."""


class UnknownContactError(LookupError):
    """The org has no contact of that id."""

    def __init__(self, contact_id: int) -> None:
        self.contact_id = contact_id
        super().__init__(f"no contact {contact_id}")


def explain(snapshot: Snapshot, config: Config, today: int, contact_id: int) -> Explanation:
    """Plan the org and explain one contact; raises UnknownContactError, and what ``plan`` raises."""
    row = int(snapshot.contacts.index_of(np.array([contact_id], dtype=np.int64))[0])
    if row < 0:
        raise UnknownContactError(contact_id)
    trace = Trace(np.array([row], dtype=np.int64))
    planned = plan(snapshot, config, today, trace)
    return explain_planned(subject_of(snapshot, config, today, row, planned, trace))


def explain_planned(subject: Subject) -> Explanation:
    """Explain one contact of an org that has been planned under a watch."""
    contacts, state = subject.frame.contacts, int(subject.frame.contacts.state[0])
    schedule = subject.snapshot.schedule
    schedulable = bool(contacts.schedulable[0])
    findings = contact_findings(subject)
    mails = _mails(subject) if schedulable else ()
    issues = issues_of(subject)
    barred = next((issue for issue in issues if issue in _BARRING), None)
    return Explanation(
        contact_id=subject.contact_id,
        as_of=to_date(subject.frame.today),
        state=None if state == UNKNOWN_STATE else STATE_CODES[state],
        schedulable=schedulable,
        issues=issues,
        verdict=_verdict(mails, barred),
        findings=findings,
        windows=windows_around(subject.frame),
        mails=mails,
        locked=stored_mails(schedule.locked, schedule),
        leftovers=leftovers_of(subject),
        contacts=subject.plan.contact_count,
        cap=subject.plan.limits.cap,
        threshold=subject.plan.limits.threshold,
    )


def _mails(subject: Subject) -> tuple[Mail, ...]:
    rows = planned_rows_of(subject)
    drafts = (
        *item_drafts(subject), *absent_drafts(subject), *after_window_drafts(subject), followup_draft(subject),
    )  # fmt: skip
    told = [_mail(draft, rows.pop(draft.key, None)) for draft in drafts]
    if rows:
        raise ValueError(f"{len(rows)} planned rows of the contact have no explanation")
    return tuple(sorted(told, key=lambda mail: (mail.send_date is None, mail.send_date or to_date(0), mail.email_type)))


def _mail(draft: Draft, row: PlannedRow | None) -> Mail:
    findings, last = draft.findings, draft.findings[-1]
    held = row is not None and row.stored.change == "held"
    if held:
        findings = (*findings, find("held_by_locked_row"))
    standing = row is not None and row.skip_reason is None
    return Mail(
        email_type=draft.key.email_type,
        campaign_instance_id=draft.key.instance_id or None,
        parent_schedule_id=draft.key.parent_id or None,
        event_date=None if draft.key.event == NO_DAY else to_date(draft.key.event),
        ideal_date=None if draft.ideal is None else to_date(draft.ideal),
        deadline=None if draft.deadline is None else to_date(draft.deadline),
        send_date=None if row is None else to_date(row.send_day),
        outcome="no_row" if row is None else "held" if held else "to_be_sent" if standing else "skipped",
        reason=last.code if row is None else row.skip_reason,
        findings=findings,
        stored=None if row is None else row.stored,
    )


def _verdict(mails: tuple[Mail, ...], barred: str | None) -> str:
    """Say in one sentence what the contact gets."""
    if barred is not None:
        return f"gets nothing at all: {barred}"
    dates = sorted(mail.send_date for mail in mails if mail.outcome == "to_be_sent" and mail.send_date is not None)
    skipped = sum(mail.outcome == "skipped" for mail in mails)
    if not dates:
        return f"gets nothing: {skipped} mails are skipped, the others are not due" if skipped else "gets nothing"
    more = "" if len(dates) == 1 else f" and {len(dates) - 1} more by {dates[-1]}"
    return f"gets a mail on {dates[0]}{more}"
