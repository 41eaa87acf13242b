"""The small tables of an org database, by sqlite-utils: configuration, campaigns, checkpoints, runs, events."""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Final

from sqlite_utils import Database

from core.planning.snapshot import CampaignInstance, CampaignType
from core.runs.checkpoint import Checkpoint, CheckpointMark
from core.runs.errors import ErrorCode, OrgError
from core.runs.ports import Commit, ConfigRow, StoredRun
from events.types import EventKey

EVENTS_KEPT_DAYS: Final = 75
"""Longer than a subscription keeps a message, plus its dead-letter subscription: a redelivery is always recognised."""

_ROWS_MAX: Final = 100_000
"""Rows that are read of a table that people write by hand."""
_TEXT_CHARACTERS_MAX: Final = 1_000_000

_PLAIN_BYTES_MAX: Final = 100_000
_PACKED: Final = "zlib:"

_LAST_CHECKPOINT: Final = """
SELECT scheduler_run_id, as_of, schedules_after_checksum, run_timestamp, config_hash FROM scheduler_checkpoints
WHERE as_of <> '' ORDER BY id DESC LIMIT 1"""
_OPEN_CHANGES: Final = "SELECT id FROM campaign_change_log WHERE processed_run_id IS NULL ORDER BY id"
_EVENT_RUNS: Final = """
SELECT source, event_id, run_id FROM scheduler_processed_events
WHERE (source, event_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))"""
_RUNS: Final = "SELECT run_id, completion_json FROM scheduler_runs WHERE run_id IN (SELECT value FROM json_each(?))"

_CHECKPOINT: Final = tuple(field.name for field in fields(Checkpoint))
_INSERT_CARRIED: Final = """
INSERT OR REPLACE INTO scheduler_processed_events (source, event_id, run_id, processed_at) VALUES (?, ?, ?, ?)"""


def config_rows(db: Database) -> list[ConfigRow]:
    """All rows of config_versions."""
    return [
        ConfigRow(int(row_id), str(data), str(valid_from), *(None if text is None else str(text) for text in rest))
        for row_id, data, valid_from, *rest in _rows(
            db, "config_versions", "id, config_data, valid_from, valid_to, created_at, created_by, note", "id"
        )
    ]


def last_checkpoint(db: Database) -> CheckpointMark | None:
    """The newest checkpoint of this scheduler (rows of a predecessor have no as_of)."""
    row = db.execute(_LAST_CHECKPOINT).fetchone()
    return None if row is None else CheckpointMark(*row)


def runs_of_events(db: Database, keys: Sequence[EventKey]) -> Mapping[EventKey, StoredRun]:
    """The runs that carried those of the events that were carried."""
    carried = db.execute(_EVENT_RUNS, [json.dumps(keys)]).fetchall()
    runs = dict(db.execute(_RUNS, [json.dumps(sorted({run_id for _, _, run_id in carried}))]).fetchall())
    return {
        EventKey(source, event_id): StoredRun(run_id, unpacked(runs[run_id]))
        for source, event_id, run_id in carried
        if run_id in runs
    }


def campaign_types(db: Database) -> list[CampaignType]:
    """All rows of campaign_types; numbers that are none count as 0, NULLs as the column's default."""
    columns = """CAST(name AS TEXT), COALESCE(respect_exclusion_windows, 1) <> 0, COALESCE(enable_followups, 1) <> 0,
      CAST(COALESCE(days_before_event, 0) AS INTEGER), COALESCE(target_all_contacts, 0) <> 0,
      CAST(COALESCE(priority, 30) AS INTEGER), COALESCE(active, 1) <> 0, COALESCE(spread_evenly, 0) <> 0,
      COALESCE(skip_failed_underwriting, 0) <> 0"""
    return [
        CampaignType(
            name,
            bool(respect),
            bool(followups),
            days,
            bool(everybody),
            priority,
            bool(active),
            bool(spread),
            bool(underwriting),
        )
        for name, respect, followups, days, everybody, priority, active, spread, underwriting in _rows(
            db, "campaign_types", columns, "name"
        )
        if name is not None
    ]


