"""Campaigns (R52-R57): which instances count, for whom, when, and what keeps a mail from going out."""

from datetime import date

import pytest

from tests.orgs import Mail, Org

TODAY = "2025-03-10"


def org_of(*contacts: dict[str, object], **config: object) -> Org:
    org = Org(**{"aep_enabled": False, "enable_post_window_emails": False, **config})
    for contact in contacts or ({},):
        org.contact(**contact)
    return org


def enrol(org: Org, instance_id: int, contact_id: int = 1, trigger: str | None = "2025-04-01", **values: object) -> int:
    values = {"contact_id": contact_id, "campaign_instance_id": instance_id, "trigger_date": trigger, **values}
    return org.insert("contact_campaigns", **values)


def enrolled(org: Org, *, kind: dict[str, object] | None = None, **instance: object) -> int:
    """A campaign with one instance that the first contact is enrolled in for 1 April."""
    org.campaign("news", **(kind or {}))
    number = org.instance("news", **instance)
    enrol(org, number)
    return number


def found(org: Org, today: str = TODAY) -> list[tuple[str, str, str | None]]:
    return [(str(m.event), str(m.send), m.reason) for m in org.mails(today) if m.instance_id is not None]


def issues_of(org: Org, today: str = TODAY) -> set[tuple[int, str]]:
    issues = org.plan(today).issues
    pairs = zip(issues.contact_id, issues.issue, strict=True)
    return {(int(c), issues.issues[i]) for c, i in pairs if int(c) == 0}


SENT = [("2025-04-01", "2025-04-01", None)]


# ------------------------------------------------------------------------------------------------ R52


def test_r52_a_campaign_mail_is_named_after_its_type() -> None:
    org = org_of()
    org.campaign("rate_increase")
    number = org.instance("rate_increase")
    enrol(org, number)
    day = date(2025, 4, 1)
    assert org.mails(TODAY) == [Mail(1, "campaign_rate_increase", day, day, None, number)]


def test_r52_an_instance_without_its_type_does_not_count() -> None:
    org = org_of()
    enrol(org, org.instance("gone"))
    assert found(org) == []


def test_r52_an_inactive_type_does_not_count() -> None:
    org = org_of()
    enrolled(org, kind={"active": 0})
    assert found(org) == []


@pytest.mark.parametrize(
    ("start", "end", "counts"),
    [
        (None, None, True),
        ("", " ", True),
        ("2025-03-10", None, True),
        ("2025-03-11", None, False),
        (None, "2025-03-09", False),
        ("2025-03-10", "2025-04-02", True),
        ("2025-03-10 08:00:00", "2025-04-02T00:00", True),  # dates are read as in R21
        ("2025-04-05", "2025-03-01", False),
    ],
)
def test_r52_an_instance_counts_from_its_first_to_its_last_day(
    start: str | None, end: str | None, *, counts: bool
) -> None:
    org = org_of()
    enrolled(org, active_start_date=start, active_end_date=end)
    assert found(org) == (SENT if counts else [])


def test_r52_the_last_day_counts() -> None:
    org = org_of()
    enrolled(org, active_end_date="2025-04-01")
    assert found(org, "2025-04-01") == SENT
    assert found(org, "2025-04-02") == []


@pytest.mark.parametrize("column", ["active_start_date", "active_end_date", "spread_start_date", "spread_end_date"])
def test_r52_any_bad_date_stops_the_instance_with_an_issue(column: str) -> None:
    org = org_of()
    number = enrolled(org)
    org.db.execute(f"UPDATE campaign_instances SET {column} = '2025-02-30'")
    assert (found(org), issues_of(org)) == ([], {(0, f"bad_campaign_dates:{number}")})


# ------------------------------------------------------------------------------------------------ R53


@pytest.mark.parametrize(
    ("metadata", "send"),
    [
        ('{"days_before_event": 14}', "2025-03-18"), ('{"days_before_event": -3}', "2025-04-04"),
        ('{"days_before_event": 0}', "2025-04-01"),
        (None, "2025-03-29"), ("  ", "2025-03-29"), ("{}", "2025-03-29"), ('{"anything": [1]}', "2025-03-29"),
    ],
)  # fmt: skip
def test_r53_an_instance_overrides_the_days_before(metadata: str | None, send: str) -> None:
    org = org_of()
    enrolled(org, kind={"days_before_event": 3}, metadata=metadata)
    assert (found(org), issues_of(org)) == ([("2025-04-01", send, None)], set())


