"""Takes one guard out of shipped code, as a careless edit would: a line of a function's source is replaced."""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType, ModuleType

import pytest


@dataclass(frozen=True, slots=True)
class Mutation:
    """One edit. ``function`` is ``name`` or ``Class.name`` in the module; ``old`` must be in its source exactly once."""

    module: ModuleType
    function: str
    old: str
    new: str


@contextmanager
def applied(*mutations: Mutation) -> Iterator[None]:
    """Run a block with the guards taken away."""
    with pytest.MonkeyPatch.context() as patch:
        for mutation in mutations:
            owner: object = mutation.module
            *classes, name = mutation.function.split(".")
            for class_name in classes:
                owner = getattr(owner, class_name)
            original = getattr(owner, name)
            edited = _edited(original, mutation)
            patch.setattr(owner, name, edited)
            for user in _users(name, original):
                patch.setattr(user, name, edited)
        yield


def _users(name: str, function: object) -> list[ModuleType]:
    """Shipped modules that imported the function by its name."""
    floors = ("core.", "infra.", "events.", "handlers.")
    modules = [module for key, module in sys.modules.items() if key.startswith(floors)]
    return [module for module in modules if vars(module).get(name) is function]


def _edited(function: object, mutation: Mutation) -> object:
    source = getattr(function, "edited_source", None) or textwrap.dedent(inspect.getsource(_plain(function)))
    if source.count(mutation.old) != 1:
        raise LookupError(f"{mutation.function} no longer says {mutation.old!r} once: bring this control up to date")
    source = source.replace(mutation.old, mutation.new)
    namespace: dict[str, object] = {}
    code = compile(source, f"<mutated {mutation.function}>", "exec")
    exec(code, vars(mutation.module), namespace)  # noqa: S102 - the shipped source with one edit
    edited = namespace[mutation.function.rpartition(".")[2]]
    vars(_plain(edited))["edited_source"] = source
    return edited


def _plain(function: object) -> FunctionType:
    found = inspect.unwrap(function)  # type: ignore[arg-type]  # what a mutation names is a function
    assert isinstance(found, FunctionType)
    return found
