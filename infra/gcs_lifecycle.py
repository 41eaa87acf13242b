"""The lifecycle rules of a bucket, as far as we have to know them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_NONCURRENT = ("daysSinceNoncurrentTime", "noncurrentTimeBefore", "numNewerVersions")


class LifecycleRule(NamedTuple):
    """One rule: what it does, to which names, and whether only to versions that are no longer live."""

    action: str
    prefixes: tuple[str, ...]
    """Empty: all names."""
    noncurrent_only: bool


def lifecycle_rules(resources: Iterable[Mapping[str, Any]]) -> tuple[LifecycleRule, ...]:
    """Read the rules of a bucket resource; what is not understood has no effect on the answer."""
    return tuple(_rule(resource) for resource in resources)


def _rule(resource: Mapping[str, Any]) -> LifecycleRule:
    condition = resource.get("condition") or {}
    action = resource.get("action") or {}
    noncurrent = condition.get("isLive") is False or any(name in condition for name in _NONCURRENT)
    return LifecycleRule(
        str(action.get("type", "")), tuple(map(str, condition.get("matchesPrefix") or ())), bool(noncurrent)
    )
