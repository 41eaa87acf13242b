"""The last look at a claim: whether the rules let its mail go out by what is known now.

A plan knows contacts and configuration as they were. Since then a file may have been uploaded, or a version of the
configuration have come into force, and no event told of it. So what a claim is about is judged again, by the independent
checker: a mail that it would not let into a plan is not granted either.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from core.planning.campaigns import judge_campaigns
from core.planning.checker import check_rows
from core.planning.columns import NO_DAY, NULL_ID, TextColumn
from core.planning.config import Config
from core.planning.contacts import Contacts, classify
from core.planning.rows import Links, PlannedRows
from core.planning.rules import AEP_CAMPAIGN_TYPE, CAMPAIGN_PREFIX, FOLLOWUP_PREFIX
from core.planning.snapshot import ContactChunk, RowKind
from core.planning.text_dates import parse_exact_dates
from core.runs.item_ports import Columns, StoredMail
from core.runs.ports import OrgDatabase

_NEVER_BARRED: Final = frozenset({"aep", CAMPAIGN_PREFIX + AEP_CAMPAIGN_TYPE})
"""R34; a follow-up is left out, because only its parent knows what it is about."""


def forbidden_mails(
    db: OrgDatabase, mails: Sequence[StoredMail], people: Mapping[int, Columns], config: Config, today: int
) -> frozenset[int]:
    """Return the row ids of those mails, pre-scheduled all, that must not go out; ``people``: the contacts by id.

    Raises what the database raises.
    """
    bypass: set[int] = set()
    if any(mail.email_type.startswith(CAMPAIGN_PREFIX) for mail in mails):
        book = judge_campaigns(db.campaign_types(), db.campaign_instances(), today)
        bypass = {c.instance_id for c in book.active if not c.settings.respect_exclusion_windows}
    contacts = _contacts(people, config, today)
    found = check_rows(_rows(mails, contacts), contacts, config, bypass)
    wrong = {(v.contact_id, v.email_type, v.send_date) for v in found}
    barred = _barred(contacts, config)
    return frozenset(
        mail.row_id
        for mail in mails
        if (mail.contact_id, mail.email_type, mail.scheduled_send_date) in wrong
        or (mail.contact_id in barred and not _is_exempt(mail.email_type))
    )


def _contacts(people: Mapping[int, Columns], config: Config, today: int) -> Contacts:
    ids = sorted(people)

    def texts(name: str) -> TextColumn:
        return TextColumn.of([None if (value := people[i][name]) is None else str(value) for i in ids])

    chunk = ContactChunk(
        contact_id=np.array(ids, dtype=np.int64),
        email=texts("email"),
        status=texts("status"),
        zip_code=texts("zip_code"),
        state=texts("state"),
        birth_date=texts("birth_date"),
        effective_date=texts("effective_date"),
        carrier=texts("carrier"),
        failed_underwriting=np.array([bool(people[i]["failed_underwriting"]) for i in ids], dtype=np.bool_),
    )
    return classify(chunk, config, today, ())


def _rows(mails: Sequence[StoredMail], contacts: Contacts) -> PlannedRows:
    """Return the mails of known contacts on real dates as rows of a plan."""
    contact = contacts.index_of(np.array([mail.contact_id for mail in mails], dtype=np.int64))
    day = parse_exact_dates(TextColumn.of([mail.scheduled_send_date for mail in mails]))
    rows = np.flatnonzero((contact >= 0) & (day != NO_DAY))
    chosen = [mails[row] for row in rows.tolist()]
    names = {name: number for number, name in enumerate(dict.fromkeys(mail.email_type for mail in chosen))}
    instances = [NULL_ID if mail.instance_id is None else mail.instance_id for mail in chosen]
    return PlannedRows(
        contact_ids=contacts.contact_id,
        contact=contact[rows].astype(np.int32),
        links=Links(np.array(instances, dtype=np.int64), np.full(len(chosen), NULL_ID, dtype=np.int64)),
        link=np.arange(len(chosen), dtype=np.int32),
        event_day=day[rows],
        send_day=day[rows],
        kind=np.array([names[mail.email_type] for mail in chosen], dtype=np.int32),
        kinds=tuple(RowKind(name, "pre-scheduled", None, None, 0, None, None) for name in names),
    )


def _barred(contacts: Contacts, config: Config) -> frozenset[int]:
    if not config.exclude_failed_underwriting_global:
        return frozenset()
    return frozenset(contacts.contact_id[contacts.failed_underwriting].tolist())


def _is_exempt(email_type: str) -> bool:
    return email_type in _NEVER_BARRED or email_type.startswith(FOLLOWUP_PREFIX)
