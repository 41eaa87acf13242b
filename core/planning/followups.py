"""Follow-ups (R80-R86): one mail per contact about the latest mail sent, worded by what the contact did since."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.planning.campaigns import CampaignBook
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, Bool, Int8, Int16, Int32, Int64, TextColumn
from core.planning.ordering import is_first, is_in
from core.planning.reasons import Reason
from core.planning.rules import CAMPAIGN, UNKNOWN_STATE
from core.planning.schedule import null_to_zero
from core.planning.schedule_rows import ScheduleRows
from core.planning.snapshot import AnswerChunk, ClickChunk
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

    contact: Int32
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

    clicked_contact: Int32
    clicked_moment: Int64
    answered_contact: Int32
    answered_moment: Int64
    answer_id: Int64
    has_conditions: Bool


def gather_behaviour(frame: Frame, clicks: Iterable[ClickChunk], answers: Iterable[AnswerChunk]) -> Behaviour:
    """Judge clicks and answers of known contacts; those whose time cannot be read are ignored (R82)."""
    no_contact, none = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    clicked: list[tuple[Int32, Int64]] = [(no_contact, none)]
    for chunk in clicks:
        contact, moment, known = _moments(frame, chunk.contact_id, chunk.clicked_at)
        clicked.append((contact[known], moment[known]))
    answered: list[tuple[Int32, Int64, Int64, Bool]] = [(no_contact, none, none, none.astype(np.bool_))]
    cache: dict[bytes, bool] = {}
    for answer in answers:
        contact, moment, known = _moments(frame, answer.contact_id, answer.created_at)
        conditions = _conditions(answer.metadata.take(known), cache)
        answered.append((contact[known], moment[known], answer.event_id[known], conditions))
    return Behaviour(
        *(np.concatenate(column) for column in zip(*clicked, strict=True)),
        *(np.concatenate(column) for column in zip(*answered, strict=True)),
    )


def _moments(frame: Frame, contact_id: Int64, time: TextColumn) -> tuple[Int32, Int64, Bool]:
    contact = frame.places.of(contact_id)
    day, second = parse_moments(time)
    return contact, day.astype(np.int64) * _DAY_SECONDS + second, (contact >= 0) & (day != NO_DAY)


def _conditions(metadata: TextColumn, cache: dict[bytes, bool]) -> Bool:
    """Judge answers, equal ones once; NULL says as little as nothing."""
    data, out = metadata.data.data, np.zeros(len(metadata), dtype=np.bool_)
    for row, (start, end) in enumerate(zip(metadata.start.tolist(), metadata.end.tolist(), strict=True)):
        text = bytes(data[start:end])
        if text not in cache:
            cache[text] = answered_yes(text.decode("utf-8", "replace"))
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
    contact: Int32
    type_code: Int8
    priority: Int64
    is_aep: Bool

    def take(self, rows: Int64) -> "_Parents":
        return _Parents(
            self.rows.take(rows), self.contact.take(rows), self.type_code.take(rows), self.priority.take(rows),
            self.is_aep.take(rows),
        )  # fmt: skip


def plan_followups(frame: Frame, book: CampaignBook, behaviour: Behaviour) -> Followups:
    """Plan one follow-up per contact with a sent mail in the lookback and no follow-up yet (R80-R86)."""
    parents = _one_per_contact(_parents(frame, book))
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
        kind=_kinds(contact, sent, behaviour),
        priority=parents.priority,
        reason=_reasons(frame, contact, target, parents.is_aep),
    )


def _parents(frame: Frame, book: CampaignBook) -> _Parents:
    """Return every mail that can be followed, of contacts in no order (R80, R81)."""
    kinds, rows, contact = frame.kinds, frame.recent.rows, frame.recent.contact
    known = (contact >= 0) & (rows.send_day >= frame.today - frame.config.followup_lookback_days)
    usable = known & kinds.parent.take(rows.kind) & (rows.event_day != NO_DAY) & (rows.send_day <= frame.today)
    found = usable.nonzero()[0] if frame.config.enable_followups else np.zeros(0, dtype=np.int64)
    writable = frame.contacts.schedulable.copy()
    writable[contact[known & kinds.followup.take(rows.kind)]] = False  # R81: any status
    found = found[writable.take(contact.take(found))]
    enabled = np.array(sorted(i for i, on in book.followup_settings.items() if on), dtype=np.int64)
    unwanted = (kinds.type_code.take(rows.kind.take(found)) == CAMPAIGN).nonzero()[0]
    unwanted = unwanted[~is_in(rows.instance_id.take(found.take(unwanted)), enabled)]
    found = np.delete(found, unwanted)
    kind = rows.kind.take(found)
    return _Parents(
        rows.take(found),
        contact.take(found),
        kinds.type_code.take(kind),
        kinds.priority.take(kind),
        kinds.aep.take(kind),
    )


def _one_per_contact(parents: _Parents) -> _Parents:
    """Keep the latest parent of each contact; ties by (priority, type code, instance id, event, row id) (R81)."""
    rows = parents.rows
    order = np.lexsort(
        (
            rows.row_id, rows.event_day, null_to_zero(rows.instance_id), parents.type_code, parents.priority,
            -rows.send_day, parents.contact,
        )
    )  # fmt: skip
    return parents.take(order[is_first(parents.contact.take(order))])


def _kinds(contact: Int32, sent: Int64, behaviour: Behaviour) -> Int8:
    """Return which follow-up each contact, ascending, gets by what happened at or after the parent's send moment (R82)."""
    kind = np.full(len(contact), _COLD, dtype=np.int8)
    rows, place = _since(contact, sent, behaviour.clicked_contact, behaviour.clicked_moment)
    kind[place] = _CLICKED
    rows, place = _since(contact, sent, behaviour.answered_contact, behaviour.answered_moment)
    # Ascending, so that the latest answer (by time, then id) is assigned last and stands.
    order = np.lexsort((behaviour.answer_id.take(rows), behaviour.answered_moment.take(rows)))
    yes = behaviour.has_conditions.take(rows.take(order))
    kind[place.take(order)] = np.where(yes, np.int8(_ANSWERED_YES), np.int8(_ANSWERED_NO))
    return kind


def _since(contact: Int32, sent: Int64, acting: Int32, moment: Int64) -> tuple[Int64, Int64]:
    """Return which acts of contacts happened since their parents were sent, and the places of those contacts."""
    if not len(contact) or not len(acting):
        none = np.zeros(0, dtype=np.int64)
        return none, none
    place = np.minimum(contact.searchsorted(acting), len(contact) - 1)
    rows = ((contact.take(place) == acting) & (moment >= sent.take(place))).nonzero()[0]
    return rows, place.take(rows)


def _reasons(frame: Frame, contact: Int32, target: Int32, is_aep: Bool) -> Int16:
    """R84, the first that applies; windows are respected whatever the parent's campaign says."""
    reason = frame.windows.check(contact, target)
    reason[frame.contacts.state.take(contact) == UNKNOWN_STATE] = Reason.STATE_UNKNOWN
    reason[frame.barred_globally(contact) & ~is_aep] = Reason.FAILED_UNDERWRITING__GLOBAL
    return reason
