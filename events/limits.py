"""A limit on everything that comes from outside."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the decoder takes; more is a rejection. The defaults are Pub/Sub's own limits where it has one."""

    body_bytes_max: int = 16 * 1024 * 1024
    """The HTTP body: a 10 MB message in base64, and its envelope."""
    data_bytes_max: int = 10_000_000
    """The data of one event or Pub/Sub message."""
    batch_events_max: int = 1_000
    attributes_max: int = 100
    attribute_characters_max: int = 1_024
    """Of one attribute's value; the source of an event has the same."""
    id_characters_max: int = 256
    nesting_max: int = 32
    """Lists and objects inside each other. No payload of ours needs more than 8."""
    values_max: int = 1_000_000
    """JSON values in the data of one event: ten times what a full payload needs."""
    reasons_max: int = 100
    """Of one rejection: a message that is wrong everywhere must not make a rejection that cannot be published."""
    item_reasons_max: int = 20
    """Of one item: more than any kind has fields."""
    items_reasons_max: int = 20_000
    """Of all items of one event: four of each of 5 000, in a rejection that can still be published."""


DEFAULT_LIMITS: Final = Limits()
