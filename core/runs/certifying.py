"""Holding what is stored to the law: every pre-scheduled mail of a database, judged by the independent checker.

What is looked at are the rows as they are, whoever wrote them, not a plan: a row that somebody has edited into a window
is found. The planner's own exclusion code has no part in it.
"""

from collections import Counter
from datetime import date
from typing import Final

import msgspec
import numpy as np

from core.planning import digest
from core.planning.calendar import day_number, to_date
from core.planning.campaigns import CampaignBook, judge_campaigns
from core.planning.checker import check_rows
from core.planning.columns import NO_DAY, NULL_ID, Bool, Int64
from core.planning.config import Config, row_in_force
from core.planning.contacts import Contacts
from core.planning.rows import Links, PlannedRows
from core.planning.rule_table import canonical, checker_table_digest, sha256, table_digest
from core.planning.rules import CAMPAIGN_PREFIX, STATE_CODES, UNKNOWN_STATE
from core.planning.schedule import Schedule, gather_schedule
from core.runs.certificate import (
    FORMAT,
    Bypass,
    Certificate,
    CertifiedDatabase,
    CertifiedRules,
    CertifiedRun,
    CertifiedViolation,
    StateLine,
)
from core.runs.ports import Clock, OrgDatabase
from core.runs.reading import read_contacts
from core.runs.reconcile import TIMESTAMP_FORMAT, Order, config_of, planning_date

VIOLATIONS_LISTED_MAX: Final = 1_000

_UNKNOWN: Final = "unknown"
_WHOM: Final = "R24"
"""Rules about whom mail goes to: campaigns that do not respect windows must respect these."""
_UNREADABLE: Final = "R75 the send date cannot be read"


def certify(db: OrgDatabase, order: Order, clock: Clock, database: CertifiedDatabase, *, program: str) -> Certificate:
    """Judge every pre-scheduled mail as of the order's date; raises OrgError CONFIG_INVALID, AS_OF_REFUSED, DATABASE_*."""
    now = clock.now_utc()
    config = config_of(db, order, clock, now)
    today, _ = planning_date(db, order, config, clock)
    book = judge_campaigns(db.campaign_types(), db.campaign_instances(), day_number(today))
    contacts = read_contacts(db, config, day_number(today))
    schedule = gather_schedule(db.schedule_chunks())
    stored = _Stored(schedule, contacts, book)
    violations = stored.violations(config)
    row = row_in_force(db.config_rows(), now.strftime(TIMESTAMP_FORMAT))
    return Certificate(
        format=FORMAT,
        org_id=order.org_id,
        as_of=today,
        verdict="violations" if violations else "compliant",
        database=database,
        rules=CertifiedRules(
            program=program,
            rule_table_sha256=table_digest(),
            checker_table_sha256=checker_table_digest(),
            config_sha256=config.digest(),
            config_id=None if row is None else row.config_id,
            buffer_days=config.pre_exclusion_buffer_days,
            missing_window_date_policy=config.missing_window_date_policy,
        ),
        last_run=_last_run(db, config, schedule),
        mails=len(stored.rows),
        mails_checked=int(np.count_nonzero(~stored.bypassing)),
        mails_bypassing=int(np.count_nonzero(stored.bypassing)),
        first_day=stored.day(first=True),
        last_day=stored.day(first=False),
        states=stored.states(config, violations),
        bypasses=stored.bypasses(),
        kept_back_by_reason=_kept_back(schedule),
        violations=tuple(violations[:VIOLATIONS_LISTED_MAX]),
        violations_left_out=len(violations[VIOLATIONS_LISTED_MAX:]),
    )


def canonical_json(certificate: Certificate) -> str:
    """Return what the digest is made of: sorted keys, no spaces, UTF-8 as it is."""
    return canonical(msgspec.to_builtins(certificate))


def certificate_digest(certificate: Certificate) -> str:
    """Return the SHA-256 of the canonical JSON, in hex."""
    return sha256(canonical_json(certificate))


