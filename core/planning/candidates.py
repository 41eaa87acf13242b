"""Anniversary candidates (R30-R36): birthday, effective date and AEP, with the occurrences before them (R51b)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from core.planning.almanac import month_day_of, next_anniversaries, year_of
from core.planning.calendar import day_number, to_date
from core.planning.columns import NO_DAY, Bool, Int16, Int32, Int64, parts_of
from core.planning.config import Config
from core.planning.contacts import Contacts
from core.planning.exclusion import Windows
from core.planning.handled import EventIndex
from core.planning.items import Items, Source, make_items
from core.planning.kinds import KindTable
from core.planning.ledger import Ledger
from core.planning.places import ContactPlaces
from core.planning.reasons import Reason, has_window_end
from core.planning.recent import RecentMail
from core.planning.rules import AEP, EMAIL_TYPES, UNKNOWN_STATE
from core.planning.text_dates import FIRST_DAY, LAST_DAY


@dataclass(frozen=True, slots=True)
class Frame:
    """What every step needs: the org's contacts, rules and date. Nothing here changes during a plan."""

    contacts: Contacts
    places: ContactPlaces
    """Of the contacts."""
    kinds: KindTable
    """Of the stored rows."""
    windows: Windows
    config: Config
    today: int
    handled: Mapping[str, EventIndex]
    """By email type: locked rows of that type (R33)."""
    recent: RecentMail

    @property
    def last_ideal(self) -> int | None:
        """The last ideal date that is planned, None without a limit (lookahead_days)."""
        return None if self.config.lookahead_days is None else self.today + self.config.lookahead_days

    def beyond_lookahead(self, ideal: Int32) -> Bool:
        """Whether each ideal date is too far ahead to be planned (R36, R51, R55)."""
        last = self.last_ideal
        return np.zeros(len(ideal), dtype=np.bool_) if last is None else ideal > last

    def barred_globally(self, contact: Int64 | Int32) -> Bool:
        """Whether underwriting bars each contact from all mail but AEP (R34)."""
        if not self.config.exclude_failed_underwriting_global:
            return np.zeros(len(contact), dtype=np.bool_)
        return self.contacts.failed_underwriting.take(contact)


@dataclass(frozen=True, slots=True)
class Occurrences:
    """The current and the previous occurrence of one type for the contacts that have one; parallel columns."""

    email_type: str
    contact: Int64
    event: Int32
    previous: Int32
    eligible: Bool
    """Whether the current occurrence is one that is written about (R31, R32, R35)."""
    previous_eligible: Bool
    source: Source
    """Of the items of the current occurrences."""


EVERYBODY: Final = slice(None)


def occurrences(frame: Frame, *, aep_superseded: bool, part: slice = EVERYBODY) -> list[Occurrences]:
    """Find the occurrences of the three built-in types for schedulable contacts of a known state (R24, R25).

    ``part`` says which rows of the contacts to look at: a plan goes part by part, so that these columns stay small.
    """
    contacts, config = frame.contacts, frame.config
    first = part.start or 0
    reachable = contacts.schedulable[part] & (contacts.state[part] != UNKNOWN_STATE)
    found = []
    for email_type, dates, months, days_before in (
        ("birthday", contacts.birth_day[part], None, config.birthday_days_before),
        (
            "effective_date",
            contacts.effective_day[part],
            config.effective_date_first_email_months,
            config.effective_date_days_before,
        ),
    ):
        rows = (reachable & (dates != NO_DAY)).nonzero()[0]
        place = dates.take(rows).astype(np.intp)
        place -= FIRST_DAY
        known = _anniversaries(frame.today, months)
        found.append(
            Occurrences(
                email_type=email_type,
                contact=rows + first,
                event=known.event.take(place),
                previous=known.previous.take(place),
                eligible=known.eligible.take(place),
                previous_eligible=known.previous_eligible.take(place),
                source=_until_the_day_before(frame, email_type, days_before),
            )
        )
    if config.aep_enabled and not aep_superseded:
        found.append(_aep(frame, reachable.nonzero()[0] + first))
    return found


@dataclass(frozen=True, slots=True)
class _Anniversaries:
    """The anniversaries of every date that there is (R21), from FIRST_DAY on: looked up for each contact."""

    event: Int32
    previous: Int32
    eligible: Bool
    previous_eligible: Bool


