"""Events through the doors: how many, how fast, and in how few runs.

    python benchmarks/bench_events.py [changes] [burst] [reports] [fanout] [latency] [--json]

- ``changes``: contact changes a second that the real server acknowledges, on one org and spread over ``--orgs`` orgs.
- ``burst``: ``--burst`` contact changes on one org within a second: how many runs carry them.
- ``reports``: ``--reports`` mail reports, ``--items`` in an event, on an org of ``--contacts``: how many runs carry them.
- ``fanout``: ``--small-orgs`` orgs asked for by one fan-out; orgs a second with one planning process and with two. A run
  waits for the disk several times, so on a slow one the disk is what is measured: ``TMPDIR=/dev/shm`` takes it out.
- ``latency``: from message to completion for a small org, warm: median and the slowest of twenty.

Senders do as Pub/Sub does: what is answered 503 is sent again after its Retry-After. Bucket and bus are the embedded ones.
Without a word all parts are run; ``reports`` on a million contacts takes ten minutes.
"""

import argparse
import http.client
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from events.types import FANOUT_REQUESTED, FanoutRequested, FleetEvent
from handlers.bootstrap import build
from infra.local_bucket import LocalBucket
from infra.settings import Settings
from infra.synthetic import make_org
from infra.telemetry import configure_logging

CONTACT_CHANGED: Final = "com.emailscheduler.contact.changed.v1"
MAIL_REPORTED: Final = "com.emailscheduler.mail.reported.v1"
SMALL_CONTACTS: Final = 663
ANSWER_SECONDS_MAX: Final = 600.0
START_SECONDS_MAX: Final = 60.0

Numbers = dict[str, float]


class Door:
    """A server process of its own, and the folder that it works in."""

    def __init__(self, folder: Path, **env: str) -> None:
        self._folder = folder
        self._env = {**os.environ, "DATA_DIR": str(folder), "PORT": "0", "METRICS_PORT": "0", **env}
        self._port = 0

    def put_org(self, org: str, file: Path) -> None:
        """Make a file the object of an org."""
        bucket = LocalBucket(str(self._folder / "bucket"))
        bucket.upload(f"org-data/{org}.db", str(file), if_generation_match=0, metadata={})

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the server."""
        log = self._folder / "server.log"
        with log.open("wb") as stream:
            command = [sys.executable, "-m", "handlers.cli", "serve"]
            process = subprocess.Popen(command, env=self._env, stderr=stream, start_new_session=True)
        try:
            until = time.monotonic() + START_SECONDS_MAX
            while not self._port and time.monotonic() < until and process.poll() is None:
                self._port = _port_in(log)
                time.sleep(0.05)
            if not self._port:
                raise SystemExit(log.read_text())
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def send(self, event: dict[str, Any]) -> int:
        """Post an event until it is acknowledged; returns how often it was sent."""
        body, headers = json.dumps(event).encode(), {"Content-Type": "application/cloudevents+json"}
        for sent in range(1, 1_000):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS_MAX)
            try:
                connection.request("POST", "/", body=body, headers=headers)
                response = connection.getresponse()
                response.read()
            finally:
                connection.close()
            if response.status == http.client.NO_CONTENT:
                return sent
            if response.status != http.client.SERVICE_UNAVAILABLE:
                raise SystemExit(f"answered {response.status}")
            time.sleep(float(response.headers["Retry-After"]))
        raise SystemExit("never acknowledged")

    def send_all(self, events: Sequence[dict[str, Any]], *, senders: int) -> float:
        """Send from many threads and return the seconds until all were acknowledged."""
        waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        for event in events:
            waiting.put(event)

        def work() -> None:
            while True:
                try:
                    event = waiting.get_nowait()
                except queue.Empty:
                    return
                self.send(event)

        started = time.monotonic()
        threads = [threading.Thread(target=work) for _ in range(min(senders, len(events)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - started

    def completions(self) -> list[dict[str, Any]]:
        """Return what runs published, repetitions aside."""
        file = self._folder / "bus" / "events.jsonl"
        messages = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        found = [json.loads(m["data"]) for m in messages if m["attributes"]["ce-type"].endswith("run.completed.v1")]
        return [completed for completed in found if not completed["replayed"]]


def _port_in(log: Path) -> int:
    listening = [line for line in log.read_text().splitlines() if '"listening"' in line]
    return int(json.loads(listening[-1])["port"]) if listening else 0


def event_of(type_name: str, org: str, number: object, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a structured CloudEvent."""
    return {
        "specversion": "1.0", "id": f"{org}-{number}", "source": "//benchmarks", "type": type_name,
        "subject": f"org/{org}", "time": datetime.now(UTC).isoformat(), "data": {"items": items},
    }  # fmt: skip


def change(org: str, number: int) -> dict[str, Any]:
    """Return one contact's new birth date: its mail moves."""
    item = {"kind": "upsert", "contact_id": 1 + number % SMALL_CONTACTS, "birth_date": f"1950-01-{1 + number % 28:02}"}
    return event_of(CONTACT_CHANGED, org, f"change-{number}", [item])


def new_org(folder: Path, contacts: int) -> Path:
    """Write a synthetic org."""
    file = folder / f"{contacts}.db"
    make_org(str(file), contacts=contacts, seed=1, today=datetime.now(UTC).date())
    return file


