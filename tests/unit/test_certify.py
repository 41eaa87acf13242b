"""certify: what is stored is held to the law, whoever wrote it."""

import hashlib
import json
from datetime import date

import pytest

from core.planning.rule_table import checker_table_digest, table_digest, table_json
from core.planning.rules import STATE_RULES
from core.runs.certificate import Certificate, CertifiedDatabase
from core.runs.certifying import canonical_json, certificate_digest, certify
from core.runs.checkpoint import CheckpointMark
from core.runs.ports import ConfigRow
from core.runs.reconcile import Order
from events.types import OrgId
from handlers.certificate_page import render_certificate
from tests.clocks import FixedClock
from tests.orgs import Org
from tests.plain_database import PlainDatabase

TODAY = "2025-03-10"
BYTES = CertifiedDatabase(generation=7, sha256="0" * 64, size_bytes=4096)


class StoredOrg(PlainDatabase):
    """An org with a checkpoint and configurations, as certify reads one."""

    def __init__(self, org: Org, last: CheckpointMark | None = None) -> None:
        super().__init__(org.db)
        self._last = last

    def config_rows(self) -> tuple[ConfigRow, ...]:
        return ()

    def last_checkpoint(self) -> CheckpointMark | None:
        return self._last


def certified(org: Org, today: str = TODAY, last: CheckpointMark | None = None) -> Certificate:
    order = Order(
        OrgId("acme"), "run", as_of=date.fromisoformat(today), dry=True, config_data=org.config.canonical_json()
    )
    return certify(StoredOrg(org, last), order, FixedClock(), BYTES, program="1.0")  # type: ignore[arg-type]


def planned(org: Org, contact: int, send: str, email_type: str = "birthday", **values: object) -> int:
    return org.locked(contact, email_type, "2025-06-20", status="pre-scheduled", scheduled_send_date=send, **values)


def broken(certificate: Certificate) -> list[tuple[int, str]]:
    return [(violation.row_id, violation.rule) for violation in certificate.violations]


def test_mail_outside_windows_is_compliant_and_counted_by_state() -> None:
    org = Org()
    planned(org, org.contact(state="TX"), "2025-06-06")
    planned(org, org.contact(state="CA", birth_date="1950-06-20"), "2025-08-20")
    made = certified(org)
    assert (made.verdict, made.violations, made.mails, made.mails_checked, made.mails_bypassing) == (
        "compliant", (), 2, 2, 0,
    )  # fmt: skip
    lines = {line.state: line for line in made.states}
    assert (lines["CA"].checked, lines["CA"].days_before, lines["CA"].days_after) == (1, 90, 60)
    assert lines["TX"].rule == "none"
    assert lines["NV"].from_month_start
    assert (made.first_day, made.last_day) == (date(2025, 6, 6), date(2025, 8, 20))


