"""Every guard that the simulation watches, and the edit that takes it away."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from core.runs import batch, org_run, planning_job, service
from infra import disk_space, fence, lease, mirror, org_folder
from tests.simulation.mutation import Mutation
from tests.simulation.scene import NO_FOCUS


class Control(NamedTuple):
    """A guard in words, and the edits that take it away; more than one where a guard stands behind a guard."""

    guard: str
    edits: tuple[Mutation, ...]
    focus: Mapping[str, object] = NO_FOCUS
    """Worlds in which the guard is needed often."""


CONTROLS: Final = (
    Control(
        "the upload's precondition",
        (
            Mutation(
                fence,
                "fenced_upload",
                "if_generation_match=parent_generation",
                "if_generation_match=getattr(bucket.stat(name), 'generation', 0)",
            ),
        ),
    ),
    Control(
        "a conflict starts the run again",
        (
            Mutation(
                org_run,
                "_commit",
                "uploaded = ports.sync.up(copy, run_id=planned.run_id, facts=facts, transfer=account.transfer)",
                "\n            try:\n"
                "                uploaded = "
                "ports.sync.up(copy, run_id=planned.run_id, facts=facts, transfer=account.transfer)\n"
                "            except PreconditionFailedError: pass",
            ),
        ),
    ),
    Control(
        "downloads are checked",
        (
            Mutation(
                mirror,
                "MirrorSync._fetched",
                "if not has_content(candidate, live.size_bytes, live.crc32c):",
                "if not candidate.exists():",
            ),
        ),
    ),
    Control(
        "the mirror is checked before use",
        (
            Mutation(
                mirror,
                "MirrorSync._refresh",
                "and folder.mirror_is(known)",
                "",
            ),
        ),
        {"crash": 0.012, "crashes": 3, "calm_after_seconds": 1500.0},
    ),
    Control(
        "the mirror's generation is compared",
        (
            Mutation(
                mirror,
                "_describes",
                "(record.generation, record.crc32c, record.size_bytes) ==",
                "(live.generation, live.crc32c, live.size_bytes) ==",
            ),
        ),
    ),
    Control(
        "copies are proven page by page",
        (
            Mutation(
                mirror,
                "_is_copy",
                "compare_pages(str(origin), str(replica)).identical",
                "replica.exists()",
            ),
        ),
    ),
    Control(
        "what goes up is sound",
        (
            Mutation(
                mirror,
                "MirrorSync._make_next",
                'if quick_check(str(folder.next_mirror)) != "ok":',
                "if False:",
            ),
        ),
    ),
    Control(
        "events are known by their ids",
        (
            Mutation(
                planning_job,
                "carry_out",
                "known = db.runs_of_events(tuple(dict.fromkeys(event.key for event in job.events)))",
                "known = {}; db.runs_of_events(())",
            ),
        ),
    ),
    Control(
        "a known event's completion is published again",
        (
            Mutation(
                org_run,
                "_attempt",
                "_publish(completed, ports)",
                "pass",
            ),
        ),
    ),
    Control(
        "commit comes before publication",
        (
            Mutation(
                org_run,
                "_commit",
                "uploaded = Uploaded(copy.generation, 0)",
                "uploaded = Uploaded(copy.generation, 0); "
                "_publish(_first_publication(planned, account, copy, uploaded), ports)",
            ),
        ),
    ),
    Control(
        "publication comes before the answer",
        (
            Mutation(
                org_run,
                "publish",
                "ports.bus.publish(Message(ports.completion_topic, attributes, data))",
                "\n    try: ports.bus.publish(Message(ports.completion_topic, attributes, data))\n    except OrgError: pass",
            ),
        ),
    ),
    Control(
        "a failed run is not acknowledged",
        (
            Mutation(
                service,
                "Service._answer",
                'return Handled("retry", error=error)\n',
                'return Handled("failed", error=error)\n',
            ),
        ),
    ),
    Control(
        "the mirror's record is removed first",
        (
            Mutation(
                org_folder,
                "OrgFolder.install",
                "self.forget_mirror()",
                "pass",
            ),
        ),
        {"crash": 0.012, "crashes": 3, "calm_after_seconds": 1500.0},
    ),
    Control(
        "the mirror's record is written last",
        (
            Mutation(
                org_folder,
                "OrgFolder.install",
                "self.forget_mirror()",
                "self.write_record(record)",
            ),
        ),
        {"crash": 0.012, "crashes": 3, "calm_after_seconds": 1500.0},
    ),
    Control(
        "two processes do not share an org's files",
        (
            Mutation(
                mirror,
                "MirrorSync._acquire",
                "return acquire(",
                "return os.open(lock_file(self._data_dir, org_id), os.O_RDWR | os.O_CREAT) if True else acquire(",
            ),
        ),
        {"machines": 1, "processes": 3, "lease": False, "letters": 12, "spread_seconds": 0.0},
    ),
    Control(
        "requests are counted",
        (
            Mutation(
                mirror,
                "MirrorSync.up",
                "bucket = CountedBucket(self._bucket, transfer)",
                "bucket = self._bucket",
            ),
        ),
    ),
    Control(
        "a lost answer is recognised by the token, not by the run",
        (
            Mutation(
                fence,
                "_identity",
                "info.metadata.get(UPLOAD_TOKEN_KEY), info.crc32c, info.size_bytes",
                'info.metadata.get(RUN_ID_KEY), "", 0',
            ),
            Mutation(
                fence,
                "fenced_upload",
                "_Identity(token, crc32c_of_file(file), Path(file).stat().st_size)",
                '_Identity(run_id, "", 0)',
            ),
        ),
        {
            "lease": False,
            "rival": 0.0,
            "machines": 4,
            "letters": 10,
            "duplicates": 1.0,
            "orgs": 1,
            "spread_seconds": 0.0,
        },
    ),
    Control(
        "stale sidecars of a mirror are removed",
        (
            Mutation(org_folder, "OrgFolder.install", "remove_sidecars(self.mirror)", "pass"),
            Mutation(mirror, "MirrorSync._refresh", "remove_sidecars(folder.mirror)", "pass"),
        ),
        {"crash": 0.012, "crashes": 3, "calm_after_seconds": 1500.0},
    ),
    Control(
        "a damaged object is refused",
        (
            Mutation(mirror, "MirrorSync._require_sound", 'if verdict != "ok":', "if False:"),
            Mutation(mirror, "MirrorSync._make_next", 'if quick_check(str(folder.next_mirror)) != "ok":', "if False:"),
        ),
        {"vandals": 2},
    ),
    Control(
        "events that share a run agree on the day",
        (
            Mutation(
                batch,
                "batch_key",
                "return wish.as_of, wish.force, wish.create, None",
                "return None, wish.force, wish.create, None",
            ),
        ),
    ),
    Control(
        "known events are done, whatever becomes of the others",
        (Mutation(planning_job, "carry_out", "if not known:", "if True:"),),
        {"dated": True, "acks_lost": 0.4, "duplicates": 0.8, "orgs": 1, "machines": 1, "letters": 12, "waiters_max": 8},
    ),
    Control(
        "an org in use is not evicted",
        (
            Mutation(
                disk_space,
                "DiskSpace._evict",
                "with locked(lock_file(self.data_dir, org_id), wait_seconds=0):",
                "if True:",
            ),
        ),
        {"orgs": 2, "machines": 1, "processes": 2, "copy": 0.6, "request": 0.0, "letters": 10, "spread_seconds": 0.0},
    ),
)

HARMLESS: Final = (
    Control(
        "a lost answer is recognised at all",
        (
            Mutation(fence, "fenced_upload", "return committed", "raise"),
            Mutation(fence, "fenced_upload", "if live is None or _identity(live) != ours:", "if True:"),
        ),
    ),
    Control(
        "the lease",
        (
            Mutation(
                lease,
                "BucketLease._acquire",
                "for look in count():",
                "return 0\n    for look in count():",
            ),
        ),
    ),
)
"""What only saves work: without it everything must still hold."""
