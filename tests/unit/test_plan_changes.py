"""What ``plan`` lists: rows that change alike are one line, and dates that move are counted by pair."""

from datetime import date

import numpy as np

from core.planning.columns import NO_DAY, NULL_ID
from core.planning.schedule import Schedule
from core.planning.schedule_rows import ScheduleRows
from core.planning.snapshot import RowKind
from handlers.cli_output import Change, Move
from handlers.plan_changes import list_changes, list_moves
from tests.unit.org_samples import BIRTHDAY, SKIPPED, changes, day

OTHER_TEMPLATE = BIRTHDAY._replace(email_template="another")


def stored(*rows: tuple[int, int, RowKind]) -> Schedule:
    """Owned rows as (id, send day, kind)."""
    kinds = tuple(dict.fromkeys(kind for _, _, kind in rows))
    ids = np.array([row_id for row_id, _, _ in rows], dtype=np.int64)
    days = np.array([send for _, send, _ in rows], dtype=np.int32)
    null = np.full(len(rows), NULL_ID, dtype=np.int64)
    number = np.array([kinds.index(kind) for _, _, kind in rows], dtype=np.int32)
    owned = ScheduleRows(ids, ids, null, null, days, days, days * 0, number)
    return Schedule(owned, owned.take(np.zeros(0, dtype=np.int64)), kinds)


def planned(send: str, kind: RowKind, contact: int = 1) -> tuple[int, None, None, str, str, RowKind]:
    return (contact, None, None, "2025-06-01", send, kind)


MARCH_1, MARCH_2 = day("2025-03-01"), day("2025-03-02")


def test_nothing_changes() -> None:
    assert list_changes(changes(), stored((1, MARCH_1, BIRTHDAY))) == ()
    assert list_moves(changes(), stored((1, MARCH_1, BIRTHDAY))) == ((), 0)
    assert list_changes(changes(), stored()) == ()


def test_every_kind_of_change_is_counted_by_type_and_reason() -> None:
    diff = changes(
        inserts=[planned("2025-03-01", BIRTHDAY), planned("2025-03-09", BIRTHDAY, 2), planned("2025-03-01", SKIPPED)],
        updates=[
            (3, planned("2025-03-02", BIRTHDAY)),  # moved
            (5, planned("2025-03-02", SKIPPED)),  # moved and skipped
            (7, planned("2025-03-01", SKIPPED)),  # skipped on its day
            (9, planned("2025-03-01", BIRTHDAY)),  # another template
        ],
        deletes=[11, 13],
        missed=[15],
    )
    before = stored(
        *((row_id, MARCH_1, BIRTHDAY) for row_id in (3, 5, 7)),
        (9, MARCH_1, OTHER_TEMPLATE),
        (11, MARCH_1, SKIPPED),
        (13, MARCH_1, OTHER_TEMPLATE),
        (15, MARCH_1, BIRTHDAY),
    )
    reason = SKIPPED.skip_reason

    def change(kind: str, old: str | None, new: str | None, rows: int = 1) -> Change:
        return Change(kind=kind, email_type="birthday", reason_before=old, reason_after=new, rows=rows)  # type: ignore[arg-type]

    assert list_changes(diff, before) == (
        change("insert", None, None, 2),
        change("insert", None, reason),
        change("move", None, None),
        change("move", None, reason),
        change("update", None, None),
        change("update", None, reason),
        change("delete", None, None),
        change("delete", reason, None),
        change("missed", None, "missed_send_date"),
    )


def test_moves_are_counted_by_pair_of_dates_most_rows_first() -> None:
    diff = changes(
        updates=[
            (1, planned("2025-03-02", BIRTHDAY)),
            (2, planned("2025-03-01", BIRTHDAY)),
            (3, planned("2025-03-01", BIRTHDAY)),
            (4, planned("2025-03-01", BIRTHDAY)),
            (5, planned("2025-03-01", SKIPPED)),
        ]
    )
    before = stored(
        (1, MARCH_1, BIRTHDAY),
        (2, MARCH_2, BIRTHDAY),
        (3, MARCH_2, BIRTHDAY),
        (4, NO_DAY, BIRTHDAY),
        (5, MARCH_1, BIRTHDAY),
    )
    first, second = date(2025, 3, 1), date(2025, 3, 2)
    moves, left_out = list_moves(diff, before)
    assert (moves[0], left_out) == (Move(email_type="birthday", from_day=second, to_day=first, rows=2), 0)
    assert set(moves[1:]) == {
        Move(email_type="birthday", from_day=first, to_day=second, rows=1),
        Move(email_type="birthday", from_day=None, to_day=first, rows=1),
    }
