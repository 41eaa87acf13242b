"""What the report tells beyond a completion: the days that the rules ask for, skips by state, and what runs changed."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from core.planning.calendar import day_number, to_date
from core.planning.columns import Int64
from core.planning.contacts import Contacts
from core.planning.plan import Plan
from core.planning.rules import STATE_CODES, UNKNOWN_STATE
from core.runs.ports import Bucket
from core.runs.reading import read_contacts
from core.runs.reconcile import Order, reconcile
from events.payloads import RunCompleted
from events.types import OrgId
from handlers.local_run import World, completion_of, file_copy, new_run_id, object_copy
from handlers.observe import skip_kind
from infra.run_history import PastRun, past_runs

UNKNOWN: Final = "unknown"
"""How the report names the state of a contact whose state is not known (R23)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that one report shows: counts, codes, days and ids of runs, and no person."""

    completed: RunCompleted
    asked_by_day: Mapping[date, int]
    """Mails to be sent, by the day the rules ask for, before smoothing, catch-up and the cap."""
    skipped_by_state: Mapping[str, Mapping[str, int]]
    """State of the contact -> kind of reason -> skipped mails."""
    past_runs: Sequence[PastRun]
    """Newest first."""


def picture_of_file(file: Path, org_id: OrgId, as_of: date | None, world: World) -> Picture:
    """Look at a local file; raises what ``plan_file`` raises, and writes nothing either."""
    with file_copy(file, org_id, world) as copy:
        return _picture(copy, org_id, as_of, world, generation=None)


def picture_of_org(bucket: Bucket, org_id: OrgId, as_of: date | None, world: World) -> Picture:
    """Look at an org's live object; raises what ``plan_org`` raises, and leaves nothing in bucket or mirror either."""
    with object_copy(bucket, org_id, world) as (copy, generation):
        return _picture(copy, org_id, as_of, world, generation=generation)


def _picture(file: str, org_id: OrgId, as_of: date | None, world: World, *, generation: int | None) -> Picture:
    order = Order(org_id, new_run_id(), as_of=as_of, dry=True)
    with closing(world.store.open(file, org_id)) as db:
        migrated = db.migrate()
        result = reconcile(db, order, world.clock, world.journal, written=migrated)
        contacts = read_contacts(db, result.config, day_number(result.completed.as_of))
    return Picture(
        completed=completion_of(result, generation),
        asked_by_day={to_date(day): mails for day, mails in result.plan.asked_by_day.items()},
        skipped_by_state=skipped_by_state(result.plan, contacts),
        past_runs=past_runs(file, org_id),
    )


def skipped_by_state(plan: Plan, contacts: Contacts) -> dict[str, dict[str, int]]:
    """Count a plan's skipped rows by the state of their contact and the kind of the reason; most mails first."""
    rows = plan.rows
    reasons = [None if kind.skip_reason is None else skip_kind(kind.skip_reason) for kind in rows.kinds]
    names = sorted({reason for reason in reasons if reason is not None})
    if not names:
        return {}
    number = np.array([-1 if reason is None else names.index(reason) for reason in reasons], dtype=np.int64)[rows.kind]
    skipped = np.flatnonzero(number >= 0)
    state = contacts.state[contacts.index_of(rows.contact_id[skipped])].astype(np.int64)
    counts = _pairs(np.where(state == UNKNOWN_STATE, len(STATE_CODES), state), number[skipped], len(names))
    found: dict[str, dict[str, int]] = {}
    for (place, reason), mails in counts.items():
        name = UNKNOWN if place == len(STATE_CODES) else STATE_CODES[place]
        found.setdefault(name, {})[names[reason]] = mails
    return dict(sorted(found.items(), key=lambda entry: (-sum(entry[1].values()), entry[0])))


def _pairs(state: Int64, reason: Int64, reasons: int) -> dict[tuple[int, int], int]:
    per_pair = np.bincount(state * reasons + reason)
    return {divmod(pair, reasons): int(per_pair[pair]) for pair in np.flatnonzero(per_pair).tolist()}
