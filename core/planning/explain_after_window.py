"""Mail after a window that has no item (R51): too long ago, too far ahead, in hand, barred, or switched off."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from core.planning.calendar import to_date
from core.planning.candidates import Excluded, occurrences, previous_excluded
from core.planning.columns import NO_DAY
from core.planning.explain_absent import beyond_lookahead, handling
from core.planning.explain_subject import Draft, RowKey, Subject, item_type
from core.planning.explain_windows import first_free, reason_on
from core.planning.explain_words import find
from core.planning.explanation import Finding, MailRef
from core.planning.items import Items, Source, make_items, no_items
from core.planning.ledger import Ledger
from core.planning.post_window import post_window
from core.planning.reasons import has_window_end, is_exclusion
from core.planning.rules import BIRTHDAY


@dataclass(frozen=True, slots=True)
class _Source:
    """What a window kept back: an item of this run, or the occurrence before the current one."""

    items: Items
    previous: tuple[Excluded, ...]
    mail: MailRef


def owed_for(subject: Subject) -> dict[int, tuple[MailRef, ...]]:
    """Return what the mail on each first free day makes up for; their send date is the day that was excluded."""
    return {free: tuple(source.mail for source in sources) for free, sources in _sources(subject).items()}


def after_window_drafts(subject: Subject) -> Iterator[Draft]:
    """Yield the first free days on which a mail was owed and is not planned; each day once."""
    for free, sources in sorted(_sources(subject).items()):
        finding = _cause(subject, free, sources[0])
        if finding is not None:
            deadline = free + subject.frame.config.late_grace_days
            yield Draft(RowKey("post_window", 0, 0, free), free, deadline, (finding,))


def _sources(subject: Subject) -> dict[int, list[_Source]]:
    """Return what windows kept back by the first free day after it: this run's mail, and the occurrences before."""
    frame = subject.frame
    found: dict[int, list[_Source]] = {}
    for key, state in subject.trace.after(subject.row, "caught_up").items():
        if is_exclusion(np.array([state.reason], dtype=np.int16))[0]:
            mail = _kept_back(item_type(subject, key), key.instance_id, key.event, state.checked)
            _enter(subject, found, state.checked, _Source(_excluded_item(state.checked, state.reason), (), mail))
    for occurrence in occurrences(frame, aep_superseded=subject.snapshot.book.aep_superseded):
        previous = previous_excluded(frame, occurrence)
        for day in previous.checked.tolist():
            mail = _kept_back(occurrence.email_type, 0, int(occurrence.previous[0]), day)
            _enter(subject, found, day, _Source(no_items(), (previous,), mail))
    return found


def _kept_back(email_type: str, instance_id: int, event: int, day: int) -> MailRef:
    return MailRef(email_type, instance_id or None, to_date(event), to_date(day), "skipped", None)


def _enter(subject: Subject, found: dict[int, list[_Source]], day: int, source: _Source) -> None:
    ends = has_window_end(np.array([reason_on(subject.frame, day)], dtype=np.int16))[0]
    free = first_free(subject.frame, day)
    if ends and free is not None:
        found.setdefault(free, []).append(source)


def _excluded_item(checked: int, reason: int) -> Items:
    """Return an item of the frame's only contact that a window kept back on a day; nothing else of it is looked at."""
    day = np.array([checked], dtype=np.int32)
    item = make_items(np.zeros(1, dtype=np.int32), day, Source(BIRTHDAY, priority=0))
    return replace(item, reason=np.array([reason], dtype=np.int16))


def _cause(subject: Subject, free: int, source: _Source) -> Finding | None:
    """Ask the planner about this one source; None where the mail is planned."""
    frame = subject.frame
    if not frame.config.enable_post_window_emails:
        return find("post_window_off")
    ledger = Ledger()
    post_window(frame, source.items, source.previous, ledger)
    for cause in ledger.not_due:
        match cause:
            case "handled":
                return find(cause, mails=handling(subject, "post_window", free))
            case "beyond_lookahead":
                return beyond_lookahead(frame, free)
            case _:
                return find(cause, from_day=free if free != NO_DAY else None)
    return None
