"""What mail reports mean for rows of the schedule: a pure fold over claims and facts, in their order (docs/data-events.md).

Rows are known by identity (R7), an id is a hint. A claim is granted or refused. A fact is recorded whatever became of the
row; it changes the status, forward only, and the moment of sending, and nothing else.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from core.planning.rules import EMAIL_TYPES, FOLLOWUP_PREFIX, OWNED_STATUSES
from core.runs.claims import CLAIM, refusal_of
from core.runs.item_order import Numbered, Origin
from core.runs.item_ports import MailInsert, MailKey, MailUpdate, StoredMail
from core.runs.mail_stages import stage_of
from events.mail_payloads import MailReport
from events.payloads import ClaimGranted, ClaimRefusal, ClaimRefused, EventClaims, RowIdentity

DEFAULT_PRIORITY: Final = 10
"""Of a mail without a row, whose type is not built in; the schema's default."""

_LEFT: Final = frozenset({"sent", "delivered"})
"""Facts that say that the mail went out: at sent_at, or when it was told."""
_STORED_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d)?")


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """What claims are judged by, beside the row."""

    on_hold: bool
    local_date: date
    """Today where the org is."""
    replan_all: bool
    """Campaigns or the configuration changed since the last plan."""
    is_changed: Callable[[MailKey], bool]
    """Whether what is known of the contact changed since the last plan, so that the row may fall."""
    may_be_written_to: Callable[[int], bool]
    forbidden: Collection[int]
    """The ids of rows that the rules forbid by what is known now."""


@dataclass(slots=True, eq=False)
class _Mail:
    """A row as it is by now; ``stored`` is None for one that was not there."""

    key: MailKey
    row_id: int | None
    status: str
    actual: str | None
    stored: StoredMail | None
    send_date: str = ""
    """Of one that was not there."""


def key_of(report: MailReport) -> MailKey:
    """Return the identity that a report names."""
    is_followup = report.email_type.startswith(FOLLOWUP_PREFIX)
    return MailKey(
        report.contact_id,
        report.email_type,
        report.campaign_instance_id or 0,
        report.event_date.isoformat(),
        report.parent_schedule_id if is_followup else None,
    )


class Mails:
    """The rows that some reports are about: what they were, what they are to be, and what claims are told."""

    def __init__(self, stored: Iterable[StoredMail], terms: ClaimTerms, to_local: Callable[[datetime], str]) -> None:
        self._terms, self._to_local = terms, to_local
        self._rows: dict[tuple[int | str, ...], list[_Mail]] = {}
        for row in stored:
            key = _stored_key(row)
            mail = _Mail(key, row.row_id, row.status, row.actual_send_datetime, row)
            self._rows.setdefault(_identity(key), []).append(mail)
        self._granted: dict[Origin, list[ClaimGranted]] = {}
        self._refused: dict[Origin, list[ClaimRefused]] = {}
        self.counts: dict[str, int] = {}

    def apply(self, one: Numbered) -> None:
        """Fold one report in."""
        if not isinstance(one.item, MailReport):
            return
        if one.item.status == CLAIM:
            self._claim(one, one.item)
        else:
            self._record(one.item, one.origin)

    def updates(self) -> list[MailUpdate]:
        """Return the rows that are not as they were."""
        return [
            MailUpdate(mail.stored.row_id, mail.status, mail.actual)
            for mail in self._all()
            if mail.stored is not None and self._is_changed(mail, mail.stored)
        ]

    def inserts(self) -> list[MailInsert]:
        """Return the mails that were reported and have no row."""
        return [
            MailInsert(
                mail.key.contact_id,
                mail.key.email_type,
                mail.key.instance_id or None,
                mail.key.parent_id,
                mail.key.event_date,
                mail.send_date,
                _priority(mail.key.email_type),
                mail.status,
                mail.actual,
            )
            for mail in self._all()
            if mail.stored is None
        ]

    def taken(self) -> list[StoredMail]:
        """Return the rows, as they were, that were ours and are ours no more."""
        return [
            mail.stored
            for mail in self._all()
            if mail.stored is not None and mail.stored.status in OWNED_STATUSES and mail.status not in OWNED_STATUSES
        ]

    def claims(self) -> tuple[EventClaims, ...]:
        """Return what the claims of each event are told."""
        origins = dict.fromkeys((*self._granted, *self._refused))
        return tuple(
            EventClaims(
                event=origin.ref,
                granted=tuple(self._granted.get(origin, ())),
                refused=tuple(self._refused.get(origin, ())),
            )
            for origin in origins
        )

    def _claim(self, one: Numbered, report: MailReport) -> None:
        mail = self._claimed(report)
        code = self._refusal(report, mail)
        if code is None and mail is not None and mail.row_id is not None:
            mail.status = CLAIM
            granted = ClaimGranted(index=one.index, id=mail.row_id, row=_told(report))
            self._granted.setdefault(one.origin, []).append(granted)
            self._count("claims_granted")
            return
        refused = ClaimRefused(
            index=one.index, id=None if mail is None else mail.row_id, row=_told(report), code=code or "no_such_row"
        )
        self._refused.setdefault(one.origin, []).append(refused)
        self._count("claims_refused")

    def _claimed(self, report: MailReport) -> _Mail | None:
        """Return the row that a claim is about: of several one that is not ours, which holds the identity, or the lowest id.

        Two rows of one mail come from a file that was made elsewhere; the next plan removes one of them (R91).
        """
        rows = self._rows.get(_identity(key_of(report)), [])
        return min(rows, key=lambda mail: (mail.status in OWNED_STATUSES, mail.row_id or 0), default=None)

    def _refusal(self, report: MailReport, mail: _Mail | None) -> ClaimRefusal | None:
        if mail is None or mail.stored is None:
            return "on_hold" if self._terms.on_hold else "no_such_row"
        row = mail.stored
        code = refusal_of(
            mail.status,
            row.scheduled_send_date,
            local_date=self._terms.local_date.isoformat(),
            on_hold=self._terms.on_hold,
        )
        if code is not None:
            return code
        if _says_otherwise(report, row):
            return "row_changed"
        if not self._terms.may_be_written_to(row.contact_id):
            return "contact_suppressed"
        is_stale = self._terms.replan_all or self._terms.is_changed(mail.key) or row.row_id in self._terms.forbidden
        return "replan_first" if is_stale else None

    def _record(self, report: MailReport, origin: Origin) -> None:
        rows = self._rows.setdefault(_identity(key_of(report)), [])
        moment = report.sent_at or (origin.moment if report.status in _LEFT else None)
        actual = None if moment is None else self._to_local(moment)
        if not rows:
            send_date = self._to_local(report.sent_at or origin.moment)[:10]
            rows.append(_Mail(key_of(report), None, report.status, actual, None, send_date))
            self._count("facts_recorded")
            self._count("facts_inserted")
            return
        mail = min(rows, key=lambda m: (m.row_id != report.id, m.status in OWNED_STATUSES, m.row_id or 0))
        before = (mail.status, mail.actual)
        if stage_of(report.status) > stage_of(mail.status):
            mail.status = report.status
        mail.actual = _earlier(mail.actual, actual)
        if mail.stored is None and report.sent_at is not None:
            mail.send_date = min(mail.send_date, self._to_local(report.sent_at)[:10])
        self._count("facts_stale" if before == (mail.status, mail.actual) else "facts_recorded")

    def _all(self) -> Iterable[_Mail]:
        return (mail for rows in self._rows.values() for mail in rows)

    @staticmethod
    def _is_changed(mail: _Mail, stored: StoredMail) -> bool:
        return (mail.status, mail.actual) != (stored.status, stored.actual_send_datetime)

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


