"""Smoothing, late items and the daily cap (R60-R66)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tests.reference.windows import excluded

if TYPE_CHECKING:
    from tests.reference.config import Config, Profile
    from tests.reference.model import Item, Locked

MASK = 2**64 - 1
EPOCH = date(1970, 1, 1)
ONE_DAY = timedelta(days=1)
SMOOTHING, CATCH_UP = 1, 2


def mix(z: int) -> int:
    """The finaliser of R60."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def mail_hash(contact_id: int, purpose: int, code: int, k: int) -> int:
    """H of R60, unsigned."""
    key = ((purpose << 56) | (code << 48) | (k % 2**48)) & MASK
    return mix((contact_id * 0x9E3779B97F4A7C15 + key * 0xD1B54A32D192ED03) & MASK)


def dayno(day: date) -> int:
    """R2."""
    return (day - EPOCH).days


def blocked(item: Item, config: Config, day: date) -> str | None:
    """The reason why the item may not go out on that day; none if it does not respect windows (R46, R56)."""
    return excluded(item.contact, config, day) if item.respects_windows else None


def smooth(items: list[Item], locked: Locked, config: Config, profile: Profile, cap: int) -> None:
    """Step 3: spread the effective-date mail of crowded days (R61, R62)."""
    surviving = [item for item in items if item.email_type == "effective_date" and item.alive]
    cluster = Counter(item.ideal for item in surviving)
    for row in locked.rows:
        if row.email_type == "effective_date" and row.counting and row.event_date is not None:
            cluster[row.event_date - timedelta(days=config.effective_date_days_before)] += 1
    limit = max(1, min(profile.ed_daily_soft_limit, 3 * cap // 10))
    for item in surviving:
        if cluster[item.ideal] > limit:
            target = smoothed_target(item, profile.ed_smoothing_window_days)
            if target <= item.deadline and blocked(item, config, target) is None:
                item.target = target


def smoothed_target(item: Item, window_days: int) -> date:
    """R62: the ideal date moved by an offset that depends on the contact and the year alone."""
    remainder = mail_hash(item.contact.id, SMOOTHING, 2, item.event_date.year) % window_days
    return item.ideal + timedelta(days=remainder - window_days // 2)


def catch_up(items: list[Item], config: Config, today: date) -> None:
    """Step 4: items whose target has passed get a new one, or the reason why not (R63)."""
    for item in items:
        if item.alive and item.target < today:
            item.target = late_target(item, config, today)
            item.checked_on = item.target
            item.skip_reason = blocked(item, config, item.target)


def late_target(item: Item, config: Config, today: date) -> date:
    """R63: anniversaries have a slot on an absolute calendar, everything else goes out today."""
    if item.email_type not in ("birthday", "effective_date"):
        return today
    spread_days = config.catch_up_spread_days
    own = mail_hash(item.contact.id, CATCH_UP, item.code, item.event_date.year) % spread_days
    slot = today + timedelta(days=(own - dayno(today) % spread_days) % spread_days)
    return max(today, min(slot, item.deadline))


@dataclass(frozen=True)
class Limits:
    """Cap and threshold of a day (R64)."""

    cap: int
    threshold: int


def apply_cap(items: list[Item], fixed: Counter[date], config: Config, today: date, limits: Limits) -> list[date]:
    """Step 7: carry what is too much to the next day, day by day (R66). Moves targets; returns `cap_exceeded_days`."""
    waiting: dict[date, list[Item]] = {}
    for item in items:
        if item.alive:
            if item.target < today:
                raise AssertionError("a target in the past after step 4")
            waiting.setdefault(item.target, []).append(item)
    exceeded: list[date] = []
    day = today
    carried: list[Item] = []
    while waiting or carried:
        due = waiting.pop(day, []) + carried
        carried, over = settle(due, day, fixed[day], config, limits)
        for item in due:
            item.target = day  # those carried get theirs tomorrow
        if over:
            exceeded.append(day)
        day += ONE_DAY
    return exceeded


def settle(due: list[Item], day: date, fixed: int, config: Config, limits: Limits) -> tuple[list[Item], bool]:
    """One day: the items to be carried to the next one, and whether unmovable ones push the day over the cap."""
    if fixed + len(due) <= limits.threshold:
        return [], False
    tomorrow = day + ONE_DAY
    movable = [item for item in due if tomorrow <= item.deadline and blocked(item, config, tomorrow) is None]
    unmovable_count = len(due) - len(movable)
    movable.sort(key=overflow_order)
    room = max(0, limits.cap - fixed - unmovable_count)
    return movable[room:], unmovable_count > 0 and fixed + unmovable_count > limits.cap


def overflow_order(item: Item) -> tuple[int, date, int, int, int, date]:
    """R66: who stays first."""
    return item.priority, item.ideal, item.contact.id, item.code, item.instance_or_zero, item.event_date
