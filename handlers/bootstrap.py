"""Settings -> adapters -> core: the one place that names concrete adapters.

Imports are made where an adapter is chosen, so that a command that needs no cloud does not load one.
"""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.runs.errors import ErrorCode, OrgError
from core.runs.org_run import Ports
from core.runs.ports import Bucket, Bus, Clock, OrgStore
from core.runs.service import Service
from infra.clock import SystemClock
from infra.settings import Settings
from infra.telemetry import LogJournal

# ruff: noqa: PLC0415 - see above: a local import here keeps `emailsched --help` from loading Google's clients


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
    close: Callable[[], None]
    """Flush and close what holds connections."""


def settings_from_environment(env: Mapping[str, str] = os.environ, *, serving: bool) -> Settings:
    """Read the settings; raises SettingsError (an OrgError) that names every wrong variable."""
    return Settings.from_env(env, serving=serving)


def build(settings: Settings) -> App:
    """Assemble the service and see that it can work: credentials, bucket, versioning, sqlite3_rsync.

    Raises OrgError: SETTINGS_INVALID, KEYFILE_MISSING, KEYFILE_INVALID, BUCKET_UNREACHABLE, BUCKET_REFUSED,
    VERSIONING_OFF, RSYNC_MISSING, DISK_FULL.
    """
    from infra.lease import BucketLease, LeaseTimes
    from infra.mirror import MirrorSync
    from infra.rsync import find_rsync

    journal, clock = LogJournal(), SystemClock()
    journal.info("starting", data_dir=str(settings.data_dir), bucket=settings.gcs_bucket_name or "local directory")
    rsync = find_rsync(timeout_seconds=settings.rsync_timeout_seconds)
    bucket = open_bucket(settings, journal)
    bus, close_bus = _bus(settings)
    times = LeaseTimes(
        duration_seconds=int(settings.lease_seconds), renew_every_seconds=max(1.0, settings.lease_seconds / 3)
    )
    store = open_store()
    ports = Ports(
        sync=MirrorSync(bucket, rsync, clock, journal, data_dir=str(settings.data_dir / "orgs"), new_token=_new_token),
        lease=BucketLease(bucket, clock, journal, new_token=_new_token, times=times),
        store=store,
        bus=bus,
        clock=clock,
        journal=journal,
        completion_topic=settings.completion_topic,
    )
    service = Service(ports, waiters_max=settings.max_waiters, run_slots=settings.run_slots)
    return App(settings, bucket, bus, clock, store, journal, service, close_bus)


def local_bus_file(settings: Settings) -> Path:
    """Return where the local bus keeps published events."""
    return settings.data_dir / "bus" / "events.jsonl"


def local_bucket_folder(settings: Settings) -> Path:
    """Return where the embedded bucket keeps its objects."""
    return settings.data_dir / "bucket"


def open_store() -> OrgStore:
    """Return the store of org databases: all that a command on a local file needs."""
    from infra.org_db import SqliteOrgStore

    return SqliteOrgStore()


def _new_token() -> str:
    return secrets.token_hex(16)


def open_bucket(settings: Settings, journal: LogJournal) -> Bucket:
    """Open the bucket that the settings name and prove that it answers and keeps versions."""
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
