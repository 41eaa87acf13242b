"""From the data of an event with items to its payload, item by item: bad ones do not take good ones along."""

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Final, NamedTuple, get_args

import msgspec

from events.contact_payloads import ITEMS_MAX
from events.limits import Limits
from events.payload_reader import struct_faults
from events.payloads import Payload
from events.rejection import Reason, pointer_to
from events.strict_json import JsonValue, faults, has_duplicate_keys

FIELD: Final = "items"
"""The field that holds the items of every type that has some."""
_AT: Final = ("data", FIELD)


class ItemsRead(NamedTuple):
    """What came of the data of one event."""

    payload: Payload | None
    """With the good items; None where there are none, or where the data as a whole is bad."""
    rejected: tuple[int, ...]
    """Positions of the bad items, ascending."""
    reasons: list[Reason]
    """Against the bad items."""
    whole: list[Reason]
    """Against all of the data, whatever its items are."""


def read_items(
    payload: type[Payload], item: type[msgspec.Struct] | UnionType, value: JsonValue, limits: Limits
) -> ItemsRead:
    """Judge data that holds a list of items of a struct, or of one of several tagged ones."""
    whole, items = _items(payload, value, limits)
    good: list[JsonValue] = []
    bad: dict[int, list[Reason]] = {}
    for index, one in enumerate(items):
        reasons = _item_faults(item, one, (*_AT, index), limits)
        if reasons:
            bad[index] = reasons
        else:
            good.append(one)
    data = msgspec.convert({FIELD: good}, type=payload) if good and not whole else None
    return ItemsRead(data, tuple(bad), _bounded(bad.values(), limits), whole)


def _items(payload: type[Payload], value: JsonValue, limits: Limits) -> tuple[list[Reason], list[JsonValue]]:
    """What is wrong with all that is around the items; and the items, unjudged, unless they are too many to be."""
    if not isinstance(value, dict):
        return [Reason("wrong_type", "/data", "a JSON object is expected")], []
    rest = {name: member for name, member in value.items() if name != FIELD}
    reasons = faults(rest, ("data",), limits)
    if has_duplicate_keys(value):
        reasons.append(Reason("duplicate_key", "/data"))
    items = value.get(FIELD)
    # Judged with an empty list in the items' place; what that is blamed for is said here, in place of it.
    around = struct_faults(payload, {**rest, FIELD: []}, ("data",))
    reasons += [reason for reason in around if reason.pointer != pointer_to(*_AT)]
    if FIELD not in value:
        reasons.append(Reason("missing_field", pointer_to(*_AT)))
    elif not isinstance(items, list):
        reasons.append(Reason("wrong_type", pointer_to(*_AT), "a JSON list is expected"))
    elif not 1 <= len(items) <= ITEMS_MAX:
        reasons.append(Reason("bad_value", pointer_to(*_AT), f"1 to {ITEMS_MAX} items are expected"))
    return reasons, items if isinstance(items, list) and len(items) <= ITEMS_MAX else []


def _item_faults(
    item: type[msgspec.Struct] | UnionType, value: JsonValue, at: tuple[str | int, ...], limits: Limits
) -> list[Reason]:
    """Everything that is wrong with one item, in the order: JSON, kind, fields."""
    found = faults(value, at, limits)
    if not found and _is_one(item, value):
        return []
    if any(reason.code == "nested_too_deep" for reason in found):
        return found
    known = {(reason.pointer, reason.code) for reason in found}
    typed = _kind_faults(item, value, at)
    return (found + [reason for reason in typed if (reason.pointer, reason.code) not in known])[
        : limits.item_reasons_max
    ]


def _is_one(item: type[msgspec.Struct] | UnionType, value: JsonValue) -> bool:
    try:
        msgspec.convert(value, type=item)
    except msgspec.ValidationError:
        return False
    return True


def _kind_faults(item: type[msgspec.Struct] | UnionType, value: JsonValue, at: tuple[str | int, ...]) -> list[Reason]:
    if not isinstance(item, UnionType):
        return struct_faults(item, value, at)
    if not isinstance(value, dict):
        return [Reason("wrong_type", pointer_to(*at), "a JSON object is expected")]
    kinds = _kinds(item)
    tag_field = next(iter(kinds.values())).__struct_config__.tag_field or ""
    kind = value.get(tag_field)
    if tag_field not in value:
        return [Reason("missing_field", pointer_to(*at, tag_field))]
    if not isinstance(kind, str):
        return [Reason("wrong_type", pointer_to(*at, tag_field), "a string is expected")]
    if kind not in kinds:
        return [Reason("bad_value", pointer_to(*at, tag_field), "one of " + ", ".join(kinds))]
    return struct_faults(kinds[kind], value, at, tag_field=tag_field)


def _kinds(item: UnionType) -> Mapping[str, type[msgspec.Struct]]:
    return {str(struct.__struct_config__.tag): struct for struct in get_args(item)}


def _bounded(per_item: Iterable[list[Reason]], limits: Limits) -> list[Reason]:
    """Every reason; of masses, as many of each item as fit, so that every bad item is told with at least one."""
    lists = list(per_item)
    if sum(map(len, lists)) > limits.items_reasons_max:
        most = max(1, limits.items_reasons_max // len(lists))
        lists = [[*reasons[:most]] for reasons in lists]
        lists.append([Reason("more_reasons", "")])
    return [reason for reasons in lists for reason in reasons]
