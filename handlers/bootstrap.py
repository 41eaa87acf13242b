"""Settings -> adapters -> core: the one place that names concrete adapters.

Imports are made where an adapter is chosen, so that a command that needs no cloud does not load one.
"""

import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.runs.admission import Capacity
from core.runs.errors import ErrorCode, OrgError
from core.runs.fanout import Fanout, carried_out_here, published_requests
from core.runs.lease import Lease
from core.runs.mailbox import MailboxLimits
from core.runs.org_run import Planner, Ports
from core.runs.pace import Pace
from core.runs.planning_job import InProcessPlanner
from core.runs.ports import Bucket, Bus, Clock, Journal, OrgStore
from core.runs.service import Handled, Service
from core.runs.tracer import NoTracer, Tracer
from events.types import Event, OrgId
from infra.clock import SystemClock
from infra.settings import SETTINGS, Settings
from infra.telemetry import LogJournal

if TYPE_CHECKING:
    from infra.dead_letters import DeadLetters
    from infra.delta_chain import PageDeltas
    from infra.pubsub_pull import PubsubPull

# ruff: noqa: PLC0415 - see above: a local import here keeps `emailsched --help` from loading Google's clients


ORG_SHARE: Final = 0.5
"""Of all that may wait, for one org: the other half is for those that are not noisy."""

PLANNING_COMMAND: Final = (sys.executable, "-P", "-m", "handlers.planning_process")
"""``-P``: the working directory is no place to look for code."""


@dataclass(frozen=True, slots=True)
class App:
    """The assembled service and the parts that doors use beside it."""

    settings: Settings
    bucket: Bucket
    bus: Bus
    clock: Clock
    store: OrgStore
    journal: LogJournal
    service: Service
    fanout: Fanout
    tracer: Tracer
    close: Callable[[], None]
    """Flush and close what holds connections."""


def settings_from_environment(env: Mapping[str, str] = os.environ, *, serving: bool) -> Settings:
    """Read the settings; raises SettingsError (an OrgError) that names every wrong variable."""
    return Settings.from_env(env, serving=serving)


def build(settings: Settings, *, serving: bool = False) -> App:
    """Assemble the service and see that it can work: credentials, bucket, versioning, sqlite3_rsync.

    ``serving``: this process lives on, so that others plan for it, and data waits for more of it.
    Raises OrgError: SETTINGS_INVALID, KEYFILE_MISSING, KEYFILE_INVALID, BUCKET_UNREACHABLE, BUCKET_REFUSED,
    VERSIONING_OFF, RSYNC_MISSING, DISK_FULL.
    """
    from infra.disk_space import DiskSpace
    from infra.holds import BucketHolds
    from infra.mirror import MirrorSync
    from infra.rsync import find_rsync
    from infra.status_board import BucketStatusBoard

    journal, clock = LogJournal(), SystemClock()
    journal.info("starting", data_dir=str(settings.data_dir), bucket=settings.gcs_bucket_name or "local directory")
    rsync = find_rsync(timeout_seconds=settings.rsync_timeout_seconds)
    bucket = open_bucket(settings, journal)
    bus, close_bus = _bus(settings)
    store = open_store()
    orgs = orgs_folder(settings)
    tracer, close_tracer = _tracer(settings)
    processes = settings.planning_processes if serving else 0
    planner, end_planning = _planner(settings, processes, store, clock, journal)
    sync = MirrorSync(
        bucket,
        rsync,
        clock,
        journal,
        data_dir=orgs,
        new_token=new_token,
        deltas=_page_deltas(bucket, journal),
        space=DiskSpace(orgs, journal, reserve_bytes=settings.disk_reserve_mb * 1_000_000),
    )
    ports = Ports(
        sync=sync,
        lease=open_lease(settings, bucket, clock, journal),
        planner=planner,
        bus=bus,
        clock=clock,
        journal=journal,
        completion_topic=settings.completion_topic,
        statuses=BucketStatusBoard(bucket),
        holds=BucketHolds(bucket),
        tracer=tracer,
        pace=_pace(settings, clock, sync.mirror_bytes, serving=serving),
    )
    limits = MailboxLimits(waiters_max=settings.max_waiters, org_share=ORG_SHARE)
    service = Service(ports, limits=limits, capacity=_capacity(settings))
    fanout = open_fanout(settings, bucket, bus, clock, journal, service)

    def close() -> None:
        end_planning()
        close_bus()
        close_tracer()

    return App(settings, bucket, bus, clock, store, journal, service, fanout, tracer, close)