@pytest.mark.parametrize("days", [2**62, -(2**62), 2**31, 100_000, -100_000, 46_000, -28_000])
def test_r97_a_type_with_days_beyond_the_calendar_stops_no_run(days: int) -> None:
    org = org_of()
    enrolled(org, kind={"days_before_event": days}, active_end_date="2100-12-31")
    org.campaign("sound")
    enrol(org, org.instance("sound"))
    assert found(org) == [("2025-04-01", "2025-04-01", None)]


@pytest.mark.parametrize("days", [-3650, 3650])
def test_r53_days_before_within_ten_years_are_sound(days: int) -> None:
    org = org_of()
    enrolled(org, metadata=f'{{"days_before_event": {days}}}')
    assert issues_of(org) == set()


@pytest.mark.parametrize(
    "metadata",
    [
        '{"days_before_event": 3651}', '{"days_before_event": -3651}', '{"days_before_event": true}',
        '{"days_before_event": 14.0}', '{"days_before_event": "14"}', '{"days_before_event": null}',
        '{"priority": "3"}', '{"priority": 3.0}', '{"priority": true}', '{"priority": null}',
        '{"enable_followups": 2}', '{"skip_failed_underwriting": "yes"}', '{"skip_failed_underwriting": 1.0}',
        "[]", "null", "14", '"text"', "{broken", "{'days_before_event': 14}",
    ],
)  # fmt: skip
def test_r53_what_cannot_be_used_is_ignored_with_an_issue(metadata: str) -> None:
    org = org_of({"failed_underwriting": 1})
    number = enrolled(org, kind={"days_before_event": 3}, metadata=metadata)
    assert (found(org), issues_of(org)) == (
        [("2025-04-01", "2025-03-29", None)],
        {(0, f"bad_campaign_metadata:{number}")},
    )


def test_r53_an_invalid_value_is_ignored_for_its_key_alone() -> None:
    org = org_of()
    enrolled(org, metadata='{"priority": "high", "days_before_event": 14}')
    assert found(org) == [("2025-04-01", "2025-03-18", None)]


@pytest.mark.parametrize("value", ["false", "0"])
def test_r53_an_instance_can_bypass_windows(value: str) -> None:
    org = org_of({"state": "NY"})
    enrolled(org, metadata=f'{{"respect_exclusion_windows": {value}}}')
    assert found(org) == SENT


@pytest.mark.parametrize("value", ['"no"', "null", "2", "0.0", "[]", "{}", '"false"', "-1"])
def test_r53_an_invalid_bypass_fails_closed(value: str) -> None:
    """The type bypasses windows; what the instance wanted cannot be told: windows are respected."""
    org = org_of({"state": "NY"})
    number = enrolled(
        org, kind={"respect_exclusion_windows": 0}, metadata=f'{{"respect_exclusion_windows": {value}}}'
    )  # fmt: skip
    assert (found(org), issues_of(org)) == (
        [("2025-04-01", "2025-04-01", "exclusion:year_round:NY")],
        {(0, f"bad_campaign_metadata:{number}")},
    )


def test_r53_a_bypass_that_is_said_twice_fails_closed() -> None:
    """Yes and no in one text: what was wanted cannot be told, and windows are respected."""
    org = org_of({"state": "NY"})
    enrolled(org, metadata='{"respect_exclusion_windows": true, "respect_exclusion_windows": false}')
    assert found(org) == [("2025-04-01", "2025-04-01", "exclusion:year_round:NY")]


@pytest.mark.parametrize("value", ["true", "1"])
def test_r53_an_instance_can_respect_windows_where_its_type_does_not(value: str) -> None:
    org = org_of({"state": "NY"})
    enrolled(org, kind={"respect_exclusion_windows": 0}, metadata=f'{{"respect_exclusion_windows": {value}}}')
    assert found(org) == [("2025-04-01", "2025-04-01", "exclusion:year_round:NY")]


def test_r53_an_instance_overrides_the_priority() -> None:
    org = org_of()
    enrolled(org, kind={"priority": 25}, metadata='{"priority": -4}')
    rows = org.plan(TODAY).rows
    assert [rows.kinds[k].priority for k in rows.kind] == [-4]


