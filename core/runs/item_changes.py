"""Applying contact changes and mail reports to the working copy: read what they touch, judge it, write what differs.

Contacts come first, then what they did, then the reports, whatever order the events of a run came in: so a click does not
miss a contact that arrives beside it, and a claim is judged by what is known by now.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from core.planning import digest
from core.planning.calendar import day_number
from core.planning.columns import UInt64
from core.planning.config import Config
from core.planning.rules import FOLLOWUP_PREFIX
from core.runs.claim_check import forbidden_mails
from core.runs.claims import CLAIM, CLAIMABLE
from core.runs.deeds import DEED_ITEMS, PARKED_DAYS, PARKED_MAX, Deed, Enrol, deed_of, judge_deeds, unparked
from core.runs.item_order import Numbered, Refusals, numbered_items, utc_text, without_future
from core.runs.item_ports import MailKey, StoredMail
from core.runs.mail_reports import ClaimTerms, Mails, keys_of, unforeseen
from core.runs.people import PERSON_ITEMS, People, mend
from core.runs.ports import Clock, OrgDatabase
from core.runs.reconcile import TIMESTAMP_FORMAT, effective_config
from core.runs.suppression import Suppression
from core.runs.taken import digest_of_taken
from core.runs.warnings import UNSUBSCRIBES_NOT_SUPPRESSED
from events.contact_payloads import ContactAnswer, ContactClick
from events.mail_payloads import MailReport
from events.payloads import EventClaims, ItemsRejected
from events.types import Event, OrgId


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTerms:
    """What the items of a run are applied under."""

    org_id: OrgId | None
    """For errors."""
    now: datetime
    """Aware, UTC."""
    on_hold: bool
    settings_changed: bool
    """Campaigns or configuration changed in this run."""


class ItemRun:
    """The items of one run on their way into the working copy; ``apply`` is called once."""

    def __init__(self, db: OrgDatabase, clock: Clock, terms: ItemTerms) -> None:
        self._db, self._clock, self._terms = db, clock, terms
        self._refusals = Refusals()
        self._waiting_since = utc_text(terms.now - timedelta(days=PARKED_DAYS))
        self._at = terms.now.strftime(TIMESTAMP_FORMAT)
        self.counts: Counter[str] = Counter()
        self.wrote_data = False
        """Contacts changed, or what is known of them."""
        self.wrote_mails = False
        self.claims: tuple[EventClaims, ...] = ()
        self.taken: UInt64 = digest.zero()
        self.warnings: tuple[str, ...] = ()

    @property
    def rejected(self) -> tuple[ItemsRejected, ...]:
        """What was refused, by event."""
        return self._refusals.told()

    @property
    def parked_before(self) -> str | None:
        """Before which moment parked items have expired; None: none has."""
        return self._waiting_since if self.counts["parked_expired"] else None

    def apply(self, events: Iterable[Event]) -> None:
        """Apply the items of the events; raises OrgError CONFIG_INVALID, and what the database raises."""
        items = without_future(numbered_items(events, self._terms.now), self._refusals)
        people = self._change_people(items)
        self._mend()
        self._append_deeds(items, people)
        self._report_mails(items, people)
        self.counts["rejected"] += self._refusals.count

    @cached_property
    def _config(self) -> Config:
        return effective_config(self._db, self._clock, self._terms.org_id, self._terms.now)

    @cached_property
    def _suppression(self) -> Suppression:
        return Suppression(self._config.suppressed_contact_statuses)

    def _to_local(self, moment: datetime) -> str:
        return self._clock.local_time(moment, self._config.timezone).strftime(TIMESTAMP_FORMAT)

    def _change_people(self, items: Sequence[Numbered]) -> People | None:
        """Fold the changes of contacts in; None where no item is about a contact that has to be looked at."""
        if not items:
            return None
        ids = {one.item.contact_id for one in items if not isinstance(one.item, MailReport) or one.item.status == CLAIM}
        people = People(self._db.stored_people(sorted(ids)), self._suppression)
        for one in items:
            if isinstance(one.item, PERSON_ITEMS):
                people.apply(one)
        writes = people.writes()
        if not writes.is_empty:
            self._db.change_people(writes)
            self.wrote_data = True
        self.counts.update(people.counts)
        return people

    def _mend(self) -> None:
        """Hold tombstones against imports that did not come as events."""
        statuses = self._db.tombstoned_statuses()
        if not statuses:
            return
        if self._suppression.suppresses_nothing:
            self.warnings = (UNSUBSCRIBES_NOT_SUPPRESSED,)
        kept = [text for text in statuses if self._suppression.kept(text) == text]
        writes = mend(self._db.tombstone_breaches(kept), self._suppression)
        if not writes.is_empty:
            self._db.change_people(writes)
            self.wrote_data = True
            self.counts["tombstones_restored"] += len(writes.deletes) + len(writes.upserts)

    def _append_deeds(self, items: Sequence[Numbered], people: People | None) -> None:
        parked, expired = self._db.parked_counts(parked_from=self._waiting_since)
        self.counts["parked_expired"] += expired
        waited = [unparked(item) for item in self._db.ready_items(parked_from=self._waiting_since)] if parked else []
        deeds = [*waited, *self._new_deeds(items)]
        if not deeds:
            return
        there = {deed.contact_id for deed in waited}
        enrols = [deed.row for deed in deeds if isinstance(deed.row, Enrol)]
        judged = judge_deeds(
            deeds,
            is_there=lambda i: i in there or (people is not None and people.is_there(i)),
            is_deleted=lambda i: people is not None and people.is_deleted(i),
            instances=self._db.instance_ids(sorted({e.ref for e in enrols}, key=repr)) if enrols else {},
            enrolled=self._db.enrolled(sorted({e.contact_id for e in enrols})) if enrols else (),
            room=PARKED_MAX - (parked - expired),
            at=utc_text(self._terms.now),
        )
        for deed in judged.refused:
            self._refusals.add(deed.source, deed.event_id, deed.index, "no_room")
        if not judged.writes.is_empty:
            self._db.append_items(judged.writes, at=self._at)
            self.wrote_data = True
        self.counts.update(judged.counts)

    def _new_deeds(self, items: Sequence[Numbered]) -> list[Deed]:
        found = (deed_of(one, self._to_local) for one in items if isinstance(one.item, DEED_ITEMS))
        return [deed for deed in found if deed is not None]

    def _report_mails(self, items: Sequence[Numbered], people: People | None) -> None:
        keys, row_ids = keys_of(items)
        if not keys or people is None:
            return
        stored = self._db.stored_mails(keys, row_ids)
        mails = Mails(stored, self._claim_terms(items, people, stored), self._to_local)
        for one in items:
            mails.apply(one)
        updates, inserts = mails.updates(), mails.inserts()
        if updates or inserts:
            self._db.change_mails(updates, inserts, at=self._at)
            self.wrote_mails = True
        self.taken = digest_of_taken(mails.taken())
        self.claims = mails.claims()
        self.counts.update(mails.counts)

    def _claim_terms(self, items: Sequence[Numbered], people: People, stored: Sequence[StoredMail]) -> ClaimTerms:
        changed = people.changed()
        behaved = {one.item.contact_id for one in items if isinstance(one.item, ContactClick | ContactAnswer)}
        reports = [one.item for one in items if isinstance(one.item, MailReport)]
        claimed = {report.contact_id for report in reports if report.status == CLAIM}
        is_beside_news = unforeseen(reports, stored)
        local_date = self._clock.local_time(self._terms.now, self._config.timezone).date()
        claimable = [mail for mail in stored if mail.status == CLAIMABLE and mail.contact_id in claimed]

        def is_changed(key: MailKey) -> bool:
            is_followup = key.email_type.startswith(FOLLOWUP_PREFIX)
            return key.contact_id in changed or (is_followup and key.contact_id in behaved) or is_beside_news(key)

        return ClaimTerms(
            on_hold=self._terms.on_hold,
            local_date=local_date,
            replan_all=bool(claimable) and self._must_replan(),
            is_changed=is_changed,
            may_be_written_to=people.may_be_written_to,
            forbidden=forbidden_mails(self._db, claimable, people.there(), self._config, day_number(local_date)),
        )

    def _must_replan(self) -> bool:
        """Whether what all mail depends on changed since the last plan; an upload may have brought an open log (R58)."""
        return self._terms.settings_changed or self._db.is_unplanned() or bool(self._db.open_change_log_ids())
