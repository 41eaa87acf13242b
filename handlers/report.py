"""The picture of a plan: one HTML page per org that needs nothing but a browser.

``render`` is a pure function of a completion, so that the page shows what was published and nothing else. It holds
counts, codes and days, and no person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from events.payloads import RunCompleted
from handlers.report_chart import DAYS, draw

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


def render(completed: RunCompleted) -> str:
    """Return the page of one completion, of a run or of a plan that was only looked at (its generation may be null)."""
    chart = draw(completed.volume_by_day, completed.as_of, completed.cap, completed.cap_exceeded_days)
    shown = sum(series.rows for series in chart.series)
    tables = (
        _Counts("Mails to be sent, by type", "Type", completed.scheduled_by_type, "Nothing is to be sent."),
        _Counts("Skipped, by reason", "Reason", completed.skipped_by_reason, "Nothing is skipped."),
        _Counts("Issues, by code", "Code", completed.issues_by_code, "No issues."),
    )
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            completed=completed,
            counts=completed.counts,
            chart=chart,
            tables=tables,
            days_count=DAYS,
            beyond=completed.counts.emails_scheduled - shown,
            busiest=max(chart.days, key=lambda day: day.total),
            shown=shown,
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("handlers"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}".replace(",", "\u202f")
    return environment
