"""Campaign instances, judged (R52, R53): which count, with which settings, for whom, and what is wrong with them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeVar

import numpy as np

from core.planning.columns import NO_DAY, Int32, TextColumn
from core.planning.rules import AEP_CAMPAIGN_TYPE, CAMPAIGN_PREFIX, STATE_CODES
from core.planning.snapshot import CampaignInstance, CampaignType
from core.planning.text_dates import parse_dates

_WHITE: Final = " \t\n\v\f\r"
_EVERYONE: Final = "all"
_RESPECTS: Final = "respect_exclusion_windows"
_FLAG_KEYS: Final = (_RESPECTS, "enable_followups", "skip_failed_underwriting")
_NUMBER_KEYS: Final = {"days_before_event": (-3650, 3650), "priority": (-(2**63), 2**63 - 1)}
"""R53; a priority is bounded by what the database can hold."""
_DAYS_BEFORE_MAX: Final = 60_000
"""What a type says is not bounded by any rule, but dates are: beyond 160 years a number is as good as this one, and no
campaign stops a run (R97)."""

_BOOKS_KEPT_MAX: Final = 64
_KEPT_ROWS_MAX: Final = 200

Value = TypeVar("Value", bool, int)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a type says and an instance may override (R53)."""

    respect_exclusion_windows: bool
    enable_followups: bool
    skip_failed_underwriting: bool
    days_before_event: int
    priority: int


@dataclass(frozen=True, slots=True)
class Campaign:
    """One instance that counts today (R52), ready to find its contacts (R54, R55)."""

    instance_id: int
    email_type: str
    settings: Settings
    target_all_contacts: bool
    email_template: str | None
    sms_template: str | None
    active_start: int | None
    active_end: int | None
    created: int | None
    spread: tuple[int, int] | None
    """First and last day of a spread campaign."""
    states: frozenset[int] | None
    """State numbers; None is everyone."""
    carriers: frozenset[str] | None
    """Lower-case names; None is everyone."""

    @property
    def is_aep(self) -> bool:
        """Whether R34 does not apply to it."""
        return self.email_type == CAMPAIGN_PREFIX + AEP_CAMPAIGN_TYPE

    @property
    def is_targeted(self) -> bool:
        """Whether it is not for everyone (R54)."""
        return self.states is not None or self.carriers is not None


IdleCause = Literal[
    "campaign_type_missing", "campaign_inactive", "bad_campaign_dates", "campaign_not_begun", "campaign_ended"
]
"""Why an instance does not count today (R52)."""


class IdleCampaign(NamedTuple):
    """An instance that does not count today; nobody gets anything of it."""

    instance_id: int
    email_type: str
    cause: IdleCause
    respects_windows: bool
    """As far as is known: rows that it has left are judged by it."""


@dataclass(frozen=True, slots=True)
class CampaignBook:
    """All instances, judged."""

    active: tuple[Campaign, ...]
    """Those that count today, by instance id."""
    issues: tuple[str, ...]
    """``<code>:<instance id>``, written with contact_id 0 (R52, R53)."""
    followup_settings: Mapping[int, bool]
    """By instance id, of every instance whose type exists: whether follow-ups are enabled (R80)."""
    aep_superseded: bool
    """An active campaign type named aep exists (R35)."""
    idle: tuple[IdleCampaign, ...] = ()
    """The other instances."""

    @property
    def carriers(self) -> tuple[str, ...]:
        """Every carrier that an active campaign asks for, sorted."""
        return tuple(sorted({name for c in self.active for name in c.carriers or ()}))


def judge_campaigns(types: Iterable[CampaignType], instances: Iterable[CampaignInstance], today: int) -> CampaignBook:
    """Judge all instances against today (R52, R53); campaigns change less often than plans are made."""
    types, instances = tuple(types), tuple(instances)
    judge = _judged if len(types) + len(instances) <= _KEPT_ROWS_MAX else _judged.__wrapped__
    return judge(types, instances, today)


@lru_cache(maxsize=_BOOKS_KEPT_MAX)
def _judged(types: tuple[CampaignType, ...], instances: tuple[CampaignInstance, ...], today: int) -> CampaignBook:
    by_name = {t.name: t for t in types}
    active: list[Campaign] = []
    issues: list[str] = []
    followups: dict[int, bool] = {}
    idle: list[IdleCampaign] = []
    by_id = sorted(instances, key=lambda i: i.instance_id)
    for instance, dates in zip(by_id, _dates_of(by_id), strict=True):
        overrides, sound = _overrides(instance.metadata)
        # Said of every instance, also of those that do not count today: whoever opens one should find it in order.
        issues += [f"bad_campaign_dates:{instance.instance_id}"] if dates is None else []
        issues += [] if sound else [f"bad_campaign_metadata:{instance.instance_id}"]
        kind = by_name.get(instance.campaign_type)
        cause = _idle_cause(kind, dates, today)
        respects = True
        if kind is not None:
            settings = _settings(kind, overrides)
            respects = settings.respect_exclusion_windows
            followups[instance.instance_id] = settings.enable_followups
            if cause is None and dates is not None:
                active.append(_campaign(kind, instance, settings, dates))
        if cause is not None:
            email_type = CAMPAIGN_PREFIX + instance.campaign_type
            idle.append(IdleCampaign(instance.instance_id, email_type, cause, respects))
    superseded = any(t.active and t.name == AEP_CAMPAIGN_TYPE for t in by_name.values())
    return CampaignBook(tuple(active), tuple(issues), followups, superseded, tuple(idle))


