"""The table of configuration keys (R10): what each may be, in words for people and as a parser."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from core.planning.rules import SIZE_PROFILES, STATE_CODES, RuleKind, StateRule

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

T_co = TypeVar("T_co", covariant=True)

Parsed = (
    bool | int | float | str | tuple[int, ...] | tuple[str, ...] | Mapping[str, StateRule] | Mapping[str, int] | None
)


@dataclass(frozen=True, slots=True)
class Key(Generic[T_co]):
    """One configuration key: what is allowed, in words and as a parser that raises ValueError."""

    allowed: str
    parse: Callable[[JsonValue], T_co]


def _refuse(allowed: str) -> ValueError:
    return ValueError(f"must be {allowed}")


def _boolean() -> Key[bool]:
    allowed = "true or false"

    def parse(value: JsonValue) -> bool:
        if not isinstance(value, bool):
            raise _refuse(allowed)
        return value

    return Key(allowed, parse)


def _integer(low: int, high: int | None) -> Key[int]:
    allowed = f"an integer of {low} or more" if high is None else f"an integer {low}..{high}"

    def parse(value: JsonValue) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            raise _refuse(allowed)
        return value

    return Key(allowed, parse)


def _number(low: float, high: float, *, above_low: bool) -> Key[float]:
    allowed = f"a number {'above' if above_low else 'from'} {low} up to {high}"

    def parse(value: JsonValue) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _refuse(allowed)
        if not low <= value <= high or (above_low and value == low):
            raise _refuse(allowed)
        return float(value)

    return Key(allowed, parse)


def _one_of(*words: str) -> Key[str]:
    allowed = "one of " + ", ".join(words)

    def parse(value: JsonValue) -> str:
        if not isinstance(value, str) or value not in words:
            raise _refuse(allowed)
        return value

    return Key(allowed, parse)


def _nullable(key: Key[T_co]) -> Key[T_co | None]:
    return Key(f"null or {key.allowed}", lambda value: None if value is None else key.parse(value))


def _text() -> Key[str]:
    allowed = "an IANA time zone name"

    def parse(value: JsonValue) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*", value):
            raise _refuse(allowed)
        return value

    return Key(allowed, parse)


def _years() -> Key[tuple[int, ...] | None]:
    allowed = "null or a list of years"

    def parse(value: JsonValue) -> tuple[int, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list):
            raise _refuse(allowed)
        years = [v for v in value if isinstance(v, int) and not isinstance(v, bool)]
        if len(years) != len(value):
            raise _refuse(allowed)
        return tuple(sorted(set(years)))

    return Key(allowed, parse)


def _statuses() -> Key[tuple[str, ...]]:
    allowed = "a list of texts"

    def parse(value: JsonValue) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise _refuse(allowed)
        return tuple(str(v) for v in value)

    return Key(allowed, parse)


_RULE_DAYS: Final = _integer(0, 365)
_RULE_KINDS: Final[tuple[RuleKind, ...]] = ("birthday_window", "effective_date_window", "year_round", "none")


def _state_rule(state: str, value: JsonValue) -> StateRule:
    if not isinstance(value, dict):
        raise ValueError(f"{state} must be an object")
    if unknown := sorted(set(value) - {"type", "before", "after", "use_month_start", "age_76_plus"}):
        raise ValueError(f"{state} has unknown keys: {', '.join(unknown)}")
    kind = next((k for k in _RULE_KINDS if k == value.get("type")), None)
    if kind is None:
        raise ValueError(f"{state}.type must be one of {', '.join(_RULE_KINDS)}")
    days = [_RULE_DAYS.parse(value.get(name, 0)) for name in ("before", "after")]
    flags = [_boolean().parse(value.get(name, False)) for name in ("use_month_start", "age_76_plus")]
    if kind == "none" and any(flags):
        raise ValueError(f"{state}: type none cannot have a flag")
    return StateRule(kind, days[0], days[1], flags[0], flags[1])


def _state_rules() -> Key[Mapping[str, StateRule]]:
    def parse(value: JsonValue) -> Mapping[str, StateRule]:
        return {state: _state_rule(state, entry) for state, entry in _by_state(value).items()}

    return Key("an object of state codes with type, before, after, use_month_start, age_76_plus", parse)


def _state_buffers() -> Key[Mapping[str, int]]:
    def parse(value: JsonValue) -> Mapping[str, int]:
        return {state: _RULE_DAYS.parse(entry) for state, entry in _by_state(value).items()}

    return Key("an object of state codes with days 0..365", parse)


def _by_state(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ValueError("must be an object of state codes")
    if unknown := sorted(set(value) - set(STATE_CODES)):
        raise ValueError(f"has unknown states: {', '.join(unknown)}")
    return value


KEYS: Final[Mapping[str, Key[Parsed]]] = {
    "enable_post_window_emails": _boolean(),
    "effective_date_first_email_months": _integer(0, 1200),
    "exclude_failed_underwriting_global": _boolean(),
    "send_without_zipcode_for_universal": _boolean(),
    "pre_exclusion_buffer_days": _integer(0, 365),
    "birthday_days_before": _integer(0, 180),
    "effective_date_days_before": _integer(0, 180),
    "send_time_hour": _integer(0, 23),
    "send_time_minute": _integer(0, 59),
    "timezone": _text(),
    "max_emails_per_period": _integer(1, None),
    "frequency_period_days": _integer(1, 365),
    "size_profile": _one_of("auto", *SIZE_PROFILES),
    "aep_enabled": _boolean(),
    "aep_month": _integer(1, 12),
    "aep_day": _integer(1, 31),
    "aep_years": _years(),
    "enable_followups": _boolean(),
    "followup_delay_days": _integer(0, 60),
    "followup_lookback_days": _integer(1, 365),
    "catch_up_spread_days": _integer(1, 60),
    "late_grace_days": _integer(0, 180),
    "overage_threshold": _number(1.0, 10.0, above_low=False),
    "min_daily_cap": _integer(1, None),
    "lookahead_days": _nullable(_integer(1, 400)),
    "missing_window_date_policy": _one_of("hold", "send"),
    "suppressed_contact_statuses": _statuses(),
    "state_rules": _state_rules(),
    "state_buffers": _state_buffers(),
    "daily_send_percentage_cap": _nullable(_number(0.0, 1.0, above_low=True)),
    "ed_daily_soft_limit": _nullable(_integer(1, None)),
    "ed_smoothing_window_days": _nullable(_integer(1, 31)),
}
"""R10: every key an org may set."""
