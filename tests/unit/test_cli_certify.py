"""The command certify: the statement, its digest, its page, and its exit code."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from handlers.cli_look_output import CertifyOutput
from infra.settings import SETTINGS
from tests.command_line import AS_OF, REPOSITORY, execute, new_org, query, run, tree


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    made = new_org(tmp_path / "acme.db")
    assert run("schedule", made, *AS_OF).code == 0
    return made


def test_what_a_run_wrote_is_compliant_and_certifying_writes_nothing(file: Path) -> None:
    before = tree(file.parent)
    ran = run("certify", file, *AS_OF, "--json")
    assert ran.code == 0
    output = msgspec.json.decode(ran.out, type=CertifyOutput)
    assert tree(file.parent) == before
    made = output.certificate
    assert made.verdict == "compliant"
    assert made.mails == query(file, "SELECT count(*) FROM email_schedules WHERE status = 'pre-scheduled'")[0][0] > 100
    assert made.database.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert made.last_run is not None
    assert made.last_run.schedule_is_as_left
    assert made.last_run.run_id == query(file, "SELECT scheduler_run_id FROM scheduler_checkpoints")[0][0]
    assert sum(line.checked + line.bypassing for line in made.states) == made.mails
    assert run("certify", file, *AS_OF, "--json").out == ran.out


def test_a_row_that_is_edited_into_a_window_fails_and_is_named(file: Path) -> None:
    execute(file, "UPDATE contacts SET state = 'NY', zip_code = '10001' WHERE id = 1")
    execute(file, "UPDATE contacts SET email = 'a@example.com', status = '' WHERE id = 1")
    execute(
        file,
        "INSERT INTO email_schedules (id, contact_id, email_type, event_date, scheduled_send_date, status) "
        "VALUES (99999, 1, 'birthday', '2031-01-01', '2025-05-05', 'pre-scheduled')",
    )
    ran = run("certify", file, *AS_OF, "--json")
    assert ran.code == 1
    made = msgspec.json.decode(ran.out, type=CertifyOutput).certificate
    assert made.verdict == "violations"
    assert (99999, 1, "R40 NY always") in [(v.row_id, v.contact_id, v.rule) for v in made.violations]
    assert made.last_run is not None
    assert made.last_run.schedule_is_as_left is False
    shown = run("certify", file, *AS_OF)
    assert shown.code == 1
    for word in ("MUST NOT GO OUT", "99999", "R40 NY always", "EDITED"):
        assert word in shown.out


def test_the_digest_is_verified_as_the_document_says(file: Path, tmp_path: Path) -> None:
    ran = run("certify", file, *AS_OF, "--json")
    text = (REPOSITORY / "docs" / "command-line.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"python3 -c '([^']+certificate[^']+)'", text)
    checked = subprocess.run(
        [sys.executable, "-c", program], input=ran.out, capture_output=True, text=True, check=True, timeout=60
    )
    assert checked.stdout.strip() == ran.json["sha256"]


def test_the_page_has_the_statement_and_its_digest(file: Path, tmp_path: Path) -> None:
    ran = run("certify", file, *AS_OF, "--out", tmp_path / "c.html", "--json")
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert ran.json["out"] == str(tmp_path / "c.html")
    assert ran.json["sha256"] in page
    canonical = json.dumps(ran.json["certificate"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical.replace('"', "&#34;") in page
    assert "Compliant." in page
    people = query(file, "SELECT email, last_name FROM contacts WHERE email LIKE '%@%' LIMIT 30")
    assert not [text for row in people for text in row if text and f">{text}<" in page]
    assert run("certify", file, "--out", tmp_path / "no" / "c.html").code == 4


def test_a_journal_beside_the_file_leaves_no_hash_of_bytes(file: Path) -> None:
    import sqlite3

    db = sqlite3.connect(file)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("UPDATE contacts SET carrier = 'x' WHERE id = 1")
    db.commit()
    ran = run("certify", file, *AS_OF, "--json")
    db.close()
    assert (ran.code, ran.json["certificate"]["database"]["sha256"]) == (0, None)


def test_an_org_is_certified_with_its_generation(file: Path) -> None:
    created = run("run", "acme", "--create", "--json")
    ran = run("certify", "acme", "--json")
    assert ran.code == 0
    database = ran.json["certificate"]["database"]
    assert database["generation"] == created.json["completed"]["generation"]
    assert len(database["sha256"]) == 64
    assert ran.json["file"] is None
