"""Bring any org database to the schema of ``schema.sql``: what is missing is added, what is more is kept (R9).

The contract is read from ``schema.sql`` itself, so there is no second list of columns. A database that has everything
is only read: a second call changes no byte. Not every column can be invented:

* A missing column that may be NULL or has a constant default is added so. ``CURRENT_TIMESTAMP`` cannot be the default
  of an added column; those are NULL in old rows, and the scheduler always writes them itself.
* ``email_schedules.event_date`` of old rows is taken from the columns event_year, event_month and event_day of the
  scheduler's predecessor, else it is the send date: under the predecessor a contact had one mail of a type per send
  date, so this is unique.
* ``contacts.carrier`` is not added where the table has ``current_carrier``: that one is read instead.
* Every other column that may not be NULL has to exist, as have the integer keys by which rows are read. A status is
  never invented: it says which rows are the scheduler's own.

The indexes of ``email_schedules`` are left to the writer of rows (``schema.sql`` says why).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import resources
from typing import Final

from sqlite_utils import Database
from sqlite_utils.db import Table

from core.runs.errors import ErrorCode, OrgError

CARRIER_ALIAS: Final = "current_carrier"
SCHEDULE_INDEXES: Final[dict[str, frozenset[str]]] = {
    "ux_schedules_identity": frozenset({"ux_schedules_identity", "ix_schedules_identity"}),
    "ix_schedules_due": frozenset({"ix_schedules_due"}),
}
"""Each index of email_schedules in ``schema.sql``, with the names under which it may exist."""

INDEX_NAMES: Final = "SELECT name FROM sqlite_master WHERE type = 'index' AND lower(tbl_name) = 'email_schedules'"

_SCHEMA: Final = """
SELECT group_concat(quote(type) || quote(name) || quote(tbl_name) || quote(sql), ';')
FROM (SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid)"""
"""All of a schema as one text: a value takes a microsecond on its way, and there are two hundred."""

_ROWID_TABLES: Final = ("tracking_clicks",)
_INVENTED: Final = {
    ("email_schedules", "event_date"): "",
    ("scheduler_checkpoints", "as_of"): "",
    ("scheduler_checkpoints", "status"): "",
    ("campaign_change_log", "field_changed"): "",
    ("campaign_change_log", "changed_at"): "",
}
"""Columns that may not be NULL and have no default, with what old rows get."""
_NEVER_ADDED: Final = frozenset({("email_schedules", "status"), ("campaign_types", "name")})
"""Columns without which a table says nothing: an empty one would silence every campaign, or free every locked row."""

_COMPLETE_SCHEMAS_MAX: Final = 1_000
_complete_schemas: set[bytes] = set()
"""Digests of schemas that lack nothing: most runs of a living process meet one, and save 1.5 of 2 milliseconds."""


@dataclass(frozen=True, slots=True)
class ContractColumn:
    """One column of ``schema.sql``."""

    name: str
    type: str
    not_null: bool
    default: str | None
    """SQL text."""
    key_position: int
    """1-based position in the primary key, 0 outside."""


@dataclass(frozen=True, slots=True)
class ContractTable:
    """One table of ``schema.sql``."""

    name: str
    create_sql: str
    columns: tuple[ContractColumn, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key's columns in order."""
        columns = sorted((column for column in self.columns if column.key_position), key=lambda c: c.key_position)
        return tuple(column.name for column in columns)

    @property
    def has_integer_key(self) -> bool:
        """Whether the table's b-tree is ordered by an integer column."""
        return self.key == ("id",)


@lru_cache(maxsize=1)
def contract() -> tuple[ContractTable, ...]:
    """Return the tables of ``schema.sql``."""
    with Database(memory=True, recursive_triggers=False, execute_plugins=False) as db:
        db.executescript(schema_sql())
        found = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return tuple(
            ContractTable(
                name,
                sql,
                tuple(
                    ContractColumn(c.name, c.type, bool(c.notnull), c.default_value, c.is_pk)
                    for c in db.table(name).columns
                ),
            )
            for name, sql in found
        )


def schema_sql() -> str:
    """Return the text of ``schema.sql``."""
    return resources.files("infra").joinpath("schema.sql").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _schedule_index_sql() -> dict[str, str]:
    """Return the CREATE INDEX statement of each of SCHEDULE_INDEXES."""
    with Database(memory=True, recursive_triggers=False, execute_plugins=False) as db:
        db.executescript(schema_sql())
        found = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        return {name: sql for name, sql in found if name in SCHEDULE_INDEXES}


def migrate(db: Database, org_id: str | None) -> bool:
    """Add what is missing, in one transaction; say whether the file changed or the next write will add an index.

    Raises OrgError SCHEMA_NOT_UNDERSTOOD, naming table and column, where something cannot be added; then nothing is
    changed.
    """
    schema = _digest_of_schema(db)
    if schema in _complete_schemas:
        return False
    steps = list(_steps(db, org_id))
    if steps:
        with db.atomic():
            for step in steps:
                step()
    indexes = (name for (name,) in db.execute(INDEX_NAMES).fetchall())
    if steps or missing_schedule_indexes(indexes):
        return True
    if len(_complete_schemas) >= _COMPLETE_SCHEMAS_MAX:
        _complete_schemas.clear()
    _complete_schemas.add(schema)
    return False


