"""The shipped planner, reader and writer against the slow reference of tests/reference, over random orgs.

PLANNER_SEEDS says how many orgs (default 60); PLANNER_FIRST_SEED where to start, to replay a failure. Every other org goes
the ways that only large ones go: leaves read without SQL, rows matched by contact, columns worked out in parts.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from core.planning import columns, limits, matching
from core.planning.calendar import to_date
from core.runs.ports import OrgDatabase
from core.runs.reconcile import Order, Reconciled, reconcile
from events.types import OrgId
from infra import btree_read, packed_read
from infra.org_db import SqliteOrgStore
from tests.clocks import FixedClock
from tests.journals import ListJournal
from tests.reference.diff import ExpectedTable, expected_rows, planned_content
from tests.reference.planner import ReferencePlan, reference_plan
from tests.reference.random_orgs import RandomOrg, random_org

SCHEMA = (Path(__file__).parents[2] / "infra" / "schema.sql").read_text(encoding="utf-8")
FIRST_SEED = int(os.environ.get("PLANNER_FIRST_SEED", "0"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("PLANNER_SEEDS", "60")))

ORG = OrgId("random")
CONTENT = (
    "email_type, campaign_instance_id, event_date, scheduled_send_date, scheduled_send_time, status, skip_reason, "
    "priority, email_template, sms_template"
)


def stored(file: Path, where: str = "1") -> dict[int, tuple[Any, ...]]:
    with sqlite3.connect(file) as db:
        rows = db.execute(f"SELECT id, {CONTENT} FROM email_schedules WHERE {where}").fetchall()
    db.close()
    return {row[0]: row[1:] for row in rows}


def run(db: OrgDatabase, org: RandomOrg, run_id: str) -> Reconciled:
    order = Order(ORG, run_id, as_of=org.today, force=True)
    return reconcile(db, order, FixedClock(), ListJournal(), written=db.migrate())


def expect_content(file: Path, before: dict[int, tuple[Any, ...]], expected: ExpectedTable) -> None:
    after = stored(file)
    wanted = {i: content for i, content in before.items() if i not in expected.deleted}
    wanted |= expected.updated | expected.missed
    assert {i: c for i, c in after.items() if i in before} == wanted
    inserted = sorted((c for i, c in after.items() if i not in before), key=repr)
    assert inserted == sorted((planned_content(row) for row in expected.inserted), key=repr)


def expect_plan(result: Reconciled, reference: ReferencePlan) -> None:
    found = {
        (int(contact), result.plan.issues.issues[issue])
        for contact, issue in zip(result.plan.issues.contact_id, result.plan.issues.issue, strict=True)
    }
    assert found == reference.issues
    assert (result.plan.limits.cap, result.plan.limits.threshold) == (reference.cap, reference.threshold)
    assert [to_date(d) for d in result.plan.cap_exceeded_days.tolist()] == list(reference.cap_exceeded_days)


def as_if_large(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread a small org over many pages, and have it read and planned like one of millions of rows."""
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA page_size = 512")
        db.execute("VACUUM")
    db.close()
    monkeypatch.setattr(btree_read, "LEAVES_MIN", 1)
    monkeypatch.setattr(btree_read, "ROWS_MIN", 0)
    monkeypatch.setattr(packed_read, "FEW_ROWS", 0)
    monkeypatch.setattr(matching, "_LAYOUT_ROWS_MIN", 1)
    monkeypatch.setattr(matching, "_LAYOUTS_MAX", 10**6)
    monkeypatch.setattr(columns, "_PART_ROWS", 5)
    monkeypatch.setattr(limits, "_FEW_ITEMS", 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_leaves_exactly_the_rows_that_the_reference_asks_for(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = random_org(seed, schema_sql=SCHEMA)
    file = tmp_path / "org.db"
    with sqlite3.connect(file) as copy:
        org.db.backup(copy)
    copy.close()
    if seed % 2:
        as_if_large(file, monkeypatch)
    reference = reference_plan(org.db, org.overrides, org.today, org.zip_states)
    expected = expected_rows(org.db, reference, org.today)
    before = stored(file)

    db = SqliteOrgStore(chunk_rows=7).open(str(file), ORG)
    first = run(db, org, "run-1")
    db.write(first.commit)
    db.close()

    expect_plan(first, reference)
    expect_content(file, before, expected)

    content = file.read_bytes()
    second = run(SqliteOrgStore(chunk_rows=1000).open(str(file), ORG), org, "run-2")
    assert not second.changed
    assert second.difference.before.tolist() == first.difference.after.tolist()
    assert file.read_bytes() == content
