"""Planned and stored rows are matched by identity (R7, R91): by contact, by key, and one by one in plain Python."""

from random import Random

import numpy as np
import pytest

from core.planning import matching
from core.planning.columns import NO_DAY, NULL_ID
from core.planning.matching import Matches, match_rows
from core.planning.ordering import stable_order
from core.planning.rows import Links, PlannedRows
from core.planning.schedule import Schedule
from core.planning.schedule_rows import RowCollector, ScheduleRows, StoredRows
from core.planning.snapshot import RowKind

Identity = tuple[object, ...]
TYPES = ("birthday", "aep", "campaign_a", "campaign_b", "followup_1_cold", "followup_2_clicked_no_hq")
KINDS = tuple(
    RowKind(name, status, None, "08:30:00", priority, None, None)
    for name in TYPES
    for status in ("pre-scheduled", "skipped")
    for priority in (1, 2)
)
NULL = NULL_ID


def is_followup(kind: int) -> bool:
    return KINDS[kind].email_type.startswith("followup_")


def identity_of(rows: ScheduleRows, place: int) -> Identity | None:
    kind, instance, parent = int(rows.kind[place]), int(rows.instance_id[place]), int(rows.parent_id[place])
    if is_followup(kind):
        return "followup", int(rows.contact_id[place]), 0 if parent == NULL else parent
    if rows.event_day[place] == NO_DAY:
        return None
    null_as_zero = 0 if instance == NULL else instance
    return KINDS[kind].email_type, null_as_zero, int(rows.contact_id[place]), int(rows.event_day[place])


def columns(random: Random, count: int, *, first_id: int, stored: bool, sparse: bool) -> ScheduleRows:
    kind = np.array([random.randrange(len(KINDS)) for _ in range(count)], dtype=np.int32)
    ids = [random.choice([1, 2, 3, 5, 8, 99]) * (10**12 if sparse else 1) for _ in range(count)]
    instance = [random.choice([NULL, NULL, 4, 7] + ([0] if stored else [])) for _ in range(count)]
    parent = [random.choice([11, 12, 13] + ([NULL, 0] if stored else [])) if is_followup(k) else NULL for k in kind]
    event = [random.choice([100, 101, 300, 47_000] + ([NO_DAY, -26_000] if stored else [])) for _ in range(count)]
    return ScheduleRows(
        row_id=np.arange(first_id, first_id + count, dtype=np.int64),
        contact_id=np.array(ids, dtype=np.int64),
        instance_id=np.array(instance, dtype=np.int64),
        parent_id=np.array(parent, dtype=np.int64),
        event_day=np.array(event, dtype=np.int32),
        send_day=np.array([random.choice([90, 91, 95]) for _ in range(count)], dtype=np.int32),
        send_second=np.zeros(count, dtype=np.int32),
        kind=kind,
    )


def planned_of(random: Random, *, sparse: bool) -> PlannedRows:
    rows = columns(random, random.randrange(60), first_id=0, stored=False, sparse=sparse)
    first = {identity_of(rows, place): place for place in range(len(rows))}
    rows = rows.take(np.array(sorted(first.values()), dtype=np.int64))
    contact_ids, contact = np.unique(rows.contact_id, return_inverse=True)
    link = np.arange(len(rows), dtype=np.int32)
    links = Links(rows.instance_id, rows.parent_id)
    return PlannedRows(
        contact_ids, contact.astype(np.int32), links, link, rows.event_day, rows.send_day, rows.kind, KINDS
    )


def packed(rows: ScheduleRows) -> tuple[StoredRows, tuple[RowKind, ...]]:
    """Pack rows as a reader does: each kind with each instance has a number."""
    pairs = sorted({*zip(rows.kind.tolist(), rows.instance_id.tolist(), strict=True), (0, NULL)})
    number = [pairs.index(pair) for pair in zip(rows.kind.tolist(), rows.instance_id.tolist(), strict=True)]
    collector = RowCollector()
    half = len(rows) // 2
    for part in (slice(0, half), slice(half, None)):
        chunk = rows.take(part)
        collector.add(
            ScheduleRows(
                chunk.row_id, chunk.contact_id, chunk.instance_id, chunk.parent_id, chunk.event_day, chunk.send_day,
                chunk.send_second, np.array(number, dtype=np.int32)[part],
            )
        )  # fmt: skip
    return collector.rows(np.array([instance for _, instance in pairs])), tuple(KINDS[kind] for kind, _ in pairs)


