"""The windows of one contact as days from and to (R42, R43), by the planner's own columns and calendar."""

from typing import Final, NamedTuple

import numpy as np

from core.planning.almanac import in_year
from core.planning.calendar import to_date
from core.planning.candidates import Frame
from core.planning.columns import NO_DAY, Int32
from core.planning.explanation import Window
from core.planning.reasons import has_window_end, reason_text

_ONE: Final = np.zeros(1, dtype=np.int64)
"""The row of the only contact of a frame."""
_DAYS_BEFORE, _DAYS_AFTER = 366, 731
"""How far around the planning date windows are told of."""
_REACH_YEARS: Final = 3
"""A window may begin or end two years away from the year that it belongs to (R43)."""


class Span(NamedTuple):
    """First and last day of one window, as day numbers."""

    first: int
    last: int


def reason_on(frame: Frame, day: int) -> int:
    """Return the reason number of the exclusion of the frame's only contact on a day, 0 for none (R40)."""
    return int(frame.windows.check(_ONE, _days(day))[0])


def first_free(frame: Frame, day: int) -> int | None:
    """Return the first day after ``day`` that is not excluded, None where there is none (R50)."""
    free = int(frame.windows.first_free(_ONE, _days(day))[0])
    return None if free == NO_DAY else free


def spans(frame: Frame, first_year: int, last_year: int) -> list[Span]:
    """Return the contact's windows of some years; none where the anchor is missing or the state has no window."""
    windows = frame.windows
    if int(windows.anchor[0]) <= 0:
        return []
    years = np.arange(first_year, last_year + 1, dtype=np.int32)
    days = in_year(np.full(len(years), windows.anchor[0], dtype=np.int16), years)
    state = int(windows.state[0])
    lead, after = int(windows.table.lead_days[state]), int(windows.table.after_days[state])
    return [Span(day - lead, day + after) for day in days.tolist()]


def span_over(frame: Frame, day: int) -> Span | None:
    """Return the window that covers a day: of several the one that ends last."""
    year = to_date(day).year
    over = [span for span in spans(frame, year - 2, year + 2) if span.first <= day <= span.last]
    return max(over, key=lambda span: span.last, default=None)


def windows_around(frame: Frame) -> tuple[Window, ...]:
    """Return the windows around the planning date; one without days for a contact that is barred on every day."""
    today = frame.today
    reason = reason_on(frame, today)
    if reason and not has_window_end(np.array([reason], dtype=np.int16))[0]:
        return (Window(reason_text(reason) or "", None, None),)
    year = to_date(today).year
    found = []
    for span in spans(frame, year - _REACH_YEARS, year + _REACH_YEARS):
        text = reason_text(reason_on(frame, span.last))
        if text is not None and span.last >= today - _DAYS_BEFORE and span.first <= today + _DAYS_AFTER:
            found.append(Window(text, to_date(span.first), to_date(span.last)))
    return tuple(found)


def _days(day: int) -> Int32:
    return np.array([day], dtype=np.int32)
