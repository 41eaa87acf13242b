"""The command due: what a sender may claim for a day, and nothing else."""

from pathlib import Path

import msgspec
import pytest

from handlers.cli_look_output import DueOutput
from infra.local_bucket import LocalBucket
from infra.settings import SETTINGS
from tests.command_line import AS_OF, execute, new_org, query, run, tree


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    made = new_org(tmp_path / "acme.db")
    assert run("schedule", made, *AS_OF).code == 0
    return made


def due(*args: str | Path) -> DueOutput:
    ran = run("due", *args, "--json")
    assert ran.code == 0, ran.err
    return msgspec.json.decode(ran.out, type=DueOutput)


def test_due_is_the_pre_scheduled_mail_of_the_day_in_the_order_of_sending(file: Path) -> None:
    before = tree(file.parent)
    output = due(file, *AS_OF)
    assert tree(file.parent) == before
    rows = query(
        file,
        "SELECT id, contact_id, email_type, event_date FROM email_schedules WHERE status = 'pre-scheduled' AND "
        "scheduled_send_date = '2025-03-10' ORDER BY scheduled_send_time, priority, id",
    )
    assert len(rows) > 3
    assert [(mail.id, mail.contact_id, mail.email_type, mail.event_date) for mail in output.mails] == rows
    assert sum(output.mails_by_type.values()) == len(rows)
    assert (output.notes, output.mails_left_out, output.planned_as_of) == ((), 0, "2025-03-10")
    assert str(output.day) == str(output.local_date) == "2025-03-10"


def test_what_is_claimed_skipped_or_of_another_day_is_not_due(file: Path) -> None:
    first, second, third, *rest = [mail.id for mail in due(file, *AS_OF).mails]
    execute(file, f"UPDATE email_schedules SET status = 'scheduled' WHERE id = {first}")
    execute(file, f"UPDATE email_schedules SET status = 'skipped', skip_reason = 'state_unknown' WHERE id = {second}")
    execute(file, f"UPDATE email_schedules SET scheduled_send_date = '2025-03-11' WHERE id = {third}")
    assert [mail.id for mail in due(file, *AS_OF).mails] == rest
    assert third in [mail.id for mail in due(file, *AS_OF, "--date", "2025-03-11").mails]


def test_a_day_of_the_past_has_nothing_due_and_says_so(file: Path) -> None:
    output = due(file, "--date", "2025-03-10")
    assert (output.mails, output.mails_by_type, output.notes) == ((), {}, ("date_past",))
    assert "The day is past" in run("due", file, "--date", "2025-03-10").out


def test_mail_to_somebody_who_unsubscribed_since_the_run_is_withheld(file: Path) -> None:
    whole = due(file, *AS_OF)
    gone, unsubscribed, erased = list(dict.fromkeys(mail.contact_id for mail in whole.mails))[:3]
    execute(file, f"DELETE FROM contacts WHERE id = {gone}")
    execute(file, f"UPDATE contacts SET status = ' Unsubscribed ' WHERE id = {unsubscribed}")
    execute(
        file, f"INSERT INTO scheduler_tombstones (contact_id, reason, at) VALUES ({erased}, 'deleted', '2025-03-10')"
    )
    output = due(file, *AS_OF)
    rest = [mail for mail in whole.mails if mail.contact_id not in {gone, unsubscribed, erased}]
    assert list(output.mails) == rest
    assert (output.mails_withheld, output.notes) == (len(whole.mails) - len(rest), ("contact_suppressed",))
    assert sum(output.mails_by_type.values()) == len(rest)


def test_what_no_run_has_planned_with_is_planned_first(file: Path) -> None:
    execute(file, "INSERT INTO scheduler_unplanned (id, since) VALUES (1, '2025-03-10 12:00:00')")
    output = due(file, *AS_OF)
    assert (output.mails, output.notes) == ((), ("replan_first",))


def test_an_org_on_hold_has_nothing_due_until_it_is_released(file: Path) -> None:
    bucket = LocalBucket(str(file.parent / "data" / "bucket"))
    bucket.upload("org-data/acme.db", str(file), if_generation_match=0, metadata={})
    file.rename(file.with_name("other.db"))
    assert len(due("acme", *AS_OF).mails) > 3
    assert run("hold", "acme", "--reason", "test").code == 0
    held = due("acme", *AS_OF)
    assert (held.mails, held.mails_by_type, held.notes) == ((), {}, ("on_hold",))
    assert run("explain", "acme", "1", "--json").json["on_hold"] is True
    assert "on hold" in run("explain", "acme", "1").out
    assert run("release", "acme").code == 0
    assert len(due("acme", *AS_OF).mails) > 3


def test_a_limit_leaves_mails_out_and_says_how_many(file: Path) -> None:
    whole, part = due(file, *AS_OF), due(file, *AS_OF, "--limit", "2")
    assert part.mails == whole.mails[:2]
    assert part.mails_left_out == len(whole.mails) - 2
    assert part.mails_by_type == whole.mails_by_type


def test_due_prints_ids_and_templates(file: Path) -> None:
    shown = run("due", file, *AS_OF)
    mail = due(file, *AS_OF).mails[0]
    for word in ("may be claimed for 2025-03-10", "America/Chicago", str(mail.id), mail.email_type, "08:30:00"):
        assert word in shown.out


def test_due_of_an_org_names_the_generation_that_was_read(file: Path) -> None:
    refused = run("due", "nobody", "--json")
    assert (refused.code, refused.error["code"]) == (4, "object_missing")
    ran = run("run", "acme", "--create", "--json")
    assert due("acme").generation == ran.json["completed"]["generation"]
