"""The certificate as a page for counsel: self-contained HTML, to be read without a manual and printed."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from jinja2 import Environment

from core.runs.certificate import Certificate
from handlers.cli_certify_tables import rule_in_words
from handlers.pages import page_environment

_TEMPLATE: Final = "certificate.html.j2"


def render_certificate(certificate: Certificate, canonical: str, sha256: str) -> str:
    """Return the page of one certificate; a pure function of it. ``canonical`` is what the digest is made of."""
    excluded: Mapping[str, int] = {
        reason: mails for reason, mails in certificate.kept_back_by_reason.items() if reason.startswith("exclusion:")
    }
    template = _environment().get_template(_TEMPLATE)
    return template.render(certificate=certificate, canonical=canonical, sha256=sha256, excluded=excluded)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = page_environment()
    environment.filters["in_words"] = rule_in_words
    return environment
