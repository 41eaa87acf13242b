"""The closed list of skip reasons and issues, as text for rows and as numbers for columns.

A reason number is 0 (none), the position of a plain reason, or 64 * exclusion kind + state number.
"""

from enum import IntEnum
from typing import Final

from core.planning.columns import Bool, Int16
from core.planning.rules import STATE_CODES


class Reason(IntEnum):
    """Why a mail is skipped, exclusions aside; the member name in lower case (colons for double underscores) is the text."""

    NONE = 0
    FAILED_UNDERWRITING__GLOBAL = 1  # R34
    FAILED_UNDERWRITING__CAMPAIGN = 2  # R56
    TARGET_MISMATCH = 3  # R54
    AFTER_CAMPAIGN_END = 4  # R56
    STATE_UNKNOWN = 5  # R56, R84
    CAMPAIGN_CONFLICT = 6  # R71
    FREQUENCY_LIMIT = 7  # R72
    MISSED_SEND_DATE = 8  # R92


class Exclusion(IntEnum):
    """The kinds of exclusion, in the order in which they are looked at (R40)."""

    YEAR_ROUND = 1
    AGE_76_PLUS = 2
    WINDOW_DATE_UNKNOWN = 3
    BIRTHDAY_WINDOW = 4
    EFFECTIVE_DATE_WINDOW = 5


_KIND_STEP: Final = 64

REASON_SPAN: Final = _KIND_STEP * (max(Exclusion) + 1)
"""More than the largest reason number."""

MISSED_SEND_DATE: Final = "missed_send_date"


def exclusion_code(kind: Exclusion, state: int) -> int:
    """Return the reason number of an exclusion in a state."""
    return _KIND_STEP * kind + state


def reason_text(code: int) -> str | None:
    """Return the text of a reason number as rows carry it, None for 0."""
    if code == Reason.NONE:
        return None
    if code < _KIND_STEP:
        return Reason(code).name.lower().replace("__", ":")
    kind, state = divmod(code, _KIND_STEP)
    return f"exclusion:{Exclusion(kind).name.lower()}:{STATE_CODES[state]}"


def is_exclusion(codes: Int16) -> Bool:
    """Whether each reason number is an exclusion."""
    excluded: Bool = codes >= _KIND_STEP
    return excluded


def has_window_end(codes: Int16) -> Bool:
    """Whether each reason number is a window, which ends, rather than a bar without an end (R50)."""
    ends: Bool = codes >= _KIND_STEP * Exclusion.BIRTHDAY_WINDOW
    return ends


REASON_TEXTS: Final = frozenset(
    text
    for code in (
        *(reason.value for reason in Reason if reason),
        *(exclusion_code(kind, state) for kind in Exclusion for state in range(len(STATE_CODES))),
    )
    if (text := reason_text(code)) is not None
)
"""Every skip_reason that a row can carry."""

CONTACT_ISSUES: Final = (
    "missing_email",
    "invalid_email",
    "bad_birth_date",
    "bad_effective_date",
    "state_mismatch",
    "suppressed_status",
    "state_unknown",
)
"""R20-R24; bit i of a contact's issue mask is issue i."""

CAMPAIGN_ISSUES: Final = ("bad_campaign_dates", "bad_campaign_metadata", "bad_enrolment")
"""R52-R54; written as ``<code>:<id>`` with contact_id 0, since they are about a campaign and not a contact."""