# ------------------------------------------------------------------------------------------------ R54


@pytest.mark.parametrize(
    ("status", "mails"),
    [("pending", 1), ("scheduled", 1), ("sent", 0), ("skipped", 0), ("Pending", 0), ("", 0)],
)
def test_r54_only_open_enrolments_ask_for_mail(status: str, mails: int) -> None:
    org = org_of()
    org.campaign("news")
    enrol(org, org.instance("news"), status=status)
    assert len(found(org)) == mails


@pytest.mark.parametrize("trigger", ["soon", "2025-02-30", "2025-4-1"])
@pytest.mark.parametrize("spread", [0, 1])
def test_r54_an_enrolment_without_a_usable_date_is_ignored_with_an_issue(trigger: str, spread: int) -> None:
    org = org_of()
    org.campaign("news", spread_evenly=spread)
    number = org.instance("news", spread_start_date="2025-04-01", spread_end_date="2025-04-10")
    bad = enrol(org, number, trigger=trigger)
    assert (found(org), issues_of(org)) == ([], {(0, f"bad_enrolment:{bad}")})


def test_r54_an_enrolment_of_nobody_is_ignored_with_an_issue() -> None:
    org = org_of()
    org.campaign("news")
    bad = enrol(org, org.instance("news"), contact_id=99)
    assert (found(org), issues_of(org)) == ([], {(0, f"bad_enrolment:{bad}")})


@pytest.mark.parametrize("contact", [{"email": "nobody"}, {"status": "deceased"}])
def test_r24_an_enrolled_contact_must_be_schedulable(contact: dict[str, object]) -> None:
    org = org_of(contact)
    enrolled(org)
    assert (found(org), issues_of(org)) == ([], set())


STATES = [
    (None, True), ("", True), (" ", True), (" , ,", True), ("ALL", True), ("all", True), ("NY, aLL ,FL", True),
    ("TX", True), ("fl, tx ,NY", True), ("FL", False), ("ALLTX", False), ("TX FL", False), ("ZZ", False), ("Texas", False),
]  # fmt: skip


@pytest.mark.parametrize(("states", "match"), STATES)
def test_r54_an_enrolled_contact_outside_the_target_states_is_skipped(states: str | None, *, match: bool) -> None:
    org = org_of({"state": "TX"})
    enrolled(org, target_states=states)
    assert found(org) == [("2025-04-01", "2025-04-01", None if match else "target_mismatch")]


@pytest.mark.parametrize(("states", "match"), STATES)
def test_r54_a_campaign_for_all_leaves_others_without_a_row(states: str | None, *, match: bool) -> None:
    org = org_of({"state": "TX"})
    org.campaign("news", target_all_contacts=1)
    org.instance("news", target_states=states, active_start_date="2025-03-10")
    assert len(found(org)) == int(match)


def test_r54_a_state_list_needs_a_known_state() -> None:
    org = org_of({"state": None})
    enrolled(org, kind={"respect_exclusion_windows": 0}, target_states="TX")
    assert found(org) == [("2025-04-01", "2025-04-01", "target_mismatch")]


@pytest.mark.parametrize(
    ("targets", "carrier", "match"),
    [
        ("Aetna", "Aetna", True), ("aetna", " AETNA ", True), ("Humana, Aetna", "aetna", True), ("Humana", "Aetna", False),
        ("Aetna", None, False), ("Aetna", "", False), ("Aetna", "  ", False),
        ("ALL", None, True), (None, None, True), (",", "", True), ("All, Humana", "Aetna", True),
        ("Aetna", "Aetna Life", False),
    ],
)  # fmt: skip
def test_r54_a_carrier_list_needs_the_contacts_carrier(
    targets: str | None, carrier: str | None, *, match: bool
) -> None:
    org = org_of({"carrier": carrier})
    enrolled(org, target_carriers=targets)
    assert found(org) == [("2025-04-01", "2025-04-01", None if match else "target_mismatch")]


