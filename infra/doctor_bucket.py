"""What `doctor` asks of the bucket: whether it is there, keeps versions, lets us work and honours preconditions.

Permissions are tried, not read: a role that looks right may be overridden by a policy, and an emulator that accepts a
stale write would lose runs. The probe is an object of its own, which is deleted again.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from core.runs.errors import OrgError
from core.runs.ports import Bucket, Clock, ObjectInfo, PreconditionFailedError
from infra.fence import DATABASES_PREFIX
from infra.findings import Finding, State, failed
from infra.gcs import GcsBucket
from infra.gcs_lifecycle import LifecycleRule

PREFIX: Final = "doctor/"
"""Of the probe. Left behind only where deleting was refused, which is a finding."""
SKEW_WARNING_SECONDS: Final = 30.0
SKEW_ERROR_SECONDS: Final = 300.0
"""An event whose time is further ahead is rejected, so such a clock rejects what others send in time."""

_CONTENT: Final = b"a probe of emailsched doctor; may be deleted"


class _Wanted(NamedTuple):
    """A lifecycle rule without which something is kept for ever."""

    what: str
    prefix: str | None
    """None: noncurrent versions of databases."""


LIFECYCLE: Final = (
    _Wanted("old versions of databases", None),
    _Wanted("page deltas", "org-delta/"),
    _Wanted("bodies of rejected messages", "rejected/"),
)


class ProbeResult(NamedTuple):
    """Findings, and the largest database of the bucket where it could be listed."""

    findings: tuple[Finding, ...]
    largest_object_bytes: int


def check_versioning(bucket: Bucket, *, allow_unversioned: bool) -> tuple[Finding, ...]:
    """Reach the bucket and see that it keeps versions; without versions nothing can be restored."""
    try:
        versioned = bucket.versioning_enabled()
    except OrgError as error:
        return (failed("bucket", error),)
    reached = Finding("bucket", "ok", "it answers")
    if versioned:
        return reached, Finding("versioning", "ok", "Object Versioning is on")
    hint = "gcloud storage buckets update gs://BUCKET --versioning"
    state: State = "warning" if allow_unversioned else "error"
    return reached, Finding("versioning", state, "Object Versioning is off: nothing can be restored", hint)


def check_lifecycle(bucket: Bucket) -> Finding:
    """See that what piles up is removed some day."""
    if not isinstance(bucket, GcsBucket):
        return Finding("lifecycle", "skipped", "a local bucket has no lifecycle: nothing deletes its old versions")
    try:
        rules = bucket.lifecycle()
    except OrgError as error:
        return failed("lifecycle", error)
    missing = [wanted.what for wanted in LIFECYCLE if not any(_removes(rule, wanted) for rule in rules)]
    if not missing:
        return Finding("lifecycle", "ok", f"{len(rules)} rules; old versions, deltas and rejected bodies go")
    return Finding(
        "lifecycle", "warning", f"kept for ever: {', '.join(missing)}", "apply infra/terraform, or add the rules"
    )


def _removes(rule: LifecycleRule, wanted: _Wanted) -> bool:
    if rule.action != "Delete":
        return False
    if wanted.prefix is None:
        return rule.noncurrent_only and (
            not rule.prefixes or any(DATABASES_PREFIX.startswith(p) for p in rule.prefixes)
        )
    return not rule.noncurrent_only and any(wanted.prefix.startswith(prefix) for prefix in rule.prefixes)


def check_permissions(bucket: Bucket, clock: Clock, token: str) -> ProbeResult:
    """Try everything that a run, a lease and an operator do, on an object of our own."""
    name = f"{PREFIX}{token}"
    findings: list[Finding] = []
    largest = 0
    info: ObjectInfo | None = None
    step = "write"
    try:
        asked = clock.now_utc()
        info = bucket.write(name, _CONTENT, if_generation_match=0, metadata={"by": "doctor"})
        findings.append(_clock(info.updated, asked, clock.now_utc()))
        step = "preconditions"
        findings.append(_precondition(bucket, name))
        step = "read"
        found = bucket.read(name, max_bytes=1024)
        if found is None or found[0] != _CONTENT:
            findings.append(Finding("read", "error", "what was written did not come back", "do not run on this bucket"))
        step = "overwrite"
        info = bucket.write(name, _CONTENT, if_generation_match=info.generation, metadata={})
        step = "list"
        largest = max((database.size_bytes for database in bucket.list(DATABASES_PREFIX)), default=0)
        step = "versions"
        bucket.versions(name)
        findings.append(Finding("permissions", "ok", "write, read, overwrite, list and versions"))
    except PreconditionFailedError:
        findings.append(Finding(step, "error", "refused although nobody else writes it", "do not run on this bucket"))
    except OrgError as error:
        findings.append(failed(step, error))
    if info is not None:
        findings.extend(_delete(bucket, name))
    return ProbeResult(tuple(findings), largest)


def _precondition(bucket: Bucket, name: str) -> Finding:
    """A second create of the same name has to be refused: the fence of every run rests on it."""
    try:
        bucket.write(name, _CONTENT, if_generation_match=0, metadata={})
    except PreconditionFailedError:
        return Finding("preconditions", "ok", "a stale write is refused")
    return Finding(
        "preconditions", "error", "a stale write was accepted", "do not run on this bucket: a second writer would win"
    )


def _clock(server: datetime, asked: datetime, answered: datetime) -> Finding:
    """Compare with the bucket's time, which lies between asking and the answer unless one of the clocks is wrong."""
    ahead = (asked - server).total_seconds()
    behind = (server - answered).total_seconds()
    skew = max(0.0, ahead, behind)
    detail = (
        f"{skew:.1f} s {'ahead of' if ahead > behind else 'behind'} the bucket's" if skew > 1 else "as the bucket's"
    )
    hint = "synchronise this machine's clock (chrony, systemd-timesyncd)"
    if skew > SKEW_ERROR_SECONDS:
        return Finding("clock", "error", detail, hint)
    return Finding("clock", "warning", detail, hint) if skew > SKEW_WARNING_SECONDS else Finding("clock", "ok", detail)


def _delete(bucket: Bucket, name: str) -> Iterator[Finding]:
    """Take the probe away again, whatever its generation is by now."""
    try:
        live = bucket.stat(name)
        if live is not None:
            bucket.delete(name, if_generation_match=live.generation)
    except PreconditionFailedError:
        yield Finding("delete", "error", "refused although nobody else writes it", "do not run on this bucket")
    except OrgError as error:
        yield failed("delete", error)