def _pace(settings: Settings, clock: Clock, size_of: Callable[[OrgId], int], *, serving: bool) -> Pace:
    """Return when runs begin and upload; a command waits for no more data: nobody else comes to it."""
    return Pace(
        clock,
        upload_gap_seconds=settings.upload_gap_seconds,
        linger_from_bytes=settings.linger_from_mb * 1_000_000,
        linger_seconds_max=settings.linger_seconds_max if serving else 0.0,
        size_of=size_of,
    )


def _capacity(settings: Settings) -> Capacity:
    """Return what runs may take of this machine together; raises OrgError DISK_FULL where DATA_DIR cannot be made."""
    from infra.disk_space import disk_bytes
    from infra.files import disk_errors

    disk_limit = (settings.disk_limit_mb or 0) * 1_000_000
    if not disk_limit:
        with disk_errors(None):
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            disk_limit = max(0, disk_bytes(str(settings.data_dir)) - settings.disk_reserve_mb * 1_000_000)
    return Capacity(settings.run_slots, settings.memory_limit_mb * 1_000_000, disk_limit)


def _planner(
    settings: Settings, processes: int, store: OrgStore, clock: Clock, journal: Journal
) -> tuple[Planner, Callable[[], None]]:
    """Return what plans, and how to end it."""
    if not processes:
        return InProcessPlanner(store, clock, journal), lambda: None
    from infra.planning_pool import PlanningPool

    pool = PlanningPool(
        PLANNING_COMMAND,
        planning_environment(os.environ),
        journal,
        processes=processes,
        job_seconds_max=settings.planning_seconds_max,
    )
    return pool, pool.close


def _tracer(settings: Settings) -> tuple[Tracer, Callable[[], None]]:
    """Return where spans go, and how to send what waits."""
    if settings.otel_exporter_otlp_endpoint is None:
        return NoTracer(), lambda: None
    from infra.tracing import OtelTracer

    tracer = OtelTracer.connect(settings)
    return tracer, tracer.close


def planning_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a planning process: this program's code, and none of its settings and secrets."""
    ours = {setting.name for setting in SETTINGS}
    code = str(Path(__file__).resolve().parents[1])
    paths = [code, *filter(None, [env.get("PYTHONPATH")])]
    kept = {name: value for name, value in env.items() if name not in ours}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def open_fanout(
    settings: Settings,
    bucket: Bucket,
    bus: Bus,
    clock: Clock,
    journal: Journal,
    service: Service,
    told: Callable[[Event, Handled], None] = lambda _event, _handled: None,
) -> Fanout:
    """Say where the run requests of a fan-out go: nobody reads them from a local bus, so they are carried out here.

    ``told`` hears of each run that was made here.
    """
    from infra.fence import database_orgs

    if settings.pubsub_project is None:
        hand_on = carried_out_here(
            service.handle,
            clock,
            runs_at_once=settings.run_slots,
            wait_seconds_max=settings.run_deadline_seconds,
            told=told,
        )
    else:
        hand_on = published_requests(bus, settings.request_topic, clock)
    return Fanout(lambda: database_orgs(bucket), hand_on, clock, journal)


def open_dead_letters(settings: Settings) -> "DeadLetters":
    """Return the subscription of dead letters; raises OrgError SETTINGS_INVALID where there is no Pub/Sub, KEYFILE_*."""
    from infra.dead_letters import DeadLetters

    return DeadLetters.connect(settings)


