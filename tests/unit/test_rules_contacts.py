"""Contacts (R20-R25): who can be written to, in which state, with which dates, and what is wrong with them."""

from datetime import date

import pytest

from core.planning.calendar import to_date
from core.planning.columns import NO_DAY
from core.planning.contacts import Contacts
from core.planning.diff import diff_issues
from core.planning.rules import STATE_CODES
from tests.orgs import Org

TODAY = "2025-03-10"


def judged(org: Org) -> Contacts:
    return org.read(TODAY).snapshot.contacts


def issues_of(org: Org) -> set[tuple[int, str]]:
    found = org.plan(TODAY).issues
    return {(int(c), found.issues[i]) for c, i in zip(found.contact_id, found.issue, strict=True)}


def state_of(**values: object) -> str | None:
    org = Org()
    org.contact(**{"state": None, **values})
    number = int(judged(org).state[0])
    return None if number < 0 else STATE_CODES[number]


def dates_of(**values: object) -> tuple[date | None, date | None]:
    org = Org()
    org.contact(**values)
    contacts = judged(org)
    birth, effective = (int(column[0]) for column in (contacts.birth_day, contacts.effective_day))
    return (None if birth == NO_DAY else to_date(birth)), (None if effective == NO_DAY else to_date(effective))


# ------------------------------------------------------------------------------------------------ R20


@pytest.mark.parametrize(
    "email",
    [
        "a@b.co",
        " \t\r\n\v\fa@b.co\f\v\n\r\t ",
        "A.B+c%d_e-f@x-y.Z.museum",
        ".@b.co",
        "a@-.co",
        "a@b..co",  # [A-Za-z0-9.-]+ takes "b.", then a dot and two letters
        "9@9.zz",
    ],
)
def test_r20_a_valid_address_can_be_written_to(email: str) -> None:
    org = Org()
    org.contact(email=email)
    assert judged(org).schedulable.tolist() == [True]


@pytest.mark.parametrize(
    "email",
    [
        "a@b", "a@b.c", "@b.co", "a@", "a@.co", "a b@c.com", "a@b@c.com", "a@b.c0m", "a@b.com.", "a@b_c.com", "a@b c.com",
        "a\n@b.com", "a@b.com\x00", "a@b.com\N{NO-BREAK SPACE}", "\N{LATIN SMALL LETTER U WITH DIAERESIS}@b.com",
        "a@b\N{LATIN SMALL LETTER U WITH DIAERESIS}.com", "a@b.c\N{LATIN SMALL LETTER O WITH DIAERESIS}m",
        "a@b.com, c@d.com",
        "<a@b.com>", "mailto:a@b.com", "b.com",
    ],
)  # fmt: skip
def test_r20_another_text_is_an_invalid_address(email: str) -> None:
    org = Org()
    org.contact(email=email)
    assert issues_of(org) == {(1, "invalid_email")}


@pytest.mark.parametrize("email", [None, "", " ", " \t\r\n\v\f"])
def test_r20_no_text_is_a_missing_address(email: str | None) -> None:
    org = Org()
    org.contact(email=email)
    assert issues_of(org) == {(1, "missing_email")}


@pytest.mark.parametrize("email", [None, "a@b"])
def test_r24_without_a_valid_address_there_are_no_rows(email: str | None) -> None:
    org = Org()
    org.contact(email=email, birth_date="1960-06-15", effective_date="2010-06-15")
    org.locked(1, "birthday", "2025-03-08")
    assert org.mails(TODAY) == []


# ------------------------------------------------------------------------------------------------ R21

DATES = [
    (None, None),
    ("", None),
    (" \t\n ", None),
    ("1960-06-15", date(1960, 6, 15)),
    (" 1960-06-15\t", date(1960, 6, 15)),
    ("1960-06-15T23:59:59Z", date(1960, 6, 15)),
    ("1960-06-15 whatever", date(1960, 6, 15)),
    ("1960-02-29", date(1960, 2, 29)),
    ("1959-02-29", date(1959, 2, 28)),
    ("1900-02-29", date(1900, 2, 28)),  # 1900 was no leap year
    ("2000-02-29", date(2000, 2, 29)),
    ("1900-01-01", date(1900, 1, 1)),
    ("1960-12-31", date(1960, 12, 31)),
]
BAD_DATES = [
    "1960-06-15x", "1960-06-15-", "1960-6-15", "1960-06-5", "15-06-1960", "06/15/1960", "1960/06/15", "19600615", "1960-06",
    "1899-12-31", "2101-01-01", "0000-00-00", "1960-00-10", "1960-13-01", "1960-06-00", "1960-06-31", "1960-02-30",
    "1959-02-30", "unknown", "1960-06-15\N{NO-BREAK SPACE}", "\N{ARABIC-INDIC DIGIT ONE}960-06-15", "-960-06-15",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), DATES)
