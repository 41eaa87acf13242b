"""The rule book's tables: states, exclusion rules, size profiles. Data only; R-numbers refer to docs/rules.md."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

RuleKind = Literal["birthday_window", "effective_date_window", "year_round", "none"]

STATE_CODES: Final[tuple[str, ...]] = tuple(
    (
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR "
        "PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR VI GU AS MP FM MH PW AA AE AP"
    ).split()
)
"""R22: the only codes that are a state here; the position is the state's number in columns."""

UNKNOWN_STATE: Final = -1
"""The number of a state that is not known (R25)."""


class StateRule(NamedTuple):
    """When mail to people of a state is forbidden (R41). Both ends of a window are inclusive; the buffer is extra."""

    kind: RuleKind
    days_before: int = 0
    days_after: int = 0
    use_month_start: bool = False
    """The anchor is moved to the first day of its month."""
    age_76_plus: bool = False
    """Nobody of 76 or more is written to, on any day."""


NO_RULE: Final = StateRule("none")

STATE_RULES: Final[Mapping[str, StateRule]] = MappingProxyType(
    {
        "CA": StateRule("birthday_window", 30, 60),
        "ID": StateRule("birthday_window", 0, 63),
        "KY": StateRule("birthday_window", 0, 60),
        "MD": StateRule("birthday_window", 0, 30),
        "NV": StateRule("birthday_window", 0, 60, use_month_start=True),
        "OK": StateRule("birthday_window", 0, 60),
        "OR": StateRule("birthday_window", 0, 31),
        "VA": StateRule("birthday_window", 0, 30),
        "MO": StateRule("effective_date_window", 30, 33),
        "CT": StateRule("year_round"),
        "MA": StateRule("year_round"),
        "NY": StateRule("year_round"),
        "WA": StateRule("year_round"),
    }
)
"""R41. States that are not listed have no rule. Confirm the table with the business before going live."""


def rule_fields(rule: StateRule) -> dict[str, object]:
    """Return a rule under the names that ``state_rules`` of a configuration has for it."""
    return {
        "type": rule.kind,
        "before": rule.days_before,
        "after": rule.days_after,
        "use_month_start": rule.use_month_start,
        "age_76_plus": rule.age_76_plus,
    }


class SizeProfile(NamedTuple):
    """How much an org of a size sends a day, and how clusters are smoothed (R11)."""

    contacts_below: int | None
    daily_send_percentage_cap: float
    ed_daily_soft_limit: int
    ed_smoothing_window_days: int


SIZE_PROFILES: Final[Mapping[str, SizeProfile]] = MappingProxyType(
    {
        "small": SizeProfile(10_000, 0.20, 50, 3),
        "medium": SizeProfile(100_000, 0.10, 200, 5),
        "large": SizeProfile(500_000, 0.07, 500, 7),
        "enterprise": SizeProfile(None, 0.05, 1_000, 10),
    }
)


def profile_for(contact_count: int, size_profile: str) -> SizeProfile:
    """Pick the profile by name, or for ``auto`` by the number of schedulable contacts (R11)."""
    if size_profile != "auto":
        return SIZE_PROFILES[size_profile]
    return next(p for p in SIZE_PROFILES.values() if p.contacts_below is None or contact_count < p.contacts_below)


class TypeSpec(NamedTuple):
    """One built-in kind of mail."""

    code: int
    """The type code of R36; it enters the hash of R60 and every tie-break."""
    priority: int


BIRTHDAY: Final = 1
EFFECTIVE_DATE: Final = 2
AEP: Final = 3
POST_WINDOW: Final = 4
CAMPAIGN: Final = 5

EMAIL_TYPES: Final[Mapping[str, TypeSpec]] = MappingProxyType(
    {
        "birthday": TypeSpec(BIRTHDAY, 10),
        "effective_date": TypeSpec(EFFECTIVE_DATE, 20),
        "aep": TypeSpec(AEP, 30),
        "post_window": TypeSpec(POST_WINDOW, 40),
    }
)
"""R31, R32, R35, R51."""

CAMPAIGN_PREFIX: Final = "campaign_"
FOLLOWUP_PREFIX: Final = "followup_"
AEP_CAMPAIGN_TYPE: Final = "aep"
"""R35: an active campaign type of this name supersedes the built-in AEP mail; R34 does not apply to it."""

OWNED_STATUSES: Final = ("pre-scheduled", "skipped")
"""R3: only these rows are the scheduler's to change."""

COUNTING_STATUSES: Final = frozenset({"scheduled", "processing", "accepted", "deferred", "sent", "delivered"})
"""R4: went out, or will."""

SENT_STATUSES: Final = frozenset({"sent", "delivered"})
"""R80: what a follow-up can follow."""

HANDLED_DISTANCE_DAYS: Final = 180
"""R33: a locked mail of the type whose event is nearer than this stands for the occurrence."""

FIRST_FREE_HORIZON_DAYS: Final = 800
"""R50: how far the end of a window is looked for."""

AGE_LIMIT_YEARS: Final = 76
"""R40, R45."""