@pytest.mark.parametrize(
    ("states", "carriers", "match"), [("TX", "Aetna", True), ("TX", "Humana", False), ("FL", "Aetna", False)]
)
def test_r54_both_targets_must_match(states: str, carriers: str, *, match: bool) -> None:
    org = org_of({"state": "TX", "carrier": "Aetna"})
    enrolled(org, target_states=states, target_carriers=carriers)
    assert found(org) == [("2025-04-01", "2025-04-01", None if match else "target_mismatch")]


def test_r54_a_campaign_for_all_does_not_look_at_enrolments() -> None:
    org = org_of({}, {"status": "deleted"}, {})
    org.campaign("news", target_all_contacts=1)
    number = org.instance("news", active_start_date="2025-03-10")
    enrol(org, number, contact_id=99, trigger="garbage")
    assert ([m.contact_id for m in org.mails(TODAY)], issues_of(org)) == ([1, 3], set())


# ------------------------------------------------------------------------------------------------ R55


def test_r55_days_before_are_subtracted() -> None:
    """The rule book's example: 15 February, 14 days before: 1 February."""
    org = org_of()
    org.campaign("news", days_before_event=14)
    enrol(org, org.instance("news"), trigger="2025-02-15")
    assert found(org, "2025-01-10") == [("2025-02-15", "2025-02-01", None)]


def test_r55_without_a_trigger_of_its_own_an_enrolment_has_the_campaigns_start() -> None:
    org = org_of()
    org.campaign("news")
    enrol(org, org.instance("news", active_start_date="2025-03-05"), trigger=None)
    assert found(org) == [("2025-03-05", "2025-03-10", None)]  # five days late: today


def test_r55_without_any_date_there_is_no_row() -> None:
    org = org_of()
    org.campaign("news")
    enrol(org, org.instance("news"), trigger=None)
    assert (found(org), issues_of(org)) == ([], set())


def test_r55_a_campaign_for_all_has_its_start_as_trigger() -> None:
    org = org_of()
    org.campaign("news", target_all_contacts=1, days_before_event=-4)
    org.instance("news", active_start_date="2025-03-08", created_at="2025-01-01 10:00:00")
    assert found(org) == [("2025-03-08", "2025-03-12", None)]


@pytest.mark.parametrize(
    ("created", "expected"),
    [("2025-03-09 10:00:00", [("2025-03-09", "2025-03-10", None)]), (None, []), ("long ago", [])],
)
def test_r55_without_a_start_a_campaign_for_all_has_its_creation(
    created: str | None, expected: list[tuple[str, str, str | None]]
) -> None:
    org = org_of()
    org.campaign("news", target_all_contacts=1)
    org.instance("news", created_at=created)
    assert found(org) == expected


def test_r55_a_campaign_for_all_is_not_due_again_every_day() -> None:
    org = org_of(late_grace_days=3)
    org.campaign("news", target_all_contacts=1)
    org.instance("news", active_start_date="2025-03-10")
    assert [len(found(org, f"2025-03-{n}")) for n in (10, 13, 14)] == [1, 1, 0]


def spread_org(*, end: str = "2025-04-10", spread: int = 1, everybody: int = 0) -> Org:
    org = org_of({"id": 7}, {"id": 10}, {"id": 23})
    org.campaign("news", spread_evenly=spread, target_all_contacts=everybody, days_before_event=5)
    number = org.instance("news", spread_start_date="2025-04-01", spread_end_date=end)
    for contact_id in (7, 10, 23):
        enrol(org, number, contact_id=contact_id, trigger="2025-06-06")
    return org


@pytest.mark.parametrize("everybody", [0, 1])
def test_r55_a_spread_campaign_is_spread_by_contact_id(everybody: int) -> None:
    # 1 to 10 April are ten days: 7 mod 10, 10 mod 10, 23 mod 10. Trigger dates and days before do not matter.
    sends = {m.contact_id: (str(m.event), str(m.send)) for m in spread_org(everybody=everybody).mails(TODAY)}
    assert sends == {
        7: ("2025-04-01", "2025-04-08"),
        10: ("2025-04-01", "2025-04-01"),
        23: ("2025-04-01", "2025-04-04"),
    }


def test_r55_a_spread_over_one_day_is_that_day() -> None:
    assert {str(m.send) for m in spread_org(end="2025-04-01").mails(TODAY)} == {"2025-04-01"}