@pytest.mark.parametrize(
    ("contact", "send", "rule"),
    [
        ({"state": "CA", "birth_date": "1950-06-20"}, "2025-08-19", "R40 CA birth"),
        ({"state": "CA", "birth_date": "1950-06-20"}, "2025-03-22", "R40 CA birth"),
        ({"state": "MO", "effective_date": "2020-06-20"}, "2025-06-20", "R40 MO effective"),
        ({"state": "NY"}, "2025-06-06", "R40 NY always"),
        ({"state": "OK", "birth_date": None}, "2025-06-06", "R40 OK birth"),
        ({"state": None}, "2025-06-06", "R25 state unknown"),
        ({"status": "unsubscribed"}, "2025-06-06", "R24 not to be written to"),
        ({"email": "nobody"}, "2025-06-06", "R24 not to be written to"),
        ({}, "soon", "R75 the send date cannot be read"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named_by_its_ids(contact: dict[str, object], send: str, rule: str) -> None:
    org = Org()
    person = org.contact(**contact)
    row = planned(org, person, send)
    made = certified(org)
    assert made.verdict == "violations"
    assert broken(made) == [(row, rule)]
    assert made.violations[0].contact_id == person


def test_a_row_of_nobody_is_a_violation() -> None:
    org = Org()
    row = planned(org, 4711, "2025-06-06")
    made = certified(org)
    assert broken(made) == [(row, "R24 not a contact")]
    assert [(line.state, line.violations) for line in made.states if line.violations] == [("unknown", 1)]


def test_only_pre_scheduled_rows_are_judged() -> None:
    org = Org()
    person = org.contact(state="NY")
    org.locked(person, "birthday", "2025-06-20", status="sent")
    org.locked(person, "aep", "2025-09-15", status="skipped", skip_reason="exclusion:year_round:NY")
    made = certified(org)
    assert (made.verdict, made.mails) == ("compliant", 0)
    assert made.kept_back_by_reason == {"exclusion:year_round:NY": 1}


def test_mail_of_campaigns_that_do_not_respect_windows_is_listed_and_not_judged_by_them() -> None:
    org = Org()
    org.campaign("notice", respect_exclusion_windows=0, target_all_contacts=1)
    org.campaign("news", target_all_contacts=1)
    notice, news = org.instance("notice", active_start_date=TODAY), org.instance("news", active_start_date=TODAY)
    over = org.instance("notice", active_end_date="2025-03-09")
    person = org.contact(state="NY")
    planned(org, person, "2025-04-01", "campaign_notice", campaign_instance_id=notice)
    planned(org, person, "2025-03-09", "campaign_notice", campaign_instance_id=over)
    row = planned(org, person, "2025-04-02", "campaign_news", campaign_instance_id=news)
    made = certified(org)
    assert broken(made) == [(row, "R40 NY always")]
    assert [(b.campaign_instance_id, b.mails, b.mails_by_state, b.is_open) for b in made.bypasses] == [
        (notice, 1, {"NY": 1}, True),
        (over, 1, {"NY": 1}, False),
    ]
    assert (made.mails_checked, made.mails_bypassing) == (1, 2)


def test_no_campaign_may_write_to_somebody_who_unsubscribed() -> None:
    org = Org()
    org.campaign("notice", respect_exclusion_windows=0, target_all_contacts=1)
    notice = org.instance("notice", active_start_date=TODAY)
    person = org.contact(status="unsubscribed")
    row = planned(org, person, "2025-04-01", "campaign_notice", campaign_instance_id=notice)
    assert broken(certified(org)) == [(row, "R24 not to be written to")]


def test_the_orgs_own_rules_are_the_ones_that_count() -> None:
    org = Org(state_rules={"IL": {"type": "birthday_window", "after": 45}, "MD": {"type": "none"}})
    planned(org, org.contact(state="MD", birth_date="1950-06-20"), "2025-06-20")
    row = planned(org, org.contact(state="IL", birth_date="1950-06-20"), "2025-06-20")
    made = certified(org)
    assert broken(made) == [(row, "R40 IL birth")]
    assert [line.state for line in made.states if line.own_rule] == ["IL", "MD"]


def test_the_last_run_is_held_against_what_is_there_now() -> None:
    org = Org()
    mark = CheckpointMark("run-1", TODAY, "0" * 32, "2025-03-10 12:00:00", org.config.digest())
    untouched = certified(org, last=mark)
    assert untouched.last_run is not None
    assert (untouched.last_run.run_id, untouched.last_run.schedule_is_as_left) == ("run-1", True)
    assert untouched.last_run.config_is_in_force
    planned(org, org.contact(), "2025-06-06")
    edited = certified(org, last=mark._replace(config_hash="f" * 64)).last_run
    assert edited is not None
    assert (edited.schedule_is_as_left, edited.config_is_in_force) == (False, False)
    assert certified(org).last_run is None


def test_the_digest_is_of_the_canonical_json_and_moves_with_every_fact() -> None:
    org = Org()
    planned(org, org.contact(state="TX"), "2025-06-06")
    made = certified(org)
    text = canonical_json(made)
    parsed = json.loads(text)
    assert text == json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert certificate_digest(made) == hashlib.sha256(text.encode()).hexdigest()
    assert certificate_digest(made) == certificate_digest(certified(org))
    assert certificate_digest(certified(org, "2025-03-11")) != certificate_digest(made)
    planned(org, org.contact(state="TX"), "2025-06-06")
    assert certificate_digest(certified(org)) != certificate_digest(made)


def test_the_hash_of_the_rule_table_moves_with_every_number() -> None:
    assert table_digest() == hashlib.sha256(table_json().encode()).hexdigest()
    assert json.loads(table_json())["CA"] == {
        "type": "birthday_window", "before": 30, "after": 60, "use_month_start": False, "age_76_plus": False,
    }  # fmt: skip
    other = {**STATE_RULES, "CA": STATE_RULES["CA"]._replace(days_after=61)}
    assert table_digest(other) != table_digest()
    assert len(checker_table_digest()) == 64


def test_the_page_names_what_counsel_needs_and_nobody() -> None:
    org = Org()
    row = planned(org, org.contact(state="NY", email="ann@example.com", last_name="Secret"), "2025-06-06")
    made = certified(org)
    page = render_certificate(made, canonical_json(made), certificate_digest(made))
    for word in ("Not compliant", "R40 NY always", f">{row}<", certificate_digest(made), "2025-03-10", "generation 7"):
        assert word in page
    for word in ("ann@example.com", "Secret", "http://", "https://", "<script"):
        assert word not in page


def test_a_name_in_the_page_cannot_be_markup() -> None:
    org = Org()
    org.campaign("<b>x", respect_exclusion_windows=0, target_all_contacts=1)
    instance = org.instance("<b>x", active_start_date=TODAY)
    planned(org, org.contact(), "2025-04-01", "campaign_<b>x", campaign_instance_id=instance)
    made = certified(org)
    page = render_certificate(made, canonical_json(made), certificate_digest(made))
    assert "<b>x" not in page
    assert "campaign_&lt;b&gt;x" in page
