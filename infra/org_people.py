"""Contacts, tombstones and what contacts did, by sqlite-utils: read and written set by set."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlite_utils import Database

from core.runs.item_ports import (
    CONTACT_COLUMNS,
    AppendWrites,
    Breach,
    Columns,
    InstanceRef,
    ParkedItem,
    PeopleWrites,
    StoredPeople,
    Tombstone,
    UpsertOrder,
)
from core.runs.recovery import DELETED
from infra.migrations import carrier_column

PERSONAL_TABLES: Final = ("contact_campaigns", "tracking_clicks", "contact_events", "scheduler_parked_items")
"""What else is known about a contact; it goes with the contact."""

_STATUS: Final = "COALESCE(CAST(people.status AS TEXT), '')"
_TOMBSTONED: Final = "scheduler_tombstones AS stone CROSS JOIN contacts AS people ON people.id = stone.contact_id"
_PARKED: Final = "contact_id, kind, content, source, event_id, item_index, parked_at"
_ENROLMENT: Final = (
    "INSERT INTO contact_campaigns (contact_id, campaign_instance_id, trigger_date, metadata, status, created_at, "
    "updated_at) VALUES (?, ?, ?, ?, 'pending', ?, ?)"
)
_CLICK: Final = "INSERT INTO tracking_clicks (contact_id, tracking_id, clicked_at, url) VALUES (?, ?, ?, ?)"
_ANSWER: Final = (
    "INSERT INTO contact_events (contact_id, event_type, metadata, created_at) VALUES (?, 'eligibility_answered', ?, ?)"
)


def stored_people(db: Database, contact_ids: Sequence[int]) -> StoredPeople:
    """What is known of these contacts; each is looked up by its key."""
    wanted = [json.dumps(contact_ids)]
    names = _column_names(db)
    texts = ", ".join(
        "COALESCE(people.failed_underwriting, 0) <> 0"
        if name == "failed_underwriting"
        else f"CAST(people.{names[name]} AS TEXT)"
        for name in CONTACT_COLUMNS
    )
    contacts = (
        f"SELECT people.id, {texts} FROM json_each(?) AS wanted CROSS JOIN contacts AS people ON people.id = value"  # noqa: S608 - our own names
    )
    return StoredPeople(
        contacts={row[0]: row[1:] for row in db.execute(contacts, wanted)},
        tombstones={
            row[0]: Tombstone(*row[1:]) for row in _by_contact(db, "scheduler_tombstones", "reason, at", wanted)
        },
        orders={
            row[0]: UpsertOrder(*row[1:])
            for row in _by_contact(db, "scheduler_upserts", "at, source, sequence, event_id", wanted)
        },
    )


def change_people(db: Database, writes: PeopleWrites) -> None:
    """Write contacts, tombstones and orders in one transaction; deletes come first."""
    with db.atomic():
        if writes.deletes:
            _delete(db, writes.deletes)
        _upsert(db, writes.upserts)
        _many(
            db,
            "INSERT OR REPLACE INTO scheduler_tombstones (contact_id, reason, at) VALUES (?, ?, ?)",
            ((contact_id, *stone) for contact_id, stone in sorted(writes.tombstones.items())),
        )
        _many(db, "DELETE FROM scheduler_tombstones WHERE contact_id = ?", ((i,) for i in sorted(writes.lifted)))
        _many(
            db,
            "INSERT OR REPLACE INTO scheduler_upserts (contact_id, at, source, sequence, event_id) VALUES (?, ?, ?, ?, ?)",
            ((contact_id, *order) for contact_id, order in sorted(writes.orders.items())),
        )


def tombstoned_statuses(db: Database) -> list[str]:
    """The distinct statuses of contacts that are there and have a tombstone."""
    return [text for (text,) in db.execute(f"SELECT DISTINCT {_STATUS} FROM {_TOMBSTONED}")]  # noqa: S608 - our own names


def tombstone_breaches(db: Database, is_kept: Sequence[str]) -> list[Breach]:
    """Contacts with a tombstone that were deleted, or whose status is none of these texts."""
    sql = f"""SELECT people.id, reason, {_STATUS} FROM {_TOMBSTONED}
              WHERE reason = ? OR {_STATUS} NOT IN (SELECT value FROM json_each(?)) ORDER BY people.id"""  # noqa: S608
    return [Breach(*row) for row in db.execute(sql, [DELETED, json.dumps(is_kept)])]


def instance_ids(db: Database, refs: Sequence[InstanceRef]) -> Mapping[InstanceRef, int]:
    """The ids of those instances that exist; of two of one name the lower."""
    ids = [ref.instance_id for ref in refs if ref.instance_id is not None]
    names = [ref.campaign_type for ref in refs if ref.campaign_type is not None]
    sql = """SELECT id, CAST(campaign_type AS TEXT), CAST(instance_name AS TEXT) FROM campaign_instances
             WHERE id IN (SELECT value FROM json_each(?)) OR campaign_type IN (SELECT value FROM json_each(?))
             ORDER BY id"""
    by_id: set[int] = set()
    by_name: dict[tuple[str | None, str | None], int] = {}
    for row_id, campaign_type, name in db.execute(sql, [json.dumps(ids), json.dumps(names)]):
        by_id.add(row_id)
        by_name.setdefault((campaign_type, name), row_id)
    found: dict[InstanceRef, int] = {}
    for ref in refs:
        row_id = ref.instance_id if ref.instance_id in by_id else by_name.get((ref.campaign_type, ref.instance_name))
        if row_id is not None and (ref.instance_id is None or ref.instance_id in by_id):
            found[ref] = row_id
    return found


def enrolled(db: Database, contact_ids: Sequence[int]) -> list[tuple[int, int, str | None]]:
    """Contact, instance and trigger date of all enrolments of these contacts."""
    sql = """SELECT contact_id, campaign_instance_id, CAST(trigger_date AS TEXT) FROM contact_campaigns
             WHERE contact_id IN (SELECT value FROM json_each(?))"""
    return list(db.execute(sql, [json.dumps(contact_ids)]))


def ready_items(db: Database, *, parked_from: str) -> list[ParkedItem]:
    """Parked items whose contact is there by now, by arrival."""
    sql = f"""SELECT {_PARKED} FROM scheduler_parked_items AS item
              WHERE parked_at >= ? AND EXISTS (SELECT 1 FROM contacts WHERE id = item.contact_id) ORDER BY item.id"""  # noqa: S608 - our own names
    return [ParkedItem(*row) for row in db.execute(sql, [parked_from])]


def parked_counts(db: Database, *, parked_from: str) -> tuple[int, int]:
    """How many items are parked, and how many of them before a moment."""
    sql = "SELECT count(*), COALESCE(sum(parked_at < ?), 0) FROM scheduler_parked_items"
    parked, expired = db.execute(sql, [parked_from]).fetchone()
    return int(parked), int(expired)


def append_items(db: Database, writes: AppendWrites, *, at: str) -> None:
    """Append rows, park and unpark, in one transaction."""
    with db.atomic():
        enrolments = ((e.contact_id, e.instance_id, e.trigger_date, e.metadata, at, at) for e in writes.enrolments)
        _many(db, _ENROLMENT, enrolments)
        _many(db, _CLICK, writes.clicks)
        _many(db, _ANSWER, writes.answers)
        marks = ", ".join("?" * len(ParkedItem._fields))
        _many(db, f"INSERT INTO scheduler_parked_items ({_PARKED}) VALUES ({marks})", writes.park)  # noqa: S608
        _many(
            db,
            "DELETE FROM scheduler_parked_items WHERE source = ? AND event_id = ? AND item_index = ?",
            writes.unpark,
        )


def _delete(db: Database, contact_ids: Iterable[int]) -> None:
    """Delete contacts and what is known about them; what is scheduled is the plan's business (R92)."""
    wanted = [json.dumps(sorted(contact_ids))]
    db.execute("DELETE FROM contacts WHERE id IN (SELECT value FROM json_each(?))", wanted)
    for table in PERSONAL_TABLES:
        db.execute(f"DELETE FROM {table} WHERE contact_id IN (SELECT value FROM json_each(?))", wanted)  # noqa: S608