def one_by_one(rows: PlannedRows, owned: ScheduleRows, locked: ScheduleRows) -> Matches:
    """The definition: of one identity the lowest row id counts; a date that cannot be read is no identity."""
    as_rows = ScheduleRows(
        np.arange(len(rows)), rows.contact_id, rows.instance_id, rows.parent_id, rows.event_day, rows.send_day,
        rows.send_day * 0, rows.kind.astype(np.int32),
    )  # fmt: skip
    taken = {identity_of(locked, place) for place in range(len(locked))}
    held = np.array([identity_of(as_rows, place) in taken for place in range(len(rows))], dtype=np.bool_)
    first: dict[Identity | None, int] = {}
    extra, rest = [], []
    for place in range(len(owned)):
        identity = identity_of(owned, place)
        if identity in first and identity is not None and owned.event_day[place] != NO_DAY:
            extra.append(place)
        elif identity is None or identity in first:
            rest.append(place)
        else:
            first[identity] = place
    wanted = {identity_of(as_rows, place): place for place in range(len(rows)) if not held[place]}
    owned_row = np.full(len(rows), -1, dtype=np.int32)
    for identity, place in first.items():
        if identity in wanted:
            owned_row[wanted[identity]] = place
        else:
            rest.append(place)
    return Matches(held, owned_row, np.array(extra, dtype=np.int64), np.array(sorted(rest), dtype=np.int64))


def as_lists(found: Matches) -> tuple[list[bool], list[int], list[int], list[int]]:
    return found.held.tolist(), found.owned_row.tolist(), found.extra.tolist(), found.rest.tolist()


@pytest.mark.parametrize("rows_min", [1, 6, 1_000_000], ids=["by contact", "both ways", "by key"])
@pytest.mark.parametrize("sparse", [False, True], ids=["ids close together", "ids far apart"])
def test_rows_match_as_the_rule_says(monkeypatch: pytest.MonkeyPatch, rows_min: int, sparse: bool) -> None:
    monkeypatch.setattr(matching, "_LAYOUT_ROWS_MIN", rows_min)
    for seed in range(60):
        random = Random(seed)
        rows = planned_of(random, sparse=sparse)
        owned = columns(random, random.randrange(80), first_id=1, stored=True, sparse=sparse)
        locked = columns(random, random.randrange(15), first_id=500, stored=True, sparse=sparse)
        expected = as_lists(one_by_one(rows, owned, locked))
        assert as_lists(match_rows(rows, Schedule(owned, locked, KINDS))) == expected, seed
        packed_owned, kinds = packed(owned)
        assert as_lists(match_rows(rows, Schedule(packed_owned, locked.take(slice(0, 0)), kinds))) == as_lists(
            one_by_one(rows, owned, locked.take(slice(0, 0)))
        ), seed


@pytest.mark.parametrize("reach", [3, 2**40, 2**62], ids=["many equal", "few equal", "no room for places"])
def test_many_keys_are_ordered_as_few_are(reach: int) -> None:
    for count in (0, 1, 5_000):
        key = np.random.default_rng(count).integers(-reach, reach, count)
        expected = np.argsort(key, kind="stable").tolist()
        assert stable_order(key).tolist() == expected
        assert stable_order(key, overwrite=True).tolist() == expected


def test_packed_rows_are_the_rows_they_were_made_of() -> None:
    for seed in range(30):
        random = Random(seed)
        rows = columns(
            random, random.randrange(1, 60), first_id=random.choice([1, 2**33]), stored=True, sparse=seed % 2 > 0
        )
        if seed % 3 == 0:
            rows.send_second[random.randrange(len(rows))] = 30_600
        found, kinds = packed(rows)
        some = np.array([random.randrange(len(rows)) for _ in range(20)], dtype=np.int64)
        for name in ("row_id", "contact_id", "instance_id", "parent_id", "event_day", "send_day", "send_second"):
            assert getattr(found, name).tolist() == getattr(rows, name).tolist(), name
            assert getattr(found.take(some), name).tolist() == getattr(rows.take(some), name).tolist(), name
            assert getattr(found.take(slice(3, 9)), name).tolist() == getattr(rows, name)[3:9].tolist(), name
        assert [kinds[k] for k in found.kind.tolist()] == [KINDS[k] for k in rows.kind.tolist()]
        contact, event = found.contact_and_event(some)
        assert (contact.tolist(), event.tolist()) == (rows.contact_id[some].tolist(), rows.event_day[some].tolist())
