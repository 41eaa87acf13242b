"""The compliance statement of one org's database: what it says. No personal data."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from events.payloads import Count, Generation

Verdict = Literal["compliant", "violations"]

FORMAT = "emailsched-certificate-1"

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class CertifiedDatabase(Struct, frozen=True, kw_only=True):
    """Which bytes the statement is about."""

    generation: Annotated[Generation | None, Meta(description="Of the org's object; null: a file.")]
    sha256: Annotated[Sha256 | None, Meta(description="Of the bytes; null: a journal beside the file has part of it.")]
    size_bytes: Count


class CertifiedRules(Struct, frozen=True, kw_only=True):
    """Which rules the mail was held to."""

    program: Annotated[str, Meta(description="Version of emailsched.")]
    rule_table_sha256: Annotated[Sha256, Meta(description="Of the built-in table of states.")]
    checker_table_sha256: Annotated[Sha256, Meta(description="Of the checker's own statement of the same table.")]
    config_sha256: Annotated[Sha256, Meta(description="Of the effective configuration, the org's own rules included.")]
    config_id: Annotated[int | None, Meta(description="Row of config_versions; null: all defaults.")]
    buffer_days: Count
    missing_window_date_policy: str


class CertifiedRun(Struct, frozen=True, kw_only=True):
    """The last run that changed the database, from its own checkpoint."""

    run_id: str
    as_of: str
    run_timestamp: Annotated[str | None, Meta(description="UTC.")]
    config_sha256: str | None
    config_is_in_force: Annotated[bool, Meta(description="False: the configuration was changed since.")]
    schedule_is_as_left: Annotated[
        bool | None, Meta(description="False: something else edited our rows since. Null: the checkpoint cannot tell.")
    ]


class StateLine(Struct, frozen=True, kw_only=True):
    """The mail to people of one state."""

    state: Annotated[str, Meta(description="unknown: the state, or the contact, is not known.")]
    rule: Annotated[str, Meta(description="Kind of the rule in force; none: no window.")]
    days_before: Annotated[Count, Meta(description="Buffer included.")]
    days_after: Count
    from_month_start: Annotated[bool, Meta(description="True: counted from the first day of the month of the date.")]
    age_76_plus: Annotated[bool, Meta(description="True: nobody of 76 or more is written to, on any day.")]
    own_rule: Annotated[bool, Meta(description="True: the org's configuration replaces the built-in rule or buffer.")]
    checked: Annotated[Count, Meta(description="Mails that respect windows, each judged by the checker.")]
    bypassing: Annotated[Count, Meta(description="Mails of campaigns that do not respect windows.")]
    violations: Count


class Bypass(Struct, frozen=True, kw_only=True):
    """Mail of one campaign instance that does not respect windows."""

    campaign_instance_id: int
    email_type: str
    is_open: Annotated[bool, Meta(description="False: the campaign is over, or not begun; the next run takes it back.")]
    mails: Count
    mails_by_state: dict[str, Count]
    first_day: date
    last_day: date


class CertifiedViolation(Struct, frozen=True, kw_only=True):
    """One mail that must not go out."""

    row_id: Annotated[int, Meta(description="Of email_schedules.")]
    contact_id: int
    email_type: str
    campaign_instance_id: int | None
    send_date: Annotated[str | None, Meta(description="Null: it cannot be read.")]
    rule: Annotated[str, Meta(description="Number and words of the rule that is broken.")]


class Certificate(Struct, frozen=True, kw_only=True):
    """Everything that is certified; the digest is made of this and nothing else."""

    format: str
    org_id: str
    as_of: date
    verdict: Verdict
    database: CertifiedDatabase
    rules: CertifiedRules
    last_run: Annotated[CertifiedRun | None, Meta(description="Null: no run has left a checkpoint.")]
    mails: Annotated[Count, Meta(description="Pre-scheduled rows.")]
    mails_checked: Count
    mails_bypassing: Count
    first_day: date | None
    last_day: date | None
    states: Annotated[tuple[StateLine, ...], Meta(description="By state: those with mail, and those with a rule.")]
    bypasses: Annotated[tuple[Bypass, ...], Meta(description="By instance.")]
    kept_back_by_reason: Annotated[dict[str, Count], Meta(description="Skipped rows that are stored.")]
    violations: tuple[CertifiedViolation, ...]
    violations_left_out: Count
