"""``emailsched demo`` plays from trigger to completion event, and does not claim what is not so."""

import io
import os
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from events.ids import completion_id
from handlers.cli_errors import CommandError
from handlers.cli_output import DemoOutput
from handlers.demo import MARKER, Narrator
from tests.command_line import run, spawn


def test_the_demo_shows_two_orgs_and_every_claim_holds(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    # A real bucket in the environment is not the demo's business.
    env = {"GCS_BUCKET_NAME": "somebodys-bucket", "PUBSUB_PROJECT": "somebodys-project"}
    ran = spawn("demo", "--folder", folder, "--contacts", "60", "90", "--json", env=env)
    assert ran.code == 0, ran.err
    output = msgspec.json.decode(ran.out, type=DemoOutput)
    assert [org.contacts for org in output.orgs] == [60, 90]
    for org in output.orgs:
        assert (org.first.changed, org.second.changed) == (True, False)
        assert org.second.generation == org.first.generation
        assert (org.second.bytes_down, org.second.bytes_up) == (0, 0)
        assert org.repeated.replayed
        assert org.completion_id == completion_id(org.first.org_id, org.first.run_id)
        assert Path(org.report).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "drains and exits 0" in output.claims[-1]
    assert "run.completed: 60 contacts" in ran.err
    assert sorted(os.listdir(folder)) == [  # noqa: PTH208 - names are all that is asked for
        MARKER, "data", "report-large-agency.html", "report-small-agency.html", "server.log",
    ]  # fmt: skip


def test_it_wipes_no_folder_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work", encoding="utf-8")
    refused = run("demo", "--folder", tmp_path, "--json")
    assert (refused.code, refused.error["code"]) == (2, "wrong_usage")
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert run("demo", "--folder", link).code == 2
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "ten years of work"


def test_a_claim_that_does_not_hold_ends_it() -> None:
    told = io.StringIO()
    tell = Narrator(Console(file=told))
    tell.claim("water is wet", holds=True)
    with pytest.raises(CommandError) as failed:
        tell.claim("the moon is [bold]cheese[/bold]", holds=False)
    assert failed.value.exit_code == 1
    assert tell.claims == ["water is wet"]
    assert "✗ the moon is [bold]cheese[/bold]" in told.getvalue()
