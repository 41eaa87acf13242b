"""The command that says why a person gets what they get, and why not the rest."""

from typing import Annotated

import typer

from handlers.cli_changes import is_on_hold, looked_at
from handlers.cli_look_output import ExplainOutput
from handlers.cli_options import AsOfOption, ConfigOption, JsonOption, config_text, load_settings, target_of
from handlers.cli_output import print_json

# ruff: noqa: PLC0415 - each command imports what it needs, so that `emailsched --help` needs nothing


def explain(
    target: Annotated[str, typer.Argument(metavar="ORG|FILE", help="An existing file, or an org of the bucket.")],
    contact: Annotated[int, typer.Argument(metavar="CONTACT", help="Id of the contact in this org.")],
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Explain one contact's mail: what is planned, what moved or kept back each of it, and what would have to change.

    The whole org is planned, as a run would plan it; nothing is written anywhere. Ids, dates and codes are shown, and
    nothing that says who the contact is.

    Example: emailsched explain acme.db 42

    Example: emailsched explain acme 42 --as-of 2025-09-01 --config stricter.json --json
    """
    from core.runs.explaining import explain_contact
    from handlers.local_run import Wish
    from infra.clock import SystemClock

    settings = load_settings()
    found = target_of(target, settings)
    wish = Wish(as_of, config_text(config))
    with looked_at(found, settings) as (db, generation):
        explained = explain_contact(db, wish.order(found.org_id), SystemClock(), contact)
    output = ExplainOutput(
        org_id=found.org_id,
        file=None if found.file is None else str(found.file),
        generation=generation,
        config_hash=explained.config_hash,
        what_if=config is not None,
        on_hold=is_on_hold(found, settings),
        explanation=explained.explanation,
    )
    if json:
        print_json(output)
        return
    from handlers.cli_explain_tables import print_explanation

    print_explanation(output)
