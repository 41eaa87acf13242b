"""The report as a person sees it: in a real browser, in light and dark, on a phone and without a network."""

import html
import struct
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from events.types import OrgId
from handlers.local_run import World
from handlers.report import render
from handlers.report_data import picture_of_file
from infra.org_db import SqliteOrgStore
from infra.synthetic import make_org
from tests.browser import run_chromium
from tests.clocks import FixedClock
from tests.journals import ListJournal

TODAY = date(2026, 3, 2)
PHONE_WIDTH_PIXELS = 390


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("org") / "acme.db"
    make_org(str(file), contacts=600, seed=3, today=TODAY)
    world = World(SqliteOrgStore(), FixedClock(datetime(2026, 3, 2, 12, tzinfo=UTC)), ListJournal())
    return render(picture_of_file(file, OrgId("acme"), TODAY, world))


def corner_colour(png: bytes) -> tuple[int, int, int]:
    """Return the colour of the first pixel, which no filter of PNG can depend on a neighbour for."""
    import zlib

    width = struct.unpack(">I", png[16:20])[0]
    assert width > 0
    data, place = b"", 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            data += png[place + 8 : place + 8 + length]
        place += 12 + length
    first = zlib.decompressobj().decompress(data, 8)
    return first[1], first[2], first[3]


@pytest.mark.parametrize(
    ("scheme", "flags", "colour"),
    [("light", (), (0xFB, 0xFB, 0xFA)), ("dark", ("--blink-settings=preferredColorScheme=0",), (0x14, 0x18, 0x1C))],
)
def test_the_page_is_drawn_in_light_and_in_dark(
    scheme: str, flags: tuple[str, ...], colour: tuple[int, int, int], report: str, tmp_path: Path
) -> None:
    page, picture = tmp_path / "report.html", tmp_path / f"{scheme}.png"
    page.write_text(report, encoding="utf-8")
    run_chromium(tmp_path, page, "--window-size=1280,2400", f"--screenshot={picture}", *flags)
    png = picture.read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1280, 2400)
    assert corner_colour(png) == colour
    assert len(png) > 60_000, "charts and tables, not an empty page"


def test_on_a_phone_the_page_is_as_wide_as_the_screen_and_only_its_parts_scroll(report: str, tmp_path: Path) -> None:
    page = tmp_path / "phone.html"
    page.write_text(
        f"""<!DOCTYPE html><body><iframe width="{PHONE_WIDTH_PIXELS}" height="800" srcdoc="{html.escape(report)}"></iframe>
        <script>document.querySelector("iframe").onload = (e) => {{
          const inner = e.target.contentDocument;
          const wide = [...inner.querySelectorAll(".wide")];
          document.title = [inner.documentElement.scrollWidth, wide.length, wide.filter(
            (part) => part.scrollWidth > part.clientWidth).length, inner.querySelectorAll("svg[role=img]").length].join(" ");
        }};</script></body>""",
        encoding="utf-8",
    )
    dom = run_chromium(tmp_path, page, "--dump-dom", "--virtual-time-budget=5000")
    width, parts, scrolling, pictures = map(int, dom.partition("<title>")[2].partition("</title>")[0].split())
    assert width <= PHONE_WIDTH_PIXELS
    assert pictures == 3
    assert parts >= 5
    assert scrolling >= 3, "the charts keep their size and scroll inside their frames"
