"""The operator's command line: ``emailsched``.

stdout is data, stderr is log and progress. Commands are plain functions in ``cli_runs`` and ``cli_tools``; this module
names them, and turns whatever they end with into an exit code (`handlers.cli_errors`).
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Annotated, Any, Final, NoReturn

import typer

from handlers import (
    cli_campaign,
    cli_certify,
    cli_config,
    cli_doctor,
    cli_doors,
    cli_due,
    cli_explain,
    cli_holds,
    cli_plan,
    cli_recovery,
    cli_runs,
    cli_tools,
    cli_versions,
)
from handlers.cli_errors import EXIT_MEANINGS, CommandError, Exit, UsageError, report_error

_EPILOG: Final = "\n".join(
    (
        "Exit codes:",
        "",
        *(f"- {code.value}: {meaning}" for code, meaning in EXIT_MEANINGS.items()),
        "",
        "`ORG|FILE`: an existing path is a file, anything else an org, by default `ORG_ID`.",
        "stdout is data, stderr is log and progress. Settings come from the environment.",
    )
)
_COMMAND_EPILOG: Final = (
    "Exit codes: "
    + ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in Exit)
    + "; `emailsched --help` says more."
)
_PROGRAM: Final = "emailsched"
_CLICK_USAGE_ERROR: Final[Any] = typer.BadParameter.__mro__[1]
"""Typer does not export the base class of everything that is wrong with arguments, and moved it between releases."""

app: Final = typer.Typer(
    name=_PROGRAM,
    help="Schedules the e-mail of insurance agencies: one SQLite database per org, state exclusion windows that hold.",
    epilog=_EPILOG,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
_COMMANDS: Final[Mapping[str, Callable[..., int | None]]] = {
    "demo": cli_tools.demo,
    "serve": cli_tools.serve,
    "worker": cli_doors.worker,
    "fan-out": cli_doors.fan_out,
    "run": cli_runs.run,
    "schedule": cli_runs.schedule,
    "plan": cli_plan.plan,
    "explain": cli_explain.explain,
    "due": cli_due.due,
    "report": cli_runs.report,
    "certify": cli_certify.certify,
    "doctor": cli_doctor.doctor,
    "status": cli_versions.status,
    "hold": cli_holds.hold,
    "release": cli_holds.release,
    "versions": cli_versions.versions,
    "backup": cli_versions.backup,
    "pull": cli_versions.pull,
    "diff": cli_versions.diff,
    "restore": cli_recovery.restore,
    "reconcile": cli_recovery.reconcile,
    "make-org": cli_tools.make_org,
}
_GROUPS: Final[Mapping[str, tuple[str, Mapping[str, Callable[..., int | None]]]]] = {
    "config": (cli_config.HELP, cli_config.COMMANDS),
    "dead-letters": (cli_doors.HELP, cli_doors.COMMANDS),
    "campaign": (cli_campaign.HELP, cli_campaign.COMMANDS),
}
"""Commands of two words: what the first is about, and the second words."""

for _name, _command in _COMMANDS.items():
    app.command(_name, epilog=_COMMAND_EPILOG)(_command)
for _name, (_help, _commands) in _GROUPS.items():
    _group = typer.Typer(help=_help, rich_markup_mode="markdown")
    for _second, _command in _commands.items():
        _group.command(_second, epilog=_COMMAND_EPILOG)(_command)
    app.add_typer(_group, name=_name)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"emailsched {version('emailsched')}")
        except PackageNotFoundError:
            typer.echo("emailsched (not installed)")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors (also: EMAILSCHED_DEBUG=1).")
    ] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Declare what ``run`` looks for in the arguments itself, so that it also works when reading them fails."""


def run(args: Sequence[str], env: Mapping[str, str] = os.environ) -> int:
    """Carry out one command line and return its exit code; every error has been shown."""
    if not args:
        app(args=["--help"], prog_name=_PROGRAM, standalone_mode=False)
        return Exit.WRONG_USAGE
    words = args[: args.index("--")] if "--" in args else args
    what = command_of(words)
    debug = "--debug" in words or env.get("EMAILSCHED_DEBUG", "").strip() not in {"", "0"}
    try:
        result = app(args=list(args), prog_name=_PROGRAM, standalone_mode=False)
    except BrokenPipeError:
        _close_stdout()
        return Exit.FAILED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last boundary: every error gets its exit code
        return report_error(_usage_of(error, what), what=what, as_json="--json" in words, debug=debug)
    code = result if isinstance(result, int) else Exit.DONE
    if code == Exit.INTERRUPTED:  # typer takes KeyboardInterrupt for itself
        return report_error(KeyboardInterrupt(), what=what, as_json="--json" in words, debug=debug)
    return code


def command_of(words: Sequence[str]) -> str:
    """Return the program and the command that is meant, as far as it can be told."""
    for place, word in enumerate(words):
        if word in _COMMANDS:
            return f"{_PROGRAM} {word}"
        if word in _GROUPS:
            second = [other for other in words[place + 1 :] if other in _GROUPS[word][1]][:1]
            return " ".join([_PROGRAM, word, *second])
    return _PROGRAM


def _usage_of(error: BaseException, what: str) -> BaseException:
    """Translate the argument parser's errors; others pass."""
    if isinstance(error, CommandError) or not isinstance(error, _CLICK_USAGE_ERROR):
        return error
    parser_error: Any = error  # it has no public type, see above
    return UsageError(str(parser_error.format_message()), f"{what} --help shows how it is used")


def _close_stdout() -> None:
    """Let the interpreter end without a complaint about a reader that has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End by an exception, so that private copies are removed."""
    raise SystemExit(128 + signal.SIGTERM)


def main() -> NoReturn:
    """Run the console script."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
