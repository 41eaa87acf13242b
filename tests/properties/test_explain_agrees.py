"""explain against the plan: every contact of random orgs, every row, every candidate that has none.

EXPLAIN_SEEDS says how many orgs (default 6); EXPLAIN_FIRST_SEED where to start, to replay a failure.
"""

import json
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from core.planning.calendar import day_number, to_date
from core.planning.columns import NULL_ID
from core.planning.config import Config, parse_config
from core.planning.diff import diff_schedule
from core.planning.explain import explain, explain_planned
from core.planning.explain_subject import Subject, subject_of
from core.planning.explain_trace import Trace
from core.planning.explain_words import WORDS, skip_code
from core.planning.explanation import Explanation, Mail
from core.planning.plan import Plan, plan
from core.planning.reasons import REASON_TEXTS
from core.runs.reading import read_org
from tests.plain_database import PlainDatabase
from tests.reference.random_orgs import random_org

SCHEMA = (Path(__file__).parents[2] / "infra" / "schema.sql").read_text(encoding="utf-8")
FIRST_SEED = int(os.environ.get("EXPLAIN_FIRST_SEED", "0"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("EXPLAIN_SEEDS", "6")))

LEDGER: Final = {
    "birthday_not_eligible": "not_eligible",
    "effective_date_not_eligible": "not_eligible",
    "aep_not_eligible": "not_eligible",
    "campaign_handled": "handled",
    **{
        cause: cause
        for cause in (
            "handled", "beyond_lookahead", "no_trigger_date", "campaign_over", "post_window_expired",
            "post_window_barred",
        )
    },
}  # fmt: skip
"""The codes that tell of a candidate in the planner's books, and its name there."""


class Told:
    """A random org, its plan, and the explanation of each of its contacts."""

    def __init__(self, seed: int) -> None:
        org = random_org(seed, schema_sql=SCHEMA)
        self.today = day_number(org.today)
        self.config: Config = parse_config(json.dumps(org.overrides), lambda name: True)
        self.snapshot = read_org(PlainDatabase(org.db), self.config, self.today).snapshot  # type: ignore[arg-type]
        contacts = self.snapshot.contacts
        trace = Trace(np.arange(len(contacts), dtype=np.int64))
        self.plan: Plan = plan(self.snapshot, self.config, self.today, trace)
        self.subjects: list[Subject] = [
            subject_of(self.snapshot, self.config, self.today, row, self.plan, trace) for row in range(len(contacts))
        ]
        self.all: list[Explanation] = [explain_planned(subject) for subject in self.subjects]

    def mails(self) -> list[tuple[Explanation, Mail]]:
        return [(told, mail) for told in self.all for mail in told.mails]


@pytest.fixture(scope="module", params=SEEDS)
def told(request: pytest.FixtureRequest) -> Told:
    return Told(request.param)


def test_the_mails_told_of_are_the_rows_of_the_plan(told: Told) -> None:
    rows = told.plan.rows
    planned = Counter(
        (
            int(rows.contact_id[i]),
            rows.kinds[rows.kind[i]].email_type,
            None if rows.instance_id[i] == NULL_ID else int(rows.instance_id[i]),
            None if rows.parent_id[i] == NULL_ID else int(rows.parent_id[i]),
            to_date(int(rows.event_day[i])),
            to_date(int(rows.send_day[i])),
            rows.kinds[rows.kind[i]].skip_reason,
        )
        for i in range(len(rows))
    )
    explained = Counter(
        (
            one.contact_id, mail.email_type, mail.campaign_instance_id, mail.parent_schedule_id, mail.event_date,
            mail.send_date, mail.reason,
        )
        for one, mail in told.mails()
        if mail.outcome != "no_row"
    )  # fmt: skip
    assert explained == planned


def test_what_has_no_row_is_what_the_planners_books_say_is_not_due(told: Told) -> None:
    causes = Counter(LEDGER[mail.reason] for _, mail in told.mails() if mail.reason in LEDGER)
    assert causes == Counter(told.plan.not_due)


def test_the_last_finding_says_what_became_of_the_mail(told: Told) -> None:
    for _, mail in told.mails():
        last = mail.findings[-1]
        match mail.outcome:
            case "to_be_sent":
                assert (last.code, last.to_day, last.needs) == ("to_be_sent", mail.send_date, None)
            case "skipped":
                assert last.code == skip_code(mail.reason or "")
                assert last.needs
            case "held":
                assert last.code == "held_by_locked_row"
            case "no_row":
                assert last.code == mail.reason
                assert last.needs


