"""Org configuration (R8, R10-R13): one table of keys, validation that names every bad key, canonical form and hash."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Final, Protocol, TypeVar

from core.planning.config_keys import KEYS, JsonValue, Parsed
from core.planning.rules import NO_RULE, STATE_RULES, SizeProfile, StateRule, profile_for, rule_fields

IsTimezone = Callable[[str], bool]


class ConfigError(ValueError):
    """A configuration that must not be used (R12); ``problems`` names each bad key and what is allowed."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class Config:
    """The effective configuration of an org: the row in force over the defaults (R10)."""

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
    aep_years: tuple[int, ...] | None = None
    enable_followups: bool = True
    followup_delay_days: int = 2
    followup_lookback_days: int = 35
    catch_up_spread_days: int = 7
    late_grace_days: int = 30
    overage_threshold: float = 1.2
    min_daily_cap: int = 10
    lookahead_days: int | None = None
    missing_window_date_policy: str = "hold"
    suppressed_contact_statuses: tuple[str, ...] = ("unsubscribed", "do_not_contact", "deceased", "deleted")
    state_rules: Mapping[str, StateRule] | None = None
    state_buffers: Mapping[str, int] | None = None
    daily_send_percentage_cap: float | None = None
    ed_daily_soft_limit: int | None = None
    ed_smoothing_window_days: int | None = None

    @property
    def send_time(self) -> str:
        """The text of scheduled_send_time (R75)."""
        return f"{self.send_time_hour:02d}:{self.send_time_minute:02d}:00"

    @property
    def rules(self) -> Mapping[str, StateRule]:
        """The exclusion rules by state, the org's own before the table's (R41); no rule for states that are not listed."""
        return {**STATE_RULES, **(self.state_rules or {})}

    def rule(self, state: str) -> StateRule:
        """Return a state's exclusion rule (R41)."""
        return self.rules.get(state, NO_RULE)

    def buffer_days(self, state: str) -> int:
        """Return the days by which a state's window starts earlier (R42)."""
        return (self.state_buffers or {}).get(state, self.pre_exclusion_buffer_days)

    def profile(self, contact_count: int) -> SizeProfile:
        """Return the size profile for N schedulable contacts with the org's own numbers over it (R11)."""
        base = profile_for(contact_count, self.size_profile)
        own = (self.daily_send_percentage_cap, self.ed_daily_soft_limit, self.ed_smoothing_window_days)
        percentage, soft_limit, window = (b if o is None else o for o, b in zip(own, base[1:], strict=True))
        return SizeProfile(base.contacts_below, float(percentage), int(soft_limit), int(window))

    def canonical_json(self) -> str:
        """Return the effective configuration with sorted keys and no spaces (R13)."""
        values = {f.name: _plain(f.name, getattr(self, f.name)) for f in fields(self)}
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON, in hex (R13)."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def _plain(key: str, value: object) -> object:
    if key == "state_rules":
        return {state: rule_fields(r) for state, r in (value.items() if isinstance(value, Mapping) else ())}
    if key == "state_buffers":
        return dict(value) if isinstance(value, Mapping) else {}
    return list(value) if isinstance(value, tuple) else value


_TEXTS_KEPT_MAX: Final = 256
_DAYS_OF_MONTH: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_config(config_data: str | None, is_timezone: IsTimezone) -> Config:
    """Return the effective configuration of one ``config_data`` text (None: all defaults); raises ConfigError (R12)."""
    if config_data is None:
        return _DEFAULTS
    config, problems, timezone = _read(config_data)
    if timezone is not None and not is_timezone(timezone):
        problems = (*problems, "timezone: must be an IANA time zone name")
    if config is None or problems:
        raise ConfigError(problems)
    if config.aep_day > _DAYS_OF_MONTH[config.aep_month - 1]:
        raise ConfigError(["aep_day: must be a day that aep_month has every year (not 29 February)"])
    return config


_DEFAULTS: Final = Config()


@lru_cache(maxsize=_TEXTS_KEPT_MAX)
def _read(config_data: str) -> tuple[Config | None, tuple[str, ...], str | None]:
    """Return a configuration, or what is wrong with it; and its time zone. A living process reads the same few texts."""
    try:
        raw = json.loads(config_data, parse_constant=_no_constant, object_pairs_hook=_object)
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigError(["config_data is not valid JSON"]) from error
    if not isinstance(raw, dict):
        raise ConfigError(["config_data must be a JSON object"])
    problems = [f"{key}: unknown key" for key in sorted(raw) if key not in KEYS]
    values: dict[str, Parsed] = {}
    for key in sorted(set(raw) & set(KEYS)):
        try:
            values[key] = KEYS[key].parse(raw[key])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    timezone = str(values["timezone"]) if "timezone" in values else None
    # The table of keys parses each to its field's type.
    return None if problems else Config(**values), tuple(problems), timezone  # type: ignore[arg-type]


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """Refuse a key that is given twice: which of the two a reader takes is a matter of luck."""
    if twice := sorted(key for key, count in Counter(key for key, _ in pairs).items() if count > 1):
        raise ConfigError(f"{key}: given twice" for key in twice)
    return dict(pairs)


class InForce(Protocol):
    """What a configuration row must tell about itself."""

    @property
    def config_id(self) -> int:
        """The row's id."""
        ...

    @property
    def valid_from(self) -> str:
        """First moment, UTC."""
        ...

    @property
    def valid_to(self) -> str | None:
        """First moment after it, None where open."""
        ...


Row = TypeVar("Row", bound=InForce)


def row_in_force(rows: Iterable[Row], run_time: str) -> Row | None:
    """Pick the configuration row in force at ``run_time`` (``YYYY-MM-DD HH:MM:SS``, UTC), None where there is none (R8)."""
    open_rows = [r for r in rows if r.valid_from <= run_time and (r.valid_to is None or run_time < r.valid_to)]
    return max(open_rows, key=lambda r: (r.valid_from, r.config_id), default=None)
