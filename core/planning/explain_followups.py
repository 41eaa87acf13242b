"""The follow-up of a contact (R80-R86): the mail it follows, what the contact did since; or why there is none."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from core.planning.columns import NO_DAY
from core.planning.explain_items import exclusion
from core.planning.explain_subject import Draft, RowKey, Subject, stored_mails
from core.planning.explain_words import find, skip_code
from core.planning.explanation import Finding
from core.planning.followups import FOLLOWUP_TYPES, Behaviour, gather_behaviour, plan_followups
from core.planning.reasons import reason_text
from core.planning.schedule import null_to_zero
from core.planning.schedule_rows import ScheduleRows

NO_FOLLOWUP: Final = "followup"
"""The email type under which the absence of a follow-up is told."""

_BEHAVIOURS: Final = ("behaviour_cold", "behaviour_clicked", "behaviour_answered_no", "behaviour_answered_yes")
"""In the order of FOLLOWUP_TYPES."""
_DAY_SECONDS: Final = 86_400


def followup_draft(subject: Subject) -> Draft:
    """Return the contact's follow-up, or why there is none; the contact is schedulable."""
    snapshot, frame = subject.snapshot, subject.frame
    behaviour = gather_behaviour(frame, snapshot.clicks, snapshot.answers)
    planned = plan_followups(frame, snapshot.book, behaviour)
    if not len(planned):
        return Draft(RowKey(NO_FOLLOWUP, 0, 0, NO_DAY), None, None, (_absence(subject),))
    locked = snapshot.schedule.locked
    parent = locked.take(locked.row_id == planned.parent_row_id[0])
    kind, target = int(planned.kind[0]), int(planned.target[0])
    key = RowKey(
        FOLLOWUP_TYPES[kind],
        int(null_to_zero(planned.instance_id)[0]),
        int(planned.parent_row_id[0]),
        int(planned.event[0]),
    )
    undelayed = int(planned.undelayed[0])
    findings = (
        find("followup_of", from_day=int(parent.send_day[0]), mails=stored_mails(parent, snapshot.schedule)),
        _behaviour(kind, behaviour, parent),
        find("followup_day", from_day=undelayed, to_day=target, counts={"days": frame.config.followup_delay_days}),
        *_end(subject, int(planned.reason[0]), target),
    )
    return Draft(key, undelayed, None, findings)


def _behaviour(kind: int, behaviour: Behaviour, parent: ScheduleRows) -> Finding:
    sent = int(parent.send_day[0]) * _DAY_SECONDS + int(parent.send_second[0])
    counts = {
        "clicks": int(np.count_nonzero(behaviour.clicked_moment >= sent)),
        "answers": int(np.count_nonzero(behaviour.answered_moment >= sent)),
    }
    return find(_BEHAVIOURS[kind], counts=counts)


def _end(subject: Subject, reason: int, target: int) -> Iterator[Finding]:
    text = reason_text(reason)
    if text is None:
        yield find("to_be_sent", to_day=target)
    else:
        yield exclusion(subject, skip_code(text), target)


def _absence(subject: Subject) -> Finding:
    """Return why there is no follow-up, in the order in which the planner looks."""
    frame, schedule = subject.frame, subject.snapshot.schedule
    oldest = frame.today - frame.config.followup_lookback_days
    if not frame.config.enable_followups:
        return find("followups_off")
    locked = schedule.locked
    recent = locked.send_day >= oldest
    followed = locked.take(recent & frame.kinds.followup[locked.kind])
    sent = locked.take(recent & (locked.send_day <= frame.today) & frame.kinds.parent[locked.kind])
    if len(followed):
        return find("followed_already", mails=stored_mails(followed, schedule))
    if len(sent):
        mails = stored_mails(sent, schedule)
        return find("campaign_without_followups", from_day=oldest, to_day=frame.today, mails=mails)
    return find("nothing_sent", from_day=oldest, to_day=frame.today)
