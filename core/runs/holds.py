"""``org-control/holds.json``: which orgs are on hold. Data is recorded for them, nothing is planned, nothing may be sent.

One object for all orgs: a run asks with one request, and where nothing is held there is no object.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Protocol

from msgspec import Meta, Struct, field

from events.types import OrgId

if TYPE_CHECKING:
    from core.runs.ports import Transfer  # it brings numpy, and the command line has to say --help without

HELD_ORGS_MAX = 5_000
"""Single orgs on hold at once; who needs more holds all of them."""

Note = Annotated[str, Meta(max_length=200)]


class Hold(Struct, frozen=True, kw_only=True):
    """One hold."""

    since: Annotated[datetime, Meta(tz=True, description="UTC.")]
    by: Annotated[Note | None, Meta(description="Who asked for it.")]
    reason: Annotated[Note | None, Meta(description="Why; no personal data.")]


class HoldList(Struct, frozen=True, kw_only=True):
    """All holds. The hold of all orgs and the hold of one are lifted each for itself."""

    all_orgs: Hold | None = None
    orgs: dict[str, Hold] = field(default_factory=dict)

    def of(self, org_id: OrgId) -> Hold | None:
        """Return what holds an org, its own hold first; None: it is not on hold."""
        return self.orgs.get(org_id) or self.all_orgs

    @property
    def is_empty(self) -> bool:
        """Whether no org is on hold."""
        return self.all_orgs is None and not self.orgs

    def with_hold(self, org_id: OrgId | None, hold: Hold) -> "HoldList":
        """Return the list with one more hold (None: of all orgs); one that exists stays as it is."""
        if org_id is None:
            return HoldList(all_orgs=self.all_orgs or hold, orgs=self.orgs)
        return HoldList(all_orgs=self.all_orgs, orgs={org_id: hold, **self.orgs})

    def without_hold(self, org_id: OrgId | None) -> "HoldList":
        """Return the list without a hold (None: that of all orgs)."""
        if org_id is None:
            return HoldList(all_orgs=None, orgs=self.orgs)
        return HoldList(all_orgs=self.all_orgs, orgs={org: hold for org, hold in self.orgs.items() if org != org_id})


class Holds(Protocol):
    """Says which orgs are on hold: data is recorded for them, nothing is planned, claims are refused, no mail is due."""

    def is_held(self, org_id: OrgId, transfer: "Transfer") -> bool:
        """Whether an org is on hold at this moment: one request of class B where nothing is held, two where something is.

        Nothing is remembered between two calls: a hold takes effect with the next message. Raises OrgError
        HOLDS_UNREADABLE, BUCKET_*.
        """
        ...
