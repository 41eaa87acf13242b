"""Rooms 6 to 8: what the database should say against what it says; the one algorithm behind every kind of run."""

from dataclasses import dataclass
from datetime import date, datetime

from msgspec.structs import replace

from core.planning import digest
from core.planning.calendar import day_number, to_date
from core.planning.changes import IssueChanges
from core.planning.checker import check_rows
from core.planning.config import Config, ConfigError, parse_config, row_in_force
from core.planning.diff import Difference, diff_issues, diff_schedule
from core.planning.ledger import ConservationError
from core.planning.plan import Plan, plan
from core.runs.applied import NOTHING_APPLIED, Applied
from core.runs.checkpoint import Checkpoint
from core.runs.errors import ErrorCode, OrgError
from core.runs.planning_date import own_date, require_committable, require_plannable
from core.runs.ports import Clock, Commit, Journal, OrgDatabase, StoredRun
from core.runs.reading import Reading, read_org
from core.runs.summary import Volumes, issue_counts, run_counts, volumes
from core.runs.warnings import AS_OF_FORCED, SCHEDULE_EDITED
from events.encode import encode_data
from events.payloads import EventRef, RunChecksums, RunCompleted
from events.types import EventKey, OrgId

TIMESTAMP_FORMAT = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is asked to do."""

    org_id: OrgId
    run_id: str
    event_keys: tuple[EventKey, ...] = ()
    as_of: date | None = None
    """None: the org's own date (R1)."""
    force: bool = False
    """Commit whatever as_of says."""
    dry: bool = False
    """Only look: any as_of will do, and nothing will be written."""
    config_data: str | None = None
    """What if: plan with this JSON instead of the configuration in force. Only for looking."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A plan, what it would change, and the completion that says so (generation, bytes and durations still unknown)."""

    plan: Plan
    config: Config
    difference: Difference
    issues: IssueChanges
    volumes: Volumes
    completed: RunCompleted
    commit: Commit

    @property
    def changed(self) -> bool:
        """Whether anything has to be written (R93)."""
        return self.completed.changed


def effective_config(db: OrgDatabase, clock: Clock, org_id: str | None, run_time: datetime) -> Config:
    """Return the configuration in force at the run time; raises OrgError CONFIG_INVALID naming the keys (R8, R12)."""
    row = row_in_force(db.config_rows(), run_time.strftime(TIMESTAMP_FORMAT))
    try:
        return parse_config(None if row is None else row.config_data, clock.is_timezone)
    except ConfigError as error:
        where = f"config_versions id {row.config_id}: " if row else ""
        raise OrgError(ErrorCode.CONFIG_INVALID, org_id, where + str(error)) from error


def config_of(db: OrgDatabase, order: Order, clock: Clock, run_time: datetime) -> Config:
    """Return the configuration that an order is planned with; raises OrgError CONFIG_INVALID naming the keys."""
    if order.config_data is None:
        return effective_config(db, clock, order.org_id, run_time)
    try:
        return parse_config(order.config_data, clock.is_timezone)
    except ConfigError as error:
        raise OrgError(ErrorCode.CONFIG_INVALID, order.org_id, f"the configuration given: {error}") from error


def reconcile(
    db: OrgDatabase, order: Order, clock: Clock, journal: Journal, *, written: bool, applied: Applied = NOTHING_APPLIED
) -> Reconciled:
    """Plan one org and compare with what is stored; writes nothing.

    ``written``: the working copy has been written to already, by migrations or by events, so that this run commits;
    ``applied`` is what the events did.
    Raises OrgError: CONFIG_INVALID, AS_OF_REFUSED, CONSERVATION_FAILED, CHECK_FAILED, and what reading raises.
    """
    started = clock.now_utc()
    config = config_of(db, order, clock, started)
    today, warnings = planning_date(db, order, config, clock)
    journal.info("planning", org_id=order.org_id, run_id=order.run_id, as_of=today.isoformat())
    # Before the columns: each change of turns between the libraries that read them opens the file anew.
    change_log_ids, last = tuple(db.open_change_log_ids()), db.last_checkpoint()
    reading = read_org(db, config, day_number(today))
    try:
        planned = plan(reading.snapshot, config, day_number(today))
    except ConservationError as error:
        raise OrgError(ErrorCode.CONSERVATION_FAILED, order.org_id, str(error)) from error
    _require_checked(order, planned, reading, config)
    difference = diff_schedule(planned.rows, reading.snapshot.schedule, day_number(today))
    issues = diff_issues(planned.issues, reading.issues)
    changed = written or not difference.changes.is_empty or not issues.is_empty or bool(change_log_ids)
    before = digest.hex_digest(difference.before + applied.taken)
    if last is not None and last.schedules_after_checksum not in {None, before}:
        warnings = (*warnings, SCHEDULE_EDITED)
    volume = volumes(planned.rows)
    completed = _completed(order, config, today, reading, planned, difference, volume, changed=changed)
    completed = replace(
        completed,
        warnings=(*warnings, *applied.warnings),
        checksums=replace(completed.checksums, schedules_before=before),
        items=applied.counts if changed else replace(applied.counts, parked_expired=0),  # they expire where one writes
        claims=applied.claims,
        rejected_items=applied.rejected,
    )
    commit = Commit(
        schedule=difference.changes,
        issues=issues,
        checkpoint=checkpoint_of(completed, started, clock.now_utc()),
        run=StoredRun(order.run_id, encode_data(completed)),
        event_keys=order.event_keys,
        change_log_ids=change_log_ids,
        parked_before=applied.parked_before,
    )
    return Reconciled(planned, config, difference, issues, volume, completed, commit)