class _Stored:
    """The pre-scheduled rows of a database, and who they are about."""

    def __init__(self, schedule: Schedule, contacts: Contacts, book: CampaignBook) -> None:
        owned = schedule.owned
        self.rows = owned.take(schedule.kinds_where(lambda k: k.status == "pre-scheduled")[owned.kind])
        self._kinds = schedule.kinds
        self._contacts = contacts
        self._open_ids = {c.instance_id for c in book.active}
        # Also of campaigns that are over: until the next run rows that they left stand as they were planned.
        self._bypass_ids = [c.instance_id for c in book.active if not c.settings.respect_exclusion_windows]
        self._bypass_ids += [c.instance_id for c in book.idle if not c.respects_windows]
        place = contacts.index_of(self.rows.contact_id)
        self._state = np.where(place >= 0, contacts.state[place] if len(contacts) else UNKNOWN_STATE, UNKNOWN_STATE)
        campaign = schedule.kinds_where(lambda k: k.email_type.startswith(CAMPAIGN_PREFIX))
        self.bypassing: Bool = np.asarray(
            campaign[self.rows.kind] & np.isin(self.rows.instance_id, self._bypass_ids or [NULL_ID]), dtype=np.bool_
        )

    def violations(self, config: Config) -> list[CertifiedViolation]:
        """Return what must not go out, by row id; a row may break more than one rule."""
        unreadable = self.rows.send_day == NO_DAY
        found = [self._violation(place, None, _UNREADABLE) for place in np.flatnonzero(unreadable).tolist()]
        broken = set(
            check_rows(self._as_planned(np.flatnonzero(~unreadable)), self._contacts, config, self._bypass_ids)
        )
        places = self._places({violation.contact_id for violation in broken})
        for violation in broken:
            key = (violation.contact_id, violation.email_type, violation.send_date)
            # Who, what and when are all that the checker judges by; windows are not asked about mail that bypasses them.
            found += [
                self._violation(place, violation.send_date, violation.rule)
                for place in places[key]
                if violation.rule.startswith(_WHOM) or not self.bypassing[place]
            ]
        return sorted(found, key=lambda one: (one.row_id, one.rule))

    def _places(self, contact_ids: set[int]) -> dict[tuple[int, str, str], list[int]]:
        """Return the rows of some contacts by contact, type and send date."""
        found: dict[tuple[int, str, str], list[int]] = {}
        for place in np.flatnonzero(np.isin(self.rows.contact_id, sorted(contact_ids))).tolist():
            day = int(self.rows.send_day[place])
            if day != NO_DAY:
                kind = self._kinds[self.rows.kind[place]]
                key = (int(self.rows.contact_id[place]), kind.email_type, to_date(day).isoformat())
                found.setdefault(key, []).append(place)
        return found

    def _as_planned(self, places: Int64) -> PlannedRows:
        """Return some rows in the form that the checker reads; all of them have a send date."""
        rows = self.rows.take(places)
        each = np.arange(len(rows), dtype=np.int32)
        links = Links(rows.instance_id, rows.parent_id)
        return PlannedRows(rows.contact_id, each, links, each, rows.event_day, rows.send_day, rows.kind, self._kinds)

    def _violation(self, place: int, send_date: str | None, rule: str) -> CertifiedViolation:
        instance = int(self.rows.instance_id[place])
        return CertifiedViolation(
            row_id=int(self.rows.row_id[place]),
            contact_id=int(self.rows.contact_id[place]),
            email_type=self._kinds[self.rows.kind[place]].email_type,
            campaign_instance_id=None if instance == NULL_ID else instance,
            send_date=send_date,
            rule=rule,
        )

    def day(self, *, first: bool) -> date | None:
        """Return the first or the last day on which mail is to go out."""
        days = self.rows.send_day[self.rows.send_day != NO_DAY]
        return to_date(int(days.min() if first else days.max())) if len(days) else None

    def states(self, config: Config, violations: list[CertifiedViolation]) -> tuple[StateLine, ...]:
        """Count the mail by state, next to the rule in force; states with neither mail nor rule are left out."""
        checked, bypassing = self._per_state(~self.bypassing), self._per_state(self.bypassing)
        state_of = dict(zip(self.rows.row_id.tolist(), self._state.tolist(), strict=True))
        broken = Counter(_name(state_of[row_id]) for row_id in {violation.row_id for violation in violations})
        lines = []
        for state in (*sorted(STATE_CODES), _UNKNOWN):
            rule = config.rule(state)
            windowed = rule.kind in {"birthday_window", "effective_date_window"}
            if rule.kind != "none" or checked[state] or bypassing[state]:
                lines.append(
                    StateLine(
                        state=state,
                        rule=rule.kind,
                        days_before=rule.days_before + config.buffer_days(state) if windowed else 0,
                        days_after=rule.days_after,
                        from_month_start=rule.use_month_start,
                        age_76_plus=rule.age_76_plus,
                        own_rule=state in (config.state_rules or {}) or state in (config.state_buffers or {}),
                        checked=checked[state],
                        bypassing=bypassing[state],
                        violations=broken[state],
                    )
                )
        return tuple(lines)

    def bypasses(self) -> tuple[Bypass, ...]:
        """Count the mail that does not respect windows, by campaign instance."""
        found = []
        for instance_id in np.unique(self.rows.instance_id[self.bypassing]).tolist():
            here = self.bypassing & (self.rows.instance_id == instance_id)
            days = self.rows.send_day[here & (self.rows.send_day != NO_DAY)]
            if not len(days):
                continue  # its mail cannot be dated: all of it is among the violations
            kind = self._kinds[self.rows.kind[int(np.flatnonzero(here)[0])]]
            found.append(
                Bypass(
                    campaign_instance_id=instance_id,
                    email_type=kind.email_type,
                    is_open=instance_id in self._open_ids,
                    mails=int(np.count_nonzero(here)),
                    mails_by_state=dict(sorted(self._per_state(here).items())),
                    first_day=to_date(int(days.min())),
                    last_day=to_date(int(days.max())),
                )
            )
        return tuple(found)

    def _per_state(self, wanted: Bool) -> Counter[str]:
        numbers, counts = np.unique(self._state[wanted], return_counts=True)
        return Counter({_name(state): count for state, count in zip(numbers.tolist(), counts.tolist(), strict=True)})