def open_bus(settings: Settings) -> tuple[Bus, Callable[[], None]]:
    """Return where events are published, and what closes it."""
    return _bus(settings)


def open_pull(settings: Settings, subscriptions: Sequence[str], *, places: int) -> "PubsubPull":
    """Return the streams that the worker reads; raises OrgError SETTINGS_INVALID, KEYFILE_*."""
    from infra.pubsub_pull import PubsubPull

    return PubsubPull.connect(settings, subscriptions, places=places)


def local_bus_file(settings: Settings) -> Path:
    """Return where the local bus keeps published events."""
    return settings.data_dir / "bus" / "events.jsonl"


def local_bucket_folder(settings: Settings) -> Path:
    """Return where the embedded bucket keeps its objects."""
    return settings.data_dir / "bucket"


def orgs_folder(settings: Settings) -> str:
    """Return where the orgs' mirrors and working copies are."""
    return str((settings.data_dir / "orgs").absolute())


def open_store() -> OrgStore:
    """Return the store of org databases: all that a command on a local file needs."""
    from infra.org_db import SqliteOrgStore

    return SqliteOrgStore()


def new_token() -> str:
    """Return a text that no other upload and no other lease ever had."""
    return secrets.token_hex(16)


def open_lease(settings: Settings, bucket: Bucket, clock: Clock, journal: Journal) -> Lease:
    """Return the lease that runs take, with the times that the settings give it."""
    from infra.lease import BucketLease, LeaseTimes

    times = LeaseTimes(
        duration_seconds=int(settings.lease_seconds), renew_every_seconds=max(1.0, settings.lease_seconds / 3)
    )
    return BucketLease(bucket, clock, journal, new_token=new_token, times=times)


def _page_deltas(bucket: Bucket, journal: Journal) -> "PageDeltas | None":
    """Return what leaves page deltas for other machines; the embedded bucket has one machine, which is never behind."""
    from infra.local_bucket import LocalBucket

    if isinstance(bucket, LocalBucket):
        return None
    from infra.delta_chain import PageDeltas
    from infra.gcs import GcsBucket

    return PageDeltas(bucket.hurried() if isinstance(bucket, GcsBucket) else bucket, journal)


def connect_bucket(settings: Settings, journal: LogJournal) -> Bucket:
    """Open the bucket that the settings name; nothing is asked of it yet. Raises OrgError KEYFILE_*."""
    if settings.gcs_bucket_name is None:
        from infra.local_bucket import LocalBucket

        bucket: Bucket = LocalBucket(str(local_bucket_folder(settings)))
        journal.info("authenticated", identity="local directory, no credentials needed")
    else:
        from infra.gcs import GcsBucket

        bucket = GcsBucket.connect(settings)
        journal.info(
            "authenticated", identity="key" if settings.gcs_keyfile_json else "application default credentials"
        )
    return bucket


def open_bucket(settings: Settings, journal: LogJournal) -> Bucket:
    """Open the bucket that the settings name and prove that it answers and keeps versions."""
    bucket = connect_bucket(settings, journal)
    versioned = bucket.versioning_enabled()
    journal.info("bucket_reachable", bucket=settings.gcs_bucket_name, versioning=versioned)
    if not versioned:
        if not settings.allow_unversioned_bucket:
            raise OrgError(ErrorCode.VERSIONING_OFF, detail=f"bucket {settings.gcs_bucket_name}")
        journal.warning("versioning_off", bucket=settings.gcs_bucket_name, hint="nothing can be restored")
    return bucket


def _bus(settings: Settings) -> tuple[Bus, Callable[[], None]]:
    if settings.pubsub_project is None:
        from infra.local_bus import LocalBus

        local = LocalBus(local_bus_file(settings))
        return local, local.close
    from infra.pubsub import PubsubBus

    remote = PubsubBus.connect(settings)
    return remote, remote.close
