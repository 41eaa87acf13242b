"""From the org database to a snapshot: every chunk is judged as it is read, so that raw text never piles up (R98)."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.planning import digest
from core.planning.calendar import to_date
from core.planning.campaigns import judge_campaigns
from core.planning.config import Config
from core.planning.contacts import Contacts, classify, contacts_digest, gather
from core.planning.plan import Snapshot
from core.planning.schedule import gather_schedule, history_before
from core.planning.snapshot import IssueChunk
from core.runs.ports import OrgDatabase


@dataclass(frozen=True, slots=True)
class Reading:
    """A snapshot, the issues in force, and the digest of the contacts it was read from."""

    snapshot: Snapshot
    issues: tuple[IssueChunk, ...]
    contacts_checksum: str


def read_org(db: OrgDatabase, config: Config, today: int) -> Reading:
    """Read all that a plan for ``today`` depends on."""
    book = judge_campaigns(db.campaign_types(), db.campaign_instances(), today)
    checksum = _Checksum()
    since = to_date(today - config.followup_lookback_days).isoformat()
    follow = config.enable_followups
    with db.reading():
        contacts = gather(_judged(db, config, today, book.carriers, checksum))
        snapshot = Snapshot(
            contacts=contacts,
            schedule=gather_schedule(db.schedule_chunks(), first_day=history_before(today)),
            book=book,
            enrolments=tuple(db.enrolment_chunks()) if book.active else (),
            clicks=tuple(db.click_chunks(since)) if follow else (),
            answers=tuple(db.answer_chunks(since)) if follow else (),
        )
        issues = tuple(db.issue_chunks())
    return Reading(snapshot, issues, digest.hex_digest(checksum.sums))


def read_contacts(db: OrgDatabase, config: Config, today: int) -> Contacts:
    """Read the judged contacts alone, for those who ask who a row of a plan is about; carriers are not told apart."""
    return gather(_judged(db, config, today, (), _Checksum()))


class _Checksum:
    """Adds up the digests of chunks while they pass by."""

    def __init__(self) -> None:
        self.sums = digest.zero()


def _judged(
    db: OrgDatabase, config: Config, today: int, carriers: tuple[str, ...], checksum: _Checksum
) -> Iterator[Contacts]:
    for chunk in db.contact_chunks():
        checksum.sums = checksum.sums + contacts_digest(chunk)
        yield classify(chunk, config, today, carriers)
