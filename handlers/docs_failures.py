"""The failures in docs/operations.md: each code of core/runs/errors.py with its log line, its cause and what to do.

Code, answer and hint are the program's. What a person needs beside them is said here, next to the code, and a code without a
word about it is an error.
"""

import json
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from core.runs.errors import ERRORS, Answer, ErrorCode, ErrorSpec


class FailureNote(NamedTuple):
    """What the table of errors does not say of a code."""

    seen: Literal["run", "start", "command"]
    """In the log of a run, in the log of a start, or only by who gives a command."""
    detail: str
    """As the log has it, by example."""
    cause: str
    more: str = ""
    """What to do beyond the hint, in full sentences."""


_ANSWERS: Final[Mapping[Answer, str]] = {
    "reject": "`event.rejected` is published, the message is acknowledged (204) and does not come again.",
    "fail": (
        "`run.failed` is published. A request to run is acknowledged (204); events that carry data come again (503) until "
        "they are dead letters, so nothing is lost while you mend it."
    ),
    "retry": "Answered 503: the message comes again by itself.",
}

FAILURES: Final[Mapping[ErrorCode, FailureNote]] = {
    ErrorCode.OBJECT_MISSING: FailureNote(
        "run", "org-data/acme.db", "There is no such org, its id is misspelt, or somebody deleted its object.",
        "If it was deleted: `emailsched restore acme GENERATION` with the newest generation of `emailsched versions acme`.",
    ),
    ErrorCode.AS_OF_REFUSED: FailureNote(
        "run", "as_of 2026-11-20 lies before the last run's 2026-11-24",
        "Somebody asked for a run of another day than today.",
        "To look at another day without writing use `emailsched plan acme --as-of DATE`, which takes any.",
    ),
    ErrorCode.NOT_SQLITE: FailureNote(
        "run", "generation 1795464881743493", "Something else was uploaded over the database.",
        "Then find who did in the access log of the bucket: nobody but the program writes there blindly.",
    ),
    ErrorCode.DATABASE_CORRUPT: FailureNote(
        "run", "generation 1795464881743493", "The object was damaged before it came here.",
        "docs/recovery.md: what was sent and who unsubscribed since is carried along.",
    ),
    ErrorCode.SCHEMA_NOT_UNDERSTOOD: FailureNote(
        "run", "contacts.email: no such column", "Somebody changed a table, or the file is of another program.",
    ),
    ErrorCode.CONFIG_INVALID: FailureNote(
        "run",
        "config_versions id 7: max_emails_per_period: must be an integer of 1 or more",
        "The newest configuration cannot be used, so nothing is planned.",
        "`emailsched config history acme`, then `emailsched config set` or `emailsched config rollback`.",
    ),
    ErrorCode.CONFIG_MISSING: FailureNote("command", "row 17", "A rollback names a row that is not there."),
    ErrorCode.CONTACT_MISSING: FailureNote(
        "command", "contact 17", "An explanation was asked for a contact that is not there.",
    ),
    ErrorCode.CHECK_FAILED: FailureNote(
        "run", "1 rows, the first: contact 17, birthday on 2026-11-24: R40 CA birth",
        "The planner and the independent checker disagree. One of them has a defect; a mail on a forbidden day was stopped.",
        "`emailsched hold acme`, keep the database (`emailsched backup acme`), and report it. If the release before planned "
        "the org, going back to it is the quick way out.",
    ),
    ErrorCode.CONSERVATION_FAILED: FailureNote(
        "run", "1200 candidates, but 1100 rows and 99 not due",
        "The run lost or doubled a mail between two of its steps, and noticed.",
        "As for check_failed.",
    ),
    ErrorCode.SCHEDULER_FAILED: FailureNote(
        "run",
        "KeyError in plan, line 120",
        "A defect of the program, or a machine that is out of something.",
        "If it happens to one org only, keep its database with `emailsched backup acme`.",
    ),
    ErrorCode.BUCKET_UNREACHABLE: FailureNote(
        "run", "stat org-data/acme.db: HTTP 503", "Cloud Storage does not answer, or this machine has no way to it.",
        "If other machines reach it, restart this one. Otherwise wait: messages come again for half a day and more.",
    ),
    ErrorCode.BUCKET_REFUSED: FailureNote(
        "run",
        "upload org-data/acme.db: HTTP 403",
        "The key was revoked or replaced, a right is missing, or the bucket is another one.",
        "`emailsched doctor` tries each right. terraform apply gives them back.",
    ),
    ErrorCode.BUS_UNREACHABLE: FailureNote(
        "run", "publish to email-scheduler-completions: UNAVAILABLE",
        "Pub/Sub does not answer, or the topic or the right to publish is missing. The run itself is done: when the message "
        "comes again, only its completion is published.",
    ),
    ErrorCode.DOWNLOAD_CORRUPT: FailureNote(
        "run",
        "org-data/acme.db generation 1795464881743493",
        "Bytes were damaged on the way, or on this machine's disk.",
        "If it repeats on one machine only, replace its volume: it is a cache.",
    ),
    ErrorCode.SYNC_FAILED: FailureNote(
        "run",
        "exit 1",
        "sqlite3_rsync was killed, ran out of time, or its copy was not the original.",
    ),
    ErrorCode.DISK_FULL: FailureNote(
        "run",
        "900000000 bytes free, 5000000000 needed (268435456 of them in reserve), nothing left to remove",
        "The volume is too small for this org beside the others that are in use.",
        "`fly volumes extend VOLUME --size GB`. The program throws away the orgs used longest ago before it says this.",
    ),
    ErrorCode.DATABASE_BUSY: FailureNote(
        "command", "acme.db", "Another program has the local file open for writing.",
    ),
    ErrorCode.FENCE_LOST: FailureNote(
        "run", "another writer was first 5 times",
        "Somebody replaces the object again and again while a run works: an import that uploads instead of sending events.",
        "Look in the access log for `storage.objects.create` on that object by anybody but the program's service account.",
    ),
    ErrorCode.LEASE_BUSY: FailureNote(
        "run", "no run carried the event in time",
        "Another machine runs this org, or every run slot here was taken until the deadline.",
        "Only if it lasts: is a machine stuck? A lease that is not renewed ends by itself within LEASE_SECONDS.",
    ),
    ErrorCode.WAITERS_FULL: FailureNote("run", "512 messages wait", "Messages come faster than runs end."),
    ErrorCode.DRAINING: FailureNote("run", "", "A deploy, a restart or a scale-down: as it should be."),
    ErrorCode.FILE_CHANGED: FailureNote("command", "acme.db", "The local file was written to while it was planned."),
    ErrorCode.FILE_MISSING: FailureNote("command", "acme.db", "The path names nothing."),
    ErrorCode.SETTINGS_INVALID: FailureNote(
        "start", "OIDC_AUDIENCE and OIDC_SERVICE_ACCOUNT_EMAIL check nothing without each other: set both or none",
        "An environment variable is wrong or missing; every one is named at once.",
        "`fly secrets list` shows which are set, never to what.",
    ),
    ErrorCode.KEYFILE_MISSING: FailureNote(
        "start", "no application default credentials were found", "There are no credentials on this machine.",
    ),
    ErrorCode.KEYFILE_INVALID: FailureNote(
        "start", "it is not a JSON object of texts", "The secret was cut off or quoted on its way.",
        'Set it as `fly secrets set GCS_KEYFILE_JSON="$(cat key.json)"`, with the quotes.',
    ),
    ErrorCode.RSYNC_MISSING: FailureNote(
        "start",
        "",
        "sqlite3_rsync is not there or does not run on this system. In our image it was run in the build.",
    ),
    ErrorCode.VERSIONING_OFF: FailureNote(
        "start", "bucket acme-mail-orgs", "Somebody turned Object Versioning off, or it is another bucket.",
        "`gcloud storage buckets update gs://BUCKET --versioning`, and find out who did: Admin Activity in the audit log.",
    ),
    ErrorCode.GENERATION_MISSING: FailureNote(
        "command", "generation 17 of acme", "The generation is misspelt, or its version was deleted by age.",
    ),
    ErrorCode.PLANNER_LOST: FailureNote(
        "run", "signal 9", "The process that planned the org ended; with signal 9 the kernel wanted its memory.",
        "docs/operations.md, scaling, says how much an org needs.",
    ),
    ErrorCode.ORG_TOO_LARGE: FailureNote(
        "run", "1200000000 bytes: about 1300000000 of memory needed, MEMORY_LIMIT_MB allows 1000000000",
        "The org grew beyond what this machine was given.",
        "docs/operations.md, scaling: a worker on a larger machine, and the org's schedule on the bulk topic.",
    ),
    ErrorCode.HOLDS_UNREADABLE: FailureNote(
        "run", "no list of holds",
        "org-control/holds.json is not what `emailsched hold` writes. Nobody can tell who is held, so nobody is planned.",
        "`emailsched hold` again for the orgs that were held, before mail goes out.",
    ),
    ErrorCode.TOO_MANY_HOLDS: FailureNote("command", "1000 orgs are on hold", "The list of held orgs is full."),
    ErrorCode.BACKUP_EXISTS: FailureNote(
        "command", "backups/acme/20261123T201515Z.db", "Two backups within a second.",
    ),
}  # fmt: skip


