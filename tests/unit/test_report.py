"""The report is a pure, well-formed page whose numbers are those of the completion."""

import re
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.runs.reconcile import Order
from events.payloads import RunCompleted, RunCounts
from events.types import OrgId, RunChecksums
from handlers.local_run import World, schedule_file
from handlers.report import render
from handlers.report_calendar import OVER, compare, heat_map
from handlers.report_chart import DAYS, OTHER, SERIES_MAX, draw
from handlers.report_data import Picture, picture_of_file, skipped_by_state
from infra.org_db import SqliteOrgStore
from infra.run_history import PastRun
from infra.synthetic import make_org
from tests.clocks import FixedClock
from tests.journals import ListJournal
from tests.orgs import Org

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


def picture(completed: RunCompleted, **more: object) -> Picture:
    facts: dict[str, object] = {"asked_by_day": {}, "skipped_by_state": {}, "past_runs": ()}
    return Picture(completed, **{**facts, **more})  # type: ignore[arg-type]  # the test names the field


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
        self.wrong += [f"{tag} {name}" for name, value in attrs if "url(" in (value or "") or name == "src"]
        self.wrong += [
            f"{tag} {value}" for name, value in attrs if name == "href" and not (value or "").startswith("#")
        ]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def svg_of(page: str) -> ET.Element:
    return ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])  # noqa: S314 - our own page


