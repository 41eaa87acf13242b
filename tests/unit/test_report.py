"""The report is a pure, well-formed page whose numbers are those of the completion."""

import re
import xml.etree.ElementTree as ET
from datetime import date, timedelta
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from events.payloads import RunCompleted, RunCounts
from events.types import OrgId, RunChecksums
from handlers.report import render
from handlers.report_chart import DAYS, OTHER, SERIES_MAX, draw

FIRST = date(2025, 3, 10)
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "br", "hr", "img", "input", "link"}


def completion(volume: dict[date, dict[str, int]], *, cap: int | None = 5) -> RunCompleted:
    by_type: dict[str, int] = {}
    for types in volume.values():
        for name, rows in types.items():
            by_type[name] = by_type.get(name, 0) + rows
    counts = RunCounts(
        contacts=1234, contacts_invalid=34, emails_scheduled=sum(by_type.values()), emails_skipped=7, rows_inserted=0,
        rows_updated=0, rows_deleted=0, rows_missed=0, rows_unchanged=0, dropped_locked=0,
    )  # fmt: skip
    return RunCompleted(
        org_id=OrgId("acme"), run_id="0" * 32, changed=True, replayed=False, as_of=FIRST, event_ids=(), counts=counts,
        scheduled_by_type=by_type, skipped_by_reason={"state_unknown": 3, "frequency_limit": 4},
        issues_by_code={"missing_email": 2}, volume_by_day=volume, cap=cap, cap_exceeded_days=(FIRST,),
        config_hash="c0ffee", generation=17, parent_generation=16, bytes_down=0, bytes_up=0, requests=None,
        pages_changed=0, durations_seconds=None,
        checksums=RunChecksums(contacts="a1", schedules_before="b2", schedules_after="b3"), warnings=(),
    )  # fmt: skip


VOLUME = {
    FIRST: {"birthday": 4, "aep": 2},
    FIRST + timedelta(days=1): {"birthday": 1},
    FIRST + timedelta(days=DAYS): {"aep": 9},  # the first day beyond the picture
}


class Balance(HTMLParser):
    """Notes every element that is closed by another's end tag, and every address outside the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.wrong += [f"{tag} {name}" for name, value in attrs if name in {"src", "href"} or "url(" in (value or "")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def svg_of(page: str) -> ET.Element:
    return ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])  # noqa: S314 - our own page


def test_the_page_is_well_formed_and_needs_no_network() -> None:
    page = render(completion(VOLUME))
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert (parser.open, parser.wrong) == ([], [])
    assert "<script" not in page
    assert re.findall(r"https?://[^\"\s]+", page) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_the_same_completion_gives_the_same_page() -> None:
    assert render(completion(VOLUME)) == render(completion(VOLUME))


def test_everything_from_outside_is_escaped() -> None:
    evil = "<script>alert('x')</script>\"&"
    spoiled = replace(
        completion({FIRST: {evil: 1}}),
        skipped_by_reason={evil: 1},
        issues_by_code={evil: 1},
        config_hash=evil,
        warnings=(evil,),
    )
    page = render(spoiled)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6
    svg_of(page)


def test_the_picture_has_a_title_a_description_and_a_table_with_its_numbers() -> None:
    page = render(completion(VOLUME))
    svg = svg_of(page)
    assert svg.get("role") == "img"
    labels = (svg.get("aria-labelledby") or "").split()
    assert [svg.find(f"*[@id='{label}']").tag for label in labels] == [f"{SVG}title", f"{SVG}desc"]  # type: ignore[union-attr]
    cells = re.findall(r'<th scope="row">(2025[^<]*)</th>((?:<td class="n">\d+</td>)+)', page)
    assert [(day, re.findall(r"\d+", numbers)) for day, numbers in cells] == [
        ("2025-03-10 (over the cap)", ["4", "2", "6"]),
        ("2025-03-11", ["1", "0", "1"]),
    ]
    assert '<tr><th scope="row">All</th><td class="n">5</td><td class="n">2</td><td class="n">7</td></tr>' in page
    assert "9 mails lie beyond these days" in page


def test_the_bars_are_as_high_as_the_numbers() -> None:
    # 6 mails on the fullest day and a cap of 5: the axis ends at 8, and 294 units are its height: 36.75 a mail.
    chart = draw(VOLUME, FIRST, 5, [FIRST])
    heights = {s.name: [float(h) for h in re.findall(r"v([\d.]+)", s.path)] for s in chart.series}
    assert heights == {"birthday": [147.0, 36.8], "aep": [73.5]}
    tops = [float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)", "".join(s.path for s in chart.series))]
    assert tops == [310 - 147.0, 273.2, 310 - 147.0 - 73.5]
    assert chart.cap_y == 310 - 5 * 36.75
    assert [tick.text for tick in chart.ticks] == ["0", "2", "4", "6", "8"]
    assert [day.is_over_cap for day in chart.days[:2]] == [True, False]


@pytest.mark.parametrize(("cap", "drawn"), [(None, False), (5, True), (12, True), (13, False)])
def test_a_cap_far_above_the_bars_is_named_instead_of_drawn(cap: int | None, drawn: bool) -> None:
    page = render(completion(VOLUME, cap=cap))
    assert ('class="cap"' in page) is drawn
    assert ("outside the picture" in page) is (cap == 13)


def test_types_beyond_the_colours_are_one_series() -> None:
    volume = {FIRST: {f"campaign_{n:02}": 100 - n for n in range(12)}}
    chart = draw(volume, FIRST, None, [])
    assert len(chart.series) == SERIES_MAX
    assert chart.series[-1].name == OTHER
    assert chart.series[-1].rows == 93 + 92 + 91 + 90 + 89
    assert sum(series.rows for series in chart.series) == sum(volume[FIRST].values())


def test_an_org_without_mail_has_a_page_too() -> None:
    page = render(replace(completion({}), skipped_by_reason={}, issues_by_code={}, generation=None))
    svg_of(page)
    for text in ("Nothing is to be sent.", "Nothing is skipped.", "No issues.", "from a local file"):
        assert text in page


def test_numbers_of_the_tables_add_up() -> None:
    page = render(completion(VOLUME))
    totals = re.findall(r"<tr><td>All</td><td class=\"n\">(\d+)</td></tr>", page)
    assert totals == ["16", "7", "2"]
