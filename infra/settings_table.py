"""How a struct of annotated fields is read from an environment: one row per field; parsing and messages follow."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from events.types import is_org_id
from infra.secret import Secret

_SHOWN_CHARACTERS_MAX: Final = 80
"""A longer value is not repeated in a message: it may be a key that was pasted into the wrong variable."""


PASSWORD_CHARACTERS_MIN: Final = 16
PASSWORD_CHARACTERS_MAX: Final = 200
"""A password that people type; whoever guesses has to guess this much."""


class Setting(NamedTuple):
    """One row of the table, as documentation and messages show it."""

    name: str
    """The environment variable."""
    field: str
    type: Any
    annotation: Any
    """The field's whole annotation, with bounds: what a value is converted to."""
    default: str
    """As it would be written in the environment; empty: not set."""
    allowed: str
    description: str
    secret: bool


def rows_of(struct: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """Derive the table from a struct: each field is ``Annotated[type, Meta(description=...)]``, perhaps ``| None``."""
    hints = get_type_hints(struct, include_extras=True)
    return tuple(_row(field, hints[field.name]) for field in msgspec.structs.fields(struct))


def parse(setting: Setting, text: str) -> object:
    """Convert one text to its field's type; raises ValueError (its message may hold the text: do not show it)."""
    if setting.secret:
        return _service_account_key(text) if setting.name.endswith("_JSON") else _password(text)
    if setting.type is Path:
        return Path(text).expanduser().absolute()
    if get_origin(setting.type) is Literal:
        text = text.upper()
    if setting.field == "org_id" and not is_org_id(text):
        raise ValueError(setting.name)
    value: object = msgspec.convert(text, setting.annotation, strict=False)
    if value is None:  # msgspec reads the word null as None; a setting that says "null" is a mistake
        raise ValueError(setting.name)
    return value


def complaint(setting: Setting, text: str) -> str:
    """Say what is wrong and what to set; secrets, and what is long enough to be one, are not repeated."""
    shown = not setting.secret and len(text) <= _SHOWN_CHARACTERS_MAX
    value = f"is {text!r}" if shown else "is not usable"
    return f"{setting.name} {value}: set it to {setting.allowed} ({setting.description})"


def _service_account_key(text: str) -> Secret:
    """Check that a text looks like a service account's key; the key itself is tried when credentials are made of it."""
    key = msgspec.json.decode(text, type=dict[str, object])
    if key.get("type") != "service_account" or not all(
        key.get(name) for name in ("client_email", "private_key", "token_uri")
    ):
        raise ValueError("service_account")
    return Secret(text)


def _password(text: str) -> Secret:
    if not PASSWORD_CHARACTERS_MIN <= len(text) <= PASSWORD_CHARACTERS_MAX:
        raise ValueError("password")
    return Secret(text)


def _row(field: msgspec.structs.FieldInfo, hint: Any) -> Setting:
    annotated = next((arg for arg in get_args(hint) if get_origin(arg) is Annotated), hint)
    kind, meta = get_args(annotated)
    extra: dict[str, str] = meta.extra or {}
    return Setting(
        name=field.name.upper(),
        field=field.name,
        type=kind,
        annotation=hint,
        default=extra.get("default") or _written(field.default),
        allowed=extra.get("allowed") or _allowed(kind, meta),
        description=meta.description or "",
        secret=kind is Secret,
    )


def _written(default: object) -> str:
    """Write a default as the environment would."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return "1" if default else "0"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _allowed(kind: Any, meta: Meta) -> str:
    """Say in words what a type and its bounds allow."""
    if kind is bool:
        return "1 or 0"
    if kind in (int, float):
        return f"a {'whole ' if kind is int else ''}number from {meta.ge} to {meta.le}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    return "a directory" if kind is Path else "a text"