def test_r21_a_birth_date_is_read(text: str | None, expected: date | None) -> None:
    assert dates_of(birth_date=text)[0] == expected


@pytest.mark.parametrize(("text", "expected"), DATES)
def test_r21_an_effective_date_is_read(text: str | None, expected: date | None) -> None:
    assert dates_of(effective_date=text)[1] == expected


@pytest.mark.parametrize("text", BAD_DATES)
def test_r21_a_bad_birth_date_is_absent_and_an_issue(text: str) -> None:
    org = Org()
    org.contact(birth_date=text)
    assert (judged(org).birth_day[0], issues_of(org)) == (NO_DAY, {(1, "bad_birth_date")})


@pytest.mark.parametrize("text", BAD_DATES)
def test_r21_a_bad_effective_date_is_absent_and_an_issue(text: str) -> None:
    org = Org()
    org.contact(effective_date=text)
    assert (judged(org).effective_day[0], issues_of(org)) == (NO_DAY, {(1, "bad_effective_date")})


@pytest.mark.parametrize("text", [text for text, _ in DATES])
def test_r21_a_date_that_can_be_read_or_is_absent_is_no_issue(text: str | None) -> None:
    org = Org()
    org.contact(birth_date=text, effective_date=text)
    assert issues_of(org) == set()


@pytest.mark.parametrize(
    ("birth_date", "issues"), [("2025-03-10", set()), ("2025-03-11", {(1, "bad_birth_date")})]
)  # fmt: skip
def test_r21_nobody_is_born_after_today(birth_date: str, issues: set[tuple[int, str]]) -> None:
    org = Org()
    org.contact(birth_date=birth_date)
    assert issues_of(org) == issues


@pytest.mark.parametrize("text", ["2025-03-11", "2100-12-31"])
def test_r21_a_future_effective_date_is_fine(text: str) -> None:
    org = Org()
    org.contact(effective_date=text)
    assert (dates_of(effective_date=text)[1], issues_of(org)) == (date.fromisoformat(text), set())


# ------------------------------------------------------------------------------------------------ R22, R23

FIFTY_STATES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO "
    "MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
).split()
OTHERS = "DC PR VI GU AS MP FM MH PW AA AE AP".split()


def test_r22_there_are_fifty_states_and_twelve_others() -> None:
    assert (len(FIFTY_STATES), sorted(STATE_CODES)) == (50, sorted(FIFTY_STATES + OTHERS))


@pytest.mark.parametrize("code", FIFTY_STATES + OTHERS)
def test_r22_a_state_code_is_stripped_and_upper_cased(code: str) -> None:
    assert state_of(state=f"\t{code.lower()} ") == code


@pytest.mark.parametrize(
    "text", [None, "", " ", "XX", "California", "C", "CAA", "C A", "UK", "N Y", "N.Y.", "c\N{KELVIN SIGN}"]
)
def test_r22_anything_else_is_an_unknown_state(text: str | None) -> None:
    assert state_of(state=text) is None


@pytest.mark.parametrize(
    ("zip_code", "state"),
    [
        ("90210", "CA"), (" 90210\t", "CA"), ("90210-1234", "CA"), ("902101234", "CA"),
        ("6103", "CT"),  # 06103: zeros are lost in spreadsheets
        ("2108", "MA"), ("601", "PR"),  # 00601
        # Split prefixes (section 13): Fishers Island, New York, has a ZIP of the Connecticut prefix 063.
        ("06390", "NY"), ("06320", "CT"), ("72643", "MO"), ("73960", "TX"), ("83414", "WY"), ("20001", "DC"),
        ("09012", "AE"),
    ],
)  # fmt: skip
def test_r23_the_zip_gives_the_state(zip_code: str, state: str) -> None:
    assert state_of(zip_code=zip_code) == state


