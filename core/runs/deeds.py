"""What contacts did - clicks, answers, enrolments - as rows to append, or as items that wait for whom they are about.

Each is appended once per event item. One that comes before its contact, or an enrolment that comes before its campaign
instance, is parked for 7 days; one of a contact that was deleted is dropped, because the person's data is to stay away.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from core.runs.item_order import Numbered
from core.runs.item_ports import Answer, AppendWrites, Click, Enrolment, InstanceRef, ParkedItem
from events.change_payloads import object_text
from events.contact_payloads import ContactAnswer, ContactClick, ContactEnrol

PARKED_DAYS: Final = 7
PARKED_MAX: Final = 100_000
"""Items of one org that may wait; what comes beyond them is rejected."""

DEED_ITEMS: Final = (ContactEnrol, ContactClick, ContactAnswer)
"""The kinds that are judged here."""


class Enrol(NamedTuple):
    """An enrolment before its instance is known."""

    contact_id: int
    ref: InstanceRef
    trigger_date: str | None
    metadata: str | None


_Row = Enrol | Click | Answer
_KINDS: Final[Mapping[str, type[Enrol] | type[Click] | type[Answer]]] = {
    "enrol": Enrol,
    "click": Click,
    "answer": Answer,
}


@dataclass(frozen=True, slots=True)
class Deed:
    """One row to be, and the item that it comes from."""

    row: _Row
    source: str
    event_id: str
    index: int
    parked_at: str | None = None
    """Since when it has waited; None: it is new."""

    @property
    def contact_id(self) -> int:
        """Whose it is."""
        return self.row.contact_id


def deed_of(one: Numbered, to_local: Callable[[datetime], str]) -> Deed | None:
    """Return the deed of an item, None for a kind that is none. ``to_local``: the org's local time, as it is stored."""
    row: _Row
    match one.item:
        case ContactClick() as click:
            row = Click(click.contact_id, click.tracking_id, to_local(click.clicked_at), click.url)
        case ContactAnswer() as answer:
            row = Answer(answer.contact_id, object_text(_answers(answer)), to_local(answer.answered_at))
        case ContactEnrol() as enrol:
            ref = InstanceRef(enrol.campaign_instance_id, enrol.campaign_type, enrol.instance_name)
            metadata = None if enrol.metadata is None else object_text(enrol.metadata)
            row = Enrol(enrol.contact_id, ref, enrol.trigger_date, metadata)
        case _:
            return None
    return Deed(row, one.origin.source, one.origin.event_id, one.index)


def unparked(item: ParkedItem) -> Deed:
    """Return what was parked; raises ValueError for what this program did not write."""
    row = msgspec.json.decode(item.content, type=_KINDS[item.kind])
    return Deed(row, item.source, item.event_id, item.item_index, item.parked_at)


@dataclass(slots=True)
class JudgedDeeds:
    """What to write for some deeds."""

    writes: AppendWrites
    counts: dict[str, int]
    refused: list[Deed] = field(default_factory=list)
    """New ones for which there is no room to wait."""


def judge_deeds(
    deeds: Sequence[Deed],
    *,
    is_there: Callable[[int], bool],
    is_deleted: Callable[[int], bool],
    instances: Mapping[InstanceRef, int],
    enrolled: Iterable[tuple[int, int, str | None]],
    room: int,
    at: str,
) -> JudgedDeeds:
    """Judge deeds in their order. ``room``: how many more may be parked; ``at``: the moment of the run (UTC)."""
    judge = _Judge(instances, set(enrolled), room, at)
    for deed in deeds:
        if is_deleted(deed.contact_id):
            judge.drop(deed)
        elif not is_there(deed.contact_id):
            judge.park(deed)
        else:
            judge.append(deed)
    return judge.result()


class _Judge:
    def __init__(
        self, instances: Mapping[InstanceRef, int], enrolled: set[tuple[int, int, str | None]], room: int, at: str
    ) -> None:
        self._instances, self._enrolled, self._room, self._at = instances, enrolled, room, at
        self._enrolments: list[Enrolment] = []
        self._clicks: list[Click] = []
        self._answers: list[Answer] = []
        self._park: list[ParkedItem] = []
        self._unpark: list[tuple[str, str, int]] = []
        self._refused: list[Deed] = []
        self._counts: dict[str, int] = {}

    def append(self, deed: Deed) -> None:
        match deed.row:
            case Click():
                self._clicks.append(deed.row)
                self._count("clicks")
            case Answer():
                self._answers.append(deed.row)
                self._count("answers")
            case Enrol() as enrol:
                instance_id = self._instances.get(enrol.ref)
                if instance_id is None:
                    self.park(deed)
                    return
                self._enrol(Enrolment(enrol.contact_id, instance_id, enrol.trigger_date, enrol.metadata))
        self._done(deed)

    def drop(self, deed: Deed) -> None:
        self._count("dropped_deleted")
        self._done(deed)

    def park(self, deed: Deed) -> None:
        if deed.parked_at is not None:
            return  # it goes on waiting
        if len(self._park) >= self._room:
            self._refused.append(deed)
            return
        kind = next(name for name, row in _KINDS.items() if isinstance(deed.row, row))
        content = msgspec.json.encode(deed.row).decode()
        self._park.append(ParkedItem(deed.contact_id, kind, content, deed.source, deed.event_id, deed.index, self._at))
        self._count("parked")

    def result(self) -> JudgedDeeds:
        writes = AppendWrites(self._enrolments, self._clicks, self._answers, self._park, self._unpark)
        return JudgedDeeds(writes, self._counts, self._refused)

    def _enrol(self, row: Enrolment) -> None:
        identity = (row.contact_id, row.instance_id, row.trigger_date)
        if identity in self._enrolled:
            self._count("enrolments_repeated")
            return
        self._enrolled.add(identity)
        self._enrolments.append(row)
        self._count("enrolments")

    def _done(self, deed: Deed) -> None:
        if deed.parked_at is not None:
            self._unpark.append((deed.source, deed.event_id, deed.index))
            self._count("unparked")

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1


def _answers(item: ContactAnswer) -> dict[str, bool | int | None]:
    """Return the metadata of an answer as R82 reads it: a key that is not given is not there."""
    given = {
        "has_medical_conditions": item.has_medical_conditions,
        "main_questions_yes_count": item.main_questions_yes_count,
    }
    return {name: value for name, value in given.items() if value is not UNSET}
