"""Synthetic contacts: plausible people where people live, with the mistakes that real lists have.

Nobody here exists: names come from two short lists, addresses end in the domains that are reserved for examples, and
telephone numbers in the range that is reserved for fiction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.random import Generator

from core.planning.columns import Bool, Int64

POPULATION_THOUSANDS: Final = {
    "AL": 5024, "AK": 733, "AZ": 7152, "AR": 3012, "CA": 39538, "CO": 5774, "CT": 3606, "DE": 990, "DC": 690, "FL":
    21538,
    "GA": 10712, "HI": 1455, "ID": 1839, "IL": 12813, "IN": 6786, "IA": 3190, "KS": 2938, "KY": 4506, "LA": 4658, "ME":
    1362,
    "MD": 6177, "MA": 7030, "MI": 10077, "MN": 5706, "MS": 2961, "MO": 6155, "MT": 1084, "NE": 1962, "NV": 3105, "NH":
    1378,
    "NJ": 9289, "NM": 2118, "NY": 20201, "NC": 10439, "ND": 779, "OH": 11799, "OK": 3959, "OR": 4237, "PA": 13003,
    "RI": 1097,
    "SC": 5118, "SD": 887, "TN": 6911, "TX": 29146, "UT": 3272, "VT": 643, "VA": 8631, "WA": 7705, "WV": 1794, "WI":
    5894,
    "WY": 577,
}  # fmt: skip
"""Residents at the census of 2020."""
CARRIERS: Final = (
    "Aetna",
    "Humana",
    "Cigna",
    "Mutual of Omaha",
    "UnitedHealthcare",
    "Blue Cross",
    "Anthem",
    "Wellcare",
)

_FIRST_NAMES: Final = (
    "Ada", "Amos", "Bea", "Carl", "Cora", "Dale", "Dora", "Earl", "Edna", "Ezra", "Faye", "Gus", "Hal", "Ida", "Ivan",
    "Jean",
    "Joan", "Karl", "Lena", "Lyle", "Mae", "Milo", "Nell", "Noel", "Opal", "Otis", "Pearl", "Ray", "Rosa", "Roy",
    "Ruth", "Saul",
    "Tess", "Theo", "Una", "Vera", "Walt", "Wilma", "Xena", "Yves", "Zelda",
)  # fmt: skip
_LAST_NAMES: Final = (
    "Abbott", "Baker", "Carver", "Dyer", "Eastman", "Fisher", "Gardner", "Hunter", "Ives", "Joiner", "Keeler",
    "Lister", "Mason",
    "Norris", "Osborn", "Potter", "Quick", "Rider", "Sawyer", "Turner", "Usher", "Vance", "Weaver", "Yeoman", "Zimmer",
    "O'Neil",
)  # fmt: skip
_DOMAINS: Final = ("example.com", "example.org", "example.net")

_LEAP_DAYS: Final = np.array([f"{year}-02-29" for year in range(1924, 1964, 4)], dtype="datetime64[D]")

Texts = list[str | None]
Spoiler = Callable[[str], str | None]

_SPOILED_EMAIL: Final[tuple[Spoiler, ...]] = (
    lambda _: None,
    lambda _: "",
    lambda _: "   ",
    lambda email: email.replace("@", "", 1),
    lambda email: email.replace("@", "@@", 1),
    lambda email: email.rsplit(".", 1)[0],
    lambda email: email.replace("@", " @", 1),
    lambda email: f" {email}\t",  # still valid once stripped
    lambda email: email.upper(),  # still valid
)
_SPOILED_ZIP: Final[tuple[Spoiler, ...]] = (
    lambda _: None,
    lambda _: "",
    lambda zip_code: zip_code.lstrip("0"),  # the spreadsheet's loss
    lambda zip_code: zip_code.lstrip("0"),
    lambda zip_code: f"{zip_code}-1234",
    lambda zip_code: f"{zip_code}1234",
    lambda zip_code: f" {zip_code} ",
    lambda _: "00000",
    lambda _: "K1A 0B1",
    lambda zip_code: zip_code[:2],
)
_SPOILED_STATE: Final[tuple[Spoiler, ...]] = (
    lambda _: None,
    lambda _: "",
    lambda state: f" {state.lower()} ",
    lambda _: "NY",  # mostly a mismatch with the ZIP
    lambda _: "California",
    lambda _: "ZZ",
)
_SPOILED_DATE: Final[tuple[Spoiler, ...]] = (
    lambda _: None,
    lambda _: None,
    lambda _: "",
    lambda date: f"{date} 00:00:00",
    lambda date: f"{date}T12:00:00Z",
    lambda date: f"{date[5:7]}/{date[8:]}/{date[:4]}",
    lambda date: date.replace("-", ""),
    lambda date: f"{date[:4]}-02-30",
    lambda date: f"{date[:4]}-02-29",
    lambda _: "1899-12-31",
    lambda _: "unknown",
)
_SPOILED_STATUS: Final[tuple[Spoiler, ...]] = (
    lambda _: "active",
    lambda _: "active",
    lambda _: "unsubscribed",
    lambda _: " Unsubscribed ",
    lambda _: "do_not_contact",
    lambda _: "DECEASED",
    lambda _: "deleted",
)
_SPOILED_CARRIER: Final[tuple[Spoiler, ...]] = (lambda _: None, lambda _: "", lambda carrier: f" {carrier.lower()} ")


@dataclass(frozen=True, slots=True)
class People:
    """Some contacts: the columns of ``contacts`` as they are stored, and the days that were meant."""

    contact_id: Int64
    columns: tuple[Sequence[str | int | None], ...]
    """In the order of ``contacts``: id, email, first_name, last_name, phone_number, zip_code, state ..."""
    birth_day: Int64
    effective_day: Int64


def make_people(rng: Generator, contact_id: Int64, today: np.datetime64) -> People:
    """Make the contacts of some ids."""
    count = len(contact_id)
    first, last = _pick(rng, _FIRST_NAMES, count), _pick(rng, _LAST_NAMES, count)
    domain, carrier = _pick(rng, _DOMAINS, count), list[str | None](_pick(rng, CARRIERS, count))
    ids = contact_id.tolist()
    email: Texts = [
        f"{a}.{b}{number}@{c}".lower().replace("'", "")
        for a, b, c, number in zip(first, last, domain, ids, strict=True)
    ]
    zip_code, state = _places(rng, count)
    birth_day, effective_day = _birth_days(rng, count, today), _effective_days(rng, count, today)
    columns: tuple[Sequence[str | int | None], ...] = (
        ids,
        spoil(rng, email, 0.05, _SPOILED_EMAIL),
        first,
        last,
        [f"+1-555-01{number % 100:02}" for number in ids],
        spoil(rng, zip_code, 0.12, _SPOILED_ZIP),
        spoil(rng, state, 0.08, _SPOILED_STATE),
        spoil(rng, dates(birth_day), 0.06, _SPOILED_DATE),
        spoil(rng, dates(effective_day), 0.06, _SPOILED_DATE),
        spoil(rng, carrier, 0.06, _SPOILED_CARRIER),
        chance(rng, count, 0.04).astype(np.int64).tolist(),
        spoil(rng, [""] * count, 0.12, _SPOILED_STATUS),
    )
    return People(contact_id, columns, birth_day, effective_day)


def dates(days: Int64) -> Texts:
    """Return the dates of day numbers."""
    texts: Texts = np.datetime_as_string(days.astype("datetime64[D]")).tolist()
    return texts


def chance(rng: Generator, count: int, share: float) -> Bool:
    """Choose a share of so many."""
    return rng.random(count) < share


def spoil(rng: Generator, values: Sequence[str | None], share: float, spoilers: Sequence[Spoiler]) -> Texts:
    """Return the values with a share of them replaced, each by a spoiler of its own."""
    spoiled = list(values)
    rows = np.flatnonzero(chance(rng, len(spoiled), share))
    for row, spoiler in zip(rows.tolist(), rng.integers(0, len(spoilers), len(rows)).tolist(), strict=True):
        value = spoiled[row]
        if value is not None:
            spoiled[row] = spoilers[spoiler](value)
    return spoiled


def _pick(rng: Generator, values: Sequence[str], count: int) -> list[str]:
    return [values[index] for index in rng.integers(0, len(values), count).tolist()]


def _places(rng: Generator, count: int) -> tuple[Texts, Texts]:
    """Pick a state by population, and one of its ZIPs."""
    names = tuple(POPULATION_THOUSANDS)
    weights = np.array(tuple(POPULATION_THOUSANDS.values()), dtype=np.float64)
    state = rng.choice(len(names), size=count, p=weights / weights.sum())
    zips = zips_of_states()
    part = rng.random(count)
    zip_code: Texts = [
        zips[names[index]][int(share * len(zips[names[index]]))]
        for index, share in zip(state.tolist(), part.tolist(), strict=True)
    ]
    return zip_code, [names[index] for index in state.tolist()]


@cache
def zips_of_states() -> dict[str, tuple[str, ...]]:
    """Return the ZIPs of every state of POPULATION_THOUSANDS, from the planner's own table."""
    zips: dict[str, list[str]] = {state: [] for state in POPULATION_THOUSANDS}
    text = resources.files("core.planning").joinpath("data", "zip_state.csv").read_text(encoding="ascii")
    for line in text.split():
        zip_code, _, state = line.partition(",")
        if state in zips:
            zips[state].append(zip_code)
    return {state: tuple(found) for state, found in zips.items()}


def _birth_days(rng: Generator, count: int, today: np.datetime64) -> Int64:
    """Mostly people of 64 to 92 years, some younger, one in 250 born on a leap day, some not yet born."""
    day = today.astype(np.int64)
    old, younger = rng.integers(23_376, 33_604, count), rng.integers(6_575, 23_376, count)
    days: Int64 = day - np.where(chance(rng, count, 0.9), old, younger)
    days = np.where(chance(rng, count, 0.004), rng.choice(_LEAP_DAYS.astype(np.int64), count), days)
    return np.where(chance(rng, count, 0.001), day + rng.integers(1, 400, count), days)


def _effective_days(rng: Generator, count: int, today: np.datetime64) -> Int64:
    """The last twelve years, some in the months to come; 60 % on the first of a month."""
    day = today.astype(np.int64)
    past, future = -rng.integers(0, 4_383, count), rng.integers(1, 183, count)
    days: Int64 = day + np.where(chance(rng, count, 0.95), past, future)
    month_start = days.astype("datetime64[D]").astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return np.where(chance(rng, count, 0.6), month_start, days)