@pytest.mark.parametrize(
    "zip_code",
    [
        None, "", "  ", "61", "9021O", "90210-12", "90210-", "90210 1234", "902101", "9021012345", "90210-12345",
        "90210-123a", "-6103", "A1A 1A1",
        "6103-1234", "61031234",  # padding is for 3 and 4 digits alone: eight digits are no ZIP
        "00000", "99999",  # well-formed, but nobody's
    ],
)  # fmt: skip
def test_r23_without_a_usable_zip_the_state_column_decides(zip_code: str | None) -> None:
    assert state_of(zip_code=zip_code, state="KS") == "KS"


def test_r23_the_zip_beats_the_state_column() -> None:
    assert state_of(zip_code="10001", state="FL") == "NY"


@pytest.mark.parametrize(
    ("zip_code", "state", "issues"),
    [
        ("10001", "FL", {(1, "state_mismatch")}),
        ("10001", "ny", set()),
        ("10001", "Florida", set()),  # not a state that could differ
        ("99999", "FL", set()),
    ],
)
def test_r23_two_known_states_that_differ_are_an_issue(zip_code: str, state: str, issues: set[tuple[int, str]]) -> None:
    org = Org()
    org.contact(zip_code=zip_code, state=state)
    assert issues_of(org) == issues


# ------------------------------------------------------------------------------------------------ R24, R25


@pytest.mark.parametrize("status", ["unsubscribed", " Unsubscribed\n", "DO_NOT_CONTACT", "deceased", "Deleted"])
def test_r24_a_suppressed_status_is_an_issue_and_gives_no_rows(status: str) -> None:
    org = Org()
    org.contact(status=status, birth_date="1960-06-15")
    assert (org.mails(TODAY), issues_of(org)) == ([], {(1, "suppressed_status")})


@pytest.mark.parametrize("status", ["", " ", "active", "un subscribed", "unsubscribed!", "undeleted"])
def test_r24_any_other_status_can_be_written_to(status: str) -> None:
    org = Org()
    org.contact(status=status)
    assert (judged(org).schedulable.tolist(), issues_of(org)) == ([True], set())


def test_r10_an_orgs_own_list_replaces_the_suppressed_statuses() -> None:
    org = Org(suppressed_contact_statuses=[" On HOLD"])
    org.contact(status="on hold ")
    org.contact(status="deceased")
    assert judged(org).schedulable.tolist() == [False, True]


def test_r24_n_counts_schedulable_contacts_whatever_their_state() -> None:
    org = Org()
    org.contact()
    org.contact(state=None)
    org.contact(email="nobody")
    org.contact(status="deceased")
    assert org.plan(TODAY).contact_count == 2


def test_r24_a_contact_can_have_several_issues() -> None:
    org = Org()
    org.contact(email=None, status="deleted", state="??", birth_date="soon", effective_date="late")
    assert issues_of(org) == {
        (1, "missing_email"), (1, "suppressed_status"), (1, "state_unknown"), (1, "bad_birth_date"),
        (1, "bad_effective_date"),
    }  # fmt: skip


def test_r24_issues_are_diffed() -> None:
    org = Org()
    org.contact(email=None, state="??")
    org.insert("scheduler_issues", contact_id=1, issue="missing_email", scheduler_run_id="earlier")
    org.insert("scheduler_issues", contact_id=1, issue="invalid_email", scheduler_run_id="earlier")
    changes = diff_issues(org.plan(TODAY).issues, org.read(TODAY).issues)
    inserted = [
        (int(c), changes.issues[i]) for c, i in zip(changes.insert_contact_id, changes.insert_issue, strict=True)
    ]
    deleted = [
        (int(c), changes.issues[i]) for c, i in zip(changes.delete_contact_id, changes.delete_issue, strict=True)
    ]
    assert (inserted, deleted) == ([(1, "state_unknown")], [(1, "invalid_email")])


@pytest.mark.parametrize("flag", [True, False])
def test_r25_an_unknown_state_gets_no_anniversary_and_no_catch_up(flag: bool) -> None:
    org = Org(send_without_zipcode_for_universal=flag)
    org.contact(state=None, zip_code="99999", birth_date="1960-06-15", effective_date="2010-06-15")
    assert (org.mails(TODAY), issues_of(org)) == ([], {(1, "state_unknown")})
