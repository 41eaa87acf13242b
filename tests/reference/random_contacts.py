"""Random contacts: every kind of state rule, dates around today, and the dirt of real tables (R20-R25)."""

from __future__ import annotations

from datetime import date, timedelta

from tests.reference.dates import anniversary, real_date
from tests.reference.random_source import BAD_DATES, CONTACT_IDS, Source

ZIP_STATES = {
    "90210": "CA", "83702": "ID", "40202": "KY", "21201": "MD", "89101": "NV", "73102": "OK", "97201": "OR",
    "23219": "VA", "63101": "MO", "06103": "CT", "02108": "MA", "10001": "NY", "98101": "WA", "66101": "KS",
    "75201": "TX", "33101": "FL", "60601": "IL", "70112": "LA", "00601": "PR", "07030": "NJ", "20001": "DC",
    "06390": "NY", "06320": "CT", "72643": "MO", "72395": "AR", "73960": "TX", "83414": "WY", "09012": "AE",
}  # fmt: skip

STATE_COLUMNS = ("CA", "ca", " NV ", "MO", "KS", "IL", "NY", "VA", "ZZ", "California", "", "  ", None, None)
BAD_ZIPS = ("99999", "00000", "123456", "12", "9021O", "90210-12", "90210 1234", "", "  ", None, None)
NO_EMAILS = (None, "", "  ")
BAD_EMAILS = (*NO_EMAILS, "nobody", "a@b", "a b@c.com", "x@y.c", "ü@example.com", "a@@b.com")
CARRIERS = ("Aetna", " aetna ", "HUMANA", "Cigna", "", "  ", None)
STATUSES = ("", "", "", "active", "Active", " Unsubscribed ", "DELETED", "deceased", "do_not_contact")
FAILED = (0, 0, 0, 0, 1, 1, 2, "yes")


def add_contacts(source: Source) -> None:
    """Fill the contacts table."""
    for contact_id in CONTACT_IDS[: source.contacts]:
        zip_code, state = _place(source)
        source.insert(
            "contacts",
            {
                "id": contact_id,
                "email": _email(source, contact_id),
                "first_name": "Pat",
                "zip_code": zip_code,
                "state": state,
                "birth_date": _birth_date(source),
                "effective_date": _effective_date(source),
                "carrier": source.pick(CARRIERS),
                "failed_underwriting": source.pick(FAILED),
                "status": source.pick(STATUSES) if source.chance(0.3) else "",
            },
        )


def _email(source: Source, contact_id: int) -> str | None:
    if source.chance(0.08):
        return source.pick(BAD_EMAILS)
    address = f"c{contact_id}@example.com"
    return source.pick([address, address, address, f"  {address}\n"])


def _place(source: Source) -> tuple[str | None, str | None]:
    if source.chance(0.15):
        return source.pick(BAD_ZIPS), source.pick(STATE_COLUMNS)
    zip_code = source.pick(sorted(ZIP_STATES))
    state = ZIP_STATES[zip_code]
    spellings = [zip_code, zip_code, f" {zip_code} ", f"{zip_code}-1234", f"{zip_code}0042", zip_code.lstrip("0")]
    return source.pick(spellings), source.pick([state, state.lower(), source.pick(STATE_COLUMNS)])


def _birth_date(source: Source) -> str | None:
    if source.chance(0.15):
        return _strange_date(source)
    birthday = source.today + timedelta(days=_near_offset(source))
    age_years = source.rng.choice([60, 64, 65, 74, 75, 76, 77, 90, source.rng.randint(0, 5)])
    return source.date_text(anniversary(birthday, birthday.year - age_years))


def _near_offset(source: Source) -> int:
    """Days from today to an anniversary: on it, near it, at the edge of a window, or anywhere in the year."""
    after = (-64, -63, -61, -60, -34, -33, -31, -30, -1)
    edges = (*after, 0, 1, 13, 14, 15, 29, 30, 31, 60, 61, 75, 90, 91, 104, 105, 120)
    bucket = source.rng.random()
    if bucket < 0.35:
        return source.pick(edges)
    return source.rng.randint(-20, 20) if bucket < 0.6 else source.rng.randint(-183, 183)


def _effective_date(source: Source) -> str | None:
    if source.chance(0.15):
        return _strange_date(source)
    years = source.rng.choice([-1, 0, 1, 1, 1, 2, 3, 8])
    if source.chance(0.5):  # a crowd: the ideal dates fall on two days, close to today
        crowd = source.rng.choice([2, 2, 2, -3]) + source.config.effective_date_days_before
        day = source.today + timedelta(days=crowd)
    else:
        day = source.today + timedelta(days=_near_offset(source))
    return source.date_text(anniversary(day, day.year - years))


def _strange_date(source: Source) -> str | None:
    """Absent, unreadable, in the future, today, or a 29 February that is real or not."""
    leap = real_date(source.pick([1940, 1952, 1960, 2024]), 2, 29) or date(1960, 2, 29)
    choices: list[str | None] = [
        None,
        "",
        "   ",
        source.pick(BAD_DATES),
        source.pick(BAD_DATES),
        leap.isoformat(),
        f"{source.pick([1941, 1959, 2023])}-02-29",
        "1900-02-29",
        source.today.isoformat(),
        (source.today + timedelta(days=source.rng.randint(1, 400))).isoformat(),
        (source.today - timedelta(days=source.rng.randint(1, 364))).isoformat(),
        f"{source.today.year - 50}-12-31",
        f"{source.today.year - 70}-01-01",
    ]
    return source.pick(choices)
