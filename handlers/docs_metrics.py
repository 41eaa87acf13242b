"""The tables of docs/observability.md: every metric, and every warning of a run."""

from typing import Final

from core.runs.warnings import WARNINGS
from handlers.docs_markdown import table
from handlers.observe import Observer

_OURS: Final = "emailsched_"


def metrics() -> str:
    """Every series of ours with its labels, as a scrape shows it."""
    rows = []
    for family in Observer().families():
        if family.name.startswith(_OURS):
            labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append([f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation])
    return table(("metric", "kind", "labels", "what it counts"), rows)


def warnings() -> str:
    """Every warning that a run may carry."""
    return table(("warning", "what to know or do"), ([f"`{code}`", text] for code, text in WARNINGS.items()))
