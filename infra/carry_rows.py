"""The locked rows of one version of an org database, carried into another: SQL around ``judge_rows``.

On one apsw connection: ``main`` is the version that is kept, ``lost`` the one that is read. What differs is found by
SQLite, row by row of the files; only that is judged, in batches of contacts, because no identity spans two of them.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final

import apsw

from core.planning.rules import OWNED_STATUSES
from core.runs.recovery import StoredRow, judge_rows
from infra.bulk_write import create_indexes

OWNED_SQL: Final = ", ".join(f"'{status}'" for status in OWNED_STATUSES)
"""The scheduler's own statuses (R3), for an SQL list."""

_BATCH_CONTACTS: Final = 2_000
_IDENTITY: Final = """row.id, COALESCE(row.contact_id, 0), CAST(row.email_type AS BLOB),
  COALESCE(row.campaign_instance_id, 0), row.parent_schedule_id, CAST(row.event_date AS BLOB), CAST(row.status AS BLOB)"""
_LOST_ROWS: Final = f"""
SELECT {_IDENTITY}, 0 FROM temp.lost_rows AS noted JOIN lost.email_schedules AS row ON row.id = noted.id
WHERE noted.contact_id IN (SELECT value FROM json_each(?)) ORDER BY row.id"""  # noqa: S608 - our own words
_HELD_ROWS: Final = f"""
SELECT {_IDENTITY}, noted.is_settled FROM temp.held_rows AS noted JOIN main.email_schedules AS row ON row.id = noted.id
WHERE noted.contact_id IN (SELECT value FROM json_each(?)) ORDER BY row.id"""  # noqa: S608
_NEXT_CONTACTS: Final = """
SELECT DISTINCT contact_id FROM temp.lost_rows WHERE ?1 IS NULL OR contact_id > ?1 ORDER BY contact_id LIMIT ?2"""
_TAKEN_IDS: Final = "SELECT id FROM main.email_schedules WHERE id IN (SELECT value FROM json_each(?))"
_DELETE_ROWS: Final = "DELETE FROM main.email_schedules WHERE id IN (SELECT value FROM json_each(?))"
_CARRIED_BY_STATUS: Final = """
SELECT CAST(status AS BLOB), count(*) FROM temp.carried
JOIN lost.email_schedules AS theirs ON theirs.id = lost_id GROUP BY 1 ORDER BY 1"""


def carry_rows(db: apsw.Connection, *, lost_is_newer: bool) -> dict[str, int]:
    """Carry the locked rows; returns how many of each status."""
    columns = common_columns(db, "email_schedules")
    _find_differing(db, columns)
    next_id = _next_id(db)
    had_twins = False
    for contacts in _contact_batches(db):
        lost = _stored_rows(db, _LOST_ROWS, contacts)
        ids = json_list([row.row_id for row in lost])
        taken = {int(str(row_id)) for (row_id,) in db.execute(_TAKEN_IDS, (ids,))}
        held = _stored_rows(db, _HELD_ROWS, contacts)
        judged = judge_rows(lost, held, taken, next_id=next_id, lost_is_newer=lost_is_newer)
        next_id = judged.next_id
        if judged.has_twins and not had_twins:
            had_twins = True
            db.execute("DROP INDEX IF EXISTS main.ux_schedules_identity")
        db.execute(_DELETE_ROWS, (json_list(judged.delete_row_ids),))
        before = count_of(db, "SELECT COALESCE(MAX(rowid), 0) FROM temp.carried")
        db.executemany("INSERT INTO temp.carried VALUES (?, ?, ?)", judged.carry)
        _insert_carried(db, columns, first=before + 1)
    _never_give_again(db)
    if had_twins:
        create_indexes(db)
    found = {text_of(status): int(str(rows)) for status, rows in db.execute(_CARRIED_BY_STATUS)}
    for table in ("lost_rows", "held_rows", "carried"):
        db.execute(f"DROP TABLE temp.{table}")
    return found


def _find_differing(db: apsw.Connection, columns: Sequence[str]) -> None:
    """Note the locked rows that the kept version lacks or has otherwise, and the kept version's rows of their contacts."""
    is_same = " AND ".join(f"theirs.{name} IS ours.{name}" for name in columns)
    is_locked = f"COALESCE(theirs.status, '') NOT IN ({OWNED_SQL})"
    db.execute("CREATE TEMP TABLE lost_rows (id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL)")
    db.execute(
        f"""INSERT INTO temp.lost_rows SELECT theirs.id, COALESCE(theirs.contact_id, 0)
        FROM lost.email_schedules AS theirs LEFT JOIN main.email_schedules AS ours ON ours.id = theirs.id
        WHERE {is_locked} AND NOT (ours.id IS NOT NULL AND {is_same})"""  # noqa: S608 - names of columns, quoted
    )
    db.execute("CREATE INDEX temp.lost_by_contact ON lost_rows (contact_id)")
    db.execute("CREATE TEMP TABLE held_rows (contact_id INTEGER NOT NULL, id INTEGER NOT NULL, is_settled INTEGER)")
    db.execute(
        f"""INSERT INTO temp.held_rows
        SELECT COALESCE(ours.contact_id, 0), ours.id,
          COALESCE(theirs.id IS NOT NULL AND {is_locked} AND theirs.id NOT IN (SELECT id FROM temp.lost_rows), 0)
        FROM main.email_schedules AS ours LEFT JOIN lost.email_schedules AS theirs ON theirs.id = ours.id
        WHERE COALESCE(ours.contact_id, 0) IN (SELECT contact_id FROM temp.lost_rows)"""  # noqa: S608 - our own words
    )
    db.execute("CREATE INDEX temp.held_by_contact ON held_rows (contact_id)")
    db.execute("CREATE TEMP TABLE carried (lost_id INTEGER, id INTEGER, parent_id INTEGER)")


