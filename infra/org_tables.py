"""How each big table is read: its packed form, and the chunk that the planner gets."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from core.planning.columns import NULL_ID
from core.planning.snapshot import (
    AnswerChunk,
    ClickChunk,
    ContactChunk,
    EnrolmentChunk,
    IssueChunk,
    RowKind,
    ScheduleChunk,
)
from infra.packed_read import KindText, PackedChunk, PackedTable


def contacts(carrier: str) -> PackedTable:
    """All rows of contacts; ``carrier`` is the column that holds the carrier (R9)."""
    return PackedTable(
        table="contacts",
        key="id",
        ints=("id",),
        flags=("failed_underwriting",),
        texts=("email", "status", "zip_code", "state", "birth_date", "effective_date", carrier),
    )


SCHEDULES: Final = PackedTable(
    table="email_schedules",
    key="id",
    ints=("id", "contact_id", "parent_schedule_id"),
    dates=("event_date", "scheduled_send_date"),
    rare_texts=("actual_send_datetime",),
    kinds=(
        "email_type",
        "status",
        "skip_reason",
        "scheduled_send_time",
        "priority",
        "email_template",
        "sms_template",
    ),
    int_kinds=("campaign_instance_id",),
)
"""All rows of email_schedules. There is no condition on the status: no index can look better than the rowid."""

ISSUES: Final = PackedTable(table="scheduler_issues", key="contact_id", ints=("contact_id",), kinds=("issue",))
"""All rows of scheduler_issues; a range of contacts is a range of the primary key."""

ENROLMENTS: Final = PackedTable(
    table="contact_campaigns",
    key="id",
    ints=("id", "contact_id", "campaign_instance_id"),
    texts=("trigger_date",),
    condition="+status IN ('pending', 'scheduled') AND +contact_id IS NOT NULL",
)
"""Rows of contact_campaigns that still ask for mail (R54)."""

_SINCE: Final = "(+{0} >= ?3 OR +{0} < '!')"
"""At or after a day, or behind white space: that sorts before all digits, and is stripped where moments are read (R20)."""

CLICKS: Final = PackedTable(
    table="tracking_clicks",
    key="rowid",
    ints=("contact_id",),
    texts=("clicked_at",),
    condition=f"{_SINCE.format('clicked_at')} AND +contact_id IS NOT NULL",
)
"""Clicks of somebody since a day (R82)."""

ANSWERS: Final = PackedTable(
    table="contact_events",
    key="id",
    ints=("id", "contact_id"),
    texts=("created_at", "metadata"),
    condition=f"+event_type = 'eligibility_answered' AND {_SINCE.format('created_at')} AND +contact_id IS NOT NULL",
)
"""Answers of somebody since a day (R82)."""


def contact_chunk(chunk: PackedChunk) -> ContactChunk:
    """Name the columns of ``contacts``."""
    email, status, zip_code, state, birth_date, effective_date, carrier = chunk.texts
    return ContactChunk(
        contact_id=chunk.ints[0],
        email=email,
        status=status,
        zip_code=zip_code,
        state=state,
        birth_date=birth_date,
        effective_date=effective_date,
        carrier=carrier,
        failed_underwriting=chunk.flags[0],
    )


def schedule_chunks(chunks: Iterable[PackedChunk]) -> Iterator[ScheduleChunk]:
    """Name the columns of ``SCHEDULES``."""
    decoded: tuple[KindText, ...] | None = None
    kinds: tuple[tuple[RowKind, int], ...] = ()
    for chunk in chunks:
        if chunk.kinds is not decoded:  # most chunks of a table have the same
            decoded, kinds = chunk.kinds, _row_kinds(chunk.kinds)
        row_id, contact_id, parent_schedule_id = chunk.ints
        event_date, scheduled_send_date = chunk.dates
        yield ScheduleChunk(
            row_id=row_id,
            contact_id=contact_id,
            parent_schedule_id=parent_schedule_id,
            event_date=event_date,
            scheduled_send_date=scheduled_send_date,
            actual_send_datetime=chunk.rare_texts[0],
            kind=chunk.kind,
            kinds=kinds,
        )


def issue_chunk(chunk: PackedChunk) -> IssueChunk:
    """Name the columns of ``ISSUES``."""
    return IssueChunk(chunk.ints[0], chunk.kind, tuple(_text(kind[0]) or "" for kind in chunk.kinds))


def enrolment_chunk(chunk: PackedChunk) -> EnrolmentChunk:
    """Name the columns of ``ENROLMENTS``."""
    enrolment_id, contact_id, campaign_instance_id = chunk.ints
    return EnrolmentChunk(enrolment_id, contact_id, campaign_instance_id, chunk.texts[0])


def click_chunk(chunk: PackedChunk) -> ClickChunk:
    """Name the columns of ``CLICKS``."""
    return ClickChunk(chunk.ints[0], chunk.texts[0])


def answer_chunk(chunk: PackedChunk) -> AnswerChunk:
    """Name the columns of ``ANSWERS``."""
    event_id, contact_id = chunk.ints
    created_at, metadata = chunk.texts
    return AnswerChunk(event_id, contact_id, created_at, metadata)


@lru_cache(maxsize=16)
def _row_kinds(kinds: tuple[KindText, ...]) -> tuple[tuple[RowKind, int], ...]:
    """Decode the combinations of a table: much the same ones in every run."""
    return tuple(_row_kind(kind) for kind in kinds)


@lru_cache(maxsize=4096)
def _row_kind(kind: KindText) -> tuple[RowKind, int]:
    """Decode a combination; NULLs that a planned row never has become '' and NULL_ID: such a row always differs."""
    email_type, status, skip_reason, send_time, priority, email_template, sms_template, instance_id = kind
    row_kind = RowKind(
        _text(email_type) or "",
        _text(status) or "",
        _text(skip_reason),
        _text(send_time),
        _whole_number(priority),
        _text(email_template),
        _text(sms_template),
    )
    return row_kind, NULL_ID if instance_id is None else int(instance_id)


def _whole_number(raw: bytes | None) -> int:
    """Read a priority; what is no whole number becomes NULL_ID, so that the row differs from every planned one."""
    try:
        number = NULL_ID if raw is None else int(raw)
    except ValueError:
        return NULL_ID
    return number if abs(number) < 2**63 else NULL_ID


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")
