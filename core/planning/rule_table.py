"""The table of states as canonical JSON with a hash, so that a statement can say which law it was made under (R41)."""

import hashlib
import json
from collections.abc import Mapping

from core.planning import checker
from core.planning.rules import STATE_RULES, StateRule, rule_fields


def table_json(rules: Mapping[str, StateRule] = STATE_RULES) -> str:
    """Return a table with sorted keys and no spaces."""
    return canonical({state: rule_fields(rule) for state, rule in rules.items()})


def table_digest(rules: Mapping[str, StateRule] = STATE_RULES) -> str:
    """Return the SHA-256 of a table, in hex."""
    return sha256(table_json(rules))


def checker_table_digest() -> str:
    """Return the SHA-256 of the checker's own table, in hex: it is stated a second time, in other words."""
    return sha256(canonical({state: line._asdict() for state, line in checker.LINES.items()}))


def canonical(value: object) -> str:
    """Return JSON with sorted keys, no spaces, and text as it is: what ``jq -cS`` writes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
