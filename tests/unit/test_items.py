"""Candidates as columns: what is common to many is said once, and a store of parts gives back what went in."""

import numpy as np

from core.planning.items import Items, ItemStore, Source, make_items, no_items, sources_of
from core.planning.rules import AEP, BIRTHDAY, CAMPAIGN

TODAY = 20_000
BIRTHDAYS = Source(BIRTHDAY, 10, days_before=14, deadline_days=13, deadline_floor=TODAY)
SPREAD = Source(CAMPAIGN, 5, event=19_990, deadline_floor=20_100, respects_windows=False, instance=0, instance_id=77)
GRACE = Source(AEP, 30, deadline_days=30)


def made(source: Source, *ideal: int) -> Items:
    return make_items(np.arange(len(ideal)), np.array(ideal, dtype=np.int32), source)


def test_r31_event_and_deadline_follow_from_the_ideal_date() -> None:
    items = made(BIRTHDAYS, 19_980, 20_020)
    assert items.event.tolist() == [19_994, 20_034]
    assert items.deadline.tolist() == [TODAY, 20_033]  # the day before the event, but never before today


def test_r55_a_spread_campaign_has_one_event_and_one_deadline() -> None:
    items = made(SPREAD, 19_995, 20_050)
    assert items.event.tolist() == [19_990, 19_990]
    assert items.deadline.tolist() == [20_100, 20_100]


def test_a_store_gives_back_its_parts_each_with_its_own_source() -> None:
    store = ItemStore(expected=1, sources_max=3)
    parts = [
        made(BIRTHDAYS, 20_020),
        made(SPREAD, *range(19_990, 22_000)),
        no_items(),
        made(GRACE, 20_001),
        made(BIRTHDAYS),
    ]
    for part in parts:
        store.add(part)
    items = store.items()
    for name in ("contact", "ideal", "target", "event", "deadline", "type_code", "priority", "instance_id"):
        assert getattr(items, name).tolist() == [value for part in parts for value in getattr(part, name).tolist()]
    assert items.respects_windows.tolist() == [True] + [False] * 2_010 + [True]


def test_what_a_step_changes_is_in_the_store_when_more_is_added() -> None:
    store = ItemStore(expected=8, sources_max=2)
    store.add(made(BIRTHDAYS, 20_020, 20_021))
    store.items().target[1] = 20_030
    store.add(made(GRACE, 20_001))
    assert store.items().target.tolist() == [20_020, 20_030, 20_001]
    assert store.items().ideal.tolist() == [20_020, 20_021, 20_001]


def test_more_sources_than_two_bytes_can_number_are_told_apart() -> None:
    campaigns = 40_000
    sources = sources_of(tuple(Source(CAMPAIGN, 5, instance=n, instance_id=n + 1) for n in range(campaigns)))
    number = np.arange(campaigns, dtype=np.int32)
    store = ItemStore(expected=campaigns, sources_max=campaigns)
    store.add(Items(number, number, number, number, np.zeros(campaigns, dtype=np.int16), sources))
    assert store.items().instance_id.tolist() == list(range(1, campaigns + 1))


def test_room_for_more_is_made_in_place_where_the_items_are_the_stores_own() -> None:
    store = ItemStore(expected=4, sources_max=2)
    store.add(made(BIRTHDAYS, *range(20_020, 21_040)))
    store.add(made(GRACE, 20_001))
    items = store.items()
    few = store.with_room(items, 3)
    assert (len(few), np.shares_memory(few.ideal, items.ideal)) == (1_024, True)
    many = store.with_room(items, 5_000)
    assert len(many) == 6_021
    assert many.take(slice(1_021)).event.tolist() == items.event.tolist()


def test_room_is_made_after_other_items_than_the_stores_own() -> None:
    store = ItemStore(expected=4, sources_max=2)
    store.add(made(BIRTHDAYS, 20_020, 20_021))
    store.add(made(GRACE, 20_001))
    left = store.items().take(np.array([2, 0]))
    roomy = store.with_room(left, 1)
    assert len(roomy) == 3
    assert roomy.take(slice(2)).event.tolist() == [20_001, 20_034]
