"""Post-window catch-up (R50, R51): the mail that a window kept back goes out on the first free day."""

from collections.abc import Sequence

import numpy as np

from core.planning.candidates import Frame, Occurrences, previous_excluded
from core.planning.columns import NO_DAY, Int32, Int64
from core.planning.items import Items, make_items
from core.planning.ledger import Ledger
from core.planning.ordering import contact_of, day_of, pair_key
from core.planning.reasons import has_window_end, is_exclusion
from core.planning.rules import EMAIL_TYPES
from core.planning.smoothing import catch_up


def post_window(frame: Frame, items: Items, found: Sequence[Occurrences], ledger: Ledger) -> Items:
    """Return the catch-up items owed by everything that a window suppressed; several for one day are one mail."""
    if not frame.config.enable_post_window_emails:
        return _items(frame, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32))
    contact, free = _first_free_days(frame, items, found)
    contact, free = _distinct(contact, free)
    ledger.consider("post_window", len(contact))
    grace = frame.config.late_grace_days
    expired = free + grace < frame.today
    beyond = frame.beyond_lookahead(free)
    handled = frame.handled["post_window"].handles(contact, free)
    barred = frame.barred_globally(contact)
    ledger.leave("post_window_expired", expired)
    ledger.leave("beyond_lookahead", ~expired & beyond)
    ledger.leave("handled", ~expired & ~beyond & handled)
    ledger.leave("post_window_barred", ~expired & ~beyond & ~handled & barred)
    owed = ~expired & ~beyond & ~handled & ~barred
    # R51 asks of a first free day in the past what R63 asks of any late mail: today, unless today is excluded.
    return catch_up(frame, _items(frame, contact[owed], free[owed]))


def _first_free_days(frame: Frame, items: Items, found: Sequence[Occurrences]) -> tuple[Int64, Int32]:
    """Collect (contact, first free day) for R51 (a), this run's exclusions, and (b), the previous occurrences'."""
    suppressed = is_exclusion(items.reason)
    sources = [(items.contact[suppressed], items.checked[suppressed])]
    sources += [previous_excluded(frame, occurrence) for occurrence in found]
    contact = np.concatenate([c for c, _ in sources])
    checked = np.concatenate([d for _, d in sources]).astype(np.int32)
    ends = has_window_end(frame.windows.check(contact, checked))
    contact, checked = contact[ends], checked[ends]
    free = frame.windows.first_free(contact, checked)
    known = free != NO_DAY
    return contact[known], free[known]


def _distinct(contact: Int64, day: Int32) -> tuple[Int64, Int32]:
    pair = np.unique(pair_key(contact, day))
    return contact_of(pair), day_of(pair)


def _items(frame: Frame, contact: Int64, free: Int32) -> Items:
    spec = EMAIL_TYPES["post_window"]
    return make_items(
        contact=contact,
        type_code=spec.code,
        event=free,
        ideal=free,
        deadline=free + np.int32(frame.config.late_grace_days),
        priority=spec.priority,
    )
