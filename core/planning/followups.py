"""Follow-ups (R80-R86): one mail per contact about the latest mail sent, worded by what the contact did since."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.campaigns import CampaignBook
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, Bool, Int8, Int16, Int32, Int64, TextColumn
from core.planning.reasons import Reason
from core.planning.rules import (
    AEP_CAMPAIGN_TYPE,
    CAMPAIGN,
    CAMPAIGN_PREFIX,
    EMAIL_TYPES,
    SENT_STATUSES,
    UNKNOWN_STATE,
)
from core.planning.schedule import Schedule, is_followup, null_to_zero
from core.planning.schedule_rows import ScheduleRows
from core.planning.snapshot import AnswerChunk, ClickChunk, RowKind
from core.planning.text_dates import parse_moments

FOLLOWUP_TYPES: Final = (
    "followup_1_cold",
    "followup_2_clicked_no_hq",
    "followup_3_hq_no_yes",
    "followup_4_hq_with_yes",
)
"""R82, by what the contact did: nothing, clicked, answered all no, answered with a yes."""

_COLD, _CLICKED, _ANSWERED_NO, _ANSWERED_YES = range(4)
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Followups:
    """Planned follow-ups as columns; ``reason`` 0 means that the mail stands."""

    contact: Int64
    """Row number in Contacts."""
    parent_row_id: Int64
    instance_id: Int64
    """Inherited from the parent; NULL_ID where NULL (R85)."""
    event: Int32
    """Inherited from the parent (R85)."""
    undelayed: Int32
    """send_day of the parent + followup_delay_days (R83)."""
    target: Int32
    kind: Int8
    """Position in FOLLOWUP_TYPES."""
    priority: Int64
    reason: Int16

    def __len__(self) -> int:
        return len(self.contact)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Clicks and answers of contacts that may get a follow-up; moments are seconds since 1970, naive local (R82)."""

    clicked_contact: Int64
    clicked_moment: Int64
    answered_contact: Int64
    answered_moment: Int64
    answer_id: Int64
    has_conditions: Bool


def gather_behaviour(frame: Frame, clicks: Iterable[ClickChunk], answers: Iterable[AnswerChunk]) -> Behaviour:
    """Judge clicks and answers of known contacts; those whose time cannot be read are ignored (R82)."""
    none = np.zeros(0, dtype=np.int64)
    clicked: list[tuple[Int64, Int64]] = [(none, none)]
    for chunk in clicks:
        contact, moment, known = _moments(frame, chunk.contact_id, chunk.clicked_at)
        clicked.append((contact[known], moment[known]))
    answered: list[tuple[Int64, Int64, Int64, Bool]] = [(none, none, none, none.astype(np.bool_))]
    cache: dict[str | None, bool] = {}
    for answer in answers:
        contact, moment, known = _moments(frame, answer.contact_id, answer.created_at)
        conditions = _conditions(answer.metadata.take(known), cache)
        answered.append((contact[known], moment[known], answer.event_id[known], conditions))
    return Behaviour(
        clicked_contact=np.concatenate([c for c, _ in clicked]),
        clicked_moment=np.concatenate([m for _, m in clicked]),
        answered_contact=np.concatenate([c for c, _, _, _ in answered]),
        answered_moment=np.concatenate([m for _, m, _, _ in answered]),
        answer_id=np.concatenate([i for _, _, i, _ in answered]),
        has_conditions=np.concatenate([yes for _, _, _, yes in answered]),
    )


def _moments(frame: Frame, contact_id: Int64, time: TextColumn) -> tuple[Int64, Int64, Bool]:
    contact = frame.contacts.index_of(contact_id)
    day, second = parse_moments(time)
    return contact, day.astype(np.int64) * _DAY_SECONDS + second, (contact >= 0) & (day != NO_DAY)


def _conditions(metadata: TextColumn, cache: dict[str | None, bool]) -> Bool:
    out = np.zeros(len(metadata), dtype=np.bool_)
    for row in range(len(metadata)):  # one answer per questionnaire; equal answers are read once
        text = metadata.value(row)
        if text not in cache:
            cache[text] = answered_yes(text)
        out[row] = cache[text]
    return out


def answered_yes(metadata: str | None) -> bool:
    """Whether an eligibility answer tells of medical conditions (R82); what cannot be read is no."""
    try:
        value = json.loads(metadata or "null")
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    if "has_medical_conditions" in value:
        conditions = value["has_medical_conditions"]
        if isinstance(conditions, str):
            return conditions.strip(" \t\n\v\f\r").lower() in {"true", "1", "yes"}
        return isinstance(conditions, bool | int | float) and conditions != 0
    count = value.get("main_questions_yes_count")
    return isinstance(count, int | float) and not isinstance(count, bool) and count > 0


@dataclass(frozen=True, slots=True)
class _Parents:
    rows: ScheduleRows
    contact: Int64
    type_code: Int8
    priority: Int64
    is_aep: Bool


