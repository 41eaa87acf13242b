"""Text judged in columns means what the reference reads in it, one value at a time, however it is written and stored."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.planning.calendar import to_date
from core.planning.columns import NO_DAY, TextColumn
from core.planning.geography import state_of_pair
from core.planning.rules import STATE_CODES
from core.planning.text import equals_any, is_blank, is_email, parse_state, parse_zip, strip
from core.planning.text_dates import _odd_moments, parse_dates, parse_exact_dates, parse_moments
from core.planning.text_hash import _hash_bytes, hash_columns, hash_values
from tests.reference.contacts import judge_email, state_of_column
from tests.reference.dates import lower, read_date, stripped

Values = list[str | None]

white = st.sampled_from(["", "", "", " ", "\t", " \r\n ", "\x0b\x0c"])


def column_texts(usual: st.SearchStrategy[str], alphabet: str) -> st.SearchStrategy[Values]:
    """Lists of what is usual, of what nearly is, of arbitrary text, and NULL."""
    nearly = st.builds(lambda text, at, other: text[:at] + other + text[at + 1 :], usual, st.integers(0, 24), white)
    spoiled = st.builds(
        lambda text, at, other: text[:at] + other + text[at + 1 :], usual, st.integers(0, 24), st.sampled_from(alphabet)
    )
    padded = st.builds(lambda before, text, after: before + text + after, white, usual, white)
    odd = st.one_of(nearly, spoiled, padded, st.text(alphabet=alphabet, max_size=30), st.text(max_size=6))
    return st.lists(st.one_of(usual, usual, odd, st.none()), max_size=40)


def column(values: Values, *, between: bytes = b"") -> TextColumn:
    """A column whose values lie side by side, with other bytes between them as in a page of a file."""
    if not between:
        return TextColumn.of(values)
    raw = [b"" if value is None else value.encode("utf-8", "surrogatepass") for value in values]
    starts, block = [], between
    for value in raw:
        starts.append(len(block))
        block += value + between
    start = np.array(starts, dtype=np.int64)
    end = start + np.array([len(value) for value in raw], dtype=np.int64)
    return TextColumn(
        np.frombuffer(block, dtype=np.uint8), start, end, np.array([v is None for v in values], dtype=bool)
    )


long_text = st.sampled_from(["x" * 63, "y" * 64, "z" * 65, "é" * 90])
between = st.sampled_from([b"", b"2024-01-01 10:00:00", b"a@b.cd", b"\xff" * 30, b"0123456789CA"])
number = st.integers(0, 99).map(lambda n: f"{n:02}")
dates = st.builds(
    lambda year, month, day, rest: f"{year}-{month}-{day}{rest}",
    st.one_of(st.integers(1899, 2101), st.sampled_from([2023, 2024, 1900, 2000])),
    st.one_of(st.integers(0, 13).map(lambda n: f"{n:02}"), number),
    st.one_of(st.integers(0, 32).map(lambda n: f"{n:02}"), st.just("29"), number),
    st.sampled_from(["", "", "", "", " 00:00:00", "T12", "Z", "-"]),
)
moments = st.builds(
    lambda day, gap, hour, minute, second: f"{day}{gap}{hour}:{minute}{second}",
    dates.map(lambda text: text[:10]),
    st.sampled_from([" ", "T", "T", "_"]),
    st.integers(0, 25).map(lambda n: f"{n:02}"),
    st.integers(0, 61).map(lambda n: f"{n:02}"),
    st.sampled_from(["", ":00", ":59", ":60", ":61.5", ":7", ":30Z", ":30.123", ":3:"]),
)
emails = st.builds(
    lambda name, host, top: f"{name}@{host}{top}",
    st.text(alphabet="aZ9._%+-", min_size=1, max_size=40),
    st.text(alphabet="aZ9.-", min_size=1, max_size=30),
    st.sampled_from([".com", ".de", ".c", ".c0m", "", ".", "..org", ".x-y"]),
)


@settings(max_examples=150, deadline=None)
@given(values=column_texts(dates, "0123456789-/ Té"), between=between)
def test_dates_are_read_as_the_rules_say(values: Values, between: bytes) -> None:  # R21
    days, bad = parse_dates(column(values, between=between))
    read = [
        (None if day == NO_DAY else to_date(day), flag) for day, flag in zip(days.tolist(), bad.tolist(), strict=True)
    ]
    assert read == [read_date(value) for value in values]


@settings(max_examples=150, deadline=None)
@given(values=column_texts(dates, "0123456789-/ Té"), between=between)
def test_exact_dates_are_the_dates_that_read_back_as_they_are_written(values: Values, between: bytes) -> None:
    days = parse_exact_dates(column(values, between=between))
    exact = [
        found if found is not None and found.isoformat() == value else None
        for value, (found, _) in zip(values, map(read_date, values), strict=True)
    ]
    assert [None if day == NO_DAY else to_date(day) for day in days.tolist()] == exact


@settings(max_examples=150, deadline=None)
@given(values=column_texts(moments, "0123456789-: TZ"), between=between)
def test_usual_timestamps_are_read_like_odd_ones(values: Values, between: bytes) -> None:  # R82
    fast, slow = parse_moments(column(values, between=between)), _odd_moments(column(values))
    assert [part.tolist() for part in fast] == [part.tolist() for part in slow]


@settings(max_examples=200, deadline=None)
@given(values=column_texts(emails, "a.@-_ %é"), between=between)
def test_addresses_are_judged_as_the_rules_say(values: Values, between: bytes) -> None:  # R20
    text = strip(column(values, between=between))
    blank, valid = is_blank(text), is_email(text)
    judged = [
        "missing_email" if empty else None if good else "invalid_email"
        for empty, good in zip(blank.tolist(), valid.tolist(), strict=True)
    ]
    assert judged == [judge_email(value) for value in values]


@settings(max_examples=150, deadline=None)
@given(
    values=column_texts(
        st.sampled_from(["02134", "2134", "501", "90210-1234", "902101234", "1", "00000"]), "0123456789- "
    ),
    between=between,
)
def test_zip_codes_are_read_as_the_rules_say(values: Values, between: bytes) -> None:  # R23
    def zip_of(value: str | None) -> int:
        text = stripped(value)
        head = text[:5] if len(text) in {5, 9} or (len(text) == 10 and text[5] == "-") else text
        rest = text[5:].removeprefix("-") if len(text) == 10 else text[5:]
        fits = len(text) in {3, 4, 5, 9} or (len(text) == 10 and text[5] == "-")
        return int(head) if fits and (head + rest).isascii() and (head + rest).isdigit() else -1

    assert parse_zip(column(values, between=between)).tolist() == [zip_of(value) for value in values]


@settings(max_examples=100, deadline=None)
@given(values=column_texts(st.sampled_from(["CA", "ny", "Zz", "PR", "California"]), "CANYca é"), between=between)
def test_states_are_read_as_the_rules_say(values: Values, between: bytes) -> None:  # R22
    states = parse_state(column(values, between=between), state_of_pair())
    codes = [None if state < 0 else STATE_CODES[state] for state in states.tolist()]
    assert codes == [state_of_column(value) for value in values]


@settings(max_examples=60, deadline=None)
@given(
    values=column_texts(st.sampled_from(["deleted", " Deleted", "DECEASED", "active", ""]), "deletdD \t"),
    between=between,
)
def test_words_are_found_in_any_case(values: Values, between: bytes) -> None:
    words = ("deleted", "deceased")
    found = equals_any(column(values, between=between), words)
    assert found.tolist() == [value is not None and lower(stripped(value)) in words for value in values]


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.text(max_size=8), long_text), max_size=60),
    between=between,
)
def test_a_hash_is_that_of_the_bytes_alone(values: Values, between: bytes) -> None:  # R96
    plain = column(values)
    expected = _hash_bytes(plain.data, plain.start, plain.end)
    hashed = hash_values(column(values, between=between))
    present = ~plain.null
    assert hashed[present].tolist() == expected[present].tolist()
    assert set(hashed[plain.null].tolist()) <= {0x6E756C6C}


@given(values=st.lists(st.one_of(st.none(), st.text(max_size=8), long_text), max_size=60), between=between)
def test_columns_are_hashed_together_as_one_by_one(values: Values, between: bytes) -> None:
    whole = column(values, between=between)
    backwards = whole.take(np.arange(len(values))[::-1])
    for columns in ([whole, backwards], [whole, column(values)]):
        together = hash_columns(columns)
        assert [hashes.tolist() for hashes in together] == [hash_values(each).tolist() for each in columns]