def _contact_batches(db: apsw.Connection) -> Iterator[str]:
    """Yield the contacts with rows to carry, as lists in JSON; no statement is left open in between."""
    last: object = None
    while True:
        found = [row[0] for row in db.execute(_NEXT_CONTACTS, (last, _BATCH_CONTACTS)).fetchall()]
        if not found:
            return
        last = found[-1]
        yield json_list(found)


def _stored_rows(db: apsw.Connection, sql: str, contacts: str) -> list[StoredRow]:
    rows = db.execute(sql, (contacts,))
    return [
        StoredRow(
            row_id,
            contact_id,
            text_of(email_type),
            instance_id,
            parent_id,
            text_of(event),
            text_of(status),
            bool(settled),
        )
        for row_id, contact_id, email_type, instance_id, parent_id, event, status, settled in rows
    ]


def _insert_carried(db: apsw.Connection, columns: Sequence[str], *, first: int) -> None:
    """Insert the rows noted in ``carried`` from a rowid on; everything but id and parent as the lost version has it."""
    others = [name for name in columns if name not in {'"id"', '"parent_schedule_id"'}]
    names = ", ".join(others)
    values = ", ".join(f"theirs.{name}" for name in others)
    db.execute(
        f"""INSERT INTO main.email_schedules (id, parent_schedule_id, {names})
        SELECT carried.id, carried.parent_id, {values}
        FROM temp.carried JOIN lost.email_schedules AS theirs ON theirs.id = carried.lost_id
        WHERE carried.rowid >= ? ORDER BY carried.rowid""",  # noqa: S608 - names of columns, quoted
        (first,),
    )


def _next_id(db: apsw.Connection) -> int:
    """Return an id above all that either version ever gave to a row."""
    highest = [count_of(db, f"SELECT COALESCE(MAX(id), 0) FROM {place}.email_schedules") for place in ("main", "lost")]  # noqa: S608
    return max(*highest, *_sequences(db)) + 1


def _sequences(db: apsw.Connection) -> list[int]:
    """Return what each version remembers of the ids it gave; a table without AUTOINCREMENT remembers nothing."""
    found = []
    for place in ("main", "lost"):
        has = f"SELECT count(*) FROM {place}.sqlite_master WHERE name = 'sqlite_sequence'"  # noqa: S608
        wanted = f"SELECT COALESCE(MAX(seq), 0) FROM {place}.sqlite_sequence WHERE name = 'email_schedules'"  # noqa: S608
        found.append(count_of(db, wanted) if count_of(db, has) else 0)
    return found


def _never_give_again(db: apsw.Connection) -> None:
    """Keep AUTOINCREMENT's promise across versions: an id of the lost one is never another row's."""
    highest = max(_sequences(db))
    if highest and count_of(db, "SELECT count(*) FROM main.sqlite_master WHERE name = 'sqlite_sequence'"):
        db.execute("DELETE FROM main.sqlite_sequence WHERE name = 'email_schedules'")
        db.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES ('email_schedules', ?)", (highest,))


def common_columns(db: apsw.Connection, table: str) -> list[str]:
    """Return the columns that both versions of a table have, quoted; generated ones are nobody's to write."""
    found = []
    for place in ("main", "lost"):
        rows = db.execute("SELECT name FROM pragma_table_xinfo(?, ?) WHERE hidden = 0", (table, place))
        found.append([str(name) for (name,) in rows])
    theirs = {name.lower() for name in found[1]}
    return ['"' + name.replace('"', '""') + '"' for name in found[0] if name.lower() in theirs]


def count_of(db: apsw.Connection, sql: str) -> int:
    """Return the one number that a statement yields."""
    return int(str(db.execute(sql).get))


def json_list(values: Sequence[object]) -> str:
    """Return values for ``json_each``: lists of any length are one parameter."""
    return json.dumps(values)


def text_of(value: object) -> str:
    """Return a text that was read as bytes, because a database may hold text that is no UTF-8; NULL is empty."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
