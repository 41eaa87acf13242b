"""The command that certifies: every pre-scheduled mail of a database, judged by the independent checker."""

import hashlib
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from core.runs.errors import ErrorCode, OrgError
from handlers.cli_changes import lent_copy
from handlers.cli_errors import Exit
from handlers.cli_look_output import CertifyOutput
from handlers.cli_options import AsOfOption, JsonOption, Target, TargetArgument, load_settings, target_of
from handlers.cli_output import print_json
from handlers.cli_runs import local_world, write_page

if TYPE_CHECKING:
    from datetime import date

    from core.runs.certificate import Certificate, CertifiedDatabase
    from infra.settings import Settings

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing

_CHUNK_BYTES: Final = 1 << 20


def certify(
    target: TargetArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="Also write a page for counsel.")
    ] = None,
    as_of: AsOfOption = None,
    json: JsonOption = False,
) -> Exit:
    """State that no stored mail breaks the law of the states, or name those that do and exit 1.

    Every pre-scheduled row is judged as it is stored, whoever wrote it, by the checker that shares no code with the
    planner. The statement names the database's bytes, the rules and the configuration by their hashes, and has a digest
    of its own. Nothing is written but the page.

    Example: emailsched certify acme --out acme-certificate.html

    Example: emailsched certify acme.db --json > acme-certificate.json
    """
    from core.runs.certifying import canonical_json, certificate_digest

    settings = load_settings()
    found = target_of(target, settings)
    made = _certificate(found, as_of, settings)
    output = CertifyOutput(
        file=None if found.file is None else str(found.file),
        out=None if out is None else str(out),
        certificate=made,
        sha256=certificate_digest(made),
    )
    if out is not None:
        from handlers.certificate_page import render_certificate

        write_page(out, render_certificate(made, canonical_json(made), output.sha256))
    if json:
        print_json(output)
    else:
        from handlers.cli_certify_tables import print_certificate

        print_certificate(output)
    return Exit.DONE if made.verdict == "compliant" else Exit.FAILED


def _certificate(found: Target, as_of: "date | None", settings: "Settings") -> "Certificate":
    from core.runs.certifying import certify as judge
    from handlers.local_run import Wish

    world = local_world(settings)
    before = None if found.file is None else _described(str(found.file), None)
    with lent_copy(found, settings) as (copy, generation):
        database = _described(copy, generation) if before is None else before
        if found.file is not None and _described(str(found.file), None) != before:
            raise OrgError(ErrorCode.FILE_CHANGED, found.org_id, "changed while it was copied")
        with closing(world.store.open(copy, found.org_id)) as db:
            db.migrate()
            return judge(db, Wish(as_of).order(found.org_id), world.clock, database, program=_program())


def _described(file: str, generation: int | None) -> "CertifiedDatabase":
    """Say which bytes are certified, before anything opens them; part of them in a journal: there is no hash."""
    from core.runs.certificate import CertifiedDatabase
    from infra.files import disk_errors, has_sidecar_content

    digest = hashlib.sha256()
    with disk_errors(None, ErrorCode.SCHEDULER_FAILED), Path(file).open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            digest.update(chunk)
        size_bytes = opened.tell()
        whole = not has_sidecar_content(Path(file))
    return CertifiedDatabase(generation=generation, sha256=digest.hexdigest() if whole else None, size_bytes=size_bytes)


def _program() -> str:
    try:
        return version("emailsched")
    except PackageNotFoundError:
        return "not installed"
