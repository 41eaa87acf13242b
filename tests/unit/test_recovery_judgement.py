"""What a restored version takes along, judged without a database: versions, locked rows, people."""

import pytest

from core.runs.ports import ConfigRow
from core.runs.recovery import (
    Carried,
    CarriedRow,
    RowJudgement,
    StoredRow,
    VersionMark,
    judge_rows,
    lost_versions,
    status_to_carry,
    suppressed_statuses,
    suppressed_texts,
)


def history(*marks: tuple[int, int | None] | tuple[int, int | None, bool]) -> list[VersionMark]:
    return [VersionMark(mark[0], mark[1], mark[2] if len(mark) > 2 else False) for mark in marks]


@pytest.mark.parametrize(
    ("marks", "lost"),
    [
        (history(), ()),
        (history((1, None)), ()),
        (history((1, None), (2, 1), (3, 2)), ()),
        (history((1, None), (2, 1), (3, None)), (2,)),
        (history((1, None), (2, 1), (3, 1), (4, 3)), (2,)),
        (history((1, None), (2, None), (3, 2), (4, 1)), (3, 1)),
        # A deleted object that was made anew says that it was made from nothing.
        (history((1, None), (2, 1), (3, 0)), (2,)),
        # What lies before a restore was taken care of by it ...
        (history((1, None), (2, None), (3, 2, True), (4, 3)), ()),
        (history((1, None), (2, None), (3, 2, True), (4, 1)), (3,)),
        # ... but a blind copy of one has only its metadata.
        (history((1, None), (2, None), (3, 2, True), (4, 3), (5, 2, True)), (4,)),
    ],
)
def test_the_versions_that_were_replaced_blindly(marks: list[VersionMark], lost: tuple[int, ...]) -> None:
    assert lost_versions(marks) == lost


def row(
    row_id: int, status: str = "sent", *, event: str = "2026-04-02", parent: int | None = None, settled: bool = False,
    contact: int = 1, kind: str = "birthday", instance: int = 0,
) -> StoredRow:  # fmt: skip
    return StoredRow(row_id, contact, kind, instance, parent, event, status, settled)


def followup(row_id: int, parent: int, status: str = "sent", event: str = "2026-04-02") -> StoredRow:
    return row(row_id, status, parent=parent, kind="followup_1_cold", event=event)


def judged(lost: list[StoredRow], held: list[StoredRow], *, newer: bool = True) -> RowJudgement:
    taken = {r.row_id for r in lost} & {r.row_id for r in held}
    return judge_rows(lost, held, taken, next_id=1000, lost_is_newer=newer)


def test_r7_an_owned_row_of_the_same_identity_gives_way() -> None:
    assert judged([row(5)], [row(5, "pre-scheduled")]) == RowJudgement(
        (5,), (CarriedRow(5, 5, None),), has_twins=False, next_id=1000
    )
    assert judged([row(9)], [row(5, "skipped"), row(6, "pre-scheduled")]).delete_row_ids == (5, 6)


@pytest.mark.parametrize("other", [{"event": "2027-04-02"}, {"kind": "aep"}, {"instance": 3}])
def test_r7_a_row_about_something_else_stays(other: dict[str, object]) -> None:
    held = row(6, "pre-scheduled", **other)  # type: ignore[arg-type]
    assert judged([row(5)], [held]) == RowJudgement((), (CarriedRow(5, 5, None),), has_twins=False, next_id=1000)


def test_the_same_day_written_otherwise_is_the_same_day() -> None:
    lost = row(5, event="2026-04-02 00:00:00")
    assert judged([lost], [row(6, "pre-scheduled")]).delete_row_ids == (6,)


def test_texts_that_are_no_dates_are_the_same_only_if_equal() -> None:
    assert judged([row(5, event="soon")], [row(6, "pre-scheduled", event="later")]).delete_row_ids == ()
    assert judged([row(5, event="soon")], [row(6, "pre-scheduled", event="soon")]).delete_row_ids == (6,)