def failures() -> str:
    """A section for each code; raises KeyError for a code that nobody said a word about."""
    return "\n".join(_section(code, spec, FAILURES[code]) for code, spec in ERRORS.items())


def _section(code: ErrorCode, spec: ErrorSpec, note: FailureNote) -> str:
    hint = spec.hint.replace("<org>", "acme")
    lines = [f"#### {code.value}", ""]
    if note.seen != "command":
        lines += ["```json", _log_line(code, spec, note, hint), "```", ""]
    else:
        lines += ["Seen by who gives the command, with exit code 3." if spec.answer == "retry" else
                  "Seen by who gives the command, with exit code 4.", ""]  # fmt: skip
    lines += [f"- **Cause.** {note.cause}", f"- **Do.** {hint[0].upper()}{hint[1:]}. {note.more}".rstrip()]
    if note.seen == "run":
        lines += [f"- **Meanwhile.** {_ANSWERS[spec.answer]}"]
    elif note.seen == "start":
        lines += ["- **Meanwhile.** The machine does not serve; the others do, and messages wait."]
    return "\n".join([*lines, ""])


def _log_line(code: ErrorCode, spec: ErrorSpec, note: FailureNote, hint: str) -> str:
    if note.seen == "start":
        record: dict[str, object] = {"severity": "ERROR", "event": "cannot_start", "code": code.value}
        return json.dumps({**record, "detail": note.detail, "hint": hint})
    record = {"severity": "ERROR", "event": code.value, "org_id": "acme", "event_id": "1"}
    return json.dumps({**record, "detail": note.detail, "hint": hint, "retryable": spec.answer == "retry"})