def _name(state: int) -> str:
    return _UNKNOWN if state == UNKNOWN_STATE else STATE_CODES[state]


def _kept_back(schedule: Schedule) -> dict[str, int]:
    """Count the stored skipped rows by reason."""
    per_kind = np.bincount(schedule.owned.kind, minlength=len(schedule.kinds)).tolist()
    counts: Counter[str] = Counter()
    for kind, count in zip(schedule.kinds, per_kind, strict=True):
        if kind.status == "skipped" and count:
            counts[kind.skip_reason or ""] += count
    return dict(sorted(counts.items()))


def _last_run(db: OrgDatabase, config: Config, schedule: Schedule) -> CertifiedRun | None:
    """Return the last run's own record, held against what is there now."""
    last = db.last_checkpoint()
    if last is None:
        return None
    owned = schedule.owned
    now = digest.schedule_rows(
        owned.contact_id, owned.instance_id, owned.parent_id, owned.event_day, owned.send_day, owned.kind, schedule.kinds
    )  # fmt: skip
    after = last.schedules_after_checksum
    return CertifiedRun(
        run_id=last.scheduler_run_id,
        as_of=last.as_of,
        run_timestamp=last.run_timestamp,
        config_sha256=last.config_hash,
        config_is_in_force=last.config_hash == config.digest(),
        schedule_is_as_left=None if after is None else after == digest.hex_digest(now),
    )
