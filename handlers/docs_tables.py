"""The tables in docs/ that are made from the program's own tables, so that a document cannot disagree with the code.

``python -m handlers.docs_tables`` says which blocks are out of date and exits 1 if any is; with ``--write`` it rewrites
them. A block lies between ``<!-- name:begin -->`` and ``<!-- name:end -->``; BLOCKS says what goes into each. What the code
does not know (what a key is for) is said here, next to the key, and a key without a word about it is an error.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from core.planning.config import Config
from core.planning.config_keys import KEYS
from core.planning.followups import FOLLOWUP_TYPES
from core.planning.reasons import CAMPAIGN_ISSUES, CONTACT_ISSUES, REASON_TEXTS
from core.planning.rules import (
    CAMPAIGN,
    CAMPAIGN_PREFIX,
    EMAIL_TYPES,
    SIZE_PROFILES,
    STATE_CODES,
    STATE_RULES,
    RuleKind,
    StateRule,
)
from core.runs.errors import OrgError
from handlers.docs_cli import cli_documents, exit_codes
from handlers.docs_failures import failures
from handlers.docs_markdown import table
from handlers.docs_metrics import metrics, warnings
from handlers.docs_operations import cost, event_types, settings
from handlers.docs_performance import performance
from infra.migrations import ContractColumn, ContractTable, contract, migrate, schema_sql

DOCS: Final = Path(__file__).parents[1] / "docs"
README: Final = DOCS.parent / "README.md"

_BLOCK: Final = re.compile(r"<!-- (?P<name>[a-z-]+):begin -->\n(?P<body>.*?)<!-- (?P=name):end -->", re.DOTALL)

_KIND_WORDS: Final[Mapping[RuleKind, str]] = {
    "birthday_window": "around the birthday",
    "effective_date_window": "around the effective date",
    "year_round": "every day of the year",
    "none": "never",
}

_KEY_NOTES: Final[Mapping[str, tuple[str, str]]] = {
    "enable_post_window_emails": ("R51", "whether a mail that a window kept back is made up for afterwards"),
    "effective_date_first_email_months": (
        "R32",
        "age, in months, of the policy at the first anniversary written about",
    ),
    "exclude_failed_underwriting_global": ("R34", "people who failed underwriting get nothing but AEP mail"),
    "send_without_zipcode_for_universal": (
        "R56",
        "people of unknown state get mail of campaigns that do not respect windows",
    ),
    "pre_exclusion_buffer_days": ("R42", "days by which every window starts earlier"),
    "birthday_days_before": ("R31", "days from the ideal send date to the birthday"),
    "effective_date_days_before": ("R32", "days from the ideal send date to the effective date's anniversary"),
    "send_time_hour": ("R75", "hour of scheduled_send_time; when it has passed, today is over (R1)"),
    "send_time_minute": ("R75", "minute of it"),
    "timezone": ("R1", "whose calendar and clock decide what today is"),
    "max_emails_per_period": ("R72", "mails a contact may get in one period, follow-ups aside"),
    "frequency_period_days": ("R72", "length of that period"),
    "size_profile": ("R11", "which row of the size profiles applies; auto: by the number of schedulable contacts"),
    "aep_enabled": ("R35", "whether the built-in AEP mail exists"),
    "aep_month": ("R35", "month of the AEP date"),
    "aep_day": ("R35", "day of the AEP date; a day that the month has every year, so never 29 February"),
    "aep_years": ("R35", "years with AEP mail; null: every year"),
    "enable_followups": ("R80", "whether follow-ups exist"),
    "followup_delay_days": ("R83", "days from a mail to its follow-up"),
    "followup_lookback_days": ("R80", "how long ago a mail may have gone out to be followed"),
    "catch_up_spread_days": ("R63", "days over which late birthday and effective-date mail is spread"),
    "late_grace_days": ("R35", "how late AEP, post-window and open-ended campaign mail may go out"),
    "overage_threshold": ("R64", "how far above the cap a day may be before it is cut back to the cap"),
    "min_daily_cap": ("R64", "lower bound of the cap"),
    "lookahead_days": ("R36", "how far ahead mail is planned; null: without limit"),
    "missing_window_date_policy": ("R44", "what a missing birth or effective date means in a state that needs it"),
    "suppressed_contact_statuses": ("R24", "statuses of contacts that are never written to; case does not matter"),
    "state_rules": ("R41", "replaces whole lines of the table of states"),
    "state_buffers": ("R42", "replaces pre_exclusion_buffer_days in a state"),
    "daily_send_percentage_cap": ("R11", "share of the contacts that may be written to on a day; null: the profile's"),
    "ed_daily_soft_limit": ("R11", "effective-date mails on a day before they are spread; null: the profile's"),
    "ed_smoothing_window_days": ("R11", "days over which they are spread; null: the profile's"),
}

_TYPE_NOTES: Final[Mapping[str, tuple[str, str]]] = {
    "birthday": ("R31", "the next birthday"),
    "effective_date": ("R32", "the next anniversary of the effective date"),
    "aep": ("R35", "the AEP date, one for the whole org"),
    "post_window": ("R51", "the first free day after a window"),
}

_FOLLOWUP_NOTES: Final = (
    "nothing that we know of",
    "clicked",
    "answered the questionnaire, no conditions",
    "answered the questionnaire, with conditions",
)

_REASON_NOTES: Final[Mapping[str, tuple[str, str, str]]] = {
    "exclusion:year_round:ST": ("R41", "for good", "The state forbids this mail on every day."),
    "exclusion:age_76_plus:ST": (
        "R45",
        "for good",
        "The state's rule has an age limit, and the person is 76 or older.",
    ),
    "exclusion:window_date_unknown:ST": (
        "R44",
        "until the date is known",
        "The date that the window depends on is missing.",
    ),
    "exclusion:birthday_window:ST": ("R40", "for this occurrence", "The date lies in the window around the birthday."),
    "exclusion:effective_date_window:ST": (
        "R40",
        "for this occurrence",
        "The date lies in the window around the effective date.",
    ),
    "failed_underwriting:global": (
        "R34",
        "while it lasts",
        "The org does not write to people who failed underwriting.",
    ),
    "failed_underwriting:campaign": (
        "R56",
        "while it lasts",
        "The campaign does not write to people who failed underwriting.",
    ),
    "target_mismatch": (
        "R54",
        "while it lasts",
        "The person is enrolled, but not in the campaign's states or carriers.",
    ),
    "after_campaign_end": ("R56", "while it lasts", "The ideal date lies after the end of the campaign."),
    "state_unknown": ("R25", "until the state is known", "Nobody knows which state's rules apply."),
    "campaign_conflict": ("R71", "judged anew in each run", "Another campaign's mail to the person has this day."),
    "frequency_limit": ("R72", "judged anew in each run", "The person would get too much mail in one period."),
    "missed_send_date": ("R92", "history", "The day passed, and nobody sent the mail."),
}

_ISSUE_NOTES: Final[Mapping[str, tuple[str, str, str]]] = {
    "missing_email": ("R20", "nothing at all", "The address is NULL or blank."),
    "invalid_email": ("R20", "nothing at all", "The address is no address."),
    "bad_birth_date": ("R21", "as if there were no birth date", "The birth date is no date, or lies in the future."),
    "bad_effective_date": ("R21", "as if there were no effective date", "The effective date is no date."),
    "state_mismatch": ("R23", "mail by the ZIP's state", "ZIP and state column name different states."),
    "suppressed_status": ("R24", "nothing at all", "The status is one of suppressed_contact_statuses."),
    "state_unknown": (
        "R25",
        "nothing but campaigns that do not respect windows",
        "Neither ZIP nor state column can be used.",
    ),
    "bad_campaign_dates": ("R52", "nothing from this instance", "A date of the campaign instance is no date."),
    "bad_campaign_metadata": (
        "R53",
        "mail by the type's settings",
        "The instance's overrides are unusable, whole or in part.",
    ),
    "bad_enrolment": (
        "R54",
        "nothing from this enrolment",
        "The enrolled contact does not exist, or the trigger date is no date.",
    ),
}


def rule_link(rule: str) -> str:
    """Return a link to a rule on the page of rules."""
    return f"[{rule}](#{rule.lower()})"


def states() -> str:
    """The table of states (R41), with what it comes to under the default buffer (R42)."""
    buffer = Config().pre_exclusion_buffer_days
    rows = [[state, *_state_cells(rule, buffer)] for state, rule in sorted(STATE_RULES.items())]
    others = [code for code in STATE_CODES if code not in STATE_RULES]
    head = (
        "state",
        "rule",
        "days before",
        "days after",
        "anchor",
        f"forbidden with the default buffer of {buffer} days",
    )
    return table(head, rows) + f"\nNo rule ({len(others)} codes): {' '.join(others)}.\n"


def _state_cells(rule: StateRule, buffer_days: int) -> list[str]:
    if rule.kind == "year_round":
        return [f"`{rule.kind}`", "", "", "", _KIND_WORDS[rule.kind]]
    anchor = "birthday" if rule.kind == "birthday_window" else "effective date's anniversary"
    anchor = f"first day of the month of the {anchor}" if rule.use_month_start else anchor
    span = f"{rule.days_before + buffer_days} days before to {rule.days_after} days after, both included"
    return [f"`{rule.kind}`", str(rule.days_before), str(rule.days_after), anchor, span]


def configuration() -> str:
    """Every key an org may set (R10)."""
    defaults = json.loads(Config().canonical_json())
    rows = []
    for key, spec in KEYS.items():
        rule, note = _KEY_NOTES[key]
        rows.append([f"`{key}`", f"`{json.dumps(defaults[key])}`", spec.allowed, note, rule_link(rule)])
    return table(("key", "default", "allowed", "what it is for", "rule"), rows)


def size_profiles() -> str:
    """The size profiles (R11)."""
    rows, lowest = [], 0
    for name, profile in SIZE_PROFILES.items():
        below = profile.contacts_below
        contacts = f"{lowest:,} or more" if below is None else f"{lowest:,} to {below - 1:,}"
        numbers = (profile.daily_send_percentage_cap, profile.ed_daily_soft_limit, profile.ed_smoothing_window_days)
        rows.append([name, contacts, *(str(number) for number in numbers)])
        lowest = below or lowest
    head = (
        "profile", "schedulable contacts", "`daily_send_percentage_cap`", "`ed_daily_soft_limit`",
        "`ed_smoothing_window_days`",
    )  # fmt: skip
    return table(head, rows)


def mail_types() -> str:
    """The kinds of mail with type code and priority (R31, R32, R35, R36, R51, R54)."""
    rows = []
    for name, spec in EMAIL_TYPES.items():
        rule, note = _TYPE_NOTES[name]
        rows.append([f"`{name}`", note, str(spec.code), str(spec.priority), rule_link(rule)])
    name, note = f"`{CAMPAIGN_PREFIX}<type>`", "the trigger date, or the first day of a spread"
    rows.append([name, note, str(CAMPAIGN), "of the campaign", rule_link("R54")])
    rows.append(["`followup_...`", "what the mail before it was about", "", "of the mail before it", rule_link("R80")])
    return table(("email_type", "about (event_date)", "type code", "priority", "rule"), rows)


def followup_types() -> str:
    """The follow-ups, by what the contact did (R82)."""
    pairs = zip(FOLLOWUP_TYPES, _FOLLOWUP_NOTES, strict=True)
    return table(("email_type", "what the person did since the mail"), ([f"`{name}`", note] for name, note in pairs))


def skip_reasons() -> str:
    """Every skip_reason (R34, R40, R54, R56, R71, R72, R92), linked to what can be done about it."""
    texts = {_general(text) for text in REASON_TEXTS}
    if texts != set(_REASON_NOTES):
        raise KeyError(*sorted(texts ^ set(_REASON_NOTES)))
    rows = [
        [f"[`{text}`](#{slug(text)})", meaning, standing, rule_link(rule)]
        for text, (rule, standing, meaning) in _REASON_NOTES.items()
    ]
    return table(("skip_reason", "what it means", "how long", "rule"), rows)


def _general(reason: str) -> str:
    return re.sub(r"^(exclusion:\w+):[A-Z]{2}$", r"\1:ST", reason)


def issues() -> str:
    """Every issue (R20-R25, R52-R54)."""
    rows = []
    for code in (*CONTACT_ISSUES, *CAMPAIGN_ISSUES):
        rule, consequence, meaning = _ISSUE_NOTES[code]
        text = f"{code}:<id>" if code in CAMPAIGN_ISSUES else code
        rows.append([f"`{text}`", meaning, consequence, rule_link(rule)])
    return table(("issue", "what it means", "what the person gets", "rule"), rows)


def schema_columns() -> str:
    """Every table and column of the org database, and what happens where a column is missing; tried out, not claimed."""
    parts = []
    for spec in contract():
        rows = [
            [f"`{c.name}`", c.type + (" NOT NULL" if c.not_null else ""), _when_missing(spec, c)] for c in spec.columns
        ]
        parts.append(f"### {spec.name}\n\n" + table(("column", "type", "where it is missing"), rows))
    return "\n".join(parts)


def _when_missing(spec: ContractTable, column: ContractColumn) -> str:
    """Make the table anew without the column and migrate that."""
    with Database(memory=True, recursive_triggers=False, execute_plugins=False) as db:
        db.executescript(schema_sql())
        stored = db.table(spec.name)
        stored.drop()
        others = {c.name: int if c.type == "INTEGER" else str for c in spec.columns if c.name != column.name}
        key = tuple(name for name in spec.key if name != column.name)
        stored.create(others, pk=key[0] if len(key) == 1 else key or None)
        try:
            migrate(db, None)
        except OrgError:
            return "refused"
        added = next(c for c in stored.columns if c.name == column.name)
        return f"added, `{added.default_value}`" if added.notnull else "added, NULL"


BLOCKS: Final[Mapping[str, Callable[[], str]]] = {
    "states": states,
    "configuration": configuration,
    "size-profiles": size_profiles,
    "mail-types": mail_types,
    "followup-types": followup_types,
    "skip-reasons": skip_reasons,
    "issues": issues,
    "schema-columns": schema_columns,
    "cli-documents": cli_documents,
    "exit-codes": exit_codes,
    "settings": settings,
    "event-types": event_types,
    "cost": cost,
    "failures": failures,
    "metrics": metrics,
    "warnings": warnings,
    "performance": performance,
}
"""Every block by its name in the markers."""


def slug(heading: str) -> str:
    """Return the anchor that a heading gets where Markdown is shown: lower case, no punctuation, dashes for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def regenerated(text: str) -> str:
    """Return a document with every block made anew; raises KeyError for a block that BLOCKS does not know."""
    return _BLOCK.sub(
        lambda m: f"<!-- {m['name']}:begin -->\n{BLOCKS[m['name']]()}<!-- {m['name']}:end -->", text
    )  # fmt: skip


def blocks_in(text: str) -> list[str]:
    """Return the names of a document's blocks."""
    return [match["name"] for match in _BLOCK.finditer(text)]


def main(arguments: Sequence[str]) -> int:
    """Check the documents, or rewrite them; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m handlers.docs_tables", description="Tables of docs/, from the code."
    )
    parser.add_argument("--write", action="store_true", help="rewrite what is out of date")
    write = parser.parse_args(arguments).write
    stale = []
    for file in (README, *sorted(DOCS.rglob("*.md"))):
        text = file.read_text(encoding="utf-8")
        if (fresh := regenerated(text)) != text:
            stale.append(file)
            if write:
                file.write_text(fresh, encoding="utf-8")
    for file in stale:
        sys.stdout.write(f"{file.relative_to(DOCS.parent)}: {'rewritten' if write else 'out of date'}\n")
    return 1 if stale and not write else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