def test_the_page_is_well_formed_and_needs_no_network() -> None:
    page = render(picture(completion(VOLUME)))
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert (parser.open, parser.wrong) == ([], [])
    assert "<script" not in page
    assert set(re.findall(r"https?://[^\"\s]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_the_same_completion_gives_the_same_page() -> None:
    assert render(picture(completion(VOLUME))) == render(picture(completion(VOLUME)))


def test_everything_from_outside_is_escaped() -> None:
    evil = "<script>alert('x')</script>\"&"
    spoiled = replace(
        completion({FIRST: {evil: 1}}),
        skipped_by_reason={evil: 1},
        issues_by_code={evil: 1},
        config_hash=evil,
        warnings=(evil,),
    )
    run = PastRun(evil, evil, evil, 1, 2, 3, 4, 5, 6)
    page = render(picture(spoiled, skipped_by_state={evil: {evil: 1}}, past_runs=(run,)))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 9
    svg_of(page)


def test_the_picture_has_a_title_a_description_and_a_table_with_its_numbers() -> None:
    asked = {FIRST: 7, FIRST + timedelta(days=2): 3}
    page = render(picture(completion(VOLUME), asked_by_day=asked))
    svg = svg_of(page)
    assert svg.get("role") == "img"
    labels = (svg.get("aria-labelledby") or "").split()
    assert [svg.find(f"*[@id='{label}']").tag for label in labels] == [f"{SVG}title", f"{SVG}desc"]  # type: ignore[union-attr]
    cells = re.findall(r'<th scope="row">(2025[^<]*)</th>((?:<td class="n">\d+</td>)+)', page)
    assert [(day, re.findall(r"\d+", numbers)) for day, numbers in cells] == [
        ("2025-03-10 (over the cap)", ["4", "2", "6", "7"]),
        ("2025-03-11", ["1", "0", "1", "0"]),
        ("2025-03-12", ["0", "0", "0", "3"]),
    ]
    assert (
        '<tr><th scope="row">All</th><td class="n">5</td><td class="n">2</td><td class="n">7</td><td></td></tr>' in page
    )
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
    page = render(picture(completion(VOLUME, cap=cap)))
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
    page = render(picture(replace(completion({}), skipped_by_reason={}, issues_by_code={}, generation=None)))
    svg_of(page)
    for text in ("Nothing is to be sent.", "Nothing is skipped.", "No issues.", "from a local file"):
        assert text in page


def test_numbers_of_the_tables_add_up() -> None:
    page = render(picture(completion(VOLUME)))
    totals = re.findall(r"<tr><td>All</td><td class=\"n\">(\d+)</td></tr>", page)
    assert totals == ["16", "7", "2"]


def test_each_picture_is_named_and_described_for_those_who_cannot_see_it() -> None:
    page = render(picture(completion(VOLUME), asked_by_day={FIRST: 7}))
    pictures = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(pictures) == 3
    for text in pictures:
        svg = ET.fromstring(text)  # noqa: S314 - our own page
        labels = (svg.get("aria-labelledby") or "").split()
        assert svg.get("role") == "img"
        assert all((svg.find(f"*[@id='{label}']").text or "").strip() for label in labels)  # type: ignore[union-attr]
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_calendar_colours_days_by_their_share_of_the_cap() -> None:
    monday = date(2025, 3, 10)
    volume = {monday + timedelta(days=n): {"aep": mails} for n, mails in enumerate((5, 6, 100, 101, 130, 15))}
    chart = draw(volume, monday, 100, [monday + timedelta(days=4)])
    heat = heat_map(chart.days, 100, {monday: 9})
    assert [cell.level for cell in heat.cells[:7]] == [1, 2, 5, 5, OVER, 2, 0]
    assert [(cell.x, cell.y) for cell in heat.cells[:8]] == [*((46, 22 + 20 * n) for n in range(7)), (66, 22)]
    assert heat.cells[0].text == "Mon 2025-03-10: 5 (aep 5); the rules ask for 9"


def test_a_report_that_begins_on_a_sunday_begins_its_calendar_at_the_bottom() -> None:
    sunday = date(2025, 3, 9)
    heat = heat_map(draw({}, sunday, None, []).days, None, {})
    assert [(cell.x, cell.y, cell.level) for cell in heat.cells[:2]] == [(46, 22 + 20 * 6, 0), (66, 22, 0)]


def test_before_and_after_are_drawn_on_one_scale() -> None:
    # Asked for: 1 mail before the first day (late), 8 on it; planned: 5 and 4. Axis up to 12: 294 units / 12 = 24.5 a mail.
    volume = {FIRST: {"aep": 5}, FIRST + timedelta(days=1): {"aep": 4}}
    comparison = compare(draw(volume, FIRST, None, []).days, {FIRST - timedelta(days=3): 1, FIRST: 8})
    assert comparison.earlier == 1
    assert comparison.moved == 4
    assert (comparison.fullest_asked, comparison.fullest_planned) == (8, 5)
    assert comparison.ticks[-1].text == "12"
    assert comparison.asked.startswith("M56 310H56.0V114.0H59.1V310.0H1170")
    assert comparison.planned.startswith("M56 310H56.0V187.5H59.1V212.0H62.1V310.0H1170")


def test_skips_are_counted_by_the_state_of_the_contact() -> None:
    org = Org(aep_enabled=False)
    org.contact(state="CA", birth_date="1960-03-20")  # R41: CA excludes around the birthday
    org.contact(state="NY", birth_date="1960-03-20")
    org.contact(state="NY", birth_date="1960-04-20")
    org.contact(state="TX", birth_date="1960-03-20")
    reading = org.read("2026-02-01")
    skipped = skipped_by_state(org.plan("2026-02-01"), reading.snapshot.contacts)
    assert skipped == {"NY": {"exclusion:year_round": 2}, "CA": {"exclusion:birthday_window": 1}}


def test_the_table_of_states_adds_up_both_ways() -> None:
    skipped = {"NY": {"exclusion:year_round": 2000}, "CA": {"frequency_limit": 3, "exclusion:year_round": 1}}
    page = render(picture(completion(VOLUME), skipped_by_state=skipped))
    assert "exclusion:<wbr>year_<wbr>round" in page
    numbers = "".join(f'<td class="n">{mails}</td>' for mails in ("2\u202f004", "2\u202f001", "3"))
    assert f'<tfoot><tr><th scope="row">All</th>{numbers}</tr></tfoot>' in page


def test_runs_are_shown_newest_first_with_what_they_changed(tmp_path: Path) -> None:
    file = tmp_path / "acme.db"
    make_org(str(file), contacts=50, seed=1, today=FIRST)
    world = World(SqliteOrgStore(), FixedClock(datetime(2025, 3, 10, 12, tzinfo=UTC)), ListJournal())
    before = picture_of_file(file, OrgId("acme"), FIRST, world)
    assert before.past_runs == ()
    assert "No run has changed this database yet." in render(before)
    first = schedule_file(file, Order(OrgId("acme"), "run-one", as_of=FIRST, force=True), world)
    second = schedule_file(file, Order(OrgId("acme"), "run-two", as_of=FIRST + timedelta(days=9), force=True), world)
    content = file.read_bytes()
    after = picture_of_file(file, OrgId("acme"), FIRST + timedelta(days=9), world)
    assert [(run.run_id, run.rows_inserted) for run in after.past_runs] == [
        ("run-two", second.counts.rows_inserted),
        ("run-one", first.counts.rows_inserted),
    ]
    assert "would change nothing" in render(after)
    assert sum(after.asked_by_day.values()) == after.completed.counts.emails_scheduled
    assert (
        sum(sum(counts.values()) for counts in after.skipped_by_state.values()) == after.completed.counts.emails_skipped
    )
    assert file.read_bytes() == content
