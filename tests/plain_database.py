"""Reads an org database row by row with the standard library: the plain twin of the packed reader, for planner tests."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from random import Random

import numpy as np

from core.planning.columns import NULL_ID, SomeTexts, TextColumn
from core.planning.snapshot import (
    AnswerChunk,
    CampaignInstance,
    CampaignType,
    ClickChunk,
    ContactChunk,
    EnrolmentChunk,
    IssueChunk,
    RowKind,
    ScheduleChunk,
)
from core.planning.text_dates import DateColumn

Row = tuple[object, ...]


def _ids(values: Sequence[object]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([NULL_ID if v is None else int(str(v)) for v in values], dtype=np.int64)


def _text(values: Sequence[object]) -> TextColumn:
    return TextColumn.of([None if v is None else v if isinstance(v, bytes) else str(v) for v in values])


class PlainDatabase:
    """The reading half of the OrgDatabase port over an open connection; rows in shuffled order, chunks of any size."""

    def __init__(self, db: sqlite3.Connection, *, chunk_rows: int = 1000, shuffle_seed: int | None = None) -> None:
        self._db = db
        self._chunk_rows = chunk_rows
        self._random = None if shuffle_seed is None else Random(shuffle_seed)

    def _chunks(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[list[tuple[object, ...]]]:
        rows: list[Row] = self._db.execute(sql, parameters).fetchall()
        if self._random:
            self._random.shuffle(rows)
        for first in range(0, len(rows), self._chunk_rows):
            yield list(zip(*rows[first : first + self._chunk_rows], strict=True))

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def contact_chunks(self) -> Iterator[ContactChunk]:
        sql = (
            "SELECT id, email, status, zip_code, state, birth_date, effective_date, carrier, "
            "COALESCE(failed_underwriting, 0) <> 0 FROM contacts ORDER BY id"
        )
        for ids, *texts, failed in self._chunks(sql):
            email, status, zip_code, state, birth_date, effective_date, carrier = (_text(t) for t in texts)
            flags = np.array(failed, dtype=np.bool_)
            yield ContactChunk(_ids(ids), email, status, zip_code, state, birth_date, effective_date, carrier, flags)

    def schedule_chunks(self) -> Iterator[ScheduleChunk]:
        sql = (
            "SELECT id, contact_id, campaign_instance_id, parent_schedule_id, event_date, scheduled_send_date, "
            "actual_send_datetime, email_type, status, skip_reason, scheduled_send_time, priority, email_template, "
            "sms_template FROM email_schedules ORDER BY id"
        )
        for columns in self._chunks(sql):
            instances = _ids(columns[2]).tolist()
            kinds = [(RowKind(*k), i) for i, *k in zip(instances, *columns[7:], strict=True)]
            names = tuple(dict.fromkeys(kinds))
            row_id, contact_id, parent_id = (_ids(columns[c]) for c in (0, 1, 3))
            event_date, send_date = (DateColumn.of(_text(c)) for c in columns[4:6])
            sent_at = SomeTexts.of(_text(columns[6]))
            kind = np.array([names.index(k) for k in kinds], dtype=np.int32)
            yield ScheduleChunk(
                row_id, contact_id, parent_id, event_date, send_date, sent_at, kind, names
            )  # fmt: skip

    def issue_chunks(self) -> Iterator[IssueChunk]:
        for ids, issues in self._chunks("SELECT contact_id, issue FROM scheduler_issues"):
            names = tuple(dict.fromkeys(str(i) for i in issues))
            yield IssueChunk(_ids(ids), np.array([names.index(str(i)) for i in issues], dtype=np.int32), names)

    def campaign_types(self) -> list[CampaignType]:
        sql = (
            "SELECT name, respect_exclusion_windows, enable_followups, days_before_event, target_all_contacts, priority, "
            "active, spread_evenly, skip_failed_underwriting FROM campaign_types"
        )
        return [
            CampaignType(n, bool(r), bool(e), d, bool(t), p, bool(a), bool(s), bool(u))
            for n, r, e, d, t, p, a, s, u in self._db.execute(sql)
        ]

    def campaign_instances(self) -> list[CampaignInstance]:
        sql = (
            "SELECT id, campaign_type, email_template, sms_template, active_start_date, active_end_date, "
            "spread_start_date, spread_end_date, target_states, target_carriers, metadata, created_at "
            "FROM campaign_instances"
        )
        return [CampaignInstance(*row) for row in self._db.execute(sql)]

    def enrolment_chunks(self) -> Iterator[EnrolmentChunk]:
        sql = (
            "SELECT id, contact_id, campaign_instance_id, trigger_date FROM contact_campaigns "
            "WHERE status IN ('pending', 'scheduled')"
        )
        for ids, contacts, instances, triggers in self._chunks(sql):
            yield EnrolmentChunk(_ids(ids), _ids(contacts), _ids(instances), _text(triggers))

    def click_chunks(self, since: str) -> Iterator[ClickChunk]:
        sql = "SELECT contact_id, clicked_at FROM tracking_clicks WHERE ltrim(clicked_at, char(9,10,11,12,13,32)) >= ?"
        for contacts, moments in self._chunks(sql, (since,)):
            yield ClickChunk(_ids(contacts), _text(moments))

    def answer_chunks(self, since: str) -> Iterator[AnswerChunk]:
        sql = (
            "SELECT id, contact_id, created_at, metadata FROM contact_events "
            "WHERE event_type = 'eligibility_answered' AND ltrim(created_at, char(9,10,11,12,13,32)) >= ?"
        )
        for ids, contacts, moments, metadata in self._chunks(sql, (since,)):
            yield AnswerChunk(_ids(ids), _ids(contacts), _text(moments), _text(metadata))
