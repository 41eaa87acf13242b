"""The closed list of warnings that a run may carry: it stands, but an operator should look."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SCHEDULE_EDITED: Final = "schedule_edited"
AS_OF_FORCED: Final = "as_of_forced"
OBJECT_REPLACED: Final = "object_replaced"
IDENTITY_NOT_UNIQUE: Final = "identity_not_unique"
ON_HOLD: Final = "on_hold"
UNSUBSCRIBES_NOT_SUPPRESSED: Final = "unsubscribes_not_suppressed"

WARNINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        SCHEDULE_EDITED: "somebody else wrote to email_schedules since the last run: find out who (R96)",
        AS_OF_FORCED: "the run was made for another day than the org's own because it was asked to",
        OBJECT_REPLACED: "the object was uploaded from outside: run `emailsched reconcile` if it was a restore",
        IDENTITY_NOT_UNIQUE: "two rows that are not ours have one identity: the index is not unique until one of them goes",
        ON_HOLD: "the org is on hold: its data was recorded, nothing was planned, and so there are no counts; "
        "`emailsched release`",
        UNSUBSCRIBES_NOT_SUPPRESSED: "the configuration suppresses no status, so people who unsubscribed are written to: "
        "set `suppressed_contact_statuses`",
    }
)
"""Code -> what an operator should know or do."""
