"""Digests (R96): independent of row order and chunks; golden values by a few lines of Python's own integers."""

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from random import Random

import numpy as np
import pytest

from core.planning.calendar import day_number
from core.planning.diff import diff_schedule
from core.planning.hashing import mix64
from core.planning.plan import plan
from core.runs.reading import read_org
from tests.orgs import Org
from tests.plain_database import PlainDatabase

TODAY = day_number(date(2025, 3, 10))
U64 = 2**64
GOLDEN_STEP = 0x9E3779B97F4A7C15
NULL_ID = -(2**63)


# ------------------------------------------------------------------------------------------------ in plain integers


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % U64
    return z ^ (z >> 31)


def hash_text(text: str | None) -> int:
    if text is None:
        return 0x6E756C6C  # "null"
    raw = text.encode()
    total = sum((byte + 1) * mix((i + 1) * GOLDEN_STEP % U64) for i, byte in enumerate(raw))
    return mix((total + len(raw) * GOLDEN_STEP) % U64)


def hash_contact(contact_id: int, texts: Iterable[str | None], failed: int) -> int:
    row = mix(contact_id % U64 ^ 0xC0117AC7)
    for text in texts:
        row = mix(row ^ hash_text(text))
    return mix(row ^ failed)


def hash_row(contact_id: int, instance: int, parent: int, event: int, send: int, kind: list[object]) -> int:
    row = mix(contact_id % U64 ^ 0x5C4ED01E)
    for number in (instance, parent, event, send):
        row = (mix(row ^ number % U64) + 0x5C4ED01E) % U64
    text = json.dumps(kind, separators=(",", ":")).encode()
    return mix(row ^ int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))


def digest(hashes: Iterable[int]) -> str:
    rows = list(hashes)
    return f"{sum(rows) % U64:016x}{sum(mix(h ^ 1) for h in rows) % U64:016x}"


def test_r60_these_tests_mix_as_the_rule_book_does() -> None:
    assert mix(GOLDEN_STEP) == 0xE220A8397B1DCDAF


# ------------------------------------------------------------------------------------------------ contacts

CONTACTS: list[tuple[int, list[str | None], int]] = [
    (1, ["person1@example.com", "", None, "TX", "1960-06-15", None, "Aetna"], 0),
    (2_000_000_005, ["", " Deleted ", "06103", None, "soon", "2010-01-01", None], 1),
    (-7, [None, "", "", "ca", None, None, "caf\N{LATIN SMALL LETTER E WITH ACUTE}"], 0),
]
COLUMNS = ("email", "status", "zip_code", "state", "birth_date", "effective_date", "carrier")


def org_of_contacts() -> Org:
    org = Org()
    for contact_id, texts, failed in CONTACTS:
        org.insert("contacts", id=contact_id, failed_underwriting=failed, **dict(zip(COLUMNS, texts, strict=True)))
    return org


def contacts_checksum(org: Org, *, chunk_rows: int = 1000, seed: int | None = None) -> str:
    db = PlainDatabase(org.db, chunk_rows=chunk_rows, shuffle_seed=seed)
    return read_org(db, org.config, TODAY).contacts_checksum  # type: ignore[arg-type]


def test_r96_the_digest_of_contacts_is_this() -> None:
    assert contacts_checksum(org_of_contacts()) == digest(hash_contact(*c) for c in CONTACTS)


def test_r96_the_digest_of_no_contacts_is_zero() -> None:
    assert contacts_checksum(Org()) == "0" * 32


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 1000])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_r96_order_and_chunks_of_contacts_do_not_matter(chunk_rows: int, seed: int | None) -> None:
    org = org_of_contacts()
    assert contacts_checksum(org, chunk_rows=chunk_rows, seed=seed) == contacts_checksum(org)


@pytest.mark.parametrize("column", [*COLUMNS, "failed_underwriting"])
def test_r96_every_planning_column_of_a_contact_counts(column: str) -> None:
    org = org_of_contacts()
    before = contacts_checksum(org)
    org.db.execute(
        f"UPDATE contacts SET {column} = ? WHERE id = 1", (1 if column == "failed_underwriting" else "other",)
    )
    assert contacts_checksum(org) != before


@pytest.mark.parametrize("column", ["first_name", "last_name", "phone_number"])
def test_r96_other_columns_of_a_contact_do_not(column: str) -> None:
    org = org_of_contacts()
    before = contacts_checksum(org)
    org.db.execute(f"UPDATE contacts SET {column} = 'other'")
    assert contacts_checksum(org) == before


def test_r96_absent_and_empty_differ() -> None:
    org = org_of_contacts()
    before = contacts_checksum(org)
    org.db.execute("UPDATE contacts SET zip_code = '' WHERE id = 1")
    assert contacts_checksum(org) != before


def test_r96_two_contacts_that_swap_a_value_differ() -> None:
    org = org_of_contacts()
    before = contacts_checksum(org)
    org.db.execute("UPDATE contacts SET birth_date = CASE id WHEN 1 THEN 'soon' ELSE '1960-06-15' END WHERE id <> -7")
    assert contacts_checksum(org) != before


