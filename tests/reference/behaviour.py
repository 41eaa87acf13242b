"""What a contact did since a mail went out, and the follow-up that this calls for (R82)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.reference.dates import lower, read_moment, stripped
from tests.reference.model import query

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

COLD = "followup_1_cold"
CLICKED = "followup_2_clicked_no_hq"
ANSWERED_NO = "followup_3_hq_no_yes"
ANSWERED_YES = "followup_4_hq_with_yes"


class Behaviour:
    """Answers and clicks of all contacts, those with a readable time only."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._answers: dict[int, list[tuple[datetime, int, object]]] = {}
        self._clicks: dict[int, list[datetime]] = {}
        for row in query(db, "SELECT * FROM contact_events"):
            moment = read_moment(row["created_at"])
            if row["event_type"] == "eligibility_answered" and moment is not None:
                self._answers.setdefault(row["contact_id"], []).append((moment, row["id"], row["metadata"]))
        for row in query(db, "SELECT * FROM tracking_clicks"):
            moment = read_moment(row["clicked_at"])
            if moment is not None:
                self._clicks.setdefault(row["contact_id"], []).append(moment)

    def followup_type(self, contact_id: int, since: datetime) -> str:
        """The latest answer decides, then any click, else silence; `since` itself counts."""
        answers = [answer for answer in self._answers.get(contact_id, []) if answer[0] >= since]
        if answers:
            _, _, metadata = max(answers, key=lambda answer: (answer[0], answer[1]))
            return ANSWERED_YES if has_conditions(metadata) else ANSWERED_NO
        if any(click >= since for click in self._clicks.get(contact_id, [])):
            return CLICKED
        return COLD


def has_conditions(metadata: object) -> bool:
    """Does the answer report medical conditions? Whatever cannot be read is a no."""
    try:
        content = json.loads(stripped(metadata))
    except ValueError:
        return False
    if not isinstance(content, dict):
        return False
    if "has_medical_conditions" in content:
        return _says_yes(content["has_medical_conditions"])
    count: Any = content.get("main_questions_yes_count")
    return _is_number(count) and count > 0


def _says_yes(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if _is_number(value):
        return bool(value != 0)
    return isinstance(value, str) and lower(stripped(value)) in ("true", "1", "yes")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
