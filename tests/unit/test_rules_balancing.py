"""Load balancing (R60-R67): the hash, smoothing of clusters, late slots, the daily cap."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest

from core.planning.balancing import daily_cap
from core.planning.hashing import mix64, spread_hash
from core.planning.rules import SIZE_PROFILES
from tests.orgs import Mail, Org, effective

U64 = 2**64
SMOOTHING, CATCH_UP = 1, 2
BIRTHDAY, EFFECTIVE_DATE = 1, 2
EPOCH = date(1970, 1, 1)


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % U64
    return z ^ (z >> 31)


def plain_hash(contact_id: int, purpose: int, type_code: int, k: int) -> int:
    """R60 once more, in Python's integers."""
    key = (purpose << 56) | (type_code << 48) | (k % 2**48)
    return mix((contact_id * 0x9E3779B97F4A7C15 + key * 0xD1B54A32D192ED03) % U64)


def day(text: str) -> date:
    return date.fromisoformat(text)


def quiet(**config: object) -> Org:
    base = {
        "aep_enabled": False,
        "enable_post_window_emails": False,
        "enable_followups": False,
        "max_emails_per_period": 100,
    }
    return Org(**{**base, **config})


# ------------------------------------------------------------------------------------------------ R60

GOLDEN = [
    (1, 1, 2, 2025, 0xE4A9CB2F972B7049),
    (2, 1, 2, 2025, 0x02E9739B48C5CDCC),
    (123456, 2, 1, 2024, 0x5F8A1EBDA0D53C43),
    (3000000, 2, 2, 2026, 0x93DCD0D83AA26E98),
]


def test_r60_the_mixers_golden_value() -> None:
    assert int(mix64(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))[0]) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize(("contact_id", "purpose", "type_code", "k", "expected"), GOLDEN)
def test_r60_the_hashs_golden_values(contact_id: int, purpose: int, type_code: int, k: int, expected: int) -> None:
    found = spread_hash(np.array([contact_id]), purpose, type_code, np.array([k], dtype=np.int32))
    assert int(found[0]) == expected


@pytest.mark.parametrize(("contact_id", "purpose", "type_code", "k", "expected"), GOLDEN)
def test_r60_the_plain_hash_of_these_tests_has_the_golden_values(
    contact_id: int, purpose: int, type_code: int, k: int, expected: int
) -> None:
    assert plain_hash(contact_id, purpose, type_code, k) == expected


@pytest.mark.parametrize("contact_id", [0, -1, 2**62, -(2**63), 2**63 - 1])
def test_r60_any_id_of_64_bits_hashes_modulo_2_to_the_64(contact_id: int) -> None:
    found = spread_hash(np.array([contact_id]), 2, 1, np.array([2025], dtype=np.int32))
    assert int(found[0]) == plain_hash(contact_id, 2, 1, 2025)


# ------------------------------------------------------------------------------------------------ R61, R62

# cap = max(10, 0.2 N) = 10 for fewer than 55 contacts; the limit of a cluster is 3 * 10 / 10 = 3.
IDEAL = day("2025-05-16")  # 30 days before 15 June


def cluster(count: int, *, state: str = "TX", **config: object) -> Org:
    """Contacts whose effective-date mails fall on one day."""
    org = quiet(overage_threshold=10.0, **config)
    for _ in range(count):
        org.contact(state=state, effective_date="2010-06-15")
    return org


def sends(org: Org, today: str = "2025-01-10", email_type: str = "effective_date") -> dict[int, date]:
    return {m.contact_id: m.send for m in org.mails(today, email_type=email_type) if m.reason is None}