@lru_cache(maxsize=8)
def _anniversaries(today: int, first_months: int | None) -> _Anniversaries:
    """Work out the anniversaries on a date; ``first_months`` are None for birthdays, and for policies those of R32."""
    days = np.arange(FIRST_DAY, LAST_DAY + 1, dtype=np.int32)
    event, previous = next_anniversaries(month_day_of(days), today)
    if first_months is None:
        return _Anniversaries(event, previous, event > days, previous > days)  # R31
    old = (_old_enough(days, anniversary, first_months) for anniversary in (event, previous))
    return _Anniversaries(event, previous, *old)


def _until_the_day_before(frame: Frame, email_type: str, days_before: int) -> Source:
    """Return the source of anniversary mail: its deadline is the day before the event, or today (R31, R32)."""
    spec = EMAIL_TYPES[email_type]
    return Source(
        spec.code, spec.priority, days_before=days_before, deadline_days=days_before - 1, deadline_floor=frame.today
    )


def _old_enough(start: Int32, event: Int32, first_months: int) -> Bool:
    months = 12 * (year_of(event) - year_of(start))
    enough: Bool = (months >= first_months) & (event >= start)  # R32
    return enough


def _aep(frame: Frame, contact: Int64) -> Occurrences:
    """AEP is one date for the whole org: the earliest that is not more than the grace period ago (R35)."""
    config, spec = frame.config, EMAIL_TYPES["aep"]
    earliest = frame.today - config.late_grace_days
    year = to_date(earliest).year
    event = _aep_day(config, year)
    if event < earliest:
        year += 1
        event = _aep_day(config, year)
    listed = [config.aep_years is None or y in config.aep_years for y in (year, year - 1)]
    return Occurrences(
        email_type="aep",
        contact=contact,
        event=np.full(len(contact), event, dtype=np.int32),
        previous=np.full(len(contact), _aep_day(config, year - 1), dtype=np.int32),
        eligible=np.full(len(contact), listed[0], dtype=np.bool_),
        previous_eligible=np.full(len(contact), listed[1], dtype=np.bool_),
        source=Source(spec.code, spec.priority, deadline_days=config.late_grace_days),
    )


def _aep_day(config: Config, year: int) -> int:
    return day_number(to_date(0).replace(year=year, month=config.aep_month, day=config.aep_day))


def candidates(frame: Frame, found: Occurrences, ledger: Ledger) -> Items:
    """Turn current occurrences into items, underwriting checked (R33, R34, R36); counts what is not due."""
    handled = frame.handled[found.email_type]
    contact, event = found.contact, found.event
    ledger.consider(found.email_type, len(contact))
    contact, event = ledger.without("not_eligible", ~found.eligible, contact, event)
    contact, event = ledger.without("handled", handled.handles(contact, event), contact, event)
    ideal = event - np.int32(found.source.days_before)
    if frame.last_ideal is not None:
        contact, ideal = ledger.without("beyond_lookahead", frame.beyond_lookahead(ideal), contact, ideal)
    return make_items(contact, ideal, found.source, _barred(frame, contact, found.source))


def _barred(frame: Frame, contact: Int64, source: Source) -> Int16 | None:
    """R36: underwriting comes before everything else (AEP is exempt, R34)."""
    if source.type_code == AEP or not frame.config.exclude_failed_underwriting_global:
        return None
    return frame.barred_globally(contact) * np.int16(Reason.FAILED_UNDERWRITING__GLOBAL)


def meet_windows(frame: Frame, items: Items) -> None:
    """Skip what an exclusion keeps back at its ideal date (R40), the last of the checks there (R36, R56)."""
    respects_windows = bool(items.sources.respects_windows.all())
    for part in parts_of(len(items)):
        here = items.take(part)
        met = here.standing if respects_windows else here.standing & here.respects_windows
        np.copyto(here.reason, frame.windows.check(here.contact, here.ideal), where=met)


@dataclass(frozen=True, slots=True)
class Excluded:
    """Mails that a window kept back, to be made up for after it (R51); parallel columns."""

    contact: Int32
    checked: Int32
    """The day on which the window was met."""


def previous_excluded(frame: Frame, found: Occurrences) -> Excluded:
    """Return the previous occurrences that a window kept from going out and nobody sent since (R51b)."""
    contact, previous = found.contact, found.previous
    if not bool(found.previous_eligible.all()):
        rows = found.previous_eligible.nonzero()[0]
        contact, previous = contact.take(rows), previous.take(rows)
    checked = previous - np.int32(found.source.days_before)
    met = has_window_end(frame.windows.check(contact, checked)).nonzero()[0]
    contact, previous = contact.take(met), previous.take(met)
    owed = ~(frame.handled[found.email_type].handles(contact, previous) | frame.barred_globally(contact))
    return Excluded(contact[owed].astype(np.int32), checked.take(met)[owed])
