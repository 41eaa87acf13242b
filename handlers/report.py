"""The picture of a plan: one HTML page per org that needs nothing but a browser.

``render`` is a pure function of what it is given, so that the page shows what a run published, or would publish, and
nothing else. It holds counts, codes, days and ids of runs, and no person.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from jinja2 import Environment
from markupsafe import Markup

from events.payloads import RunCompleted
from handlers.pages import page_environment
from handlers.report_calendar import LEVELS, OVER, compare, heat_map
from handlers.report_chart import DAYS, draw
from handlers.report_data import Picture

_TEMPLATE: Final = "report.html.j2"


@dataclass(frozen=True, slots=True)
class _Counts:
    """One table of the page."""

    heading: str
    first: str
    rows: Mapping[str, int]
    empty: str

    @property
    def total(self) -> int:
        """The sum of the rows."""
        return sum(self.rows.values())


@dataclass(frozen=True, slots=True)
class _States:
    """The table of skipped mails: a row per state, a column per kind of reason."""

    reasons: Sequence[str]
    rows: Sequence[tuple[str, Sequence[int]]]

    @classmethod
    def of(cls, skipped: Mapping[str, Mapping[str, int]]) -> "_States":
        """Turn counts by state into rows; reasons with most mails first."""
        sums: dict[str, int] = {}
        for counts in skipped.values():
            for reason, mails in counts.items():
                sums[reason] = sums.get(reason, 0) + mails
        reasons = sorted(sums, key=lambda reason: (-sums[reason], reason))
        return cls(reasons, [(state, [counts.get(r, 0) for r in reasons]) for state, counts in skipped.items()])

    @property
    def totals(self) -> list[int]:
        """Mails per reason."""
        return [sum(counts[place] for _, counts in self.rows) for place in range(len(self.reasons))]


def render(picture: Picture) -> str:
    """Return the page of one org as it was looked at (its generation may be null)."""
    completed = picture.completed
    chart = draw(completed.volume_by_day, completed.as_of, completed.cap, completed.cap_exceeded_days)
    shown = sum(series.rows for series in chart.series)
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            completed=completed,
            counts=completed.counts,
            chart=chart,
            heat=heat_map(chart.days, completed.cap, picture.asked_by_day),
            levels=(*(f"up to {share:.0%}" for share in LEVELS), "over the cap"),
            over=OVER,
            comparison=compare(chart.days, picture.asked_by_day),
            asked=picture.asked_by_day,
            states=_States.of(picture.skipped_by_state),
            past_runs=picture.past_runs,
            tables=_tables(completed),
            days_count=DAYS,
            beyond=completed.counts.emails_scheduled - shown,
            busiest=max(chart.days, key=lambda day: day.total),
            shown=shown,
        )
    )


def _tables(completed: RunCompleted) -> tuple[_Counts, ...]:
    return (
        _Counts("Mails to be sent, by type", "Type", completed.scheduled_by_type, "Nothing is to be sent."),
        _Counts("Skipped, by reason", "Reason", completed.skipped_by_reason, "Nothing is skipped."),
        _Counts("Issues, by code", "Code", completed.issues_by_code, "No issues."),
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = page_environment()
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(code: str) -> Markup:
    """Let a code break where its words do, not anywhere: it heads a narrow column."""
    return Markup("").join(Markup("{}<wbr>").format(part) for part in re.split(r"(?<=[:_])", code))
