"""What ``--json`` writes for commands that look at an org: part of the written contract of `handlers.cli_output`."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from core.planning.explanation import Explanation
from core.runs.certificate import Certificate, Sha256
from events.payloads import Count
from handlers.cli_change_output import GenerationRead


class ExplainOutput(Struct, frozen=True, kw_only=True):
    """``explain ORG|FILE CONTACT``."""

    org_id: str
    file: Annotated[str | None, Meta(description="Null: an org of the bucket.")]
    generation: GenerationRead
    config_hash: Annotated[str, Meta(description="Of the configuration that the explanation was made with.")]
    what_if: Annotated[bool, Meta(description="True: --config was given, the configuration in force is another.")]
    on_hold: Annotated[bool, Meta(description="True: the org is, and nothing of this may be sent. False for a file.")]
    explanation: Annotated[Explanation, Meta(description="The structs of core.planning.explanation.")]


class DueMail(Struct, frozen=True, kw_only=True):
    """One mail that may be claimed. Identity: contact, type, instance and event; of a follow-up contact and parent."""

    id: Annotated[int, Meta(description="Of the row: a hint, the identity wins.")]
    contact_id: int
    email_type: str
    campaign_instance_id: int | None
    parent_schedule_id: int | None
    event_date: str
    scheduled_send_date: str
    scheduled_send_time: Annotated[str, Meta(description="Local time of the org's time zone.")]
    priority: int
    email_template: str | None
    sms_template: str | None


DueNote = Literal["on_hold", "date_past", "replan_first", "contact_suppressed"]
"""``on_hold``: the org is, nothing may be claimed. ``date_past``: what was not claimed on its day waits for the next run.
``replan_first``: something was recorded that no run has planned with. ``contact_suppressed``: some mail is withheld, because
its contact unsubscribed or went since the last run."""


class DueOutput(Struct, frozen=True, kw_only=True, rename={"day": "date"}):
    """``due ORG|FILE``: what the sender may claim for a day."""

    org_id: str
    file: str | None
    generation: GenerationRead
    day: date
    local_date: Annotated[date, Meta(description="Today in the org's time zone, or --as-of.")]
    timezone: str
    planned_as_of: Annotated[str | None, Meta(description="Of the last run that changed anything; null: none did.")]
    notes: tuple[DueNote, ...]
    mails: Annotated[tuple[DueMail, ...], Meta(description="By time, priority and id.")]
    mails_left_out: Annotated[Count, Meta(description="Mails beyond --limit.")]
    mails_by_type: Annotated[dict[str, Count], Meta(description="Of all that may be claimed.")]
    mails_withheld: Annotated[Count, Meta(description="To people who must not be written to any more.")]


class CertifyOutput(Struct, frozen=True, kw_only=True):
    """``certify ORG|FILE``; it exits 1 if the verdict is ``violations``, and writes this all the same."""

    file: Annotated[str | None, Meta(description="Null: an org of the bucket.")]
    out: Annotated[str | None, Meta(description="Where the page was written.")]
    certificate: Certificate
    sha256: Annotated[Sha256, Meta(description="Of the certificate as JSON with sorted keys and no spaces, UTF-8.")]


LookDocument = ExplainOutput | DueOutput | CertifyOutput

LOOK_OUTPUTS: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {"explain": ExplainOutput, "due": DueOutput, "certify": CertifyOutput}
)
"""Which document each command writes when it exits 0."""