def test_an_id_that_is_another_rows_is_not_kept_and_followups_know() -> None:
    held = [row(5, "pre-scheduled", event="2027-01-01"), followup(8, 1000, "pre-scheduled")]
    found = judged([followup(7, 5), row(5)], held)
    assert found.carry == (CarriedRow(5, 1000, None), CarriedRow(7, 7, 1000))
    assert (found.delete_row_ids, found.next_id) == ((8,), 1001)


def test_r80_a_followup_is_its_contact_and_parent_whatever_its_type_and_date() -> None:
    held = [row(5, settled=True), row(8, "skipped", parent=5, kind="followup_2_clicked_no_hq", event="2026-05-01")]
    assert judged([followup(7, 5)], held).delete_row_ids == (8,)


@pytest.mark.parametrize(
    ("lost", "held", "newer", "wins"),
    [
        ("delivered", "sent", True, True),
        ("delivered", "sent", False, True),
        ("scheduled", "sent", True, False),
        ("sent", "bounced", True, False),
        ("bounced", "delivered", True, True),
        ("bounced", "delivered", False, False),
        ("processing", "scheduled", False, True),
        ("sent", "sent", True, True),
        ("sent", "sent", False, False),
    ],
)
def test_of_two_locked_rows_the_later_stage_wins_then_the_newer_version(
    lost: str, held: str, newer: bool, wins: bool
) -> None:
    found = judged([row(9, lost)], [row(5, held)], newer=newer)
    # The id of the version that is kept stays: rows of it may point there.
    assert found == RowJudgement(
        (5,) if wins else (), (CarriedRow(9, 5, None),) if wins else (), has_twins=False, next_id=1000
    )


def test_a_followup_finds_the_parent_that_the_kept_version_has_under_another_id() -> None:
    found = judged([row(9), followup(10, 9)], [row(5, "delivered")])
    assert found.carry == (CarriedRow(10, 10, 5),)


def test_locked_twins_are_both_kept_and_reported() -> None:
    assert judged([row(9)], [row(5, settled=True)]).has_twins
    assert judged([row(9), row(10)], []).has_twins
    assert len(judged([row(9), row(10)], []).carry) == 2
    assert not judged([row(9), row(10)], [row(9, "scheduled"), row(10, "scheduled")]).has_twins


CONFIG = ConfigRow(1, '{"suppressed_contact_statuses": ["Stop", "gone"]}', "2020-01-01 00:00:00", None)


def test_r24_statuses_are_those_of_the_configuration_in_force() -> None:
    at = "2026-03-02 12:00:00"
    assert suppressed_statuses([], at, lambda _: True) == ("unsubscribed", "do_not_contact", "deceased", "deleted")
    assert [s.lower() for s in suppressed_statuses([CONFIG], at, lambda _: True)] == ["stop", "gone"]
    broken = CONFIG._replace(config_data="{")
    assert suppressed_statuses([broken], at, lambda _: True) == suppressed_statuses([], at, lambda _: True)


def test_statuses_are_compared_as_the_planner_compares_them() -> None:
    assert suppressed_texts(["", " UNSUBSCRIBED", "active", "stop"], ["unsubscribed"]) == {" UNSUBSCRIBED"}
    assert suppressed_texts([], ["x"]) == frozenset()
    assert status_to_carry("Opted Out", ["opted out"]) == "Opted Out"
    assert status_to_carry("opted out", ["deceased", "unsubscribed"]) == "unsubscribed"
    assert status_to_carry("opted out", ["stop"]) == "stop"
    assert status_to_carry("opted out", []) == "opted out"


def test_counts_add_up_and_what_is_not_carried_is_that_of_the_newest() -> None:
    newest, older = Carried({"sent": 2}, contacts_missing=7), Carried({"sent": 1, "bounced": 1}, events=3)
    total = newest.plus(older)
    assert (dict(total.rows_by_status), total.rows_locked) == ({"bounced": 1, "sent": 3}, 4)
    assert (total.events, total.contacts_missing) == (3, 7)
    assert not total.is_empty
    assert Carried({}, contacts_missing=5).is_empty
