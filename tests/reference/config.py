"""Effective configuration: the defaults of R10, the size profile of R11, cap and threshold of R64."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Config:
    """Every key of R10 with its default."""

    enable_post_window_emails: bool = True
    effective_date_first_email_months: int = 11
    exclude_failed_underwriting_global: bool = False
    send_without_zipcode_for_universal: bool = True
    pre_exclusion_buffer_days: int = 60
    birthday_days_before: int = 14
    effective_date_days_before: int = 30
    send_time_hour: int = 8
    send_time_minute: int = 30
    timezone: str = "America/Chicago"
    max_emails_per_period: int = 3
    frequency_period_days: int = 30
    size_profile: str = "auto"
    aep_enabled: bool = True
    aep_month: int = 9
    aep_day: int = 15
    aep_years: list[int] | None = None
    enable_followups: bool = True
    followup_delay_days: int = 2
    followup_lookback_days: int = 35
    catch_up_spread_days: int = 7
    late_grace_days: int = 30
    overage_threshold: float = 1.2
    min_daily_cap: int = 10
    lookahead_days: int | None = None
    missing_window_date_policy: str = "hold"
    suppressed_contact_statuses: list[str] = field(
        default_factory=lambda: ["unsubscribed", "do_not_contact", "deceased", "deleted"]
    )
    state_rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    state_buffers: Mapping[str, int] = field(default_factory=dict)
    daily_send_percentage_cap: float | None = None
    ed_daily_soft_limit: int | None = None
    ed_smoothing_window_days: int | None = None

    @property
    def send_time(self) -> str:
        """R75: HH:MM:00."""
        return f"{self.send_time_hour:02d}:{self.send_time_minute:02d}:00"


@dataclass(frozen=True)
class Profile:
    """The three numbers of R11 that affect results."""

    daily_send_percentage_cap: float
    ed_daily_soft_limit: int
    ed_smoothing_window_days: int


PROFILES = {
    "small": Profile(0.20, 50, 3),
    "medium": Profile(0.10, 200, 5),
    "large": Profile(0.07, 500, 7),
    "enterprise": Profile(0.05, 1000, 10),
}


def read_config(overrides: Mapping[str, object]) -> Config:
    """The overrides (already validated, R12) over the defaults (R13)."""
    return replace(Config(), **cast("dict[str, Any]", dict(overrides)))


def profile_of(config: Config, contacts_schedulable: int) -> Profile:
    """R11: the named or automatic profile, each number replaced by the configuration's own where that is set."""
    name = config.size_profile
    if name == "auto":
        name = _automatic(contacts_schedulable)
    profile = PROFILES[name]
    if config.daily_send_percentage_cap is not None:
        profile = replace(profile, daily_send_percentage_cap=config.daily_send_percentage_cap)
    if config.ed_daily_soft_limit is not None:
        profile = replace(profile, ed_daily_soft_limit=config.ed_daily_soft_limit)
    if config.ed_smoothing_window_days is not None:
        profile = replace(profile, ed_smoothing_window_days=config.ed_smoothing_window_days)
    return profile


def _automatic(contacts_schedulable: int) -> str:
    if contacts_schedulable < 10_000:
        return "small"
    if contacts_schedulable < 100_000:
        return "medium"
    if contacts_schedulable < 500_000:
        return "large"
    return "enterprise"


def daily_cap(config: Config, profile: Profile, contacts_schedulable: int) -> int:
    """R64: in integers, so that no mail is lost to a binary fraction."""
    millionths = round(profile.daily_send_percentage_cap * 10**6)
    return max(1, config.min_daily_cap, contacts_schedulable * millionths // 10**6)


def daily_threshold(config: Config, cap: int) -> int:
    """R64: the load up to which a day over the cap is left alone."""
    return cap * round(config.overage_threshold * 1000) // 1000
