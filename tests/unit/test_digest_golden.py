"""Golden values of docs/digests.md, by a second implementation in plain Python that shares no line with the first (R96)."""

import json
from datetime import date
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from core.planning import digest
from core.planning.calendar import day_number, to_date
from core.planning.columns import NO_DAY, NULL_ID, Int32, Int64, TextColumn
from core.planning.contacts import contacts_digest
from core.planning.snapshot import ContactChunk, RowKind

DOCUMENT = (Path(__file__).parents[2] / "docs" / "digests.md").read_text(encoding="utf-8")

WORD = 2**64

Text = str | bytes | None
Contact = tuple[int, Text, Text, Text, Text, Text, Text, Text, bool]
"""id, email, status, zip_code, state, birth_date, effective_date, carrier, failed_underwriting."""
Row = tuple[int, int | None, int | None, str | None, str | None, RowKind]
"""contact_id, campaign_instance_id, parent_schedule_id, event_date, scheduled_send_date, kind."""


# ------------------------------------------------------------------- the document, in Python without numpy


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def text_hash(value: Text) -> int:
    if value is None:
        return 0x6E756C6C
    raw = value.encode() if isinstance(value, str) else value
    step = 0x9E3779B97F4A7C15
    return mix((sum((byte + 1) * mix(i * step % WORD) for i, byte in enumerate(raw, 1)) + len(raw) * step) % WORD)


def in_hex(hashes: list[int]) -> str:
    return f"{sum(hashes) % WORD:016x}{sum(mix(h ^ 1) for h in hashes) % WORD:016x}"


def contact_hash(contact: Contact) -> int:
    contact_id, *texts, failed = contact
    h = mix(contact_id % WORD ^ 0xC0117AC7)
    for text in texts:
        assert not isinstance(text, bool | int)
        h = mix(h ^ text_hash(text))
    return mix(h ^ failed)


def kind_hash(kind: RowKind) -> int:
    text = json.dumps(list(kind), separators=(",", ":"), ensure_ascii=True)
    return int.from_bytes(blake2b(text.encode("ascii"), digest_size=8).digest(), "big")


def row_hash(row: Row) -> int:
    contact_id, instance_id, parent_id, event, send, kind = row
    seed = 0x5C4ED01E
    parent = parent_id if kind.email_type.startswith("followup_") else None
    numbers = [-(2**63) if n is None else n for n in (instance_id, parent)]
    numbers += [-(2**31) if d is None else (date.fromisoformat(d) - date(1970, 1, 1)).days for d in (event, send)]
    h = mix(contact_id % WORD ^ seed)
    for number in numbers:
        h = (mix(h ^ number % WORD) + seed) % WORD
    return mix(h ^ kind_hash(kind))


# ------------------------------------------------------------------------------- the same of the shipped code


def shipped_contacts(contacts: list[Contact]) -> str:
    def texts(position: int) -> TextColumn:
        return TextColumn.of([c[position] for c in contacts])  # type: ignore[misc]  # positions 1 to 7 are texts

    chunk = ContactChunk(
        contact_id=np.array([c[0] for c in contacts], dtype=np.int64),
        email=texts(1),
        status=texts(2),
        zip_code=texts(3),
        state=texts(4),
        birth_date=texts(5),
        effective_date=texts(6),
        carrier=texts(7),
        failed_underwriting=np.array([c[8] for c in contacts], dtype=np.bool_),
    )
    return digest.hex_digest(contacts_digest(chunk))


def shipped_rows(rows: list[Row]) -> str:
    def ids(values: list[int | None]) -> Int64:
        return np.array([NULL_ID if value is None else value for value in values], dtype=np.int64)

    def days(values: list[str | None]) -> Int32:
        return np.array([NO_DAY if v is None else day_number(date.fromisoformat(v)) for v in values], dtype=np.int32)

    kinds = tuple(dict.fromkeys(r[5] for r in rows))
    sums = digest.schedule_rows(
        contact_id=ids([r[0] for r in rows]),
        instance_id=ids([r[1] for r in rows]),
        parent_id=ids([r[2] for r in rows]),
        event_day=days([r[3] for r in rows]),
        send_day=days([r[4] for r in rows]),
        kind=np.array([kinds.index(r[5]) for r in rows], dtype=np.int32),
        kinds=kinds,
    )
    return digest.hex_digest(sums)


