"""Post-window catch-up (R50, R51): the mail that a window kept back goes out on the first free day."""

from collections.abc import Sequence

import numpy as np

from core.planning.candidates import Excluded, Frame
from core.planning.columns import NO_DAY, Int32
from core.planning.items import Items, Source, make_items
from core.planning.ledger import Ledger
from core.planning.ordering import contact_of, day_of, is_first, pair_key
from core.planning.reasons import has_window_end
from core.planning.rules import EMAIL_TYPES
from core.planning.smoothing import catch_up


def post_window(frame: Frame, items: Items, previous: Sequence[Excluded], ledger: Ledger) -> Items:
    """Return the catch-up items owed by everything that a window suppressed; several for one day are one mail."""
    if not frame.config.enable_post_window_emails:
        return _items(frame, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32))
    contact, free = _first_free_days(frame, [_suppressed(items), *previous])
    contact, free = _distinct(contact, free)
    ledger.consider("post_window", len(contact))
    grace = frame.config.late_grace_days
    contact, free = ledger.without("post_window_expired", free < frame.today - grace, contact, free)
    if frame.last_ideal is not None:
        contact, free = ledger.without("beyond_lookahead", frame.beyond_lookahead(free), contact, free)
    contact, free = ledger.without("handled", frame.handled["post_window"].handles(contact, free), contact, free)
    contact, free = ledger.without("post_window_barred", frame.barred_globally(contact), contact, free)
    # R51 asks of a first free day in the past what R63 asks of any late mail: today, unless today is excluded.
    return catch_up(frame, _items(frame, contact, free))


def _suppressed(items: Items) -> Excluded:
    """Return what a window kept back in this run (R51a): the day that was looked at is the target by then."""
    rows = has_window_end(items.reason).nonzero()[0]
    return Excluded(items.contact.take(rows), items.target.take(rows))


def _first_free_days(frame: Frame, excluded: Sequence[Excluded]) -> tuple[Int32, Int32]:
    """Return (contact, first free day) of what was kept back, where there is such a day."""
    contact = np.concatenate([e.contact for e in excluded])
    free = frame.windows.first_free(contact, np.concatenate([e.checked for e in excluded]))
    known = (free != NO_DAY).nonzero()[0]
    return contact.take(known), free.take(known)


def _distinct(contact: Int32, day: Int32) -> tuple[Int32, Int32]:
    pair = np.sort(pair_key(contact, day))
    pair = pair[is_first(pair)]
    return contact_of(pair), day_of(pair)


def _items(frame: Frame, contact: Int32, free: Int32) -> Items:
    spec = EMAIL_TYPES["post_window"]
    return make_items(contact, free, Source(spec.code, spec.priority, deadline_days=frame.config.late_grace_days))