@pytest.mark.parametrize("change", [{"end": "2025-03-31"}, {"spread": 0}])
def test_r55_a_spread_the_wrong_way_round_or_not_wanted_is_none(change: dict[str, object]) -> None:
    org = spread_org(**change)  # type: ignore[arg-type]
    assert {(str(m.event), str(m.send)) for m in org.mails(TODAY)} == {("2025-06-06", "2025-06-01")}


def test_r55_the_same_event_twice_counts_once() -> None:
    # Two spellings of one day; the unique key does not see that they are one.
    org = org_of()
    number = enrolled(org)
    enrol(org, number, trigger="2025-04-01 00:00:00")
    assert found(org) == SENT


def test_r55_two_enrolments_of_a_spread_campaign_are_one_mail() -> None:
    org = spread_org()
    enrol(org, 1, contact_id=7, trigger="2025-07-07")
    assert sorted(m.contact_id for m in org.mails(TODAY)) == [7, 10, 23]


def test_r55_two_events_are_two_mails() -> None:
    org = org_of()
    number = enrolled(org)
    enrol(org, number, trigger="2025-05-01")
    assert [event for event, _, _ in found(org)] == ["2025-04-01", "2025-05-01"]


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        ("2025-04-05", [("2025-04-01", "2025-04-05", None)]),
        ("2025-05-01", [("2025-04-01", "2025-05-01", None)]),  # 1 April + 30 days
        ("2025-05-02", []),
    ],
)
def test_r55_a_campaign_without_an_end_may_be_late_by_the_grace(
    today: str, expected: list[tuple[str, str, str | None]]
) -> None:
    org = org_of()
    enrolled(org)
    assert found(org, today) == expected


def test_r55_a_campaign_with_an_end_may_be_late_until_then() -> None:
    org = org_of(late_grace_days=0)
    enrolled(org, active_end_date="2025-06-30")
    assert found(org, "2025-06-30") == [("2025-04-01", "2025-06-30", None)]


@pytest.mark.parametrize(("lookahead", "mails"), [(21, 0), (22, 1)])
def test_r55_beyond_the_lookahead_there_is_no_row(lookahead: int, mails: int) -> None:
    org = org_of(lookahead_days=lookahead)  # 10 March to 1 April: 22 days
    enrolled(org)
    assert len(found(org)) == mails


# ------------------------------------------------------------------------------------------------ R56


def test_r56_a_target_mismatch_comes_first() -> None:
    org = org_of({"state": None, "failed_underwriting": 1}, exclude_failed_underwriting_global=True)
    enrolled(org, kind={"skip_failed_underwriting": 1}, target_states="TX", active_end_date="2025-03-31")
    assert [r for _, _, r in found(org)] == ["target_mismatch"]


def test_r56_underwriting_of_the_org_comes_before_that_of_the_campaign() -> None:
    org = org_of({"state": None, "failed_underwriting": 1}, exclude_failed_underwriting_global=True)
    enrolled(org, kind={"skip_failed_underwriting": 1}, active_end_date="2025-03-31")
    assert [r for _, _, r in found(org)] == ["failed_underwriting:global"]


def test_r56_underwriting_of_the_campaign_comes_before_its_end() -> None:
    org = org_of({"state": None, "failed_underwriting": 1})
    enrolled(org, kind={"skip_failed_underwriting": 1}, active_end_date="2025-03-31")
    assert [r for _, _, r in found(org)] == ["failed_underwriting:campaign"]


def test_r56_the_campaigns_end_comes_before_the_unknown_state() -> None:
    org = org_of({"state": None})
    enrolled(org, active_end_date="2025-03-31")  # the mail would be due on 1 April
    assert [r for _, _, r in found(org)] == ["after_campaign_end"]


def test_r56_the_unknown_state_is_last_but_exclusion() -> None:
    org = org_of({"state": None})
    enrolled(org)
    assert [r for _, _, r in found(org)] == ["state_unknown"]


def test_r56_a_passing_contact_is_not_skipped_for_underwriting() -> None:
    org = org_of(exclude_failed_underwriting_global=True)
    enrolled(org, kind={"skip_failed_underwriting": 1})
    assert found(org) == SENT


