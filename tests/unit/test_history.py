"""Mail of past years: passed over where no rule asks about it, and asked about where one does."""

from datetime import date, timedelta

import pytest

from core.planning.calendar import day_number
from core.planning.handled import first_event_asked_for
from core.planning.rules import HANDLED_DISTANCE_DAYS
from core.planning.schedule import history_before
from tests.orgs import Org

TODAY = "2025-06-01"


def ago(days: int) -> str:
    return str(date.fromisoformat(TODAY) - timedelta(days=days))


def test_no_rule_looks_back_beyond_history() -> None:  # R33, R51, with the longest grace that R10 allows
    today = day_number(date.fromisoformat(TODAY))
    longest_grace_days = 180
    assert history_before(today) < first_event_asked_for(today, longest_grace_days) - HANDLED_DISTANCE_DAYS


@pytest.mark.parametrize(
    ("email_type", "event", "sent", "known"),
    [
        ("birthday", ago(801), ago(801), False),
        ("birthday", ago(799), ago(801), True),
        ("birthday", ago(801), ago(799), True),
        ("campaign_news", ago(5000), ago(5000), True),
        ("followup_1_cold", ago(5000), ago(5000), True),
        ("birthday", "soon", ago(5000), True),
    ],
)
def test_only_old_mail_that_no_rule_asks_about_is_passed_over(
    email_type: str, event: str, sent: str, known: bool
) -> None:
    org = Org()
    row = org.locked(org.contact(), email_type, event, scheduled_send_date=sent)
    locked = org.read(TODAY).snapshot.schedule.locked
    assert locked.row_id.tolist() == ([row] if known else [])


def test_what_is_ours_is_never_history() -> None:  # R92
    org = Org()
    org.locked(org.contact(), "birthday", ago(5000), status="skipped")
    assert len(org.read(TODAY).snapshot.schedule.owned) == 1


def test_old_campaign_mail_still_handles_its_instance() -> None:  # R57
    org = Org()
    org.campaign("news", target_all_contacts=1)
    instance = org.instance("news", active_start_date="2025-05-25")
    had_it, other = org.contact(), org.contact()
    org.locked(had_it, "campaign_news", ago(3000), campaign_instance_id=instance)
    assert [mail.contact_id for mail in org.mails(TODAY, email_type="campaign_news")] == [other]
