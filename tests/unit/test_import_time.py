"""``emailsched --help`` is instant, because it loads nothing that only some commands need."""

import json
import subprocess
import sys

from tests.command_line import REPOSITORY

_HEAVY = {
    "google", "grpc", "numpy", "flask", "gunicorn", "functions_framework", "cloudevents", "apsw", "sqlite3",
    "sqlite_utils", "structlog", "jinja2", "prometheus_client", "opentelemetry",
}  # fmt: skip
_PROGRAM = """
import json, sys
before = set(sys.modules)  # some distributions load a namespace at start, whatever the program is
from handlers import cli
code = cli.run({args!r})
print(json.dumps([code, sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})]))
"""


def _loaded(*args: str) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(args=list(args))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(modules)


def test_help_imports_nothing_heavy() -> None:
    code, modules = _loaded("--help")
    assert code == 0
    assert not modules & _HEAVY


def test_help_of_a_command_and_wrong_usage_import_nothing_heavy() -> None:
    for args, expected in ((("run", "--help"), 0), (("run", "--nonsense"), 2)):
        code, modules = _loaded(*args)
        assert code == expected
        assert not modules & _HEAVY
