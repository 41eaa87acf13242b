"""The commands that stop the mail of an org, or of all, and let it go on: hold, release."""

from typing import TYPE_CHECKING, Annotated

import typer

from core.runs.holds import Hold, HoldList
from events.types import OrgId
from handlers.cli_changes import author_or_user
from handlers.cli_errors import UsageError
from handlers.cli_hold_output import HoldOutput
from handlers.cli_options import JsonOption, load_settings, org_of
from handlers.cli_output import print_json

if TYPE_CHECKING:
    from core.runs.ports import Bucket
    from infra.settings import Settings

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

TEXT_CHARACTERS_MAX = 200

OrgOrAll = Annotated[str | None, typer.Argument(metavar="ORG", help="Org of the bucket; never taken from ORG_ID.")]
AllOption = Annotated[bool, typer.Option("--all", help="All orgs, also those to come.")]


def hold(
    org: OrgOrAll = None,
    all_orgs: AllOption = False,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why, for those who ask; no personal data.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who.  [default: the user's name]")] = None,
    json: JsonOption = False,
) -> None:
    """Stop the mail of an org: its data is still recorded, nothing is planned, no claim is granted, no mail is due.

    It takes effect with the next message, on every machine. Mail that was claimed before may still go out.

    Example: emailsched hold acme --reason "wrong ZIP codes imported"
    """
    from infra.clock import SystemClock
    from infra.holds import BucketHolds

    settings = load_settings()
    org_id = _target(org, settings, all_orgs=all_orgs)
    new = Hold(since=SystemClock().now_utc(), by=_short(author_or_user(by), "--by"), reason=_short(reason, "--reason"))
    bucket = _bucket(settings)
    holds, changed = BucketHolds(bucket).hold(org_id, new)
    _show(_output(org_id, holds, bucket, changed=changed), json=json)


def release(org: OrgOrAll = None, all_orgs: AllOption = False, json: JsonOption = False) -> None:
    """Lift the hold of an org, or with --all the hold of all orgs; orgs that are held by themselves stay so.

    Nothing runs by itself: the next message plans, or `emailsched run ORG`.

    Example: emailsched release acme
    """
    from infra.holds import BucketHolds

    settings = load_settings()
    org_id = _target(org, settings, all_orgs=all_orgs)
    bucket = _bucket(settings)
    holds, changed = BucketHolds(bucket).release(org_id)
    _show(_output(org_id, holds, bucket, changed=changed), json=json)


def _target(org: str | None, settings: "Settings", *, all_orgs: bool) -> OrgId | None:
    """Return the org named, None for all: exactly one of the two is to be said, and no default is taken."""
    if (org is None) != all_orgs:
        raise UsageError("name an org, or say --all", "both commands change what is mailed: nothing is assumed")
    return None if org is None else org_of(org, settings)


def _bucket(settings: "Settings") -> "Bucket":
    from handlers.bootstrap import open_bucket
    from infra.telemetry import LogJournal

    return open_bucket(settings, LogJournal())


def _short(text: str | None, option: str) -> str | None:
    if text is not None and len(text) > TEXT_CHARACTERS_MAX:
        raise UsageError(f"{option} is too long", f"at most {TEXT_CHARACTERS_MAX} characters")
    return text


def _output(org_id: OrgId | None, holds: HoldList, bucket: "Bucket", *, changed: bool) -> HoldOutput:
    from infra.fence import object_name

    return HoldOutput(
        org_id=org_id,
        changed=changed,
        on_hold=not holds.is_empty if org_id is None else holds.of(org_id) is not None,
        has_database=None if org_id is None else bucket.stat(object_name(org_id)) is not None,
        holds=holds,
    )


def _show(output: HoldOutput, *, json: bool) -> None:
    if json:
        print_json(output)
        return
    whom = "all orgs" if output.org_id is None else output.org_id
    how = "on hold" if output.on_hold else "not on hold"
    typer.echo(f"{whom}: {how}{'' if output.changed else ' (as before)'}")
    if output.has_database is False:
        typer.echo(f"note: there is no database of {output.org_id}")
    holds = output.holds
    if holds.all_orgs is not None:
        typer.echo(f"  all orgs{_since(holds.all_orgs)}")
    for org, hold_of_org in sorted(holds.orgs.items()):
        typer.echo(f"  {org}{_since(hold_of_org)}")


def _since(hold_of_org: Hold) -> str:
    by = "" if hold_of_org.by is None else f" by {hold_of_org.by}"
    reason = "" if hold_of_org.reason is None else f": {hold_of_org.reason}"
    return f" since {hold_of_org.since:%Y-%m-%d %H:%M} UTC{by}{reason}"
