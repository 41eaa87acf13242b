"""docs/recovery.md names everything that is kept in the bucket: lifecycle rules and rights are made from these names."""

import re

from tests.command_line import REPOSITORY

WRITTEN = re.compile(r"""["'](org-[a-z-]+/|rejected/|backups/)""")
SHOWN = re.compile(r"^\| `([a-z-]+/)", re.MULTILINE)


def test_every_prefix_that_the_code_writes_is_in_the_document() -> None:
    sources = [file for floor in ("core", "infra", "handlers") for file in (REPOSITORY / floor).rglob("*.py")]
    written = {prefix for file in sources for prefix in WRITTEN.findall(file.read_text(encoding="utf-8"))}
    assert len(written) > 5
    text = (REPOSITORY / "docs" / "recovery.md").read_text(encoding="utf-8")
    assert set(SHOWN.findall(text)) == written
