"""Which other mails of a contact stood in the way of one: the evidence for conflict and frequency (R70-R72)."""

from collections.abc import Sequence

from core.planning.calendar import to_date
from core.planning.explain_subject import Subject, item_type, stored_mails
from core.planning.explain_trace import ItemKey, ItemState
from core.planning.explain_words import find, skip_code
from core.planning.explanation import Finding, MailRef
from core.planning.reasons import Reason, reason_text
from core.planning.rules import CAMPAIGN_PREFIX, FOLLOWUP_PREFIX

_Dated = tuple[int, MailRef]


def limit_finding(subject: Subject, key: ItemKey, state: ItemState) -> Finding:
    """Return why the last step kept an item back, with the mails that did."""
    others = [*_accepted_before(subject, key), *_sent(subject)]
    code = skip_code(reason_text(state.reason) or "")
    counts: dict[str, int] = {}
    if state.reason == Reason.CAMPAIGN_CONFLICT:
        rivals = [ref for day, ref in others if day == state.target and ref.email_type.startswith(CAMPAIGN_PREFIX)]
    else:
        config = subject.frame.config
        counts = {"most": config.max_emails_per_period, "period": config.frequency_period_days}
        rivals = _full_period(others, state.target, **counts)
    return find(code, from_day=state.deadline, to_day=state.target, counts=counts, mails=tuple(rivals))


def _accepted_before(subject: Subject, key: ItemKey) -> list[_Dated]:
    """Return the items that came before in the order of R70 and stayed."""
    balanced = subject.trace.after(subject.row, "balanced")
    limited = subject.trace.after(subject.row, "limited")
    mine = _order(key, balanced[key])
    return [
        (state.target, _planned(subject, other, state))
        for other, state in limited.items()
        if not state.reason and _order(other, balanced[other]) < mine
    ]


def _order(key: ItemKey, state: ItemState) -> tuple[int, int, int, int, int]:
    return state.priority, state.target, key.type_code, key.instance_id, key.event


def _planned(subject: Subject, key: ItemKey, state: ItemState) -> MailRef:
    name = item_type(subject, key)
    return MailRef(name, key.instance_id or None, to_date(key.event), to_date(state.target), "pre-scheduled", None)


def _sent(subject: Subject) -> list[_Dated]:
    """Return locked mails that count, follow-ups aside (R72, R73)."""
    schedule = subject.snapshot.schedule
    rows = schedule.counting()
    return [
        (day, ref)
        for day, ref in zip(rows.send_day.tolist(), stored_mails(rows, schedule), strict=True)
        if not ref.email_type.startswith(FOLLOWUP_PREFIX)
    ]


def _full_period(others: Sequence[_Dated], day: int, *, most: int, period: int) -> list[MailRef]:
    """Return the mails of the first period around a day that has as many as are allowed without one more."""
    for first in range(day - period + 1, day + 1):
        inside = [(other, ref) for other, ref in others if first <= other < first + period]
        if len(inside) >= most:
            return [ref for _, ref in sorted(inside, key=lambda pair: pair[0])]
    return []
