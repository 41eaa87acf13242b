"""Contacts: email, dates, state, schedulable or not (R20-R24)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.reference.dates import lower, read_date, stripped, upper
from tests.reference.model import Contact, query

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from datetime import date

    from tests.reference.config import Config

STATE_CODES = frozenset(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH "
    "OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR VI GU AS MP FM MH PW AA AE AP".split()
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_ZIP_FULL = re.compile(r"([0-9]{5})(?:-?[0-9]{4})?")
_ZIP_SHORT = re.compile(r"[0-9]{3,4}")


def read_contacts(
    db: sqlite3.Connection, config: Config, today: date, zip_states: Mapping[str, str]
) -> tuple[dict[int, Contact], set[tuple[int, str]]]:
    """All contacts by id, and their issues (R24)."""
    contacts: dict[int, Contact] = {}
    issues: set[tuple[int, str]] = set()
    for row in query(db, "SELECT * FROM contacts ORDER BY id"):
        contact, codes = read_contact(row, config, today, zip_states)
        contacts[contact.id] = contact
        issues.update((contact.id, code) for code in codes)
    return contacts, issues


def read_contact(
    row: Mapping[str, Any], config: Config, today: date, zip_states: Mapping[str, str]
) -> tuple[Contact, set[str]]:
    """One contact and its issue codes. Every issue is noted, also for contacts that are not schedulable."""
    issues = set[str]()
    email_issue = judge_email(row["email"])
    suppressed = is_suppressed(row["status"], config)
    birth_date, birth_bad = read_date(row["birth_date"])
    if birth_date is not None and birth_date > today:  # R21: a birth date after today is bad too
        birth_date, birth_bad = None, True
    effective_date, effective_bad = read_date(row["effective_date"])
    zip_state = state_of_zip(row["zip_code"], zip_states)
    column_state = state_of_column(row["state"])
    state = zip_state or column_state
    if email_issue is not None:
        issues.add(email_issue)
    if suppressed:
        issues.add("suppressed_status")
    if birth_bad:
        issues.add("bad_birth_date")
    if effective_bad:
        issues.add("bad_effective_date")
    if zip_state is not None and column_state is not None and zip_state != column_state:
        issues.add("state_mismatch")
    if state is None:
        issues.add("state_unknown")
    contact = Contact(
        id=row["id"],
        schedulable=email_issue is None and not suppressed,
        state=state,
        birth_date=birth_date,
        effective_date=effective_date,
        carrier=stripped(row["carrier"] if "carrier" in row else row.get("current_carrier")),
        failed_underwriting=row["failed_underwriting"] is not None and row["failed_underwriting"] != 0,
    )
    return contact, issues


def judge_email(value: object) -> str | None:
    """The issue of an address, or None (R20)."""
    email = stripped(value)
    if not email:
        return "missing_email"
    if _EMAIL.fullmatch(email) is None:
        return "invalid_email"
    return None


def is_suppressed(status: object, config: Config) -> bool:
    """R24: the status, stripped and lower-cased, is on the list; the list is case-insensitive (R10)."""
    return lower(stripped(status)) in {lower(stripped(entry)) for entry in config.suppressed_contact_statuses}


def state_of_zip(value: object, zip_states: Mapping[str, str]) -> str | None:
    """R23: the state of a ZIP that can be read and is in the table."""
    text = stripped(value)
    full = _ZIP_FULL.fullmatch(text)
    if full is not None:
        return zip_states.get(full.group(1))
    if _ZIP_SHORT.fullmatch(text) is not None:
        return zip_states.get(text.rjust(5, "0"))
    return None


def state_of_column(value: object) -> str | None:
    """R22: a known code, stripped and upper-cased."""
    code = upper(stripped(value))
    return code if code in STATE_CODES else None