def measure_changes(folder: Path, args: argparse.Namespace) -> Numbers:
    """Contact changes a second: one org, then many."""
    door = Door(folder / "changes")
    file = new_org(folder, SMALL_CONTACTS)
    orgs = [f"org-{n}" for n in range(args.orgs)]
    for org in ("alone", *orgs):
        door.put_org(org, file)
    with door.serving():
        alone = [change("alone", n) for n in range(args.changes)]
        seconds_alone = door.send_all(alone, senders=args.senders)
        runs_alone = len(door.completions())
        spread = [change(orgs[n % len(orgs)], n) for n in range(args.changes)]
        seconds_spread = door.send_all(spread, senders=args.senders)
        runs_spread = len(door.completions()) - runs_alone
    return {
        "one_org_events_per_second": len(alone) / seconds_alone,
        "one_org_runs": runs_alone,
        "many_orgs_events_per_second": len(spread) / seconds_spread,
        "many_orgs_runs": runs_spread,
    }


def measure_burst(folder: Path, args: argparse.Namespace) -> Numbers:
    """So many changes at once, each from a sender of its own, as a push subscription has them."""
    door = Door(folder / "burst")
    door.put_org("acme", new_org(folder, args.burst_contacts))
    with door.serving():
        seconds = door.send_all([change("acme", n) for n in range(args.burst)], senders=args.burst)
        runs = door.completions()
    return {"events": args.burst, "runs": len(runs), "seconds": seconds}


def measure_reports(folder: Path, args: argparse.Namespace) -> Numbers:
    """Reports of mail that was sent, of the first contacts' birthdays."""
    door = Door(folder / "reports")
    door.put_org("large", new_org(folder, args.contacts))
    year = datetime.now(UTC).year + 1
    events = []
    for first in range(0, args.reports, args.items):
        items = [
            {"contact_id": 1 + n, "email_type": "aep", "event_date": f"{year}-09-15", "status": "sent",
             "sent_at": datetime.now(UTC).isoformat()}
            for n in range(first, min(first + args.items, args.reports))
        ]  # fmt: skip
        events.append(event_of(MAIL_REPORTED, "large", first, items))
    with door.serving():
        seconds = door.send_all(events, senders=args.senders)
        runs = door.completions()
    recorded = sum(run["items"]["facts_recorded"] for run in runs)
    return {"events": len(events), "reports": args.reports, "recorded": recorded, "runs": len(runs), "seconds": seconds}


def measure_fanout(folder: Path, args: argparse.Namespace) -> Numbers:
    """The first run of every org, by one planning process, then by two."""
    file = new_org(folder, args.small_contacts)
    rates = [_fan_out_rate(folder / f"fanout-{n}", file, args.small_orgs, processes=n) for n in (1, 2)]
    return {
        "one_process_orgs_per_second": rates[0],
        "two_processes_orgs_per_second": rates[1],
        "ratio": rates[1] / rates[0],
    }


def _fan_out_rate(folder: Path, file: Path, orgs: int, *, processes: int) -> float:
    door = Door(folder)
    for n in range(orgs):
        door.put_org(f"org-{n}", file)
    settings = Settings(data_dir=folder, run_slots=processes, planning_processes=processes)
    app = build(settings, serving=True)
    try:
        started = app.clock.monotonic()
        event = FleetEvent(id="night", source="//benchmarks", type=FANOUT_REQUESTED, data=FanoutRequested())
        report = app.fanout.ask(event, until=started + 86_400)
        if report.unsafe is not None or report.orgs_asked != orgs:
            raise SystemExit(f"the fan-out did not end well: {report}")
        return orgs / (app.clock.monotonic() - started)
    finally:
        app.close()


def measure_latency(folder: Path, args: argparse.Namespace) -> Numbers:
    """One change after the other."""
    door = Door(folder / "latency")
    door.put_org("acme", new_org(folder, SMALL_CONTACTS))
    seconds = []
    with door.serving():
        for n in range(args.latency_events + 3):
            started = time.monotonic()
            door.send(change("acme", n))
            seconds.append(time.monotonic() - started)
    warm = sorted(seconds[3:])
    return {"median_seconds": statistics.median(warm), "slowest_seconds": warm[-1]}


PARTS: Final[dict[str, Callable[[Path, argparse.Namespace], Numbers]]] = {
    "changes": measure_changes,
    "burst": measure_burst,
    "fanout": measure_fanout,
    "latency": measure_latency,
    "reports": measure_reports,
}


def main() -> None:
    """Measure the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    for name, default in (
        ("orgs", 100), ("changes", 1_000), ("senders", 64), ("burst", 200), ("burst-contacts", 10_000),
        ("reports", 100_000), ("items", 1_000), ("contacts", 1_000_000), ("small-orgs", 1_000), ("small-contacts", 663),
        ("latency-events", 20),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    configure_logging("WARNING")
    found: dict[str, Numbers] = {}
    with tempfile.TemporaryDirectory() as name:
        for part in args.parts or PARTS:
            folder = Path(name) / part
            folder.mkdir()
            found[part] = PARTS[part](folder, args)
            if not args.json:
                numbers = ", ".join(f"{key} {value:,.3g}" for key, value in found[part].items())
                print(f"{part:<8} {numbers}", flush=True)
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