def _upsert(db: Database, upserts: Mapping[int, Columns]) -> None:
    """Insert or change contacts, those that give the same columns together."""
    names = _column_names(db)
    shapes: dict[tuple[str, ...], list[int]] = {}
    for contact_id in sorted(upserts):
        shapes.setdefault(tuple(sorted(upserts[contact_id])), []).append(contact_id)
    for shape, contact_ids in shapes.items():
        columns = [names[name] for name in shape]
        assignments = ", ".join(f"{name} = excluded.{name}" for name in columns)
        sql = (
            f"INSERT INTO contacts (id, {', '.join(columns)}) VALUES (?{', ?' * len(columns)}) "  # noqa: S608 - our own names
            f"ON CONFLICT (id) DO UPDATE SET {assignments}"
        )
        _many(db, sql, ((i, *(upserts[i][name] for name in shape)) for i in contact_ids))


def _column_names(db: Database) -> dict[str, str]:
    """The name of each column in this file: the carrier's has two (R9)."""
    present = (column.name for column in db.table("contacts").columns)
    return {name: name for name in CONTACT_COLUMNS} | {"carrier": carrier_column(present)}


def _by_contact(db: Database, table: str, columns: str, wanted: list[str]) -> Iterable[tuple]:  # type: ignore[type-arg]  # rows of any width
    sql = f"SELECT contact_id, {columns} FROM json_each(?) AS wanted CROSS JOIN {table} ON contact_id = value"  # noqa: S608
    return db.execute(sql, wanted)


def _many(db: Database, sql: str, rows: Iterable[Sequence[str | int | None]]) -> None:
    db.conn.executemany(sql, rows)
