"""SECURITY.md, erasing a person: what its commands leave of somebody in the live database is nothing."""

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec
import pytest

from events.types import Delivery, Event, OrgId
from events.wire import PubSubMessage, decode_message
from handlers.bootstrap import App, build
from infra.fence import object_name
from infra.settings import Settings
from infra.synthetic import make_org
from tests.command_line import run

ORG = OrgId("acme")
PERSON = 17


@pytest.fixture
def app(tmp_path: Path) -> App:
    return build(Settings(data_dir=tmp_path / "data"))


def live(app: App, tmp_path: Path) -> tuple[Path, int]:
    info = app.bucket.stat(object_name(ORG))
    assert info is not None
    file = tmp_path / f"{info.generation}.db"
    if not file.exists():
        app.bucket.download(object_name(ORG), info.generation, str(file))
    return file, info.generation


def send(app: App, message_id: str, type_name: str, data: object) -> None:
    attributes = {
        "ce-specversion": "1.0", "ce-id": message_id, "ce-source": "//crm.example.com", "ce-type": type_name,
        "ce-subject": f"org/{ORG}", "ce-time": app.clock.now_utc().isoformat(),
    }  # fmt: skip
    message = PubSubMessage(
        data=msgspec.json.encode(data), attributes=attributes, delivery=Delivery(message_id=message_id)
    )
    [event] = decode_message(message, received_at=app.clock.now_utc())
    assert isinstance(event, Event), event
    handled = app.service.handle(event, until=app.clock.monotonic() + 60)
    assert handled.error is None, handled.error


def test_after_the_procedure_no_byte_of_a_person_is_left_and_nobody_else_is_gone(app: App, tmp_path: Path) -> None:
    first = tmp_path / "org.db"
    make_org(str(first), contacts=400, seed=1, today=date(2026, 11, 25))
    app.bucket.upload(object_name(ORG), str(first), if_generation_match=0, metadata={})
    with closing(sqlite3.connect(first)) as db:
        (address,) = db.execute("SELECT email FROM contacts WHERE id = ?", (PERSON,)).fetchone()
    trace = address.encode()
    assert trace in first.read_bytes()

    delete = {"items": [{"kind": "delete", "contact_id": PERSON}]}
    send(app, "1", "com.emailscheduler.contact.changed.v1", delete)
    deleted, generation = live(app, tmp_path)

    # The row is gone, but its bytes are in pages that nobody uses: hence the second step.
    with closing(sqlite3.connect(deleted)) as db:
        db.execute("VACUUM")
    app.bucket.upload(object_name(ORG), str(deleted), if_generation_match=generation, metadata={})
    ran = run("reconcile", ORG, "--json", env={"DATA_DIR": str(tmp_path / "data")})
    assert ran.code == 0, ran.out

    file, _ = live(app, tmp_path)
    assert trace not in file.read_bytes()
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(*) FROM contacts").fetchone() == (399,)
        assert db.execute("SELECT contact_id FROM scheduler_tombstones").fetchall() == [(PERSON,)]
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
