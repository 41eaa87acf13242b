"""Conservation: every candidate of a run ends as one thing, and a run whose numbers do not add up fails before it writes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.planning import columns
from core.planning import plan as pipeline
from core.planning.items import Items
from core.planning.ledger import ConservationError, Ledger
from core.planning.reasons import REASON_TEXTS, Exclusion, Reason, exclusion_code, reason_text
from core.planning.rules import STATE_CODES
from core.planning.snapshot import RowKind
from core.runs.errors import ErrorCode
from infra.memory_bucket import MemoryBucket
from tests.machines import OBJECT, Machine, put_org
from tests.orgs import Org

TODAY = "2026-01-05"


def busy_org() -> Org:
    org = Org(min_daily_cap=2, max_emails_per_period=1)
    for day in range(1, 29):
        state = ("TX", "CA", "NY", "MO", "??")[day % 5]
        org.contact(state=state, birth_date=f"1960-02-{day:02d}", effective_date=f"2015-03-{day:02d}")
    org.locked(1, "birthday", "2026-02-02")
    org.campaign("news", target_all_contacts=1)
    org.instance("news", active_start_date="2026-01-01", target_states="TX,CA")
    return org


def test_rows_and_candidates_not_due_add_up() -> None:
    planned = busy_org().plan(TODAY)
    assert len(planned.rows) + sum(planned.not_due.values()) == sum(planned.considered.values())
    assert planned.not_due["handled"] == 1


def test_r98_the_size_of_the_parts_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def content() -> set[tuple[int, int, int, int, RowKind]]:
        rows = busy_org().plan(TODAY).rows
        parts = (rows.contact_id, rows.instance_id, rows.event_day, rows.send_day, rows.kind)
        return {(*row[:4], rows.kinds[row[4]]) for row in zip(*(part.tolist() for part in parts), strict=True)}

    whole = content()
    monkeypatch.setattr(columns, "_PART_ROWS", 3)
    assert content() == whole


def test_every_row_is_pre_scheduled_or_skipped_for_a_reason_of_the_closed_list() -> None:
    kinds = busy_org().plan(TODAY).rows.kinds
    assert {k.status for k in kinds} == {"pre-scheduled", "skipped"}
    assert {k.skip_reason for k in kinds if k.status == "skipped"} <= REASON_TEXTS
    assert {k.skip_reason for k in kinds if k.status == "pre-scheduled"} == {None}


def test_the_closed_list_has_a_text_for_every_number_and_a_number_for_every_text() -> None:
    codes = [r.value for r in Reason if r] + [exclusion_code(k, s) for k in Exclusion for s in range(len(STATE_CODES))]
    texts = [reason_text(code) for code in codes]
    assert len(set(texts)) == len(texts)
    assert set(texts) == REASON_TEXTS


def test_a_ledger_that_does_not_balance_says_what_it_has() -> None:
    ledger = Ledger()
    ledger.consider("birthday", 3)
    ledger.leave("handled", np.array([True, False, False]))
    ledger.balance(2)
    with pytest.raises(ConservationError, match="3 candidates, but 1 rows and 1 not due"):
        ledger.balance(1)


def lose_one(step: Callable[..., Items]) -> Callable[..., Items]:
    def losing(*arguments: object) -> Items:
        items = step(*arguments)
        return items.take(np.arange(1, len(items)))

    return losing


def double_one(step: Callable[..., Items]) -> Callable[..., Items]:
    def doubling(*arguments: object) -> Items:
        items = step(*arguments)
        return items.take(np.concatenate((np.arange(len(items)), [0])))

    return doubling


@pytest.mark.parametrize("fault", [lose_one, double_one])
@pytest.mark.parametrize("step", ["candidates", "apply_limits"])
def test_a_step_that_loses_or_doubles_a_mail_fails_the_run_before_it_writes(
    step: str,
    fault: Callable[[Callable[..., Items]], Callable[..., Items]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = MemoryBucket()
    generation = put_org(bucket, tmp_path)
    monkeypatch.setattr(pipeline, step, fault(getattr(pipeline, step)))
    handled = Machine(tmp_path, bucket).run()
    assert handled.outcome == "failed"
    assert handled.error is not None
    assert handled.error.code is ErrorCode.CONSERVATION_FAILED
    live = bucket.stat(OBJECT)
    assert live is not None
    assert live.generation == generation
