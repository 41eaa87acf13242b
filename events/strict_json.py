"""JSON from outside, without the leniencies by which two readers of one text come to see two different messages.

The standard library parses here, not msgspec: msgspec keeps the last of two equal keys and says nothing, and a message
whose org depends on who reads it must not pass. Its typed conversion is used one step later, on the tree judged here.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Final

from events.limits import Limits
from events.rejection import Reason, pointer_to

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

_Path = tuple[str | int, ...]
_Member = tuple[_Path | None, JsonValue]

_END: Final[_Member] = (None, None)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


class _DuplicateKeys(dict[str, JsonValue]):
    """An object that had a key twice; marks the place until `faults` reports it with its pointer."""


class _NotANumberError(ValueError):
    """NaN, Infinity or -Infinity: JavaScript's words, not JSON's."""


def parse(text: bytes, pointer: str) -> JsonValue | Reason:
    """The tree, or the one reason why there is none; ``pointer`` is where in the message the text stands.

    The tree is well formed but not yet judged: pass it, or the parts of a batch one by one, through `faults`.
    """
    try:
        tree: JsonValue = json.loads(text.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return Reason("not_utf8", pointer)
    except RecursionError:
        return Reason("nested_too_deep", pointer)
    except json.JSONDecodeError as fault:
        return Reason("not_json", pointer, f"at character {fault.pos}")
    except _NotANumberError:
        return Reason("not_json", pointer, "NaN and Infinity are not JSON")
    except ValueError:  # the interpreter refuses integers of more than 4 300 digits
        return Reason("number_out_of_range", pointer)
    return tree


def faults(value: JsonValue, at: tuple[str | int, ...], limits: Limits) -> list[Reason]:
    """What no payload may contain: duplicate keys, numbers beyond 64 bits, lone surrogates, deep nesting, masses.

    In the order of the text. Walks with one iterator per level, so that 10 MB of ``[[],[],[],...`` take no memory.
    """
    found: list[Reason] = []
    values = 0
    levels: list[Iterator[_Member]] = [iter([(at, value)])]
    while levels and len(found) < limits.reasons_max:
        path, item = next(levels[-1], _END)
        if path is None:
            levels.pop()
            continue
        values += 1
        if values > limits.values_max:
            found.append(Reason("too_large", pointer_to(*at), f"at most {limits.values_max} values"))
            break
        fault = _fault(item)
        if fault is not None:
            found.append(Reason(fault, pointer_to(*path)))
        if isinstance(item, list | dict):
            if len(levels) > limits.nesting_max:
                found.append(Reason("nested_too_deep", pointer_to(*path)))
            else:
                levels.append(_members(path, item))
    return found


def canonical(value: JsonValue) -> bytes:
    """One text per tree, for digests and for the body of a refused event of a batch. Raises RecursionError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _fault(item: JsonValue) -> str | None:
    """The code of what is wrong with this value itself, whatever is inside it."""
    fault: str | None = None
    match item:
        case str() if _SURROGATE.search(item):
            fault = "bad_text"
        case int() if not _INT64_MIN <= item <= _INT64_MAX:
            fault = "number_out_of_range"
        case float() if not math.isfinite(item):
            fault = "number_out_of_range"
        case _DuplicateKeys():
            fault = "duplicate_key"
        case dict() if any(_SURROGATE.search(name) for name in item):
            fault = "bad_text"
        case _:
            pass
    return fault


def _members(path: _Path, item: list[JsonValue] | dict[str, JsonValue]) -> Iterator[_Member]:
    members = enumerate(item) if isinstance(item, list) else item.items()
    return (((*path, name), child) for name, child in members)


def has_duplicate_keys(item: JsonValue) -> bool:
    """Whether this object itself had a key twice."""
    return isinstance(item, _DuplicateKeys)


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _DuplicateKeys(members)


def _refuse_constant(_word: str) -> JsonValue:
    raise _NotANumberError