def test_a_window_that_keeps_a_mail_back_covers_the_day_that_was_looked_at(told: Told) -> None:
    for one, mail in told.mails():
        if mail.outcome != "skipped" or not (mail.reason or "").endswith(f"_window:{one.state}"):
            continue
        window = mail.findings[-1]
        day = mail.send_date if mail.parent_schedule_id else mail.findings[-2].to_day
        assert window.from_day is not None
        assert window.to_day is not None
        assert day is not None
        # a follow-up is looked at on its target (R84)
        looked_at = max(day, to_date(told.today)) if mail.parent_schedule_id else day
        assert window.from_day <= looked_at <= window.to_day


def test_the_windows_told_of_are_the_days_on_which_the_planner_excludes(told: Told) -> None:
    days = np.arange(told.today - 300, told.today + 300, 3, dtype=np.int32)
    for subject, one in zip(told.subjects, told.all, strict=True):
        codes = subject.frame.windows.check(np.zeros(len(days), dtype=np.int64), days)
        if one.state is not None and told.config.rule(one.state).age_76_plus:
            continue  # an age limit is reached in the midst of the days
        for day, code in zip(days.tolist(), codes.tolist(), strict=True):
            inside = [
                window
                for window in one.windows
                if window.from_day is None or (window.to_day and window.from_day <= to_date(day) <= window.to_day)
            ]
            assert bool(code) == bool(inside), (one.contact_id, to_date(day), one.windows)


def test_days_that_carry_a_mail_lead_from_its_first_day_to_its_last(told: Told) -> None:
    for _, mail in told.mails():
        carried = [finding for finding in mail.findings if finding.code == "carried"]
        for before, after in pairwise(carried):
            assert before.to_day == after.from_day
        if carried and mail.outcome == "to_be_sent":
            assert carried[-1].to_day == mail.send_date
        for finding in carried:
            counts = finding.counts
            assert counts["wanted"] + counts["fixed"] > told.plan.limits.threshold
            assert counts["stayed"] < counts["wanted"]


def test_every_day_of_the_plan_has_the_load_that_the_trace_says(told: Told) -> None:
    rows = told.plan.rows
    trace = told.subjects[0].trace
    balanced = Counter(
        s.target for subject in told.subjects for s in trace.after(subject.row, "balanced").values() if not s.reason
    )
    for day, count in balanced.items():
        assert trace.load(day).stayed == count
    assert len(rows)


def test_conflict_and_frequency_name_the_mails_that_stand_in_the_way(told: Told) -> None:
    for _, mail in told.mails():
        if mail.reason not in {"campaign_conflict", "frequency_limit"} or mail.outcome != "skipped":
            continue
        last = mail.findings[-1]
        assert last.mails
        assert last.to_day is not None
        dates = [ref.send_date for ref in last.mails]
        if mail.reason == "campaign_conflict":
            assert set(dates) == {last.to_day}
        else:
            assert len(dates) >= told.config.max_emails_per_period
            span = [*(day for day in dates if day is not None), last.to_day]
            assert (max(span) - min(span)).days < told.config.frequency_period_days


def test_what_is_said_of_stored_rows_adds_up_to_the_difference(told: Told) -> None:
    changes = diff_schedule(told.plan.rows, told.snapshot.schedule, told.today).changes
    said = Counter(mail.stored.change for _, mail in told.mails() if mail.stored is not None)
    known = set(told.snapshot.contacts.contact_id.tolist())
    foreign = {
        row for row, contact in zip(
            told.snapshot.schedule.owned.row_id.tolist(), told.snapshot.schedule.owned.contact_id.tolist(), strict=True
        ) if contact not in known
    }  # fmt: skip
    assert said["insert"] == len(changes.inserts)
    assert said["update"] == len(changes.updates)
    assert said["unchanged"] == changes.unchanged_count
    assert said["held"] == changes.dropped_locked_count
    leftovers = {row.row.row_id: row.change for one in told.all for row in one.leftovers}
    assert {i for i, change in leftovers.items() if change == "delete"} == set(
        changes.delete_row_ids.tolist()
    ) - foreign
    assert {i for i, change in leftovers.items() if change == "missed"} == set(
        changes.missed_row_ids.tolist()
    ) - foreign
    updates = [mail.stored for _, mail in told.mails() if mail.stored and mail.stored.change == "update"]
    assert all(stored.fields for stored in updates)


def test_one_contact_explained_alone_is_what_it_is_among_all(told: Told) -> None:
    for one in told.all[::9]:
        assert explain(told.snapshot, told.config, told.today, one.contact_id) == one


def test_everything_that_can_keep_a_mail_back_has_words() -> None:
    assert {skip_code(reason) for reason in REASON_TEXTS} <= set(WORDS)
