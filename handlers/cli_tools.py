"""The commands around the planner: demo, serve, make-org."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from core.runs.errors import ErrorCode, OrgError
from handlers.cli_errors import UsageError
from handlers.cli_options import JsonOption, load_settings, parse_day
from handlers.cli_output import MakeOrgOutput, ServeOutput, print_json

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

CONTACTS_MAX: Final = 10_000_000
"""As many as `infra.synthetic` makes; repeated here because numpy is not loaded to refuse a number."""

DEMO_FOLDER: Final = Path("var/demo")
DEMO_CONTACTS: Final = (663, 25_000)


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where it works; wiped at the start if it is a demo's.")
    ] = DEMO_FOLDER,
    contacts: Annotated[
        tuple[int, int], typer.Option("--contacts", min=0, max=CONTACTS_MAX, help="Sizes of the two orgs.")
    ] = DEMO_CONTACTS,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the synthetic orgs.")] = 1,
    json: JsonOption = False,
) -> None:
    """Show the service at work: real server, embedded bucket, two synthetic orgs, from trigger to completion event.

    It checks its own claims, and exits 1 if one does not hold. Settings of the environment are not used.

    Example: emailsched demo
    """
    from handlers.demo import Wishes, run_demo

    output = run_demo(Wishes(folder, contacts, seed, narrate_on_stderr=json))
    if json:
        print_json(output)


def serve(json: JsonOption = False) -> int:
    """Serve events over HTTP until SIGTERM or Ctrl-C; HOST, PORT and the other settings come from the environment.

    Example: PORT=8080 emailsched serve
    """
    settings = load_settings(serving=True)
    if json:
        print_json(ServeOutput(host=settings.host, port=settings.port, data_dir=str(settings.data_dir)))
    from handlers import server

    return server.serve(settings)


def make_org(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Database to write.")],
    contacts: Annotated[int, typer.Option("--contacts", metavar="N", min=0, max=CONTACTS_MAX, help="How many.")],
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Of the random data.")],
    as_of: Annotated[
        date | None,
        typer.Option("--as-of", parser=parse_day, metavar="DATE", help="Day that is today in it.  [default: the date]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a synthetic org; the same contacts, seed and day give the same file, byte for byte.

    Example: emailsched make-org acme.db --contacts 663 --seed 1
    """
    from infra.files import disk_errors, remove_sidecars, replace_durably
    from infra.synthetic import make_org as make

    load_settings()
    if file.is_dir() or (file.exists() and not overwrite):
        raise UsageError(f"{str(file)!r} exists", "choose another name, or --overwrite a file")
    if not file.parent.is_dir():
        raise OrgError(ErrorCode.FILE_MISSING, detail=f"no folder {str(file.parent)!r}")
    today = as_of or datetime.now(UTC).astimezone().date()
    staged = file.with_name(f".{file.name}.emailsched")
    with disk_errors(None, ErrorCode.SCHEDULER_FAILED):
        staged.unlink(missing_ok=True)
        make(str(staged), contacts=contacts, seed=seed, today=today)
        remove_sidecars(file)  # a WAL of the old file would be replayed into the new one
        replace_durably(staged, file)
        size_bytes = file.stat().st_size
    if json:
        print_json(MakeOrgOutput(file=str(file), contacts=contacts, seed=seed, as_of=today, size_bytes=size_bytes))
    else:
        typer.echo(f"{file}: {contacts} contacts, {size_bytes} bytes, as of {today}")
