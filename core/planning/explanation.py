"""What is told of one contact: the shapes of an explanation. Ids, codes, dates and counts, and nothing personal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Outcome = Literal["to_be_sent", "skipped", "held", "no_row"]
"""``held``: planned, but a locked row has the identity (R91). ``no_row``: the plan has no row for it."""

RowChange = Literal["insert", "update", "unchanged", "held"]
"""What a run would do about a planned row."""

LeftoverChange = Literal["delete", "missed", "kept"]
"""What a run would do about a row of ours that is not planned any more (R92)."""


@dataclass(frozen=True, slots=True)
class MailRef:
    """Another mail that a finding speaks of."""

    email_type: str
    campaign_instance_id: int | None
    event_date: date | None
    send_date: date | None
    status: str
    """Of the stored row; of this plan ``pre-scheduled``, or ``skipped``: kept back on the send date."""
    row_id: int | None
    """Of ``email_schedules``; None: a mail of this plan."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a step of the planner found."""

    code: str
    """A key of ``explain_words.WORDS``; what keeps a mail back has the code of its skip reason, without the state."""
    rules: tuple[str, ...]
    text: str
    needs: str | None
    """What would have to change for the mail to go out; None: this keeps nothing back."""
    from_day: date | None = None
    """First day of a window, or the day that a mail leaves."""
    to_day: date | None = None
    """Last day of a window, or the day that a mail goes to."""
    counts: Mapping[str, int] = field(default_factory=dict)
    mails: tuple[MailRef, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One column of a stored row that a run would change."""

    column: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A planned row against the stored one."""

    change: RowChange
    row_id: int | None
    """None: there is none yet."""
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that the rules looked at for the contact, from the event to the row."""

    email_type: str
    """``followup`` where there is none."""
    campaign_instance_id: int | None
    parent_schedule_id: int | None
    event_date: date | None
    ideal_date: date | None
    """The date that the rules ask for; of a follow-up the undelayed one."""
    deadline: date | None
    send_date: date | None
    """scheduled_send_date of the planned row; None without one."""
    outcome: Outcome
    reason: str | None
    """The row's skip_reason, or the code of the finding for which there is no row. None: it is to be sent."""
    findings: tuple[Finding, ...]
    """In the order of the steps."""
    stored: Stored | None
    """None without a planned row."""


@dataclass(frozen=True, slots=True)
class Window:
    """Days on which no mail that respects windows goes to the contact."""

    reason: str
    from_day: date | None
    """None: on every day."""
    to_day: date | None


@dataclass(frozen=True, slots=True)
class Leftover:
    """A row of ours that the plan does not have."""

    row: MailRef
    skip_reason: str | None
    change: LeftoverChange


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one contact gets what it gets on a planning date, and why not the rest."""

    contact_id: int
    as_of: date
    state: str | None
    """None: unknown."""
    schedulable: bool
    issues: tuple[str, ...]
    verdict: str
    findings: tuple[Finding, ...]
    """About the contact as a whole."""
    windows: tuple[Window, ...]
    """Those that touch the year before or the two years after as_of."""
    mails: tuple[Mail, ...]
    """By send date, those without a row last."""
    locked: tuple[MailRef, ...]
    """Mail that the sender has in hand, or had."""
    leftovers: tuple[Leftover, ...]
    contacts: int
    """N: schedulable contacts of the org (R24)."""
    cap: int
    """Mails that a day should have (R64)."""
    threshold: int
    """From more than this on a day is cut to the cap (R64)."""
