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
_DATE_FORM: Final = "a date is YYYY-MM-DD"


def read_payload(payload: type[Payload], value: JsonValue) -> Payload | list[Reason]:
    """The payload, or every reason why the value is none."""
    if not isinstance(value, dict):
        return [Reason("wrong_type", "/data", "a JSON object is expected")]
    fields = {field.encode_name: field for field in msgspec.structs.fields(payload)}
    reasons = [Reason("unknown_field", pointer_to("data", name)) for name in value if name not in fields]
    for name, field in fields.items():
        if name not in value:
            if field.required:
                reasons.append(Reason("missing_field", pointer_to("data", name)))
            continue
        try:
            msgspec.convert(value[name], type=field.type, str_keys=True)
        except msgspec.ValidationError as fault:
            reasons.append(_reason(name, str(fault)))
        except UnicodeEncodeError:  # a lone surrogate, where msgspec wanted to read a date
            reasons.append(Reason("bad_text", pointer_to("data", name)))
    if reasons:
        return reasons
    try:
        return msgspec.convert(value, type=payload, str_keys=True)
    except (
        msgspec.ValidationError
    ) as fault:  # each field is sound: this is what __post_init__ says of all, in our words
        return [Reason("bad_value", "/data", str(fault))]


def _reason(field: str, text: str) -> Reason:
    """A sentence of msgspec as code, pointer and what is safe to repeat: some of its sentences quote the value."""
    said, _, path = text.partition(" - at `")
    pointer = pointer_to("data", field, *_steps(path))
    if _UNEXPECTED_TYPE.fullmatch(said):
        return Reason("wrong_type", pointer, said)
    if said.startswith("Object contains unknown field"):
        return Reason("unknown_field", pointer + "/?")
    if said.startswith("Object missing required field"):
        return Reason("missing_field", pointer, said)
    if said.startswith("Expected "):
        return Reason("bad_value", pointer, said)
    if said == "Invalid RFC3339 encoded date":
        return Reason("bad_value", pointer, _DATE_FORM)
    return Reason("bad_value", pointer)


def _steps(path: str) -> list[str | int]:
    """``$.counts.contacts`` or ``$[0].id`` as parts of a pointer; ``[...]`` (some key of a mapping) as ``?``."""
    return [int(step["index"]) if step["index"] else (step["field"] or "?") for step in _PATH.finditer(path)]