def _idle_cause(kind: CampaignType | None, dates: "_Dates | None", today: int) -> IdleCause | None:
    """Return why an instance does not count today, None where it does (R52)."""
    if kind is None:
        return "campaign_type_missing"
    if not kind.active:
        return "campaign_inactive"
    if dates is None:
        return "bad_campaign_dates"
    if dates.active_start is not None and today < dates.active_start:
        return "campaign_not_begun"
    return "campaign_ended" if dates.active_end is not None and dates.active_end < today else None


def _campaign(kind: CampaignType, instance: CampaignInstance, settings: Settings, dates: "_Dates") -> Campaign:
    spread = None
    if kind.spread_evenly and dates.spread_start is not None and dates.spread_end is not None:
        spread = (dates.spread_start, dates.spread_end) if dates.spread_start <= dates.spread_end else None
    return Campaign(
        instance_id=instance.instance_id,
        email_type=CAMPAIGN_PREFIX + kind.name,
        settings=settings,
        target_all_contacts=kind.target_all_contacts,
        email_template=instance.email_template,
        sms_template=instance.sms_template,
        active_start=dates.active_start,
        active_end=dates.active_end,
        created=dates.created,
        spread=spread,
        states=_state_targets(instance.target_states),
        carriers=_targets(instance.target_carriers),
    )


class _Dates(NamedTuple):
    active_start: int | None
    active_end: int | None
    spread_start: int | None
    spread_end: int | None
    created: int | None


def _dates_of(instances: Sequence[CampaignInstance]) -> Iterator[_Dates | None]:
    """Yield the dates of every instance as day numbers, None where one of the first four is bad (R21, R52).

    All are read at once: a date by itself costs as much as a thousand together.
    """
    days, bad = parse_dates(TextColumn.of([text for instance in instances for text in _date_texts(instance)]))
    wide = len(_Dates._fields)
    for row, unusable in zip(days.reshape(-1, wide).tolist(), bad.reshape(-1, wide).tolist(), strict=True):
        yield None if any(unusable[:4]) else _Dates(*(None if day == NO_DAY else day for day in row))


def _date_texts(instance: CampaignInstance) -> tuple[str | None, ...]:
    return (
        instance.active_start_date, instance.active_end_date, instance.spread_start_date, instance.spread_end_date,
        instance.created_at,
    )  # fmt: skip


def _targets(text: str | None) -> frozenset[str] | None:
    """Return the lower-case elements of a comma list, None where it means everyone (R54)."""
    elements = frozenset(stripped for part in (text or "").split(",") if (stripped := _lower(part.strip(_WHITE))))
    return None if not elements or _EVERYONE in elements else elements


def _state_targets(text: str | None) -> frozenset[int] | None:
    wanted = _targets(text)
    return None if wanted is None else frozenset(i for i, code in enumerate(STATE_CODES) if code.lower() in wanted)


def _lower(text: str) -> str:
    """Lower ASCII letters only, as columns do (R20)."""
    return "".join(c.lower() if c.isascii() else c for c in text)


@dataclass(frozen=True, slots=True)
class _Overrides:
    """What an instance's metadata says; None where it says nothing that can be used (R53)."""

    respect_exclusion_windows: bool | None = None
    enable_followups: bool | None = None
    skip_failed_underwriting: bool | None = None
    days_before_event: int | None = None
    priority: int | None = None


def _overrides(metadata: str | None) -> tuple[_Overrides, bool]:
    """Read an instance's metadata; the second value tells whether all of it could be used."""
    if metadata is None or not metadata.strip(_WHITE):
        return _Overrides(), True
    try:
        value = json.loads(metadata, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return _Overrides(), False
    if not isinstance(value, dict):
        return _Overrides(), False
    flags = {key: _flag(value[key]) for key in _FLAG_KEYS if key in value}
    numbers = {key: _whole(value[key], allowed) for key, allowed in _NUMBER_KEYS.items() if key in value}
    sound = None not in flags.values() and None not in numbers.values()
    respects = flags.get(_RESPECTS)
    return (
        _Overrides(
            # R53: an unusable value fails closed, windows are respected.
            respect_exclusion_windows=True if _RESPECTS in flags and respects is None else respects,
            enable_followups=flags.get("enable_followups"),
            skip_failed_underwriting=flags.get("skip_failed_underwriting"),
            days_before_event=numbers.get("days_before_event"),
            priority=numbers.get("priority"),
        ),
        sound,
    )


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make a key that is given twice unusable: which of the two a reader takes is a matter of luck."""
    value = dict(pairs)
    if len(value) < len(pairs):
        value |= {key: None for key, count in Counter(key for key, _ in pairs).items() if count > 1}
    return value


def _flag(value: object) -> bool | None:
    return bool(value) if isinstance(value, bool) or (isinstance(value, int) and value in {0, 1}) else None


def _whole(value: object, allowed: tuple[int, int]) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if allowed[0] <= value <= allowed[1] else None


def _settings(kind: CampaignType, overrides: _Overrides) -> Settings:
    """Return a type's settings with an instance's overrides over them."""
    own = overrides
    return Settings(
        respect_exclusion_windows=_or(own.respect_exclusion_windows, kind.respect_exclusion_windows),
        enable_followups=_or(own.enable_followups, kind.enable_followups),
        skip_failed_underwriting=_or(own.skip_failed_underwriting, kind.skip_failed_underwriting),
        days_before_event=max(
            -_DAYS_BEFORE_MAX, min(_or(own.days_before_event, kind.days_before_event), _DAYS_BEFORE_MAX)
        ),
        priority=_or(own.priority, kind.priority),
    )


def _or(own: Value | None, default: Value) -> Value:
    return default if own is None else own


def carrier_numbers(campaign: Campaign, carriers: Sequence[str]) -> Int32:
    """Return the positions in ``carriers`` of those that a campaign asks for."""
    wanted = campaign.carriers or frozenset()
    return np.array([i for i, name in enumerate(carriers) if name in wanted], dtype=np.int32)
