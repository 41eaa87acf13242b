"""How two versions of a schedule differ: by identity, never by row id."""

import pytest

from core.planning.schedule import Schedule, gather_schedule
from handlers.cli_recovery_output import DateMove, RowChange
from handlers.version_diff import compare_versions
from tests.orgs import Org
from tests.plain_database import PlainDatabase


def version(*rows: dict[str, object]) -> Schedule:
    org = Org()
    for values in rows:
        defaults = {
            "contact_id": 1, "email_type": "birthday", "event_date": "2026-04-02", "scheduled_send_date": "2026-03-19",
        }  # fmt: skip
        org.insert("email_schedules", **{**defaults, **values})
    return gather_schedule(PlainDatabase(org.db).schedule_chunks())


def change(kind: str, before: str | None, after: str | None, rows: int = 1, email_type: str = "birthday") -> RowChange:
    def split(state: str | None) -> tuple[str | None, str | None]:
        status, _, reason = (state or "").partition(": ")
        return status or None, reason or None

    (status_before, reason_before), (status_after, reason_after) = split(before), split(after)
    return RowChange(
        kind=kind, email_type=email_type, status_before=status_before, reason_before=reason_before,  # type: ignore[arg-type]
        status_after=status_after, reason_after=reason_after, rows=rows,
    )  # fmt: skip


P = "pre-scheduled"


def test_equal_versions_differ_in_nothing_whatever_their_ids() -> None:
    found = compare_versions(version({"id": 5}), version({"id": 9}))
    assert (found.changes, found.moves, found.unchanged) == ((), (), 1)


@pytest.mark.parametrize("rows", [0, 1])
def test_empty_versions(rows: int) -> None:
    some = version(*[{}] * rows)
    assert compare_versions(some, version()).changes == ((change("dropped", P, None),) if rows else ())
    assert compare_versions(version(), some).changes == ((change("added", None, P),) if rows else ())


def test_rows_are_added_moved_changed_and_dropped() -> None:
    before = version(
        {"contact_id": 1}, {"contact_id": 2}, {"contact_id": 3}, {"contact_id": 4}, {"contact_id": 5},
    )  # fmt: skip
    after = version(
        {"contact_id": 1, "scheduled_send_date": "2026-03-20"},
        {"contact_id": 2, "status": "sent", "actual_send_datetime": "2026-03-21 08:00:00"},
        {"contact_id": 3, "status": "skipped", "skip_reason": "frequency_limit", "scheduled_send_date": "2026-03-18"},
        {"contact_id": 4},
        {"contact_id": 6},
        {"contact_id": 7},
    )
    found = compare_versions(before, after)
    assert found.changes == (
        change("added", None, P, 2),
        change("moved", P, P),
        change("moved", P, "skipped: frequency_limit"),
        change("changed", P, "sent"),
        change("dropped", P, None),
    )
    assert found.unchanged == 1
    assert [(m.rows, str(m.from_day), str(m.to_day)) for m in found.moves] == [
        (1, "2026-03-19", "2026-03-18"), (1, "2026-03-19", "2026-03-20"),
    ]  # fmt: skip
    assert isinstance(found.moves[0], DateMove)


def test_r7_instances_types_and_parents_tell_rows_apart() -> None:
    before = version({}, {"campaign_instance_id": 1, "email_type": "campaign_x"}, {"email_type": "aep"})
    after = version({}, {"campaign_instance_id": 2, "email_type": "campaign_x"}, {"email_type": "aep"})
    found = compare_versions(before, after)
    assert [(line.kind, line.email_type) for line in found.changes] == [
        ("added", "campaign_x"), ("dropped", "campaign_x"),
    ]  # fmt: skip
    assert found.unchanged == 2


def test_twins_go_pair_by_pair() -> None:
    twin: dict[str, object] = {"status": "sent", "scheduled_send_time": "08:00:00"}
    org = version(twin)
    two = _with_twin()
    assert compare_versions(org, two).changes == (change("added", None, "sent"),)
    assert compare_versions(two, two).unchanged == 2


def _with_twin() -> Schedule:
    """Two rows of one identity, as a table without the unique index can have them."""
    org = Org()
    org.db.execute("DROP INDEX ux_schedules_identity")
    for _ in range(2):
        org.insert(
            "email_schedules", contact_id=1, email_type="birthday", event_date="2026-04-02",
            scheduled_send_date="2026-03-19", status="sent", scheduled_send_time="08:00:00",
        )  # fmt: skip
    return gather_schedule(PlainDatabase(org.db).schedule_chunks())