# ------------------------------------------------------------------------------------------------ schedule rows


def day(text: str) -> int:
    return day_number(date.fromisoformat(text))


BIRTHDAY: list[object] = ["birthday", "pre-scheduled", None, "08:30:00", 10, "birthday_template", None]
NEWS: list[object] = ["campaign_news", "skipped", "campaign_conflict", "08:30:00", 30, None, "sms"]
COLD: list[object] = ["followup_1_cold", "pre-scheduled", None, "08:30:00", 10, "followup_1_cold_template", None]
ROWS: list[tuple[int, int, int, str, str, list[object]]] = [
    (1, NULL_ID, NULL_ID, "2025-06-15", "2025-06-01", BIRTHDAY),
    (2_000_000_005, 3, NULL_ID, "2025-04-01", "2025-03-20", NEWS),
    (1, 0, 9, "1969-12-31", "2025-03-12", COLD),
]


def org_of_rows() -> Org:
    org = Org()
    for contact_id, instance, parent, event, send, kind in ROWS:
        names = (
            "email_type",
            "status",
            "skip_reason",
            "scheduled_send_time",
            "priority",
            "email_template",
            "sms_template",
        )
        org.insert(
            "email_schedules", contact_id=contact_id, campaign_instance_id=None if instance == NULL_ID else instance,
            parent_schedule_id=None if parent == NULL_ID else parent, event_date=event, scheduled_send_date=send,
            **dict(zip(names, kind, strict=True)),
        )  # fmt: skip
    return org


def rows_checksum(org: Org, *, chunk_rows: int = 1000, seed: int | None = None) -> str:
    db = PlainDatabase(org.db, chunk_rows=chunk_rows, shuffle_seed=seed)
    snapshot = read_org(db, org.config, TODAY).snapshot  # type: ignore[arg-type]
    before = diff_schedule(plan(snapshot, org.config, TODAY).rows, snapshot.schedule, TODAY).before
    return f"{int(before[0]):016x}{int(before[1]):016x}"


def test_r96_the_digest_of_owned_rows_is_this() -> None:
    expected = digest(hash_row(c, i, p, day(event), day(send), kind) for c, i, p, event, send, kind in ROWS)
    assert rows_checksum(org_of_rows()) == expected


def test_r96_the_digest_of_no_rows_is_zero() -> None:
    assert rows_checksum(Org()) == "0" * 32


@pytest.mark.parametrize("chunk_rows", [1, 2, 1000])
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_r96_order_and_chunks_of_rows_do_not_matter(chunk_rows: int, seed: int | None) -> None:
    org = org_of_rows()
    assert rows_checksum(org, chunk_rows=chunk_rows, seed=seed) == rows_checksum(org)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("contact_id", 5), ("campaign_instance_id", 8), ("event_date", "2025-06-16"), ("scheduled_send_date", "2025-06-02"),
        ("status", "skipped"), ("skip_reason", ""), ("scheduled_send_time", "08:31:00"), ("priority", 11),
        ("email_template", None), ("sms_template", ""), ("email_type", "birthday2"),
    ],
)  # fmt: skip
def test_r96_identity_and_content_of_a_row_count(column: str, value: object) -> None:
    org = org_of_rows()
    before = rows_checksum(org)
    org.db.execute(f"UPDATE email_schedules SET {column} = ? WHERE id = 1", (value,))
    assert rows_checksum(org) != before


def test_r96_the_parent_counts_for_follow_ups() -> None:
    org = org_of_rows()
    before = rows_checksum(org)
    org.db.execute("UPDATE email_schedules SET parent_schedule_id = 10 WHERE id = 3")
    assert rows_checksum(org) != before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE email_schedules SET scheduler_run_id = 'x', created_at = 'x', updated_at = 'x', metadata = 'x'",
        "UPDATE email_schedules SET id = id + 100",
        """INSERT INTO email_schedules (contact_id, email_type, event_date, scheduled_send_date, status)
        VALUES (1, 'aep', '2024-09-15', '2024-09-15', 'sent')""",
    ],
)
def test_r96_ids_runs_times_and_locked_rows_do_not_count(change: str) -> None:
    org = org_of_rows()
    before = rows_checksum(org)
    org.db.execute(change)
    assert rows_checksum(org) == before


def test_r96_two_equal_rows_do_not_cancel_out() -> None:
    org = org_of_rows()
    org.db.execute("DROP INDEX ux_schedules_identity")
    before = rows_checksum(org)
    columns = (
        "contact_id, email_type, event_date, scheduled_send_date, scheduled_send_time, status, priority, email_template"
    )
    for _ in range(2):
        org.db.execute(f"INSERT INTO email_schedules ({columns}) SELECT {columns} FROM email_schedules WHERE id = 1")
    assert rows_checksum(org) != before


def test_r60_the_mixer_agrees_with_plain_integers() -> None:
    random = Random(7)
    numbers = [0, 1, U64 - 1, *(random.randrange(U64) for _ in range(200))]
    assert mix64(np.array(numbers, dtype=np.uint64)).tolist() == [mix(n) for n in numbers]
