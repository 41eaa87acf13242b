"""What holds for a contact as a whole: issues, and the rule of its state (R20-R25, R41)."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from core.planning.explain_subject import Subject
from core.planning.explain_words import find
from core.planning.explanation import Finding
from core.planning.reasons import CONTACT_ISSUES
from core.planning.rules import STATE_CODES, UNKNOWN_STATE

_CODES: Final = {"state_unknown": "contact_state_unknown"}
"""Issues that are told with other words than the skip reason of the same name."""


def issues_of(subject: Subject) -> tuple[str, ...]:
    """Return the codes of what is wrong with the contact's data (R24)."""
    mask = subject.frame.contacts.issues[0]
    return tuple(name for bit, name in enumerate(CONTACT_ISSUES) if (mask >> np.uint8(bit)) & np.uint8(1))


def contact_findings(subject: Subject) -> tuple[Finding, ...]:
    """Return what is wrong with the contact, and the rule of its state."""
    return (*(find(_CODES.get(issue, issue)) for issue in issues_of(subject)), *_rule(subject))


def _rule(subject: Subject) -> Iterator[Finding]:
    number, config = int(subject.frame.contacts.state[0]), subject.frame.config
    if number == UNKNOWN_STATE:
        return
    state = STATE_CODES[number]
    rule = config.rule(state)
    if rule.kind == "none":
        yield find("no_exclusion_rule")
    elif rule.kind == "year_round":
        yield find("year_round_rule")
    else:
        buffer = config.buffer_days(state)
        counts = {"before": rule.days_before + buffer, "buffer": buffer, "after": rule.days_after}
        yield find("exclusion_rule", counts=counts, kind=rule.kind)