def smoothed(contact_id: int, window: int, year: int = 2025) -> date:
    return IDEAL + timedelta(days=plain_hash(contact_id, SMOOTHING, EFFECTIVE_DATE, year) % window - window // 2)


def test_r61_a_cluster_at_the_limit_stays() -> None:
    assert set(sends(cluster(3)).values()) == {IDEAL}


def test_r62_in_a_larger_cluster_everybody_is_offset() -> None:
    assert sends(cluster(4)) == {c: smoothed(c, 3) for c in (1, 2, 3, 4)}


def test_r62_the_offsets_of_an_odd_window_are_centred() -> None:
    found = Counter((d - IDEAL).days for d in sends(cluster(40, ed_smoothing_window_days=5)).values())
    assert set(found) == {-2, -1, 0, 1, 2}


def test_r62_the_offsets_of_an_even_window_begin_earlier() -> None:
    found = Counter((d - IDEAL).days for d in sends(cluster(120, ed_smoothing_window_days=10)).values())
    assert set(found) == {-5, -4, -3, -2, -1, 0, 1, 2, 3, 4}


def test_r62_the_offsets_are_those_of_the_hash() -> None:
    assert sends(cluster(30, ed_smoothing_window_days=31)) == {c: smoothed(c, 31) for c in range(1, 31)}


def test_r62_the_year_of_the_event_enters_the_hash() -> None:
    """From 16 June on the event is that of 2026, and so is the ideal date."""
    found = sends(cluster(12, ed_smoothing_window_days=7), "2025-06-16")
    assert found == {c: smoothed(c, 7, 2026).replace(year=2026) for c in range(1, 13)}


@pytest.mark.parametrize(
    ("soft_limit", "cap", "contacts", "moves"),
    [
        (2, 100, 2, False), (2, 100, 3, True),  # the soft limit
        (50, 10, 3, False), (50, 10, 4, True),  # three tenths of the cap
        (50, 19, 5, False), (50, 19, 6, True),  # 5.7, rounded down
        (50, 1, 1, False), (50, 1, 2, True),  # at least one
    ],
)  # fmt: skip
def test_r61_the_limit_of_a_cluster(soft_limit: int, cap: int, contacts: int, *, moves: bool) -> None:
    # 31 offsets: with two contacts or more, at least one of these moves.
    org = cluster(contacts, ed_daily_soft_limit=soft_limit, min_daily_cap=cap, ed_smoothing_window_days=31)
    assert (set(sends(org).values()) != {IDEAL}) is moves


@pytest.mark.parametrize(
    ("status", "email_type", "event", "moves"),
    [
        ("sent", "effective_date", "2025-06-15", True),
        ("scheduled", "effective_date", "2025-06-15", True),
        ("bounced", "effective_date", "2025-06-15", False),
        ("cancelled", "effective_date", "2025-06-15", False),
        ("sent", "birthday", "2025-06-15", False),
        ("sent", "effective_date", "2025-06-16", False),
    ],
)
def test_r61_what_already_went_out_of_the_same_day_counts(
    status: str, email_type: str, event: str, *, moves: bool
) -> None:
    org = cluster(3)
    org.locked(999, email_type, event, status=status, scheduled_send_date="2025-05-01")  # nobody's contact any more
    assert (set(sends(org).values()) != {IDEAL}) is moves
    if moves:
        assert sends(org) == {c: smoothed(c, 3) for c in (1, 2, 3)}


def test_r61_excluded_candidates_do_not_count() -> None:
    org = cluster(3)
    org.contact(state="NY", effective_date="2010-06-15")
    assert set(sends(org).values()) == {IDEAL}


def test_r61_other_types_do_not_count() -> None:
    org = cluster(3)
    org.contact(birth_date="1960-05-30")  # due on 16 May, too
    assert set(sends(org).values()) == {IDEAL}


def test_r61_late_candidates_count() -> None:
    """On 17 May everybody is a day late; whoever has the offset +1 is on time today, the others get a slot of R63."""
    found = sends(cluster(8), "2025-05-17")
    on_time = {c for c in range(1, 9) if smoothed(c, 3) == day("2025-05-17")}
    assert on_time
    assert {c: found[c] for c in on_time} == dict.fromkeys(on_time, day("2025-05-17"))


def test_r62_an_offset_into_a_window_is_not_taken() -> None:
    # The window opens on the day after the ideal date: 29 days before the effective date.
    rules = {"TX": {"type": "effective_date_window", "before": 29, "after": 0}}
    org = cluster(12, state_rules=rules, pre_exclusion_buffer_days=0)
    assert sends(org) == {c: min(smoothed(c, 3), IDEAL) for c in range(1, 13)}
    assert any(smoothed(c, 3) > IDEAL for c in range(1, 13))


def test_r62_an_offset_after_the_deadline_is_not_taken() -> None:
    # One day before: the ideal date is the deadline.
    org = cluster(12, effective_date_days_before=1)
    offsets = {c: (smoothed(c, 3) - IDEAL).days for c in range(1, 13)}
    assert sends(org) == {c: day("2025-06-14") + timedelta(days=min(o, 0)) for c, o in offsets.items()}
    assert 1 in offsets.values()


def test_r62_an_offset_onto_the_deadline_is_taken() -> None:
    org = cluster(12, effective_date_days_before=2)  # ideal 13 June, deadline 14 June
    offsets = {c: (smoothed(c, 3) - IDEAL).days for c in range(1, 13)}
    assert sends(org) == {c: day("2025-06-13") + timedelta(days=o) for c, o in offsets.items()}
    assert 1 in offsets.values()


def test_r62_a_cluster_on_the_first_of_the_month_is_spread() -> None:
    """Forty policies that began on the first of June: due on 2 May, spread over five days, the limit being 12."""
    org = quiet(min_daily_cap=40, ed_smoothing_window_days=5)
    for _ in range(40):
        org.contact(effective_date="2015-06-01")
    found = Counter(sends(org).values())
    expected = Counter(
        day("2025-05-02") + timedelta(days=plain_hash(c, SMOOTHING, EFFECTIVE_DATE, 2025) % 5 - 2) for c in range(1, 41)
    )
    assert found == expected
    assert len(found) == 5


# ------------------------------------------------------------------------------------------------ R63


def slot(contact_id: int, type_code: int, year: int, today: date, spread: int = 7) -> date:
    """The first day from today on whose number has the contact's remainder."""
    wanted = plain_hash(contact_id, CATCH_UP, type_code, year) % spread
    return next(d for n in range(spread) if ((d := today + timedelta(days=n)) - EPOCH).days % spread == wanted)


@pytest.mark.parametrize("birth_date", ["1960-06-15", "1960-02-29", "1960-01-05"])
def test_r63_a_late_birthday_mail_keeps_its_date_from_day_to_day_until_it_comes(birth_date: str) -> None:
    org = quiet()
    for _ in range(20):
        org.contact(birth_date=birth_date)
    (event,) = {m.event for m in org.mails("2025-01-02")}
    for contact_id in range(1, 21):
        first = event - timedelta(days=13)  # the first late day
        planned = slot(contact_id, BIRTHDAY, event.year, first)
        for offset in range((planned - first).days + 1):
            today = first + timedelta(days=offset)
            assert org.mails(str(today), contact_id=contact_id) == [Mail(contact_id, "birthday", event, planned, None)]


def test_r63_late_mails_are_spread_over_the_days_of_the_orgs_choice() -> None:
    org = quiet(catch_up_spread_days=3, min_daily_cap=100)
    for _ in range(30):
        org.contact(effective_date="2010-06-15")
    today = day("2025-05-20")
    found = sends(org, "2025-05-20")
    assert found == {c: slot(c, EFFECTIVE_DATE, 2025, today, 3) for c in range(1, 31)}
    assert set(found.values()) == {today, today + timedelta(days=1), today + timedelta(days=2)}


@pytest.mark.parametrize(
    ("today", "latest"),
    [("2025-06-12", "2025-06-14"), ("2025-06-14", "2025-06-14"), ("2025-06-15", "2025-06-15")],
)
def test_r63_a_slot_after_the_deadline_is_the_deadline(today: str, latest: str) -> None:
    org = quiet(min_daily_cap=100)
    for _ in range(20):
        org.contact(birth_date="1960-06-15")
    expected = {c: min(slot(c, BIRTHDAY, 2025, day(today)), day(latest)) for c in range(1, 21)}
    assert sends(org, today, "birthday") == expected
    assert day(latest) in expected.values()


def test_r63_a_spread_of_one_day_is_today() -> None:
    org = quiet(catch_up_spread_days=1)
    org.contact(birth_date="1960-06-15")
    assert sends(org, "2025-06-05", "birthday") == {1: day("2025-06-05")}


@pytest.mark.parametrize(("today", "send"), [("2025-04-01", "2025-04-01"), ("2025-04-07", "2025-04-07")])
def test_r63_other_late_mail_goes_out_today(today: str, send: str) -> None:
    org = quiet(aep_enabled=True, aep_month=4, aep_day=1)
    org.contact()
    org.campaign("news", target_all_contacts=1)
    org.instance("news", active_start_date="2025-03-31")
    assert {m.send for m in org.mails(today)} == {day(send)}


def test_r63_a_late_mail_is_checked_again_on_its_new_date() -> None:
    # The window of a birthday on 15 June opens on 17 March; the effective-date mail was due on 11 March.
    org = quiet()
    org.contact(state="CA", birth_date="1960-06-15", effective_date="2010-04-10")
    event = day("2025-04-10")
    planned = [org.mails(today, event=event) for today in ("2025-03-11", "2025-03-17")]
    assert planned == [
        [Mail(1, "effective_date", event, day("2025-03-11"), None)],
        [Mail(1, "effective_date", event, day("2025-03-11"), "exclusion:birthday_window:CA")],
    ]


def test_r63_a_late_mail_that_bypasses_windows_is_not() -> None:
    org = quiet()
    org.contact(state="CA", birth_date="1960-06-15")
    org.campaign("notice", target_all_contacts=1, respect_exclusion_windows=0)
    number = org.instance("notice", active_start_date="2025-03-16")
    event = day("2025-03-16")
    assert org.mails("2025-03-20", email_type="campaign_notice") == [
        Mail(1, "campaign_notice", event, day("2025-03-20"), None, number),
    ]


# ------------------------------------------------------------------------------------------------ R64


@pytest.mark.parametrize(
    ("config", "contacts", "cap", "threshold"),
    [
        ({}, 0, 10, 12), ({}, 4, 10, 12),  # min_daily_cap
        ({}, 54, 10, 12), ({}, 55, 11, 13),  # 0.2 * 55 = 11; 1.2 * 11 = 13.2
        ({"min_daily_cap": 1}, 4, 1, 1),  # 0.8 rounds down to 0, but at least one
        ({"min_daily_cap": 1}, 5, 1, 1), ({"min_daily_cap": 1}, 9, 1, 1), ({"min_daily_cap": 1}, 10, 2, 2),
        # 0.29 * 100 is 28.999999999999996 as a binary fraction; the rule book counts in millionths.
        ({"daily_send_percentage_cap": 0.29}, 100, 29, 34),
        ({"daily_send_percentage_cap": 0.07}, 100, 10, 12), ({"daily_send_percentage_cap": 0.07}, 300, 21, 25),
        # 100 * 1.15 is 114.99999999999999.
        ({"min_daily_cap": 100, "overage_threshold": 1.15}, 5, 100, 115),
        ({"overage_threshold": 1.0}, 5, 10, 10), ({"overage_threshold": 1.5}, 5, 10, 15),
        ({"daily_send_percentage_cap": 1.0}, 77, 77, 92), ({"daily_send_percentage_cap": 1}, 77, 77, 92),
        ({"daily_send_percentage_cap": 0.000001}, 2_999_999, 10, 12),
        # Half a millionth does not count: round(0.4) = 0.
        ({"daily_send_percentage_cap": 0.0000004, "min_daily_cap": 1}, 3_000_000, 1, 1),
        # R11: 10 000 contacts are medium, 100 000 large, 500 000 enterprise.
        ({}, 9_999, 1_999, 2_398), ({}, 10_000, 1_000, 1_200), ({}, 99_999, 9_999, 11_998), ({}, 100_000, 7_000, 8_400),
        ({}, 499_999, 34_999, 41_998), ({}, 500_000, 25_000, 30_000),
        ({"size_profile": "enterprise"}, 1_000, 50, 60), ({"size_profile": "small"}, 500_000, 100_000, 120_000),
        ({"size_profile": "enterprise", "daily_send_percentage_cap": 0.5}, 1_000, 500, 600),
    ],
)  # fmt: skip
def test_r64_the_cap_in_integers(config: dict[str, object], contacts: int, cap: int, threshold: int) -> None:
    own = effective(**config)
    limits = daily_cap(own, own.profile(contacts), contacts)
    assert (limits.cap, limits.threshold) == (cap, threshold)


@pytest.mark.parametrize(
    ("name", "row"),
    [("small", (0.20, 50, 3)), ("medium", (0.10, 200, 5)), ("large", (0.07, 500, 7)), ("enterprise", (0.05, 1000, 10))],
)
def test_r11_the_table_of_profiles(name: str, row: tuple[float, int, int]) -> None:
    assert SIZE_PROFILES[name][1:] == row


def test_r11_each_number_of_the_profile_can_be_the_orgs_own() -> None:
    own = effective(size_profile="large", ed_daily_soft_limit=15, ed_smoothing_window_days=31)
    assert own.profile(5)[1:] == (0.07, 15, 31)


# ------------------------------------------------------------------------------------------------ R65-R67

SEPTEMBER = day("2025-09-15")


def aep_org(contacts: int, **config: object) -> Org:
    """Everybody's AEP mail is due on 15 September."""
    org = quiet(**{"aep_enabled": True, "min_daily_cap": 1, "daily_send_percentage_cap": 0.000001, **config})
    for _ in range(contacts):
        org.contact()
    return org


def september(org: Org) -> dict[int, int]:
    """Days after 15 September, by contact."""
    return {m.contact_id: (m.send - SEPTEMBER).days for m in org.mails("2025-01-10") if m.reason is None}


def exceeded(org: Org, today: str = "2025-01-10") -> list[str]:
    return [str(np.datetime64(int(d), "D")) for d in org.plan(today).cap_exceeded_days]


def test_r66_a_cap_of_one_sends_one_a_day_by_contact() -> None:
    assert september(aep_org(4)) == {1: 0, 2: 1, 3: 2, 4: 3}


@pytest.mark.parametrize(
    ("contacts", "days"), [(3, [0, 0, 0]), (4, [0, 0, 1, 1]), (5, [0, 0, 1, 1, 1]), (6, [0, 0, 1, 1, 2, 2])]
)
def test_r66_a_day_up_to_the_threshold_is_left_alone_and_above_it_is_cut_to_the_cap(
    contacts: int, days: list[int]
) -> None:
    # cap 2, threshold 3: five mails leave three for the second day, which is left alone; six leave four.
    org = aep_org(contacts, min_daily_cap=2, overage_threshold=1.5)
    assert list(september(org).values()) == days


def test_r66_september_with_every_contact_on_one_day_cascades() -> None:
    # 104 contacts: cap 20 (0.2 * 104 = 20.8), threshold 24. Days of 20, 20, 20, 20 leave 24 for the fifth.
    org = aep_org(104, min_daily_cap=10, daily_send_percentage_cap=0.2)
    assert september(org) == {c: min((c - 1) // 20, 4) for c in range(1, 105)}


def test_r66_what_is_carried_keeps_its_place_before_what_comes_later() -> None:
    """AEP of 15 September overflows into the days of a campaign of a later ideal date and of equal priority."""
    org = aep_org(3)
    org.contact(id=10, state=None)  # no AEP for an unknown state
    org.campaign("news", respect_exclusion_windows=0, priority=30)
    org.insert(
        "contact_campaigns", contact_id=10, campaign_instance_id=org.instance("news"), trigger_date="2025-09-16"
    )  # fmt: skip
    assert september(org) == {1: 0, 2: 1, 3: 2, 10: 3}


@pytest.mark.parametrize(
    ("priority", "days"), [(29, {1: 1, 2: 2, 10: 0}), (30, {1: 0, 2: 1, 10: 2}), (31, {1: 0, 2: 1, 10: 2})]
)
def test_r66_the_lower_priority_number_stays_and_ties_go_by_contact(priority: int, days: dict[int, int]) -> None:
    org = aep_org(2)
    org.contact(id=10, state=None)
    org.campaign("news", respect_exclusion_windows=0, priority=priority)
    org.insert(
        "contact_campaigns", contact_id=10, campaign_instance_id=org.instance("news"), trigger_date="2025-09-15"
    )  # fmt: skip
    assert september(org) == days


def test_r66_of_one_contact_the_type_code_and_then_the_instance_decide() -> None:
    org = aep_org(1)
    org.campaign("news", priority=30)
    for _ in range(2):
        org.insert(
            "contact_campaigns", contact_id=1, campaign_instance_id=org.instance("news"), trigger_date="2025-09-15"
        )
    order = sorted((m.send, m.email_type, m.instance_id) for m in org.mails("2025-01-10"))
    assert [(kind, instance) for _, kind, instance in order] == [
        ("aep", None),
        ("campaign_news", 1),
        ("campaign_news", 2),
    ]


def test_r66_an_earlier_ideal_date_stays_before_a_later_one() -> None:
    """Contact 1 comes one day later than the others, and waits behind them although its id is the lowest."""
    org = quiet(min_daily_cap=1, daily_send_percentage_cap=0.000001)
    org.campaign("news")
    news = org.instance("news")
    for contact_id, trigger in ((1, "2025-09-16"), (2, "2025-09-15"), (3, "2025-09-15")):
        org.contact(id=contact_id)
        org.insert("contact_campaigns", contact_id=contact_id, campaign_instance_id=news, trigger_date=trigger)
    assert september(org) == {2: 0, 3: 1, 1: 2}


@pytest.mark.parametrize(
    ("status", "email_type", "contact_id", "counts"),
    [
        ("sent", "birthday", 1, True), ("scheduled", "whatever", 1, True), ("delivered", "followup_1_cold", 1, True),
        ("sent", "birthday", 999, True),  # of any contact
        ("bounced", "birthday", 1, False), ("cancelled", "birthday", 1, False), ("skipped", "birthday", 1, False),
        ("pre-scheduled", "birthday", 1, False),
    ],
)  # fmt: skip
def test_r65_what_the_sender_has_for_the_day_is_fixed_load(
    status: str, email_type: str, contact_id: int, *, counts: bool
) -> None:
    org = aep_org(2, min_daily_cap=2, overage_threshold=1.0)
    org.locked(contact_id, email_type, "2024-06-01", status=status, scheduled_send_date="2025-09-15")
    assert september(org) == ({1: 0, 2: 1} if counts else {1: 0, 2: 0})


def test_r65_a_locked_row_counts_on_the_day_it_really_went_out() -> None:
    org = aep_org(2, min_daily_cap=2, overage_threshold=1.0)
    org.locked(
        9, "birthday", "2024-06-01", scheduled_send_date="2025-09-15", actual_send_datetime="2025-09-14 23:59:59"
    )  # fmt: skip
    assert september(org) == {1: 0, 2: 0}


def test_r65_more_fixed_load_than_the_cap_leaves_no_room() -> None:
    org = aep_org(2)
    for event in ("2024-06-01", "2024-06-02", "2024-06-03"):
        org.locked(9, "birthday", event, scheduled_send_date="2025-09-15")
    assert september(org) == {1: 1, 2: 2}


def test_r67_a_follow_up_is_fixed_load_and_does_not_move() -> None:
    org = aep_org(1, enable_followups=True, aep_month=3, aep_day=12)
    org.contact(id=5)
    org.locked(5, "aep", "2025-03-12", scheduled_send_date="2025-03-10")
    found = {(m.contact_id, m.email_type): str(m.send) for m in org.mails("2025-03-10")}
    assert found == {(1, "aep"): "2025-03-13", (5, "followup_1_cold"): "2025-03-12"}


def test_r65_a_skipped_follow_up_is_no_load() -> None:
    org = aep_org(1, enable_followups=True, aep_month=3, aep_day=12)
    org.contact(id=5, state="NY")
    org.locked(5, "aep", "2025-03-12", scheduled_send_date="2025-03-10")
    assert sends(org, "2025-03-10", "aep") == {1: day("2025-03-12")}


def test_r66_nothing_is_carried_past_its_deadline() -> None:
    # Grace of one day: deadline 16 September. One mail on the 15th, three on the 16th, which is reported.
    org = aep_org(4, late_grace_days=1)
    assert (september(org), exceeded(org)) == ({1: 0, 2: 1, 3: 1, 4: 1}, ["2025-09-16"])


def test_r66_without_grace_nothing_moves_at_all() -> None:
    org = aep_org(3, late_grace_days=0)
    assert (september(org), exceeded(org)) == ({1: 0, 2: 0, 3: 0}, ["2025-09-15"])


def test_r66_a_birthday_mail_is_never_carried_to_the_birthday() -> None:
    org = quiet(min_daily_cap=1, daily_send_percentage_cap=0.000001, birthday_days_before=2)
    for _ in range(4):
        org.contact(birth_date="1960-06-15")
    # 13 and 14 June: one, and all the rest.
    assert sends(org, email_type="birthday") == {1: day("2025-06-13"), **dict.fromkeys((2, 3, 4), day("2025-06-14"))}


def test_r66_a_day_that_can_be_cut_to_the_cap_is_not_reported() -> None:
    assert exceeded(aep_org(4)) == []


def test_r66_nothing_is_carried_into_a_window() -> None:
    # Contacts 1 and 2 live in Maryland: their windows open on 16 September. 3 to 5 make room for them.
    org = aep_org(0, pre_exclusion_buffer_days=0)
    for state in ("MD", "MD", "TX", "TX", "TX"):
        org.contact(state=state, birth_date="1960-09-16")
    org.db.execute("UPDATE contacts SET birth_date = NULL WHERE state = 'TX'")
    found = {m.contact_id: (m.send - SEPTEMBER).days for m in org.mails("2025-01-10", email_type="aep")}
    assert found == {1: 0, 2: 0, 3: 1, 4: 2, 5: 3}


def test_r66_the_window_may_open_later_on_the_way() -> None:
    # Contact 3's window opens on 17 September: it gets as far as the 16th and stays there, before contact 2.
    org = aep_org(0, pre_exclusion_buffer_days=0)
    for state, birth in (("TX", None), ("TX", None), ("MD", "1960-09-17"), ("MD", "1960-09-17")):
        org.contact(state=state, birth_date=birth)
    # The 15th: all can move; 1 stays. The 16th: 3 and 4 cannot move; no room for 2. The 17th: 2.
    found = {m.contact_id: (m.send - SEPTEMBER).days for m in org.mails("2025-01-10", email_type="aep")}
    assert found == {1: 0, 2: 2, 3: 1, 4: 1}


def test_r66_unmovable_mail_over_the_cap_is_reported() -> None:
    org = aep_org(0, pre_exclusion_buffer_days=0)
    for _ in range(2):
        org.contact(state="MD", birth_date="1960-09-16")
    assert exceeded(org) == ["2025-09-15"]


def test_r66_a_mail_that_bypasses_windows_may_be_carried_into_one() -> None:
    org = quiet(min_daily_cap=1, daily_send_percentage_cap=0.000001, pre_exclusion_buffer_days=0)
    org.campaign("notice", respect_exclusion_windows=0)
    number = org.instance("notice")
    for _ in range(2):
        contact = org.contact(state="MD", birth_date="1960-09-16")
        org.insert("contact_campaigns", contact_id=contact, campaign_instance_id=number, trigger_date="2025-09-15")
    found = {m.contact_id: (m.send - SEPTEMBER).days for m in org.mails("2025-01-10", email_type="campaign_notice")}
    assert found == {1: 0, 2: 1}


def test_r66_the_carried_date_is_the_same_from_day_to_day() -> None:
    """Nothing is sent yet, and the plan of each day up to the 15th gives the same dates."""
    org = aep_org(5)
    plans = [september(org)] + [
        {m.contact_id: (m.send - SEPTEMBER).days for m in org.mails(today)} for today in ("2025-06-01", "2025-09-15")
    ]
    assert plans == [{1: 0, 2: 1, 3: 2, 4: 3, 5: 4}] * 3


def test_r66_the_cascade_goes_on_as_mail_goes_out() -> None:
    """Each day the mail of the day is sent; the others keep the dates that they had."""
    org = aep_org(5)
    for offset in range(5):
        today = SEPTEMBER + timedelta(days=offset)
        found = {m.contact_id: (m.send - SEPTEMBER).days for m in org.mails(str(today), event=SEPTEMBER)}
        assert found == {c: c - 1 for c in range(offset + 1, 6)}
        org.locked(offset + 1, "aep", str(SEPTEMBER), scheduled_send_date=str(today))


def test_r66_skipped_mail_is_no_load() -> None:
    org = aep_org(1)
    org.contact(id=0, state="NY")  # excluded, and of the lower id
    assert september(org) == {1: 0}


def test_r46_balancing_looks_at_windows_on_every_day_that_it_tries() -> None:
    """Sixty people of Maryland whose windows open one after the other: nobody is carried into his own."""
    org = aep_org(0, pre_exclusion_buffer_days=0, min_daily_cap=2)
    opens: Sequence[date] = [SEPTEMBER + timedelta(days=1 + n % 12) for n in range(60)]
    for opening in opens:
        org.contact(state="MD", birth_date=str(opening.replace(year=1960)))
    mails = [m for m in org.mails("2025-01-10", email_type="aep") if m.reason is None]
    assert len(mails) == 60
    assert all(m.send < opens[m.contact_id - 1] for m in mails)
