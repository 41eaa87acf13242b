"""From a judged JSON tree to a payload struct, with every fault at once.

msgspec stops at the first fault of a struct, and a sender who repairs one fault per delivery needs a week. So each
field is converted by itself, and only a tree without faults is converted as a whole.
"""

import re
from typing import Final

import msgspec

from events.payloads import Payload
from events.rejection import Reason, pointer_to
from events.strict_json import JsonValue

_PATH: Final = re.compile(r"\.(?P<field>\w+)|\[(?P<index>\d+)\]|\[(?P<any>\.\.\.)\]")
_UNEXPECTED_TYPE: Final = re.compile(r"Expected `[^`]*`, got `[^`]*`")
_BAD_TIMES: Final = frozenset({"Expected `datetime` with a timezone component", "Invalid RFC3339 encoded datetime"})
_DATE_FORM: Final = "a date is YYYY-MM-DD"


def read_payload(payload: type[Payload], value: JsonValue) -> Payload | list[Reason]:
    """The payload, or every reason why the value is none."""
    reasons = struct_faults(payload, value, ("data",))
    return reasons or msgspec.convert(value, type=payload, str_keys=True)


def struct_faults(
    struct: type[msgspec.Struct], value: JsonValue, at: tuple[str | int, ...], *, tag_field: str | None = None
) -> list[Reason]:
    """Every reason why a value is no such struct; empty: it is one. ``tag_field`` has been judged already."""
    if not isinstance(value, dict):
        return [Reason("wrong_type", pointer_to(*at), "a JSON object is expected")]
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    reasons = [
        Reason("unknown_field", pointer_to(*at, name)) for name in value if name not in fields and name != tag_field
    ]
    for name, field in fields.items():
        if name not in value:
            if field.required:
                reasons.append(Reason("missing_field", pointer_to(*at, name)))
            continue
        try:
            msgspec.convert(value[name], type=field.type, str_keys=True)
        except msgspec.ValidationError as fault:
            reasons.append(_reason((*at, name), str(fault)))
        except UnicodeEncodeError:  # a lone surrogate, where msgspec wanted to read a date
            reasons.append(Reason("bad_text", pointer_to(*at, name)))
    if reasons:
        return reasons
    try:
        msgspec.convert(value, type=struct, str_keys=True)
    except msgspec.ValidationError as fault:
        # Each field is sound: this is what __post_init__ says of all of them, in words of ours.
        return [Reason("bad_value", pointer_to(*at), str(fault))]
    return []


def _reason(at: tuple[str | int, ...], text: str) -> Reason:
    """A sentence of msgspec as code, pointer and what is safe to repeat: some of its sentences quote the value."""
    said, _, path = text.partition(" - at `")
    pointer = pointer_to(*at, *_steps(path))
    if said.startswith("Object contains unknown field"):
        return Reason("unknown_field", pointer + "/?")
    code, detail = _meaning(said)
    return Reason(code, pointer, detail)


def _meaning(said: str) -> tuple[str, str]:
    """The code of what msgspec says, and what of it may be repeated."""
    if _UNEXPECTED_TYPE.fullmatch(said):
        return "wrong_type", said
    if said in _BAD_TIMES:
        return "bad_time", ""
    if said == "Invalid RFC3339 encoded date":
        return "bad_value", _DATE_FORM
    if said.startswith("Object missing required field"):
        return "missing_field", said
    return "bad_value", said if said.startswith("Expected ") else ""


def _steps(path: str) -> list[str | int]:
    """``$.counts.contacts`` or ``$[0].id`` as parts of a pointer; ``[...]`` (some key of a mapping) as ``?``."""
    return [int(step["index"]) if step["index"] else (step["field"] or "?") for step in _PATH.finditer(path)]