def _identity(key: MailKey) -> tuple[int | str, ...]:
    """R7: a follow-up is its contact and parent; everything else is contact, type, instance and event."""
    if key.email_type.startswith(FOLLOWUP_PREFIX):
        return key.contact_id, key.parent_id or 0
    return key.contact_id, key.email_type, key.instance_id, key.event_date


def unforeseen(reports: Iterable[MailReport], stored: Iterable[StoredMail]) -> Callable[[MailKey], bool]:
    """Return whether a mail is of a contact of whom the reports tell that another mail was taken without a claim.

    No plan knew of that other mail, and one that does may take this one back (R33, R72).
    """
    locked = {_identity(_stored_key(row)) for row in stored if row.status not in OWNED_STATUSES}
    news: dict[int, set[tuple[int | str, ...]]] = {}
    for report in reports:
        identity = _identity(key_of(report))
        if report.status != CLAIM and identity not in locked:
            news.setdefault(report.contact_id, set()).add(identity)
    return lambda key: bool(news.get(key.contact_id, set()) - {_identity(key)})


def _stored_key(row: StoredMail) -> MailKey:
    return MailKey(row.contact_id, row.email_type, row.instance_id or 0, row.event_date, row.parent_id)


def _says_otherwise(report: MailReport, row: StoredMail) -> bool:
    """Whether the row is not what the sender read: only what a claim gives is compared."""
    read = (
        (report.email_type, row.email_type),
        (report.scheduled_send_date and report.scheduled_send_date.isoformat(), row.scheduled_send_date),
        (report.scheduled_send_time, row.scheduled_send_time),
        (report.email_template, row.email_template),
        (report.sms_template, row.sms_template),
    )
    return any(said is not None and said != stored for said, stored in read)


def _earlier(stored: str | None, told: str | None) -> str | None:
    """Return the earlier of two moments of sending: so the order of reports does not matter.

    What is stored and is no moment (R82) gives way; what is one, and not the later, keeps its own spelling.
    """
    if told is None:
        return stored
    found = None if stored is None else _STORED_MOMENT.match(stored.strip())
    if found is None:
        return told
    read = f"{found[1]} {found[2]}{found[3] or ':00'}"
    return stored if read <= told else told


def _priority(email_type: str) -> int:
    spec = EMAIL_TYPES.get(email_type)
    return DEFAULT_PRIORITY if spec is None else spec.priority


def _told(report: MailReport) -> RowIdentity:
    return RowIdentity(
        contact_id=report.contact_id,
        email_type=report.email_type,
        event_date=report.event_date.isoformat(),
        campaign_instance_id=report.campaign_instance_id,
        parent_schedule_id=report.parent_schedule_id,
    )


def keys_of(items: Sequence[Numbered]) -> tuple[list[MailKey], list[int]]:
    """Return the identities that reports name, each once, and the ids that they hint at."""
    reports = [one.item for one in items if isinstance(one.item, MailReport)]
    return list(dict.fromkeys(key_of(r) for r in reports)), sorted({r.id for r in reports if r.id is not None})