def _require_checked(order: Order, planned: Plan, reading: Reading, config: Config) -> None:
    """Have the independent checker look at every mail; raises OrgError CHECK_FAILED on the first disagreement."""
    snapshot = reading.snapshot
    bypass = {c.instance_id for c in snapshot.book.active if not c.settings.respect_exclusion_windows}
    if violations := check_rows(planned.rows, snapshot.contacts, config, bypass):
        raise OrgError(ErrorCode.CHECK_FAILED, order.org_id, f"{len(violations)} rows, the first: {violations[0]}")


def planning_date(db: OrgDatabase, order: Order, config: Config, clock: Clock) -> tuple[date, tuple[str, ...]]:
    """Return the date that an order is planned for, and warnings; raises OrgError AS_OF_REFUSED."""
    own = own_date(clock.local_now(config.timezone), config)
    today = require_plannable(order.as_of or own, order.org_id)
    if order.as_of is not None and not order.dry:
        try:
            require_committable(today, own, db.last_checkpoint(), order.org_id)
        except OrgError:
            if not order.force:
                raise
            return today, (AS_OF_FORCED,)
    return today, ()


def _completed(  # everything that a completion is made of
    order: Order,
    config: Config,
    today: date,
    reading: Reading,
    planned: Plan,
    difference: Difference,
    volume: Volumes,
    *,
    changed: bool,
) -> RunCompleted:
    return RunCompleted(
        org_id=order.org_id,
        run_id=order.run_id,
        changed=changed,
        replayed=True,  # as stored; the first publication says otherwise and knows more
        as_of=today,
        event_ids=tuple(EventRef(source=k.source, id=k.id) for k in order.event_keys),
        counts=run_counts(planned, difference.changes, volume, len(reading.snapshot.contacts)),
        scheduled_by_type=dict(volume.scheduled_by_type),
        skipped_by_reason=dict(volume.skipped_by_reason),
        issues_by_code=issue_counts(planned),
        volume_by_day={day: dict(types) for day, types in volume.by_day.items()},
        cap=planned.limits.cap,
        cap_exceeded_days=tuple(to_date(d) for d in planned.cap_exceeded_days.tolist()),
        config_hash=config.digest(),
        generation=None,
        parent_generation=None,
        bytes_down=None,
        bytes_up=None,
        requests=None,
        pages_changed=None,
        durations_seconds=None,
        checksums=RunChecksums(
            contacts=reading.contacts_checksum,
            schedules_before=digest.hex_digest(difference.before),
            schedules_after=digest.hex_digest(difference.after),
        ),
        warnings=(),
    )


def checkpoint_of(completed: RunCompleted, started: datetime, finished: datetime) -> Checkpoint:
    """Return the row that says what a run did (R96); a checksum that is not known is none."""
    counts = completed.counts
    return Checkpoint(
        run_timestamp=started.strftime(TIMESTAMP_FORMAT),
        scheduler_run_id=completed.run_id,
        as_of=completed.as_of.isoformat(),
        config_hash=completed.config_hash,
        contacts_checksum=completed.checksums.contacts,
        schedules_before_checksum=completed.checksums.schedules_before,
        schedules_after_checksum=completed.checksums.schedules_after or None,
        contacts_processed=counts.contacts,
        contacts_invalid=counts.contacts_invalid,
        emails_scheduled=counts.emails_scheduled,
        emails_skipped=counts.emails_skipped,
        rows_inserted=counts.rows_inserted,
        rows_updated=counts.rows_updated,
        rows_deleted=counts.rows_deleted,
        rows_missed=counts.rows_missed,
        rows_unchanged=counts.rows_unchanged,
        status="completed",
        error_message=None,
        started_at=started.strftime(TIMESTAMP_FORMAT),
        completed_at=finished.strftime(TIMESTAMP_FORMAT),
    )
