"""What the rules ask about the kind of a stored row, as columns over kind numbers: read once, used by every step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from core.planning.columns import Bool, Int8, Int64
from core.planning.rules import (
    AEP,
    AEP_CAMPAIGN_TYPE,
    CAMPAIGN,
    CAMPAIGN_PREFIX,
    COUNTING_STATUSES,
    EMAIL_TYPES,
    FOLLOWUP_PREFIX,
    SENT_STATUSES,
)
from core.planning.snapshot import RowKind

_COUNTING, _PARENT, _FOLLOWUP, _AEP = (1 << bit for bit in range(4, 8))
_TYPE: Final = (1 << 4) - 1


@dataclass(frozen=True, slots=True)
class KindTable:
    """By kind number; one row of zeros where there are no kinds, so that empty columns can be looked up."""

    type_code: Int8
    """R36, CAMPAIGN for campaigns of all names; 0 for follow-ups and types that nobody knows."""
    counting: Bool
    """R4."""
    parent: Bool
    """A follow-up can follow it, as far as its type and status say (R80)."""
    followup: Bool
    aep: Bool
    """Built in or of a campaign: R34 does not apply."""
    priority: Int64

    @classmethod
    def of(cls, kinds: Sequence[RowKind]) -> "KindTable":
        """Tabulate kinds."""
        facts = np.array([_facts(kind.email_type, kind.status) for kind in kinds] or [0], dtype=np.int16)
        return cls(
            type_code=(facts & _TYPE).astype(np.int8),
            counting=(facts & _COUNTING) != 0,
            parent=(facts & _PARENT) != 0,
            followup=(facts & _FOLLOWUP) != 0,
            aep=(facts & _AEP) != 0,
            priority=np.array([kind.priority for kind in kinds] or [0], dtype=np.int64),
        )


@lru_cache(maxsize=4096)
def _facts(email_type: str, status: str) -> int:
    built_in = EMAIL_TYPES.get(email_type)
    is_campaign = email_type.startswith(CAMPAIGN_PREFIX)
    code = CAMPAIGN if is_campaign else 0 if built_in is None else built_in.code
    is_aep = code == AEP or email_type == CAMPAIGN_PREFIX + AEP_CAMPAIGN_TYPE
    return (
        code
        | (_COUNTING if status in COUNTING_STATUSES else 0)
        | (_PARENT if code and status in SENT_STATUSES else 0)
        | (_FOLLOWUP if email_type.startswith(FOLLOWUP_PREFIX) else 0)
        | (_AEP if is_aep else 0)
    )