def campaign_instances(db: Database) -> list[CampaignInstance]:
    """All rows of campaign_instances; every column but the id as text, as it is stored."""
    texts = (
        "campaign_type", "email_template", "sms_template", "active_start_date", "active_end_date", "spread_start_date",
        "spread_end_date", "target_states", "target_carriers", "metadata", "created_at",
    )  # fmt: skip
    columns = ", ".join(f"substr(CAST({name} AS TEXT), 1, {_TEXT_CHARACTERS_MAX})" for name in texts)
    return [
        CampaignInstance(instance_id, campaign_type or "", *rest)
        for instance_id, campaign_type, *rest in _rows(db, "campaign_instances", f"id, {columns}", "id")
    ]


def open_change_log_ids(db: Database) -> list[int]:
    """All rows of campaign_change_log that no run has answered, templates too: a completed run stamps them (R58)."""
    return [row_id for (row_id,) in db.execute(_OPEN_CHANGES)]


def write_records(db: Database, commit: Commit) -> None:
    """Write checkpoint, run record, event ids and change-log stamps; forget what is past its keep."""
    checkpoint, run = commit.checkpoint, commit.run
    with db.atomic():
        db.execute(_insert("scheduler_checkpoints", _CHECKPOINT), [getattr(checkpoint, name) for name in _CHECKPOINT])
        record = run.run_id, packed(run.completion_json), checkpoint.run_timestamp
        db.execute(_insert("scheduler_runs", ("run_id", "completion_json", "committed_at")), record)
        for key in commit.event_keys:
            carried = key.source, key.id, run.run_id, checkpoint.run_timestamp
            db.execute(_INSERT_CARRIED, carried)
        if commit.change_log_ids:
            db.execute(
                "UPDATE campaign_change_log SET processed_run_id = ? WHERE id IN (SELECT value FROM json_each(?))",
                [run.run_id, json.dumps(commit.change_log_ids)],
            )
        _prune(db, checkpoint.run_timestamp, run.run_id)
        if commit.parked_before is not None:
            db.execute("DELETE FROM scheduler_parked_items WHERE parked_at < ?", [commit.parked_before])


def _insert(table: str, columns: Sequence[str]) -> str:
    """Return an insert of our own columns: the library's would look at the table's columns first, in every run."""
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608


def packed(completion_json: bytes) -> str:
    """Return a completion as it is stored: plain, or compressed where it lists thousands of claims and is kept for weeks."""
    if len(completion_json) <= _PLAIN_BYTES_MAX:
        return completion_json.decode()
    return _PACKED + b64encode(zlib.compress(completion_json, 6)).decode("ascii")


def unpacked(stored: str) -> bytes:
    """Return the completion as it was published."""
    if not stored.startswith(_PACKED):
        return stored.encode()
    return zlib.decompress(b64decode(stored.removeprefix(_PACKED)))


def _prune(db: Database, run_timestamp: str, run_id: str) -> None:
    """Forget events beyond their keep, and runs that no kept event names; this run stays even if it carried none."""
    db.execute(
        "DELETE FROM scheduler_processed_events WHERE datetime(processed_at) < datetime(?, ?)",
        [run_timestamp, f"-{EVENTS_KEPT_DAYS} days"],
    )
    db.execute(
        "DELETE FROM scheduler_runs WHERE datetime(committed_at) < datetime(?, ?) AND run_id <> ? "
        "AND run_id NOT IN (SELECT run_id FROM scheduler_processed_events)",
        [run_timestamp, f"-{EVENTS_KEPT_DAYS} days", run_id],
    )
    db.execute("DELETE FROM scheduler_upserts WHERE at < datetime(?, ?)", [run_timestamp, f"-{EVENTS_KEPT_DAYS} days"])


def _rows(db: Database, table: str, columns: str, order: str) -> list[tuple]:  # type: ignore[type-arg]  # rows of any width
    rows = db.execute(f"SELECT {columns} FROM {table} ORDER BY {order} LIMIT {_ROWS_MAX + 1}").fetchall()  # noqa: S608
    if len(rows) > _ROWS_MAX:
        raise OrgError(ErrorCode.SCHEMA_NOT_UNDERSTOOD, None, f"{table}: more than {_ROWS_MAX} rows")
    return rows
