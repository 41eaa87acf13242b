"""The JSON Schemas of the event types, generated from the payload structs.

``python -m events.schema_files`` prints them; ``python -m events.schema_files events/schemas`` writes one file per type
there. The files are checked in, so that a consumer needs no Python; a test says when they are out of date.
"""

import inspect
import json
import sys
from collections.abc import Iterator

import msgspec

from events.strict_json import JsonValue
from events.types import EVENT_TYPES, EventType

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(row: EventType) -> dict[str, JsonValue]:
    """The schema of one type's ``data``."""
    return document_schema(row.payload, row.name)


def document_schema(struct: type[msgspec.Struct], name: str) -> dict[str, JsonValue]:
    """The schema of a struct as a document on its own: every definition it needs is inside."""
    (root,), definitions = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    named: dict[str, JsonValue] = {key: _clean(definition) for key, definition in definitions.items()}
    own = named.pop(str(root["$ref"]).rpartition("/")[2])
    if not isinstance(own, dict):  # pragma: no cover - a struct's schema is an object
        raise TypeError(name)
    head: dict[str, JsonValue] = {"$schema": DIALECT, "$id": f"urn:{name.replace('.', ':')}", "title": name}
    body = {key: value for key, value in own.items() if key != "title"}
    return {**head, **body, **({"$defs": named} if named else {})}


def schema_files() -> Iterator[tuple[str, str]]:
    """File name and text of every schema."""
    for row in EVENT_TYPES.values():
        yield f"{row.name}.json", json.dumps(schema_of(row), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Print the schemas, or write them into the directory named."""
    for name, text in schema_files():
        if not arguments:
            sys.stdout.write(text)
            continue
        # pathlib is outside of what this floor may import; a name and a slash need no library.
        with open(f"{arguments[0]}/{name}", "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123
            file.write(text)


def _clean(value: object) -> JsonValue:
    """A schema with its descriptions as prose: docstrings come indented, with markup for Python readers."""
    if isinstance(value, dict):
        return {
            str(name): _prose(item) if name == "description" and isinstance(item, str) else _clean(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(type(value).__name__)


def _prose(docstring: str) -> str:
    return " ".join(inspect.cleandoc(docstring).replace("``", "").split())


if __name__ == "__main__":
    main(sys.argv[1:])
