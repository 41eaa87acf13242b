"""``org-status/<org>.json``: what the last run of an org came to. A silent org is visible, and so is a failing one.

Written after every run, also one that changed nothing and one that failed for good, without a precondition: the last
one wins. It is best effort: a status that could not be written is a warning, never a failure of a committed run.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from events.payloads import Code, Count, Generation, RequestCounts, RunCounts

StatusOutcome = Literal["completed", "failed", "rejected"]
"""``failed``: the org is at fault. ``rejected``: what was asked for is. What comes again by itself is no outcome."""


Moment = Annotated[datetime, Meta(tz=True)]
"""Aware; a time without an offset is refused."""


class OrgStatus(Struct, frozen=True, kw_only=True):
    """The last run of an org. Absent information is ``null``, never a missing field; no personal data."""

    org_id: str
    at: Annotated[Moment, Meta(description="When the run ended, UTC.")]
    outcome: StatusOutcome
    error_code: Annotated[Code | None, Meta(description="An ErrorCode of core.runs.errors; null: completed.")]
    last_completed_at: Annotated[
        Moment | None, Meta(description="When a run last completed; null: it is not known that one ever did.")
    ]
    run_id: Annotated[str | None, Meta(description="Null: it failed before it had one.")]
    changed: Annotated[bool | None, Meta(description="False: the plan was already in place.")]
    as_of: Annotated[str | None, Meta(description="The day that was planned for, YYYY-MM-DD.")]
    generation: Annotated[Generation | None, Meta(description="Of the org's object after the run.")]
    counts: RunCounts | None
    bytes_down: Count | None
    bytes_up: Count | None
    requests: Annotated[RequestCounts | None, Meta(description="To the bucket, the writing of this object included.")]
    warnings: tuple[Code, ...]
