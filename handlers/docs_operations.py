"""The tables of docs/deployment.md and docs/events.md: settings, event types, and what an org costs."""

from typing import Final, NamedTuple

from events.types import EVENT_TYPES
from handlers.docs_markdown import table
from infra.settings import SETTINGS

_GB: Final = 1_000_000_000
_RUNS_PER_MONTH: Final = 30


class Prices(NamedTuple):
    """Public list prices in dollars."""

    egress_gb: float = 0.12
    class_a: float = 0.005 / 1000
    class_b: float = 0.0004 / 1000
    storage_gb_month: float = 0.023


class Measured(NamedTuple):
    """What benchmarks/bench_sync.py says at 100 000 contacts, all rules on."""

    database_bytes_per_contact: float = 118_018_048 / 100_000
    delta_bytes_per_contact: float = 215_820 / 100_000
    """What a machine that is behind by a day's run downloads."""
    requests_a: int = 4
    """Of a run that changed something: lease, upload, delta, status. Giving the lease back is free."""
    requests_b: int = 3


PRICES: Final = Prices()
MEASURED: Final = Measured()
VERSIONS_KEPT: Final = 30 + 7
"""One a day for noncurrent_days, then soft_delete_days more."""
_SIZES: Final = (663, 25_000, 100_000, 1_000_000, 3_000_000)


def settings() -> str:
    """Every setting."""
    rows = (
        [f"`{s.name}`", f"`{s.default}`" if s.default else "", s.allowed, s.description + (" (secret)" if s.secret else "")]
        for s in SETTINGS
    )  # fmt: skip
    return table(("variable", "default", "allowed", "what it is for"), rows)


def event_types() -> str:
    """Every event that is sent over a wire."""
    who = {"in": "you send", "out": "we tell"}
    rows = (
        [f"`{name}`", who[kind.direction], kind.description, _links(name)]
        for name, kind in EVENT_TYPES.items()
        if kind.direction in who
    )
    return table(("type", "", "what it is", ""), rows)


def _links(name: str) -> str:
    return f"[schema](../events/schemas/{name}.json), [samples](../events/samples/{name})"


def cost() -> str:
    """What one org costs in the bucket (dollars), by its size."""
    rows = []
    for contacts in _SIZES:
        database = contacts * MEASURED.database_bytes_per_contact / _GB
        requests = MEASURED.requests_a * PRICES.class_a + MEASURED.requests_b * PRICES.class_b
        cold = database * PRICES.egress_gb + requests
        behind = contacts * MEASURED.delta_bytes_per_contact / _GB * PRICES.egress_gb + requests
        storage = database * (1 + VERSIONS_KEPT) * PRICES.storage_gb_month
        month = storage + _RUNS_PER_MONTH * behind
        rows.append(
            [f"{contacts:,}", _size(database), *(_dollars(d) for d in (requests, behind, cold, storage, month))]
        )
    head = (
        "contacts", "database", "run, mirror current", "run, behind by a day", "run, cold machine",
        f"storage a month, {VERSIONS_KEPT} old versions", "month of daily runs",
    )  # fmt: skip
    return table(head, rows)


def _size(gigabytes: float) -> str:
    return f"{gigabytes:.2f} GB" if gigabytes >= 1 else f"{gigabytes * 1000:.1f} MB"


def _dollars(amount: float) -> str:
    return f"${amount:.2f}" if amount >= 1 else f"${amount:.3g}" if amount >= 0.001 else f"${amount:.6f}"  # noqa: PLR2004
