"""What events change in the small tables of an org database: campaigns with their log, configuration (R13, R58)."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from sqlite_utils import Database

from core.runs.change_ports import CampaignWrites, InstanceKey, StoredCampaigns
from core.runs.errors import ErrorCode, OrgError
from infra.migrations import contract

ROWS_MAX: Final = 100_000
"""Rows that are read of a table that people write."""
_TEXT_CHARACTERS_MAX: Final = 10_001
"""One more than the longest text of an event: what is cut here equals none of them."""

_TYPE_COLUMNS: Final = (
    "respect_exclusion_windows", "enable_followups", "days_before_event", "target_all_contacts", "priority", "active",
    "spread_evenly", "skip_failed_underwriting",
)  # fmt: skip
_INSTANCE_COLUMNS: Final = (
    "id", "email_template", "sms_template", "active_start_date", "active_end_date", "spread_start_date",
    "spread_end_date", "target_states", "target_carriers", "metadata",
)  # fmt: skip

Columns = Mapping[str, str | None]


def stored_campaigns(db: Database, type_names: Sequence[str] | None) -> StoredCampaigns:
    """The types of these names (None: all) and their instances; of two instances of one name the lower id counts."""
    wanted = None if type_names is None else json.dumps(type_names)
    types: dict[str, Columns] = {}
    for name, *values in _rows(db, "campaign_types", ("name", *_TYPE_COLUMNS), "name", "name", wanted):
        if name is not None:
            types.setdefault(name, dict(zip(_TYPE_COLUMNS, values, strict=True)))
    instances: dict[InstanceKey, Columns] = {}
    columns = ("campaign_type", "instance_name", *_INSTANCE_COLUMNS)
    for kind, name, *values in _rows(db, "campaign_instances", columns, "id", "campaign_type", wanted):
        key = InstanceKey(kind or "", name or "")
        instances.setdefault(key, dict(zip(_INSTANCE_COLUMNS, values, strict=True)))
    return StoredCampaigns(types, instances)


def change_campaigns(db: Database, writes: CampaignWrites, *, at: str, by: str | None) -> None:
    """Write types, instances and log in one transaction; log rows name the ids that their instances then have."""
    with db.atomic():
        for name, columns in writes.new_types.items():
            row: dict[str, str | int | None] = {"name": name, "created_at": at, "updated_at": at}
            db.table("campaign_types").insert(row | _type_defaults() | _numbers(columns))
        for name, columns in writes.types.items():
            _update(db, "campaign_types", {"name": name}, {**_numbers(columns), "updated_at": at})
        for key, columns in writes.new_instances.items():
            db.table("campaign_instances").insert({**key._asdict(), **columns, "created_at": at, "updated_at": at})
        for key, columns in writes.instances.items():
            _update(db, "campaign_instances", key._asdict(), {**columns, "updated_at": at})
        ids = _ids_of(db, {logged.instance.campaign_type for logged in writes.log})
        db.table("campaign_change_log").insert_all(
            {
                "campaign_instance_id": ids[logged.instance],
                "field_changed": logged.field_changed,
                "old_value": logged.old_value,
                "new_value": logged.new_value,
                "changed_at": at,
                "changed_by": by,
                "requires_rescheduling": int(logged.requires_rescheduling),
            }
            for logged in writes.log
        )


def open_config(
    db: Database, config_data: str, *, closes: int | None, at: str, by: str | None, note: str | None
) -> None:
    """End the row in force and open the new one, in one transaction (R13)."""
    with db.atomic():
        if closes is not None:
            db.execute("UPDATE config_versions SET valid_to = ? WHERE id = ?", [at, closes])
        row = {"config_data": config_data, "valid_from": at, "created_at": at, "created_by": by, "note": note}
        db.table("config_versions").insert(row)


def _rows(
    db: Database, table: str, columns: Sequence[str], order: str, filtered: str, wanted: str | None
) -> list[tuple[str | None, ...]]:
    """Read columns as texts, in order; ``wanted`` is a JSON list of values of the filtered column, None: all rows."""
    texts = ", ".join(f"substr(CAST({name} AS TEXT), 1, {_TEXT_CHARACTERS_MAX})" for name in columns)
    condition = "" if wanted is None else f"WHERE {filtered} IN (SELECT value FROM json_each(?))"  # noqa: S608 - our own names
    sql = f"SELECT {texts} FROM {table} {condition} ORDER BY {order} LIMIT {ROWS_MAX + 1}"  # noqa: S608
    rows = db.execute(sql, [] if wanted is None else [wanted]).fetchall()
    if len(rows) > ROWS_MAX:
        raise OrgError(ErrorCode.SCHEMA_NOT_UNDERSTOOD, None, f"{table}: more than {ROWS_MAX} rows")
    return rows


def _update(db: Database, table: str, identity: Mapping[str, str], columns: Mapping[str, str | int | None]) -> None:
    assignments = ", ".join(f"{name} = ?" for name in columns)
    condition = " AND ".join(f"{name} = ?" for name in identity)
    sql = f"UPDATE {table} SET {assignments} WHERE {condition}"  # noqa: S608 - our own names
    db.execute(sql, [*columns.values(), *identity.values()])


def _ids_of(db: Database, type_names: set[str]) -> dict[InstanceKey, int]:
    """Return the id of every instance of these types."""
    sql = """SELECT campaign_type, instance_name, id FROM campaign_instances
             WHERE campaign_type IN (SELECT value FROM json_each(?)) ORDER BY id DESC"""
    rows = db.execute(sql, [json.dumps(sorted(type_names))]).fetchall()
    return {InstanceKey(kind or "", name or ""): row_id for kind, name, row_id in rows}  # the lowest id comes last


def _type_defaults() -> dict[str, str | int | None]:
    """What the schema says of a new type's columns; a table that others made may say something else."""
    (table,) = (table for table in contract() if table.name == "campaign_types")
    return {c.name: int(c.default) for c in table.columns if c.name in _TYPE_COLUMNS and c.default is not None}


def _numbers(columns: Columns) -> dict[str, str | int | None]:
    """Return a type's columns as the numbers that they are."""
    return {name: None if text is None else int(text) for name, text in columns.items()}