def test_r34_the_aep_campaign_is_exempt_from_the_orgs_underwriting_but_not_from_its_own() -> None:
    for own, reason in ((0, None), (1, "failed_underwriting:campaign")):
        org = org_of({"failed_underwriting": 1}, exclude_failed_underwriting_global=True)
        org.campaign("aep", skip_failed_underwriting=own)
        enrol(org, org.instance("aep"))
        assert [r for _, _, r in found(org)] == [reason]


@pytest.mark.parametrize(
    ("respects", "flag", "reason"),
    [(0, True, None), (0, False, "state_unknown"), (1, True, "state_unknown"), (1, False, "state_unknown")],
)
def test_r56_an_unknown_state_needs_a_bypass_and_the_orgs_leave(
    respects: int, *, flag: bool, reason: str | None
) -> None:
    org = org_of({"state": None}, send_without_zipcode_for_universal=flag)
    enrolled(org, kind={"respect_exclusion_windows": respects})
    assert [r for _, _, r in found(org)] == [reason]


@pytest.mark.parametrize("flag", [True, False])
def test_r56_the_flag_says_nothing_about_known_states(*, flag: bool) -> None:
    org = org_of(send_without_zipcode_for_universal=flag)
    enrolled(org, kind={"respect_exclusion_windows": 0})
    assert found(org) == SENT


@pytest.mark.parametrize(
    ("contact", "reason"),
    [
        ({"state": "NY"}, "exclusion:year_round:NY"),
        ({"state": "CA", "birth_date": "1960-04-01"}, "exclusion:birthday_window:CA"),
        ({"state": "CA"}, "exclusion:window_date_unknown:CA"),
    ],
)
@pytest.mark.parametrize("respects", [0, 1])
def test_r56_only_a_bypass_lets_a_mail_into_a_window(contact: dict[str, object], reason: str, respects: int) -> None:
    org = org_of(contact, birthday_days_before=180)
    enrolled(org, kind={"respect_exclusion_windows": respects})
    assert [r for _, _, r in found(org)] == [reason if respects else None]


# ------------------------------------------------------------------------------------------------ R57


@pytest.mark.parametrize(("event", "mails"), [("2025-04-01", 0), ("2025-03-31", 1), ("2025-04-02", 1)])
@pytest.mark.parametrize("status", ["sent", "failed", "cancelled"])
def test_r57_an_enrolment_is_handled_by_a_mail_of_its_event(event: str, mails: int, status: str) -> None:
    org = org_of(enable_followups=False)
    number = enrolled(org)
    org.locked(1, "campaign_news", event, campaign_instance_id=number, status=status, scheduled_send_date="2024-01-01")
    assert len(found(org)) == mails


@pytest.mark.parametrize("kind", [{"target_all_contacts": 1}, {"spread_evenly": 1}])
def test_r57_campaigns_for_all_and_spread_ones_write_once(kind: dict[str, object]) -> None:
    org = org_of(enable_followups=False)
    number = enrolled(
        org, kind=kind, active_start_date="2025-03-10", spread_start_date="2025-04-01", spread_end_date="2025-04-05"
    )  # fmt: skip
    assert len(found(org)) == 1
    org.locked(1, "campaign_news", "2020-01-01", campaign_instance_id=number, status="bounced")
    assert found(org) == []


@pytest.mark.parametrize(("contact_id", "instance"), [(1, 2), (2, 1), (1, None)])
def test_r57_only_the_same_contact_and_instance_handle(contact_id: int, instance: int | None) -> None:
    org = org_of({}, {}, enable_followups=False)
    org.campaign("news", target_all_contacts=1)
    org.instance("news", active_start_date="2025-03-10", target_carriers="", target_states="TX")
    org.locked(
        contact_id, "campaign_news", "2025-03-10", campaign_instance_id=instance, scheduled_send_date="2024-01-01"
    )
    assert 1 in {m.contact_id for m in org.mails(TODAY)}


# ------------------------------------------------------------------------------------------------ R75


def test_r75_a_campaign_mail_has_its_instances_templates() -> None:
    org = org_of()
    org.campaign("news")
    for email_template, sms_template in (("mail", "text"), (None, None)):
        number = org.instance("news", email_template=email_template, sms_template=sms_template)
        enrol(org, number)
    rows = org.plan(TODAY).rows
    found = {int(i): rows.kinds[k][5:] for i, k in zip(rows.instance_id, rows.kind, strict=True)}
    assert found == {1: ("mail", "text"), 2: (None, None)}