# ------------------------------------------------------------------------------------------ the golden values

ANN: Contact = (1, "ann@example.com", "", "78701", "TX", "1960-05-20", None, None, False)
BOB: Contact = (2, "bob@example.com", "active", None, "ca", "1960-06-15", "2020-07-10", "Acme", True)
BIRTHDAY = RowKind("birthday", "pre-scheduled", None, "08:30:00", 10, "birthday_template", None)
SKIPPED = RowKind(
    "birthday", "skipped", "exclusion:birthday_window:CA", "08:30:00", 10, "birthday_template", None
)  # fmt: skip
FOLLOWUP = RowKind("followup_1_cold", "pre-scheduled", None, "08:30:00", 10, "followup_1_cold_template", None)
CAMPAIGN = RowKind("campaign_señal", "pre-scheduled", None, "08:30:00", 30, "correo_ñ", "sms")
ROW_1: Row = (1, None, None, "2025-05-20", "2025-05-06", BIRTHDAY)
ROW_2: Row = (2, None, None, "2025-06-15", "2025-06-01", SKIPPED)
ROW_3: Row = (1, None, 77, "2025-05-20", "2025-05-08", FOLLOWUP)
ROW_4: Row = (2, 5, None, "2025-02-15", "2025-02-01", CAMPAIGN)

CONTACT_SETS: dict[str, list[Contact]] = {
    "Ann": [ANN],
    "Bob": [BOB],
    "Ann and Bob": [ANN, BOB],
    "Ann, carrier blank": [(*ANN[:7], "", False)],
}
ROW_SETS: dict[str, list[Row]] = {
    "row 1": [ROW_1],
    "row 2": [ROW_2],
    "row 3": [ROW_3],
    "row 4": [ROW_4],
    "rows 1 to 4": [ROW_1, ROW_2, ROW_3, ROW_4],
}


def quoted(name: str, value: str) -> bool:
    """Whether the document has a line of a table with this name and this value."""
    return any(line.startswith(f"| {name} |") and f"`{value}`" in line for line in DOCUMENT.splitlines())


@pytest.mark.parametrize("name", CONTACT_SETS)
def test_contacts_have_the_digest_of_the_document(name: str) -> None:
    expected = in_hex([contact_hash(contact) for contact in CONTACT_SETS[name]])
    assert shipped_contacts(CONTACT_SETS[name]) == expected
    assert quoted(name, expected), expected


@pytest.mark.parametrize("name", ROW_SETS)
def test_rows_have_the_digest_of_the_document(name: str) -> None:
    expected = in_hex([row_hash(row) for row in ROW_SETS[name]])
    assert shipped_rows(ROW_SETS[name]) == expected
    assert quoted(name, expected), expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mix(0x9e3779b97f4a7c15)", mix(0x9E3779B97F4A7C15)),
        ("text, NULL", text_hash(None)),
        ("text, empty", text_hash("")),
        ("text `a`", text_hash("a")),
        ("text `TX`", text_hash("TX")),
        ("text `XT`", text_hash("XT")),
        ("text `ñ`", text_hash("ñ")),
        ("Ann's hash", contact_hash(ANN)),
        ("kind of row 1", kind_hash(BIRTHDAY)),
        ("kind of row 4", kind_hash(CAMPAIGN)),
        ("row 1's hash", row_hash(ROW_1)),
    ],
)
def test_steps_on_the_way_are_those_of_the_document(name: str, value: int) -> None:
    assert quoted(name, f"{value:016x}"), f"{value:016x}"


def test_the_finalizer_is_that_of_the_rule_book() -> None:
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # R60


def test_the_digest_of_nothing_is_zero() -> None:
    assert in_hex([]) == digest.hex_digest(digest.zero()) == "0" * 32
    assert quoted("nothing", "0" * 32)


def test_a_row_without_readable_dates_has_a_digest_too() -> None:
    row: Row = (1, None, None, None, None, BIRTHDAY)
    expected = in_hex([row_hash(row)])
    assert shipped_rows([row]) == expected
    assert quoted("row 1 without readable dates", expected), expected


def test_dates_of_the_document_are_day_numbers() -> None:
    assert (day_number(to_date(0)), str(to_date(20228))) == (0, "2025-05-20")
    assert "20228" in DOCUMENT
