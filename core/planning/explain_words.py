"""The closed list of what an explanation can say: code, rules, sentence, and what would have to change (docs/rules.md)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from core.planning.calendar import to_date
from core.planning.explanation import Finding, MailRef


class Words(NamedTuple):
    """How one finding is told; texts have ``{from_day}``, ``{to_day}``, counts and single words as placeholders."""

    rules: tuple[str, ...]
    says: str
    needs: str | None = None
    """None: it keeps nothing back."""


_ADDRESS: Final = "a valid e-mail address"
_WINDOW: Final = (
    "nothing can be done for this occurrence while the state's rule and the dates are right; "
    "the mail after the window takes its place"
)

_CONTACT: Final = {
    "missing_email": Words(("R20", "R24"), "The contact has no e-mail address: it gets nothing at all.", _ADDRESS),
    "invalid_email": Words(("R20", "R24"), "The e-mail address is no address: it gets nothing at all.", _ADDRESS),
    "suppressed_status": Words(
        ("R24",),
        "The contact's status is one of suppressed_contact_statuses: it gets nothing at all.",
        "another status; after an unsubscribe only an explicit resubscribe",
    ),
    "contact_state_unknown": Words(
        ("R25",),
        "Neither ZIP code nor state column says which state's rules apply: no birthday, effective-date, AEP or "
        "post-window mail.",
        "a usable ZIP code or state",
    ),
    "state_mismatch": Words(("R23",), "ZIP code and state column name different states; the ZIP code counts."),
    "bad_birth_date": Words(
        ("R21",), "The birth date is no date, or lies in the future: as if there were none.", "a real birth date"
    ),
    "bad_effective_date": Words(
        ("R21",), "The effective date is no date: as if there were none.", "a real effective date"
    ),
    "no_exclusion_rule": Words(("R40", "R41"), "The state has no exclusion window."),
    "exclusion_rule": Words(
        ("R41", "R42"),
        "The state's rule is {kind}: {before} days before (buffer of {buffer} days included) to {after} days after.",
    ),
    "year_round_rule": Words(("R41",), "The state forbids this mail on every day of the year."),
}

_NO_ROW: Final = {
    "no_birth_date": Words(("R31",), "There is no usable birth date.", "a birth date"),
    "no_effective_date": Words(("R32",), "There is no usable effective date.", "an effective date"),
    "state_unknown_for_type": Words(("R25",), "The state is not known.", "a usable ZIP code or state"),
    "aep_off": Words(("R35",), "AEP mail is switched off.", "aep_enabled: true"),
    "aep_superseded": Words(
        ("R35",), "An active campaign type named aep takes the place of the built-in AEP mail.", "see that campaign"
    ),
    "birthday_not_eligible": Words(("R31",), "The next birthday is the day of birth itself.", "a year"),
    "effective_date_not_eligible": Words(
        ("R32",),
        "The policy is too young at its anniversary on {to_day}: the first mail is about month {months}.",
        "a later anniversary, or a smaller effective_date_first_email_months",
    ),
    "aep_not_eligible": Words(
        ("R35",), "The year of the next AEP date, {to_day}, is not listed.", "the year in aep_years, or no list"
    ),
    "handled": Words(
        ("R33",),
        "The sender has, or had, a mail of this type about this occurrence: none is planned beside it.",
        "nothing: a failed or bounced one is the sender's to repeat",
    ),
    "campaign_handled": Words(
        ("R57",),
        "The sender has, or had, this campaign's mail to the contact: none is planned beside it.",
        "nothing: a failed or bounced one is the sender's to repeat",
    ),
    "beyond_lookahead": Words(
        ("R36",),
        "Its date, {to_day}, is more than lookahead_days ahead: it is planned from {from_day} on.",
        "time, or a larger lookahead_days",
    ),
    "campaign_type_missing": Words(("R52",), "The instance's campaign type does not exist.", "the campaign type"),
    "campaign_inactive": Words(("R52",), "The campaign type is not active.", "an active campaign type"),
    "bad_campaign_dates": Words(("R52",), "A date of the instance is no date.", "real dates"),
    "campaign_not_begun": Words(("R52",), "The instance has not begun.", "time, or an earlier active_start_date"),
    "campaign_ended": Words(("R52",), "The instance is over.", "a later active_end_date"),
    "not_targeted": Words(
        ("R54",), "The instance's target_states or target_carriers do not match the contact.", "other targets, or none"
    ),
    "not_enrolled": Words(
        ("R54",),
        "The contact is not enrolled in the instance with status pending or scheduled.",
        "a row of contact_campaigns with status pending",
    ),
    "bad_enrolment": Words(
        ("R54",), "The trigger date of enrolment {enrolment} is no date.", "a real trigger date, or none"
    ),
    "enrolled_twice": Words(
        ("R55",),
        "Enrolment {enrolment} is about the same event as an earlier one, which counts.",
        "another trigger date",
    ),
    "no_trigger_date": Words(("R55",), "There is no date to count from.", "a trigger date or an active_start_date"),
    "campaign_over": Words(
        ("R55",), "Its last day was {to_day}.", "a later active_end_date, or a larger late_grace_days"
    ),
    "post_window_off": Words(("R51",), "Mail after a window is switched off.", "enable_post_window_emails: true"),
    "post_window_expired": Words(
        ("R51",), "The first free day was {from_day}, longer ago than late_grace_days.", "a larger late_grace_days"
    ),
    "post_window_barred": Words(
        ("R34", "R51"),
        "The contact failed underwriting, and the org does not write to those.",
        "failed_underwriting: 0, or exclude_failed_underwriting_global: false",
    ),
    "followups_off": Words(("R80",), "Follow-ups are switched off.", "enable_followups: true"),
    "nothing_sent": Words(
        ("R80",),
        "No mail that follow-ups can follow was sent to the contact from {from_day} to {to_day}.",
        "a mail that the sender reports as sent or delivered",
    ),
    "campaign_without_followups": Words(
        ("R80",),
        "The only mails sent from {from_day} to {to_day} are of campaigns without follow-ups, or their event date "
        "cannot be read.",
        "enable_followups of the campaign type or instance",
    ),
    "followed_already": Words(
        ("R81",),
        "The contact had a follow-up within followup_lookback_days.",
        "time: one follow-up in followup_lookback_days",
    ),
}

_STEPS: Final = {
    "asked_birthday": Words(("R30", "R31"), "Birthday on {to_day}: ideally sent {days} days before it, on {from_day}."),
    "asked_effective_date": Words(
        ("R30", "R32"), "Anniversary of the effective date on {to_day}: ideally sent {days} days before, on {from_day}."
    ),
    "asked_aep": Words(("R35",), "AEP date {to_day}: ideally sent on that day."),
    "asked_campaign": Words(
        ("R54", "R55"), "Trigger date {to_day}: ideally sent {days} days before it, on {from_day}."
    ),
    "asked_campaign_after": Words(
        ("R54", "R55"), "Trigger date {to_day}: ideally sent {days} days after it, on {from_day}."
    ),
    "asked_spread_campaign": Words(
        ("R54", "R55"), "Spread campaign that begins on {to_day}: the contact's day in it is {from_day}."
    ),
    "asked_post_window": Words(("R50", "R51"), "A window ended: {to_day} is the first free day after it."),
    "makes_up_for": Words(("R51",), "It makes up for the mails that the window kept back."),
    "windows_bypassed": Words(
        ("R53", "R56"), "The campaign does not respect exclusion windows: they keep nothing back."
    ),
    "excluded_at_ideal": Words(("R36", "R40"), "The exclusion was looked at on the ideal date, {to_day}."),
    "excluded_when_late": Words(("R40", "R63"), "The mail was late, and the exclusion was looked at on {to_day}."),
    "cluster_spread": Words(
        ("R61", "R62"),
        "{cluster} effective-date mails have the ideal date {from_day}, the limit is {limit}: all of them are spread, "
        "and this one's day is {to_day}.",
    ),
    "cluster_kept": Words(
        ("R61", "R62"),
        "{cluster} effective-date mails have the ideal date {from_day}, the limit is {limit}: all are spread, but this "
        "one's other day would lie in a window or after the deadline, so it stays.",
    ),
    "late": Words(("R63",), "{from_day} has passed unsent: it is late, and its new day is {to_day}."),
    "carried": Words(
        ("R64", "R66"),
        "{from_day} is over the daily cap ({wanted} mails and {fixed} that cannot be moved, cap {cap}): carried to "
        "{to_day}.",
    ),
    "to_be_sent": Words(("R75",), "It will be sent on {to_day}."),
    "followup_of": Words(("R80", "R81"), "It follows the mail that went out on {from_day}."),
    "behaviour_cold": Words(("R82",), "Since then the contact neither clicked nor answered."),
    "behaviour_clicked": Words(("R82",), "Since then the contact clicked ({clicks} times) and did not answer."),
    "behaviour_answered_no": Words(("R82",), "Since then the contact answered with a no to everything."),
    "behaviour_answered_yes": Words(("R82",), "Since then the contact answered with a yes."),
    "followup_day": Words(("R83",), "It is due {days} days after that mail, on {from_day}, and goes out on {to_day}."),
    "held_by_locked_row": Words(
        ("R91",), "The sender has a row of the same identity: the planned one is dropped.", "nothing: it is in hand"
    ),
}

_SKIPS: Final = {
    "exclusion:birthday_window": Words(
        ("R40", "R42", "R43"), "{to_day} is the last day of the birthday window that began on {from_day}.", _WINDOW
    ),
    "exclusion:effective_date_window": Words(
        ("R40", "R42", "R43"),
        "{to_day} is the last day of the effective-date window that began on {from_day}.",
        _WINDOW,
    ),
    "exclusion:year_round": Words(
        ("R40", "R41"), "The state forbids this mail on every day.", "another state (ZIP code), or other state_rules"
    ),
    "exclusion:age_76_plus": Words(
        ("R40", "R45"), "The state's rule has an age limit, and the contact has reached it.", "other state_rules"
    ),
    "exclusion:window_date_unknown": Words(
        ("R44",),
        "The date that the state's window is counted from is missing.",
        "a birth date (effective date, where the window is about that), or missing_window_date_policy: send",
    ),
    "failed_underwriting:global": Words(
        ("R34",),
        "The contact failed underwriting, and the org does not write to those.",
        "failed_underwriting: 0, or exclude_failed_underwriting_global: false",
    ),
    "failed_underwriting:campaign": Words(
        ("R56",),
        "The contact failed underwriting, and the campaign does not write to those.",
        "failed_underwriting: 0, or skip_failed_underwriting: false for the campaign",
    ),
    "target_mismatch": Words(
        ("R54", "R56"),
        "The contact is enrolled, but the instance's target_states or target_carriers do not match.",
        "other targets, or none",
    ),
    "after_campaign_end": Words(
        ("R56",),
        "The ideal date, {from_day}, lies after the campaign's last day, {to_day}.",
        "a later active_end_date, or an earlier trigger date",
    ),
    "state_unknown": Words(("R25", "R56", "R84"), "The state is not known.", "a usable ZIP code or state"),
    "campaign_conflict": Words(
        ("R70", "R71", "R74"),
        "Another campaign's mail to the contact lies on {to_day} and comes first.",
        "nothing: it is judged anew in each run, and may go out late until {from_day}",
    ),
    "frequency_limit": Words(
        ("R70", "R72", "R74"),
        "With it there would be more than {most} mails in {period} days around {to_day}.",
        "nothing: it is judged anew in each run, and may go out late until {from_day}; or a larger "
        "max_emails_per_period",
    ),
    "missed_send_date": Words(
        ("R92",), "Its day passed, and nobody sent it.", "nothing: it is history; ask why the sender did not send"
    ),
}

WORDS: Final[Mapping[str, Words]] = MappingProxyType({**_CONTACT, **_NO_ROW, **_STEPS, **_SKIPS})


def find(  # everything that a finding can carry
    code: str,
    *,
    from_day: int | None = None,
    to_day: int | None = None,
    counts: Mapping[str, int] | None = None,
    mails: tuple[MailRef, ...] = (),
    **single_words: str,
) -> Finding:
    """Return a finding in words; days are day numbers. A placeholder that is not given is a KeyError."""
    words = WORDS[code]
    first, last = (None if day is None else to_date(day) for day in (from_day, to_day))
    facts = {"from_day": first, "to_day": last, **(counts or {}), **single_words}
    return Finding(
        code=code,
        rules=words.rules,
        text=words.says.format_map(facts),
        needs=None if words.needs is None else words.needs.format_map(facts),
        from_day=first,
        to_day=last,
        counts=dict(counts or {}),
        mails=mails,
    )


def skip_code(skip_reason: str) -> str:
    """Return the code of a skip reason: exclusions lose their state (R40)."""
    return skip_reason.rpartition(":")[0] if skip_reason.startswith("exclusion:") else skip_reason
