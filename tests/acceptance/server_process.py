"""The real server as a subprocess on a free loopback port, with a bucket and a bus of its own in a temporary folder."""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from infra import synthetic
from infra.local_bucket import LocalBucket

REPOSITORY: Final = Path(__file__).resolve().parents[2]
START_SECONDS_MAX: Final = 30.0
ANSWER_SECONDS_MAX: Final = 60.0
SERVE: Final = (sys.executable, "-m", "handlers.cli", "serve")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        assert self.headers["Content-Type"] == "application/json"
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass
class Server:
    """One server process, and the folder that outlives it."""

    data_dir: Path
    env: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = SERVE
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log_file(self) -> Path:
        return self.data_dir / "server.log"

    def start(self, *, until_ready: bool = True) -> None:
        """Start the process; its log goes to a file of its own for every start."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        defaults = {"DATA_DIR": str(self.data_dir), "PORT": str(self.port), "METRICS_PORT": "0", "LEASE_SECONDS": "10"}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**inherited, "PYTHONPATH": str(REPOSITORY), **defaults, **self.env},
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if until_ready:
            self.wait_until(self._is_ready, START_SECONDS_MAX)

    def restart_after_kill(self) -> None:
        """kill -9 of the whole process group, then a new process on the same folder."""
        self.kill()
        self.port = 0
        self.start()

    def kill(self) -> None:
        """End the process group at once: what a machine that disappears looks like to those left."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, *, within_seconds: float = 20) -> int:
        assert self.process is not None
        return self.process.wait(within_seconds)

    def wait_until(self, condition: Callable[[], bool], within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        while not condition():
            assert self.process is None or self.process.poll() is None, (
                f"the server ended:\n{self.log_file.read_text()}"
            )
            assert time.monotonic() < deadline, f"waited {within_seconds} s:\n{self.log_file.read_text()}"
            time.sleep(0.02)

    def log(self) -> list[dict[str, Any]]:
        """The records written so far."""
        lines = self.log_file.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [record for record in self.log() if record["event"] == event]

    def events(
        self, type_name: str | None = None, org: str | None = None
    ) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """What was published: attributes and data."""
        file = self.data_dir / "bus" / "events.jsonl"
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        messages = [json.loads(line) for line in lines]
        return [
            (message["attributes"], json.loads(message["data"]))
            for message in messages
            if (type_name is None or message["attributes"]["ce-type"].endswith(f"{type_name}.v1"))
            and (org is None or message["attributes"].get("ce-orgid") == org)
        ]

    def bucket(self) -> LocalBucket:
        return LocalBucket(str(self.data_dir / "bucket"))

    def make_org(self, org: str, *, contacts: int, seed: int = 1) -> None:
        """Put a synthetic org into the bucket."""
        file = self.data_dir / f"{org}.db"
        file.parent.mkdir(parents=True, exist_ok=True)
        synthetic.make_org(str(file), contacts=contacts, seed=seed, today=date.today())  # noqa: DTZ011 - any near day
        self.bucket().upload(f"org-data/{org}.db", str(file), if_generation_match=0, metadata={})
        file.unlink()

    def org_file(self, org: str, target: Path) -> Path:
        """Fetch the live object."""
        info = self.bucket().stat(f"org-data/{org}.db")
        assert info is not None
        self.bucket().download(info.name, info.generation, str(target))
        return target

    def request(
        self,
        method: str,
        path: str = "/",
        *,
        body: "bytes | Iterator[bytes] | None" = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = ANSWER_SECONDS_MAX,
    ) -> Answer:
        """One request on a connection of its own; an iterator as body is sent in chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        try:
            chunked = body is not None and not isinstance(body, bytes)
            # The server may refuse and close before all is sent: the answer counts, not the broken pipe.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body=body, headers=dict(headers or {}), encode_chunked=chunked)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def push(self, message_id: str, attributes: Mapping[str, str], data: bytes = b"") -> Answer:
        """A message as Pub/Sub pushes it."""
        message: dict[str, Any] = {"messageId": message_id, "message_id": message_id, "attributes": dict(attributes)}
        if data:
            message["data"] = base64.b64encode(data).decode()
        body = json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()
        return self.request("POST", body=body, headers={"Content-Type": "application/json"})

    def event(self, event: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> Answer:
        """A structured CloudEvent."""
        content_type = {"Content-Type": "application/cloudevents+json"}
        return self.request("POST", body=json.dumps(event).encode(), headers={**content_type, **(headers or {})})

    def _is_ready(self) -> bool:
        if not self.port:
            listening = self.logged("listening")
            if not listening:
                return False
            self.port = int(listening[-1]["port"])
        with suppress(OSError):
            return self.request("GET", "/readyz", timeout_seconds=5).status == 200
        return False


def run_requested(event_id: str, org: str, **data: object) -> dict[str, Any]:
    """A structured CloudEvent that asks for a run."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "//tests",
        "type": "com.emailscheduler.run.requested.v1",
        "subject": f"org/{org}",
        "data": data,
    }


@contextmanager
def running_server(data_dir: Path, **env: str) -> Iterator[Server]:
    server = Server(data_dir, env)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Background:
    """A request on a thread; ``answer`` is None if the connection broke."""

    def __init__(self, send: Callable[[], Answer]) -> None:
        self.answer: Answer | None = None
        self._send = send
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError, http.client.HTTPException):
            self.answer = self._send()

    def join(self, within_seconds: float = ANSWER_SECONDS_MAX) -> Answer | None:
        self._thread.join(within_seconds)
        assert not self._thread.is_alive(), "no answer"
        return self.answer


def rows_of(file: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def assert_intact(file: Path) -> None:
    """The database is whole, and no mail is planned twice."""
    assert rows_of(file, "PRAGMA integrity_check") == [("ok",)]
    twice = rows_of(
        file,
        "SELECT contact_id, email_type, campaign_instance_id, event_date FROM email_schedules "
        "WHERE status IN ('pre-scheduled', 'skipped') GROUP BY 1, 2, 3, 4 HAVING count(*) > 1",
    )
    if twice:
        pytest.fail(f"{len(twice)} mails are planned twice")