def missing_schedule_indexes(present: Iterable[str]) -> dict[str, str]:
    """Return name and SQL of each of SCHEDULE_INDEXES that is present under none of its names."""
    names = frozenset(present)
    return {index: sql for index, sql in _schedule_index_sql().items() if not names & SCHEDULE_INDEXES[index]}


def carrier_column(contact_columns: Iterable[str]) -> str:
    """Name the column of contacts that holds the carrier (R9)."""
    columns = {name.lower() for name in contact_columns}
    return "carrier" if "carrier" in columns or CARRIER_ALIAS not in columns else CARRIER_ALIAS


def _digest_of_schema(db: Database) -> bytes:
    """Digest of all that ``migrate`` looks at: the same schema needs the same steps, in every file."""
    ((schema,),) = db.execute(_SCHEMA).fetchall()
    return hashlib.sha256(str(schema).encode("utf-8", "surrogatepass")).digest()


def _steps(db: Database, org_id: str | None) -> Iterator[Callable[[], object]]:
    """Yield what is to be done; everything that can be refused is refused before the first step is taken."""
    kinds = {
        name.lower(): (name, kind, bool(without_rowid))
        for schema, name, kind, _, without_rowid, _ in db.execute("PRAGMA table_list").fetchall()
        if schema == "main" and not name.startswith("sqlite_")
    }
    if kinds and "contacts" not in kinds:
        raise _not_understood(org_id, "contacts: no such table")
    for table in contract():
        if table.name not in kinds:
            yield partial(db.execute, table.create_sql)
            continue
        stored_name, kind, without_rowid = kinds[table.name]
        if kind != "table":
            raise _not_understood(org_id, f"{table.name}: a {kind}, not a table")
        if without_rowid and (table.has_integer_key or table.name in _ROWID_TABLES):
            raise _not_understood(org_id, f"{table.name}: WITHOUT ROWID")
        yield from _column_steps(db, db.table(stored_name), table, org_id)


def _column_steps(
    db: Database, stored: Table, table: ContractTable, org_id: str | None
) -> Iterator[Callable[[], object]]:
    columns = {column.name.lower() for column in stored.columns}
    _check_key(db, stored, table, org_id)
    for column in table.columns:
        if column.name in columns or (column.name == "carrier" and CARRIER_ALIAS in columns):
            continue
        place = (table.name, column.name)
        if place in _NEVER_ADDED or (column.not_null and column.default is None and place not in _INVENTED):
            raise _not_understood(org_id, f"{table.name}.{column.name}: no such column")
        not_null_default = _INVENTED.get(place, _constant(column.default))
        yield partial(stored.add_column, column.name, column.type, not_null_default=not_null_default)
        if place == ("email_schedules", "event_date"):
            fill = f"UPDATE email_schedules SET event_date = {_old_event_date(columns)}"  # noqa: S608
            yield partial(db.execute, fill)


def _check_key(db: Database, stored: Table, table: ContractTable, org_id: str | None) -> None:
    """Refuse a table whose key is not the contract's: rows are read by it, and found again by it."""
    if table.name in _ROWID_TABLES or not (table.has_integer_key or "WITHOUT ROWID" in table.create_sql):
        return
    key = sorted((c for c in stored.columns if c.is_pk), key=lambda c: c.is_pk)
    if tuple(column.name.lower() for column in key) != table.key:
        raise _not_understood(
            org_id, f"{table.name}.{table.key[0]}: the primary key has to be ({', '.join(table.key)})"
        )
    # Only a primary key that is the rowid itself has no index of its own; INT PRIMARY KEY looks alike and may hold
    # anything.
    origins = {row[3] for row in db.execute(f"PRAGMA index_list({table.name})").fetchall()}
    if table.has_integer_key and "pk" in origins:
        raise _not_understood(org_id, f"{table.name}.{table.key[0]}: has to be INTEGER PRIMARY KEY")


def _old_event_date(columns: set[str]) -> str:
    """SQL of the event date of rows that were written without one."""
    if {"event_year", "event_month", "event_day"} <= columns:
        date = "date(printf('%04d-%02d-%02d', event_year, event_month, event_day))"
        known = "event_year BETWEEN 1900 AND 2100 AND event_month IS NOT NULL AND event_day IS NOT NULL"
        return f"COALESCE(CASE WHEN {known} THEN {date} END, scheduled_send_date, '')"
    return "COALESCE(scheduled_send_date, '')"


def _constant(default: str | None) -> str | int | None:
    """Return a default as ``add_column`` wants it; None where there is none, or one that changes with the clock."""
    if default is None or default.upper() == "CURRENT_TIMESTAMP":
        return None
    return default if default.startswith("'") else int(default)


def _not_understood(org_id: str | None, detail: str) -> OrgError:
    return OrgError(ErrorCode.SCHEMA_NOT_UNDERSTOOD, org_id, detail)