def plan_followups(frame: Frame, schedule: Schedule, book: CampaignBook, behaviour: Behaviour) -> Followups:
    """Plan one follow-up per contact with a sent mail in the lookback and no follow-up yet (R80-R86)."""
    parents = _one_per_contact(_parents(frame, schedule, book))
    rows, contact = parents.rows, parents.contact
    undelayed = rows.send_day + np.int32(frame.config.followup_delay_days)
    target = np.maximum(np.int32(frame.today), undelayed)
    sent = rows.send_day.astype(np.int64) * _DAY_SECONDS + rows.send_second
    return Followups(
        contact=contact,
        parent_row_id=rows.row_id,
        instance_id=rows.instance_id,
        event=rows.event_day,
        undelayed=undelayed,
        target=target,
        kind=_kinds(len(frame.contacts), contact, sent, behaviour),
        priority=parents.priority,
        reason=_reasons(frame, contact, target, parents.is_aep),
    )


def _parents(frame: Frame, schedule: Schedule, book: CampaignBook) -> _Parents:
    locked, kinds = schedule.locked, schedule.kinds
    oldest = frame.today - frame.config.followup_lookback_days
    contact = frame.contacts.index_of(locked.contact_id)
    usable = schedule.kinds_where(can_be_parent)[locked.kind] & (contact >= 0) & (locked.event_day != NO_DAY)
    usable &= (locked.send_day >= oldest) & (locked.send_day <= frame.today)
    if not frame.config.enable_followups:
        usable &= False
    rows = np.flatnonzero(usable)
    rows = rows[frame.contacts.schedulable[contact[rows]]]
    is_campaign = schedule.kinds_where(lambda k: k.email_type.startswith(CAMPAIGN_PREFIX))
    enabled = np.array([i for i, on in book.followup_settings.items() if on], dtype=np.int64)
    rows = rows[~is_campaign[locked.kind[rows]] | np.isin(locked.instance_id[rows], enabled)]
    followed = contact[
        schedule.kinds_where(is_followup)[locked.kind] & (contact >= 0) & (locked.send_day >= oldest)
    ]  # R81: any status
    rows = rows[~np.isin(contact[rows], followed)]
    kind = locked.kind[rows]
    codes = np.array([_type_code(k.email_type) for k in kinds] or [0], dtype=np.int8)
    priorities = np.array([k.priority for k in kinds] or [0], dtype=np.int64)
    aep = schedule.kinds_where(lambda k: k.email_type in {"aep", CAMPAIGN_PREFIX + AEP_CAMPAIGN_TYPE})
    return _Parents(locked.take(rows), contact[rows], codes[kind], priorities[kind], aep[kind])


def can_be_parent(kind: RowKind) -> bool:
    """Whether a follow-up can follow rows of a kind (R80)."""
    known = kind.email_type in EMAIL_TYPES or kind.email_type.startswith(CAMPAIGN_PREFIX)
    return known and kind.status in SENT_STATUSES


def _type_code(email_type: str) -> int:
    return EMAIL_TYPES[email_type].code if email_type in EMAIL_TYPES else CAMPAIGN


def _one_per_contact(parents: _Parents) -> _Parents:
    """Keep the latest parent of each contact; ties by (priority, type code, instance id, event, row id) (R81)."""
    rows = parents.rows
    order = np.lexsort(
        (
            rows.row_id, rows.event_day, null_to_zero(rows.instance_id), parents.type_code, parents.priority,
            -rows.send_day, parents.contact,
        )
    )  # fmt: skip
    contact = parents.contact[order]
    order = order[np.concatenate(([True], contact[1:] != contact[:-1]))] if len(order) else order
    return _Parents(
        rows.take(order), parents.contact[order], parents.type_code[order], parents.priority[order],
        parents.is_aep[order],
    )  # fmt: skip


def _kinds(contact_count: int, contact: Int64, sent: Int64, behaviour: Behaviour) -> Int8:
    """Return which follow-up each contact gets, by what happened at or after the parent's send moment (R82)."""
    since = np.full(contact_count, np.iinfo(np.int64).max, dtype=np.int64)
    since[contact] = sent
    kind = np.full(contact_count, _COLD, dtype=np.int8)
    clicked = behaviour.clicked_moment >= since[behaviour.clicked_contact]
    kind[behaviour.clicked_contact[clicked]] = _CLICKED
    rows = np.flatnonzero(behaviour.answered_moment >= since[behaviour.answered_contact])
    # Ascending, so that the latest answer (by time, then id) is assigned last and stands.
    rows = rows[np.lexsort((behaviour.answer_id[rows], behaviour.answered_moment[rows]))]
    last = np.full(contact_count, -1, dtype=np.int64)
    np.maximum.at(last, behaviour.answered_contact[rows], np.arange(len(rows)))
    answered = np.flatnonzero(last >= 0)
    yes = behaviour.has_conditions[rows[last[answered]]]
    kind[answered] = np.where(yes, _ANSWERED_YES, _ANSWERED_NO)
    return kind[contact]


def _reasons(frame: Frame, contact: Int64, target: Int32, is_aep: Bool) -> Int16:
    """R84, the first that applies; windows are respected whatever the parent's campaign says."""
    reason = frame.windows.check(contact, target)
    reason[frame.contacts.state[contact] == UNKNOWN_STATE] = Reason.STATE_UNKNOWN
    reason[frame.barred_globally(contact) & ~is_aep] = Reason.FAILED_UNDERWRITING__GLOBAL
    return reason
